/** Each check of a VM entry, violated once in an otherwise valid state: the message names it. */
import test from "ava";
import { Arch, PHYSICAL_BITS, VENDOR_SVM, VENDOR_VMX } from "./arch.ts";

const START = 0x10_0000n;
const RAM = 1;
const ENTRY_FAILED = 9;
const FAR_AWAY = 1_000_000n;
const BEYOND = 1n << PHYSICAL_BITS;
const CROOKED = 1n << 50n; // not canonical
const VALID = 0x8000_0000n;
const NMI = VALID | 0x202n;
const EXCEPTION = VALID | 0x300n;
const HAS_ERROR = 0x800n;

const arch = await Arch.open();

function begin(vendor: number): void {
  arch.exits.length = 0;
  arch.svmExits.length = 0;
  arch.call("begin", vendor, 1n << 20n);
  if (arch.call("cpuInit") !== 0 || arch.call("vcpuInit") !== 0) throw new Error("no vCPU");
  arch.call("code", 32, START);
  arch.call("map", START >> 12n, BigInt(arch.newFrame()), RAM, 0);
}

// --- VT-x ---------------------------------------------------------------------------------------------------------------

const F = {
  PIN: 0x4000,
  CPU: 0x4002,
  CR3_TARGETS: 0x400a,
  EXIT: 0x400c,
  EXIT_STORES: 0x400e,
  EXIT_LOADS: 0x4010,
  ENTRY: 0x4012,
  ENTRY_LOADS: 0x4014,
  EVENT: 0x4016,
  ERROR: 0x4018,
  LENGTH: 0x401a,
  TPR_THRESHOLD: 0x401c,
  CPU2: 0x401e,
  VPID: 0,
  IO_A: 0x2000,
  IO_B: 0x2002,
  STORES: 0x2006,
  LOADS: 0x2008,
  ENTRIES: 0x200a,
  MSR_BITMAP: 0x2004,
  VIRTUAL_APIC: 0x2012,
  APIC_ACCESS: 0x2014,
  EPTP: 0x201a,
  LINK: 0x2800,
  DEBUGCTL: 0x2802,
  PAT: 0x2804,
  EFER: 0x2806,
  PDPTE2: 0x280e,
  HOST_PAT: 0x2c00,
  HOST_EFER: 0x2c02,
  QUALIFICATION: 0x6400,
  INTERRUPTIBILITY: 0x4824,
  ACTIVITY: 0x4826,
  CR0: 0x6800,
  CR3: 0x6802,
  CR4: 0x6804,
  DR7: 0x681a,
  RIP: 0x681e,
  RFLAGS: 0x6820,
  PENDING_DEBUG: 0x6822,
  SYSENTER_ESP: 0x6824,
  SYSENTER_EIP: 0x6826,
} as const;
const [ES, CS, SS, DS, FS, GS, LDTR, TR] = [0, 1, 2, 3, 4, 5, 6, 7];
const selector = (segment: number) => 0x0800 + 2 * segment;
const limit = (segment: number) => 0x4800 + 2 * segment;
const rights = (segment: number) => 0x4814 + 2 * segment;
const base = (segment: number) => 0x6806 + 2 * segment;

type Fields = Record<number, bigint | ((old: bigint) => bigint)>;
const set = (bits: bigint) => (old: bigint) => old | bits;
const clear = (bits: bigint) => (old: bigint) => old & ~bits;

/** 64-bit code with paging on: in the VMCS as the processor would have it. */
const LONG: Fields = {
  [F.CR0]: set(1n << 31n),
  [F.CR4]: set(0x20n),
  [F.EFER]: set(0x500n),
  [F.ENTRY]: set(0x200n),
  [rights(CS!)]: 0xa09bn,
};
const PAE: Fields = { [F.CR0]: set(1n << 31n), [F.CR4]: set(0x20n), [F.CR3]: START };
/** Without unrestricted guest; paging must be on then. */
const RESTRICTED: Fields = { [F.CPU2]: clear(0x80n), [F.CR0]: set(1n << 31n) };
const VIRTUAL_8086: Fields = Object.assign(
  { [F.RFLAGS]: 0x2_0002n },
  ...[0, 1, 2, 3, 4, 5].map((s) => ({ [selector(s)]: 0n, [base(s)]: 0n, [limit(s)]: 0xffffn, [rights(s)]: 0xf3n })),
) as Fields;

