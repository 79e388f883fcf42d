/**
 * VT-d's invalidation queue (4.1, 6.5.2): what was cached of tables that have changed is forgotten. Each call returns when the unit has
 * said, by a write to memory, that it is done; only then may a frame that was unmapped change hands.
 */
import { store64 } from "../hw";
import { IommuUnit, queuePut, read32, waitMemory, waitRegister, write32, write64 } from "./unit";

const GCMD: u32 = 0x18;
const GSTS: u32 = 0x1c;
const FSTS: u32 = 0x34;
const IQT: u32 = 0x88;
const IQA: u32 = 0x90;

/** GCMD and GSTS: the queue is on. And the bits of GSTS that are commands only, not to be written back. */
const QUEUE_ENABLE: u32 = 1 << 26;
export const WRITE_BUFFER: u32 = 1 << 27;
export const ONE_SHOT: u32 = 0x69000000;
/** FSTS: the queue has stopped at an error. */
const QUEUE_ERRORS: u32 = 7 << 4;

const CONTEXT: u64 = 1;
const IOTLB: u64 = 2;
const WAIT: u64 = 5;
const GLOBAL: u64 = 1 << 4;
const DOMAIN: u64 = 2 << 4;
/** Of one device, or of one page. */
const SELECTIVE: u64 = 3 << 4;
const WAIT_WRITES: u64 = 1 << 5;
/** Reads and writes that were on their way have ended, too. */
const DRAIN: u64 = (1 << 6) | (1 << 7);

/** The one domain that there is. 0 is what units that cache absent entries tag those with. */
export const VTD_DOMAIN: u64 = 1;

/** Sets or clears one bit of the global command register, and waits until the unit says so. False: it does not. */
export function vtdCommand(u: IommuUnit, bit: u32, on: bool): bool {
  const kept = read32(u, GSTS) & ~ONE_SHOT;
  write32(u, GCMD, on ? kept | bit : kept & ~bit);
  return waitRegister(u, GSTS, bit, on ? bit : 0);
}

/** Turns the queue on, empty. False: the unit does not. */
export function vtdQueueStart(u: IommuUnit): bool {
  if (!vtdCommand(u, QUEUE_ENABLE, false)) return false;
  write64(u, IQT, 0);
  write64(u, IQA, u.queue);
  u.tail = 0;
  return vtdCommand(u, QUEUE_ENABLE, true);
}

/** Runs what was put into the queue. False: the unit does not answer. */
function run(u: IommuUnit): bool {
  // The word is told apart from the one before: the unit cannot have written it yet.
  if (!++u.turn) u.turn = 1;
  const value = u.turn;
  store64(u.done, 0);
  queuePut(u, WAIT | WAIT_WRITES | ((<u64>value) << 32), u.done);
  write32(u, IQT, u.tail << 4);
  return waitMemory(u.done, value) && (read32(u, FSTS) & QUEUE_ERRORS) == 0;
}

/** Forgets all. */
export function vtdForgetAll(u: IommuUnit): bool {
  queuePut(u, CONTEXT | GLOBAL, 0);
  queuePut(u, IOTLB | GLOBAL | DRAIN, 0);
  return run(u);
}

/** Forgets a device's entry, and with it all pages. */
export function vtdForgetDevice(u: IommuUnit, requester: u32): bool {
  queuePut(u, CONTEXT | SELECTIVE | (VTD_DOMAIN << 16) | ((<u64>requester) << 32), 0);
  queuePut(u, IOTLB | DOMAIN | DRAIN | (VTD_DOMAIN << 16), 0);
  return run(u);
}

/** Forgets 2^order pages; all of them where the unit cannot choose. */
export function vtdForgetPages(u: IommuUnit, page: u64, order: u32, selective: bool): bool {
  const which = selective ? SELECTIVE : DOMAIN;
  queuePut(u, IOTLB | which | DRAIN | (VTD_DOMAIN << 16), selective ? (page << 12) | order : 0);
  return run(u);
}
