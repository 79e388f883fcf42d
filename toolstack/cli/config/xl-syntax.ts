/**
 * The syntax of xl.cfg files as Xen 4.17's libxlu reads it: settings `key = value` and `key += value`, ended by a newline or a
 * semicolon; values are strings, numbers and lists of these. It looks like Python, and is not: keys are in lower case, there
 * are no expressions, and a list goes over several lines only where it may be broken, between its items. docs/decisions/0011
 * says why peggy reads it.
 */
import peggy, { type Parser } from "peggy";
import { ConfigError, withoutOverflow, type Place } from "./problems.ts";

export interface XlAtom {
  kind: "atom";
  /** xl makes no difference between the number 4 and the string "4". */
  text: string;
  place: Place;
}

export interface XlList {
  kind: "list";
  items: XlValue[];
  place: Place;
}

export type XlValue = XlAtom | XlList;

export interface XlSetting {
  key: string;
  /** `+=`: joined to what the key has. */
  adds: boolean;
  value: XlValue;
  place: Place;
}

/** In order: numbers are read later, in the base that their beginning says. */
const GRAMMAR = String.raw`
{{
  const ESCAPES = { a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v", '"': '"', "'": "'", "\\": "\\" };
}}
{
  const place = () => options.place(location().start.line);
}

File = (_ End)* settings:(Setting|.., _ End (_ End)*|) (_ End)* _ Comment? { return settings; }

Setting = _ key:Key _ op:("+=" / "=") _ value:Value { return { key, adds: op === "+=", value, place: place() }; }

Key "a key in lower case" = $([a-z][._0-9a-z]*)

Value = Atom / List

Atom = text:(String / Number) { return { kind: "atom", text, place: place() }; }

String "a string in quotes"
  = "'" text:(Escape / $[^'\\\n])* "'" { return text.join(""); }
  / '"' text:(Escape / $[^"\\\n])* '"' { return text.join(""); }

Escape = "\\" letter:[^\n] {
    if (letter in ESCAPES) return ESCAPES[letter];
    error(options.badEscape(letter));
  }

Number "a number" = $([0-9][0-9a-fx]*)

List = "[" items:Items "]" { return { kind: "list", items, place: place() }; }

Items = Gap items:(Item|1.., "," Gap| ("," Gap)?)? { return items?.[0] ?? []; }

Item = value:Value Gap { return value; }

// Between the items of a list.
Gap = _ (Newline _)*

End = Newline / ";"

Newline "the end of the line" = "\n" / Comment "\n"

Comment = "#" [^\n]*

_ "" = [ \t]*
`;

/** Made at the first use: most commands read no configuration. */
let parser: Parser | undefined;

/** What peggy tells of an error. */
interface SyntaxFault {
  location: { start: { line: number } };
  found?: string | null;
  expected?: { type: string; description?: string; text?: string }[] | null;
  message: string;
}

/**
 * The settings of a text, in order.
 * @param source what it is called in errors
 * @param lines whether errors have a line: not in an argument of the command line
 * @throws ConfigError at the first fault
 */
export function parseXlSettings(text: string, source: string, lines = true): XlSetting[] {
  const place = (line: number): Place => (lines ? { source, line } : { source });
  parser ??= peggy.generate(GRAMMAR) as unknown as Parser;
  try {
    return withoutOverflow(source, () => parser!.parse(text, { place, badEscape }) as XlSetting[]);
  } catch (error) {
    if (!(error instanceof parser.SyntaxError)) throw error;
    const fault = error as unknown as SyntaxFault;
    throw new ConfigError([{ place: place(fault.location.start.line), text: syntaxFault(fault) }]);
  }
}

function badEscape(letter: string): string {
  if (/[0-7x]/.test(letter)) {
    return `a character by its number (\\${letter}) in a string: xl 4.17 drops it; write the character itself`;
  }
  return `\\${letter} in a string: a backslash may be followed by \\ " ' a b f n r t v`;
}

function syntaxFault({ found, expected, message }: SyntaxFault): string {
  // `error()` of the grammar.
  if (expected === null || expected === undefined) return message;
  if (found === "\r") return "the line ends in CR LF, as on Windows; xl wants LF alone: `dos2unix` changes it";
  const wanted = [...new Set(expected.map((one) => one.description ?? one.text ?? `the ${one.type}`))]
    .filter((one) => one !== "" && one !== "#")
    .map((one) => (one.length <= 2 ? `"${one}"` : one));
  const isKey = wanted.includes("a key in lower case");
  const isValue = wanted.includes("a string in quotes");
  const there =
    found === null || found === undefined ? "the end" : found === "\n" ? "the end of the line" : `"${found}"`;
  let hint = "";
  if (isValue && /["']/.test(found ?? "")) hint = "; a string is closed on the line where it begins";
  else if (isValue && /[A-Za-z/_]/.test(found ?? "")) hint = '; text has quotes: name = "web"';
  else if (isKey && /[A-Z]/.test(found ?? "")) hint = "; xl's keys are in lower case";
  else if (/[-+.():*]/.test(found ?? "")) hint = "; this looks like Python, of which xl takes no expressions";
  return `${there} where ${listed(wanted)} should be${hint}`;
}

function listed(words: string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words[words.length - 1]}`;
}
