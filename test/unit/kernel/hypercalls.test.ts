/** docs/hypercalls.md is up to date, and true: every call is made, every test it names exists. */
import { readdirSync, readFileSync } from "node:fs";
import test from "ava";
import { ENOSYS, EPERM } from "../../../abi/errno.ts";
import { CALLS, OPERATIONS, SPECIAL_CALLS } from "../../../scripts/hypercalls/claims.ts";
import { hypercallsOfXen } from "../../../scripts/hypercalls/headers.ts";
import { callClaim, CONTROL, hypercallsPage, operationClaim } from "../../../scripts/hypercalls/page.ts";
import { fromRoot } from "../../../scripts/paths.ts";
import { probe, probeControl, probeDomain0, self } from "./hypercall-probe.ts";
import { Lab } from "./lab.ts";

const hypercalls = hypercallsOfXen();

test("the page is what `npm run docs` writes", (t) => {
  t.is(readFileSync(fromRoot("docs/hypercalls.md"), "utf8"), hypercallsPage(), "run `npm run docs`");
});

test("the headers were understood, and no claim is about something that they do not have", (t) => {
  const operations = hypercalls.flatMap((h) => h.operations.map((o) => o.name));
  t.true(
    hypercalls.length > 40 && operations.length > 200,
    `${hypercalls.length} calls, ${operations.length} operations`,
  );
  const names = new Set([...operations, ...hypercalls.map((h) => h.name)]);
  t.deepEqual(
    [...Object.keys(CALLS), ...Object.keys(OPERATIONS)].filter((name) => !names.has(name)),
    [],
  );
});

test("the tests that are named exist", (t) => {
  const selftests = new Set(
    readdirSync(fromRoot("guests/selftest"))
      .filter((file) => file.endsWith(".c"))
      .flatMap((file) => [...readFileSync(fromRoot(`guests/selftest/${file}`), "utf8").matchAll(/^ +\{"([\w-]+)", /gm)])
      .map((match) => match[1]),
  );
  t.true(selftests.size > 200, "the self-test's tables were not found");
  const exists = (named: string): boolean => {
    if (named.startsWith("selftest ")) return selftests.has(named.slice("selftest ".length));
    const [file, title] = named.split(/: (.*)/s) as [string, string];
    const source = readFileSync(fromRoot(`test/${file}`), "utf8");
    return [`test("${title}"`, `test.serial("${title}"`].some((text) => source.includes(text));
  };
  const claims = [...Object.entries(CALLS), ...Object.entries(OPERATIONS)].map(([name, claim]) => ({
    ...claim!,
    name,
  }));
  t.deepEqual(
    [...claims, ...SPECIAL_CALLS]
      .filter((claim) => !exists(claim.test))
      .map(({ name, test: named }) => `${name}: ${named}`),
    [],
  );
});

test.serial("every call answers what the page says", async (t) => {
  t.timeout(5 * 60_000);
  const lab = await Lab.open();
  const wrong: string[] = [];
  const compare = (name: string, answer: unknown, wanted: unknown): void => {
    if (answer !== wanted) wrong.push(`${name}: ${String(answer)}, the page says ${String(wanted)}`);
  };
  for (const { number, name, operations } of hypercalls) {
    if (operations.length === 0) compare(name, probe(lab, number, null), callClaim(name).answer);
    for (const operation of operations) {
      const claim = operationClaim(operation.name);
      if (CONTROL.has(name)) {
        compare(operation.name, probeDomain0(lab, number, operation.number), claim.answer);
        compare(`${operation.name} of a guest`, probeControl(lab, number, operation.number), -EPERM);
      } else {
        compare(operation.name, probe(lab, number, operation.number, self(claim.self), claim.bare), claim.answer);
      }
    }
  }
  t.deepEqual(wrong, []);
  lab.audit(t);
});

test.serial("numbers that are not on the page do not exist", async (t) => {
  const lab = await Lab.open();
  const known = new Set(hypercalls.map((h) => h.number));
  for (let number = 0; number < 80; number++) {
    if (!known.has(number)) t.is(probe(lab, number, null), -ENOSYS, `hypercall ${number}`);
  }
  for (const { number, name, operations } of hypercalls) {
    if (operations.length === 0 || CONTROL.has(name) || name === "vm_assist") continue;
    const taken = new Set(operations.map((o) => o.number));
    for (let operation = 0; operation < 40; operation++) {
      if (taken.has(operation)) continue;
      // console_io asks first whether the caller may do it at all.
      t.is(probe(lab, number, operation), name === "console_io" ? -EPERM : -ENOSYS, `${name} ${operation}`);
    }
  }
});
