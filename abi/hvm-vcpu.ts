/** Register state passed to VCPUOP_initialise by HVM guests: xen/hvm/hvm_vcpu.h. */

export const VCPU_HVM_MODE_32B: u32 = 0;
export const VCPU_HVM_MODE_64B: u32 = 1;

// C: struct vcpu_hvm_context
export namespace VcpuHvmContext {
  export const mode: u32 = 0; // u32 VCPU_HVM_MODE_*
  export const pad: u32 = 4; // u32
  export const cpu_regs: u32 = 8; // union of VcpuHvmX8632 and VcpuHvmX8664
  export const SIZE: u32 = 128;
}

// C: struct vcpu_hvm_x86_32
export namespace VcpuHvmX8632 {
  export const eax: u32 = 0; // u32, and so on
  export const ecx: u32 = 4;
  export const edx: u32 = 8;
  export const ebx: u32 = 12;
  export const esp: u32 = 16;
  export const ebp: u32 = 20;
  export const esi: u32 = 24;
  export const edi: u32 = 28;
  export const eip: u32 = 32;
  export const eflags: u32 = 36;
  export const cr0: u32 = 40;
  export const cr3: u32 = 44;
  export const cr4: u32 = 48;
  export const pad1: u32 = 52;
  export const efer: u32 = 56; // u64
  export const cs_base: u32 = 64;
  export const ds_base: u32 = 68;
  export const ss_base: u32 = 72;
  export const es_base: u32 = 76;
  export const tr_base: u32 = 80;
  export const cs_limit: u32 = 84;
  export const ds_limit: u32 = 88;
  export const ss_limit: u32 = 92;
  export const es_limit: u32 = 96;
  export const tr_limit: u32 = 100;
  export const cs_ar: u32 = 104; // u16, as the four below
  export const ds_ar: u32 = 106;
  export const ss_ar: u32 = 108;
  export const es_ar: u32 = 110;
  export const tr_ar: u32 = 112;
  export const pad2: u32 = 114;
  export const SIZE: u32 = 120;
}

// C: struct vcpu_hvm_x86_64
export namespace VcpuHvmX8664 {
  export const rax: u32 = 0; // u64, and so on
  export const rcx: u32 = 8;
  export const rdx: u32 = 16;
  export const rbx: u32 = 24;
  export const rsp: u32 = 32;
  export const rbp: u32 = 40;
  export const rsi: u32 = 48;
  export const rdi: u32 = 56;
  export const rip: u32 = 64;
  export const rflags: u32 = 72;
  export const cr0: u32 = 80;
  export const cr3: u32 = 88;
  export const cr4: u32 = 96;
  export const efer: u32 = 104;
  export const SIZE: u32 = 112;
}
