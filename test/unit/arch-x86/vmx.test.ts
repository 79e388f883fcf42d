/** VT-x: what a VMCS starts with, how exits are answered, what is delivered at entries, why entries are refused. */
import test from "ava";
import { HvmHwCpu } from "../../../abi/hvm.ts";
import { Arch, type Exit, VENDOR_VMX } from "./arch.ts";

// VMCS fields (SDM 3D, appendix B).
const ENTRY_CONTROLS = 0x4012;
const ENTRY_EVENT = 0x4016;
const ENTRY_ERROR = 0x4018;
const CPU_CONTROLS = 0x4002;
const EXIT_REASON = 0x4402;
const EXIT_EVENT = 0x4404;
const VECTORING_EVENT = 0x4408;
const VECTORING_ERROR = 0x440a;
const INSTRUCTION_LENGTH = 0x440c;
const INTERRUPTIBILITY = 0x4824;
const TIMER = 0x482e;
const QUALIFICATION = 0x6400;
const GPA = 0x2400;
const CR0 = 0x6800;
const CR0_SHADOW = 0x6004;
const CR4 = 0x6804;
const RIP = 0x681e;
const RFLAGS = 0x6820;
const PENDING_DEBUG = 0x6822;
const DR7 = 0x681a;

// HvmExit.
const INTERRUPT = 1;
const DEADLINE = 2;
const HYPERCALL = 3;
const HALT = 4;
const IO = 5;
const NESTED_FAULT = 6;
const WINDOW = 7;
const TRIPLE_FAULT = 8;
const ENTRY_FAILED = 9;
const UNKNOWN = 11;
const HYPERCALL_PAGE = 12;

const VALID = 0x8000_0000;
const EXCEPTION = VALID | 0x300;
const HAS_ERROR = 0x800;
const INTERRUPT_WINDOW = 4n;
const NMI_WINDOW = 1n << 22n;
const FAR_AWAY = 1_000_000n;
const START = 0x10_0000n;

const module = await Arch.open();

/** A vCPU at START in flat 32-bit code, interrupts off. */
function fresh(): Arch {
  module.exits.length = 0;
  module.flushes = [];
  module.call("begin", VENDOR_VMX, 1n << 20n);
  if (module.call("cpuInit") !== 0) throw new Error("VT-x was refused");
  if (module.call("vcpuInit") !== 0) throw new Error("no memory");
  module.call("code", 32, START);
  return module;
}

/** Enters once; `exit` is what happens. */
function enterFor(arch: Arch, ...exits: Exit[]): number {
  for (const exit of exits) {
    // The processor clears the valid bit of the event it was given.
    arch.exits.push((vmcs) => ({
      [ENTRY_EVENT]: vmcs.get(ENTRY_EVENT)! & 0x7fff_ffffn,
      [VECTORING_EVENT]: 0,
      ...exit,
    }));
  }
  return arch.call("enter", FAR_AWAY);
}

/** Enters and looks at the VMCS as the second entry finds it; then a HLT. */
function atNextEntry(arch: Arch, exit: Exit): Map<number, bigint> {
  let seen = new Map<number, bigint>();
  arch.exits.push(() => ({ [VECTORING_EVENT]: 0, ...exit }));
  arch.exits.push((vmcs) => {
    seen = new Map(vmcs);
    return { [EXIT_REASON]: 12, [INSTRUCTION_LENGTH]: 1, [ENTRY_EVENT]: 0 };
  });
  arch.call("enter", FAR_AWAY);
  return seen;
}

test.serial("a new vCPU breaks no rule", (t) => {
  const arch = fresh();
  t.is(enterFor(arch, { [EXIT_REASON]: 0x8000_0021 }), ENTRY_FAILED);
  t.is(arch.explanation(), "the guest's state is invalid, by no rule known to this hypervisor");
  t.is(arch.big("cr0"), 0x11n, "the guest does not see CR0.NE");
  t.is(arch.vmcs.get(CR0)! & 0x21n, 0x21n);
  t.is(arch.vmcs.get(CR4), 1n << 13n);
  t.deepEqual(arch.flushes.length, 1, "the root's frame may have been another domain's");
});

