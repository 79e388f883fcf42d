/**
 * Physical interrupts of the I/O domain (Xen's pirqs): lines of I/O APICs, whose pirq is their GSI, and messages, whose pirqs
 * follow. Each has a vector of its own, and interrupts once a port is bound to it (events/event-channel.ts).
 *
 * A level-triggered line is masked when it interrupts and unmasked by PHYSDEVOP_eoi: until then its device has its reason to
 * interrupt still.
 */
import { EBUSY, EEXIST, EINVAL, ENOSPC } from "../../abi/errno";
import { hostApicId, VECTOR_DEVICE_FIRST, VECTOR_DEVICE_LAST } from "../../arch-x86/host/apic";
import { ioApicHasLine, ioApicIsLevel, ioApicMask, ioApicRoute } from "../../arch-x86/host/io-apic";
import { Domain } from "../records/domain";
import { softwareOf } from "../records/software-domain";
import { functionsRelease } from "./functions";
import { msiBegin, msiEnd, msiMask } from "./msi";

/** Pirqs below this are lines' (their GSI), those from here up messages'. */
export const PIRQ_MESSAGES: u32 = 256;
const VECTORS: u32 = VECTOR_DEVICE_LAST - VECTOR_DEVICE_FIRST + 1;

/** One for each vector. */
@unmanaged
class Pirq {
  /** 1: mapped. */
  used: u32;
  pirq: u32;
  /** The domain, and its port bound to it, 0 none. */
  domid: u32;
  port: u32;
  /** Of a message: its function and entry. */
  address: u32;
  entry: u32;
  level: u32;
  /** 1: masked because it has interrupted. */
  waits: u32;
}
const pirqs: usize = memory.data(176 * 32, 4);

function recordAt(i: u32): Pirq {
  return changetype<Pirq>(pirqs + <usize>i * offsetof<Pirq>());
}

function isLine(p: Pirq): bool {
  return p.pirq < PIRQ_MESSAGES;
}

/** The record of a pirq of `d`; null: not mapped. */
function pirqOf(d: Domain, pirq: u32): Pirq | null {
  for (let i: u32 = 0; i < VECTORS; i++) {
    const p = recordAt(i);
    if (p.used && p.pirq == pirq && p.domid == d.id) return p;
  }
  return null;
}

/** Index of a free record, VECTORS for none. */
function freeRecord(): u32 {
  let i: u32 = 0;
  while (i < VECTORS && recordAt(i).used) i++;
  return i;
}

function begin(p: Pirq, d: Domain, pirq: u32): void {
  memory.fill(changetype<usize>(p), 0, offsetof<Pirq>());
  p.used = 1;
  p.pirq = pirq;
  p.domid = d.id;
}

/** Maps a line. Its pirq, which is `gsi`, also when it was mapped before; -EINVAL no such line; -ENOSPC no vector is left. */
export function pirqMapLine(d: Domain, gsi: u32): i32 {
  if (gsi >= PIRQ_MESSAGES || !ioApicHasLine(gsi)) return -EINVAL;
  if (pirqOf(d, gsi) != null) return gsi;
  const i = freeRecord();
  if (i == VECTORS) return -ENOSPC;
  begin(recordAt(i), d, gsi);
  recordAt(i).level = ioApicIsLevel(gsi) ? 1 : 0;
  ioApicRoute(gsi, VECTOR_DEVICE_FIRST + i, hostApicId());
  return gsi;
}

/** Maps a message: entry `entry` of a function's MSI-X table, or, MSI_PLAIN, its MSI. Its new pirq; -errno as msiBegin; -ENOSPC. */
export function pirqMapMessage(d: Domain, address: u32, entry: u32): i32 {
  const i = freeRecord();
  if (i == VECTORS) return -ENOSPC;
  for (let k: u32 = 0; k < VECTORS; k++) {
    const other = recordAt(k);
    if (other.used && !isLine(other) && other.address == address && other.entry == entry) return -EEXIST;
  }
  const rc = msiBegin(d, address, entry, VECTOR_DEVICE_FIRST + i);
  if (rc) return rc;
  const p = recordAt(i);
  begin(p, d, PIRQ_MESSAGES + i);
  p.address = address;
  p.entry = entry;
  return p.pirq;
}

function mask(p: Pirq, masked: bool): void {
  if (isLine(p)) ioApicMask(p.pirq, masked);
  else msiMask(p.address, p.entry, masked);
}

function end(p: Pirq): void {
  mask(p, true);
  if (!isLine(p)) msiEnd(p.address, p.entry);
  p.used = 0;
}

/** Unmaps a pirq. 0; -EINVAL not mapped; -EBUSY a port is bound to it. */
export function pirqUnmap(d: Domain, pirq: u32): i32 {
  const p = pirqOf(d, pirq);
  if (p == null) return -EINVAL;
  if (p.port) return -EBUSY;
  end(p);
  return 0;
}

/** Whether a port can be bound to it: 0; -EINVAL not mapped; -EEXIST one is. */
export function pirqBindable(d: Domain, pirq: u32): i32 {
  const p = pirqOf(d, pirq);
  return p == null ? -EINVAL : p.port ? -EEXIST : 0;
}

/** Binds a port to a pirq that is bindable: it may interrupt from now on. */
export function pirqBind(d: Domain, pirq: u32, port: u32): void {
  const p = pirqOf(d, pirq)!;
  p.port = port;
  p.waits = 0;
  mask(p, false);
}

/** Undoes pirqBind; no effect on a pirq that is not bound. */
export function pirqUnbind(d: Domain, pirq: u32): void {
  const p = pirqOf(d, pirq);
  if (p == null || !p.port) return;
  mask(p, true);
  p.port = 0;
}

/** The port bound to a pirq, 0 for none: for the audit. */
export function pirqPort(d: Domain, pirq: u32): u32 {
  const p = pirqOf(d, pirq);
  return p == null ? 0 : p.port;
}

/** PHYSDEVOP_eoi: a level-triggered line may interrupt again. 0 or -EINVAL: not mapped. */
export function pirqEoi(d: Domain, pirq: u32): i32 {
  const p = pirqOf(d, pirq);
  if (p == null) return -EINVAL;
  if (!p.waits) return 0;
  p.waits = 0;
  if (p.port) mask(p, false);
  return 0;
}

/** Whether a pirq needs PHYSDEVOP_eoi: 1 yes, 0 no, -EINVAL not mapped. */
export function pirqNeedsEoi(d: Domain, pirq: u32): i32 {
  const p = pirqOf(d, pirq);
  return p == null ? -EINVAL : p.level;
}

/** An interrupt by `vector` was taken. Its domain's id << 32 and the port in it; 0 when it is nobody's: a late one. */
export function pirqTaken(vector: u32): u64 {
  const p = recordAt(vector - VECTOR_DEVICE_FIRST);
  if (!p.used || !p.port) return 0;
  if (p.level) {
    p.waits = 1;
    mask(p, true);
  }
  return ((<u64>p.domid) << 32) | p.port;
}

/** Ends all that `d` does with devices: its interrupts, and its functions' DMA. Before its ports are closed, which it leaves. */
export function devicesRelease(d: Domain): void {
  for (let i: u32 = 0; i < VECTORS; i++) {
    const p = recordAt(i);
    if (p.used && p.domid == d.id) end(p);
  }
  functionsRelease();
  softwareOf(d).configAddress = 0;
}
