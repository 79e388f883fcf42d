/** JSON of a stranger's: what JSON.parse would say, but not at any depth. */
import test from "ava";
import fc from "fast-check";
import { JSON_DEPTH_MOST, parseJson } from "../../../toolstack/api/json.ts";

const nested = (depth: number, inside = "") => "[".repeat(depth) + inside + "]".repeat(depth);

test("values of up to so many levels are read, deeper ones refused before the parser sees them", (t) => {
  t.notThrows(() => parseJson(nested(JSON_DEPTH_MOST)));
  t.throws(() => parseJson(nested(JSON_DEPTH_MOST + 1)), { message: /more than 64 levels/ });
  t.throws(() => parseJson('{"a":'.repeat(JSON_DEPTH_MOST + 1)), { message: /levels/ });
  // Unbalanced: the parser never sees it.
  t.throws(() => parseJson("[".repeat(1_000_000)), { message: /levels/ });
  t.throws(() => parseJson(`"\\"${nested(10)}", ${"[".repeat(100)}`), { message: /levels/ });
  // Many, but beside each other, or in strings.
  const beside = `[${Array.from({ length: 1000 }, () => '{"a":[]}').join()}]`;
  t.deepEqual(parseJson(beside), JSON.parse(beside));
  const inText = JSON.stringify({ script: `${"[{".repeat(500)}\\"` });
  t.deepEqual(parseJson(inText), JSON.parse(inText));
});

test("otherwise it is JSON.parse", (t) => {
  fc.assert(
    fc.property(
      fc.oneof(fc.json({ maxDepth: 8 }), fc.string(), fc.stringMatching(/^[[\]{}":,\\1a]{0,200}$/)),
      (text) => {
        let wanted: unknown;
        try {
          wanted = JSON.parse(text);
        } catch {
          t.throws(() => parseJson(text), { instanceOf: SyntaxError });
          return;
        }
        t.deepEqual(parseJson(text), wanted);
      },
    ),
    { numRuns: 2000 },
  );
});
