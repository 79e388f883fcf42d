/** How the oracle judges what a guest printed on real Xen. */
import test from "ava";
import { oracleExceptions } from "../../../scripts/oracle/exceptions.ts";
import { judgeSelftest, type OracleCheck, parseFigures, repeated } from "../../../scripts/oracle/checks.ts";

/** Output in which every listed exception differs, as it must. */
const differing = Object.keys(oracleExceptions).map((name) => `not ok ${name} file.c:1 it is 0`);

test("an expectation that holds passes, one that does not fails with the guest's words", (t) => {
  const checks = judgeSelftest([
    ...differing,
    "ok event-send",
    "not ok grant-map grant.c:9 it is 1",
    "skip smp-up one vCPU",
  ]);
  const outcome = (name: string) => checks.find((check) => check.name === name);
  t.is(outcome("event-send")?.outcome, "passed");
  t.deepEqual(outcome("grant-map"), { name: "grant-map", outcome: "failed", detail: "grant.c:9 it is 1" });
  t.deepEqual(outcome("smp-up"), { name: "smp-up", outcome: "skipped", detail: "one vCPU" });
});

test("a listed exception passes while it differs, and fails when it holds or did not run", (t) => {
  t.deepEqual(
    judgeSelftest(differing).filter((check) => check.outcome !== "passed"),
    [],
  );
  const [first, ...others] = Object.keys(oracleExceptions);
  const held = judgeSelftest([`ok ${first}`, ...differing.slice(1)]);
  t.is(held.find((check) => check.name === first)?.outcome, "failed");
  const absent = judgeSelftest(others.map((name) => `not ok ${name} file.c:1 it is 0`));
  t.is(absent.find((check) => check.name === first)?.outcome, "failed");
});

test("figures are read from bench lines only", (t) => {
  t.deepEqual(
    parseFigures(["bench null-hypercall 502 ticks", "benchmark over", "bench bad", "bench timer-late 7 ns"]),
    [
      { name: "null-hypercall", value: 502, unit: "ticks" },
      { name: "timer-late", value: 7, unit: "ns" },
    ],
  );
});

test("runs are repeated until everything has held, and what never does has failed", async (t) => {
  const check = (name: string, outcome: OracleCheck["outcome"]): OracleCheck => ({ name, outcome, detail: "why" });
  const told: string[] = [];
  const of = (...runs: (OracleCheck[] | Error)[]) => {
    let at = 0;
    const run = () => {
      const result = runs[Math.min(at++, runs.length - 1)]!;
      return result instanceof Error ? Promise.reject(result) : Promise.resolve(result);
    };
    return repeated(run, "end", (text) => told.push(text));
  };

  t.deepEqual(await of([check("a", "passed")]), [check("a", "passed")]);
  t.deepEqual(told, []);
  // Each held once; what was not reached at first is there too.
  const late = await of([check("a", "failed"), check("b", "passed")], new Error("QEMU had ended"), [
    check("a", "passed"),
    check("b", "failed"),
    check("c", "skipped"),
    check("end", "passed"),
  ]);
  t.deepEqual(
    late.map(({ name, outcome }) => [name, outcome]),
    [
      ["a", "passed"],
      ["b", "passed"],
      ["end", "passed"],
      ["c", "skipped"],
    ],
  );
  t.deepEqual(told, ["on Xen, once more after a: why", "on Xen, once more after end: QEMU had ended"]);
  t.deepEqual(await of([check("a", "failed")]), [check("a", "failed")]);
});
