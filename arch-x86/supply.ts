/**
 * Functions that arch-x86 needs from the layer above it, passed in at start so that no import points up.
 * AssemblyScript function references to top-level functions; set once by kernel/main.ts before anything else is called.
 */

/** Allocates one zeroed frame for page tables, VMCS, VMCB or FPU areas; returns its mfn, or 0 when out of memory. */
export type AllocFrame = () => u64;
/** Allocates `count` zeroed consecutive frames (permission bitmaps); returns the first mfn, or 0. Never freed. */
export type AllocRun = (count: u32) => u64;
/** Frees a frame from `AllocFrame`. */
export type FreeFrame = (mfn: u64) => void;
/** Appends one line to the hypervisor's log (dmesg and console): `length` UTF-8 bytes at `ptr`, no newline. */
export type LogLine = (ptr: usize, length: u32) => void;

function noAlloc(): u64 {
  return 0;
}
function noRun(_count: u32): u64 {
  return 0;
}
function noFree(_mfn: u64): void {}
function noLog(_ptr: usize, _length: u32): void {}

export let allocFrame: AllocFrame = noAlloc;
export let allocRun: AllocRun = noRun;
export let freeFrame: FreeFrame = noFree;
export let logLine: LogLine = noLog;

/** Sets the four functions. Called once, from `start`, before any other function of arch-x86. */
export function supply(alloc: AllocFrame, run: AllocRun, free: FreeFrame, log: LogLine): void {
  allocFrame = alloc;
  allocRun = run;
  freeFrame = free;
  logLine = log;
}
