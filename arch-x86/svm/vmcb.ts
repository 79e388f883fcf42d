/**
 * The virtual machine control block: one 4 KiB frame of memory, fields at fixed offsets, read and written like any
 * other memory while the guest is out. AMD64 Architecture Programmer's Manual, volume 2 (APM), appendix B; the meaning
 * of each field is in chapter 15.
 */

/** Byte offsets. Control area 0x000..0x3ff (table B-1), state save area from 0x400 (table B-2). */
export namespace VMCB {
  // --- Control area ---
  export const INTERCEPT_CR: u32 = 0x000; // u32: bits 0..15 reads of CR0..CR15, 16..31 writes
  export const INTERCEPT_DR: u32 = 0x004; // u32: likewise, DR0..DR15
  export const INTERCEPT_EXCEPTION: u32 = 0x008; // u32: a bit per vector
  export const INTERCEPT_MISC1: u32 = 0x00c; // u32: INTERCEPT1_*
  export const INTERCEPT_MISC2: u32 = 0x010; // u32: INTERCEPT2_*
  export const INTERCEPT_MISC3: u32 = 0x014; // u32: INTERCEPT3_*
  export const IOPM_PA: u32 = 0x040; // physical address of the I/O permission map
  export const MSRPM_PA: u32 = 0x048; // physical address of the MSR permission map
  export const TSC_OFFSET: u32 = 0x050;
  export const ASID: u32 = 0x058; // u32
  export const TLB_CONTROL: u32 = 0x05c; // u8: TLB_*
  export const INTERRUPT_CONTROL: u32 = 0x060; // u64: V_*
  export const INTERRUPT_SHADOW: u32 = 0x068; // bit 0: in the shadow of STI or MOV SS
  export const EXIT_CODE: u32 = 0x070; // u64: EXIT_*; compare the low 32 bits (EXIT_INVALID differs above)
  export const EXIT_INFO1: u32 = 0x078;
  export const EXIT_INFO2: u32 = 0x080;
  export const EXIT_INT_INFO: u32 = 0x088; // the event whose delivery the exit cut short: EVENT_*
  export const NESTED_CONTROL: u32 = 0x090; // bit 0: nested paging
  export const EVENT_INJECT: u32 = 0x0a8; // the event to deliver at entry: EVENT_*
  export const NESTED_CR3: u32 = 0x0b0;
  export const CLEAN: u32 = 0x0c0; // u32: 0, nothing may be taken from the processor's cache
  export const NEXT_RIP: u32 = 0x0c8; // valid with the NRIPS feature

  // --- State save area ---
  export const ES: u32 = 0x400; // records of 16 bytes, laid out below: ES CS SS DS FS GS GDTR LDTR IDTR TR
  export const CS: u32 = 0x410;
  export const SS: u32 = 0x420;
  export const DS: u32 = 0x430;
  export const FS: u32 = 0x440;
  export const GS: u32 = 0x450;
  export const GDTR: u32 = 0x460; // limit and base only
  export const LDTR: u32 = 0x470;
  export const IDTR: u32 = 0x480; // limit and base only
  export const TR: u32 = 0x490;
  export const CPL: u32 = 0x4cb; // u8
  export const EFER: u32 = 0x4d0; // SVME must be set
  export const CR4: u32 = 0x548;
  export const CR3: u32 = 0x550;
  export const CR0: u32 = 0x558;
  export const DR7: u32 = 0x560;
  export const DR6: u32 = 0x568;
  export const RFLAGS: u32 = 0x570;
  export const RIP: u32 = 0x578;
  export const RSP: u32 = 0x5d8;
  export const RAX: u32 = 0x5f8;
  export const STAR: u32 = 0x600; // from here to SYSENTER_EIP, and FS GS LDTR TR: moved by VMLOAD and VMSAVE
  export const LSTAR: u32 = 0x608;
  export const CSTAR: u32 = 0x610;
  export const SFMASK: u32 = 0x618;
  export const KERNEL_GS_BASE: u32 = 0x620;
  export const SYSENTER_CS: u32 = 0x628;
  export const SYSENTER_ESP: u32 = 0x630;
  export const SYSENTER_EIP: u32 = 0x638;
  export const CR2: u32 = 0x640;
  export const PAT: u32 = 0x668; // used by nested paging instead of the PAT register

