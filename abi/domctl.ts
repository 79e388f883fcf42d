/**
 * Domain control: numbers and layouts of xen/domctl.h (Xen 4.17). Every structure here is a member of the union at Domctl.u.
 *
 * A field whose C name is a path carries it in a trailing comment. Offsets and sizes in bytes, 64-bit layout.
 */

export const XEN_DOMCTL_INTERFACE_VERSION: u32 = 21;

// XEN_DOMCTL_*: values of Domctl.cmd.
export const XEN_DOMCTL_createdomain: u32 = 1;
export const XEN_DOMCTL_destroydomain: u32 = 2;
export const XEN_DOMCTL_pausedomain: u32 = 3;
export const XEN_DOMCTL_unpausedomain: u32 = 4;
export const XEN_DOMCTL_getdomaininfo: u32 = 5;
export const XEN_DOMCTL_setvcpuaffinity: u32 = 9;
export const XEN_DOMCTL_shadow_op: u32 = 10;
export const XEN_DOMCTL_max_mem: u32 = 11;
export const XEN_DOMCTL_setvcpucontext: u32 = 12;
export const XEN_DOMCTL_getvcpucontext: u32 = 13;
export const XEN_DOMCTL_getvcpuinfo: u32 = 14;
export const XEN_DOMCTL_max_vcpus: u32 = 15;
export const XEN_DOMCTL_scheduler_op: u32 = 16;
export const XEN_DOMCTL_setdomainhandle: u32 = 17;
export const XEN_DOMCTL_setdebugging: u32 = 18;
export const XEN_DOMCTL_irq_permission: u32 = 19;
export const XEN_DOMCTL_iomem_permission: u32 = 20;
export const XEN_DOMCTL_ioport_permission: u32 = 21;
export const XEN_DOMCTL_hypercall_init: u32 = 22;
export const XEN_DOMCTL_settimeoffset: u32 = 24;
export const XEN_DOMCTL_getvcpuaffinity: u32 = 25;
export const XEN_DOMCTL_real_mode_area: u32 = 26;
export const XEN_DOMCTL_resumedomain: u32 = 27;
export const XEN_DOMCTL_sendtrigger: u32 = 28;
export const XEN_DOMCTL_subscribe: u32 = 29;
export const XEN_DOMCTL_gethvmcontext: u32 = 33;
export const XEN_DOMCTL_sethvmcontext: u32 = 34;
export const XEN_DOMCTL_set_address_size: u32 = 35;
export const XEN_DOMCTL_get_address_size: u32 = 36;
export const XEN_DOMCTL_assign_device: u32 = 37;
export const XEN_DOMCTL_bind_pt_irq: u32 = 38;
export const XEN_DOMCTL_memory_mapping: u32 = 39;
export const XEN_DOMCTL_ioport_mapping: u32 = 40;
export const XEN_DOMCTL_set_ext_vcpucontext: u32 = 42;
export const XEN_DOMCTL_get_ext_vcpucontext: u32 = 43;
export const XEN_DOMCTL_set_opt_feature: u32 = 44;
export const XEN_DOMCTL_test_assign_device: u32 = 45;
export const XEN_DOMCTL_set_target: u32 = 46;
export const XEN_DOMCTL_deassign_device: u32 = 47;
export const XEN_DOMCTL_unbind_pt_irq: u32 = 48;
export const XEN_DOMCTL_get_device_group: u32 = 50;
export const XEN_DOMCTL_debug_op: u32 = 54;
export const XEN_DOMCTL_gethvmcontext_partial: u32 = 55;
export const XEN_DOMCTL_vm_event_op: u32 = 56;
export const XEN_DOMCTL_mem_sharing_op: u32 = 57;
export const XEN_DOMCTL_gettscinfo: u32 = 59;
export const XEN_DOMCTL_settscinfo: u32 = 60;
export const XEN_DOMCTL_getpageframeinfo3: u32 = 61;
export const XEN_DOMCTL_setvcpuextstate: u32 = 62;
export const XEN_DOMCTL_getvcpuextstate: u32 = 63;
export const XEN_DOMCTL_set_access_required: u32 = 64;
export const XEN_DOMCTL_audit_p2m: u32 = 65;
export const XEN_DOMCTL_set_virq_handler: u32 = 66;
export const XEN_DOMCTL_set_broken_page_p2m: u32 = 67;
export const XEN_DOMCTL_setnodeaffinity: u32 = 68;
export const XEN_DOMCTL_getnodeaffinity: u32 = 69;
export const XEN_DOMCTL_cacheflush: u32 = 71;
export const XEN_DOMCTL_get_vcpu_msrs: u32 = 72;
export const XEN_DOMCTL_set_vcpu_msrs: u32 = 73;
export const XEN_DOMCTL_setvnumainfo: u32 = 74;
export const XEN_DOMCTL_psr_cmt_op: u32 = 75;
export const XEN_DOMCTL_monitor_op: u32 = 77;
export const XEN_DOMCTL_psr_alloc: u32 = 78;
export const XEN_DOMCTL_soft_reset: u32 = 79;
export const XEN_DOMCTL_vuart_op: u32 = 81;
export const XEN_DOMCTL_get_cpu_policy: u32 = 82;
export const XEN_DOMCTL_set_cpu_policy: u32 = 83;
export const XEN_DOMCTL_vmtrace_op: u32 = 84;
export const XEN_DOMCTL_get_paging_mempool_size: u32 = 85;
export const XEN_DOMCTL_set_paging_mempool_size: u32 = 86;
export const XEN_DOMCTL_gdbsx_guestmemio: u32 = 1000;
export const XEN_DOMCTL_gdbsx_pausevcpu: u32 = 1001;
export const XEN_DOMCTL_gdbsx_unpausevcpu: u32 = 1002;
export const XEN_DOMCTL_gdbsx_domstatus: u32 = 1003;

