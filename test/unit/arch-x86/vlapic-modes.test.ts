/** The ways to a local APIC: IA32_APIC_BASE's modes, x2APIC MSRs, CPUID, and the page of registers. */
import test, { type ExecutionContext } from "ava";
import {
  ID,
  VERSION,
  TPR,
  PPR,
  EOI,
  LDR,
  SVR,
  ISR,
  TMR,
  IRR,
  ESR,
  CMCI,
  ICR,
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
  TSC_DEADLINE,
  DEFAULT_BASE,
  BOOT_CPU,
  X2,
  ENABLE,
  EFFECT_TIMER,
  EFFECT_IPI,
  Apic,
  machine,
} from "./apic.ts";
import { VENDOR_SVM } from "./arch.ts";

test.serial("IA32_APIC_BASE: the ways that exist between the modes, and #GP for the others", (t) => {
  const off = DEFAULT_BASE;
  const xapic = DEFAULT_BASE | ENABLE;
  const x2apic = xapic | X2;
  const invalid = DEFAULT_BASE | X2;
  const ways: Record<string, [bigint, bigint[], bigint[]]> = {
    off: [off, [off, xapic], [x2apic, invalid]],
    xapic: [xapic, [off, xapic, x2apic], [invalid]],
    x2apic: [x2apic, [off, x2apic], [xapic, invalid]],
  };
  for (const [name, [from, open, closed]] of Object.entries(ways)) {
    for (const to of [...open, ...closed]) {
      const apic = new Apic();
      if (from !== xapic) t.is(apic.setMsr(APIC_BASE, from), "ok");
      const allowed = open.includes(to);
      t.is(apic.setMsr(APIC_BASE, to), allowed ? "ok" : "#GP", `${name} to ${to.toString(16)}`);
      t.is(apic.msr(APIC_BASE), allowed ? to : from === xapic ? xapic | BOOT_CPU : from);
    }
  }
  const apic = new Apic();
  t.is(apic.setMsr(APIC_BASE, 0xfed0_0000n | ENABLE), "#GP", "the page does not move");
  t.is(apic.setMsr(APIC_BASE, xapic | 1n), "#GP");
  t.is(apic.setMsr(APIC_BASE, xapic | (1n << 52n)), "#GP");
});

test.serial("enabled again it is as after power-on; in x2APIC mode id and LDR are fixed", (t) => {
  const apic = new Apic(VENDOR_SVM, 9).enable();
  apic.write(ID, 0x7700_0000);
  apic.write(TPR, 0x40);
  t.is(apic.setMsr(APIC_BASE, DEFAULT_BASE), "ok");
  t.is(apic.effects() & EFFECT_TIMER, EFFECT_TIMER);
  t.true(apic.post(0x90));
  t.is(apic.vector, 0, "off");
  t.is(apic.setMsr(APIC_BASE, DEFAULT_BASE | ENABLE), "ok");
  t.is(apic.read(ID), 18 << 24);
  t.is(apic.read(TPR), 0);
  t.is(apic.read(SVR), 0xff);
  apic.write(SVR, 0x1ff);
  apic.post(0x90);
  t.is(apic.setMsr(APIC_BASE, DEFAULT_BASE | ENABLE | X2), "ok");
  t.is(apic.get(ID), 18n);
  t.is(apic.get(LDR), 0x1_0004n);
  t.is(apic.vector, 0x90, "interrupts outlive the change to x2APIC mode");
});

test.serial("x2APIC MSRs exist in x2APIC mode only", (t) => {
  const apic = new Apic();
  t.is(apic.get(ID), "#GP");
  t.is(apic.set(TPR, 0n), "#GP");
  t.is(apic.setMsr(APIC_BASE, DEFAULT_BASE), "ok");
  t.is(apic.get(ID), "#GP");
});

