/** The console ring a guest shares with the console backend: xen/io/console.h. One page, two byte rings. */

/** Sizes of the two rings in bytes: powers of two, indexes run freely and are masked at use. */
export const XENCONS_IN_SIZE: u32 = 1024; // C: sizeof(((struct xencons_interface *)0)->in)
export const XENCONS_OUT_SIZE: u32 = 2048; // C: sizeof(((struct xencons_interface *)0)->out)

// C: struct xencons_interface
export namespace XenconsInterface {
  export const in_: u32 = 0; // C: in
  export const out: u32 = 1024;
  export const in_cons: u32 = 3072;
  export const in_prod: u32 = 3076;
  export const out_cons: u32 = 3080;
  export const out_prod: u32 = 3084;
  export const SIZE: u32 = 3088;
}
