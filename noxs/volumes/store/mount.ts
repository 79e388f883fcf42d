/**
 * Mounting a store: its superblocks are read, the newer one that is intact is believed, and the other is made like it; then the changes
 * that an earlier run of this domain answered for and did not bring to the disk are made again (journal.ts).
 */
import { EBADMSG, ENODATA, ENOMEM } from "../../../abi/errno";
import {
  BLOCK_BYTES,
  BLOCK_SECTORS,
  BlockHeader,
  IndexEntry,
  MAGIC_INDEX,
  Superblock,
} from "../../../abi/io/volume-format";
import { say, sayDec, sayEnd } from "../../../drivers/host/log";
import { blockIntact, cacheEnter, cacheLeave } from "./cache";
import { jobResume, jobsStart } from "./jobs";
import { logCount, logOpen, logRecord, LogRecord } from "./journal";
import { loaded, volumeGet } from "./load";
import { Store, STORE_ABSENT, STORE_BAD, STORE_MOUNTING, STORE_READY, transactionOf } from "./store";
import { StoreDoneFn, StoreTask, storeTaskOf } from "./stores";
import {
  superblockFill,
  superblockIndex,
  superblockLoad,
  superblockSeal,
  superblockThere,
  superblockValid,
} from "./superblock";
import { taskInit, taskReady, WAIT } from "../disks/task";
import { taskRead, taskWrite } from "../disks/task-io";
import { mapReplay } from "./tree";
import { Volume, volumesForget } from "./volume";

// StoreTask.step
const READ_FIRST: u32 = 0;
const READ_SECOND: u32 = 1;
const READ_INDEX: u32 = 2;
const MIRROR: u32 = 3;
const RESUME: u32 = 4;
const REPLAY: u32 = 5;

/** Steps of a replay after which others get their turn. */
const REPLAY_STEPS: u32 = 256;

/**
 * Mounts a store (storePlace). `fn` is told: 0; -ENODATA there is no store; -EBADMSG it is damaged; -ENOMEM; -EIO. The store
 * is then STORE_READY; STORE_BAD if there is one that cannot be used; STORE_ABSENT otherwise.
 */
export function mountStart(s: Store, fn: StoreDoneFn, cookie: usize): void {
  const t = storeTaskOf(s);
  s.state = STORE_MOUNTING;
  taskInit(t, mountRun);
  t.doneFn = changetype<usize>(fn);
  t.cookie = cookie;
  t.step = READ_FIRST;
  t.busy = 0;
  t.intact = 0;
  t.item = 0;
  taskReady(t);
}

function mountRun(task: usize): void {
  const t = changetype<StoreTask>(task);
  switch (t.step) {
    case READ_FIRST:
    case READ_SECOND:
      superblocksRead(t);
      break;
    case READ_INDEX:
      indexRead(t);
      break;
    case MIRROR:
      mirror(t);
      break;
    case RESUME:
      resume(t);
      break;
    default:
      replay(t);
  }
}

function finish(t: StoreTask, status: i32): void {
  const s = t.store;
  cacheLeave(t);
  s.replaying = 0;
  s.reason = status;
  s.state = status == 0 ? STORE_READY : status == -ENODATA ? STORE_ABSENT : STORE_BAD;
  if (status != 0) volumesForget(s);
  if (status == 0) jobsStart(s);
  changetype<StoreDoneFn>(t.doneFn)(changetype<usize>(s), t.cookie, status);
}

/** Sector of a copy of the superblock: the second is at the end of the store, of which the first one knows best. */
function copySector(t: StoreTask, copy: u32): u64 {
  const s = t.store;
  const blocks = t.intact & 1 ? load<u32>(s.superblock, Superblock.blocks) : s.partitionBlocks;
  return s.firstSector + (copy ? <u64>(blocks - 1) * BLOCK_SECTORS : 0);
}

function superblocksRead(t: StoreTask): void {
  const s = t.store;
  const copy = t.step;
  if (s.partitionBlocks < 2) {
    finish(t, -ENODATA);
    return;
  }
  if (!t.busy) {
    t.busy = 1;
    taskRead(
      t.io,
      t,
      s.disk,
      copySector(t, copy),
      BLOCK_SECTORS,
      copy ? t.second : s.superblock,
      copy ? t.secondMachine : s.superblockMachine,
    );
    return;
  }
  t.busy = 0;
  const at = copy ? t.second : s.superblock;
  if (t.io.status == 0 && superblockValid(at, copy, s.partitionBlocks)) t.intact |= 1 << copy;
  else if (t.io.status != 0 || !superblockThere(at)) memory.fill(at, 0, BLOCK_BYTES);
  if (copy == 0) {
    t.step = READ_SECOND;
    taskReady(t);
    return;
  }
  choose(t);
}

