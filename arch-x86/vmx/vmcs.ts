/**
 * Fields of the virtual-machine control structure by their encodings, which VMREAD and VMWRITE take (SDM 3D, appendix
 * B; what each means is in SDM 3C, chapter 25). Bits of the fields are in controls.ts and exit-reasons.ts.
 *
 * Segment fields follow each other in the order ES CS SS DS FS GS LDTR TR, two apart: GUEST_ES_x + 2 * SEG_*.
 */
export namespace VMCS {
  // --- 16 bits ---
  export const VPID: u32 = 0x0000;
  export const GUEST_ES_SELECTOR: u32 = 0x0800;
  export const GUEST_CS_SELECTOR: u32 = 0x0802;
  export const GUEST_SS_SELECTOR: u32 = 0x0804;
  export const GUEST_LDTR_SELECTOR: u32 = 0x080c;
  export const GUEST_TR_SELECTOR: u32 = 0x080e;
  export const HOST_ES_SELECTOR: u32 = 0x0c00;
  export const HOST_CS_SELECTOR: u32 = 0x0c02;
  export const HOST_SS_SELECTOR: u32 = 0x0c04;
  export const HOST_DS_SELECTOR: u32 = 0x0c06;
  export const HOST_FS_SELECTOR: u32 = 0x0c08;
  export const HOST_GS_SELECTOR: u32 = 0x0c0a;
  export const HOST_TR_SELECTOR: u32 = 0x0c0c;

  // --- 64 bits ---
  export const IO_BITMAP_A: u32 = 0x2000;
  export const IO_BITMAP_B: u32 = 0x2002;
  export const EXIT_MSR_STORE_ADDRESS: u32 = 0x2006;
  export const EXIT_MSR_LOAD_ADDRESS: u32 = 0x2008;
  export const ENTRY_MSR_LOAD_ADDRESS: u32 = 0x200a;
  export const MSR_BITMAP: u32 = 0x2004; // physical address
  export const TSC_OFFSET: u32 = 0x2010;
  export const VIRTUAL_APIC_ADDRESS: u32 = 0x2012; // physical address of the virtual-APIC page
  export const APIC_ACCESS_ADDRESS: u32 = 0x2014;
  export const EPT_POINTER: u32 = 0x201a;
  export const GUEST_PHYSICAL_ADDRESS: u32 = 0x2400; // of an EPT violation
  export const LINK_POINTER: u32 = 0x2800; // all ones: no shadow VMCS
  export const GUEST_DEBUGCTL: u32 = 0x2802;
  export const GUEST_PAT: u32 = 0x2804;
  export const GUEST_EFER: u32 = 0x2806;
  export const GUEST_PDPTE0: u32 = 0x280a; // four of them, two apart
  export const HOST_PAT: u32 = 0x2c00;
  export const HOST_EFER: u32 = 0x2c02;

