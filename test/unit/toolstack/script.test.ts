/** What is typed behind `js`: where scripts and statements end, and what lasts. */
import test from "ava";
import { depths, evaluateScript, withoutOwnFrames } from "../../../toolstack/control/commands/script.ts";

/** `code` with everything that is not code as dots. */
function codeOnly(code: string): string {
  const depth = depths(code);
  return Array.from(code, (c, i) => (depth[i]! < 0 ? "." : c)).join("");
}

test("strings, templates, comments and regular expressions are no code", (t) => {
  t.is(codeOnly('a(\'b;\') + "c\\"" // d'), "a(....) + ..... ....");
  t.is(codeOnly("a /* ; */ / b"), "a ....... / b");
  t.is(codeOnly("`x${y + `z${1}`}`; w"), "....y + ....1....; w");
  t.is(codeOnly("/[/;]/.test(x); y / 2 / z"), ".......test(x); y / 2 / z");
  t.is(codeOnly("a /* 1 */ / b; 'x' / 2 / 'y'"), "a ....... / b; ... / 2 / ...");
  t.is(codeOnly("return /;/"), "return ...");
  t.is(codeOnly("'open; x"), "........");
});

for (const [code, value] of [
  ["1 + 1", 2],
  ["{ a: 1 }", { a: 1 }],
  ["let scriptA = 5; scriptA * 2", 10],
  ["scriptA + 1", 6],
  ["const { b: scriptB, c: [scriptC] } = { b: 1, c: [2] }; scriptB + scriptC", 3],
  ["[scriptB, scriptC]", [1, 2]],
  ["let scriptA = 'again'; scriptA", "again"],
  ["class ScriptD { e() { return 7 } } new ScriptD().e()", 7],
  ["new ScriptD().e()", 7],
  ["function scriptF() { let x = 1; { let x = 2 } return x } scriptF()", 1],
  ["scriptF()", 1],
  ["let scriptG = 0; for (let i = 0; i < 3; i++) scriptG += i; scriptG", 3],
  ["await (Promise.resolve(4))", 4],
  ["await(Promise.resolve(4)) + 1", 5],
  ["const scriptH = await Promise.resolve(8), scriptI = 1; scriptH + scriptI", 9],
  ["scriptH", 8],
  ["let { j: scriptJ } = await Promise.resolve({ j: 3 }), scriptK; scriptK === undefined && scriptJ", 3],
  ["scriptJ", 3],
  ["async function scriptL() { return await 6 } await scriptL()", 6],
  ["scriptL()", 6],
  ["for (const x of [1, 2]) await x; await 'end'", "end"],
  ["(async () => { await null; return 'inner' })()", "inner"],
  ["'await ; let'", "await ; let"],
  ["if (true) { await 1 }", undefined],
] as [string, unknown][]) {
  test.serial(`js ${code}`, async (t) => {
    t.deepEqual(await evaluateScript(code), value);
  });
}

test("errors show the user's frames, not those of what evaluates", (t) => {
  const describe = (code: string) => {
    try {
      evaluateScript(code);
      return "none";
    } catch (error) {
      return withoutOwnFrames((error as Error).stack!);
    }
  };
  t.is(describe("scriptNowhere.x"), "ReferenceError: scriptNowhere is not defined");
  t.regex(describe("(function scriptOuter() { null.x })()"), /^TypeError: .*\n {4}at scriptOuter [^\n]*$/);
  t.regex(describe("let 1"), /^SyntaxError: /);
  // As QuickJS has them.
  const stack =
    "TypeError: no\n    at f (<evalScript>:1:5)\n    at <eval> (<evalScript>:1:9)\n    at evaluateScript (control.js:9)\n    at run (control.js:1)";
  t.is(withoutOwnFrames(stack), "TypeError: no\n    at f (<evalScript>:1:5)");
});
