/** The frame table at boot: where it is, and which frames of RAM are held by the hypervisor and which are free. */
import { BootInfo } from "../../abi/boot-info";
import * as hw from "../../arch-x86/hw";
import { bootHasRam, bootIsRam, bootNextUsable, bootStretchEnd, FIRST_MFN, FRAMES_MAX } from "./boot-memory";
import { FRAME_SHIFT, frameHold, framesAdd, framesLimit, framesTable, FrameType } from "./frames";

let tableEndPage: u32 = 0;

/** Marks the RAM frames of [base, base + size) bytes as `type`, held forever by the hypervisor. */
function markHeld(boot: usize, base: u64, size: u64, type: u32): void {
  const end = (base + size + 0xfff) >> 12;
  for (let mfn = base >> 12; mfn < end && mfn < framesLimit(); mfn++) {
    if (mfn >= FIRST_MFN && bootIsRam(boot, mfn)) frameHold(mfn, type);
  }
}

/**
 * Builds the table in linear memory from hw.firstFreePage() up, in frames taken from the start of free RAM, and puts
 * all other usable RAM on the free lists. Once, on the boot CPU, before any allocation.
 * @param boot BootInfo record in linear memory
 */
export function framesInit(boot: usize): void {
  const regions = load<u64>(boot + BootInfo.memoryCount);
  let limit: u64 = 0;
  let ram: u64 = 0;
  let low: u64 = 0;
  for (let i: u64 = 0; i < regions; i++) {
    const r = boot + BootInfo.memory + <usize>i * BootInfo.MEMORY_RECORD;
    if (load<u64>(r + 16) != 1) continue;
    const base = (load<u64>(r) + 0xfff) >> 12;
    let top = (load<u64>(r) + load<u64>(r + 8)) >> 12;
    if (top > FRAMES_MAX) top = FRAMES_MAX;
    if (base >= top) continue;
    if (top > limit) limit = top;
    ram += top - base;
    if (base < FIRST_MFN) low += (top < FIRST_MFN ? top : FIRST_MFN) - base;
  }
  const firstPage = hw.firstFreePage();
  const pages = <u32>(((limit << FRAME_SHIFT) + 0xfff) >> 12);
  tableEndPage = firstPage + pages;

  // Stretches of 256 frames without any RAM share one read-only page of zeroes: FrameType.Reserved.
  let bump = bootNextUsable(boot, 0);
  const hole = bump;
  hw.zeroFrame(hole);
  bump = bootNextUsable(boot, bump + 1);
  const perPage: u64 = 4096 >> FRAME_SHIFT;
  for (let page: u32 = 0; page < pages; page++) {
    const first = <u64>page * perPage;
    let mfn = hole;
    if (bootHasRam(boot, first, first + perPage)) {
      mfn = bump;
      assert(mfn != 0, "no RAM for the frame table");
      hw.zeroFrame(mfn);
      bump = bootNextUsable(boot, bump + 1);
    }
    const failed = hw.spaceMap(0, firstPage + page, mfn, mfn == hole ? 0 : 1);
    assert(failed == 0, "the shim cannot map the frame table");
  }

  framesTable((<usize>firstPage) << 12, limit, ram, low);
  const modules = load<u64>(boot + BootInfo.moduleCount);
  markHeld(boot, load<u64>(boot + BootInfo.shimBase), load<u64>(boot + BootInfo.shimSize), FrameType.Shim);
  for (let i: u64 = 0; i < modules; i++) {
    const r = boot + BootInfo.modules + <usize>i * BootInfo.MODULE_RECORD;
    markHeld(boot, load<u64>(r), load<u64>(r + 8), FrameType.Module);
  }
  let mfn = bootNextUsable(boot, 0);
  while (mfn != 0) {
    const end = bootStretchEnd();
    if (mfn < bump || bump == 0) {
      const used = bump != 0 && bump < end ? bump : end;
      markHeld(boot, mfn << 12, (used - mfn) << 12, FrameType.FrameTable);
      mfn = used;
    }
    if (mfn < end) framesAdd(mfn, end);
    mfn = bootNextUsable(boot, end);
  }
}

/** First linear page of space 0 after the table: where the heap may begin. */
export function framesEndPage(): u32 {
  return tableEndPage;
}
