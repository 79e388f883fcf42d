/**
 * HVM operations, parameters, save records and the PVH start information: xen/hvm/{hvm_op,params,save}.h,
 * xen/arch-x86/hvm/{save,start_info}.h (Xen 4.17).
 *
 * A field whose C name is a path carries it in a trailing comment. Offsets and sizes in bytes, 64-bit layout.
 */

// HVMOP_* sub-operations of __HYPERVISOR_hvm_op.
export const HVMOP_set_param: u32 = 0;
export const HVMOP_get_param: u32 = 1;
export const HVMOP_flush_tlbs: u32 = 5;
export const HVMOP_pagetable_dying: u32 = 9;
export const HVMOP_get_time: u32 = 10;
export const HVMOP_xentrace: u32 = 11;
export const HVMOP_set_mem_access: u32 = 12;
export const HVMOP_get_mem_access: u32 = 13;
export const HVMOP_get_mem_type: u32 = 15;
export const HVMOP_set_evtchn_upcall_vector: u32 = 23;
export const HVMOP_guest_request_vm_event: u32 = 24;
export const HVMOP_altp2m: u32 = 25;
export const HVMOP_ALTP2M_INTERFACE_VERSION: u32 = 1;

// HVM_PARAM_*: indexes for HVMOP_set_param and HVMOP_get_param.
export const HVM_PARAM_PAE_ENABLED: u32 = 4;
export const HVM_PARAM_DM_DOMAIN: u32 = 13;
export const HVM_PARAM_MEMORY_EVENT_CR0: u32 = 20;
export const HVM_PARAM_MEMORY_EVENT_CR3: u32 = 21;
export const HVM_PARAM_MEMORY_EVENT_CR4: u32 = 22;
export const HVM_PARAM_MEMORY_EVENT_INT3: u32 = 23;
export const HVM_PARAM_NESTEDHVM: u32 = 24;
export const HVM_PARAM_MEMORY_EVENT_SINGLE_STEP: u32 = 25;
export const HVM_PARAM_BUFIOREQ_EVTCHN: u32 = 26;
export const HVM_PARAM_MEMORY_EVENT_MSR: u32 = 30;
export const HVM_PARAM_CALLBACK_IRQ: u32 = 0;
export const HVM_PARAM_CALLBACK_IRQ_TYPE_MASK: u64 = 0xff00000000000000;
export const HVM_PARAM_CALLBACK_TYPE_GSI: u32 = 0;
export const HVM_PARAM_CALLBACK_TYPE_PCI_INTX: u32 = 1;
export const HVM_PARAM_CALLBACK_TYPE_VECTOR: u32 = 2;
export const HVM_PARAM_STORE_PFN: u32 = 1;
export const HVM_PARAM_STORE_EVTCHN: u32 = 2;
export const HVM_PARAM_IOREQ_PFN: u32 = 5;
export const HVM_PARAM_BUFIOREQ_PFN: u32 = 6;
export const HVM_PARAM_VIRIDIAN: u32 = 9;
export const HVM_PARAM_TIMER_MODE: u32 = 10;
export const HVM_PARAM_HPET_ENABLED: u32 = 11;
export const HVM_PARAM_IDENT_PT: u32 = 12;
export const HVM_PARAM_ACPI_S_STATE: u32 = 14;
export const HVM_PARAM_VM86_TSS: u32 = 15;
export const HVM_PARAM_VPT_ALIGN: u32 = 16;
export const HVM_PARAM_CONSOLE_PFN: u32 = 17;
export const HVM_PARAM_CONSOLE_EVTCHN: u32 = 18;
export const HVM_PARAM_ACPI_IOPORTS_LOCATION: u32 = 19;
export const HVM_PARAM_PAGING_RING_PFN: u32 = 27;
export const HVM_PARAM_MONITOR_RING_PFN: u32 = 28;
export const HVM_PARAM_SHARING_RING_PFN: u32 = 29;
export const HVM_PARAM_TRIPLE_FAULT_REASON: u32 = 31;
export const HVM_PARAM_IOREQ_SERVER_PFN: u32 = 32;
export const HVM_PARAM_NR_IOREQ_SERVER_PAGES: u32 = 33;
export const HVM_PARAM_VM_GENERATION_ID_ADDR: u32 = 34;
export const HVM_PARAM_ALTP2M: u32 = 35;
export const HVM_PARAM_X87_FIP_WIDTH: u32 = 36;
export const HVM_PARAM_VM86_TSS_SIZED: u32 = 37;
export const HVM_PARAM_MCA_CAP: u32 = 38;
export const HVM_NR_PARAMS: u32 = 39;

// Modes of HVM_PARAM_TIMER_MODE.
export const HVMPTM_delay_for_missed_ticks: u32 = 0;
export const HVMPTM_no_delay_for_missed_ticks: u32 = 1;
export const HVMPTM_no_missed_ticks_pending: u32 = 2;
export const HVMPTM_one_missed_tick_pending: u32 = 3;

