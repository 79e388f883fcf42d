/** AMD-V without NRIPS: how exits are answered, what is delivered at entries, what CPUID and MSRs show, ASIDs. */
import test from "ava";
import { Arch, VENDOR_SVM } from "./arch.ts";

// VMCB (APM 2, appendix B).
const INTERCEPT_MISC1 = 0x0c;
const ASID = 0x58;
const TLB_CONTROL = 0x5c;
const INTERRUPT_CONTROL = 0x60;
const SHADOW = 0x68;
const EXIT_CODE = 0x70;
const EXIT_INFO1 = 0x78;
const EXIT_INFO2 = 0x80;
const EXIT_INT_INFO = 0x88;
const EVENT = 0xa8;
const EFER = 0x4d0;
const CR4 = 0x548;
const CR0 = 0x558;
const RFLAGS = 0x570;
const RIP = 0x578;
const RAX = 0x5f8;

// HvmExit.
const INTERRUPT = 1;
const DEADLINE = 2;
const HYPERCALL = 3;
const HALT = 4;
const IO = 5;
const NESTED_FAULT = 6;
const WINDOW = 7;
const TRIPLE_FAULT = 8;
const UNKNOWN = 11;
const HYPERCALL_PAGE = 12;

const VALID = 1n << 31n;
const EXCEPTION = VALID | 0x300n;
const HAS_ERROR = 0x800n;
const GP = EXCEPTION | HAS_ERROR | 13n;
const UD = EXCEPTION | 6n;
const V_IRQ = 1n << 8n;
const VINTR = 1 << 4;
const IRET = 1 << 20;
const FAR_AWAY = 1_000_000n;
const START = 0x10_0000n;
const RAM = 1;

const WRMSR = [0x0f, 0x30];
const RDMSR = [0x0f, 0x32];
const CPUID = [0x0f, 0xa2];

const machine = await Arch.open();

/** A vCPU at START in flat 32-bit code, interrupts off, with one frame of RAM for the code. */
function fresh(code: number[] = []): Arch {
  machine.svmExits.length = 0;
  machine.call("begin", VENDOR_SVM, 1n << 20n);
  if (machine.call("cpuInit") !== 0) throw new Error("AMD-V was refused");
  if (machine.call("vcpuInit") !== 0) throw new Error("no memory");
  const codeFrame = machine.newFrame();
  machine.call("map", START >> 12n, BigInt(codeFrame), RAM, 0);
  new Uint8Array(machine.frames.get(codeFrame)!.buffer).set(code);
  machine.call("code", 32, START);
  return machine;
}

type Fields = Record<number, bigint>;

/** An exit as the processor makes it: the injected event is gone, `fields` are stored. */
function exit(fields: Fields): (vmcb: DataView) => void {
  return (vmcb) => {
    vmcb.setBigUint64(EVENT, vmcb.getBigUint64(EVENT, true) & ~VALID, true);
    vmcb.setBigUint64(EXIT_INT_INFO, 0n, true);
    for (const [offset, value] of Object.entries(fields)) vmcb.setBigUint64(Number(offset), value, true);
  };
}

/** Enters; `exits` are what happens, one after the other. */
function enterFor(arch: Arch, ...exits: Fields[]): number {
  for (const fields of exits) arch.svmExits.push(exit(fields));
  return arch.call("enter", FAR_AWAY);
}

function vmcb(arch: Arch): DataView {
  return arch.frames.get(Number(arch.vmcbPa >> 12n))!;
}
const field = (arch: Arch, offset: number) => vmcb(arch).getBigUint64(offset, true);

/** Lets one exit be settled and returns the VMCB's field as the entry after it finds it. */
function atNextEntry(arch: Arch, fields: Fields, offset: number): bigint {
  let seen = 0n;
  arch.svmExits.push(exit(fields), (block) => {
    seen = block.getBigUint64(offset, true);
    exit({ [EXIT_CODE]: 0x60n })(block);
  });
  arch.call("enter", FAR_AWAY);
  return seen;
}

