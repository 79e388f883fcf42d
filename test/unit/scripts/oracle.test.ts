/** How the oracle judges what a guest printed on real Xen. */
import test from "ava";
import { oracleExceptions } from "../../../guests/oracle-exceptions.ts";
import { judgeSelftest, parseFigures } from "../../../scripts/oracle/checks.ts";

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
