/** The device models' hypercall: layouts of xen/hvm/dm_op.h (Xen 4.17). Bytes, 64-bit layout. */

// C: struct xen_dm_op_buf
export namespace DmOpBuf {
  export const h: u32 = 0;
  export const size: u32 = 8;
  export const SIZE: u32 = 16;
}