/** Failures of the entry's beginning (exit reason 33, or of VMLAUNCH with the error number given), and their words. */
const VMX: [string, Fields[]][] = [
  // 27.3.1.1
  ["guest CR0 = 0x80000030: PG is set without PE", [{ [F.CR0]: 0x8000_0030n }]],
  ["guest CR0 = 0x11: a bit that VMX operation fixes to 1 is clear", [{ [F.CR0]: 0x11n }]],
  ["guest CR0 = 0x100000031: a bit that VMX operation fixes to 0 is set", [{ [F.CR0]: 0x1_0000_0031n }]],
  ["guest CR0 = 0x30: a bit that VMX operation fixes to 1 is clear", [RESTRICTED, { [F.CR0]: 0x30n }]],
  ["guest CR4 = 0x0: a bit that VMX operation fixes to 1 is clear", [{ [F.CR4]: 0n }]],
  ["guest CR4 = 0x80002000: it has bits that this processor does not offer", [{ [F.CR4]: set(1n << 31n) }]],
  ["guest IA32_DEBUGCTL = 0x8: it has reserved bits", [{ [F.DEBUGCTL]: 8n }]],
  ["guest CR0 = 0x31: PG is clear in long mode", [LONG, { [F.CR0]: 0x31n }]],
  ["guest CR4 = 0x2000: PAE is clear in long mode", [LONG, { [F.CR4]: 0x2000n }]],
  ["guest CR4 = 0x22000: PCIDE is set outside long mode", [{ [F.CR4]: set(1n << 17n) }]],
  ["guest CR3 = 0x10000000000: it has bits beyond", [{ [F.CR3]: BEYOND }]],
  ["guest DR7 = 0x100000400: it has bits above 31", [{ [F.DR7]: set(1n << 32n) }]],
  ["guest IA32_SYSENTER_ESP = 0x4000000000000: it is not canonical", [{ [F.SYSENTER_ESP]: CROOKED }]],
  ["guest IA32_SYSENTER_EIP = 0x4000000000000: it is not canonical", [{ [F.SYSENTER_EIP]: CROOKED }]],
  ["guest IA32_PAT = 0x7040600070402: it has a memory type that does not exist", [{ [F.PAT]: 0x0007040600070402n }]],
  ["guest IA32_EFER = 0x1000: it has reserved bits", [{ [F.EFER]: 0x1000n }]],
  ['guest IA32_EFER = 0x400: LMA differs from the entry control "IA-32e mode guest"', [{ [F.EFER]: 0x400n }]],
  ["guest IA32_EFER = 0x400: LMA differs from LME with paging on", [LONG, { [F.EFER]: 0x400n }]],
  // 27.3.1.2
  ["guest TR selector = 0x4: it names the local descriptor table", [{ [selector(TR!)]: 4n }]],
  ["guest LDTR selector = 0x4: it names the local", [{ [selector(LDTR!)]: 4n, [rights(LDTR!)]: 0x82n }]],
  ["guest SS selector = 0x13: its privilege level differs from CS's", [RESTRICTED, { [selector(SS!)]: 0x13n }]],
  ["guest DS base = 0x10: in virtual-8086 mode it must be the selector times 16", [VIRTUAL_8086, { [base(DS!)]: 16n }]],
  ["guest TR base = 0x4000000000000: it is not canonical", [{ [base(TR!)]: CROOKED }]],
  ["guest FS base = 0x4000000000000: it is not canonical", [{ [base(FS!)]: CROOKED }]],
  ["guest GS base = 0x4000000000000: it is not canonical", [{ [base(GS!)]: CROOKED }]],
  ["guest LDTR base = 0x4000000000000: it is not canonical", [{ [base(LDTR!)]: CROOKED, [rights(LDTR!)]: 0x82n }]],
  ["guest CS base = 0x100000000: it has bits above 31", [{ [base(CS!)]: 1n << 32n }]],
  ["guest ES base = 0x100000000: it has bits above 31", [{ [base(ES!)]: 1n << 32n }]],
  [
    "guest SS limit = 0xffffffff: in virtual-8086 mode it must be FFFFH",
    [VIRTUAL_8086, { [limit(SS!)]: 0xffff_ffffn }],
  ],
  ["guest GS access rights = 0x93: in virtual-8086 mode they must be F3H", [VIRTUAL_8086, { [rights(GS!)]: 0x93n }]],
  ["guest CS access rights = 0x1c09b: it is unusable", [{ [rights(CS!)]: 0x1c09bn }]],
  ["guest CS access rights = 0xc093: it is a data segment, and", [RESTRICTED, { [rights(CS!)]: 0xc093n }]],
  ["guest CS access rights = 0xc0f3: it is a data segment with a DPL", [{ [rights(CS!)]: 0xc0f3n }]],
  ["guest CS access rights = 0xc0fb: its DPL differs from SS's", [{ [rights(CS!)]: 0xc0fbn }]],
  ["guest CS access rights = 0xc0ff: it is conforming with a DPL above SS's", [{ [rights(CS!)]: 0xc0ffn }]],
  ["guest CS access rights = 0xc09a: it is no accessed code segment", [{ [rights(CS!)]: 0xc09an }]],
  ["guest SS access rights = 0xc09b: it is no accessed, writable data segment", [{ [rights(SS!)]: 0xc09bn }]],
  ["guest DS access rights = 0xc092: it is not accessed", [{ [rights(DS!)]: 0xc092n }]],
  ["guest FS access rights = 0xc099: it is code that cannot be read", [{ [rights(FS!)]: 0xc099n }]],
  [
    "guest SS access rights = 0xc0f3: its DPL differs from its selector's",
    [RESTRICTED, { [rights(SS!)]: 0xc0f3n, [rights(CS!)]: 0xc0fbn }],
  ],
  [
    "guest SS access rights = 0xc0f3: its DPL is not 0 although CS",
    [{ [rights(SS!)]: 0xc0f3n, [rights(CS!)]: 0xc093n }],
  ],
  [
    "guest SS access rights = 0xc0f3: its DPL is not 0 in real mode",
    [{ [rights(SS!)]: 0xc0f3n, [rights(CS!)]: 0xc0fbn, [F.CR0]: 0x30n }],
  ],
  ["guest CS access rights = 0xc08b: it is a system segment", [{ [rights(CS!)]: 0xc08bn }]],
  ["guest ES access rights = 0xc083: it is a system segment", [{ [rights(ES!)]: 0xc083n }]],
  ["guest DS access rights = 0xc093: its DPL is below", [RESTRICTED, { [selector(DS!)]: 3n }]],
  ["guest CS access rights = 0xc01b: it is usable and not present", [{ [rights(CS!)]: 0xc01bn }]],
  ["guest DS access rights = 0xc193: they have reserved bits", [{ [rights(DS!)]: 0xc193n }]],
  ["guest CS access rights = 0xe09b: L and D are both set in long mode", [LONG, { [rights(CS!)]: 0xe09bn }]],
  ["guest ES limit = 0xfffffff0: with granularity in pages", [{ [limit(ES!)]: 0xffff_fff0n }]],
  ["guest ES limit = 0x1fffff: above 1 MiB", [{ [limit(ES!)]: 0x1f_ffffn, [rights(ES!)]: 0x4093n }]],
  ["guest TR access rights = 0x83: it is no busy 64-bit task", [LONG, { [rights(TR!)]: 0x83n }]],
  ["guest TR access rights = 0x89: it is no busy task", [{ [rights(TR!)]: 0x89n }]],
  ["guest TR access rights = 0x9b: it is no system segment", [{ [rights(TR!)]: 0x9bn }]],
  ["guest TR access rights = 0xb: it is not present", [{ [rights(TR!)]: 0xbn }]],
  ["guest TR access rights = 0x1008b: it is unusable", [{ [rights(TR!)]: 0x1008bn }]],
  ["guest TR access rights = 0x18b: they have reserved bits", [{ [rights(TR!)]: 0x18bn }]],
  ["guest TR limit = 0x100000: above 1 MiB it needs granularity", [{ [limit(TR!)]: 0x10_0000n }]],
  ["guest LDTR access rights = 0x83: it is no local descriptor table", [{ [rights(LDTR!)]: 0x83n }]],
  ["guest LDTR access rights = 0x92: it is no system segment", [{ [rights(LDTR!)]: 0x92n }]],
  ["guest LDTR access rights = 0x2: it is usable and not present", [{ [rights(LDTR!)]: 2n }]],
  ["guest LDTR access rights = 0x182: they have reserved bits", [{ [rights(LDTR!)]: 0x182n }]],
  ["guest LDTR limit = 0x0: with granularity in pages", [{ [rights(LDTR!)]: 0x8082n, [limit(LDTR!)]: 0n }]],
  // 27.3.1.3
  ["guest GDTR base = 0x4000000000000: it is not canonical", [{ 0x6816: CROOKED }]],
  ["guest IDTR base = 0x4000000000000: it is not canonical", [{ 0x6818: CROOKED }]],
  ["guest GDTR limit = 0x10000: it is above FFFFH", [{ 0x4810: 0x1_0000n }]],
  ["guest IDTR limit = 0x10000: it is above FFFFH", [{ 0x4812: 0x1_0000n }]],
  // 27.3.1.4
  ["guest RIP = 0x100000000: it has bits above 31 outside 64-bit code", [{ [F.RIP]: 1n << 32n }]],
  ["guest RIP = 0x4000000000000: it is beyond", [LONG, { [F.RIP]: CROOKED }]],
  ["guest RFLAGS = 0xa: a bit that is always 0 is set", [{ [F.RFLAGS]: 0xan }]],
  ["guest RFLAGS = 0x0: bit 1, which is always 1, is clear", [{ [F.RFLAGS]: 0n }]],
  ["guest RFLAGS = 0x20002: VM is set in long mode", [LONG, VIRTUAL_8086, { [rights(TR!)]: 0x8bn }]],
  ["guest RFLAGS = 0x20002: VM is set in real mode", [VIRTUAL_8086, { [F.CR0]: 0x30n }]],
  ["guest RFLAGS = 0x2: IF is clear, and an interrupt", [{ [F.EVENT]: VALID | 0xf3n }]],
  // 27.3.1.5
  ["guest activity state = 0x4: this processor does not have it", [{ [F.ACTIVITY]: 4n }]],
  ["guest activity state = 0x3: this processor does not have it", [{ [F.ACTIVITY]: 3n }]],
  [
    "guest activity state = 0x1: HLT outside ring 0",
    [{ [F.ACTIVITY]: 1n, [rights(SS!)]: 0xc0f3n, [rights(CS!)]: 0xc0fbn }],
  ],
  [
    "guest activity state = 0x1: not active in the shadow of STI",
    [{ [F.ACTIVITY]: 1n, [F.INTERRUPTIBILITY]: 1n, [F.RFLAGS]: 0x202n }],
  ],
  [
    "guest activity state = 0x1: the injected event does not end HLT",
    [{ [F.ACTIVITY]: 1n, [F.EVENT]: EXCEPTION | 6n }],
  ],
  ["guest activity state = 0x2: the injected event", [{ [F.ACTIVITY]: 2n, [F.EVENT]: EXCEPTION | 6n }]],
  ["guest interruptibility state = 0x20: it has reserved bits", [{ [F.INTERRUPTIBILITY]: 0x20n }]],
  [
    "guest interruptibility state = 0x3: blocked both by STI and by MOV SS",
    [{ [F.INTERRUPTIBILITY]: 3n, [F.RFLAGS]: 0x202n }],
  ],
  ["guest interruptibility state = 0x1: blocked by STI with RFLAGS.IF clear", [{ [F.INTERRUPTIBILITY]: 1n }]],
  ["guest interruptibility state = 0x4: blocked by SMI outside SMM", [{ [F.INTERRUPTIBILITY]: 4n }]],
  ["guest interruptibility state = 0x12: an enclave", [{ [F.INTERRUPTIBILITY]: 0x12n }]],
  [
    "guest interruptibility state = 0x1: an interrupt is to be delivered in the shadow",
    [{ [F.INTERRUPTIBILITY]: 1n, [F.RFLAGS]: 0x202n, [F.EVENT]: VALID | 0xf3n }],
  ],
  ["guest interruptibility state = 0x2: an NMI is to be", [{ [F.INTERRUPTIBILITY]: 2n, [F.EVENT]: NMI }]],
  [
    "guest interruptibility state = 0x8: an NMI is to be delivered while",
    [{ [F.INTERRUPTIBILITY]: 8n, [F.EVENT]: NMI }],
  ],
  ["guest pending debug exceptions = 0x10: they have reserved bits", [{ [F.PENDING_DEBUG]: 0x10n }]],
  [
    "guest pending debug exceptions = 0x0: no single step is pending",
    [{ [F.RFLAGS]: 0x102n, [F.INTERRUPTIBILITY]: 2n }],
  ],
  [
    "guest pending debug exceptions = 0x4000: a single step is pending",
    [{ [F.PENDING_DEBUG]: 0x4000n, [F.INTERRUPTIBILITY]: 2n }],
  ],
  ["VMCS link pointer = 0x123: it is not the address of a page", [{ [F.LINK]: 0x123n }]],
  ["VMCS link pointer = 0x10000000000: it has bits beyond", [{ [F.LINK]: BEYOND }]],
  ["VMCS link pointer = 0x1000: this hypervisor links no VMCS", [{ [F.LINK]: 0x1000n }]],
  // 27.3.1.6
  ["guest CR3 = 0x20000: with PAE paging it names no memory", [PAE, { [F.CR3]: 0x2_0000n }]],
  ["guest PDPTE2 = 0x3: a page-directory-pointer entry has reserved bits", [PAE, { [F.PDPTE2]: 3n }]],
];