// hvmmem_type_t: types of a guest frame.
export const HVMMEM_ram_rw: u32 = 0;
export const HVMMEM_ram_ro: u32 = 1;
export const HVMMEM_mmio_dm: u32 = 2;
export const HVMMEM_ioreq_server: u32 = 4;

// C: struct xen_hvm_param
export namespace HvmParam {
  export const domid: u32 = 0;
  export const pad: u32 = 2;
  export const index: u32 = 4;
  export const value: u32 = 8;
  export const SIZE: u32 = 16;
}

// C: struct xen_hvm_pagetable_dying
export namespace HvmPagetableDying {
  export const domid: u32 = 0;
  export const pad: u32 = 2;
  export const gpa: u32 = 8;
  export const SIZE: u32 = 16;
}

// C: struct xen_hvm_get_time
export namespace HvmGetTime {
  export const now: u32 = 0;
  export const SIZE: u32 = 8;
}

// C: struct xen_hvm_xentrace
export namespace HvmXentrace {
  export const event: u32 = 0;
  export const extra_bytes: u32 = 2;
  export const extra: u32 = 4;
  export const SIZE: u32 = 32;
}

// C: struct xen_hvm_get_mem_type
export namespace HvmGetMemType {
  export const domid: u32 = 0;
  export const mem_type: u32 = 2;
  export const pad: u32 = 4;
  export const pfn: u32 = 8;
  export const SIZE: u32 = 16;
}

// C: struct xen_hvm_evtchn_upcall_vector
export namespace HvmEvtchnUpcallVector {
  export const vcpu: u32 = 0;
  export const vector: u32 = 4;
  export const SIZE: u32 = 8;
}

// C: struct xen_hvm_altp2m_op
export namespace HvmAltp2mOp {
  export const version: u32 = 0;
  export const cmd: u32 = 4;
  export const domain: u32 = 8;
  export const pad1: u32 = 10;
  export const pad2: u32 = 12;
  export const u: u32 = 16;
  export const SIZE: u32 = 80;
}

// Records of XEN_DOMCTL_sethvmcontext: typecode.
export const HVM_SAVE_CODE_END: u32 = 0; // C: HVM_SAVE_CODE(END)
export const HVM_SAVE_CODE_HEADER: u32 = 1; // C: HVM_SAVE_CODE(HEADER)
export const HVM_SAVE_CODE_CPU: u32 = 2; // C: HVM_SAVE_CODE(CPU)
export const HVM_SAVE_CODE_LAPIC: u32 = 5; // C: HVM_SAVE_CODE(LAPIC)
export const HVM_SAVE_CODE_LAPIC_REGS: u32 = 6; // C: HVM_SAVE_CODE(LAPIC_REGS)
export const HVM_SAVE_CODE_MTRR: u32 = 14; // C: HVM_SAVE_CODE(MTRR)
export const HVM_SAVE_CODE_VMCE_VCPU: u32 = 18; // C: HVM_SAVE_CODE(VMCE_VCPU)
export const HVM_SAVE_CODE_TSC_ADJUST: u32 = 19; // C: HVM_SAVE_CODE(TSC_ADJUST)
export const HVM_FILE_MAGIC: u32 = 0x54381286;
export const HVM_FILE_VERSION: u32 = 1;
export const XEN_X86_FPU_INITIALISED: u32 = 1;

// C: struct hvm_save_descriptor
export namespace HvmSaveDescriptor {
  export const typecode: u32 = 0;
  export const instance: u32 = 2;
  export const length: u32 = 4;
  export const SIZE: u32 = 8;
}

// C: struct hvm_save_header
export namespace HvmSaveHeader {
  export const magic: u32 = 0;
  export const version: u32 = 4;
  export const changeset: u32 = 8;
  export const cpuid: u32 = 16;
  export const gtsc_khz: u32 = 20;
  export const SIZE: u32 = 24;
}

