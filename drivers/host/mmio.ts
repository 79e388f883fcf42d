/** Devices' registers in the module's memory: uncached mappings from IO_MMIO up, which are never removed. */
import { IO_MMIO, IO_MMIO_END } from "../../abi/io/layout";
import { mapDeviceFrames } from "./hypercalls";

const PAGE_SHIFT: u32 = 12;
const PAGE_MASK: u64 = 0xfff;

/** First unused byte. */
let next: usize = IO_MMIO;

/**
 * Maps `bytes` bytes of the machine's address space from `machine` on.
 * @returns their linear address, with the offset within a page kept; 0 when the domain may not access them or there is no room
 */
export function mmioMap(machine: u64, bytes: u32): usize {
  const offset = machine & PAGE_MASK;
  const length = (offset + bytes + PAGE_MASK) & ~PAGE_MASK;
  if (bytes == 0 || length > <u64>(<usize>IO_MMIO_END - next)) return 0;
  const start = next;
  const pages = <u32>(length >> PAGE_SHIFT);
  if (mapDeviceFrames(machine >> PAGE_SHIFT, (<u64>start) >> PAGE_SHIFT, pages) != 0) return 0;
  next += <usize>length;
  return start + <usize>offset;
}
