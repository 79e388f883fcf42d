/**
 * Buffers for hypercall arguments. Every user reserves its own for good when its module is evaluated, so a hypercall
 * allocates nothing, and a buffer keeps what its user left in it. The RAM behind DOM0_SCRATCH appears at first touch.
 */
import { DOM0_SCRATCH, DOM0_SCRATCH_END } from "../../abi/software.ts";
import { PAGE_SIZE } from "./window.ts";

let next = DOM0_SCRATCH;

/**
 * Reserves `size` bytes of zeroed scratch memory, 8-byte aligned, not crossing a page if they fit in one.
 * @returns its address in the window
 * @throws Error when the scratch region is used up: a mistake in the control plane, seen when its image is built
 */
export function reserveScratch(size: number): number {
  const left = PAGE_SIZE - (next % PAGE_SIZE);
  if (size > left) next += left;
  const address = next;
  next += (size + 7) & ~7;
  if (next > DOM0_SCRATCH_END) throw new Error("the scratch region is too small for the buffers of the control plane");
  return address;
}
