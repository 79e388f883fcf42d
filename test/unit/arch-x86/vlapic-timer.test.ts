/** The local APIC's timer: its three modes, dividers, masks. */
import test from "ava";
import {
  EOI,
  ESR,
  LVT_TIMER,
  INITIAL,
  CURRENT,
  DIVIDE,
  TSC_DEADLINE,
  EFFECT_TIMER,
  MASKED,
  PERIODIC,
  DEADLINE,
  RECEIVE_ILLEGAL,
  NEVER,
  Apic,
  machine,
} from "./apic.ts";
import { ALL_ONES } from "./arch.ts";

const DIVIDERS: [number, bigint][] = [
  [0b0000, 2n],
  [0b0001, 4n],
  [0b0010, 8n],
  [0b0011, 16n],
  [0b1000, 32n],
  [0b1001, 64n],
  [0b1010, 128n],
  [0b1011, 1n],
];

test.serial("the timer counts 10 ns times the divider", (t) => {
  for (const [code, divider] of DIVIDERS) {
    const apic = new Apic().enable();
    apic.write(LVT_TIMER, 0x40);
    apic.write(DIVIDE, code);
    apic.write(INITIAL, 1000);
    t.is(apic.effects(), EFFECT_TIMER);
    t.is(apic.next, 1_000_000n + 10_000n * divider);
    machine.now += 2500n * divider;
    t.is(apic.read(CURRENT), 750);
    t.is(apic.read(INITIAL), 1000);
  }
});

test.serial("one shot: one interrupt, and the count stays at zero", (t) => {
  const apic = new Apic().enable();
  apic.write(LVT_TIMER, 0x40);
  apic.write(DIVIDE, 0xb);
  apic.write(INITIAL, 1); // 10 ns: over before anybody looks
  machine.now += 1000n;
  t.is(apic.next, 1_000_010n);
  t.true(apic.fire());
  t.is(apic.accept(), 0x40);
  t.is(apic.next, NEVER);
  t.is(apic.read(CURRENT), 0);
  t.is(apic.read(INITIAL), 1);
  apic.write(INITIAL, 100);
  t.is(apic.next, machine.now + 1000n);
  apic.write(INITIAL, 0);
  t.is(apic.next, NEVER);
  t.is(apic.read(CURRENT), 0);
});

test.serial("periodic: again and again, in step, at least 100 us apart", (t) => {
  const apic = new Apic().enable();
  apic.write(LVT_TIMER, PERIODIC | 0x40);
  apic.write(DIVIDE, 0xb);
  apic.write(INITIAL, 30_000); // 300 us
  t.is(apic.next, 1_300_000n);
  t.true(apic.fire());
  t.is(apic.next, 1_600_000n);
  t.false(apic.fire(), "the first is not taken yet");
  t.is(apic.accept(), 0x40);
  machine.now = 2_850_000n;
  t.is(apic.next, 3_100_000n, "late, but in step");
  t.is(apic.read(CURRENT), 25_000);
  apic.write(INITIAL, 1); // 10 ns
  t.is(apic.next, machine.now + 100_000n);
  t.true(apic.read(CURRENT) <= 1);
});

test.serial("a masked timer counts and does not interrupt; what was due meanwhile is lost", (t) => {
  const apic = new Apic().enable();
  apic.write(LVT_TIMER, MASKED | 0x40);
  apic.write(DIVIDE, 0xb);
  apic.write(INITIAL, 1000);
  t.is(apic.next, NEVER);
  machine.now += 4000n;
  t.is(apic.read(CURRENT), 600);
  apic.write(LVT_TIMER, 0x40);
  t.is(apic.next, 1_010_000n, "unmasked in time");
  apic.write(LVT_TIMER, MASKED | 0x40);
  machine.now += 10_000n;
  apic.write(LVT_TIMER, 0x40);
  t.is(apic.next, NEVER);
});

test.serial("another divider under way: what is counted stays counted", (t) => {
  const apic = new Apic().enable();
  apic.write(LVT_TIMER, 0x40);
  apic.write(DIVIDE, 0xb);
  apic.write(INITIAL, 1000);
  machine.now += 4000n;
  apic.write(DIVIDE, 0);
  t.is(apic.read(CURRENT), 600);
  t.is(apic.next, 1_004_000n + 12_000n);
});

test.serial("between one shot and periodic the count goes on; into and out of TSC-deadline mode it stops", (t) => {
  const apic = new Apic().enable();
  apic.write(LVT_TIMER, 0x40);
  apic.write(DIVIDE, 0xb);
  apic.write(INITIAL, 20_000);
  machine.now += 50_000n;
  apic.write(LVT_TIMER, PERIODIC | 0x41);
  t.is(apic.next, 1_200_000n);
  t.is(apic.read(CURRENT), 15_000);
  apic.write(LVT_TIMER, DEADLINE | 0x41);
  t.is(apic.next, NEVER);
  apic.write(INITIAL, 1000);
  t.deepEqual([apic.read(INITIAL), apic.read(CURRENT)], [0, 0], "without meaning");
  apic.write(LVT_TIMER, 0x41);
  t.is(apic.next, NEVER);
  apic.write(LVT_TIMER, 0x6_0041);
  apic.write(INITIAL, 1000);
  t.is(apic.next, NEVER, "the reserved mode does nothing");
});

test.serial("TSC deadline: by the guest's TSC, once, at once when it is over", (t) => {
  const apic = new Apic().enable();
  t.is(apic.setMsr(TSC_DEADLINE, 5_000_000n), "ok");
  t.is(apic.msr(TSC_DEADLINE), 0n, "without effect in other modes");
  apic.write(LVT_TIMER, DEADLINE | 0x42);
  t.is(apic.setMsr(TSC_DEADLINE, 5_000_000n), "ok");
  t.is(apic.msr(TSC_DEADLINE), 5_000_000n);
  t.is(apic.next, 5_000_000n);
  t.true(apic.fire());
  t.is(apic.msr(TSC_DEADLINE), 0n);
  t.is(apic.next, NEVER);
  t.is(apic.accept(), 0x42);
  apic.write(EOI, 0);
  t.is(apic.setMsr(TSC_DEADLINE, 1n), "ok");
  t.is(apic.next, machine.now, "over");
  t.true(apic.fire());
  t.is(apic.accept(), 0x42);
  apic.write(EOI, 0);
  apic.setMsr(TSC_DEADLINE, 9_000_000n);
  apic.setMsr(TSC_DEADLINE, 0n);
  t.is(apic.next, NEVER);
  apic.setMsr(TSC_DEADLINE, 9_000_000n);
  apic.effects();
  t.is(apic.setMsr(0x10, 6_000_000n), "ok"); // the guest sets its TSC on by one million
  t.is(apic.effects(), EFFECT_TIMER);
  t.is(apic.next, 8_000_000n);
  apic.setMsr(TSC_DEADLINE, ALL_ONES);
  t.true(apic.next > machine.now && apic.next < 1n << 60n, "months ahead, and no overflow");
  t.true(apic.fire());
  t.is(apic.vector, 0, "not yet");
  t.is(apic.msr(TSC_DEADLINE), ALL_ONES);
});

test.serial("a timer with an illegal vector is an error", (t) => {
  const apic = new Apic().enable();
  apic.write(LVT_TIMER, 0x05);
  apic.write(INITIAL, 1);
  apic.fire();
  t.is(apic.vector, 0);
  apic.write(ESR, 0);
  t.is(apic.read(ESR), RECEIVE_ILLEGAL);
});
