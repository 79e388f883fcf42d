/**
 * The permission maps: which ports and MSRs a guest may touch without an exit. All guests share one pair, made once:
 * no port, and only those MSRs that VMLOAD and VMSAVE move between the CPU and the VMCB, so that such an access
 * does not affect the host.
 */
import { ENOMEM } from "../../abi/errno";
import { load8, store64, store8 } from "../hw";
import {
  MSR_CSTAR,
  MSR_FS_BASE,
  MSR_GS_BASE,
  MSR_KERNEL_GS_BASE,
  MSR_LSTAR,
  MSR_SFMASK,
  MSR_STAR,
  MSR_SYSENTER_CS,
  MSR_SYSENTER_EIP,
  MSR_SYSENTER_ESP,
} from "../msr";
import { allocRun } from "../supply";

const IOPM_FRAMES: u32 = 3; // APM 2, 15.10.1: a bit per port, and three bits beyond the last
const MSRPM_FRAMES: u32 = 2; // APM 2, 15.11: three ranges of 2 KiB, two bits an MSR: read, write
const PAGE_SIZE: u32 = 4096;

/** Physical addresses; 0 until bitmapsInit. */
export let iopmPa: u64 = 0;
export let msrpmPa: u64 = 0;

/** Byte of the map that holds an MSR's two bits. */
function msrByte(msr: u32): u32 {
  const range: u32 = msr >= 0xc0010000 ? 0x1000 : msr >= 0xc0000000 ? 0x800 : 0;
  return range + (msr & 0x1fff) / 4;
}

function allow(msr: u32): void {
  const at = msrpmPa + msrByte(msr);
  store8(at, load8(at) & ~(3 << ((msr & 3) * 2)));
}

function fill(pa: u64, frames: u32): void {
  for (let i: u32 = 0; i < frames * PAGE_SIZE; i += 8) store64(pa + i, ~(<u64>0));
}

/** Allocates and fills both maps, once. 0 or -ENOMEM. */
export function bitmapsInit(): i32 {
  if (msrpmPa != 0) return 0;
  iopmPa = allocRun(IOPM_FRAMES) << 12;
  if (iopmPa == 0) return -ENOMEM;
  msrpmPa = allocRun(MSRPM_FRAMES) << 12;
  if (msrpmPa == 0) return -ENOMEM;
  fill(iopmPa, IOPM_FRAMES);
  fill(msrpmPa, MSRPM_FRAMES);
  allow(MSR_SYSENTER_CS);
  allow(MSR_SYSENTER_ESP);
  allow(MSR_SYSENTER_EIP);
  allow(MSR_STAR);
  allow(MSR_LSTAR);
  allow(MSR_CSTAR);
  allow(MSR_SFMASK);
  allow(MSR_FS_BASE);
  allow(MSR_GS_BASE);
  allow(MSR_KERNEL_GS_BASE);
  return 0;
}
