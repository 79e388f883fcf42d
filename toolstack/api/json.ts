/**
 * JSON from the other end of a connection. The engine's parser calls itself for every level of a value without looking at its stack:
 * 15,000 brackets in a frame of the control protocol ended domain 0. So levels are counted before it is called.
 */

/** Levels of arrays and objects; requests have four. */
export const JSON_DEPTH_MOST = 64;

/** True when there are more opening brackets than that, in strings or not: then it takes a closer look. */
function mayBeDeep(text: string): boolean {
  let openings = 0;
  for (const bracket of ["[", "{"]) {
    for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1)) {
      if (++openings > JSON_DEPTH_MOST) return true;
    }
  }
  return false;
}

const BACKSLASH = 0x5c;
const QUOTE = 0x22;

/** Index behind the string whose opening quote is in front of `at`. */
function stringEnd(text: string, at: number): number {
  while (at < text.length) {
    const code = text.charCodeAt(at++);
    if (code === QUOTE) break;
    if (code === BACKSLASH) at++;
  }
  return at;
}

function isDeep(text: string): boolean {
  let depth = 0;
  for (let at = 0; at < text.length;) {
    const character = text[at++];
    if (character === '"') at = stringEnd(text, at);
    else if (character === "[" || character === "{") {
      if (++depth > JSON_DEPTH_MOST) return true;
    } else if (character === "]" || character === "}") depth--;
  }
  return false;
}

/** @throws SyntaxError for what is not JSON, or has more than JSON_DEPTH_MOST levels */
export function parseJson(text: string): unknown {
  if (mayBeDeep(text) && isDeep(text)) throw new SyntaxError(`more than ${JSON_DEPTH_MOST} levels of brackets`);
  return JSON.parse(text) as unknown;
}
