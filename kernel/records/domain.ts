/**
 * A domain: owner of frames, event channels and grants, and the container of its vCPUs. One heap object each, found by
 * id through a two-level table. Life cycle: created (paused) -> running -> dying (resources being freed) -> freed.
 */

export const enum DomainKind {
  Hvm = 0,
  Software = 1,
}

export const enum DomainLife {
  Alive = 1,
  /** destroydomain was called; the record remains until all references to its frames are dropped. */
  Dying = 2,
  Dead = 3,
}

/** Domain.shutdownCode of a domain that was not shut down; toolstacks see its low byte. Guests cannot set it. */
export const SHUTDOWN_CODE_INVALID: u32 = 0xffffffff;

@unmanaged
export class Domain {
  id: u32;
  kind: u32; // DomainKind
  life: u32; // DomainLife
  /** 1: may use domctl, sysctl and name other domains (domain 0). */
  privileged: u32;
  lock: u32;
  /** Software domains: SoftwareDomain (kernel/records/software-domain.ts). */
  software: usize;
  /** XEN_DOMCTL_pausedomain count; a new domain starts with 1. */
  pauseCount: u32;
  shutdown: u32; // 1 after SCHEDOP_shutdown or a crash
  /** SHUTDOWN_*, latched first by SCHEDOP_shutdown_code or the shutdown itself; SHUTDOWN_CODE_INVALID before. */
  shutdownCode: u32;
  vcpuCount: u32; // XEN_DOMCTL_max_vcpus
  vcpus: usize; // table of vcpuCount Vcpu pointers (0: not created)
  createFlags: u32; // XEN_DOMCTL_CDF_*
  /** 1: a PVHv1 guest, which uses the ABI of PV guests in a hardware container (docs/decisions/0009-pvhv1.md). */
  pvhv1: u32;
  /** 1 once it has been unpaused for the first time. */
  started: u32;

  // Memory.
  p2m: usize; // P2m (arch-x86/p2m.ts); for software domains the record that hw.spaceMap mirrors
  firstFrame: u32; // head of the list of frames it owns (mfn), 0 none: kernel/memory/frames.ts
  totalPages: u32;
  maxPages: u32;
  /** Hypervisor frames charged to it: p2m tables, VMCS, shared_info, grant table: kernel/memory/overhead.ts. */
  overheadPages: u32;
  /** Bytes of the hypervisor's heap charged to it, each object rounded up to its size class. */
  heapBytes: u32;
  /** Frames promised to it for both. */
  overheadClaim: u32;
  /** Foreign domains' frames it maps, plus grants: for accounting and for the self-check. */
  foreignMaps: u32;
  sharedInfoMfn: u64;
  /** Frames with the vcpu_info of vCPUs from 32 up that have not registered one; 0 none: kernel/events/shared-info.ts. */
  hiddenInfoMfn0: u64;
  hiddenInfoMfn1: u64;

  // Subsystems; each pointer belongs to the file named.
  events: usize; // kernel/events/event-channel.ts: DomainEvents
  grants: usize; // kernel/hypercalls/grant-table-op.ts: GrantTable
  hvmParams: usize; // kernel/hypercalls/hvm-op.ts: table of 64 u64
  watchdogs: usize; // kernel/hypercalls/sched-op.ts: two timers
  /** Xen's "handle": 16 bytes, as two u64. */
  handle0: u64;
  handle1: u64;
  /** CPU time used by its vCPUs that no longer exist, ns. */
  cpuTimeNs: u64;
  createdNs: u64;
  /** wallclock offset in seconds (XEN_DOMCTL_settimeoffset). */
  timeOffsetSeconds: i64;
  /** VMASST_TYPE_runstate_update_flag is on. */
  runstateUpdateFlag: u32;
  /** Vector of HVM_PARAM_CALLBACK_IRQ (type 2, HVM_PARAM_CALLBACK_TYPE_VECTOR), 0 none: set by kernel/hypercalls/hvm-op.ts. */
  callbackVector: u32;
  /** An unfinished line of console output: kernel/hypercalls/console-io.ts. */
  consoleLine: usize;
  consoleLength: u32;
  /** Lines dropped since the last one that was written, and the system time up to which it has written lines, ns. */
  consoleDropped: u32;
  consoleLinesNs: u64;
  /** Guest physical bits: gfns at or above this are refused. */
  maxGfn: u64;
  next: usize; // list of all domains, ascending id
  previous: usize;
  /** 1 while it is on the list of domains to be checked by domainsReap; and the next one there. */
  reapWanted: u32;
  reapNext: usize;

  // kernel/hypercalls/memory-map.ts, kernel/hypercalls/memory-op.ts, kernel/memory/guest-pages.ts.
  /** XENMEM_set_memory_map: the E820 table shown to the guest, and its number of entries. */
  memoryMap: usize;
  memoryMapEntries: u32;
  /** XENMEM_claim_pages: frames reserved for it and not yet allocated. */
  claimedPages: u32;
  /** The highest gfn that was ever mapped, as returned by XENMEM_maximum_gpfn. */
  highestGfn: u64;
  /** XEN_DOMCTL_set_paging_mempool_size, bytes: limits its page tables, which come from the free frames; 0 a default. */
  mempoolBytes: u64;
  // kernel/domains/device-page.ts.
  /** 1: its hypercall 41 is NoXS's devctl, 0: dm_op. Fixed when it is first unpaused. */
  devctl: u32;
  /** Entries of device pages that name it as the backend. */
  devicesOffered: u32;
  /** Frame of its device page, 0 none yet. */
  devicePageMfn: u64;
  /** While it is being destroyed: domains with ids below this no longer have a device of it. */
  devicesForgottenBelow: u32;
  /** XEN_X86_EMU_*: devices emulated for it. */
  emulation: u32;
  /** vCPU that took the latest interrupt of lowest priority (kernel/ipi.ts). */
  lowestPriorityVcpu: u32;
}
