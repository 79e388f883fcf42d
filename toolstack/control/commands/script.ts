/**
 * JavaScript as it is typed at a prompt: where its statements end, and how it is evaluated so that what one line declares is
 * there in the next. JavaScript's own parser judges it; this only tells code from strings, comments and regular expressions.
 */

/** Names before which a "/" divides; after these words, and most other characters, it begins a regular expression. */
const BEFORE_EXPRESSION = /(?:^|[^\w$.])(?:return|typeof|case|in|of|delete|void|throw|new|await|yield|do|else)$/;

/** Longer than every word before which an expression stands. */
const WORD_MAX = 12;

/**
 * For each character of `code` the number of brackets around it (a bracket itself is outside), -1 for what is in a string, a
 * template's text, a comment or a regular expression.
 */
export function depths(code: string): number[] {
  const result: number[] = [];
  /** For each open bracket whether it is a template's "${". */
  const open: boolean[] = [];
  const comment = new Set<number>();
  let at = 0;
  const skipTo = (end: number) => {
    while (at < end && at < code.length) result[at++] = -1;
  };
  const skipComment = (end: number) => {
    for (let i = at; i < end; i++) comment.add(i);
    skipTo(end);
  };
  /** A template's text from `at` on, up to its end or its next "${". */
  const template = () => {
    const end = /[^\\`$]*(?:(?:\\[^]|\$(?!\{))[^\\`$]*)*(`|\$\{|$)/y;
    end.lastIndex = at;
    const [text, stop] = end.exec(code)!;
    skipTo(at + text.length);
    if (stop === "${") open.push(true);
  };
  /** The latest characters of code, blanks left out in front. */
  const before = () => {
    let text = "";
    for (let i = at - 1; i >= 0 && text.length < WORD_MAX; i--) {
      // A comment counts as a blank; a string or a template ends an expression.
      if (result[i]! < 0) {
        if (!comment.has(i)) return text === "" ? "x" : text;
        continue;
      }
      if (text !== "" || !/\s/.test(code[i]!)) text = code[i]! + text;
    }
    return text;
  };
  while (at < code.length) {
    const c = code[at]!;
    const rest = code.slice(at, at + 2);
    if (c === "'" || c === '"') {
      const end = new RegExp(`${c}(?:[^\\\\${c}]|\\\\[^])*(?:${c}|$)`, "y");
      end.lastIndex = at;
      skipTo(at + end.exec(code)![0].length);
    } else if (c === "`") {
      skipTo(at + 1);
      template();
    } else if (rest === "//") {
      const end = code.indexOf("\n", at);
      skipComment(end < 0 ? code.length : end);
    } else if (rest === "/*") {
      const end = code.indexOf("*/", at + 2);
      skipComment(end < 0 ? code.length : end + 2);
    } else if (c === "/" && beginsExpression(before())) {
      const end = /\/(?:[^\\/[\n]|\\.|\[(?:[^\\\]\n]|\\.)*\])+\/\w*/y;
      end.lastIndex = at;
      skipTo(at + (end.exec(code)?.[0].length ?? 1));
    } else if (c === "}" && open[open.length - 1] === true) {
      open.pop();
      skipTo(at + 1);
      template();
    } else {
      if (")]}".includes(c)) open.pop();
      result[at++] = open.length;
      if ("([{".includes(c)) open.push(false);
    }
  }
  return result;
}

function beginsExpression(text: string): boolean {
  return text === "" || !/[\w$)\]}"'`]$/.test(text) || BEFORE_EXPRESSION.test(text);
}

/** The parts of `code` between the outermost places where `ends` says that one ends; `ends` sees code only. */
function parts(code: string, ends: (at: number) => boolean): string[] {
  const depth = depths(code);
  const found: string[] = [];
  let from = 0;
  for (let at = 0; at < code.length; at++) {
    if (depth[at] !== 0 || !ends(at)) continue;
    found.push(code.slice(from, at));
    from = at + 1;
  }
  found.push(code.slice(from));
  return found;
}

