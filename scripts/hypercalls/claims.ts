/**
 * Typevisor's support of each of Xen's hypercalls: the source of docs/hypercalls.md. It is verified by
 * test/unit/kernel/hypercalls.test.ts, which makes every call of this list.
 */
import * as errno from "../../abi/errno.ts";
import { EvtchnAllocUnbound, EvtchnBindInterdomain, EvtchnReset, EvtchnStatus } from "../../abi/event-channel.ts";
import { GnttabGetVersion, GnttabQuerySize, GnttabSetupTable } from "../../abi/grant-table.ts";
import { HvmGetMemType, HvmPagetableDying, HvmParam } from "../../abi/hvm.ts";
import {
  AddToPhysmap,
  AddToPhysmapBatch,
  ForeignMemoryMap,
  MemAccessOp,
  MemoryDomain,
  MemoryReservation,
  PodTarget,
  RemoveFromPhysmap,
  VnumaTopologyInfo,
} from "../../abi/memory.ts";

/** Results other than numbers: the call does not return, because the vCPU waits or the domain ends. */
export type Answer = number | "waits" | "ends";

export interface Claim {
  /**
   * The result of the call, made by an ordinary guest (domctl and sysctl: by domain 0) with a structure of zeroes, in which
   * the domain id, if any, is DOMID_SELF.
   */
  answer: Answer;
  /** The call is unimplemented and always refused. Otherwise it is implemented, and the answer is one of its results. */
  refused?: true;
  /** Byte offset of the domain id in the structure. */
  self?: number;
  /** A null pointer is passed: the call takes no structure. */
  bare?: true;
  /** Where it differs from Xen 4.17, or why it is refused. */
  note?: string;
  /** The test that checks it: `selftest NAME` (guests/selftest, which also runs on real Xen), or `FILE: TITLE` of test/. */
  test: string;
}

const refused = (answer: number, test: string, note?: string): Claim => ({
  answer: -answer,
  refused: true,
  test,
  ...(note === undefined ? {} : { note }),
});
const pvOnly = refused(errno.ENOSYS, "selftest refused-pv-only", "for PV guests only");
const pvhv1 = refused(errno.ENOSYS, "selftest refused-pv-only", "for PV guests only; PVHv1 guests: below");
const physical = refused(errno.ENOSYS, "selftest refused-physdev", "a PVH guest has no physical interrupts");
const hardware = refused(errno.ENOSYS, "selftest refused-physdev-hardware", "for the hardware domain");

const noSysctl = refused(errno.ENOSYS, "unit/kernel/control.test.ts: sysctl describes the machine");
const noDomctl = refused(
  errno.ENOSYS,
  "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
);

const SOFT_RESET =
  "unit/kernel/soft-reset.test.ts: it goes on in its memory, and what it had asked of the hypervisor is as in a new domain";

/** Hypercalls without sub-operations, or refused whatever the sub-operation. */
export const CALLS: Record<string, Claim | undefined> = {
  set_trap_table: pvOnly,
  mmu_update: pvhv1,
  set_gdt: pvOnly,
  stack_switch: pvOnly,
  set_callbacks: pvOnly,
  fpu_taskswitch: pvOnly,
  sched_op_compat: pvOnly,
  set_debugreg: pvOnly,
  get_debugreg: pvOnly,
  update_descriptor: pvOnly,
  update_va_mapping: pvhv1,
  event_channel_op_compat: pvOnly,
  physdev_op_compat: pvOnly,
  update_va_mapping_otherdomain: pvOnly,
  iret: pvOnly,
  set_segment_base: pvOnly,
  nmi_op: pvOnly,
  callback_op: pvOnly,
  platform_op: refused(
    errno.EACCES,
    "selftest refused-platform-version",
    "-EACCES for another interface version, then -EPERM: for domain 0's kernel",
  ),
  multicall: { answer: 0, test: "selftest multicall-results" },
  set_timer_op: { answer: 0, test: "selftest timer-set-timer-op" },
  mmuext_op: refused(
    errno.EPERM,
    "selftest refused-mmuext",
    "PV domains' page tables; zero names domain 0; PVHv1 guests: below",
  ),
  xsm_op: refused(errno.ENOSYS, "selftest refused-pv-only", "no security module"),
  xenoprof_op: refused(errno.ENOSYS, "selftest refused-pv-only"),
  kexec_op: refused(errno.ENOSYS, "selftest refused-pv-only"),
  tmem_op: refused(errno.ENOSYS, "selftest refused-pv-only", "gone from Xen"),
  argo_op: refused(errno.ENOSYS, "selftest refused-pv-only", "Debian's Xen is built without it"),
  xenpmu_op: refused(errno.EOPNOTSUPP, "selftest refused-xenpmu", "performance monitoring is off by default"),
  dm_op: refused(
    errno.ENODATA,
    "selftest refused-dm",
    "for device models: -EPERM in the end; domains with NoXS: below",
  ),
  hypfs_op: refused(
    errno.EPERM,
    "unit/kernel/absent-ops.test.ts: a guest's calls are refused check by check",
    "for domain 0, which has none either",
  ),
  mca: refused(errno.ENOSYS, "selftest refused-pv-only"),
  paging_domctl_cont: refused(
    errno.EOPNOTSUPP,
    "selftest refused-domctl-continuation",
    "the rest of a long XEN_DOMCTL_shadow_op: none is long here",
  ),
};

