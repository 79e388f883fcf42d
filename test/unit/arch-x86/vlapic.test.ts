/** A guest's local APIC: writable register bits, priorities, errors, INIT, and destinations of interprocessor interrupts. */
import test from "ava";
import {
  ID,
  VERSION,
  TPR,
  PPR,
  EOI,
  LDR,
  DFR,
  SVR,
  ISR,
  TMR,
  IRR,
  ESR,
  CMCI,
  ICR,
  ICR_HIGH,
  LVT_TIMER,
  LVT_THERMAL,
  LVT_PERF,
  LVT_LINT0,
  LVT_LINT1,
  LVT_ERROR,
  INITIAL,
  CURRENT,
  DIVIDE,
  SELF_IPI,
  APIC_BASE,
  DEFAULT_BASE,
  BOOT_CPU,
  ENABLE,
  EFFECT_IPI,
  EFFECT_ENABLED,
  MASKED,
  RECEIVE_ILLEGAL,
  NEVER,
  Apic,
  machine,
} from "./apic.ts";
import { VENDOR_SVM } from "./arch.ts";

test.serial("power-on: enabled by its base, disabled by software, everything masked", (t) => {
  const apic = new Apic(VENDOR_SVM, 3);
  t.is(apic.msr(APIC_BASE), DEFAULT_BASE | ENABLE);
  t.is(new Apic().msr(APIC_BASE), DEFAULT_BASE | ENABLE | BOOT_CPU, "the first vCPU");
  const after = new Apic(VENDOR_SVM, 3);
  t.is(after.read(ID), 6 << 24, "every other id");
  t.is(after.read(VERSION), 0x50014);
  for (const register of [TPR, PPR, EOI, LDR, ESR, ICR, ICR_HIGH, INITIAL, CURRENT, DIVIDE]) {
    t.is(after.read(register), 0, register.toString(16));
  }
  t.is(after.read(DFR), 0xffff_ffff);
  t.is(after.read(SVR), 0xff);
  for (let lvt = LVT_TIMER; lvt <= LVT_ERROR; lvt += 16) t.is(after.read(lvt), MASKED, lvt.toString(16));
  for (const first of [ISR, TMR, IRR]) t.deepEqual(after.bits(first), []);
});

test.serial("only what software may write sticks", (t) => {
  const apic = new Apic().enable();
  const cases: [number, number, number][] = [
    [ID, 0x1234_5678, 0x1200_0000],
    [VERSION, 0, 0x50014],
    [TPR, 0xffff_ff25, 0x25],
    [PPR, 0x99, 0x25], // read only: it is the task's now
    [LDR, 0x1234_5678, 0x1200_0000],
    [DFR, 0, 0x0fff_ffff],
    [SVR, 0xffff_ffff, 0x3ff],
    [ICR_HIGH, 0x1234_5678, 0x1200_0000],
    [LVT_TIMER, 0xffff_ffff, 0x7_00ff],
    [LVT_THERMAL, 0xffff_ffff, 0x1_07ff],
    [LVT_PERF, 0xffff_ffff, 0x1_07ff],
    [LVT_LINT0, 0xffff_ffff, 0x1_a7ff],
    [LVT_LINT1, 0xffff_ffff, 0x1_a7ff],
    [LVT_ERROR, 0xffff_ffff, 0x1_00ff],
    [CURRENT, 5, 0],
    [DIVIDE, 0xffff_ffff, 0xb],
    [CMCI, 0xffff_ffff, 0], // no such register
    [0x3f0, 0xffff_ffff, 0],
    [0x10, 0xffff_ffff, 0],
  ];
  for (const [register, value, kept] of cases) {
    apic.write(register, value);
    t.is(apic.read(register), kept, register.toString(16));
  }
  apic.write(ICR, 0xffff_ffff);
  t.is(apic.read(ICR), 0xc_cfff, "the delivery status is idle");
});

test.serial("software disables: LVT entries are masked, and stay so, and no interrupt is taken", (t) => {
  const apic = new Apic();
  t.true(apic.post(0x40));
  t.deepEqual(apic.bits(IRR), [], "off after power-on");
  apic.write(LVT_LINT0, 0x700);
  t.is(apic.read(LVT_LINT0), MASKED | 0x700);
  apic.write(SVR, 0x1ff);
  t.is(apic.effects() & EFFECT_ENABLED, EFFECT_ENABLED);
  apic.write(SVR, 0x1fe);
  t.is(apic.effects() & EFFECT_ENABLED, 0, "it was on before");
  apic.write(LVT_LINT0, 0x700);
  apic.write(LVT_TIMER, 0x40);
  t.is(apic.read(LVT_LINT0), 0x700);
  apic.post(0x40);
  t.is(apic.vector, 0x40);
  apic.write(SVR, 0xff);
  t.is(apic.vector, 0, "what waits, waits on");
  t.deepEqual(apic.bits(IRR), [0x40]);
  t.is(apic.read(LVT_LINT0), MASKED | 0x700);
  t.is(apic.read(LVT_TIMER), MASKED | 0x40);
  apic.write(SVR, 0x1ff);
  t.is(apic.vector, 0x40);
  t.is(apic.read(LVT_LINT0), MASKED | 0x700, "enabling unmasks nothing");
});