  // --- 32 bits ---
  export const PIN_CONTROLS: u32 = 0x4000;
  export const CPU_CONTROLS: u32 = 0x4002;
  export const EXCEPTION_BITMAP: u32 = 0x4004;
  export const PF_ERROR_MASK: u32 = 0x4006;
  export const PF_ERROR_MATCH: u32 = 0x4008;
  export const CR3_TARGET_COUNT: u32 = 0x400a;
  export const EXIT_CONTROLS: u32 = 0x400c;
  export const EXIT_MSR_STORE_COUNT: u32 = 0x400e;
  export const EXIT_MSR_LOAD_COUNT: u32 = 0x4010;
  export const ENTRY_CONTROLS: u32 = 0x4012;
  export const ENTRY_MSR_LOAD_COUNT: u32 = 0x4014;
  export const ENTRY_EVENT: u32 = 0x4016; // "VM-entry interruption-information": EVENT_*
  export const ENTRY_ERROR_CODE: u32 = 0x4018;
  export const ENTRY_INSTRUCTION_LENGTH: u32 = 0x401a;
  export const TPR_THRESHOLD: u32 = 0x401c; // an exit when VTPR's upper half is below
  export const CPU_CONTROLS2: u32 = 0x401e;
  export const PLE_GAP: u32 = 0x4020;
  export const PLE_WINDOW: u32 = 0x4022;
  export const INSTRUCTION_ERROR: u32 = 0x4400; // why VMLAUNCH, VMPTRLD, ... failed
  export const EXIT_REASON: u32 = 0x4402;
  export const EXIT_EVENT: u32 = 0x4404; // "VM-exit interruption information": EVENT_*
  export const EXIT_ERROR_CODE: u32 = 0x4406;
  export const VECTORING_EVENT: u32 = 0x4408; // "IDT-vectoring information": EVENT_*
  export const VECTORING_ERROR_CODE: u32 = 0x440a;
  export const EXIT_INSTRUCTION_LENGTH: u32 = 0x440c;
  export const EXIT_INSTRUCTION_INFO: u32 = 0x440e;
  export const GUEST_ES_LIMIT: u32 = 0x4800;
  export const GUEST_GDTR_LIMIT: u32 = 0x4810;
  export const GUEST_IDTR_LIMIT: u32 = 0x4812;
  export const GUEST_ES_ACCESS: u32 = 0x4814;
  export const GUEST_CS_ACCESS: u32 = 0x4816;
  export const GUEST_SS_ACCESS: u32 = 0x4818;
  export const GUEST_TR_ACCESS: u32 = 0x4822;
  export const GUEST_INTERRUPTIBILITY: u32 = 0x4824;
  export const GUEST_ACTIVITY: u32 = 0x4826;
  export const GUEST_SYSENTER_CS: u32 = 0x482a;
  export const PREEMPTION_TIMER: u32 = 0x482e;
  export const HOST_SYSENTER_CS: u32 = 0x4c00;

  // --- natural width ---
  export const CR0_MASK: u32 = 0x6000; // bits the host owns
  export const CR4_MASK: u32 = 0x6002;
  export const CR0_SHADOW: u32 = 0x6004; // what the guest reads in those
  export const CR4_SHADOW: u32 = 0x6006;
  export const EXIT_QUALIFICATION: u32 = 0x6400;
  export const GUEST_LINEAR_ADDRESS: u32 = 0x640a;
  export const GUEST_CR0: u32 = 0x6800;
  export const GUEST_CR3: u32 = 0x6802;
  export const GUEST_CR4: u32 = 0x6804;
  export const GUEST_ES_BASE: u32 = 0x6806;
  export const GUEST_CS_BASE: u32 = 0x6808;
  export const GUEST_FS_BASE: u32 = 0x680e;
  export const GUEST_GS_BASE: u32 = 0x6810;
  export const GUEST_LDTR_BASE: u32 = 0x6812;
  export const GUEST_TR_BASE: u32 = 0x6814;
  export const GUEST_GDTR_BASE: u32 = 0x6816;
  export const GUEST_IDTR_BASE: u32 = 0x6818;
  export const GUEST_DR7: u32 = 0x681a;
  export const GUEST_RSP: u32 = 0x681c;
  export const GUEST_RIP: u32 = 0x681e;
  export const GUEST_RFLAGS: u32 = 0x6820;
  export const GUEST_PENDING_DEBUG: u32 = 0x6822;
  export const GUEST_SYSENTER_ESP: u32 = 0x6824;
  export const GUEST_SYSENTER_EIP: u32 = 0x6826;
  export const HOST_CR0: u32 = 0x6c00;
  export const HOST_CR3: u32 = 0x6c02;
  export const HOST_CR4: u32 = 0x6c04;
  export const HOST_FS_BASE: u32 = 0x6c06;
  export const HOST_GS_BASE: u32 = 0x6c08;
  export const HOST_TR_BASE: u32 = 0x6c0a;
  export const HOST_GDTR_BASE: u32 = 0x6c0c;
  export const HOST_IDTR_BASE: u32 = 0x6c0e;
  export const HOST_SYSENTER_ESP: u32 = 0x6c10;
  export const HOST_SYSENTER_EIP: u32 = 0x6c12;
  export const HOST_RIP: u32 = 0x6c16;
}