test.serial("exits for the kernel", (t) => {
  const arch = fresh();
  t.is(enterFor(arch, { [EXIT_REASON]: 18, [INSTRUCTION_LENGTH]: 3 }), HYPERCALL);
  t.is(arch.big("rip"), START + 3n);
  t.is(enterFor(arch, { [EXIT_REASON]: 12, [INSTRUCTION_LENGTH]: 1 }), HALT);
  t.is(enterFor(arch, { [EXIT_REASON]: 1 }), INTERRUPT);
  t.is(enterFor(arch, { [EXIT_REASON]: 52 }), DEADLINE);
  t.is(enterFor(arch, { [EXIT_REASON]: 2 }), TRIPLE_FAULT);
  t.is(enterFor(arch, { [EXIT_REASON]: 9 }), UNKNOWN);
  t.is(arch.big("rip"), START + 4n);
  // IN AX, 0x1234
  t.is(enterFor(arch, { [EXIT_REASON]: 30, [INSTRUCTION_LENGTH]: 2, [QUALIFICATION]: 0x1234_0009 }), IO);
  t.deepEqual([arch.field("EXIT_PORT"), arch.field("EXIT_SIZE")], [0x1234, 2]);
  t.is(enterFor(arch, { [EXIT_REASON]: 48, [QUALIFICATION]: 0x182, [GPA]: 0x5678n }), NESTED_FAULT);
  t.deepEqual([arch.field("EXIT_GPA"), arch.field("EXIT_ACCESS")], [0x5678, 2]);
  t.is(enterFor(arch, { [EXIT_REASON]: 48, [QUALIFICATION]: 0x81, [GPA]: 0x5678n }), NESTED_FAULT);
  t.is(arch.field("EXIT_ACCESS"), 9, "the processor's own, to a page table");
  arch.setRegister(1, 0x4000_0000n);
  arch.setRegister(0, 0x7000n);
  arch.setRegister(2, 0n);
  t.is(enterFor(arch, { [EXIT_REASON]: 32, [INSTRUCTION_LENGTH]: 2 }), HYPERCALL_PAGE);
  t.is(arch.field("EXIT_VALUE"), 0x7000);
});

test.serial("the preemption timer holds what is left, and nothing is entered beyond the deadline", (t) => {
  const arch = fresh();
  arch.now = 1000n;
  enterFor(arch, { [EXIT_REASON]: 1 });
  t.is(arch.vmcs.get(TIMER), (FAR_AWAY - 1000n) >> 5n);
  arch.now = FAR_AWAY;
  t.is(arch.call("enter", FAR_AWAY), DEADLINE);
  arch.now = 1000n;
});

test.serial("what a guest may not do raises what it would without a hypervisor", (t) => {
  const cases: [number, number, number][] = [
    ...[11, 17, 19, 23, 27, 36, 39, 50, 53, 59].map((reason): [number, number, number] => [reason, EXCEPTION | 6, 0]),
    [15, EXCEPTION | HAS_ERROR | 13, 0], // RDPMC
    [31, EXCEPTION | HAS_ERROR | 13, 0], // RDMSR of none
    [55, EXCEPTION | HAS_ERROR | 13, 0], // XSETBV of a wrong value
  ];
  for (const [reason, event] of cases) {
    const arch = fresh();
    arch.setRegister(1, 0xdeadn);
    const vmcs = atNextEntry(arch, { [EXIT_REASON]: reason, [INSTRUCTION_LENGTH]: 3 });
    t.is(vmcs.get(ENTRY_EVENT), BigInt(event >>> 0), `reason ${reason}`);
    t.is(vmcs.get(RIP), START, `reason ${reason}`);
  }
});

