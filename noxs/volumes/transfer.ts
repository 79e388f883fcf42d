/** A client's request to a volume while it is served. */
import { BlockRequest } from "../../drivers/block";
import { Task, taskReady } from "./disks/task";
import { Volume } from "./store/volume";

@unmanaged
export class Transfer extends Task {
  volume: Volume;
  request: BlockRequest;
  cursor: u32; // sectors given to pieces
  pieces: u32; // in progress
  starting: u32; // 1: the last one has not decided yet how far it goes
  pumping: u32; // 1: pieces are being started
  status: i32;
  // Of a flush.
  until: u64; // transaction that must be on the disk
  covered: u32; // 1: its commit flushes the disk's cache too
  io: BlockRequest;
}

/** A piece goes as far as `sectors` from its begin: the next one can be started. */
export function transferGoOn(t: Transfer, sectors: u32): void {
  t.cursor += sectors;
  t.starting = 0;
  if (!t.pumping && !t.waiting) taskReady(t);
}

/**
 * A piece is done. Unless it was successful, no more are started.
 * @param undecided it has not said how far it goes
 */
export function transferPieceDone(t: Transfer, status: i32, undecided: bool): void {
  t.pieces--;
  if (status != 0) {
    if (t.status == 0) t.status = status;
    t.cursor = t.request.sectors;
  }
  if (undecided) t.starting = 0;
  if (!t.pumping && !t.waiting && !t.pieces) taskReady(t);
}
