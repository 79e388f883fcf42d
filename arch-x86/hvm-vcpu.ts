/**
 * The processor-level half of a hardware-virtualised vCPU: the register file that the world switch uses, where its VMCS
 * or VMCB is, and the latest exit in vendor-neutral form. kernel/records/vcpu.ts embeds it; hvm.ts operates on it.
 */
import { P2m } from "./p2m";

/** Exit reasons, common to VMX and SVM. Exits that arch-x86 can handle alone never reach the kernel. */
export const enum HvmExit {
  /** Handled inside arch-x86 (CPUID, MSR, XSETBV, CR access, re-injection, ...): just enter again. */
  None = 0,
  /** A physical interrupt is pending on this CPU: drain hw.takeInterrupt. */
  Interrupt = 1,
  /** The time slice (deadline given to hvmEnter) is over. */
  Deadline = 2,
  /** VMCALL/VMMCALL from ring 0..3; number in RAX; RIP already past it. */
  Hypercall = 3,
  /** HLT; RIP already past it. */
  Halt = 4,
  /**
   * IN, OUT, an element of OUTS: exitPort, exitSize (1, 2, 4), exitIn; exitValue what is written. RIP is where to go on;
   * for IN the kernel calls hvmFinishIn.
   */
  Io = 5,
  /** EPT violation / nested page fault: exitGpa, exitAccess (HVM_ACCESS_*); RIP at the instruction. */
  NestedFault = 6,
  /** The guest can take an interrupt now (interrupt window): try to inject again. */
  Window = 7,
  /** Triple fault or SHUTDOWN. */
  TripleFault = 8,
  /** The processor refused the guest's state; hvmExplainEntryFailure describes why. */
  EntryFailed = 9,
  /** PAUSE in a spin loop (pause-loop exiting, where available). */
  Pause = 10,
  /** Something this hypervisor does not handle: exitCode has the vendor's number. The guest is crashed. */
  Unknown = 11,
  /** The guest wrote the Xen hypercall-page MSR: exitValue = guest-physical address (page-aligned) to fill. */
  HypercallPage = 12,
  /** The guest has accessed its local APIC: HvmVcpu.apicEffects has the pending actions; apicVector may be deliverable. */
  Apic = 13,
}

export const HVM_ACCESS_READ: u32 = 1;
export const HVM_ACCESS_WRITE: u32 = 2;
export const HVM_ACCESS_FETCH: u32 = 4;
/** The access was the processor's own, to a guest page table, not the instruction's: nothing to emulate. */
export const HVM_ACCESS_TABLE: u32 = 8;
/** Wanted of hvmTranslate: with the rights of the guest's kernel, whatever ring runs. */
export const HVM_ACCESS_KERNEL: u32 = 16;

@unmanaged
export class HvmVcpu {
  // Register file as hw.enterVmx / hw.enterSvm want it: index = x86 register number. rsp is kept in VMCS/VMCB.
  rax: u64;
  rcx: u64;
  rdx: u64;
  rbx: u64;
  rspUnused: u64;
  rbp: u64;
  rsi: u64;
  rdi: u64;
  r8: u64;
  r9: u64;
  r10: u64;
  r11: u64;
  r12: u64;
  r13: u64;
  r14: u64;
  r15: u64;
  cr2: u64;

  /** Physical address of the VMCS or VMCB (one frame). */
  controlPa: u64;
  /** Physical address of the frame that state-frame.ts describes. */
  statePa: u64;
  /** Added to the host TSC to make the guest's. */
  tscOffset: u64;
  /** Guest's XCR0, swapped with the host's at entry where they differ. */
  xcr0: u64;

  // The latest exit.
  exitGpa: u64;
  exitValue: u64;
  exitCode: u64;
  exitAccess: u32;
  exitPort: u32;
  exitSize: u32;
  exitIn: u32;

  /** The domain's physmap, which the processor walks for this guest. */
  p2m: P2m;

  /** Xen's ids of this vCPU and its domain, which CPUID shows the guest. Set by the kernel before hvmVcpuInit. */
  guestDomainId: u32;
  guestVcpuId: u32;

  /** VPID or ASID. */
  tag: u32;
  /** SVM: numbering in which `tag` was given, and 1 while the VMCB asks for a full flush: svm/asid.ts. */
  tagFlushes: u32;
  tagGeneration: u64;
  /** VMX: 1 once VMLAUNCHed since the latest VMCLEAR. SVM: unused. */
  launched: u32;
  /** 1: flush this guest's nested translations before the next entry. */
  flushPending: u32;
  // These two are read as one word before every entry (hvmInterruptWork): keep them together.
  /** 1 while the interrupt window is open: HvmExit.Window is wanted. */
  windowOpen: u32;
  /** Vector that the local APIC has for this vCPU above its priority, 0 none: see vlapicVector. */
  apicVector: u32;
  /** 1 while an exception or a re-injected event is waiting for the next entry, so that no interrupt may be offered. */
  eventPending: u32;
  /** 1: an NMI is pending until the guest can take one. */
  nmiPending: u32;
  /** 1 from the delivery of an NMI to the guest's IRET; on SVM, until that is noticed. */
  nmiBlocked: u32;
  /** 1: a combination of injected exceptions caused a triple fault, reported at the next entry. */
  shutdownPending: u32;
  /** The local APIC's state (vlapic.ts) in linear memory, 0 for a vCPU without one. Set by the kernel. */
  vlapic: usize;
  /** Priority class, 1..15, of an interrupt that is blocked only by the task priority; 0 none. */
  heldClass: u32;
  /** SVM: why writes of CR8 cause an exit, WATCH_*. */
  cr8Watched: u32;
  /** APIC_EFFECT_*: actions for the kernel after the guest's latest APIC access. */
  apicEffects: u32;
  /** 1 while this guest's DR0..DR3 are in the CPU: debug-registers.ts. */
  debugLoaded: u32;
  /** SVM: where the IRET is that the guest is about to end its NMI handler with. */
  iretRip: u64;
  /** SVM: the event injected last (EVENT_INJECT), which a refused entry may leave nothing of in the VMCB. */
  injectedEvent: u64;
  /** VMX: registers that are not in the VMCS, while they are not in the CPU (vmx/current.ts, debug-registers.ts). */
  msrStar: u64;
  msrLstar: u64;
  msrCstar: u64;
  msrSfmask: u64;
  msrKernelGsBase: u64;
  dr6: u64;
  /** VMX: the primary processor-based controls as they are in the VMCS. */
  cpuControls: u64;

  // Exits that arch-x86 settled by itself, by kind. The kernel counts the others, by HvmExit.
  settledCpuid: u64;
  settledMsr: u64;
  /** CR0, CR4, CR8, XCR0 and the debug registers. */
  settledRegister: u64;
  settledException: u64;
  settledOther: u64;
}
