/** node:querystring. */
type Values = Record<string, unknown>;

const decode = (text: string): string => {
  try {
    return decodeURIComponent(text.replace(/\+/g, " "));
  } catch {
    return text;
  }
};

function parse(text: string, separator = "&", equals = "="): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  for (const pair of text.split(separator)) {
    if (pair === "") continue;
    const at = pair.indexOf(equals);
    const [key, value] =
      at < 0 ? [decode(pair), ""] : [decode(pair.slice(0, at)), decode(pair.slice(at + equals.length))];
    const before = out[key];
    out[key] = before === undefined ? value : ([] as string[]).concat(before, value);
  }
  return out;
}

function stringify(values: Values, separator = "&", equals = "="): string {
  return Object.entries(values)
    .flatMap(([key, value]) =>
      (Array.isArray(value) ? value : [value]).map(
        (one) => `${encodeURIComponent(key)}${equals}${encodeURIComponent(String(one ?? ""))}`,
      ),
    )
    .join(separator);
}

export const querystring = {
  parse,
  stringify,
  decode: parse,
  encode: stringify,
  escape: encodeURIComponent,
  unescape: decode,
};