  // --- Within a segment's record ---
  export const SELECTOR: u32 = 0; // u16
  export const ATTRIBUTES: u32 = 2; // u16: ATTR_* of state.ts
  export const LIMIT: u32 = 4; // u32
  export const BASE: u32 = 8; // u64
}

// INTERCEPT_CR: reads in bits 0..15, writes above.
export const INTERCEPT_WRITE_CR0: u32 = 1 << 16;
export const INTERCEPT_WRITE_CR4: u32 = 1 << 20;
export const INTERCEPT_WRITE_CR8: u32 = 1 << 24;

// INTERCEPT_MISC1.
export const INTERCEPT1_INTR: u32 = 1 << 0;
export const INTERCEPT1_NMI: u32 = 1 << 1;
export const INTERCEPT1_SMI: u32 = 1 << 2;
export const INTERCEPT1_VINTR: u32 = 1 << 4; // the interrupt window
export const INTERCEPT1_RDPMC: u32 = 1 << 15;
export const INTERCEPT1_CPUID: u32 = 1 << 18;
export const INTERCEPT1_RSM: u32 = 1 << 19;
export const INTERCEPT1_IRET: u32 = 1 << 20;
export const INTERCEPT1_INVD: u32 = 1 << 22;
export const INTERCEPT1_HLT: u32 = 1 << 24;
export const INTERCEPT1_INVLPGA: u32 = 1 << 26;
export const INTERCEPT1_IO: u32 = 1 << 27;
export const INTERCEPT1_MSR: u32 = 1 << 28;
export const INTERCEPT1_SHUTDOWN: u32 = 1 << 31;

// INTERCEPT_MISC2.
export const INTERCEPT2_VMRUN: u32 = 1 << 0; // must be set: VMRUN refuses the VMCB otherwise
export const INTERCEPT2_VMMCALL: u32 = 1 << 1;
export const INTERCEPT2_VMLOAD: u32 = 1 << 2;
export const INTERCEPT2_VMSAVE: u32 = 1 << 3;
export const INTERCEPT2_STGI: u32 = 1 << 4;
export const INTERCEPT2_CLGI: u32 = 1 << 5;
export const INTERCEPT2_SKINIT: u32 = 1 << 6;
export const INTERCEPT2_RDTSCP: u32 = 1 << 7;
export const INTERCEPT2_WBINVD: u32 = 1 << 9;
export const INTERCEPT2_MONITOR: u32 = 1 << 10;
export const INTERCEPT2_MWAIT: u32 = 1 << 11;
export const INTERCEPT2_MWAIT_ARMED: u32 = 1 << 12;
export const INTERCEPT2_XSETBV: u32 = 1 << 13;
export const INTERCEPT2_RDPRU: u32 = 1 << 14;

// INTERCEPT_MISC3.
export const INTERCEPT3_INVLPGB: u32 = 1 << 0;
export const INTERCEPT3_INVLPGB_ILLEGAL: u32 = 1 << 1;
export const INTERCEPT3_INVPCID: u32 = 1 << 2;
export const INTERCEPT3_MCOMMIT: u32 = 1 << 3;
export const INTERCEPT3_TLBSYNC: u32 = 1 << 4;

// TLB_CONTROL.
export const TLB_NOTHING: u32 = 0;
export const TLB_FLUSH_ALL: u32 = 1; // every ASID, on this CPU

// INTERRUPT_CONTROL.
export const V_TPR: u64 = 0xf; // the guest's CR8
export const V_IRQ: u64 = 1 << 8; // a virtual interrupt is pending: with INTERCEPT1_VINTR, an exit when it could be taken
export const V_PRIORITY: u64 = 0xf << 16;
export const V_IGNORE_TPR: u64 = 1 << 20;
export const V_MASKING: u64 = 1 << 24; // guest's IF masks virtual interrupts only; the host's IF at VMRUN physical ones

