/** Listings of disks and vbds, into the control channel's bulk area. */
import {
  BlockListResponse,
  DISK_GONE,
  DISK_GPT_SECOND,
  DISK_NO_STORE,
  DISK_READ_ONLY,
  DISK_STORE,
  DISK_STORE_BAD,
  DiskEntry,
  VBD_CONNECTED,
  VBD_FAILED,
  VBD_GOING,
  VBD_LOST,
  VBD_TARGET_BYTES,
  VBD_WAITING,
  VBD_WRITABLE,
  VbdEntry,
} from "../../abi/io/control-block";
import { CHUNK_SECTORS } from "../../abi/io/volume-format";
import { BLOCK_GONE } from "../../drivers/block";
import { diskCount, DiskInfo, diskInfoAt } from "../volumes/disk-list";
import { Store, STORE_READY } from "../volumes/store/store";
import { stableTarget, Vbd, vbdAt, VBDS_MAX } from "./records";
import { vbdProperties } from "./vbds";

function answer(response: usize, cursor: u32, count: u32): void {
  store<u32>(response, cursor, BlockListResponse.cursor);
  store<u32>(response, count, BlockListResponse.count);
}

/** DISK_LIST from `cursor` on: the bytes used of the bulk area. */
export function diskList(cursor: u32, response: usize, bulk: usize, room: u32): u32 {
  let count: u32 = 0;
  let i = cursor;
  for (; i < diskCount() && (count + 1) * DiskEntry.SIZE <= room; i++) {
    diskEntry(bulk + <usize>count * DiskEntry.SIZE, diskInfoAt(i));
    count++;
  }
  answer(response, i < diskCount() ? i : 0, count);
  return count * DiskEntry.SIZE;
}

function diskEntry(at: usize, info: DiskInfo): void {
  memory.fill(at, 0, DiskEntry.SIZE);
  const d = info.disk.device;
  let flags: u32 = 0;
  if (d.readOnly) flags |= DISK_READ_ONLY;
  if (d.state == BLOCK_GONE) flags |= DISK_GONE;
  if (info.second) flags |= DISK_GPT_SECOND;
  store<u32>(at, info.disk.index, DiskEntry.disk);
  store<u32>(at, flags, DiskEntry.flags);
  store<u64>(at, d.sectors, DiskEntry.sectors);
  store<u32>(at, d.sectorSize, DiskEntry.sectorSize);
  store<u32>(at, info.count, DiskEntry.partitions);
  const name = d.name ? changetype<string>(d.name) : "";
  for (let i = 0; i < name.length && i < 15; i++) store<u8>(at + DiskEntry.driver + i, <u8>name.charCodeAt(i));
  store<u64>(at, d.reads, DiskEntry.reads);
  store<u64>(at, d.writes, DiskEntry.writes);
  store<u64>(at, d.errors, DiskEntry.errors);
  store<u32>(at, d.resets, DiskEntry.resets);
  store<i32>(at, info.storeReason, DiskEntry.reason);
  if (!info.store) {
    store<u32>(at, DISK_NO_STORE, DiskEntry.store);
    return;
  }
  const s = changetype<Store>(info.store);
  store<u32>(at, s.state == STORE_READY ? DISK_STORE : DISK_STORE_BAD, DiskEntry.store);
  if (s.state != STORE_READY) return;
  store<u64>(at, <u64>s.dataChunks * CHUNK_SECTORS, DiskEntry.storeSectors);
  store<u64>(at, <u64>s.freeChunks * CHUNK_SECTORS, DiskEntry.freeSectors);
  store<u32>(at, s.metadataBlocks, DiskEntry.metadataBlocks);
  store<u32>(at, s.freeBlocks, DiskEntry.freeBlocks);
  store<u32>(at, s.volumes, DiskEntry.volumes);
  store<u32>(at, s.jobs, DiskEntry.jobs);
}

/** VBD_LIST from `cursor` on: the bytes used of the bulk area. */
export function vbdList(cursor: u32, response: usize, bulk: usize, room: u32): u32 {
  let count: u32 = 0;
  let i = cursor;
  let next: u32 = 0;
  for (; i < VBDS_MAX; i++) {
    const at = vbdAt(i);
    if (!at) continue;
    if ((count + 1) * VbdEntry.SIZE > room) {
      next = i;
      break;
    }
    vbdEntry(bulk + <usize>count * VbdEntry.SIZE, changetype<Vbd>(at));
    count++;
  }
  answer(response, next, count);
  return count * VbdEntry.SIZE;
}

function vbdEntry(at: usize, v: Vbd): void {
  memory.fill(at, 0, VbdEntry.SIZE);
  const s = v.stable;
  let state = VBD_WAITING;
  if (v.removing) state = VBD_GOING;
  else if (v.lost) state = VBD_LOST;
  else if (s.connected) state = VBD_CONNECTED;
  else if (s.failure) state = VBD_FAILED;
  store<u32>(at, s.domid, VbdEntry.domid);
  store<u32>(at, s.vdev, VbdEntry.vdev);
  store<u32>(at, s.model, VbdEntry.model);
  store<u32>(at, s.writable ? VBD_WRITABLE : 0, VbdEntry.flags);
  store<u32>(at, state, VbdEntry.state);
  store<u32>(at, s.failure, VbdEntry.failure);
  store<u32>(at, s.rings, VbdEntry.rings);
  store<u32>(at, s.order, VbdEntry.order);
  store<u32>(at, s.protocol, VbdEntry.protocol);
  store<u32>(at, s.features, VbdEntry.features);
  vbdProperties(v, at + VbdEntry.properties);
  memory.copy(at + VbdEntry.target, stableTarget(s), VBD_TARGET_BYTES);
  store<u64>(at, s.reads, VbdEntry.reads);
  store<u64>(at, s.writes, VbdEntry.writes);
  store<u64>(at, s.flushes, VbdEntry.flushes);
  store<u64>(at, s.discards, VbdEntry.discards);
  store<u64>(at, s.readBytes, VbdEntry.readBytes);
  store<u64>(at, s.writtenBytes, VbdEntry.writtenBytes);
  store<u64>(at, s.errors, VbdEntry.errors);
  store<u64>(at, s.refused, VbdEntry.refused);
}
