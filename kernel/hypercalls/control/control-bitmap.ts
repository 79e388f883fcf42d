/** struct xenctl_bitmap, by which domctl and sysctl pass sets of CPUs and nodes: bits in the caller's memory. */
import { XenctlBitmap } from "../../../abi/xen";
import { copyFromGuest, copyToGuest } from "../../memory/guest-copy";
import { Vcpu } from "../../records/vcpu";

/** Why readBitmap failed is always -EFAULT; this is what it read. */
export let bitmapRead: u64 = 0;

/**
 * Reads the low 64 bits of the bitmap described at linear `op` into bitmapRead; bits beyond are ignored, as Xen does.
 * @param work 8 bytes of linear memory
 */
export function readBitmap(v: Vcpu, op: usize, work: usize): bool {
  const bits = load<u32>(op, XenctlBitmap.nr_bits);
  store<u64>(work, 0);
  const bytes = min<u32>(bits / 8 + (bits & 7 ? 1 : 0), 8);
  if (bytes && !copyFromGuest(v, work, load<u64>(op, XenctlBitmap.bitmap), bytes)) return false;
  bitmapRead = load<u64>(work) & (bits >= 64 ? u64.MAX_VALUE : ((<u64>1) << bits) - 1);
  return true;
}

/** Writes `value` to the bitmap described at `op`, zero beyond 64 bits, no more than its nr_bits. */
export function writeBitmap(v: Vcpu, op: usize, work: usize, value: u64): bool {
  const bits = load<u32>(op, XenctlBitmap.nr_bits);
  const bytes = bits / 8 + (bits & 7 ? 1 : 0);
  const to = load<u64>(op, XenctlBitmap.bitmap);
  for (let done: u32 = 0; done < bytes; done += 8) {
    store<u64>(work, done ? 0 : value);
    if (!copyToGuest(v, to + done, work, min<u32>(bytes - done, 8))) return false;
  }
  return true;
}