test.serial("exits for the kernel", (t) => {
  const arch = fresh();
  t.is(enterFor(arch, { [EXIT_CODE]: 0x81n, [RAX]: 29n, [SHADOW]: 1n }), HYPERCALL);
  t.is(arch.big("rip"), START + 3n);
  t.is(arch.register(0), 29n);
  t.is(field(arch, SHADOW), 0n, "the shadow of STI ends with the instruction");
  t.is(enterFor(arch, { [EXIT_CODE]: 0x78n }), HALT);
  t.is(arch.big("rip"), START + 4n);
  t.is(enterFor(arch, { [EXIT_CODE]: 0x60n }), INTERRUPT);
  t.is(enterFor(arch, { [EXIT_CODE]: 0x7fn }), TRIPLE_FAULT);
  t.is(enterFor(arch, { [EXIT_CODE]: 0x7dn }), UNKNOWN);
  // OUT 0xe9, AL
  const out = { [EXIT_CODE]: 0x7bn, [EXIT_INFO1]: 0xe9_0010n, [EXIT_INFO2]: START + 7n, [RAX]: 0x1234n };
  t.is(enterFor(arch, out), IO);
  t.deepEqual([arch.field("EXIT_PORT"), arch.field("EXIT_SIZE"), arch.field("EXIT_VALUE")], [0xe9, 1, 0x34]);
  t.is(arch.big("rip"), START + 7n);
  t.is(enterFor(arch, { [EXIT_CODE]: 0x400n, [EXIT_INFO1]: 6n, [EXIT_INFO2]: 0x5678n }), NESTED_FAULT);
  t.deepEqual([arch.field("EXIT_GPA"), arch.field("EXIT_ACCESS")], [0x5678, 2]);
  t.is(enterFor(arch, { [EXIT_CODE]: 0x400n, [EXIT_INFO1]: (1n << 33n) | 6n, [EXIT_INFO2]: 0x5678n }), NESTED_FAULT);
  t.is(arch.field("EXIT_ACCESS"), 10, "the processor's own, to a page table");
});

test.serial("the slice ends although every exit is settled here", (t) => {
  const arch = fresh(CPUID);
  arch.now = FAR_AWAY;
  t.is(enterFor(arch, { [EXIT_CODE]: 0x72n, [RAX]: 0n }), DEADLINE);
  arch.now = 1000n;
});

test.serial("instructions that CPUID denies raise #UD, and RIP stays", (t) => {
  const codes = [0x73, 0x7a, 0x80, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x8a, 0x8b, 0x8c, 0x8e, 0xa0, 0xa2, 0xa3];
  for (const code of codes) {
    const arch = fresh();
    t.is(atNextEntry(arch, { [EXIT_CODE]: BigInt(code) }, EVENT), UD, code.toString(16));
    t.is(arch.big("rip"), START);
  }
  t.is(atNextEntry(fresh(), { [EXIT_CODE]: 0x6fn }, EVENT), GP, "RDPMC");
});

test.serial("MSRs: unknown ones are #GP, EFER hides SVME, the hypercall page goes to the kernel", (t) => {
  const unknown = fresh(RDMSR);
  unknown.setRegister(1, 0x999n);
  t.is(atNextEntry(unknown, { [EXIT_CODE]: 0x7cn, [EXIT_INFO1]: 0n }, EVENT), GP);
  t.is(unknown.big("rip"), START);

  const efer = fresh(RDMSR);
  efer.setRegister(1, 0xc000_0080n);
  t.is(atNextEntry(efer, { [EXIT_CODE]: 0x7cn, [EXIT_INFO1]: 0n }, RAX), 0n);
  t.is(efer.big("rip"), START + 2n);
  t.is(field(efer, EFER), 0x1000n);

  for (const [value, event] of [
    [0x900n, 0n], // LME and NXE
    [0x1000n, GP], // SVME
    [0x4000n, GP], // FFXSR
  ]) {
    const write = fresh(WRMSR);
    write.setRegister(1, 0xc000_0080n);
    write.setRegister(2, 0n);
    t.is(atNextEntry(write, { [EXIT_CODE]: 0x7cn, [EXIT_INFO1]: 1n, [RAX]: value }, EVENT), event, value.toString(16));
    t.is(field(write, EFER), event === 0n ? 0x1000n | value : 0x1000n);
  }

  const page = fresh(WRMSR);
  page.setRegister(1, 0x4000_0000n);
  page.setRegister(2, 0n);
  t.is(enterFor(page, { [EXIT_CODE]: 0x7cn, [EXIT_INFO1]: 1n, [RAX]: 0x7000n }), HYPERCALL_PAGE);
  t.is(page.field("EXIT_VALUE"), 0x7000);
  t.is(page.big("rip"), START + 2n);
});

