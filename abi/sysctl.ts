/**
 * System control: numbers and layouts of xen/sysctl.h (Xen 4.17). Every structure here is a member of the union at Sysctl.u.
 *
 * A field whose C name is a path carries it in a trailing comment. Offsets and sizes in bytes, 64-bit layout.
 */

export const XEN_SYSCTL_INTERFACE_VERSION: u32 = 21;

// XEN_SYSCTL_*: values of Sysctl.cmd.
export const XEN_SYSCTL_readconsole: u32 = 1;
export const XEN_SYSCTL_tbuf_op: u32 = 2;
export const XEN_SYSCTL_physinfo: u32 = 3;
export const XEN_SYSCTL_sched_id: u32 = 4;
export const XEN_SYSCTL_perfc_op: u32 = 5;
export const XEN_SYSCTL_getdomaininfolist: u32 = 6;
export const XEN_SYSCTL_debug_keys: u32 = 7;
export const XEN_SYSCTL_getcpuinfo: u32 = 8;
export const XEN_SYSCTL_availheap: u32 = 9;
export const XEN_SYSCTL_get_pmstat: u32 = 10;
export const XEN_SYSCTL_cpu_hotplug: u32 = 11;
export const XEN_SYSCTL_pm_op: u32 = 12;
export const XEN_SYSCTL_page_offline_op: u32 = 14;
export const XEN_SYSCTL_lockprof_op: u32 = 15;
export const XEN_SYSCTL_cputopoinfo: u32 = 16;
export const XEN_SYSCTL_numainfo: u32 = 17;
export const XEN_SYSCTL_cpupool_op: u32 = 18;
export const XEN_SYSCTL_scheduler_op: u32 = 19;
export const XEN_SYSCTL_coverage_op: u32 = 20;
export const XEN_SYSCTL_psr_cmt_op: u32 = 21;
export const XEN_SYSCTL_pcitopoinfo: u32 = 22;
export const XEN_SYSCTL_psr_alloc: u32 = 23;
export const XEN_SYSCTL_get_cpu_levelling_caps: u32 = 25;
export const XEN_SYSCTL_get_cpu_featureset: u32 = 26;
export const XEN_SYSCTL_livepatch_op: u32 = 27;
export const XEN_SYSCTL_get_cpu_policy: u32 = 29;

// Bits of SysctlPhysinfo.capabilities.
export const XEN_SYSCTL_PHYSCAP_hvm: u32 = 1;
export const XEN_SYSCTL_PHYSCAP_pv: u32 = 2;
export const XEN_SYSCTL_PHYSCAP_directio: u32 = 4;
export const XEN_SYSCTL_PHYSCAP_hap: u32 = 8;
export const XEN_SYSCTL_PHYSCAP_shadow: u32 = 16;
export const XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share: u32 = 32;
export const XEN_SYSCTL_PHYSCAP_vmtrace: u32 = 64;
export const XEN_SYSCTL_PHYSCAP_vpmu: u32 = 128;
export const XEN_SYSCTL_PHYSCAP_gnttab_v1: u32 = 256;
export const XEN_SYSCTL_PHYSCAP_gnttab_v2: u32 = 512;
export const XEN_SYSCTL_PHYSCAP_MAX: u32 = 512;
export const XEN_SYSCTL_PERFCOP_reset: u32 = 1;
export const XEN_SYSCTL_PERFCOP_query: u32 = 2;

// Sub-operations of XEN_SYSCTL_cpupool_op.
export const XEN_SYSCTL_CPUPOOL_OP_CREATE: u32 = 1;
export const XEN_SYSCTL_CPUPOOL_OP_DESTROY: u32 = 2;
export const XEN_SYSCTL_CPUPOOL_OP_INFO: u32 = 3;
export const XEN_SYSCTL_CPUPOOL_OP_ADDCPU: u32 = 4;
export const XEN_SYSCTL_CPUPOOL_OP_RMCPU: u32 = 5;
export const XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN: u32 = 6;
export const XEN_SYSCTL_CPUPOOL_OP_FREEINFO: u32 = 7;
export const XEN_SYSCTL_CPUPOOL_PAR_ANY: u32 = 0xffffffff;

