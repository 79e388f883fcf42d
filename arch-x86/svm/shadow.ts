/**
 * The interrupt shadow: the one instruction after STI, or after a load of SS, before which no interrupt is taken (APM 2,
 * 15.21.5). If a guest exits inside it, the processor reports it in the VMCB, and restores it at the next entry. QEMU's TCG
 * reports it too, but does not load it: an interrupt delivered then comes before the instruction, and a guest that sleeps with
 * STI; HLT handles its wake-up interrupt before it sleeps.
 *
 * So nothing here relies on the shadow being loaded, and all of it is also correct if it is.
 */
import { hostApicSetDeadline } from "../host/apic";
import { nsToTsc } from "../host/tsc";
import { load64, load8, rdtsc, store64 } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { guestFetchBefore } from "../emulation/guest-memory";
import { RFLAGS_IF, RFLAGS_RF } from "../state";
import { VMCB } from "./vmcb";

const STI: u32 = 0xfb;
const IOPL_SHIFT: u32 = 12;
const RFLAGS_VM: u64 = 1 << 17;
/** Time until a guest whose interrupt is blocked by a shadow is checked again, ns. */
const AGAIN_NS: u64 = 20000;

const byte: usize = memory.data(1);

/** The guest is between STI or a load of SS and the next instruction. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function svmInShadow(v: HvmVcpu): bool {
  return (load64(v.controlPa + VMCB.INTERRUPT_SHADOW) & 1) != 0;
}

/**
 * After an exit between two instructions, in the shadow: the guest goes back to before its STI, with interrupts off, as if the
 * exit had come one instruction earlier. The STI then runs again, and the processor creates the shadow again.
 *
 * Right even if the byte before RIP is the end of another instruction: interrupts are on, so an STI there changes nothing but
 * to hold them off for one instruction, which is where the guest is. RF keeps a breakpoint on the STI from trapping twice.
 */
export function svmTakeBackSti(v: HvmVcpu): void {
  const vmcb = v.controlPa;
  const flags = load64(vmcb + VMCB.RFLAGS);
  const cpl = load8(vmcb + VMCB.CPL);
  if ((flags & RFLAGS_IF) == 0 || (flags & RFLAGS_VM) != 0 || cpl > <u32>((flags >> IOPL_SHIFT) & 3)) return;
  if (!guestFetchBefore(v, byte, 1) || load<u8>(byte) != STI) return;
  store64(vmcb + VMCB.RIP, load64(vmcb + VMCB.RIP) - 1);
  store64(vmcb + VMCB.RFLAGS, (flags & ~RFLAGS_IF) | RFLAGS_RF);
  store64(vmcb + VMCB.INTERRUPT_SHADOW, 0);
}

/**
 * An interrupt waits in a shadow that cannot be taken back, that of a load of SS: the next entry goes without a window, which
 * some processors would take at once, between SS and the stack pointer, and ends soon.
 */
export function svmLookAgain(): void {
  hostApicSetDeadline(rdtsc() + nsToTsc(AGAIN_NS));
}