test.serial("CR0, CR4 and CR8 take what the processor and CPUID allow", (t) => {
  const mov = (cr: number) => [0x0f, 0x22, 0xc3 | (cr << 3)]; // MOV CRn, EBX
  const cases: [number, number, bigint, bigint, number, bigint][] = [
    // exit, register in ModRM, value, event, field, its value after
    [0x10, 0, 0x8000_0011n, 0n, CR0, 0x8000_0011n],
    [0x10, 0, 0x8000_0010n, GP, CR0, 0x11n], // PG without PE
    [0x10, 0, 0x2000_0011n, GP, CR0, 0x11n], // NW without CD
    [0x14, 4, 0x20n, 0n, CR4, 0x20n],
    [0x14, 4, 0x2020n, GP, CR4, 0n], // VMXE
    [0x14, 4, 0x40_0020n, GP, CR4, 0n], // PKE
    [0x18, 0, 0x5n, 0n, INTERRUPT_CONTROL, 0x100_0005n],
    [0x18, 0, 0x10n, GP, INTERRUPT_CONTROL, 0x100_0000n],
  ];
  for (const [code, cr, value, event, offset, after] of cases) {
    const arch = fresh(mov(cr));
    arch.setRegister(3, value);
    const what = `exit ${code.toString(16)}, ${value.toString(16)}`;
    t.is(atNextEntry(arch, { [EXIT_CODE]: BigInt(code) }, EVENT), event, what);
    t.is(field(arch, offset), after, what);
    t.is(arch.big("rip"), START + (event === 0n ? 3n : 0n), what);
  }
  const long = fresh([0x0f, 0x22, 0xc3]);
  long.call("paging", 0x11n, 0x1000n, 0x20n, 0x100n);
  long.setRegister(3, 0x8000_0011n);
  atNextEntry(long, { [EXIT_CODE]: 0x10n }, CR0);
  t.is(field(long, EFER), 0x1500n, "paging in long mode sets LMA");
  const clts = fresh([0x0f, 0x06]);
  t.is(atNextEntry(clts, { [EXIT_CODE]: 0x10n, [CR0]: 0x19n }, CR0), 0x11n);
  const lmsw = fresh([0x0f, 0x01, 0xf3]);
  lmsw.setRegister(3, 0xen);
  t.is(atNextEntry(lmsw, { [EXIT_CODE]: 0x10n }, CR0), 0x1fn, "LMSW never clears PE");
});

test.serial("an event that an exit cut short is delivered again; INT n runs again", (t) => {
  const pageFault = EXCEPTION | HAS_ERROR | 14n | (7n << 32n);
  const arch = fresh();
  const cut = { [EXIT_CODE]: 0x400n, [EXIT_INFO2]: 0x1000n };
  t.is(enterFor(arch, { ...cut, [EXIT_INT_INFO]: pageFault | 0x1000n }), NESTED_FAULT);
  t.is(field(arch, EVENT), pageFault);
  t.is(arch.field("EVENT_PENDING"), 1);
  t.is(arch.call("offerInterrupt", 0xf3), 0, "one event at an entry");
  for (const event of [0x480n, 0x303n, 0x304n]) {
    const again = fresh();
    enterFor(again, { ...cut, [EXIT_INT_INFO]: VALID | event });
    t.is(again.field("EVENT_PENDING"), 0, event.toString(16));
  }
  const stale = fresh();
  enterFor(stale, { ...cut, [EXIT_INT_INFO]: pageFault & ~VALID });
  t.is(stale.field("EVENT_PENDING"), 0);
});