// Sub-operations and limits of XEN_SYSCTL_scheduler_op.
export const XEN_SYSCTL_SCHEDOP_putinfo: u32 = 0;
export const XEN_SYSCTL_SCHEDOP_getinfo: u32 = 1;
export const XEN_SYSCTL_CSCHED_TSLICE_MAX: u32 = 1000;
export const XEN_SYSCTL_CSCHED_TSLICE_MIN: u32 = 1;
export const XEN_INVALID_CORE_ID: u32 = 0xffffffff;
export const XEN_INVALID_SOCKET_ID: u32 = 0xffffffff;
export const XEN_INVALID_NODE_ID: u32 = 0xffffffff;
export const XEN_INVALID_MEM_SZ: u32 = 0xffffffff;
export const XEN_INVALID_NODE_DIST: u32 = 0xffffffff;

// XEN_SYSCTL_get_cpu_featureset, XEN_SYSCTL_get_cpu_policy: which set.
export const XEN_SYSCTL_cpu_featureset_raw: u32 = 0;
export const XEN_SYSCTL_cpu_featureset_host: u32 = 1;
export const XEN_SYSCTL_cpu_featureset_pv: u32 = 2;
export const XEN_SYSCTL_cpu_featureset_hvm: u32 = 3;
export const XEN_SYSCTL_cpu_featureset_pv_max: u32 = 4;
export const XEN_SYSCTL_cpu_featureset_hvm_max: u32 = 5;
export const XEN_SYSCTL_cpu_policy_raw: u32 = 0;
export const XEN_SYSCTL_cpu_policy_host: u32 = 1;
export const XEN_SYSCTL_cpu_policy_pv_max: u32 = 2;
export const XEN_SYSCTL_cpu_policy_hvm_max: u32 = 3;
export const XEN_SYSCTL_cpu_policy_pv_default: u32 = 4;
export const XEN_SYSCTL_cpu_policy_hvm_default: u32 = 5;

// C: struct xen_sysctl
export namespace Sysctl {
  export const cmd: u32 = 0;
  export const interface_version: u32 = 4;
  export const u: u32 = 8;
  export const SIZE: u32 = 136;
}

// C: struct xen_sysctl_readconsole
export namespace SysctlReadconsole {
  export const clear: u32 = 0;
  export const incremental: u32 = 1;
  export const pad0: u32 = 2;
  export const pad1: u32 = 3;
  export const index: u32 = 4;
  export const buffer: u32 = 8;
  export const count: u32 = 16;
  export const SIZE: u32 = 24;
}

// C: struct xen_sysctl_physinfo
export namespace SysctlPhysinfo {
  export const threads_per_core: u32 = 0;
  export const cores_per_socket: u32 = 4;
  export const nr_cpus: u32 = 8;
  export const max_cpu_id: u32 = 12;
  export const nr_nodes: u32 = 16;
  export const max_node_id: u32 = 20;
  export const cpu_khz: u32 = 24;
  export const capabilities: u32 = 28;
  export const arch_capabilities: u32 = 32;
  export const pad: u32 = 36;
  export const total_pages: u32 = 40;
  export const free_pages: u32 = 48;
  export const scrub_pages: u32 = 56;
  export const outstanding_pages: u32 = 64;
  export const max_mfn: u32 = 72;
  export const hw_cap: u32 = 80;
  export const SIZE: u32 = 112;
}

// C: struct xen_sysctl_sched_id
export namespace SysctlSchedId {
  export const sched_id: u32 = 0;
  export const SIZE: u32 = 4;
}

// C: struct xen_sysctl_perfc_desc
export namespace SysctlPerfcDesc {
  export const name: u32 = 0;
  export const nr_vals: u32 = 80;
  export const SIZE: u32 = 84;
}

// C: struct xen_sysctl_perfc_op
export namespace SysctlPerfcOp {
  export const cmd: u32 = 0;
  export const nr_counters: u32 = 4;
  export const nr_vals: u32 = 8;
  export const desc: u32 = 16;
  export const val: u32 = 24;
  export const SIZE: u32 = 32;
}