// C: struct hvm_hw_cpu
export namespace HvmHwCpu {
  export const fpu_regs: u32 = 0;
  export const rax: u32 = 512;
  export const rbx: u32 = 520;
  export const rcx: u32 = 528;
  export const rdx: u32 = 536;
  export const rbp: u32 = 544;
  export const rsi: u32 = 552;
  export const rdi: u32 = 560;
  export const rsp: u32 = 568;
  export const r8: u32 = 576;
  export const r9: u32 = 584;
  export const r10: u32 = 592;
  export const r11: u32 = 600;
  export const r12: u32 = 608;
  export const r13: u32 = 616;
  export const r14: u32 = 624;
  export const r15: u32 = 632;
  export const rip: u32 = 640;
  export const rflags: u32 = 648;
  export const cr0: u32 = 656;
  export const cr2: u32 = 664;
  export const cr3: u32 = 672;
  export const cr4: u32 = 680;
  export const dr0: u32 = 688;
  export const dr1: u32 = 696;
  export const dr2: u32 = 704;
  export const dr3: u32 = 712;
  export const dr6: u32 = 720;
  export const dr7: u32 = 728;
  export const cs_sel: u32 = 736;
  export const ds_sel: u32 = 740;
  export const es_sel: u32 = 744;
  export const fs_sel: u32 = 748;
  export const gs_sel: u32 = 752;
  export const ss_sel: u32 = 756;
  export const tr_sel: u32 = 760;
  export const ldtr_sel: u32 = 764;
  export const cs_limit: u32 = 768;
  export const ds_limit: u32 = 772;
  export const es_limit: u32 = 776;
  export const fs_limit: u32 = 780;
  export const gs_limit: u32 = 784;
  export const ss_limit: u32 = 788;
  export const tr_limit: u32 = 792;
  export const ldtr_limit: u32 = 796;
  export const idtr_limit: u32 = 800;
  export const gdtr_limit: u32 = 804;
  export const cs_base: u32 = 808;
  export const ds_base: u32 = 816;
  export const es_base: u32 = 824;
  export const fs_base: u32 = 832;
  export const gs_base: u32 = 840;
  export const ss_base: u32 = 848;
  export const tr_base: u32 = 856;
  export const ldtr_base: u32 = 864;
  export const idtr_base: u32 = 872;
  export const gdtr_base: u32 = 880;
  export const cs_arbytes: u32 = 888;
  export const ds_arbytes: u32 = 892;
  export const es_arbytes: u32 = 896;
  export const fs_arbytes: u32 = 900;
  export const gs_arbytes: u32 = 904;
  export const ss_arbytes: u32 = 908;
  export const tr_arbytes: u32 = 912;
  export const ldtr_arbytes: u32 = 916;
  export const sysenter_cs: u32 = 920;
  export const sysenter_esp: u32 = 928;
  export const sysenter_eip: u32 = 936;
  export const shadow_gs: u32 = 944;
  export const msr_flags: u32 = 952;
  export const msr_lstar: u32 = 960;
  export const msr_star: u32 = 968;
  export const msr_cstar: u32 = 976;
  export const msr_syscall_mask: u32 = 984;
  export const msr_efer: u32 = 992;
  export const msr_tsc_aux: u32 = 1000;
  export const tsc: u32 = 1008;
  export const pending_event: u32 = 1016;
  export const error_code: u32 = 1020;
  export const flags: u32 = 1024;
  export const pad0: u32 = 1028;
  export const SIZE: u32 = 1032;
}
export const XEN_HVM_START_MAGIC_VALUE: u32 = 0x336ec578;
export const XEN_HVM_MEMMAP_TYPE_RAM: u32 = 1;
export const XEN_HVM_MEMMAP_TYPE_RESERVED: u32 = 2;
export const XEN_HVM_MEMMAP_TYPE_ACPI: u32 = 3;
export const XEN_HVM_MEMMAP_TYPE_NVS: u32 = 4;
export const XEN_HVM_MEMMAP_TYPE_UNUSABLE: u32 = 5;
export const XEN_HVM_MEMMAP_TYPE_DISABLED: u32 = 6;
export const XEN_HVM_MEMMAP_TYPE_PMEM: u32 = 7;

// C: struct hvm_hw_lapic
export namespace HvmHwLapic {
  export const apic_base_msr: u32 = 0;
  export const disabled: u32 = 8;
  export const timer_divisor: u32 = 12;
  export const tdt_msr: u32 = 16;
  export const SIZE: u32 = 24;
}
// C: struct hvm_hw_lapic_regs
export namespace HvmHwLapicRegs {
  export const data: u32 = 0;
  export const SIZE: u32 = 1024;
}

// C: struct hvm_start_info
export namespace HvmStartInfo {
  export const magic: u32 = 0;
  export const version: u32 = 4;
  export const flags: u32 = 8;
  export const nr_modules: u32 = 12;
  export const modlist_paddr: u32 = 16;
  export const cmdline_paddr: u32 = 24;
  export const rsdp_paddr: u32 = 32;
  export const memmap_paddr: u32 = 40;
  export const memmap_entries: u32 = 48;
  export const reserved: u32 = 52;
  export const SIZE: u32 = 56;
}

// C: struct hvm_modlist_entry
export namespace HvmModlistEntry {
  export const paddr: u32 = 0;
  export const size: u32 = 8;
  export const cmdline_paddr: u32 = 16;
  export const reserved: u32 = 24;
  export const SIZE: u32 = 32;
}

// C: struct hvm_memmap_table_entry
export namespace HvmMemmapTableEntry {
  export const addr: u32 = 0;
  export const size: u32 = 8;
  export const type: u32 = 16;
  export const reserved: u32 = 20;
  export const SIZE: u32 = 24;
}