/** 27.2.1.3, for either way in which a processor reports it. */
const EVENTS: [string, Fields[]][] = [
  ["VM-entry interruption information = 0x80000106: the event's type is reserved", [{ [F.EVENT]: VALID | 0x106n }]],
  ["VM-entry interruption information = 0x80000203: an NMI has a vector other", [{ [F.EVENT]: VALID | 0x203n }]],
  ["VM-entry interruption information = 0x80000320: an exception has a vector", [{ [F.EVENT]: EXCEPTION | 32n }]],
  ["VM-entry interruption information = 0x80000701: an event of type 7", [{ [F.EVENT]: VALID | 0x701n }]],
  ["VM-entry interruption information = 0x80000b06: an error code", [{ [F.EVENT]: EXCEPTION | HAS_ERROR | 6n }]],
  ["VM-entry interruption information = 0x8000030d: an error code", [{ [F.EVENT]: EXCEPTION | 13n }]],
  [
    "VM-entry interruption information = 0x80000b0d: an error code",
    [{ [F.CR0]: 0x30n, [F.EVENT]: EXCEPTION | HAS_ERROR | 13n }],
  ],
  ["VM-entry interruption information = 0x80001306: it has reserved bits", [{ [F.EVENT]: EXCEPTION | 0x1006n }]],
  [
    "VM-entry exception error code = 0x10000: it has bits above 15",
    [{ [F.EVENT]: EXCEPTION | HAS_ERROR | 13n, [F.ERROR]: 0x1_0000n }],
  ],
  ["VM-entry instruction length = 0x10: it is above 15", [{ [F.EVENT]: VALID | 0x480n, [F.LENGTH]: 16n }]],
  ["VM-entry instruction length = 0x0: a software event needs", [{ [F.EVENT]: VALID | 0x480n, [F.LENGTH]: 0n }]],
];

