/** Numbers and structures common to all hypercalls: xen/xen.h and xen/arch-x86/xen.h, 64-bit layouts. */

export const __HYPERVISOR_set_trap_table: u32 = 0;
export const __HYPERVISOR_mmu_update: u32 = 1;
export const __HYPERVISOR_set_gdt: u32 = 2;
export const __HYPERVISOR_stack_switch: u32 = 3;
export const __HYPERVISOR_set_callbacks: u32 = 4;
export const __HYPERVISOR_fpu_taskswitch: u32 = 5;
export const __HYPERVISOR_sched_op_compat: u32 = 6;
export const __HYPERVISOR_platform_op: u32 = 7;
export const __HYPERVISOR_set_debugreg: u32 = 8;
export const __HYPERVISOR_get_debugreg: u32 = 9;
export const __HYPERVISOR_update_descriptor: u32 = 10;
export const __HYPERVISOR_memory_op: u32 = 12;
export const __HYPERVISOR_multicall: u32 = 13;
export const __HYPERVISOR_update_va_mapping: u32 = 14;
export const __HYPERVISOR_set_timer_op: u32 = 15;
export const __HYPERVISOR_event_channel_op_compat: u32 = 16;
export const __HYPERVISOR_xen_version: u32 = 17;
export const __HYPERVISOR_console_io: u32 = 18;
export const __HYPERVISOR_physdev_op_compat: u32 = 19;
export const __HYPERVISOR_grant_table_op: u32 = 20;
export const __HYPERVISOR_vm_assist: u32 = 21;
export const __HYPERVISOR_update_va_mapping_otherdomain: u32 = 22;
export const __HYPERVISOR_iret: u32 = 23;
export const __HYPERVISOR_vcpu_op: u32 = 24;
export const __HYPERVISOR_set_segment_base: u32 = 25;
export const __HYPERVISOR_mmuext_op: u32 = 26;
export const __HYPERVISOR_xsm_op: u32 = 27;
export const __HYPERVISOR_nmi_op: u32 = 28;
export const __HYPERVISOR_sched_op: u32 = 29;
export const __HYPERVISOR_callback_op: u32 = 30;
export const __HYPERVISOR_xenoprof_op: u32 = 31;
export const __HYPERVISOR_event_channel_op: u32 = 32;
export const __HYPERVISOR_physdev_op: u32 = 33;
export const __HYPERVISOR_hvm_op: u32 = 34;
export const __HYPERVISOR_sysctl: u32 = 35;
export const __HYPERVISOR_domctl: u32 = 36;
export const __HYPERVISOR_kexec_op: u32 = 37;
export const __HYPERVISOR_tmem_op: u32 = 38;
export const __HYPERVISOR_argo_op: u32 = 39;
export const __HYPERVISOR_xenpmu_op: u32 = 40;
export const __HYPERVISOR_dm_op: u32 = 41;
export const __HYPERVISOR_hypfs_op: u32 = 42;
export const __HYPERVISOR_arch_0: u32 = 48;
export const __HYPERVISOR_arch_1: u32 = 49;
export const __HYPERVISOR_arch_2: u32 = 50;
export const __HYPERVISOR_arch_3: u32 = 51;
export const __HYPERVISOR_arch_4: u32 = 52;
export const __HYPERVISOR_arch_5: u32 = 53;
export const __HYPERVISOR_arch_6: u32 = 54;
export const __HYPERVISOR_arch_7: u32 = 55;

// Per vCPU: TIMER, DEBUG, XENOPROF, XENPMU. The others are global: one port in the whole machine, domain 0's.
export const VIRQ_TIMER: u32 = 0;
export const VIRQ_DEBUG: u32 = 1;
export const VIRQ_CONSOLE: u32 = 2;
export const VIRQ_DOM_EXC: u32 = 3;
export const VIRQ_TBUF: u32 = 4;
export const VIRQ_DEBUGGER: u32 = 6;
export const VIRQ_XENOPROF: u32 = 7;
export const VIRQ_CON_RING: u32 = 8;
export const VIRQ_PCPU_STATE: u32 = 9;
export const VIRQ_MEM_EVENT: u32 = 10;
export const VIRQ_ARGO: u32 = 11;
export const VIRQ_ENOMEM: u32 = 12;
export const VIRQ_XENPMU: u32 = 13;
export const VIRQ_ARCH_0: u32 = 16;
export const VIRQ_ARCH_1: u32 = 17;
export const VIRQ_ARCH_2: u32 = 18;
export const VIRQ_ARCH_3: u32 = 19;
export const VIRQ_ARCH_4: u32 = 20;
export const VIRQ_ARCH_5: u32 = 21;
export const VIRQ_ARCH_6: u32 = 22;
export const VIRQ_ARCH_7: u32 = 23;
export const NR_VIRQS: u32 = 24;