test.serial("an event that an exit cut short is delivered again", (t) => {
  const arch = fresh();
  const pageFault = EXCEPTION | HAS_ERROR | 14;
  const cut = { [EXIT_REASON]: 48, [VECTORING_EVENT]: pageFault | 0x1000, [VECTORING_ERROR]: 7 };
  t.is(enterFor(arch, cut), NESTED_FAULT);
  t.is(arch.vmcs.get(ENTRY_EVENT), BigInt(pageFault >>> 0));
  t.is(arch.vmcs.get(ENTRY_ERROR), 7n);
  t.is(arch.field("EVENT_PENDING"), 1);
  // Not INT n: it runs again.
  const other = fresh();
  t.is(enterFor(other, { [EXIT_REASON]: 48, [VECTORING_EVENT]: VALID | 0x480 }), NESTED_FAULT);
  t.is(other.field("EVENT_PENDING"), 0);
  // An NMI does not stay blocked by its own unfinished delivery.
  const third = fresh();
  enterFor(third, { [EXIT_REASON]: 48, [VECTORING_EVENT]: VALID | 0x202, [INTERRUPTIBILITY]: 8 });
  t.is(third.vmcs.get(ENTRY_EVENT), BigInt(VALID >>> 0) | 0x202n);
  t.is(third.vmcs.get(INTERRUPTIBILITY), 0n);
});

test.serial("exceptions combine as on hardware", (t) => {
  const arch = fresh();
  arch.call("raiseException", 13, 5, 0n);
  arch.call("raiseException", 14, 2, 0x1234n);
  t.is(arch.vmcs.get(ENTRY_EVENT), BigInt((EXCEPTION | HAS_ERROR | 14) >>> 0), "#GP, then #PF: one after the other");
  arch.call("raiseException", 11, 5, 0n);
  t.is(arch.vmcs.get(ENTRY_EVENT), BigInt((EXCEPTION | HAS_ERROR | 8) >>> 0), "#PF, then #NP: double fault");
  t.is(arch.vmcs.get(ENTRY_ERROR), 0n);
  arch.call("raiseException", 13, 0, 0n);
  t.is(arch.call("enter", FAR_AWAY), TRIPLE_FAULT);
  // Real mode has no error codes.
  const real = fresh();
  real.call("paging", 0x10n, 0n, 0n, 0n);
  real.call("raiseException", 13, 0, 0n);
  t.is(real.vmcs.get(ENTRY_EVENT), BigInt((EXCEPTION | 13) >>> 0));
});

test.serial("interrupts wait for their window", (t) => {
  const arch = fresh();
  const controls = () => arch.vmcs.get(CPU_CONTROLS)!;
  t.is(arch.call("offerInterrupt", 0xf3), 0, "RFLAGS.IF is clear");
  t.is(controls() & INTERRUPT_WINDOW, INTERRUPT_WINDOW);
  t.is(enterFor(arch, { [EXIT_REASON]: 7, [RFLAGS]: 0x202 }), WINDOW);
  t.is(controls() & INTERRUPT_WINDOW, 0n);
  for (const shadow of [1n, 2n]) {
    arch.vmcs.set(INTERRUPTIBILITY, shadow);
    t.is(arch.call("offerInterrupt", 0xf3), 0, "in the shadow of STI or MOV SS");
  }
  arch.vmcs.set(INTERRUPTIBILITY, 0n);
  t.is(arch.call("offerInterrupt", 0xf3), 1);
  t.is(arch.vmcs.get(ENTRY_EVENT), BigInt(VALID >>> 0) | 0xf3n);
  t.is(controls() & INTERRUPT_WINDOW, 0n);
  t.is(arch.call("offerInterrupt", 0xf3), 0, "one event at an entry");
});

