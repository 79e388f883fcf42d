/** Disks in memory: RAM volumes and boot modules. What they are asked for is done at once, and answered in the module's turn. */
import { EFAULT } from "../../abi/errno";
import {
  BLOCK_CAN_DISCARD,
  BLOCK_DISCARD,
  BLOCK_FLUSH,
  BLOCK_READ,
  BlockDevice,
  blockDone,
  BlockRequest,
  blockTaken,
} from "../../drivers/block";
import { pollEnter, pollInit, Pollable } from "../../drivers/poll";
import { sliceCopy } from "./disks/slice";

@unmanaged
export class MemoryDisk extends BlockDevice {
  memory: usize; // its content
  free: usize; // of a pool
}

const poll = changetype<Pollable>(memory.data(16, 8));
let head: usize = 0;
let tail: usize = 0;

/** Before anything else of this file. */
export function memoryDisksInit(): void {
  pollInit(poll, answer);
}

/** Makes a disk of `bytes` bytes at `at`, a multiple of 512. */
export function memoryDiskMake(d: MemoryDisk, at: usize, bytes: u64, readOnly: bool): void {
  memory.fill(changetype<usize>(d), 0, offsetof<MemoryDisk>());
  d.memory = at;
  d.sectors = bytes >> 9;
  d.sectorSize = 512;
  d.physicalSectorSize = 512;
  d.readOnly = readOnly ? 1 : 0;
  d.features = readOnly ? 0 : BLOCK_CAN_DISCARD;
  d.segmentsMax = 512;
  d.segmentBytesMax = 0x100000;
  d.sectorsMax = 0x10000;
  d.discardSectorsMax = 0x40000000;
  d.depth = 256;
  d.submitFn = changetype<usize>(submit);
  d.kickFn = changetype<usize>(kick);
}

function kick(_device: usize): void {}

function submit(device: usize, request: usize): i32 {
  const d = changetype<MemoryDisk>(device);
  const r = changetype<BlockRequest>(request);
  blockTaken(d, r);
  const at = d.memory + <usize>(r.sector << 9);
  const bytes = r.sectors << 9;
  let done = true;
  if (r.operation == BLOCK_DISCARD) memory.fill(at, 0, bytes);
  else if (r.operation != BLOCK_FLUSH && !sliceCopy(r.segments, 0, bytes, at, r.operation != BLOCK_READ)) done = false;
  r.phase = done ? 0 : <u32>-EFAULT;
  r.link = 0;
  // Flags mean nothing to memory; the request needs to know its disk.
  r.flags = <u32>device;
  if (tail) changetype<BlockRequest>(tail).link = request;
  else head = request;
  tail = request;
  pollEnter(poll);
  return 0;
}

function answer(_record: usize, budget: u32): bool {
  for (let i: u32 = 0; i < budget && head; i++) {
    const r = changetype<BlockRequest>(head);
    head = r.link;
    if (!head) tail = 0;
    blockDone(changetype<BlockDevice>(r.flags), r, <i32>r.phase);
  }
  return head != 0;
}
