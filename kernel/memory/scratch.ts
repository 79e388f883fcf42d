/**
 * Working memory for hypercall arguments: one page of linear memory for each physical CPU, so that structures can be
 * copied from a guest, checked and copied back without allocating. Its contents are valid during one hypercall; a handler owns
 * the whole page while it runs (handlers do not nest, except within multicall, which keeps its own copy).
 */
import { Vcpu } from "../records/vcpu";

const SCRATCH_CPUS: u32 = 8;
export const SCRATCH_BYTES: u32 = 4096;
const area: usize = memory.data(8 * 4096, 16);

/** The page of the CPU that `v` runs on. */
export function scratch(v: Vcpu): usize {
  assert(v.cpu < SCRATCH_CPUS, "no scratch page for this CPU");
  return area + <usize>(v.cpu * SCRATCH_BYTES);
}