// Flags of DomctlCreatedomain.flags.
export const XEN_DOMCTL_CDF_hvm: u32 = 1;
export const XEN_DOMCTL_CDF_hap: u32 = 2;
export const XEN_DOMCTL_CDF_s3_integrity: u32 = 4;
export const XEN_DOMCTL_CDF_oos_off: u32 = 8;
export const XEN_DOMCTL_CDF_xs_domain: u32 = 16;
export const XEN_DOMCTL_CDF_iommu: u32 = 32;
export const XEN_DOMCTL_CDF_nested_virt: u32 = 64;
export const XEN_DOMCTL_CDF_vpmu: u32 = 128;
export const XEN_DOMCTL_CDF_MAX: u32 = 128;
export const XEN_DOMCTL_GRANT_version_mask: u32 = 15;
export const XEN_DOMCTL_IOMMU_MAX: u32 = 1;

// Emulated devices (DomctlCreatedomain.arch_emulation_flags): a PVH guest has the local APIC only.
export const XEN_X86_EMU_LAPIC: u32 = 1;
export const XEN_X86_EMU_HPET: u32 = 2;
export const XEN_X86_EMU_PM: u32 = 4;
export const XEN_X86_EMU_RTC: u32 = 8;
export const XEN_X86_EMU_IOAPIC: u32 = 16;
export const XEN_X86_EMU_PIC: u32 = 32;
export const XEN_X86_EMU_VGA: u32 = 64;
export const XEN_X86_EMU_IOMMU: u32 = 128;
export const XEN_X86_EMU_PIT: u32 = 256;
export const XEN_X86_EMU_USE_PIRQ: u32 = 512;
export const XEN_X86_EMU_VPCI: u32 = 1024;
export const XEN_X86_EMU_ALL: u32 = 2047;
export const XEN_X86_MSR_RELAXED: u32 = 1;
export const XEN_X86_MISC_FLAGS_MAX: u32 = 1;

// Flags of DomctlGetdomaininfo.flags.
export const XEN_DOMINF_dying: u32 = 1;
export const XEN_DOMINF_hvm_guest: u32 = 2;
export const XEN_DOMINF_shutdown: u32 = 4;
export const XEN_DOMINF_paused: u32 = 8;
export const XEN_DOMINF_blocked: u32 = 16;
export const XEN_DOMINF_running: u32 = 32;
export const XEN_DOMINF_debugged: u32 = 64;
export const XEN_DOMINF_xs_domain: u32 = 128;
export const XEN_DOMINF_hap: u32 = 256;
export const XEN_DOMINF_shutdownmask: u32 = 255;
export const XEN_DOMINF_shutdownshift: u32 = 16;
export const XEN_INVALID_MAX_VCPU_ID: u32 = 0xffffffff;

// Flags of DomctlVcpuaffinity.flags.
export const XEN_VCPUAFFINITY_HARD: u32 = 1;
export const XEN_VCPUAFFINITY_SOFT: u32 = 2;
export const XEN_VCPUAFFINITY_FORCE: u32 = 4;

// Scheduler numbers and sub-commands of XEN_DOMCTL_scheduler_op.
export const XEN_SCHEDULER_CREDIT: u32 = 5;
export const XEN_SCHEDULER_CREDIT2: u32 = 6;
export const XEN_SCHEDULER_ARINC653: u32 = 7;
export const XEN_SCHEDULER_RTDS: u32 = 8;
export const XEN_SCHEDULER_NULL: u32 = 9;
export const XEN_DOMCTL_SCHEDOP_putinfo: u32 = 0;
export const XEN_DOMCTL_SCHEDOP_getinfo: u32 = 1;
export const XEN_DOMCTL_SCHEDOP_putvcpuinfo: u32 = 2;
export const XEN_DOMCTL_SCHEDOP_getvcpuinfo: u32 = 3;

