/**
 * A virtual CPU: what the scheduler runs. Hardware-virtualised ones embed an HvmVcpu; software ones are a stack in a
 * sandbox. One heap object each (kernel/memory/heap.ts); reached through Domain.vcpus.
 */
import { HvmVcpu } from "../../arch-x86/hvm-vcpu";
import { Domain } from "./domain";

export const enum VcpuRun {
  /** Not initialised or taken down (VCPUOP_down): never scheduled. */
  Down = 0,
  /** Waiting for an event (SCHEDOP_block, SCHEDOP_poll, HLT). */
  Blocked = 1,
  /** May run. */
  Runnable = 2,
  /** On a CPU now. */
  Running = 3,
}

/** How a vCPU waits for the CPU (kernel/scheduling/scheduler.ts). */
export const enum SchedClass {
  /** By its virtual run time. */
  Fair = 0,
  /** It woke, and its first short stretch on a CPU is not over. */
  Urgent = 1,
  /** Domain 0's, always: it runs before all others but the next as long as it has budget. */
  Prompt = 2,
  /** The I/O domain's, always: as Prompt, with less budget, before domain 0. */
  Device = 3,
}

/** Vcpu.pollPort of a poll of several ports, or of none: any event ends it, as on Xen. */
export const POLL_ANY: u32 = 0xffffffff;

@unmanaged
export class Vcpu extends HvmVcpu {
  domain: Domain;
  id: u32;
  run: u32; // VcpuRun
  /** Reasons that keep it from running beyond `run`: bit 0 domain paused, bit 1 vCPU paused (domctl), bit 2 domain shut down. */
  pauseFlags: u32;
  /** 1 once VCPUOP_initialise, domctl or the domain builder gave it registers. */
  initialised: u32;
  cpu: u32; // physical CPU it belongs to
  affinity: u64; // CPUs it may run on, bit per CPU
  softAffinity: u64; // those it would rather run on

  // vcpu_info: its location in the guest's memory.
  infoMfn: u64; // frame, 0 while it is the one in shared_info
  /** Physical address of the vcpu_info wherever it is; never 0: kernel/events/shared-info.ts. */
  infoPa: u64;
  /** FIFO event channels: VcpuFifo (kernel/events/event-fifo.ts), 0 until EVTCHNOP_init_control. */
  fifo: usize;
  /** Per-vCPU upcall vector (HVMOP_set_evtchn_upcall_vector), 0 none. */
  upcallVector: u32;
  /** 1 while in SCHEDOP_poll (kernel/hypercalls/sched-op.ts), and the port it waits for: POLL_ANY unless there is just one. */
  polling: u32;
  pollPort: u32;

  // Runstate (VCPUOP_register_runstate_memory_area): time in each RUNSTATE_* state, ns.
  runstate: u32;
  runstateSince: u64;
  runstateTime0: u64;
  runstateTime1: u64;
  runstateTime2: u64;
  runstateTime3: u64;
  runstateGva: u64; // registered area, 0 none
  runstateCompat: u32; // 1: registered from 32-bit mode, in that layout
  /** System time at which its vcpu_time_info was last written, ns. */
  timeUpdatedNs: u64;
  /** tscOffset that the record was written with. */
  timeTscOffset: u64;
  timeInfoGva: u64; // VCPUOP_register_vcpu_time_memory_area, 0 none

  // Timers: nodes of kernel/scheduling/timer.ts embedded by pointer; created with the vCPU.
  singleshotTimer: usize;
  periodicTimer: usize;
  periodNs: u64;
  /** System time of the periodic timer's latest event, ns. */
  periodLastNs: u64;
  pollTimer: usize;
  apicTimer: usize;
  /** 1: the local APIC's timer resumes when its pending interrupt is delivered (kernel/events/vlapic-delivery.ts). */
  apicTimerStalled: u32;
  /** Port bound to each per-vCPU VIRQ, index VIRQ number 0..23: offset into a u32 table, 0 = none. */
  virqPorts: usize;

  // Scheduler's own (kernel/scheduling/scheduler.ts): a HeapNode (kernel/scheduling/pairing-heap.ts), whose key is the virtual run time, in its
  // field order (of a prompt or device one that waits: when it may run); then the rest.
  schedKey: u64;
  schedChild: usize;
  schedHeapNext: usize;
  schedHeapPrev: usize;
  schedWeight: u32;
  /** Changes only while it waits in no heap. */
  schedClass: u32; // SchedClass
  /** Of a prompt or a device one: for how long it may run before all others, ns. */
  schedBudgetNs: u64;
  /** System time at which it last got the CPU, ns; of a prompt or device one that waits, to which its budget is counted. */
  schedSinceNs: u64;
  /** Exits by HvmExit number: pointer to a u64 table. */
  exitCounts: usize;

  // The hypercall in progress or to be continued: kernel/hypercalls/hypercall.ts.
  hypercallOp: u32;
  /** 1 while a caller outside 64-bit mode is served: structures have their 32-bit layout. */
  hypercallCompat: u32;
  /** Software domains: 1 when the hypercall of the restart arguments is to be run before the next entry. */
  hypercallPending: u32;
  restart1: u64;
  restart2: u64;
  restart3: u64;
  restart4: u64;
  restart5: u64;
  restart6: u64;
}
