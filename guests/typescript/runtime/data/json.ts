/**
 * JSON.parse that looks at the depth of what it is given. The engine's own calls itself for every level without looking at its stack:
 * some ten thousand brackets in a request's body would end the guest.
 */

/** Levels of arrays and objects. */
export const JSON_DEPTH_MOST = 1000;

const native = JSON.parse;
/** What opens or closes a level, or opens a string. */
const TOKEN = /["[\]{}]/g;

/** True when there are more opening brackets than that, in strings or not: then it takes a closer look. */
function mayBeDeep(text: string): boolean {
  let openings = 0;
  for (const bracket of "[{") {
    for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1)) {
      if (++openings > JSON_DEPTH_MOST) return true;
    }
  }
  return false;
}

/** Index behind the quote that ends a string of which `from` is inside; the text's end if there is none. */
function stringEnd(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at >= 0; at = text.indexOf('"', at + 1)) {
    let slashes = 0;
    while (at - slashes > from && text[at - slashes - 1] === "\\") slashes++;
    if (slashes % 2 === 0) return at + 1;
  }
  return text.length;
}

function isDeep(text: string): boolean {
  let depth = 0;
  TOKEN.lastIndex = 0;
  for (let found = TOKEN.exec(text); found !== null; found = TOKEN.exec(text)) {
    const [token] = found;
    if (token === '"') TOKEN.lastIndex = stringEnd(text, TOKEN.lastIndex);
    else if (token === "]" || token === "}") depth--;
    else if (++depth > JSON_DEPTH_MOST) return true;
  }
  return false;
}

/** As JSON.parse. @throws SyntaxError also for more than JSON_DEPTH_MOST levels */
export function parse(text: unknown, reviver?: (key: string, value: unknown) => unknown): unknown {
  const json = String(text);
  if (json.length > JSON_DEPTH_MOST && mayBeDeep(json) && isDeep(json)) {
    throw new SyntaxError(`JSON.parse: more than ${JSON_DEPTH_MOST} levels of arrays and objects`);
  }
  return native(json, reviver);
}