/** 27.2.1. */
const CONTROLS: [string, Fields[]][] = [
  ["CR3-target count = 0x5: it is above 4", [{ [F.CR3_TARGETS]: 5n }]],
  ["address of I/O bitmap A = 0x10: it is not aligned", [{ [F.CPU]: set(1n << 25n), [F.IO_A]: 16n }]],
  ["address of I/O bitmap B = 0x10000000000: it has bits", [{ [F.CPU]: set(1n << 25n), [F.IO_B]: BEYOND }]],
  ["address of MSR bitmaps = 0x800: it is not aligned", [{ [F.MSR_BITMAP]: 0x800n }]],
  ["virtual-APIC address = 0x4: it is not aligned", [{ [F.CPU]: set(1n << 21n), [F.VIRTUAL_APIC]: 4n }]],
  ["TPR threshold = 0x10: it has bits above 3", [{ [F.CPU]: set(1n << 21n), [F.TPR_THRESHOLD]: 0x10n }]],
  ["TPR threshold = 0x1: it is above the task priority", [{ [F.CPU]: set(1n << 21n), [F.TPR_THRESHOLD]: 1n }]],
  [
    "secondary processor-based controls = 0x5f2: the APIC is virtualised without",
    [{ [F.CPU]: clear(1n << 21n), [F.CPU2]: set(0x110n) }],
  ],
  ["pin-based controls = 0x61: virtual NMIs without NMI exiting", [{ [F.PIN]: clear(8n) }]],
  ["NMI-window exiting without virtual NMIs", [{ [F.PIN]: clear(0x20n), [F.CPU]: set(1n << 22n) }]],
  ["APIC accesses and x2APIC mode are both virtualised", [{ [F.CPU]: set(1n << 21n), [F.CPU2]: set(0x11n) }]],
  ["APIC-access address = 0x1: it is not aligned", [{ [F.CPU2]: set(1n), [F.APIC_ACCESS]: 1n }]],
  [
    "virtual-interrupt delivery without external-interrupt exiting",
    [{ [F.CPU]: set(1n << 21n), [F.CPU2]: set(0x200n), [F.PIN]: clear(1n) }],
  ],
  ["posted interrupts without virtual-interrupt delivery", [{ [F.PIN]: set(0x80n) }]],
  ["VPID = 0x0: 0 is the host's", [{ [F.VPID]: 0n }]],
  ["unrestricted guest without EPT", [{ [F.CPU2]: clear(2n) }]],
  ["EPT pointer = 0x1001d: the processor does not offer its memory type", [{ [F.EPTP]: 0x1001dn }]],
  ["EPT pointer = 0x10006: it does not ask for four levels", [{ [F.EPTP]: 0x10006n }]],
  ["EPT pointer = 0x1009e: it has reserved bits", [{ [F.EPTP]: 0x1009en }]],
  ["EPT pointer = 0x1000000001e: it has bits beyond", [{ [F.EPTP]: BEYOND | 0x1en }]],
  ["the preemption timer is saved and not active", [{ [F.PIN]: clear(0x40n), [F.EXIT]: set(1n << 22n) }]],
  ["VM-exit MSR-store address = 0x8: it is not aligned", [{ [F.EXIT_STORES]: 1n, [F.STORES]: 8n }]],
  ["VM-exit MSR-load address = 0xfffffffff0: it has bits", [{ [F.EXIT_LOADS]: 2n, [F.LOADS]: BEYOND - 16n }]],
  ["VM-entry MSR-load address = 0x1: it is not aligned", [{ [F.ENTRY_LOADS]: 1n, [F.ENTRIES]: 1n }]],
];