/** Believes one of the superblocks. */
function choose(t: StoreTask): void {
  const s = t.store;
  if (!t.intact) {
    // A store that has lost both is told from a partition that never was one.
    finish(t, superblockThere(s.superblock) || superblockThere(t.second) ? -EBADMSG : -ENODATA);
    return;
  }
  const first = t.intact & 1 ? load<u64>(s.superblock, Superblock.generation) : 0;
  const second = t.intact & 2 ? load<u64>(t.second, Superblock.generation) : 0;
  s.mirrored = first == second ? 1 : 0;
  t.newer = second > first ? 1 : 0;
  if (t.newer) memory.copy(s.superblock, t.second, BLOCK_BYTES);
  if (t.intact != 3) {
    say("volumes: disk ");
    sayDec(s.disk.index);
    say(t.newer ? ": the first superblock" : ": the second superblock");
    say(" is not intact (damaged, or its write was interrupted), the other one is used");
    sayEnd();
  }
  if (!superblockLoad(s, s.superblock)) {
    finish(t, -EBADMSG);
    return;
  }
  t.step = READ_INDEX;
  t.item = 0;
  indexRead(t);
}

function indexRead(t: StoreTask): void {
  const s = t.store;
  const i = t.item;
  const at = s.index + <usize>i * BLOCK_BYTES;
  if (!t.busy) {
    t.busy = 1;
    const place = s.indexStart + 2 * i + ((s.indexSlots >> i) & 1);
    taskRead(
      t.io,
      t,
      s.disk,
      s.firstSector + <u64>place * BLOCK_SECTORS,
      BLOCK_SECTORS,
      at,
      s.indexMachine + <u64>i * BLOCK_BYTES,
    );
    return;
  }
  t.busy = 0;
  const generation = load<u32>(superblockIndex(s.superblock, i), IndexEntry.generation);
  if (t.io.status != 0) {
    finish(t, t.io.status);
  } else if (!blockIntact(s, at, MAGIC_INDEX, i) || load<u32>(at, BlockHeader.generation) != generation) {
    finish(t, -EBADMSG);
  } else if (++t.item < s.indexPages) {
    indexRead(t);
  } else {
    t.step = MIRROR;
    mirror(t);
  }
}

/** Makes the older superblock like the newer: a transaction that was interrupted between them is ended. */
function mirror(t: StoreTask): void {
  const s = t.store;
  if (t.busy) {
    t.busy = 0;
    if (t.io.status == 0) s.mirrored = 1;
    else s.readOnly = 1;
  } else if (!s.mirrored && !s.readOnly) {
    const other: u32 = t.newer ^ 1;
    t.busy = 1;
    memory.copy(t.second, s.superblock, BLOCK_BYTES);
    superblockFill(s, t.second, s.generation);
    superblockSeal(t.second, other);
    const last = other ? s.blocks - 1 : 0;
    taskWrite(
      t.io,
      t,
      s.disk,
      s.firstSector + <u64>last * BLOCK_SECTORS,
      BLOCK_SECTORS,
      t.second,
      t.secondMachine,
      true,
    );
    return;
  }
  if (!logOpen(s)) {
    finish(t, -ENOMEM);
    return;
  }
  t.step = RESUME;
  resume(t);
}

/** What the job in progress has done already is to be known before anything is changed. */
function resume(t: StoreTask): void {
  const s = t.store;
  const rc = jobResume(t, s);
  if (rc == WAIT) return;
  if (rc != 0) {
    finish(t, rc);
    return;
  }
  t.step = REPLAY;
  t.item = 0;
  s.replaying = 1;
  replay(t);
}

function replay(t: StoreTask): void {
  const s = t.store;
  const count: u32 = s.readOnly ? 0 : logCount(s);
  if (!cacheEnter(t)) return;
  for (let i: u32 = 0; i < REPLAY_STEPS && t.item < count; i++) {
    const rc = replayOne(t, s, logRecord(s, t.item));
    if (rc == WAIT) return;
    if (rc != 0) {
      say("volumes: a change from before the restart cannot be made again, error ");
      sayDec(<u64>-rc);
      sayEnd();
    }
    t.item++;
  }
  if (t.item < count) {
    taskReady(t);
    return;
  }
  finish(t, 0);
}

function replayOne(t: StoreTask, s: Store, at: usize): i32 {
  if (load<u32>(at, LogRecord.transaction) != <u32>transactionOf(s)) return 0;
  const rc = volumeGet(t, s, load<u32>(at, LogRecord.volume));
  if (rc != 0) return rc;
  return mapReplay(
    t,
    changetype<Volume>(loaded),
    load<u32>(at, LogRecord.chunk),
    load<u32>(at, LogRecord.target),
    load<u32>(at, LogRecord.birth),
    load<u32>(at, LogRecord.mask),
  );
}
