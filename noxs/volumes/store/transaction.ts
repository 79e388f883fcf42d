/**
 * The transaction that collects changes: whether another one fits into it, and how a commit is asked for. The commit itself is
 * commit.ts, of which only the task is known here.
 */
import { EIO, EROFS } from "../../../abi/errno";
import { timerArmed, timerSet } from "../../../drivers/host/timer";
import { systemTime } from "../../../drivers/host/host";
import { cacheLeave } from "./cache";
import { logRoom } from "./journal";
import {
  BITMAPS_MAX,
  COMMIT_FLUSH,
  COMMIT_NONE,
  COMMIT_TABLE,
  FREES_MAX,
  NODES_MAX,
  STORE_READY,
  Store,
  TRANSACTION_VOLUMES_MAX,
} from "./store";
import { Task, taskReady, taskWait, WAIT } from "../disks/task";
import { Volume } from "./volume";

/** Most that one change adds to a transaction. */
const CHANGE_NODES: u32 = 12;
const CHANGE_FREES: u32 = 12;
const CHANGE_BITMAPS: u32 = 16;
/** A change is committed at the latest after this time, although no client has asked for it. */
const COMMIT_AFTER_NS: u64 = 5000000000;

/** Whether the transaction has changed anything. */
export function transactionChanged(s: Store): bool {
  return s.dirty != 0 || s.freesCount != 0 || s.changedVolumes != 0;
}

/** Starts a commit, or repeats one that failed; none if one is in progress. */
export function commitStart(s: Store): void {
  if (s.replaying) return;
  if (s.commitPhase == COMMIT_NONE) {
    s.commitPhase = COMMIT_TABLE;
    s.commitVolume = s.changedVolumes;
    s.commitFree = 0;
  } else if (!s.failed) {
    return;
  }
  s.failed = 0;
  s.commitError = 0;
  taskReady(s.commitTask);
}

/**
 * Whether the task may change something now, of volume `v` (null: of none). It is called before the task looks up what it
 * changes, and again after each wait.
 * @returns 0: it may change at once, without another wait; WAIT: for the end of a commit, and the task has left the cache;
 * -EIO the store cannot be written; -EROFS
 */
export function changeBegin(t: Task, s: Store, v: Volume | null): i32 {
  // What is made again was one transaction, and is one again.
  if (s.replaying) return 0;
  if (s.state != STORE_READY) return -EIO;
  if (s.readOnly) return -EROFS;
  if (s.failed) {
    commitStart(s);
    return -EIO;
  }
  if (s.checking) {
    cacheLeave(t);
    taskWait(s.checkWaiters, t);
    return WAIT;
  }
  if (s.commitPhase == COMMIT_NONE) {
    const fits =
      s.nodes + CHANGE_NODES <= NODES_MAX &&
      s.freesCount + CHANGE_FREES <= FREES_MAX &&
      s.bitmaps + CHANGE_BITMAPS <= BITMAPS_MAX &&
      logRoom(s) &&
      (v == null || v.changed || s.changedCount < TRANSACTION_VOLUMES_MAX);
    if (fits) return 0;
    commitStart(s);
  }
  cacheLeave(t);
  taskWait(s.commitWaiters, t);
  return WAIT;
}

/** Something has been changed: it is committed soon, if nobody asks before. */
export function changeMade(s: Store): void {
  if (!timerArmed(s.commitTimer)) timerSet(s.commitTimer, systemTime() + COMMIT_AFTER_NS);
}

/** Commits, and has the task wait until that is over; it goes on at its next step either way. */
export function commitAndWait(t: Task, s: Store): void {
  commitStart(s);
  cacheLeave(t);
  taskWait(s.commitWaiters, t);
}

/**
 * Has the task wait for the disk to have everything that was changed before: as part of the commit in progress, or of the next. When it
 * runs again, taskError tells whether that failed.
 * @returns whether that commit also makes durable what the disk's cache holds now; if not, a flush of the disk is still to be done
 */
export function flushJoin(t: Task, s: Store): bool {
  if (s.commitPhase >= COMMIT_FLUSH && !s.failed) {
    taskWait(s.commitWaiters, t);
    return false;
  }
  commitStart(s);
  taskWait(s.flushWaiters, t);
  return true;
}
