/**
 * Ports that guests know by their numbers: those of NoXS devices, which are in device pages. A restart of the domain closes all its
 * ports; each of these is opened again under the number that it had, so that a guest that has not bound it yet, or that starts
 * another kernel (kexec), finds it where its device page says.
 *
 * The hypervisor gives the lowest number that is free. So at the start, before anything else takes a port, all numbers up to the
 * highest that a guest may know are taken; whoever opens such a port again frees its number first; in the end the rest is given
 * back. The highest is in stable memory, and stays when its port goes.
 *
 * A guest may have bound such a port, and the domain may have died before it looked. The hypervisor tells which port of the
 * guest's it was, until the number is taken: that is noted before.
 */
import { DOMID_SELF } from "../../abi/xen";
import { heapAllocatePages } from "./heap";
import { eventAllocUnbound, eventClose, eventFormerPort } from "./hypercalls";
import { stableHighestPort, stableHighestPortSet } from "./stable";

const PAGE_WORDS: u32 = 4096 / 4;
/** In the word of a number that is taken to keep its place. The rest is the guest's port that it was bound to. */
const TAKEN: u32 = 0x80000000;

/** A word for each number up to `highest`; 0: none. */
let places: usize = 0;
let highest: u32 = 0;

// @ts-expect-error: decorator of AssemblyScript
@inline
function wordOf(port: u32): usize {
  return places + ((<usize>port) << 2);
}

/** Keeps the places of ports that guests of an earlier run know. First of all that takes ports; without memory none are kept. */
export function keptPortsStart(): void {
  highest = stableHighestPort();
  if (!highest) return;
  places = heapAllocatePages(highest / PAGE_WORDS + 1);
  if (!places) return;
  for (let port: u32 = 0; port <= highest; port++) store<u32>(wordOf(port), eventFormerPort(port));
  for (let n: u32 = 0; n < highest; n++) {
    const port = eventAllocUnbound(DOMID_SELF);
    if (port <= 0) return;
    if (<u32>port > highest) {
      eventClose(port);
      return;
    }
    store<u32>(wordOf(port), load<u32>(wordOf(port)) | TAKEN);
  }
}

function release(port: u32): void {
  const word = load<u32>(wordOf(port));
  if (!(word & TAKEN)) return;
  store<u32>(wordOf(port), word & ~TAKEN);
  eventClose(port);
}

/**
 * The next port that is taken will have this number, which it had in an earlier run. 0: any. Between start and end.
 * @returns the guest's port that it was bound to when that run ended; 0: none
 */
export function portAgain(port: u32): u32 {
  if (!places || !port || port > highest) return 0;
  release(port);
  return load<u32>(wordOf(port));
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
