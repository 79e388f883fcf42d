/** One transfer of a task: between a disk and one buffer, or a flush. The task is ready when it is done. */
import { BLOCK_READ, BLOCK_WRITE, BLOCK_FUA, BlockRequest } from "../../../drivers/block";
import { heapAllocate } from "../../../drivers/host/heap";
import { Segment, segmentSet } from "../../../drivers/segment";
import { Disk, diskFlush, diskSubmit } from "./disk";
import { Task, taskReady } from "./task";

@unmanaged
export class TaskIo {
  request: BlockRequest;
  segment: usize;
  task: usize;
  status: i32;
}

/** Makes one; 0 when there is no memory. */
export function taskIoMake(): usize {
  const at = heapAllocate(offsetof<TaskIo>());
  if (!at) return 0;
  const io = changetype<TaskIo>(at);
  io.request = changetype<BlockRequest>(heapAllocate(offsetof<BlockRequest>()));
  io.segment = heapAllocate(offsetof<Segment>());
  return io.segment ? at : 0;
}

function done(request: usize, status: i32): void {
  const io = changetype<TaskIo>(changetype<BlockRequest>(request).cookie);
  io.status = status;
  taskReady(changetype<Task>(io.task));
}

function transfer(
  io: TaskIo,
  t: Task,
  d: Disk,
  operation: u32,
  flags: u32,
  sector: u64,
  sectors: u32,
  linear: usize,
  machine: u64,
): void {
  io.task = changetype<usize>(t);
  segmentSet(io.segment, 0, machine, linear, sectors << 9);
  const r = io.request;
  r.operation = operation;
  r.flags = flags;
  r.sector = sector;
  r.sectors = sectors;
  r.segments = io.segment;
  r.count = 1;
  r.done = changetype<usize>(done);
  r.cookie = changetype<usize>(io);
  diskSubmit(d, r);
}

/** Reads up to 64 KiB that are contiguous in the machine; the result is in `status` when the task runs again. */
export function taskRead(io: TaskIo, t: Task, d: Disk, sector: u64, sectors: u32, linear: usize, machine: u64): void {
  transfer(io, t, d, BLOCK_READ, 0, sector, sectors, linear, machine);
}

/** Writes likewise; `durable`: it is on stable storage when done. */
export function taskWrite(
  io: TaskIo,
  t: Task,
  d: Disk,
  sector: u64,
  sectors: u32,
  linear: usize,
  machine: u64,
  durable: bool,
): void {
  transfer(io, t, d, BLOCK_WRITE, durable ? BLOCK_FUA : 0, sector, sectors, linear, machine);
}

/** Flushes the disk's cache. */
export function taskFlush(io: TaskIo, t: Task, d: Disk): void {
  io.task = changetype<usize>(t);
  diskFlush(d, io.request, done, changetype<usize>(io));
}