test.serial("an NMI waits for the end of the one before", (t) => {
  const arch = fresh();
  arch.call("injectNmi");
  enterFor(arch, { [EXIT_REASON]: 1, [INTERRUPTIBILITY]: 8 });
  t.is(arch.vmcs.get(ENTRY_EVENT), 0x202n, "delivered");
  arch.call("injectNmi");
  arch.vmcs.set(RFLAGS, 0x202n);
  t.is(arch.call("offerInterrupt", 0xf3), 1, "a waiting NMI that is blocked holds no interrupt back");
  enterFor(arch, { [EXIT_REASON]: 1 });
  t.is(arch.vmcs.get(CPU_CONTROLS)! & NMI_WINDOW, NMI_WINDOW);
  const vmcs = atNextEntry(arch, { [EXIT_REASON]: 8, [INTERRUPTIBILITY]: 0, [ENTRY_EVENT]: 0 });
  t.is(vmcs.get(ENTRY_EVENT), BigInt(VALID >>> 0) | 0x202n);
  t.is(vmcs.get(CPU_CONTROLS)! & NMI_WINDOW, 0n);
});

test.serial("single steps are reported behind emulated instructions; a breakpoint that is off is not", (t) => {
  const arch = fresh();
  const stepped = atNextEntry(arch, {
    [EXIT_REASON]: 10,
    [INSTRUCTION_LENGTH]: 2,
    [RFLAGS]: 0x102,
    [INTERRUPTIBILITY]: 2,
  });
  t.is(stepped.get(PENDING_DEBUG), 0x4000n);
  t.is(stepped.get(INTERRUPTIBILITY), 0n);
  const other = fresh();
  atNextEntry(other, { [EXIT_REASON]: 29 });
  enterFor(other, { [EXIT_REASON]: 1, [PENDING_DEBUG]: 0x1002, [DR7]: 0x404 });
  t.is(other.vmcs.get(PENDING_DEBUG), 0x1002n, "the second breakpoint is on");
  enterFor(other, { [EXIT_REASON]: 1, [PENDING_DEBUG]: 0x1001, [DR7]: 0x404 });
  t.is(other.vmcs.get(PENDING_DEBUG), 0n);
});

test.serial("RIP wraps in 32-bit code and not in 64-bit code", (t) => {
  const arch = fresh();
  arch.call("code", 32, 0xffff_fffen);
  enterFor(arch, { [EXIT_REASON]: 18, [INSTRUCTION_LENGTH]: 3 });
  t.is(arch.big("rip"), 1n);
  arch.call("code", 64, 0xffff_fffen);
  enterFor(arch, { [EXIT_REASON]: 18, [INSTRUCTION_LENGTH]: 3 });
  t.is(arch.big("rip"), 0x1_0000_0001n);
});

test.serial("CR0: paging in long mode is turned on for the guest, and impossible values are #GP", (t) => {
  const arch = fresh();
  arch.call("paging", 0x11n, 0x1000n, 0x20n, 0x100n);
  arch.setRegister(3, 0xe000_0011n); // PG, CD, NW
  const vmcs = atNextEntry(arch, { [EXIT_REASON]: 28, [INSTRUCTION_LENGTH]: 3, [QUALIFICATION]: 0x300 });
  t.is(vmcs.get(CR0), 0x8000_0031n, "the cache stays on");
  t.is(vmcs.get(CR0_SHADOW), 0xe000_0011n);
  t.is(arch.big("efer"), 0x500n);
  t.is(vmcs.get(ENTRY_CONTROLS)! & 0x200n, 0x200n);
  t.is(vmcs.get(RIP), START + 3n);
  t.true(arch.flushes.some((flush) => flush.startsWith("VPID")));
  const refused = fresh();
  refused.setRegister(3, 0x2000_0011n); // NW without CD
  const after = atNextEntry(refused, { [EXIT_REASON]: 28, [INSTRUCTION_LENGTH]: 3, [QUALIFICATION]: 0x300 });
  t.is(after.get(ENTRY_EVENT), BigInt((EXCEPTION | HAS_ERROR | 13) >>> 0));
  t.is(after.get(CR0_SHADOW), 0x11n);
});