/** A call that only some domains have. It is not made with zeroes; the test has its answers. */
export interface SpecialCall {
  number: number;
  name: string;
  /** Which domains have it, and what others have at its number. */
  who: string;
  note: string;
  test: string;
}

const NOXS = "PVHv1 guests, and those made with NoXS; others: dm_op";
const PVHV1 = "PVHv1 guests, from 64-bit code; others: as above";

export const SPECIAL_CALLS: SpecialCall[] = [
  {
    number: 41,
    name: "XEN_DEVCTL_get",
    who: NOXS,
    note: "of the caller's own page; domain 0: of any, which a domain that has not run thereby gets",
    test: "unit/kernel/devctl.test.ts: a guest may get its own page and nothing else",
  },
  ...["XEN_DEVCTL_dev_add", "XEN_DEVCTL_dev_rem", "XEN_DEVCTL_dev_enum"].map((name) => ({
    number: 41,
    name,
    who: NOXS,
    note: "domain 0 only: -EPERM",
    test: "unit/kernel/devctl.test.ts: domain 0's errors, in their order",
  })),
  {
    number: 1,
    name: "mmu_update",
    who: PVHV1,
    note: "the tables are the guest's own: entries are not checked; MMU_MACHPHYS_UPDATE: -EINVAL",
    test: "unit/kernel/pvhv1.test.ts: mmu_update writes its tables",
  },
  {
    number: 14,
    name: "update_va_mapping",
    who: PVHV1,
    note: "the lowest-level entry, as above",
    test: "unit/kernel/pvhv1.test.ts: update_va_mapping writes the entry of a linear address",
  },
  {
    number: 26,
    name: "mmuext_op",
    who: PVHV1,
    note: "flushes, and pins without effect; else -EOPNOTSUPP",
    test: "unit/kernel/pvhv1.test.ts: mmuext_op flushes and takes pins for done",
  },
];