/** 27.2.2 to 27.2.4. */
const HOST: [string, Fields[]][] = [
  ["host CR0 = 0x80000011: a bit that VMX operation fixes to 1 is clear", [{ 0x6c00: 0x8000_0011n }]],
  ["host CR0 = 0x180000031: a bit that VMX operation fixes to 0 is set", [{ 0x6c00: 0x1_8000_0031n }]],
  ["host CR4 = 0x20: a bit that VMX operation fixes to 1 is clear", [{ 0x6c04: 0x20n }]],
  ["host CR4 = 0x80002020: it has bits that this processor", [{ 0x6c04: 0x8000_2020n }]],
  ["host CR3 = 0x10000000000: it has bits beyond", [{ 0x6c02: BEYOND }]],
  ["host IA32_SYSENTER_ESP = 0x4000000000000: it is not canonical", [{ 0x6c10: CROOKED }]],
  ["host IA32_SYSENTER_EIP = 0x4000000000000: it is not canonical", [{ 0x6c12: CROOKED }]],
  ["host IA32_PAT = 0x8: it has a memory type", [{ [F.HOST_PAT]: 8n }]],
  ["host IA32_EFER = 0x1d01: it has reserved bits", [{ [F.HOST_EFER]: 0x1d01n }]],
  ["host IA32_EFER = 0x901: LMA or LME differs", [{ [F.HOST_EFER]: 0x901n }]],
  ["host SS selector = 0xb: its table or privilege level is not 0", [{ 0x0c04: 0xbn }]],
  ["host CS selector = 0x0: it is null", [{ 0x0c02: 0n }]],
  ["host TR selector = 0x0: it is null", [{ 0x0c0c: 0n }]],
  ["host FS base = 0x4000000000000: it is not canonical", [{ 0x6c06: CROOKED }]],
  ["host GS base = 0x4000000000000: it is not canonical", [{ 0x6c08: CROOKED }]],
  ["host GDTR base = 0x4000000000000: it is not canonical", [{ 0x6c0c: CROOKED }]],
  ["host IDTR base = 0x4000000000000: it is not canonical", [{ 0x6c0e: CROOKED }]],
  ["host TR base = 0x4000000000000: it is not canonical", [{ 0x6c0a: CROOKED }]],
  [
    "VM-exit controls = 0x3c0004: the host's address-space size is not 64 bits",
    [{ [F.EXIT]: clear(0x200n), [F.HOST_EFER]: 1n }],
  ],
  ["host CR4 = 0x2000: PAE is clear in long mode", [{ 0x6c04: 0x2000n }]],
  ["host RIP = 0x4000000000000: it is not canonical", [{ 0x6c16: CROOKED }]],
];

