/**
 * x87, SSE and AVX state, switched only when the CPU switches from one guest to another: the hypervisor itself is
 * compiled to use general registers only. XCR0 and the debug registers are switched together with it.
 */
import { HOST_STATE_FPU_SIZE } from "../abi/host-state";
import { debugLoad, debugUnload } from "./debug-registers";
import {
  copyFromPhys,
  copyToPhys,
  fpuInit,
  fpuLoad,
  fpuSave,
  hostState,
  load64,
  readXcr0,
  store64,
  writeXcr0,
} from "./hw";
import { HvmVcpu } from "./hvm-vcpu";
import { getDr7 } from "./state";
import { FRAME_FPU, FRAME_FPU_BYTES } from "./state-frame";

export const XCR0_X87: u64 = 1 << 0;
export const XCR0_SSE: u64 = 1 << 1;
export const XCR0_AVX: u64 = 1 << 2;

const DR7_ENABLES: u64 = 0xff;
const LEGACY_BYTES: u32 = 512; // FXSAVE image, SDM 1, 10.5.1
const XSTATE_BV: u32 = 512; // XSAVE header, SDM 1, 13.4.2
const HEADER_BYTES: u32 = 64;
const FCW_INITIAL: u32 = 0x37f;
const MXCSR_OFFSET: u32 = 24;
const MXCSR_VALID: u32 = 0xffff;

/** Everything the host enabled, 0 where there is no XSAVE. Every CPU has the same. */
export let hostXcr0: u64 = 0;

/** Physical address of the save area. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function area(v: HvmVcpu): u64 {
  return v.statePa + FRAME_FPU;
}

/** Called by hvmCpuInit. */
export function fpuHostInit(): void {
  hostXcr0 = readXcr0();
  assert(
    hostState(HOST_STATE_FPU_SIZE) <= FRAME_FPU_BYTES,
    "the FPU save area does not fit its place in the state frame",
  );
}

/** Puts a new vCPU's FPU into the state after INIT. XCR0 is then 1 (SDM 3A, 10.1.1). */
export function fpuReset(v: HvmVcpu): void {
  fpuInit(area(v));
  v.xcr0 = XCR0_X87;
}

/** See hvmFpuSwitch. Saving needs every component enabled, so the host's XCR0 is set around it. */
export function fpuSwitch(from: HvmVcpu | null, to: HvmVcpu | null): void {
  if (from !== null) {
    if (hostXcr0 != 0) {
      // The CPU's value is authoritative: QEMU's TCG lets a guest execute XSETBV without an exit.
      from.xcr0 = readXcr0() & hostXcr0;
      if (from.xcr0 != hostXcr0) writeXcr0(hostXcr0);
    }
    fpuSave(area(from));
    if (from.debugLoaded != 0) debugUnload(from);
  }
  if (to !== null) {
    fpuLoad(area(to));
    if (to.xcr0 != hostXcr0 && hostXcr0 != 0) writeXcr0(to.xcr0);
    // Armed breakpoints must be there before the guest runs into them.
    if ((getDr7(to) & DR7_ENABLES) != 0) debugLoad(to);
  }
}

/**
 * XSETBV by the guest that owns the FPU now: RCX names the register, EDX:EAX the value.
 * @returns false for #GP
 */
export function fpuSetXcr0(v: HvmVcpu): bool {
  const value = (v.rdx << 32) | (v.rax & 0xffffffff);
  if (<u32>v.rcx != 0 || (value & ~hostXcr0) != 0 || (value & XCR0_X87) == 0) return false;
  if ((value & XCR0_AVX) != 0 && (value & XCR0_SSE) == 0) return false;
  v.xcr0 = value;
  writeXcr0(value);
  return true;
}

/** Copies the saved state as an FXSAVE image (512 bytes) to `ptr`, for save and migration. AVX halves are not in it. */
export function fpuExport(v: HvmVcpu, ptr: usize): void {
  copyFromPhys(ptr, area(v), LEGACY_BYTES);
  if (hostXcr0 == 0) return;
  // XSAVE leaves a component in its initial state out of the image.
  const present = load64(area(v) + XSTATE_BV);
  if ((present & XCR0_X87) == 0) {
    const mxcsr = load<u64>(ptr + MXCSR_OFFSET);
    memory.fill(ptr, 0, 160);
    store<u16>(ptr, <u16>FCW_INITIAL);
    store<u64>(ptr + MXCSR_OFFSET, mxcsr);
  }
  if ((present & XCR0_SSE) == 0) memory.fill(ptr + 160, 0, 256);
}

/** The reverse: the next load of the FPU takes x87 and SSE from the image at `ptr`, AVX is in its initial state. */
export function fpuImport(v: HvmVcpu, ptr: usize): void {
  fpuInit(area(v));
  // Reserved MXCSR bits would fault in the hypervisor when the state is loaded.
  const mxcsr = load<u32>(ptr + MXCSR_OFFSET) & MXCSR_VALID;
  copyToPhys(area(v), ptr, LEGACY_BYTES);
  store64(area(v) + MXCSR_OFFSET, mxcsr | ((<u64>MXCSR_VALID) << 32));
  if (hostXcr0 == 0) return;
  for (let i: u32 = 0; i < HEADER_BYTES; i += 8) store64(area(v) + XSTATE_BV + i, 0);
  store64(area(v) + XSTATE_BV, XCR0_X87 | XCR0_SSE);
}
