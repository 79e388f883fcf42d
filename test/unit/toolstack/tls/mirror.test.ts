/** guests/sandboxes/tls/tls.h has the numbers of abi/tls.ts. */
import { readFileSync } from "node:fs";
import test from "ava";
import * as abi from "../../../../abi/tls.ts";
import { fromRoot } from "../../../../scripts/paths.ts";

test("the module's header and abi/tls.ts agree", (t) => {
  const values = new Map<string, number>();
  for (const [, name, text] of readFileSync(fromRoot("guests/sandboxes/tls/tls.h"), "utf8").matchAll(
    /^#define (TLS_\w+) (.+)$/gm,
  )) {
    const sum = text.replace(/TLS_\w+/g, (other) => String(values.get(other)));
    t.regex(sum, /^[()\d a-fx+*]+$/);
    values.set(
      name,
      sum
        .replace(/[()]/g, "")
        .split("+")
        .map((term) => term.split("*").reduce((product, factor) => product * Number(factor), 1))
        .reduce((a, b) => a + b, 0),
    );
  }
  t.true(values.size > 25);
  const ours = Object.entries(abi).filter((entry): entry is [string, number] => typeof entry[1] === "number");
  t.deepEqual(Object.fromEntries([...values].sort()), Object.fromEntries(ours.sort()));
});