const DECLARATION = /^\s*(?:let|const|var|class|(?:async\s+)?function)(?=[\s*[{])/;

/** The statements that end with ";", or in front of a line that declares something. */
function statements(code: string): string[] {
  const ends = (at: number) => code[at] === ";" || (code[at] === "\n" && DECLARATION.test(code.slice(at)));
  return parts(code, ends).filter((statement) => statement.trim() !== "");
}

/** A statement that declares a class, or (`functions`) a function, as an assignment; others as they are. */
function assigned(statement: string, functions: boolean, declare: string): string[] {
  const [, space, kind, name] = /^(\s*)(class|(?:async\s+)?function\s*\*?)\s*([\w$]+)/.exec(statement) ?? [];
  if (name === undefined || (kind !== "class" && !functions)) return [statement];
  const depth = depths(statement);
  const body = Array.from(statement).findIndex((c, at) => c === "{" && depth[at] === 0);
  const end = Array.from(statement).findIndex((c, at) => at > body && c === "}" && depth[at] === 0);
  if (body < 0 || end < 0) return [statement];
  const assignment = `${declare}${name} = ${statement.slice(space!.length, end + 1)}`;
  return [assignment, statement.slice(end + 1)].filter((each) => each.trim() !== "");
}

/** A script whose outermost declarations become globals when it is evaluated as a global, sloppy script. */
function lasting(code: string): string {
  return statements(code)
    .flatMap((each) => assigned(each.replace(/^(\s*)(?:let|const)(?=[\s[{])/, "$1var"), false, "var "))
    .join(";");
}

/** The same for the body of a function: declarations become assignments, which make globals in sloppy code. */
function lastingBody(code: string): string[] {
  return statements(code).flatMap((each) => {
    const [keyword] = /^\s*(?:let|const|var)(?=[\s[{])/.exec(each) ?? [];
    if (keyword === undefined) return assigned(each, true, "");
    const rest = each.slice(keyword.length);
    const declared = parts(rest, (at) => rest[at] === ",").map((one) => {
      const given = parts(one, (at) => one[at] === "=").length > 1;
      return given ? `(${one.trim()})` : `(${one.trim()} = undefined)`;
    });
    return `void (${declared.join(", ")})`;
  });
}

/** Evaluates in the global scope. */
const globalEval = eval;

function compiles(code: string): boolean {
  try {
    // Parsed inside a function that is not called: nothing runs yet.
    globalEval(`(function () { ${code}\n})`);
    return true;
  } catch {
    return false;
  }
}

/** The body of an async function for code that awaits; null where it is none. */
function asyncBody(code: string): string | null {
  const candidates = [`return (${code}\n)`];
  const body = lastingBody(code);
  if (body.length > 0) candidates.push([...body.slice(0, -1), `return (${body[body.length - 1]}\n)`].join(";"));
  candidates.push(body.join(";"));
  return candidates.find((candidate) => compiles(`(async () => { ${candidate}\n})`)) ?? null;
}

/**
 * Evaluates what a user typed: an expression if it can be read as one (so that `{a: 1}` is an object), else statements, whose
 * value is the last one's. With `await` it is the promise of that. What it declares outermost becomes global.
 */
export function evaluateScript(code: string): unknown {
  if (/^\s*\{/.test(code) && compiles(`return (${code}\n)`)) return globalEval(`(${code}\n)`);
  const depth = depths(code);
  const awaits = [...code.matchAll(/\bawait\b/g)].some(({ index }) => depth[index]! >= 0);
  const body = awaits ? asyncBody(code) : null;
  if (body !== null) return globalEval(`(async () => { ${body}\n})()`);
  return globalEval(lasting(code));
}

/** The text of an error without the frames of what evaluates, and of the line itself, which is all there is. */
export function withoutOwnFrames(text: string): string {
  const lines = text.split("\n");
  const own = lines.findIndex((line) => /^\s+at (?:evaluateScript\b|eval \(native\))/.test(line));
  const kept = own < 0 ? lines : lines.slice(0, own);
  while (kept.length > 1 && /^\s+at (?:<eval>|eval \()/.test(kept[kept.length - 1]!)) kept.pop();
  return kept.join("\n");
}