// C: struct xen_sysctl_getdomaininfolist
export namespace SysctlGetdomaininfolist {
  export const first_domain: u32 = 0;
  export const max_domains: u32 = 4;
  export const buffer: u32 = 8;
  export const num_domains: u32 = 16;
  export const SIZE: u32 = 24;
}

// C: struct xen_sysctl_debug_keys
export namespace SysctlDebugKeys {
  export const keys: u32 = 0;
  export const nr_keys: u32 = 8;
  export const SIZE: u32 = 16;
}

// C: struct xen_sysctl_cpuinfo
export namespace SysctlCpuinfo {
  export const idletime: u32 = 0;
  export const SIZE: u32 = 8;
}

// C: struct xen_sysctl_getcpuinfo
export namespace SysctlGetcpuinfo {
  export const max_cpus: u32 = 0;
  export const info: u32 = 8;
  export const nr_cpus: u32 = 16;
  export const SIZE: u32 = 24;
}

// C: struct xen_sysctl_availheap
export namespace SysctlAvailheap {
  export const min_bitwidth: u32 = 0;
  export const max_bitwidth: u32 = 4;
  export const node: u32 = 8;
  export const avail_bytes: u32 = 16;
  export const SIZE: u32 = 24;
}

// C: struct xen_sysctl_cputopo
export namespace SysctlCputopo {
  export const core: u32 = 0;
  export const socket: u32 = 4;
  export const node: u32 = 8;
  export const SIZE: u32 = 12;
}

// C: struct xen_sysctl_cputopoinfo
export namespace SysctlCputopoinfo {
  export const num_cpus: u32 = 0;
  export const cputopo: u32 = 8;
  export const SIZE: u32 = 16;
}

// C: struct xen_sysctl_meminfo
export namespace SysctlMeminfo {
  export const memsize: u32 = 0;
  export const memfree: u32 = 8;
  export const SIZE: u32 = 16;
}

// C: struct xen_sysctl_numainfo
export namespace SysctlNumainfo {
  export const num_nodes: u32 = 0;
  export const meminfo: u32 = 8;
  export const distance: u32 = 16;
  export const SIZE: u32 = 24;
}

// C: struct xen_sysctl_cpupool_op
export namespace SysctlCpupoolOp {
  export const op: u32 = 0;
  export const cpupool_id: u32 = 4;
  export const sched_id: u32 = 8;
  export const domid: u32 = 12;
  export const cpu: u32 = 16;
  export const n_dom: u32 = 20;
  export const cpumap: u32 = 24;
  export const SIZE: u32 = 40;
}

// C: struct xen_sysctl_credit_schedule
export namespace SysctlCreditSchedule {
  export const tslice_ms: u32 = 0;
  export const ratelimit_us: u32 = 4;
  export const vcpu_migr_delay_us: u32 = 8;
  export const SIZE: u32 = 12;
}

// C: struct xen_sysctl_credit2_schedule
export namespace SysctlCredit2Schedule {
  export const ratelimit_us: u32 = 0;
  export const SIZE: u32 = 4;
}

// C: struct xen_sysctl_scheduler_op
export namespace SysctlSchedulerOp {
  export const cpupool_id: u32 = 0;
  export const sched_id: u32 = 4;
  export const cmd: u32 = 8;
  export const u: u32 = 16;
  export const SIZE: u32 = 32;
}

// C: struct xen_sysctl_cpu_policy
export namespace SysctlCpuPolicy {
  export const index: u32 = 0;
  export const nr_leaves: u32 = 4;
  export const nr_msrs: u32 = 8;
  export const _rsvd: u32 = 12;
  export const leaves: u32 = 16;
  export const msrs: u32 = 24;
  export const SIZE: u32 = 32;
}

// C: xen_cpuid_leaf_t
export namespace CpuidLeaf {
  export const leaf: u32 = 0;
  export const subleaf: u32 = 4;
  export const a: u32 = 8;
  export const b: u32 = 12;
  export const c: u32 = 16;
  export const d: u32 = 20;
  export const SIZE: u32 = 24;
}

// C: xen_msr_entry_t
export namespace MsrEntry {
  export const idx: u32 = 0;
  export const flags: u32 = 4;
  export const val: u32 = 8;
  export const SIZE: u32 = 16;
}