/** A good vCPU with `broken` fields; refused by exit reason 33, or by VMLAUNCH with an error number. */
function explainVmx(broken: Fields[], error?: number): string {
  begin(VENDOR_VMX);
  // As the shim and the toolstack leave it, so that nothing else is wrong.
  arch.vmcs.set(0x6c00, 0x8000_0031n);
  arch.vmcs.set(0x6c04, 0x2020n);
  for (const fields of broken) {
    for (const [field, value] of Object.entries(fields)) {
      const old = arch.vmcs.get(Number(field)) ?? 0n;
      arch.vmcs.set(Number(field), BigInt.asUintN(64, typeof value === "bigint" ? value : value(old)));
    }
  }
  if (error === undefined) arch.exits.push(() => ({ 0x4402: 0x8000_0021 }));
  else arch.entryError = error;
  if (arch.call("enter", FAR_AWAY) !== ENTRY_FAILED) throw new Error("it was entered");
  return arch.explanation();
}

test.serial("VT-x: a good state breaks no rule, whatever the processor says", (t) => {
  t.is(explainVmx([]), "the guest's state is invalid, by no rule known to this hypervisor");
  for (const good of [LONG, VIRTUAL_8086]) t.regex(explainVmx([good]), /by no rule known/);
  t.regex(explainVmx([{ [F.QUALIFICATION]: 2n }]), /page-directory-pointer entries$/);
  t.regex(explainVmx([{ [F.QUALIFICATION]: 4n }]), /link pointer$/);
  t.is(explainVmx([], 7), "a control field is invalid, by no rule known to this hypervisor");
  t.is(explainVmx([], 8), "a host-state field is invalid, by no rule known to this hypervisor");
  t.regex(explainVmx([], 5), /never launched/);
  t.is(explainVmx([], 99), "VMLAUNCH or VMRESUME failed with error 99");
});

