/** The hypercall of a control domain's kernel: numbers and layouts of xen/platform.h (Xen 4.17). Bytes, 64-bit layout. */

export const XENPF_INTERFACE_VERSION: u32 = 0x03000001;

// C: struct xen_platform_op
export namespace PlatformOp {
  export const cmd: u32 = 0;
  export const interface_version: u32 = 4;
  export const SIZE: u32 = 136;
}