// Sub-commands of XEN_DOMCTL_shadow_op.
export const XEN_DOMCTL_SHADOW_OP_OFF: u32 = 0;
export const XEN_DOMCTL_SHADOW_OP_ENABLE: u32 = 32;
export const XEN_DOMCTL_SHADOW_OP_CLEAN: u32 = 11;
export const XEN_DOMCTL_SHADOW_OP_PEEK: u32 = 12;
export const XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION: u32 = 30;
export const XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION: u32 = 31;

// Triggers of XEN_DOMCTL_sendtrigger.
export const XEN_DOMCTL_SENDTRIGGER_NMI: u32 = 0;
export const XEN_DOMCTL_SENDTRIGGER_RESET: u32 = 1;
export const XEN_DOMCTL_SENDTRIGGER_INIT: u32 = 2;
export const XEN_DOMCTL_SENDTRIGGER_POWER: u32 = 3;
export const XEN_DOMCTL_SENDTRIGGER_SLEEP: u32 = 4;

// Types of XEN_DOMCTL_getpageframeinfo3.
export const XEN_DOMCTL_PFINFO_NOTAB: u32 = 0;
export const XEN_DOMCTL_PFINFO_XTAB: u32 = 0xf0000000;
export const XEN_DOMCTL_PFINFO_XALLOC: u32 = 0xe0000000;
export const XEN_DOMCTL_PFINFO_BROKEN: u32 = 0xd0000000;

// C: struct xen_domctl
export namespace Domctl {
  export const cmd: u32 = 0;
  export const interface_version: u32 = 4;
  export const domain: u32 = 8;
  export const _pad: u32 = 10;
  export const u: u32 = 16;
  export const SIZE: u32 = 144;
}

// C: struct xen_domctl_createdomain
export namespace DomctlCreatedomain {
  export const ssidref: u32 = 0;
  export const handle: u32 = 4;
  export const flags: u32 = 20;
  export const iommu_opts: u32 = 24;
  export const max_vcpus: u32 = 28;
  export const max_evtchn_port: u32 = 32;
  export const max_grant_frames: u32 = 36;
  export const max_maptrack_frames: u32 = 40;
  export const grant_opts: u32 = 44;
  export const vmtrace_size: u32 = 48;
  export const cpupool_id: u32 = 52;
  export const arch_emulation_flags: u32 = 56; // C: arch.emulation_flags
  export const arch_misc_flags: u32 = 60; // C: arch.misc_flags
  export const SIZE: u32 = 64;
}

// C: struct xen_domctl_getdomaininfo
export namespace DomctlGetdomaininfo {
  export const domain: u32 = 0;
  export const pad1: u32 = 2;
  export const flags: u32 = 4;
  export const tot_pages: u32 = 8;
  export const max_pages: u32 = 16;
  export const outstanding_pages: u32 = 24;
  export const shr_pages: u32 = 32;
  export const paged_pages: u32 = 40;
  export const shared_info_frame: u32 = 48;
  export const cpu_time: u32 = 56;
  export const nr_online_vcpus: u32 = 64;
  export const max_vcpu_id: u32 = 68;
  export const ssidref: u32 = 72;
  export const handle: u32 = 76;
  export const cpupool: u32 = 92;
  export const gpaddr_bits: u32 = 96;
  export const pad2: u32 = 97;
  export const arch_config_emulation_flags: u32 = 104; // C: arch_config.emulation_flags
  export const arch_config_misc_flags: u32 = 108; // C: arch_config.misc_flags
  export const SIZE: u32 = 112;
}

// C: struct xen_domctl_getpageframeinfo3
export namespace DomctlGetpageframeinfo3 {
  export const num: u32 = 0;
  export const array: u32 = 8;
  export const SIZE: u32 = 16;
}

// C: struct xen_domctl_shadow_op
export namespace DomctlShadowOp {
  export const op: u32 = 0;
  export const mode: u32 = 4;
  export const mb: u32 = 8;
  export const dirty_bitmap: u32 = 16;
  export const pages: u32 = 24;
  export const stats: u32 = 32;
  export const SIZE: u32 = 40;
}

// C: struct xen_domctl_max_mem
export namespace DomctlMaxMem {
  export const max_memkb: u32 = 0;
  export const SIZE: u32 = 8;
}

// C: struct xen_domctl_vcpucontext
export namespace DomctlVcpucontext {
  export const vcpu: u32 = 0;
  export const ctxt: u32 = 8;
  export const SIZE: u32 = 16;
}

