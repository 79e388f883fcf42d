/** docs/requests.md is up to date, and has every request, argument, field and frame. */
import { readFileSync } from "node:fs";
import test from "ava";
import * as v from "valibot";
import { fromRoot } from "../../../scripts/paths.ts";
import { requestsPage } from "../../../scripts/requests/page.ts";
import { schemaText } from "../../../scripts/requests/schema-text.ts";
import { choiceOption, countWord, listOption, words } from "../../../toolstack/api/argument.ts";
import * as protocol from "../../../toolstack/api/protocol.ts";
import { requests } from "../../../toolstack/api/requests/table.ts";

test("the page is what `npm run docs` writes", (t) => {
  t.is(readFileSync(fromRoot("docs/requests.md"), "utf8"), requestsPage(), "run `npm run docs`");
});

test("it has every request with its arguments, and every type of frame with its number", (t) => {
  const page = requestsPage();
  const sections = new Map(page.split("\n### ").map((text) => [text.split("\n")[0]!, text]));
  for (const { name, arguments: declared, waits, stream } of requests) {
    const section = sections.get(name);
    t.truthy(section, name);
    for (const key of Object.keys(declared as object)) {
      t.true(section!.includes(`| \`${key}\` |`), `${name} ${key}`);
      t.regex(section!, new RegExp(`^  ${key}\\??: `, "m"), `${name} ${key}`);
    }
    t.is(section!.includes("\nWaits for "), waits !== null, name);
    t.is(section!.includes("\nStream: "), stream !== "none", name);
  }
  const frames = Object.entries(protocol).filter(
    ([name, value]) => typeof value === "number" && !/_(MOST|FIRST|MS|PORT|VERSION)$/.test(name),
  );
  t.is(frames.length, 10);
  for (const [name, number] of frames) t.true(page.includes(`| ${String(number)} | ${name} |`), name);
});

test("schemas in TypeScript's notation", (t) => {
  const said = (schema: unknown) => schemaText(schema as v.GenericSchema);
  t.is(said(words("ID", "").schema), "string[] // at most 4096 characters, 1 to 1024 of them");
  t.is(said(listOption("S", "").schema), "string[] // at most 4096 characters, at most 1024 of them");
  t.is(said(countWord("N", "", 1, 64).schema), "number // whole, 1 to 64");
  t.is(said(choiceOption("A", "", ["x", "y"]).schema), '"x" | "y"');
  t.is(said(v.array(v.nullable(v.string()))), "(string | null)[]");
  t.is(
    said(v.record(v.string(), v.pipe(v.string(), v.description("hexadecimal")))),
    "{ [key: string]: string } // hexadecimal",
  );
  t.is(
    said(v.object({ a: v.optional(v.number()), b: v.array(v.object({ c: v.boolean() })) })),
    "{\n  a?: number;\n  b: {\n    c: boolean;\n  }[];\n}",
  );
  t.is(said(v.union([v.object({}), v.number()])), "{} | number");
  t.throws(() => said(v.date()), { message: /no notation for a schema of type date/ });
});