for (const [group, cases, error] of [
  ["the guest's state", VMX, undefined],
  ["the injected event", EVENTS, undefined],
  ["the injected event, told as a control field", EVENTS, 7],
  ["control fields", CONTROLS, 7],
  ["the host's state", HOST, 8],
] as const) {
  test.serial(`VT-x: ${group}: each broken rule is named`, (t) => {
    for (const [words, broken] of cases) {
      const explanation = explainVmx(broken, error);
      t.true(explanation.includes(words), `${words}\n${explanation}`);
    }
  });
}

test.serial("VT-x: controls that the processor fixes are named", (t) => {
  const fields: [number, number, string][] = [
    [0x48d, F.PIN, "pin-based controls"],
    [0x48e, F.CPU, "primary processor-based controls"],
    [0x48b, F.CPU2, "secondary processor-based controls"],
    [0x48f, F.EXIT, "VM-exit controls"],
    [0x490, F.ENTRY, "VM-entry controls"],
  ];
  for (const [capability, field, name] of fields) {
    const set1 = arch.msrs.get(capability)!;
    begin(VENDOR_VMX);
    const controls = Number(arch.vmcs.get(field)!);
    const spare = [...Array(32).keys()].map((n) => 2 ** n).find((bit) => (controls & bit) === 0)!;
    const used = [...Array(32).keys()].map((n) => 2 ** n).find((bit) => (controls & bit) !== 0)!;
    for (const [value, words] of [
      [set1 | BigInt(spare), "a bit that this processor fixes to 1 is clear"],
      [set1 & ~(BigInt(used) << 32n), "it has bits that this processor lacks"],
    ] as const) {
      begin(VENDOR_VMX);
      arch.msrs.set(capability, value);
      arch.entryError = 7;
      t.is(arch.call("enter", FAR_AWAY), ENTRY_FAILED);
      t.is(arch.explanation(), `${name} = 0x${controls.toString(16)}: ${words}`);
      arch.msrs.set(capability, set1);
    }
  }
});

// --- AMD-V --------------------------------------------------------------------------------------------------------------

const V = {
  MISC2: 0x10,
  IOPM: 0x40,
  MSRPM: 0x48,
  ASID: 0x58,
  EVENT: 0xa8,
  NESTED_CR3: 0xb0,
  CS_ATTRIBUTES: 0x412,
  EFER: 0x4d0,
  CR4: 0x548,
  CR3: 0x550,
  CR0: 0x558,
  DR7: 0x560,
  DR6: 0x568,
  PAT: 0x668,
} as const;
const SVM_LONG = { [V.EFER]: 0x1500n, [V.CR0]: 0x8000_0011n, [V.CR4]: 0x20n };

