/**
 * `io`: everything the shim offers the I/O domain's module, as WebAssembly imports of module "io".
 *
 * On the machine these are `static inline` C functions of boot/io.c, compiled into the module's code; in Node they are the
 * simulated machine of the tests. Nothing else leaves the sandbox. `ptr` is an address in the module's own linear memory, in which
 * granted pages and devices' registers are mapped too (abi/io/layout.ts).
 *
 * What a device or another domain can read or write is accessed only through the functions of this file: the C compiler may
 * merge, move and repeat ordinary loads and stores.
 */

/**
 * Makes a hypercall with Xen's number and arguments; pointers are linear addresses. The domain may be preempted in it.
 * @returns what the hypercall returns: a negative errno, or its result
 */
@external("io", "hypercall") export declare function hypercall(
  op: u32,
  a0: u64,
  a1: u64,
  a2: u64,
  a3: u64,
  a4: u64,
): i64;

/** Reads `size` (1, 2 or 4) bytes from a port; all ones from one that the domain may not access. */
@external("io", "portIn") export declare function portIn(port: u32, size: u32): u32;
/** Writes `size` (1, 2 or 4) bytes to a port; ignored for one that the domain may not access. */
@external("io", "portOut") export declare function portOut(port: u32, size: u32, value: u32): void;

/** One load or store of the named width each, in program order with each other; naturally aligned. */
@external("io", "read8") export declare function read8(ptr: usize): u32;
@external("io", "read16") export declare function read16(ptr: usize): u32;
@external("io", "read32") export declare function read32(ptr: usize): u32;
@external("io", "read64") export declare function read64(ptr: usize): u64;
@external("io", "write8") export declare function write8(ptr: usize, value: u32): void;
@external("io", "write16") export declare function write16(ptr: usize, value: u32): void;
@external("io", "write32") export declare function write32(ptr: usize, value: u32): void;
@external("io", "write64") export declare function write64(ptr: usize, value: u64): void;

/** MFENCE: what is before it is visible to devices and other processors before what is after it. */
@external("io", "barrier") export declare function barrier(): void;
/** Atomic compare-and-exchange of 32 bits; returns the value found (equal to `expected` on success). */
@external("io", "compareExchange32") export declare function compareExchange32(
  ptr: usize,
  expected: u32,
  value: u32,
): u32;
/** Atomic fetch-or and fetch-and of 32 bits; return the value found. */
@external("io", "fetchOr32") export declare function fetchOr32(ptr: usize, bits: u32): u32;
@external("io", "fetchAnd32") export declare function fetchAnd32(ptr: usize, bits: u32): u32;

/** Xen's system time, ns since the machine's start. */
@external("io", "systemTime") export declare function systemTime(): u64;
