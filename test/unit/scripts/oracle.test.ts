/** How the oracle judges what a guest printed on real Xen. */
import test from "ava";
import { oracleExceptions } from "../../../guests/oracle-exceptions.ts";
import { judgeSelftest, parseFigures } from "../../../scripts/oracle/checks.ts";
import { despiteEmulator, EmulatorFailure } from "../../../scripts/oracle/xen.ts";

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

test("a run that QEMU's own failure ends is made again, a few times; other failures count", async (t) => {
  const run = (...errors: Error[]) => {
    const left = [...errors];
    return () => (left.length > 0 ? Promise.reject(left.shift()!) : Promise.resolve("done"));
  };
  const failure = new EmulatorFailure("QEMU failed: assertion failed");
  const told: string[] = [];
  const tell = (text: string) => void told.push(text);
  t.is(await despiteEmulator(run(failure, failure), 3, tell), "done");
  t.deepEqual(told, Array(2).fill("QEMU failed: assertion failed; once more"));
  t.is(await t.throwsAsync(despiteEmulator(run(failure, failure, failure), 3, tell)), failure);
  const other = new Error("Xen's domain 0 did not end");
  t.is(await t.throwsAsync(despiteEmulator(run(failure, other), 3, tell)), other);
});