const SVM: [string, Record<number, bigint>][] = [
  ["guest EFER = 0x0: SVME is clear", { [V.EFER]: 0n }],
  ["guest CR0 = 0x20000011: NW is set without CD", { [V.CR0]: 0x2000_0011n }],
  ["guest CR0 = 0x10000000011: it has bits above 31", { [V.CR0]: 0x100_0000_0011n }],
  ["guest CR3 = 0x10000000000: it has bits beyond", { [V.CR3]: BEYOND }],
  ["guest CR4 = 0x80000000: it has bits that this processor reserves", { [V.CR4]: 1n << 31n }],
  ["guest DR6 = 0x1ffff0ff0: it has bits above 31", { [V.DR6]: 0x1_ffff_0ff0n }],
  ["guest DR7 = 0x100000400: it has bits above 31", { [V.DR7]: 0x1_0000_0400n }],
  ["guest EFER = 0x1200: it has bits that this processor reserves", { [V.EFER]: 0x1200n }],
  ["guest CR4 = 0x0: PAE is clear with EFER.LME and CR0.PG set", { ...SVM_LONG, [V.CR4]: 0n }],
  ["guest CR0 = 0x80000010: PE is clear with EFER.LME and PG set", { ...SVM_LONG, [V.CR0]: 0x8000_0010n }],
  ["guest CS attributes = 0x69b: L and D are both set in long mode", { ...SVM_LONG, [V.CS_ATTRIBUTES]: 0x69bn }],
  ["guest PAT = 0x3: it has a memory type", { [V.PAT]: 3n }],
  ["VMCB EVENTINJ = 0x80000106: the event's type is reserved", { [V.EVENT]: VALID | 0x106n }],
  ["VMCB EVENTINJ = 0x80000302: an exception has vector 2", { [V.EVENT]: EXCEPTION | 2n }],
  ["VMCB EVENTINJ = 0x80000320: an exception has a vector above 31", { [V.EVENT]: EXCEPTION | 32n }],
  ["VMCB intercept vector 4 = 0x2: VMRUN is not intercepted", { [V.MISC2]: 2n }],
  ["VMCB guest ASID = 0x0: 0 is the host's", { [V.ASID]: 0n }],
  ["VMCB guest ASID = 0x40: the processor has fewer", { [V.ASID]: 64n }],
  ["VMCB IOPM_BASE_PA = 0xffffffe000: it reaches beyond", { [V.IOPM]: BEYOND - 0x2000n }],
  ["VMCB MSRPM_BASE_PA = 0x10000000000: it reaches beyond", { [V.MSRPM]: BEYOND }],
  ["VMCB nCR3 = 0x10000000000: it has bits beyond", { [V.NESTED_CR3]: BEYOND }],
];

function explainSvm(broken: Record<number, bigint>): string {
  begin(VENDOR_SVM);
  arch.svmExits.push((block) => {
    for (const [offset, value] of Object.entries(broken)) {
      const at = Number(offset);
      if (at === V.CS_ATTRIBUTES) block.setUint16(at, Number(value), true);
      else if (at === V.MISC2 || at === V.ASID) block.setUint32(at, Number(value), true);
      else block.setBigUint64(at, value, true);
    }
    block.setBigUint64(0x70, (1n << 64n) - 1n, true);
  });
  if (arch.call("enter", FAR_AWAY) !== ENTRY_FAILED) throw new Error("it was entered");
  return arch.explanation();
}

test.serial("AMD-V: each broken rule is named, and a good state breaks none", (t) => {
  for (const good of [{}, SVM_LONG]) {
    t.is(explainSvm(good), "VMRUN found an invalid VMCB, by no rule known to this hypervisor");
  }
  // What the hypervisor injects, the processor has marked as delivered when it refuses the entry.
  const delivered = (block: DataView) => {
    block.setBigUint64(V.EVENT, 0n, true);
    block.setBigUint64(0x70, 0xffff_ffffn, true);
  };
  begin(VENDOR_SVM);
  arch.call("raiseException", 40, -1, 0n);
  arch.svmExits.push(delivered);
  t.is(arch.call("enter", FAR_AWAY), ENTRY_FAILED);
  t.regex(arch.explanation(), /^VMCB EVENTINJ = 0x80000328: an exception has a vector above 31$/);
  for (const [words, broken] of SVM) {
    const explanation = explainSvm(broken);
    t.true(explanation.includes(words), `${words}\n${explanation}`);
  }
});