test.serial(
  "the highest vector first; in service it holds back its class and those below; EOI ends the highest",
  (t) => {
    const apic = new Apic().enable();
    for (const vector of [0x31, 0x52, 0x55, 0xff, 0x10]) t.true(apic.post(vector));
    t.false(apic.post(0x52), "one that waits is not news");
    t.deepEqual(apic.bits(IRR), [0x10, 0x31, 0x52, 0x55, 0xff]);
    t.is(apic.accept(), 0xff);
    t.deepEqual(apic.bits(ISR), [0xff]);
    t.is(apic.read(PPR), 0xf0);
    t.is(apic.vector, 0);
    apic.write(EOI, 0);
    t.is(apic.accept(), 0x55);
    t.is(apic.vector, 0, "0x52 is of the same class");
    apic.post(0x60);
    t.is(apic.accept(), 0x60, "a higher class interrupts");
    t.deepEqual(apic.bits(ISR), [0x55, 0x60]);
    apic.post(0x60);
    t.deepEqual(apic.bits(IRR), [0x10, 0x31, 0x52, 0x60], "one may wait while one is in service");
    apic.write(EOI, 0);
    t.deepEqual(apic.bits(ISR), [0x55]);
    t.is(apic.accept(), 0x60);
    apic.write(EOI, 0);
    apic.write(EOI, 0);
    t.is(apic.accept(), 0x52);
    apic.write(EOI, 0);
    t.is(apic.accept(), 0x31);
    apic.write(EOI, 0);
    t.is(apic.accept(), 0x10);
    apic.write(EOI, 0);
    t.deepEqual(apic.bits(ISR), []);
    apic.write(EOI, 0);
    t.is(apic.vector, 0, "an EOI too many does nothing");
  },
);

test.serial("every vector finds its bit", (t) => {
  const apic = new Apic().enable();
  for (let vector = 16; vector < 256; vector++) {
    apic.post(vector);
    t.deepEqual(apic.bits(IRR), [vector]);
    t.is(apic.vector, vector);
    apic.accept();
    t.deepEqual(apic.bits(ISR), [vector]);
    apic.write(EOI, 0);
  }
  t.deepEqual(apic.bits(IRR), []);
});

test.serial("task priority holds back its class and those below", (t) => {
  const apic = new Apic().enable();
  apic.write(TPR, 0x5f);
  apic.post(0x5f);
  t.is(apic.vector, 0);
  t.is(apic.read(PPR), 0x5f);
  apic.post(0x60);
  t.is(apic.accept(), 0x60);
  t.is(apic.read(PPR), 0x60);
  apic.write(EOI, 0);
  apic.write(TPR, 0x4f);
  t.is(apic.vector, 0x5f);
});

test.serial("errors show in ESR once it is written, and raise their interrupt once", (t) => {
  const apic = new Apic().enable();
  apic.write(LVT_ERROR, 0xe1);
  apic.post(15);
  t.is(apic.read(ESR), 0, "not before it is written");
  t.is(apic.accept(), 0xe1);
  apic.write(EOI, 0);
  apic.post(3);
  t.is(apic.vector, 0, "the same error again, before software has looked, is no news");
  apic.write(ESR, 0);
  t.is(apic.read(ESR), RECEIVE_ILLEGAL);
  apic.post(3);
  t.is(apic.accept(), 0xe1);
  t.is(apic.read(ESR), RECEIVE_ILLEGAL);
  apic.write(ESR, 0);
  apic.write(ESR, 0);
  t.is(apic.read(ESR), 0);
  // The error interrupt's own vector is illegal: an error of an error, not without end.
  apic.write(LVT_ERROR, 0x05);
  apic.post(3);
  apic.write(ESR, 0);
  t.is(apic.read(ESR), RECEIVE_ILLEGAL);
  t.is(apic.vector, 0);
});

