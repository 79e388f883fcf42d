/**
 * RAM available to the hypervisor: the memory map, without the first MiB, the shim and the boot modules. Used only
 * while the frame table is built.
 */
import { BootInfo } from "../../abi/boot-info";

/** The frame table may take half of linear memory: 2^27 frames, 512 GiB of RAM. */
export const FRAMES_MAX: u64 = 1 << 27;
/** RAM below 1 MiB is the firmware's and the CPU start code's. */
export const FIRST_MFN: u64 = 0x100;

/** End of the range that bootNextUsable found. */
let stretchEnd: u64 = 0;

/** The first frame at or after `from` that the hypervisor may use, 0 when there is none; sets bootStretchEnd. */
export function bootNextUsable(boot: usize, from: u64): u64 {
  let mfn = from < FIRST_MFN ? FIRST_MFN : from;
  const regions = load<u64>(boot + BootInfo.memoryCount);
  while (true) {
    // The RAM region that holds mfn, or the nearest above it.
    let start: u64 = u64.MAX_VALUE;
    let end: u64 = 0;
    for (let i: u64 = 0; i < regions; i++) {
      const r = boot + BootInfo.memory + <usize>i * BootInfo.MEMORY_RECORD;
      if (load<u64>(r + 16) != 1) continue;
      const base = (load<u64>(r) + 0xfff) >> 12;
      let top = (load<u64>(r) + load<u64>(r + 8)) >> 12;
      if (top > FRAMES_MAX) top = FRAMES_MAX;
      if (top > mfn && base < top && base < start) {
        start = base;
        end = top;
      }
    }
    if (end == 0) return 0;
    if (start > mfn) mfn = start;
    const after = skipHeld(boot, mfn, end);
    if (after == mfn) return mfn;
    mfn = after;
  }
}

/** If `mfn` lies in the shim or a module, the frame after it; else `mfn`, with stretchEnd where the next of those begins. */
function skipHeld(boot: usize, mfn: u64, end: u64): u64 {
  stretchEnd = end;
  const modules = load<u64>(boot + BootInfo.moduleCount);
  for (let i: u64 = 0; i <= modules; i++) {
    const isShim = i == modules;
    const r = boot + BootInfo.modules + <usize>i * BootInfo.MODULE_RECORD;
    const base = load<u64>(isShim ? boot + BootInfo.shimBase : r);
    const size = load<u64>(isShim ? boot + BootInfo.shimSize : r + 8);
    if (!size) continue;
    const first = base >> 12;
    const last = (base + size + 0xfff) >> 12;
    if (mfn >= first && mfn < last) return last;
    if (first > mfn && first < stretchEnd) stretchEnd = first;
  }
  return mfn;
}

/** The first frame after the range that bootNextUsable found last: in use, or not RAM. */
export function bootStretchEnd(): u64 {
  return stretchEnd;
}

/** Whether the whole frame is RAM. */
export function bootIsRam(boot: usize, mfn: u64): bool {
  const regions = load<u64>(boot + BootInfo.memoryCount);
  for (let i: u64 = 0; i < regions; i++) {
    const r = boot + BootInfo.memory + <usize>i * BootInfo.MEMORY_RECORD;
    if (load<u64>(r + 16) != 1) continue;
    if ((load<u64>(r) + 0xfff) >> 12 <= mfn && (load<u64>(r) + load<u64>(r + 8)) >> 12 > mfn) return true;
  }
  return false;
}

/** Whether any RAM lies in frames [first, end). */
export function bootHasRam(boot: usize, first: u64, end: u64): bool {
  const regions = load<u64>(boot + BootInfo.memoryCount);
  for (let i: u64 = 0; i < regions; i++) {
    const r = boot + BootInfo.memory + <usize>i * BootInfo.MEMORY_RECORD;
    if (load<u64>(r + 16) != 1) continue;
    if (load<u64>(r) >> 12 < end && (load<u64>(r) + load<u64>(r + 8) + 0xfff) >> 12 > first) return true;
  }
  return false;
}