test.serial("exceptions combine as on hardware", (t) => {
  const arch = fresh();
  enterFor(arch, { [EXIT_CODE]: 0x60n });
  arch.call("raiseException", 13, 5, 0n);
  arch.call("raiseException", 14, 2, 0x1234n);
  t.is(field(arch, EVENT), EXCEPTION | HAS_ERROR | 14n | (2n << 32n), "#GP, then #PF: one after the other");
  arch.call("raiseException", 11, 5, 0n);
  t.is(field(arch, EVENT), EXCEPTION | HAS_ERROR | 8n, "#PF, then #NP: double fault");
  arch.call("raiseException", 13, 0, 0n);
  t.is(arch.call("enter", FAR_AWAY), TRIPLE_FAULT);
});

test.serial("interrupts wait for their window, which leaves the task priority alone", (t) => {
  const arch = fresh();
  enterFor(arch, { [EXIT_CODE]: 0x60n });
  vmcb(arch).setBigUint64(INTERRUPT_CONTROL, 0x100_0003n, true);
  const intercepted = () => vmcb(arch).getUint32(INTERCEPT_MISC1, true) & VINTR;
  t.is(arch.call("offerInterrupt", 0xf3), 0, "RFLAGS.IF is clear");
  t.is(intercepted(), VINTR);
  t.is(field(arch, INTERRUPT_CONTROL) & (V_IRQ | 0xfn), V_IRQ | 3n);
  t.is(enterFor(arch, { [EXIT_CODE]: 0x64n, [RFLAGS]: 0x202n }), WINDOW);
  t.is(intercepted(), 0);
  t.is(field(arch, INTERRUPT_CONTROL), 0x100_0003n);
  vmcb(arch).setBigUint64(RFLAGS, 2n, true);
  t.is(arch.call("offerInterrupt", 0xf3), 0);
  // Bochs does not leave for a window that is open already: any exit will do.
  t.is(enterFor(arch, { [EXIT_CODE]: 0x61n, [RFLAGS]: 0x202n }), WINDOW);
  t.is(arch.call("offerInterrupt", 0xf3), 1);
  t.is(field(arch, EVENT), VALID | 0xf3n);
  t.is(intercepted(), 0);
});

/** STI; HLT, and an exit between the two: the processor says that the guest is in the shadow, and will not load that again. */
const BEHIND_STI = { [RIP]: START + 1n, [RFLAGS]: 0x202n, [SHADOW]: 1n };
const RESUME_FLAG = 1n << 16n;

test.serial("an exit between STI and HLT is as if before the STI, so that no handler runs before the HLT", (t) => {
  for (const code of [0x60n, 0x62n]) {
    const arch = fresh([0xfb, 0xf4]);
    arch.svmExits.push(exit({ [EXIT_CODE]: code, ...BEHIND_STI }), (block) => {
      t.is(code, 0x62n, "an SMI is settled without the kernel");
      exit({ [EXIT_CODE]: 0x60n })(block);
    });
    t.is(arch.call("enter", FAR_AWAY), INTERRUPT);
    arch.svmExits.length = 0;
    t.is(arch.big("rip"), START);
    t.is(field(arch, RFLAGS) & ~RESUME_FLAG, 2n);
    t.is(field(arch, RFLAGS) & RESUME_FLAG, RESUME_FLAG, "a breakpoint on the STI has trapped already");
    t.is(field(arch, SHADOW), 0n);
    t.is(arch.call("offerInterrupt", 0xf3), 0);
    t.is(field(arch, INTERRUPT_CONTROL) & V_IRQ, V_IRQ, "with interrupts off the window waits for the STI");
    t.is(enterFor(arch, { [EXIT_CODE]: 0x78n, ...BEHIND_STI }), HALT);
    t.is(arch.big("rip"), START + 2n);
    t.is(arch.call("offerInterrupt", 0xf3), 1, "behind the HLT");
  }
});

