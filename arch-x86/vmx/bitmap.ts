/**
 * The MSR bitmap: which MSRs a guest may read and write without an exit (SDM 3C 25.6.9). All guests share one: those
 * that the VMCS holds or that vmx/current.ts switches.
 */
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
import { allocFrame } from "../supply";

const HIGH_MSRS: u32 = 0xc0000000;
const HIGH_OFFSET: u32 = 1024; // a bit per MSR from HIGH_MSRS, after those from 0
const WRITES: u32 = 2048; // bits of writes, after those of reads
const PAGE_SIZE: u32 = 4096;

/** Physical address; 0 until bitmapInit. */
export let bitmapPa: u64 = 0;

function allow(msr: u32): void {
  const at = bitmapPa + (msr >= HIGH_MSRS ? HIGH_OFFSET : 0) + (msr & 0x1fff) / 8;
  const others = ~((<u32>1) << (msr & 7));
  store8(at, load8(at) & others);
  store8(at + WRITES, load8(at + WRITES) & others);
}

/** Allocates and fills it, once. False: no memory. */
export function bitmapInit(): bool {
  if (bitmapPa != 0) return true;
  bitmapPa = allocFrame() << 12;
  if (bitmapPa == 0) return false;
  for (let i: u32 = 0; i < PAGE_SIZE; i += 8) store64(bitmapPa + i, ~(<u64>0));
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
  return true;
}