// C: struct xen_domctl_getvcpuinfo
export namespace DomctlGetvcpuinfo {
  export const vcpu: u32 = 0;
  export const online: u32 = 4;
  export const blocked: u32 = 5;
  export const running: u32 = 6;
  export const cpu_time: u32 = 8;
  export const cpu: u32 = 16;
  export const SIZE: u32 = 24;
}

// C: struct xen_domctl_nodeaffinity
export namespace DomctlNodeaffinity {
  export const nodemap: u32 = 0;
  export const SIZE: u32 = 16;
}

// C: struct xen_domctl_vcpuaffinity
export namespace DomctlVcpuaffinity {
  export const vcpu: u32 = 0;
  export const flags: u32 = 4;
  export const cpumap_hard: u32 = 8;
  export const cpumap_soft: u32 = 24;
  export const SIZE: u32 = 40;
}

// C: struct xen_domctl_max_vcpus
export namespace DomctlMaxVcpus {
  export const max: u32 = 0;
  export const SIZE: u32 = 4;
}

// C: struct xen_domctl_sched_credit
export namespace DomctlSchedCredit {
  export const weight: u32 = 0;
  export const cap: u32 = 2;
  export const SIZE: u32 = 4;
}

// C: struct xen_domctl_sched_credit2
export namespace DomctlSchedCredit2 {
  export const weight: u32 = 0;
  export const cap: u32 = 2;
  export const SIZE: u32 = 4;
}

// C: struct xen_domctl_scheduler_op
export namespace DomctlSchedulerOp {
  export const sched_id: u32 = 0;
  export const cmd: u32 = 4;
  export const u: u32 = 8;
  export const SIZE: u32 = 24;
}

// C: struct xen_domctl_setdomainhandle
export namespace DomctlSetdomainhandle {
  export const handle: u32 = 0;
  export const SIZE: u32 = 16;
}

// C: struct xen_domctl_setdebugging
export namespace DomctlSetdebugging {
  export const enable: u32 = 0;
  export const SIZE: u32 = 1;
}

// C: struct xen_domctl_irq_permission
export namespace DomctlIrqPermission {
  export const pirq: u32 = 0;
  export const allow_access: u32 = 4;
  export const pad: u32 = 5;
  export const SIZE: u32 = 8;
}

// C: struct xen_domctl_iomem_permission
export namespace DomctlIomemPermission {
  export const first_mfn: u32 = 0;
  export const nr_mfns: u32 = 8;
  export const allow_access: u32 = 16;
  export const SIZE: u32 = 24;
}

// C: struct xen_domctl_ioport_permission
export namespace DomctlIoportPermission {
  export const first_port: u32 = 0;
  export const nr_ports: u32 = 4;
  export const allow_access: u32 = 8;
  export const SIZE: u32 = 12;
}

// C: struct xen_domctl_hypercall_init
export namespace DomctlHypercallInit {
  export const gmfn: u32 = 0;
  export const SIZE: u32 = 8;
}

// C: struct xen_domctl_settimeoffset
export namespace DomctlSettimeoffset {
  export const time_offset_seconds: u32 = 0;
  export const SIZE: u32 = 8;
}

// C: struct xen_domctl_hvmcontext
export namespace DomctlHvmcontext {
  export const size: u32 = 0;
  export const buffer: u32 = 8;
  export const SIZE: u32 = 16;
}

// C: struct xen_domctl_hvmcontext_partial
export namespace DomctlHvmcontextPartial {
  export const type: u32 = 0;
  export const instance: u32 = 4;
  export const bufsz: u32 = 8;
  export const buffer: u32 = 16;
  export const SIZE: u32 = 24;
}

// C: struct xen_domctl_address_size
export namespace DomctlAddressSize {
  export const size: u32 = 0;
  export const SIZE: u32 = 4;
}

// C: struct xen_domctl_sendtrigger
export namespace DomctlSendtrigger {
  export const trigger: u32 = 0;
  export const vcpu: u32 = 4;
  export const SIZE: u32 = 8;
}

// C: struct xen_domctl_tsc_info
export namespace DomctlTscInfo {
  export const tsc_mode: u32 = 0;
  export const gtsc_khz: u32 = 4;
  export const incarnation: u32 = 8;
  export const pad: u32 = 12;
  export const elapsed_nsec: u32 = 16;
  export const SIZE: u32 = 24;
}

// C: struct xen_domctl_set_virq_handler
export namespace DomctlSetVirqHandler {
  export const virq: u32 = 0;
  export const SIZE: u32 = 4;
}

// C: struct xen_domctl_paging_mempool
export namespace DomctlPagingMempool {
  export const size: u32 = 0;
  export const SIZE: u32 = 8;
}

// C: struct xen_domctl_audit_p2m
export namespace DomctlAuditP2m {
  export const orphans: u32 = 0;
  export const m2p_bad: u32 = 8;
  export const p2m_bad: u32 = 16;
  export const SIZE: u32 = 24;
}
