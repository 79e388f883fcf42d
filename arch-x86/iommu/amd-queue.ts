/**
 * AMD-Vi's command buffer (AMD IOMMU 3.08, 2.4): what was cached of tables that have changed is forgotten. Each call returns when the
 * unit has said, by a write to memory, that it is done; only then may a frame that was unmapped change hands.
 */
import { store64 } from "../hw";
import { IommuUnit, queuePut, waitMemory, write32 } from "./unit";

const COMMAND_TAIL: u32 = 0x2008;

const COMPLETION_WAIT: u64 = 1 << 60;
const FORGET_DEVICE: u64 = 2 << 60;
const FORGET_PAGES: u64 = 3 << 60;
const WAIT_STORE: u64 = 1;
/** The address says how many pages, by its lowest bit that is 0; tables above the lowest as well. */
const SIZED: u64 = 1;
const DIRECTORIES: u64 = 2;
const ALL_PAGES: u64 = 0x7ffffffffffff000;

/** The one domain that there is. */
export const AMD_DOMAIN: u64 = 1;

/** Runs what was put into the queue. False: the unit does not answer. */
function run(u: IommuUnit): bool {
  if (!++u.turn) u.turn = 1;
  store64(u.done, 0);
  queuePut(u, COMPLETION_WAIT | u.done | WAIT_STORE, u.turn);
  write32(u, COMMAND_TAIL, u.tail << 4);
  return waitMemory(u.done, u.turn);
}

/** Forgets a device's entry, and with it all pages. */
export function amdForgetDevice(u: IommuUnit, requester: u32): bool {
  queuePut(u, FORGET_DEVICE | requester, 0);
  queuePut(u, FORGET_PAGES | (AMD_DOMAIN << 32), ALL_PAGES | SIZED | DIRECTORIES);
  return run(u);
}

/** Forgets 2^order pages. */
export function amdForgetPages(u: IommuUnit, page: u64, order: u32): bool {
  const size: u64 = order ? ((((<u64>1) << (order - 1)) - 1) << 12) | SIZED : 0;
  queuePut(u, FORGET_PAGES | (AMD_DOMAIN << 32), (page << 12) | size | DIRECTORIES);
  return run(u);
}
