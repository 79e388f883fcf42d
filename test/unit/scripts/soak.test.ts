/** The soak's evaluation: each kind of problem is detected, without false alarms. */
import test from "ava";
import { complaints, stressFigures, stressTrouble, timerFigures } from "../../../scripts/soak/verdict.ts";

const GOOD = `stress-ng: info:  [106] setting to a 15 second run per stressor
stress-ng: info:  [106] dispatching hogs: 2 cpu, 1 vm
stress-ng: metrc: [106] stressor       bogo ops real time  usr time  sys time   bogo ops/s     bogo ops/s
stress-ng: metrc: [106]                           (secs)    (secs)    (secs)   (real time) (usr+sys time)
stress-ng: metrc: [106] cpu                 427     15.02      9.24      1.49        28.44          39.80
stress-ng: metrc: [106] vm                 9990     15.03      2.12      2.99       664.55        1953.41
stress-ng: info:  [106] successful run completed in 15.13s
status 0
`;

test("a good run of stress-ng has its figures and no trouble", (t) => {
  t.deepEqual(stressFigures(GOOD), [
    { name: "cpu", bogoOps: 427, seconds: 15.02 },
    { name: "vm", bogoOps: 9990, seconds: 15.03 },
  ]);
  t.deepEqual(stressTrouble(GOOD, ["cpu", "vm"], 15), []);
  t.deepEqual(stressTrouble(GOOD.replace("15.03", "10.97"), ["cpu", "vm"], 15), []);
});

for (const [what, from, to] of [
  ["a failed check", /^status/m, "stress-ng: fail:  [107] cpu: wrong sum\nstatus"],
  ["an error", /^status/m, "stress-ng: error: [106] vm: aborted\nstatus"],
  ["a status", "status 0", "status 2"],
  ["no end", "status 0\n", ""],
  ["no success", "successful run", "unsuccessful run"],
  ["a stressor without figures", " cpu  ", " gpu  "],
  ["a stressor that did nothing", " 427 ", "   0 "],
  ["a stressor that ended early", "15.03", "9.03"],
] as const) {
  test(`trouble with stress-ng: ${what}`, (t) => {
    const output = GOOD.replace(from, to);
    t.not(output, GOOD);
    t.true(stressTrouble(output, ["cpu", "vm"], 15).length > 0);
  });
}

test("a kernel's complaints are seen, its other words are not", (t) => {
  const bad = [
    "[   12.1] BUG: kernel NULL pointer dereference, address: 0000000000000010",
    "[   12.1] Oops: 0002 [#1] PREEMPT SMP NOPTI",
    "[   12.1] WARNING: CPU: 1 PID: 9 at kernel/time/timer.c:1",
    "[   12.1]  Call Trace:",
    "[   12.1] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [stress-ng:9]",
    "[   12.1] clocksource: timekeeping watchdog: Marking clocksource 'xen' as unstable because the skew is too large",
    "[   12.1] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    "[   12.1] INFO: task kworker/0:1 blocked for more than 120 seconds.",
    "[   12.1] stress-ng[9]: segfault at 0 ip 0",
  ];
  t.deepEqual(complaints(bad.join("\n")), bad);
  const good = [
    "[    0.0] clocksource: xen: mask: 0xffffffffffffffff max_cycles: 0x1cd42e4dffb",
    "[    0.1] rcu: Hierarchical SRCU implementation.",
    "[    0.1] printk: bootconsole disabled",
    "[    0.2] alg: self-tests for CTR-KDF (hmac(sha256)) passed",
  ];
  t.deepEqual(complaints(good.join("\n")), []);
});

test("the timers' figures are there only with their guest's verdict", (t) => {
  const output =
    "worst: 4838 us late\nusual: 1000 timers, 99 in 100 less than 2048 us late\nTYPEVISOR-GUEST: PASS timer\n";
  t.deepEqual(timerFigures(output), { count: 1000, worstUs: 4838, usualUs: 2048 });
  t.is(timerFigures(output.replace("PASS", "FAIL")), undefined);
  t.is(timerFigures(""), undefined);
});