// EVENT_INJECT and EXIT_INT_INFO (APM 2, 15.20): vector in bits 0..7, error code in bits 32..63.
export const EVENT_TYPE: u64 = 7 << 8;
export const EVENT_EXTERNAL: u64 = 0 << 8;
export const EVENT_NMI: u64 = 2 << 8;
export const EVENT_EXCEPTION: u64 = 3 << 8;
export const EVENT_SOFTWARE: u64 = 4 << 8;
export const EVENT_HAS_ERROR: u64 = 1 << 11;
export const EVENT_VALID: u64 = 1 << 31;

// EXIT_CODE (APM 2, appendix C).
export const EXIT_WRITE_CR0: u32 = 0x10;
export const EXIT_WRITE_CR4: u32 = 0x14;
export const EXIT_WRITE_CR8: u32 = 0x18;
export const EXIT_READ_DR0: u32 = 0x20;
export const EXIT_WRITE_DR15: u32 = 0x3f;
export const EXIT_EXCEPTION: u32 = 0x40; // + vector
export const EXIT_INTR: u32 = 0x60;
export const EXIT_NMI: u32 = 0x61;
export const EXIT_SMI: u32 = 0x62;
export const EXIT_VINTR: u32 = 0x64;
export const EXIT_RDPMC: u32 = 0x6f;
export const EXIT_CPUID: u32 = 0x72;
export const EXIT_RSM: u32 = 0x73;
export const EXIT_IRET: u32 = 0x74;
export const EXIT_INVD: u32 = 0x76;
export const EXIT_HLT: u32 = 0x78;
export const EXIT_INVLPGA: u32 = 0x7a;
export const EXIT_IO: u32 = 0x7b;
export const EXIT_MSR: u32 = 0x7c;
export const EXIT_SHUTDOWN: u32 = 0x7f;
export const EXIT_VMRUN: u32 = 0x80;
export const EXIT_VMMCALL: u32 = 0x81;
export const EXIT_VMLOAD: u32 = 0x82;
export const EXIT_VMSAVE: u32 = 0x83;
export const EXIT_STGI: u32 = 0x84;
export const EXIT_CLGI: u32 = 0x85;
export const EXIT_SKINIT: u32 = 0x86;
export const EXIT_RDTSCP: u32 = 0x87;
export const EXIT_WBINVD: u32 = 0x89;
export const EXIT_MONITOR: u32 = 0x8a;
export const EXIT_MWAIT: u32 = 0x8b;
export const EXIT_MWAIT_CONDITIONAL: u32 = 0x8c;
export const EXIT_XSETBV: u32 = 0x8d;
export const EXIT_RDPRU: u32 = 0x8e;
export const EXIT_INVLPGB: u32 = 0xa0;
export const EXIT_INVLPGB_ILLEGAL: u32 = 0xa1;
export const EXIT_INVPCID: u32 = 0xa2;
export const EXIT_MCOMMIT: u32 = 0xa3;
export const EXIT_TLBSYNC: u32 = 0xa4;
export const EXIT_NPF: u32 = 0x400;
export const EXIT_INVALID: u32 = 0xffffffff;

// EXIT_INFO1 of EXIT_IO (APM 2, 15.10.2).
export const IO_IN: u32 = 1 << 0;
export const IO_STRING: u32 = 1 << 2;
export const IO_SIZE_SHIFT: u32 = 4; // one of three bits: 1, 2, 4 bytes
export const IO_PORT_SHIFT: u32 = 16;

// EXIT_INFO1 of EXIT_NPF (APM 2, 15.25.6).
export const NPF_WRITE: u64 = 1 << 1;
export const NPF_FETCH: u64 = 1 << 4;
export const NPF_TABLE_WALK: u64 = 1 << 33; // the access was the processor's, to a guest page table

// EXIT_INFO1 of EXIT_MSR.
export const MSR_WRITE: u64 = 1;