test.serial("x2APIC MSRs: which are read, which are written, with which bits", (t) => {
  const apic = new Apic().x2();
  const readable = [ID, VERSION, TPR, PPR, LDR, SVR, ESR, CMCI, ICR, INITIAL, CURRENT, DIVIDE];
  for (let lvt = LVT_TIMER; lvt <= LVT_ERROR; lvt += 16) readable.push(lvt);
  for (const first of [ISR, TMR, IRR]) for (let i = 0; i < 8; i++) readable.push(first + 16 * i);
  for (let register = 0; register < 0x1000; register += 16) {
    t.is(apic.get(register) !== "#GP", readable.includes(register), `read ${register.toString(16)}`);
  }
  const writable: Record<number, bigint> = {
    [TPR]: 0xffn,
    [EOI]: 0n,
    [SVR]: 0x3ffn,
    [ESR]: 0n,
    [CMCI]: 0x1_17ffn,
    [ICR]: 0xffff_ffff_000c_cfffn,
    [LVT_TIMER]: 0x7_10ffn,
    [LVT_THERMAL]: 0x1_17ffn,
    [LVT_PERF]: 0x1_17ffn,
    [LVT_LINT0]: 0x1_b7ffn,
    [LVT_LINT1]: 0x1_b7ffn,
    [LVT_ERROR]: 0x1_10ffn,
    [INITIAL]: 0xffff_ffffn,
    [DIVIDE]: 0xbn,
    [SELF_IPI]: 0xffn,
  };
  for (let register = 0; register < 0x1000; register += 16) {
    const bits = writable[register];
    t.is(apic.set(register, bits ?? 0n), bits === undefined ? "#GP" : "ok", `write ${register.toString(16)}`);
    if (bits === undefined) continue;
    for (let bit = 0n; bit < 64n; bit++) {
      if ((bits >> bit) & 1n) continue;
      t.is(apic.set(register, 1n << bit), "#GP", `bit ${bit} of ${register.toString(16)}`);
    }
  }
});

test.serial("x2APIC's ICR is one register", (t) => {
  const apic = new Apic().x2();
  t.is(apic.set(ICR, 0x1234_5678_0000_4099n), "ok");
  t.is(apic.effects(), EFFECT_IPI);
  t.is(apic.get(ICR), 0x1234_5678_0000_4099n);
});

test.serial("without a local APIC there are no registers, and the base says it is off", (t) => {
  const apic = new Apic();
  machine.call("vcpuInit");
  t.is(apic.msr(APIC_BASE), DEFAULT_BASE | BOOT_CPU);
  t.is(apic.setMsr(APIC_BASE, DEFAULT_BASE | ENABLE), "#GP");
  t.is(apic.msr(TSC_DEADLINE), "#GP");
  t.is(apic.setMsr(TSC_DEADLINE, 0n), "#GP");
  t.is(apic.get(ID), "#GP");
  t.is(apic.set(EOI, 0n), "#GP");
});

test.serial("CPUID shows the APIC that there is", (t) => {
  const leaf = (number: bigint, sub = 0n) => {
    const code = machine.newFrame();
    machine.call("map", 0x100n, BigInt(code), 1, 0);
    new Uint8Array(machine.frames.get(code)!.buffer).set([0x0f, 0xa2]);
    machine.call("code", 32, 0x10_0000n);
    machine.setRegister(1, sub);
    machine.svmExits.length = 0;
    machine.svmExits.push(
      (vmcb) => {
        vmcb.setBigUint64(0x70, 0x72n, true);
        vmcb.setBigUint64(0x5f8, number, true);
      },
      (vmcb) => vmcb.setBigUint64(0x70, 0x60n, true),
    );
    machine.call("enter", 10_000_000n);
    // RAX is the VMCB's once the vCPU has been entered again.
    return [3, 1, 2].map((n) => Number(machine.register(n)));
  };
  const apic = new Apic(VENDOR_SVM, 7);
  const [ebx, ecx, edx] = leaf(1n);
  t.is(ebx >>> 24, 14);
  t.deepEqual([(edx >>> 9) & 1, (ecx >>> 21) & 1, (ecx >>> 24) & 1], [1, 1, 1]);
  t.is((leaf(0x8000_0001n)[2]! >>> 9) & 1, 1, "AMD says it twice");
  t.deepEqual(leaf(0xbn, 1n), [0, 1, 14]);
  apic.setMsr(APIC_BASE, DEFAULT_BASE);
  t.is((leaf(1n)[2]! >>> 9) & 1, 0, "switched off");
});

/** Executes one instruction of 64-bit code whose memory operand is in the page: RBX points to `offset`. */
function access(t: ExecutionContext, code: number[], offset: number, write: boolean): void {
  const frame = machine.newFrame();
  machine.call("unmap", 0x100n);
  machine.call("map", 0x100n, BigInt(frame), 1, 0);
  new Uint8Array(machine.frames.get(frame)!.buffer).set(code);
  machine.call("code", 32, 0x10_0000n);
  machine.setRegister(3, DEFAULT_BASE + BigInt(offset));
  t.is(machine.call("emulate", write ? 2 : 1), 1);
  t.is(machine.big("rip"), 0x10_0000n + BigInt(code.length));
}