export const CONSOLEIO_write: u32 = 0;
export const CONSOLEIO_read: u32 = 1;

export const VMASST_CMD_enable: u32 = 0;
export const VMASST_CMD_disable: u32 = 1;
export const VMASST_TYPE_4gb_segments: u32 = 0;
export const VMASST_TYPE_writable_pagetables: u32 = 2;
export const VMASST_TYPE_runstate_update_flag: u32 = 5;

// HYPERVISOR_mmu_update: what to do, in the low bits of MmuUpdate.ptr.
export const MMU_NORMAL_PT_UPDATE: u32 = 0;
export const MMU_MACHPHYS_UPDATE: u32 = 1;
export const MMU_PT_UPDATE_PRESERVE_AD: u32 = 2;

// HYPERVISOR_mmuext_op.
export const MMUEXT_PIN_L1_TABLE: u32 = 0;
export const MMUEXT_PIN_L2_TABLE: u32 = 1;
export const MMUEXT_PIN_L3_TABLE: u32 = 2;
export const MMUEXT_PIN_L4_TABLE: u32 = 3;
export const MMUEXT_UNPIN_TABLE: u32 = 4;
export const MMUEXT_TLB_FLUSH_LOCAL: u32 = 6;
export const MMUEXT_INVLPG_LOCAL: u32 = 7;
export const MMUEXT_TLB_FLUSH_MULTI: u32 = 8;
export const MMUEXT_INVLPG_MULTI: u32 = 9;
export const MMUEXT_TLB_FLUSH_ALL: u32 = 10;
export const MMUEXT_INVLPG_ALL: u32 = 11;
export const MMUEXT_CLEAR_PAGE: u32 = 16;

// HYPERVISOR_update_va_mapping: what to flush, in the low bits; above them which vCPUs: the address of a bitmap, 0 its own, or ALL.
export const UVMF_NONE: u32 = 0;
export const UVMF_TLB_FLUSH: u32 = 1;
export const UVMF_INVLPG: u32 = 2;
export const UVMF_FLUSHTYPE_MASK: u32 = 3;
export const UVMF_LOCAL: u32 = 0;
export const UVMF_ALL: u32 = 4;

/** Domain ids from here up name no ordinary domain. */
export const DOMID_FIRST_RESERVED: u32 = 0x7ff0;
export const DOMID_SELF: u32 = 0x7ff0;
export const DOMID_IO: u32 = 0x7ff1;
export const DOMID_XEN: u32 = 0x7ff2;
export const DOMID_COW: u32 = 0x7ff3;
export const DOMID_INVALID: u32 = 0x7ff4;
export const DOMID_IDLE: u32 = 0x7fff;
export const DOMID_MASK: u32 = 0x7fff;

export const XEN_LEGACY_MAX_VCPUS: u32 = 32;

export const XEN_PVCLOCK_TSC_STABLE_BIT: u32 = 1;
export const XEN_PVCLOCK_GUEST_STOPPED: u32 = 2;

// C: struct multicall_entry
export namespace MulticallEntry {
  export const op: u32 = 0; // u64, as all fields
  export const result: u32 = 8;
  export const args: u32 = 16; // six u64
  export const SIZE: u32 = 64;
}

// C: struct mmu_update
export namespace MmuUpdate {
  export const ptr: u32 = 0; // u64 address of the entry, MMU_* in its low bits
  export const val: u32 = 8; // u64
  export const SIZE: u32 = 16;
}