test.serial("what is in the shadow of something else than the guest's own STI stays where it is", (t) => {
  const stays = (arch: Arch, fields: Fields, why: string) => {
    t.is(enterFor(arch, { [EXIT_CODE]: 0x60n, ...BEHIND_STI, ...fields }), INTERRUPT);
    t.is(arch.big("rip"), fields[RIP] ?? START + 1n, why);
    t.is(field(arch, RFLAGS), fields[RFLAGS] ?? 0x202n, why);
  };
  stays(fresh([0x17, 0x90]), {}, "POP SS");
  stays(fresh([0xfb, 0x90]), { [RFLAGS]: 2n }, "interrupts are off, so it was no STI");
  stays(fresh([0xfb, 0x90]), { [RIP]: 0n }, "no byte before it");
  stays(fresh([0xfb, 0x90]), { [RIP]: 0x50_0001n }, "nothing there to fetch");
  const user = fresh([0xfb, 0x90]);
  user.call("privilege", 3);
  stays(user, {}, "ring 3 with IOPL 0 has no STI");
});

test.serial("in the shadow of a load of SS nothing is delivered, and a timer ends the entry soon", (t) => {
  const arch = fresh([0x17, 0x90]);
  t.is(enterFor(arch, { [EXIT_CODE]: 0x60n, ...BEHIND_STI }), INTERRUPT);
  arch.timers.length = 0;
  t.is(arch.call("offerInterrupt", 0xf3), 0);
  t.is(field(arch, INTERRUPT_CONTROL) & V_IRQ, 0n, "QEMU would take it at once");
  t.is(arch.timers.length, 1);
  arch.call("injectNmi");
  t.is(atNextEntry(arch, { [EXIT_CODE]: 0x62n, ...BEHIND_STI }, EVENT), 0n, "nor an NMI");
  enterFor(arch, { [EXIT_CODE]: 0x60n, [RIP]: START + 2n, [SHADOW]: 0n });
  enterFor(arch, { [EXIT_CODE]: 0x60n });
  t.is(arch.call("offerInterrupt", 0xf3), 1);
});

test.serial("an NMI waits for the end of the one before", (t) => {
  const arch = fresh();
  const interceptsIret = () => vmcb(arch).getUint32(INTERCEPT_MISC1, true) & IRET;
  arch.call("injectNmi");
  enterFor(arch, { [EXIT_CODE]: 0x60n });
  t.is(interceptsIret(), IRET);
  arch.call("injectNmi");
  enterFor(arch, { [EXIT_CODE]: 0x60n });
  t.is(field(arch, EVENT), 0n, "blocked");
  // At the IRET nothing is delivered yet: a handler's stack of its own would be overwritten before it has returned.
  t.is(atNextEntry(arch, { [EXIT_CODE]: 0x74n }, EVENT), 0n);
  t.is(vmcb(arch).getUint32(INTERCEPT_MISC1, true) & (IRET | VINTR), VINTR, "left as soon as that is possible");
  t.is(atNextEntry(arch, { [EXIT_CODE]: 0x61n }, EVENT), 0n, "an exit before it was executed changes nothing");
  t.is(enterFor(arch, { [EXIT_CODE]: 0x64n, [RIP]: START + 9n, [RFLAGS]: 0x202n }), WINDOW);
  t.is(atNextEntry(arch, { [EXIT_CODE]: 0x61n }, RFLAGS), 0x202n);
  t.is(interceptsIret(), IRET, "the second has been delivered");
});

test.serial("an NMI behind an IRET comes with any exit, too, and one that finds interrupts on opens no window", (t) => {
  const arch = fresh();
  arch.call("injectNmi");
  enterFor(arch, { [EXIT_CODE]: 0x60n });
  arch.call("injectNmi");
  t.is(atNextEntry(arch, { [EXIT_CODE]: 0x74n, [RFLAGS]: 0x202n }, EVENT), 0n);
  t.is(vmcb(arch).getUint32(INTERCEPT_MISC1, true) & VINTR, 0, "it would be taken before the IRET, without end");
  enterFor(arch, { [EXIT_CODE]: 0x60n, [RIP]: START + 9n });
  let seen = 0n;
  arch.svmExits.push((block) => {
    seen = block.getBigUint64(EVENT, true);
    exit({ [EXIT_CODE]: 0x60n })(block);
  });
  arch.call("enter", FAR_AWAY);
  t.is(seen, VALID | 0x202n);
  // No NMI waited at this IRET, and the next comes long behind it.
  enterFor(arch, { [EXIT_CODE]: 0x74n }, { [EXIT_CODE]: 0x60n, [RIP]: START + 20n });
  t.is(vmcb(arch).getUint32(INTERCEPT_MISC1, true) & IRET, 0);
  arch.call("injectNmi");
  enterFor(arch, { [EXIT_CODE]: 0x60n });
  t.is(vmcb(arch).getUint32(INTERCEPT_MISC1, true) & IRET, IRET);
});