/** Sub-operations. */
export const OPERATIONS: Record<string, Claim | undefined> = {
  XENMEM_increase_reservation: { answer: 0, self: MemoryReservation.domid, test: "selftest memory-reservation" },
  XENMEM_decrease_reservation: { answer: 0, self: MemoryReservation.domid, test: "selftest memory-balloon" },
  XENMEM_maximum_ram_page: { answer: 16384, test: "selftest memory-reservation" },
  XENMEM_current_reservation: { answer: 64, self: MemoryDomain.domid, test: "selftest memory-reservation" },
  XENMEM_maximum_reservation: { answer: 128, self: MemoryDomain.domid, test: "selftest memory-reservation" },
  XENMEM_machphys_mfn_list: refused(
    errno.ENOSYS,
    "unit/kernel/memory-op.test.ts: what is not offered, or not to a guest",
    "Xen tells where its table of machine frames is; there is none here",
  ),
  XENMEM_populate_physmap: { answer: 0, self: MemoryReservation.domid, test: "selftest memory-balloon" },
  XENMEM_add_to_physmap: { answer: 0, self: AddToPhysmap.domid, test: "selftest physmap-shared-info" },
  XENMEM_memory_map: {
    answer: -errno.ENOSYS,
    note: "-ENOSYS until somebody has set a map, as on Xen",
    test: "selftest memory-map",
  },
  XENMEM_machine_memory_map: refused(errno.ENOSYS, "selftest memory-machine-refused"),
  XENMEM_exchange: {
    answer: 0,
    note: "only an exchange of nothing succeeds, else -EOPNOTSUPP as on Xen",
    test: "selftest memory-exchange-refused",
  },
  XENMEM_machphys_mapping: refused(errno.ENOSYS, "selftest memory-absent"),
  XENMEM_set_memory_map: { answer: 0, self: ForeignMemoryMap.domid, test: "selftest memory-map" },
  XENMEM_maximum_gpfn: { answer: 63, self: MemoryDomain.domid, test: "selftest memory-reservation" },
  XENMEM_remove_from_physmap: { answer: 0, self: RemoveFromPhysmap.domid, test: "selftest physmap-remove" },
  XENMEM_set_pod_target: {
    answer: -errno.EPERM,
    self: PodTarget.domid,
    note: "for domain 0",
    test: "selftest memory-pod-refused",
  },
  XENMEM_get_pod_target: {
    answer: -errno.EPERM,
    self: PodTarget.domid,
    note: "for domain 0",
    test: "selftest memory-pod-refused",
  },
  XENMEM_get_sharing_freed_pages: { answer: 0, test: "selftest memory-absent" },
  XENMEM_get_sharing_shared_pages: { answer: 0, test: "selftest memory-absent" },
  XENMEM_paging_op: refused(errno.ENOSYS, "selftest memory-absent"),
  XENMEM_access_op: { ...refused(errno.ESRCH, "selftest memory-access-refused"), self: MemAccessOp.domid },
  XENMEM_sharing_op: refused(errno.ENOSYS, "selftest memory-absent"),
  XENMEM_add_to_physmap_batch: { answer: 0, self: AddToPhysmapBatch.domid, test: "selftest physmap-batch" },
  XENMEM_claim_pages: {
    answer: -errno.EINVAL,
    self: MemoryReservation.domid,
    note: "for domain 0",
    test: "selftest memory-claim-refused",
  },
  XENMEM_machphys_compat_mfn_list: refused(errno.EOPNOTSUPP, "selftest memory-absent"),
  XENMEM_get_vnumainfo: {
    ...refused(errno.EOPNOTSUPP, "selftest memory-vnuma", "no domain has a virtual NUMA topology"),
    self: VnumaTopologyInfo.domid,
  },
  XENMEM_reserved_device_memory_map: { answer: 0, test: "selftest memory-reserved-devices" },
  XENMEM_acquire_resource: {
    answer: -errno.EACCES,
    note: "for domain 0; grant tables only",
    test: "unit/kernel/control.test.ts: a guest's grant table in domain 0's window",
  },
  XENVER_version: { answer: 262161, test: "selftest version-number" },
  XENVER_extraversion: { answer: 0, test: "selftest version-extraversion" },
  XENVER_compile_info: { answer: 0, test: "selftest version-compile-info" },
  XENVER_capabilities: { answer: 0, test: "selftest version-capabilities" },
  XENVER_changeset: { answer: 0, test: "selftest version-changeset" },
  XENVER_platform_parameters: { answer: 0, test: "selftest version-platform-parameters" },
  XENVER_get_features: { answer: 0, test: "selftest version-features" },
  XENVER_pagesize: { answer: 4096, bare: true, test: "selftest version-pagesize" },
  XENVER_guest_handle: { answer: 0, test: "selftest version-guest-handle" },
  XENVER_commandline: { answer: 0, test: "selftest version-commandline" },
  XENVER_build_id: refused(
    errno.EPERM,
    "selftest version-build-id-refused",
    "for domain 0, which is told that there is none",
  ),
  CONSOLEIO_write: {
    answer: 0,
    note: "a Xen without debugging lets only domain 0 write",
    test: "selftest console-write",
  },
  CONSOLEIO_read: { answer: -errno.EPERM, note: "for domain 0", test: "selftest console-read-refused" },
  GNTTABOP_map_grant_ref: { answer: 0, test: "selftest grant-map" },
  GNTTABOP_unmap_grant_ref: { answer: 0, test: "selftest grant-unmap-errors" },
  GNTTABOP_setup_table: { answer: 0, self: GnttabSetupTable.dom, test: "selftest grant-setup" },
  GNTTABOP_dump_table: refused(errno.ENOSYS, "selftest grant-refused"),
  GNTTABOP_transfer: refused(errno.ENOSYS, "selftest grant-refused"),
  GNTTABOP_copy: { answer: 0, test: "selftest grant-copy-frames" },
  GNTTABOP_query_size: { answer: 0, self: GnttabQuerySize.dom, test: "selftest grant-query-size" },
  GNTTABOP_unmap_and_replace: refused(errno.ENOSYS, "selftest grant-refused"),
  GNTTABOP_set_version: {
    answer: -errno.EINVAL,
    note: "version 2: -ENOSYS, as with max_grant_version=1",
    test: "unit/kernel/grant-table.test.ts: set-up, versions and what is refused",
  },
  GNTTABOP_get_status_frames: refused(errno.ENOSYS, "selftest grant-refused"),
  GNTTABOP_get_version: { answer: 0, self: GnttabGetVersion.dom, test: "selftest grant-version" },
  GNTTABOP_swap_grant_ref: { answer: 0, test: "selftest grant-swap" },
  GNTTABOP_cache_flush: refused(errno.ENOSYS, "selftest grant-refused"),
  VMASST_CMD_enable: {
    answer: 0,
    note: "of the types, VMASST_TYPE_runstate_update_flag: HVM guests have no other",
    test: "selftest vcpu-assist",
  },
  VMASST_CMD_disable: {
    answer: 0,
    note: "of the types, VMASST_TYPE_runstate_update_flag: HVM guests have no other",
    test: "selftest vcpu-assist",
  },
  VCPUOP_initialise: { answer: -errno.EEXIST, test: "selftest smp-initialise-errors" },
  VCPUOP_up: { answer: 0, test: "selftest smp-up" },
  VCPUOP_down: { answer: "ends", note: "the last one that is up ends the domain", test: "selftest smp-down-up" },
  VCPUOP_is_up: { answer: 1, test: "selftest vcpu-is-up" },
  VCPUOP_get_runstate_info: { answer: 0, test: "selftest vcpu-runstate" },
  VCPUOP_register_runstate_memory_area: { answer: 0, test: "selftest vcpu-runstate-area" },
  VCPUOP_set_periodic_timer: { answer: -errno.EINVAL, test: "selftest timer-periodic" },
  VCPUOP_stop_periodic_timer: { answer: 0, test: "selftest timer-periodic" },
  VCPUOP_set_singleshot_timer: { answer: 0, test: "selftest timer-singleshot" },
  VCPUOP_stop_singleshot_timer: { answer: 0, test: "selftest timer-singleshot-stopped" },
  VCPUOP_register_vcpu_info: { answer: 0, test: "selftest last-vcpu-info" },
  VCPUOP_send_nmi: { answer: 0, bare: true, test: "selftest vcpu-nmi" },
  VCPUOP_get_physid: refused(errno.EINVAL, "selftest vcpu-physid"),
  VCPUOP_register_vcpu_time_memory_area: { answer: 0, test: "selftest vcpu-time-area" },
  SCHEDOP_yield: { answer: 0, test: "selftest sched-yield" },
  SCHEDOP_block: { answer: "waits", test: "selftest sched-block" },
  SCHEDOP_shutdown: { answer: "ends", test: "selftest sched-shutdown-bad-pointer" },
  SCHEDOP_poll: { answer: "waits", test: "selftest sched-poll-pending" },
  SCHEDOP_remote_shutdown: { answer: -errno.EPERM, note: "for domain 0", test: "selftest sched-remote-shutdown" },
  SCHEDOP_shutdown_code: { answer: 0, test: "selftest last-shutdown-code" },
  SCHEDOP_watchdog: { answer: "ends", test: "selftest sched-watchdog" },
  SCHEDOP_pin_override: refused(errno.EPERM, "selftest sched-pin-override-refused"),
  EVTCHNOP_bind_interdomain: {
    answer: -errno.EINVAL,
    self: EvtchnBindInterdomain.remote_dom,
    test: "selftest event-interdomain",
  },
  EVTCHNOP_bind_virq: { answer: 0, test: "selftest event-virq" },
  EVTCHNOP_bind_pirq: refused(
    errno.EINVAL,
    "selftest event-pirq-refused",
    "no domain has physical interrupts; Xen binds an HVM guest's low ones to nothing",
  ),
  EVTCHNOP_close: { answer: -errno.EINVAL, test: "selftest event-unbound" },
  EVTCHNOP_send: { answer: -errno.EINVAL, test: "selftest event-interdomain" },
  EVTCHNOP_status: { answer: 0, self: EvtchnStatus.dom, test: "selftest event-unbound" },
  EVTCHNOP_alloc_unbound: { answer: 0, self: EvtchnAllocUnbound.dom, test: "selftest event-unbound" },
  EVTCHNOP_bind_ipi: { answer: 0, test: "selftest event-ipi" },
  EVTCHNOP_bind_vcpu: { answer: -errno.EINVAL, test: "selftest smp-bind-vcpu" },
  EVTCHNOP_unmask: { answer: 0, test: "selftest delivery-mask" },
  EVTCHNOP_reset: { answer: 0, self: EvtchnReset.dom, test: "selftest last-reset" },
  EVTCHNOP_init_control: { answer: 0, test: "selftest fifo-links" },
  EVTCHNOP_expand_array: { answer: -errno.EOPNOTSUPP, test: "selftest fifo-links" },
  EVTCHNOP_set_priority: {
    answer: -errno.ENOSYS,
    note: "-ENOSYS in the 2-level ABI, as on Xen",
    test: "selftest fifo-priorities",
  },
  EVTCHNOP_reset_cont: {
    answer: -errno.EBUSY,
    self: EvtchnReset.dom,
    note: "the rest of a reset that was preempted",
    test: "selftest fifo-reset",
  },
  PHYSDEVOP_irq_status_query: physical,
  PHYSDEVOP_set_iopl: physical,
  PHYSDEVOP_set_iobitmap: physical,
  PHYSDEVOP_apic_read: physical,
  PHYSDEVOP_apic_write: physical,
  PHYSDEVOP_alloc_irq_vector: physical,
  PHYSDEVOP_free_irq_vector: physical,
  PHYSDEVOP_eoi: physical,
  PHYSDEVOP_map_pirq: physical,
  PHYSDEVOP_unmap_pirq: physical,
  PHYSDEVOP_manage_pci_add: physical,
  PHYSDEVOP_manage_pci_remove: physical,
  PHYSDEVOP_pirq_eoi_gmfn_v1: physical,
  PHYSDEVOP_restore_msi: physical,
  PHYSDEVOP_manage_pci_add_ext: physical,
  PHYSDEVOP_setup_gsi: physical,
  PHYSDEVOP_get_free_pirq: physical,
  PHYSDEVOP_pci_mmcfg_reserved: hardware,
  PHYSDEVOP_pci_device_add: hardware,
  PHYSDEVOP_pci_device_remove: hardware,
  PHYSDEVOP_restore_msi_ext: physical,
  PHYSDEVOP_pirq_eoi_gmfn_v2: physical,
  PHYSDEVOP_dbgp_op: hardware,
  PHYSDEVOP_prepare_msix: physical,
  PHYSDEVOP_release_msix: physical,
  HVMOP_set_param: { answer: 0, self: HvmParam.domid, test: "selftest hvm-param-set" },
  HVMOP_get_param: { answer: 0, self: HvmParam.domid, test: "selftest hvm-param-get" },
  HVMOP_set_pci_intx_level: refused(errno.ENOSYS, "selftest hvm-unknown", "of Xen before 4.9"),
  HVMOP_set_isa_irq_level: refused(errno.ENOSYS, "selftest hvm-unknown", "of Xen before 4.9"),
  HVMOP_set_pci_link_route: refused(errno.ENOSYS, "selftest hvm-unknown", "of Xen before 4.9"),
  HVMOP_flush_tlbs: { answer: 0, bare: true, test: "selftest hvm-misc" },
  HVMOP_pagetable_dying: {
    ...refused(errno.EINVAL, "selftest hvm-misc", "only shadow paging wants to know"),
    self: HvmPagetableDying.domid,
  },
  HVMOP_get_time: { answer: 0, test: "selftest hvm-misc" },
  HVMOP_xentrace: { answer: 0, test: "selftest hvm-misc" },
  HVMOP_set_mem_access: refused(errno.ENOSYS, "selftest hvm-unknown", "of Xen before 4.9"),
  HVMOP_get_mem_access: refused(errno.ENOSYS, "selftest hvm-unknown", "of Xen before 4.9"),
  HVMOP_get_mem_type: { answer: 0, self: HvmGetMemType.domid, test: "selftest hvm-misc" },
  HVMOP_set_evtchn_upcall_vector: { answer: -errno.EINVAL, test: "selftest hvm-upcall-vector-errors" },
  HVMOP_guest_request_vm_event: { answer: 0, bare: true, test: "selftest hvm-misc" },
  HVMOP_altp2m: refused(errno.EOPNOTSUPP, "selftest hvm-misc", "without the hardware's support"),
  XEN_SYSCTL_readconsole: { answer: 0, test: "unit/kernel/control.test.ts: sysctl describes the machine" },
  XEN_SYSCTL_tbuf_op: noSysctl,
  XEN_SYSCTL_physinfo: { answer: 0, test: "unit/kernel/control.test.ts: sysctl describes the machine" },
  XEN_SYSCTL_sched_id: { answer: 0, test: "unit/kernel/control.test.ts: sysctl describes the machine" },
  XEN_SYSCTL_perfc_op: { answer: -errno.EINVAL, test: "unit/kernel/control.test.ts: sysctl describes the machine" },
  XEN_SYSCTL_getdomaininfolist: { answer: 0, test: "unit/kernel/control.test.ts: sysctl describes the machine" },
  XEN_SYSCTL_debug_keys: { answer: 0, test: "unit/kernel/control.test.ts: sysctl describes the machine" },
  XEN_SYSCTL_getcpuinfo: { answer: 0, test: "unit/kernel/control.test.ts: sysctl describes the machine" },
  XEN_SYSCTL_availheap: { answer: 0, test: "unit/kernel/control.test.ts: sysctl describes the machine" },
  XEN_SYSCTL_get_pmstat: noSysctl,
  XEN_SYSCTL_cpu_hotplug: noSysctl,
  XEN_SYSCTL_pm_op: noSysctl,
  XEN_SYSCTL_page_offline_op: noSysctl,
  XEN_SYSCTL_lockprof_op: noSysctl,
  XEN_SYSCTL_cputopoinfo: { answer: 0, test: "unit/kernel/control.test.ts: sysctl describes the machine" },
  XEN_SYSCTL_numainfo: { answer: 0, test: "unit/kernel/control.test.ts: sysctl describes the machine" },
  XEN_SYSCTL_cpupool_op: {
    answer: -errno.EOPNOTSUPP,
    test: "unit/kernel/control.test.ts: sysctl describes the machine",
  },
  XEN_SYSCTL_scheduler_op: { answer: -errno.EINVAL, test: "unit/kernel/control.test.ts: sysctl describes the machine" },
  XEN_SYSCTL_coverage_op: noSysctl,
  XEN_SYSCTL_psr_cmt_op: noSysctl,
  XEN_SYSCTL_pcitopoinfo: noSysctl,
  XEN_SYSCTL_psr_alloc: noSysctl,
  XEN_SYSCTL_get_cpu_levelling_caps: noSysctl,
  XEN_SYSCTL_get_cpu_featureset: noSysctl,
  XEN_SYSCTL_livepatch_op: noSysctl,
  XEN_SYSCTL_get_cpu_policy: { answer: 0, test: "unit/kernel/control.test.ts: sysctl describes the machine" },
  XEN_DOMCTL_createdomain: {
    answer: -errno.EEXIST,
    test: "unit/kernel/control.test.ts: createdomain refuses what cannot be had, and leaves nothing behind",
  },
  XEN_DOMCTL_destroydomain: {
    answer: 0,
    test: "unit/kernel/control.test.ts: foreign memory in domain 0's window, and a domain that dies under it",
  },
  XEN_DOMCTL_pausedomain: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_unpausedomain: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_getdomaininfo: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_setvcpuaffinity: {
    answer: -errno.EINVAL,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_shadow_op: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_max_mem: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_setvcpucontext: refused(
    errno.EOPNOTSUPP,
    "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  ),
  XEN_DOMCTL_getvcpucontext: refused(
    errno.EOPNOTSUPP,
    "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  ),
  XEN_DOMCTL_getvcpuinfo: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_max_vcpus: {
    answer: -errno.EINVAL,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_scheduler_op: {
    answer: -errno.EINVAL,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_setdomainhandle: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_setdebugging: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_irq_permission: refused(
    errno.EPERM,
    "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  ),
  XEN_DOMCTL_iomem_permission: refused(
    errno.EPERM,
    "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  ),
  XEN_DOMCTL_ioport_permission: refused(
    errno.EPERM,
    "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  ),
  XEN_DOMCTL_hypercall_init: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_soft_reset_cont: noDomctl,
  XEN_DOMCTL_settimeoffset: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_getvcpuaffinity: {
    answer: -errno.EINVAL,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_real_mode_area: noDomctl,
  XEN_DOMCTL_resumedomain: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_sendtrigger: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_subscribe: noDomctl,
  XEN_DOMCTL_gethvmcontext: { answer: 0, test: "unit/kernel/control.test.ts: the register records of sethvmcontext" },
  XEN_DOMCTL_sethvmcontext: {
    answer: -errno.ENODATA,
    test: "unit/kernel/control.test.ts: the register records of sethvmcontext",
  },
  XEN_DOMCTL_set_address_size: refused(
    errno.EOPNOTSUPP,
    "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  ),
  XEN_DOMCTL_get_address_size: refused(
    errno.EOPNOTSUPP,
    "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  ),
  XEN_DOMCTL_assign_device: noDomctl,
  XEN_DOMCTL_bind_pt_irq: noDomctl,
  XEN_DOMCTL_memory_mapping: refused(
    errno.EPERM,
    "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  ),
  XEN_DOMCTL_ioport_mapping: refused(
    errno.EPERM,
    "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  ),
  XEN_DOMCTL_set_ext_vcpucontext: noDomctl,
  XEN_DOMCTL_get_ext_vcpucontext: noDomctl,
  XEN_DOMCTL_set_opt_feature: noDomctl,
  XEN_DOMCTL_test_assign_device: noDomctl,
  XEN_DOMCTL_set_target: noDomctl,
  XEN_DOMCTL_deassign_device: noDomctl,
  XEN_DOMCTL_unbind_pt_irq: noDomctl,
  XEN_DOMCTL_get_device_group: noDomctl,
  XEN_DOMCTL_debug_op: noDomctl,
  XEN_DOMCTL_gethvmcontext_partial: noDomctl,
  XEN_DOMCTL_vm_event_op: noDomctl,
  XEN_DOMCTL_mem_sharing_op: noDomctl,
  XEN_DOMCTL_gettscinfo: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_settscinfo: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_getpageframeinfo3: noDomctl,
  XEN_DOMCTL_setvcpuextstate: noDomctl,
  XEN_DOMCTL_getvcpuextstate: noDomctl,
  XEN_DOMCTL_set_access_required: noDomctl,
  XEN_DOMCTL_audit_p2m: noDomctl,
  XEN_DOMCTL_set_virq_handler: {
    answer: -errno.EINVAL,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_set_broken_page_p2m: noDomctl,
  XEN_DOMCTL_setnodeaffinity: {
    answer: -errno.EINVAL,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_getnodeaffinity: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_cacheflush: noDomctl,
  XEN_DOMCTL_get_vcpu_msrs: noDomctl,
  XEN_DOMCTL_set_vcpu_msrs: noDomctl,
  XEN_DOMCTL_setvnumainfo: noDomctl,
  XEN_DOMCTL_psr_cmt_op: noDomctl,
  XEN_DOMCTL_monitor_op: noDomctl,
  XEN_DOMCTL_psr_alloc: noDomctl,
  XEN_DOMCTL_soft_reset: { answer: -errno.EINVAL, test: SOFT_RESET },
  XEN_DOMCTL_vuart_op: noDomctl,
  XEN_DOMCTL_get_cpu_policy: noDomctl,
  XEN_DOMCTL_set_cpu_policy: noDomctl,
  XEN_DOMCTL_vmtrace_op: noDomctl,
  XEN_DOMCTL_get_paging_mempool_size: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_set_paging_mempool_size: {
    answer: 0,
    test: "unit/kernel/control.test.ts: a domain's life, as far as domctl tells and makes it",
  },
  XEN_DOMCTL_gdbsx_guestmemio: noDomctl,
  XEN_DOMCTL_gdbsx_pausevcpu: noDomctl,
  XEN_DOMCTL_gdbsx_unpausevcpu: noDomctl,
  XEN_DOMCTL_gdbsx_domstatus: noDomctl,
};