test.serial("the page: moves, arithmetic and exchanges reach the registers", (t) => {
  const apic = new Apic(VENDOR_SVM, 4).enable();
  machine.setRegister(0, 0x1111_1111_1111_1111n);
  access(t, [0x8b, 0x03], ID, false); // mov (%ebx), %eax
  t.is(machine.register(0), 0x0800_0000n);
  machine.setRegister(0, 0x45n);
  access(t, [0x89, 0x03], TPR, true);
  t.is(apic.read(TPR), 0x45);
  access(t, [0xc7, 0x03, 0x21, 0, 0, 0], TPR, true);
  t.is(apic.read(TPR), 0x21);
  access(t, [0x83, 0x0b, 0x0e], TPR, true); // or $14
  t.is(apic.read(TPR), 0x2f);
  access(t, [0x29, 0x03], TPR, true); // sub %eax: 0x2f - 0x45
  t.is(apic.read(TPR), 0xea);
  machine.setRegister(0, 0x33n);
  access(t, [0x87, 0x03], TPR, true); // xchg
  t.is(machine.register(0), 0xean);
  t.is(apic.read(TPR), 0x33);
  access(t, [0x88, 0x63, 0x03], LDR, true); // mov %ah, 3(%ebx): AH is 0
  t.is(apic.read(LDR), 0);
  machine.setRegister(0, 0x5500n);
  access(t, [0x88, 0x63, 0x03], LDR, true);
  t.is(apic.read(LDR), 0x5500_0000, "a byte within the register");
  access(t, [0xf7, 0x13], TPR, true); // not
  t.is(apic.read(TPR), 0xcc);
  access(t, [0x81, 0x3b, 0xcc, 0, 0, 0], TPR, false); // cmp writes nothing
  t.is(Number(machine.big("flags")) & 0x40, 0x40);
  // Two registers have nothing between them, and the page ends behind the divider.
  access(t, [0x8b, 0x03], ID + 4, false);
  t.is(machine.register(0), 0n);
  access(t, [0x8b, 0x03], ID + 1, false);
  t.is(machine.register(0), 0n, "across its end");
  access(t, [0x8b, 0x03], 0xff0, false);
  t.is(machine.register(0), 0n);
});

test.serial("the page: string moves; and it is absent in other modes or where the guest has memory", (t) => {
  const apic = new Apic(VENDOR_SVM, 4).enable();
  const ram = machine.newFrame();
  machine.call("map", 0x200n, BigInt(ram), 1, 0);
  const view = machine.frames.get(ram)!;
  view.setUint32(0, 0x77, true);
  machine.setRegister(6, 0x20_0000n);
  machine.setRegister(7, DEFAULT_BASE + BigInt(TPR));
  access(t, [0xa5], 0, true); // movsd from memory to TPR
  t.is(apic.read(TPR), 0x77);
  t.deepEqual([machine.register(6), machine.register(7)], [0x20_0004n, DEFAULT_BASE + BigInt(TPR) + 4n]);
  machine.setRegister(6, DEFAULT_BASE + BigInt(VERSION));
  machine.setRegister(7, 0x20_0008n);
  access(t, [0xa5], 0, false); // and from a register to memory
  t.is(view.getUint32(8, true), 0x50014);
  machine.setRegister(0, 0x12n);
  machine.setRegister(7, DEFAULT_BASE + BigInt(TPR));
  access(t, [0xab], 0, true); // stosd
  t.is(apic.read(TPR), 0x12);
  machine.setRegister(6, DEFAULT_BASE + BigInt(TPR));
  access(t, [0xad], 0, false); // lodsd
  t.is(machine.register(0), 0x12n);
  apic.x2();
  access(t, [0x8b, 0x03], TPR, false);
  t.is(machine.register(0), 0xffff_ffffn, "in x2APIC mode nothing is there");
  const again = new Apic();
  again.write(TPR, 0x22);
  const covering = machine.newFrame();
  machine.call("map", DEFAULT_BASE >> 12n, BigInt(covering), 2, 0); // read-only memory
  machine.setRegister(0, 0x99n);
  access(t, [0x89, 0x03], TPR, true);
  t.is(again.read(TPR), 0x22, "what the guest has put there comes first");
});