test.serial("INIT resets all but id and mode", (t) => {
  const apic = new Apic(VENDOR_SVM, 5).enable();
  for (const [register, value] of [
    [TPR, 0x20],
    [LDR, 0x0400_0000],
    [DFR, 0],
    [LVT_TIMER, 0x40],
    [INITIAL, 1000],
    [DIVIDE, 3],
    [ICR_HIGH, 0x100_0000],
  ] as const) {
    apic.write(register, value);
  }
  apic.post(0x40);
  apic.accept();
  apic.post(0x50);
  machine.call("apicInit", 0);
  t.is(apic.vector, 0);
  t.is(apic.next, NEVER);
  t.is(apic.read(ID), 10 << 24);
  for (const register of [TPR, LDR, ICR_HIGH, INITIAL, DIVIDE]) t.is(apic.read(register), 0, register.toString(16));
  t.is(apic.read(DFR), 0xffff_ffff);
  t.is(apic.read(SVR), 0xff);
  t.is(apic.read(LVT_TIMER), MASKED);
  t.deepEqual([...apic.bits(IRR), ...apic.bits(ISR)], []);
  const x2 = new Apic(VENDOR_SVM, 5).x2();
  machine.call("apicInit", 0);
  t.is(x2.get(LDR), 1n << 10n, "follows from the id");
  t.is(x2.get(ID), 10n);
});

const LOGICAL = 0x800;
const SHORTHAND_SELF = 0x4_0000;
const SHORTHAND_ALL = 0x8_0000;
const SHORTHAND_OTHERS = 0xc_0000;

/** Which of the two vCPUs an ICR means. */
function meant(apic: Apic, icr: number, destination: number): number[] {
  apic.write(ICR_HIGH, destination << 24);
  apic.write(ICR, icr);
  return [0, 1].filter((n) => apic.means(n));
}

test.serial("physical destinations and shorthands", (t) => {
  const apic = new Apic(VENDOR_SVM, 2).enable();
  t.deepEqual(meant(apic, 0x40, 4), [0]);
  t.is(apic.effects(), EFFECT_IPI);
  t.deepEqual(meant(apic, 0x40, 6), [1]);
  t.deepEqual(meant(apic, 0x40, 5), []);
  t.deepEqual(meant(apic, 0x40, 0xff), [0, 1]);
  t.deepEqual(meant(apic, SHORTHAND_SELF | 0x40, 6), [0]);
  t.deepEqual(meant(apic, SHORTHAND_ALL | 0x40, 6), [0, 1]);
  t.deepEqual(meant(apic, SHORTHAND_OTHERS | 0x40, 4), [1]);
  apic.write(ID, 0x2000_0000, 1);
  t.deepEqual(meant(apic, 0x40, 0x20), [1], "an id that the guest has changed");
});

test.serial("logical destinations, flat and by clusters", (t) => {
  const apic = new Apic().enable();
  apic.write(LDR, 0x0100_0000);
  apic.write(LDR, 0x0200_0000, 1);
  t.deepEqual(meant(apic, LOGICAL | 0x40, 1), [0]);
  t.deepEqual(meant(apic, LOGICAL | 0x40, 2), [1]);
  t.deepEqual(meant(apic, LOGICAL | 0x40, 3), [0, 1]);
  t.deepEqual(meant(apic, LOGICAL | 0x40, 4), []);
  t.deepEqual(meant(apic, LOGICAL | 0x40, 0xff), [0, 1]);
  for (const n of [0, 1]) apic.write(DFR, 0, n);
  apic.write(LDR, 0x1200_0000);
  apic.write(LDR, 0x2200_0000, 1);
  t.deepEqual(meant(apic, LOGICAL | 0x40, 0x12), [0]);
  t.deepEqual(meant(apic, LOGICAL | 0x40, 0x2f), [1]);
  t.deepEqual(meant(apic, LOGICAL | 0x40, 0x11), []);
  t.deepEqual(meant(apic, LOGICAL | 0x40, 0xf2), [0, 1], "every cluster");
  apic.write(DFR, 0x5000_0000, 1);
  t.deepEqual(meant(apic, LOGICAL | 0x40, 0xff), [0], "a model that does not exist matches nothing");
});

test.serial("x2APIC destinations", (t) => {
  const apic = new Apic(VENDOR_SVM, 8).x2(); // ids 16 and 18: cluster 1, places 0 and 2
  const meantX2 = (icr: bigint, destination: bigint) => {
    t.is(apic.set(ICR, (destination << 32n) | icr), "ok");
    return [0, 1].filter((n) => apic.means(n));
  };
  t.is(apic.get(LDR), 0x1_0001n);
  t.deepEqual(meantX2(0x40n, 16n), [0]);
  t.deepEqual(meantX2(0x40n, 18n), [1]);
  t.deepEqual(meantX2(0x40n, 0xffn), [], "as wide as it is");
  t.deepEqual(meantX2(0x40n, 0xffff_ffffn), [0, 1]);
  t.deepEqual(meantX2(0x840n, 0x1_0001n), [0]);
  t.deepEqual(meantX2(0x840n, 0x1_0005n), [0, 1]);
  t.deepEqual(meantX2(0x840n, 0x2_0005n), []);
  t.deepEqual(meantX2(0x840n, 0xffff_ffffn), [0, 1]);
  t.is(apic.set(SELF_IPI, 0x55n), "ok");
  t.deepEqual([apic.means(0), apic.means(1)], [true, false]);
});
