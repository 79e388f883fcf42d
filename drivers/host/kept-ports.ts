/**
 * Ports that guests know by their numbers: those of NoXS devices, which are in device pages. A restart of the domain closes all its
 * ports; each of these is opened again under the number that it had, so that a guest that has not bound it yet, or that starts
 * another kernel (kexec), finds it where its device page says.
 *
 * The hypervisor gives the lowest number that is free. So at the start, before anything else takes a port, all numbers up to the
 * highest that a guest may know are taken; whoever opens such a port again frees its number first; in the end the rest is given
 * back. The highest is in stable memory, and stays when its port goes.
 */
import { DOMID_SELF } from "../../abi/xen";
import { heapAllocatePages } from "./heap";
import { eventAllocUnbound, eventClose } from "./hypercalls";
import { stableHighestPort, stableHighestPortSet } from "./stable";

/** Numbers for which a page has a bit. */
const PAGE_BITS: u32 = 4096 * 8;

/** A bit for each number up to `highest` that is taken to keep its place; 0: none is. */
let places: usize = 0;
let highest: u32 = 0;

// @ts-expect-error: decorator of AssemblyScript
@inline
function byteOf(port: u32): usize {
  return places + (port >> 3);
}

/** Keeps the places of ports that guests of an earlier run know. First of all that takes ports; without memory none are kept. */
export function keptPortsStart(): void {
  highest = stableHighestPort();
  if (!highest) return;
  places = heapAllocatePages(highest / PAGE_BITS + 1);
  if (!places) return;
  for (let n: u32 = 0; n < highest; n++) {
    const port = eventAllocUnbound(DOMID_SELF);
    if (port <= 0) return;
    if (<u32>port > highest) {
      eventClose(port);
      return;
    }
    store<u8>(byteOf(port), <u8>((<u32>load<u8>(byteOf(port))) | (1 << (port & 7))));
  }
}

function release(port: u32): void {
  const bit: u32 = 1 << (port & 7);
  const byte: u32 = load<u8>(byteOf(port));
  if (!(byte & bit)) return;
  store<u8>(byteOf(port), <u8>(byte & ~bit));
  eventClose(port);
}

/** The next port that is taken will have this number, which it had in an earlier run. 0: any. Between start and end. */
export function portAgain(port: u32): void {
  if (places && port && port <= highest) release(port);
}

/** Guests know this port by its number from now on. */
export function portKeep(port: u32): void {
  if (port > stableHighestPort()) stableHighestPortSet(port);
}

/** All that guests know has been opened again. */
export function keptPortsEnd(): void {
  if (!places) return;
  for (let port: u32 = 1; port <= highest; port++) release(port);
  places = 0;
}