test.serial("a flush is a fresh address space identifier; when all are used, everything is flushed", (t) => {
  const arch = fresh();
  const seen = new Set<number>();
  let flushes = 0;
  for (let i = 0; i < 200; i++) {
    arch.linear.setUint32(arch.constant("registers") + arch.constant("FLUSH_PENDING"), 1, true);
    arch.svmExits.push((block) => {
      const flushed = block.getUint8(TLB_CONTROL) === 1;
      if (flushed) {
        flushes++;
        seen.clear();
      }
      const asid = block.getUint32(ASID, true);
      t.true(asid > 0 && asid < 64);
      t.false(seen.has(asid), "an identifier that may still have translations");
      seen.add(asid);
      exit({ [EXIT_CODE]: 0x60n })(block);
    });
    arch.call("enter", FAR_AWAY);
  }
  t.true(flushes >= 3);
  arch.svmExits.push((block) => {
    t.is(block.getUint8(TLB_CONTROL), 0);
    exit({ [EXIT_CODE]: 0x60n })(block);
  });
  arch.call("enter", FAR_AWAY);
});

test.serial("CPUID hides what guests do not have and shows Xen", (t) => {
  const leaf = (number: bigint) => {
    const arch = fresh(CPUID);
    arch.setRegister(1, 0n);
    arch.svmExits.push(exit({ [EXIT_CODE]: 0x72n, [RAX]: number }), exit({ [EXIT_CODE]: 0x78n }));
    t.is(arch.call("enter", FAR_AWAY), HALT);
    return [0, 3, 1, 2].map((n) => Number(arch.register(n)));
  };
  const [, , ecx, edx] = leaf(1n);
  for (const [bit, name] of [
    [3, "MONITOR"],
    [5, "VMX"],
    [17, "PCID"],
    [21, "x2APIC"],
    [24, "TSC deadline"],
    [27, "OSXSAVE"],
  ] as const) {
    t.is((ecx >>> bit) & 1, 0, name);
  }
  t.is(ecx >>> 31, 1, "a hypervisor");
  t.is((edx >>> 9) & 1, 0, "no local APIC");
  t.is((leaf(0x8000_0001n)[2] >>> 2) & 1, 0, "no SVM");
  t.is((leaf(0x8000_0001n)[3] >>> 27) & 1, 0, "no RDTSCP");
  t.deepEqual(leaf(0xan), [0, 0, 0, 0]);
  t.deepEqual(leaf(0x8000_000an), [0, 0, 0, 0]);
  // This machine says it is virtual but has no hypervisor's leaves: Xen's begin at 0x40000000.
  t.deepEqual(leaf(0x4000_0000n), [0x4000_0005, 0x566e6558, 0x65584d4d, 0x4d4d566e]);
  t.deepEqual(leaf(0x4000_0001n), [0x0004_0011, 0, 0, 0]);
  t.deepEqual(leaf(0x4000_0002n), [1, 0x4000_0000, 0, 0]);
  t.deepEqual(leaf(0x4000_0006n), [0, 0, 0, 0]);
});

test.serial("single steps trap behind emulated instructions", (t) => {
  const arch = fresh(CPUID);
  t.is(atNextEntry(arch, { [EXIT_CODE]: 0x72n, [RFLAGS]: 0x102n }, EVENT), EXCEPTION | 1n);
  t.is(field(arch, RIP), START + 2n);
});

test.serial("what a vCPU takes it gives back", (t) => {
  const arch = fresh();
  const used = arch.frames.size;
  arch.call("vcpuFree");
  t.is(arch.frames.size, used - 2);
});