// C: struct mmuext_op
export namespace MmuextOp {
  export const cmd: u32 = 0; // u32 MMUEXT_*
  export const arg1_linear_addr: u32 = 8; // u64 // C: arg1.linear_addr
  export const arg2_vcpumask: u32 = 16; // u64 guest address // C: arg2.vcpumask
  export const SIZE: u32 = 24;
}

/** Bytes of StartInfo.cmd_line, the NUL included. */
export const MAX_GUEST_CMDLINE: u32 = 1024;

// C: struct start_info
export namespace StartInfo {
  export const magic: u32 = 0; // 32 bytes, "xen-3.0-x86_64"
  export const nr_pages: u32 = 32; // u64 of the domain
  export const shared_info: u32 = 40; // u64 its address; guest-physical for a translated guest
  export const flags: u32 = 48; // u32 SIF_*
  export const store_mfn: u32 = 56; // u64 frame of the xenstore ring
  export const store_evtchn: u32 = 64; // u32
  export const console_mfn: u32 = 72; // u64 frame of the console ring // C: console.domU.mfn
  export const console_evtchn: u32 = 80; // u32 // C: console.domU.evtchn
  export const pt_base: u32 = 88; // u64 virtual address of the top page table
  export const nr_pt_frames: u32 = 96; // u64
  export const mfn_list: u32 = 104; // u64 virtual address of the list of frames by number
  export const mod_start: u32 = 112; // u64 virtual address of the ramdisk
  export const mod_len: u32 = 120; // u64 bytes
  export const cmd_line: u32 = 128; // MAX_GUEST_CMDLINE bytes
  export const first_p2m_pfn: u32 = 1152; // u64
  export const nr_p2m_frames: u32 = 1160; // u64
  export const SIZE: u32 = 1168;
}

// C: struct arch_vcpu_info
export namespace ArchVcpuInfo {
  export const cr2: u32 = 0; // u64
  export const pad: u32 = 8; // u64
  export const SIZE: u32 = 16;
}

// C: struct vcpu_time_info
export namespace VcpuTimeInfo {
  export const version: u32 = 0; // u32, odd while being written
  export const pad0: u32 = 4;
  export const tsc_timestamp: u32 = 8; // u64
  export const system_time: u32 = 16; // u64 ns
  export const tsc_to_system_mul: u32 = 24; // u32
  export const tsc_shift: u32 = 28; // i8
  export const flags: u32 = 29; // u8 XEN_PVCLOCK_*
  export const pad1: u32 = 30;
  export const SIZE: u32 = 32;
}

// C: struct vcpu_info
export namespace VcpuInfo {
  export const evtchn_upcall_pending: u32 = 0; // u8
  export const evtchn_upcall_mask: u32 = 1; // u8
  export const evtchn_pending_sel: u32 = 8; // u64
  export const arch: u32 = 16; // ArchVcpuInfo
  export const time: u32 = 32; // VcpuTimeInfo
  export const SIZE: u32 = 64;
}

// C: struct arch_shared_info
export namespace ArchSharedInfo {
  export const max_pfn: u32 = 0; // u64, as all fields
  export const pfn_to_mfn_frame_list_list: u32 = 8;
  export const nmi_reason: u32 = 16;
  export const p2m_cr3: u32 = 24;
  export const p2m_vaddr: u32 = 32;
  export const p2m_generation: u32 = 40;
  export const SIZE: u32 = 48;
}

// C: struct shared_info
export namespace SharedInfo {
  export const vcpu_info: u32 = 0; // XEN_LEGACY_MAX_VCPUS VcpuInfo
  export const evtchn_pending: u32 = 2048; // 64 u64
  export const evtchn_mask: u32 = 2560; // 64 u64
  export const wc_version: u32 = 3072; // u32
  export const wc_sec: u32 = 3076; // u32
  export const wc_nsec: u32 = 3080; // u32
  export const wc_sec_hi: u32 = 3084; // u32
  export const arch: u32 = 3088; // ArchSharedInfo
  export const SIZE: u32 = 3136;
}

// C: struct xenctl_bitmap
export namespace XenctlBitmap {
  export const bitmap: u32 = 0; // u64 guest address of bytes
  export const nr_bits: u32 = 8; // u32
  export const SIZE: u32 = 16;
}
