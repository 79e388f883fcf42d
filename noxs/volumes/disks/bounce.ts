/** Buffers of 64 KiB that disks can access: for what cannot go between a guest's memory and the disk directly. */
import { CHUNK_BYTES } from "../../../abi/io/volume-format";
import { dmaAllocate, dmaMachine } from "../../../drivers/host/dma";
import { Task, TaskList, taskWait, taskWakeAll } from "./task";

export const BOUNCE_BYTES: u32 = CHUNK_BYTES;
/** Buffers: 1 MiB. */
export const BOUNCE_COUNT: u32 = 16;

const free: usize = memory.data(16 * 4);
let count: u32 = 0;
const waiters = changetype<TaskList>(memory.data(8, 8));

/** Allocates the buffers; false when there is no memory. */
export function bounceInit(): bool {
  for (let i: u32 = 0; i < BOUNCE_COUNT; i++) {
    const at = dmaAllocate(BOUNCE_BYTES >> 12);
    if (!at) return false;
    store<usize>(free + ((<usize>count) << 2), at);
    count++;
  }
  return true;
}

/** Takes a buffer; 0 when all are in use. */
export function bounceTake(): usize {
  if (!count) return 0;
  count--;
  return load<usize>(free + ((<usize>count) << 2));
}

/** Has a task run again when a buffer may be free. */
export function bounceWait(t: Task): void {
  taskWait(waiters, t);
}

export function bounceGive(at: usize): void {
  store<usize>(free + ((<usize>count) << 2), at);
  count++;
  taskWakeAll(waiters, 0);
}

/** Buffers that are not in use. */
export function bounceFree(): u32 {
  return count;
}

/** The machine address of a buffer. */
export function bounceMachine(at: usize): u64 {
  return dmaMachine(at);
}