test.serial("an NMI of the host's does not block the guest's", (t) => {
  const arch = fresh();
  t.is(enterFor(arch, { [EXIT_REASON]: 0, [EXIT_EVENT]: VALID | 0x202, [INTERRUPTIBILITY]: 8 }), INTERRUPT);
  t.is(arch.vmcs.get(INTERRUPTIBILITY), 0n);
});

test.serial("registers survive a save and a load, and an impossible record changes nothing", (t) => {
  const arch = fresh();
  for (let n = 0; n < 16; n++) if (n !== 4) arch.setRegister(n, BigInt(n) * 0x1111n);
  arch.vmcs.set(RFLAGS, 0x202n);
  arch.call("raiseException", 13, 9, 0n);
  const record = arch.constant("record");
  const field = (offset: number) => arch.linear.getBigUint64(record + offset, true);
  // Behind the FPU's part, which this machine does not simulate.
  const bytes = () =>
    Buffer.from(arch.linear.buffer, record + HvmHwCpu.rax, HvmHwCpu.SIZE - HvmHwCpu.rax).toString("hex");
  arch.call("save");
  const saved = bytes();
  t.is(field(HvmHwCpu.rbx), 0x3333n);
  t.is(field(HvmHwCpu.r15), 0xffffn);
  t.is(field(HvmHwCpu.rip), START);
  t.is(arch.linear.getUint32(record + HvmHwCpu.cs_arbytes, true), 0xc9b);
  t.is(arch.linear.getUint32(record + HvmHwCpu.pending_event, true), (EXCEPTION | HAS_ERROR | 13) >>> 0);
  const put64 = (offset: number, value: bigint) => arch.linear.setBigUint64(record + offset, value, true);
  const put32 = (offset: number, value: number) => arch.linear.setUint32(record + offset, value, true);
  const reload = () => Buffer.from(saved, "hex").copy(Buffer.from(arch.linear.buffer, record + HvmHwCpu.rax));
  const bad: (() => void)[] = [
    () => put64(HvmHwCpu.cr0, 0x2000_0011n),
    () => put64(HvmHwCpu.cr4, 1n << 13n),
    () => put64(HvmHwCpu.msr_efer, 0x400n),
    () => put64(HvmHwCpu.msr_efer, 1n << 12n),
    () => put64(HvmHwCpu.rflags, 8n),
    () => put64(HvmHwCpu.dr7, 1n << 40n),
    () => put64(HvmHwCpu.gs_base, 1n << 50n),
    () => put64(HvmHwCpu.msr_lstar, 1n << 50n),
    () => put32(HvmHwCpu.cs_arbytes, 0xcf3),
    () => put32(HvmHwCpu.tr_arbytes, 0x89),
    () => put32(HvmHwCpu.ss_limit, 0xfff0_0000),
    () => put32(HvmHwCpu.idtr_limit, 0x10000),
    () => put64(HvmHwCpu.rip, 1n << 33n),
    () => {
      // PAE paging with no table in the guest's memory
      put64(HvmHwCpu.cr0, 0x8000_0011n);
      put64(HvmHwCpu.cr4, 0x20n);
    },
  ];
  for (const [i, spoil] of bad.entries()) {
    reload();
    spoil();
    t.is(arch.call("restore"), -22, `spoilt in way ${i}`);
    arch.call("save");
    t.is(bytes(), saved, `spoilt in way ${i}`);
  }
  for (let n = 0; n < 16; n++) if (n !== 4) arch.setRegister(n, 0n);
  reload();
  t.is(arch.call("restore"), 0);
  arch.call("save");
  t.is(bytes(), saved);
});

test.serial("what a vCPU takes it gives back", (t) => {
  const arch = fresh();
  const used = arch.frames.size;
  arch.call("vcpuFree");
  t.is(arch.frames.size, used - 2);
});
