/** Vbds: which there are, from being added to being gone; their targets. */
import { BlockDevice, BLOCK_CAN_DISCARD, blockOpen } from "../../drivers/block";
import { EEXIST, ENOSPC } from "../../abi/errno";
import {
  VBD_FAIL_NONE,
  VBD_MODEL_NOXS,
  VBD_TARGET_BYTES,
  VBD_WRITABLE,
  VbdProperties,
} from "../../abi/io/control-block";
import { say, sayDec, sayEnd } from "../../drivers/host/log";
import { taskInit, taskReady, WAIT } from "../volumes/disks/task";
import { targetClose, targetOpen } from "../volumes/targets";
import { ringsDrop, vbdConnect } from "./connect";
import {
  controlPageEnd,
  controlPageMake,
  controlPagePort,
  controlPageProperties,
  controlPageState,
} from "./control-page";
import { StableVbd, stableTarget, stableVbdAt, Vbd, vbdAt, vbdFree, vbdMake, VBDS_MAX } from "./records";
import { requestsAgain } from "./restart";
import { activate } from "./schedule";

/** Called when what was asked for a vbd is done: `status` is 0 or -errno. */
export type VbdDoneFn = (call: usize, status: i32) => void;

const BUCKETS: u32 = 512;
const buckets: usize = memory.data(512 * 4);
let doneFn: usize = 0;
/** No index below it is free. */
let searchFrom: u32 = 0;

export function vbdsInit(done: VbdDoneFn): void {
  doneFn = changetype<usize>(done);
}

function bucketOf(domid: u32, vdev: u32): usize {
  return buckets + ((<usize>((domid * 31 + vdev) & (BUCKETS - 1))) << 2);
}

/** The vbd of a domain with this number; 0 none. */
export function vbdFind(domid: u32, vdev: u32): usize {
  let at = load<usize>(bucketOf(domid, vdev));
  while (at) {
    const s = changetype<Vbd>(at).stable;
    if (s.domid == domid && s.vdev == vdev) return at;
    at = changetype<Vbd>(at).chain;
  }
  return 0;
}

export function vbdEnter(v: Vbd): void {
  const bucket = bucketOf(v.stable.domid, v.stable.vdev);
  v.chain = load<usize>(bucket);
  store<usize>(bucket, changetype<usize>(v));
}

function leave(v: Vbd): void {
  let link = bucketOf(v.stable.domid, v.stable.vdev);
  while (load<usize>(link) != changetype<usize>(v)) link = load<usize>(link) + offsetof<Vbd>("chain");
  store<usize>(link, v.chain);
}

function answer(v: Vbd, status: i32): void {
  const call = v.call;
  v.call = 0;
  if (call) changetype<VbdDoneFn>(doneFn)(call, status);
}

// --- Adding --------------------------------------------------------------------------------------------------------------

/** Begins to add a vbd, whose fields are checked; the call is told. -EEXIST, -ENOSPC. */
export function vbdAdd(domid: u32, vdev: u32, model: u32, writable: bool, target: usize, call: usize): i32 {
  if (vbdFind(domid, vdev)) return -EEXIST;
  let i = searchFrom;
  while (i < VBDS_MAX && (vbdAt(i) || stableVbdAt(i).present || stableVbdAt(i).going)) i++;
  if (i == VBDS_MAX) return -ENOSPC;
  const made = vbdMake(i);
  if (made == null) return -ENOSPC;
  searchFrom = i + 1;
  const v = made;
  const s = v.stable;
  memory.fill(changetype<usize>(s), 0, offsetof<StableVbd>());
  s.domid = domid;
  s.vdev = vdev;
  s.model = model;
  s.writable = writable ? 1 : 0;
  memory.copy(stableTarget(s), target, VBD_TARGET_BYTES);
  store<u8>(stableTarget(s) + VBD_TARGET_BYTES - 1, 0);
  vbdEnter(v);
  v.call = call;
  taskInit(v, openRun);
  taskReady(v);
  return 0;
}

function openRun(task: usize): void {
  const v = changetype<Vbd>(task);
  const s = v.stable;
  const rc = targetOpen(v, stableTarget(s), s.writable != 0, v.target);
  if (rc == WAIT) return;
  if (rc == 0 && s.model == VBD_MODEL_NOXS && !controlPageMake(v)) {
    targetClose(v.target);
    giveUp(v, -ENOSPC);
    return;
  }
  if (rc != 0) {
    giveUp(v, rc);
    return;
  }
  s.kept = v.target.kept;
  targetReady(v);
  s.present = 1;
  answer(v, 0);
}

function giveUp(v: Vbd, status: i32): void {
  const call = v.call;
  v.call = 0;
  leave(v);
  free(v);
  if (call) changetype<VbdDoneFn>(doneFn)(call, status);
}

function free(v: Vbd): void {
  if (v.index < searchFrom) searchFrom = v.index;
  vbdFree(v);
}

/** The target is open. */
function targetReady(v: Vbd): void {
  v.ready = 1;
  const d = changetype<BlockDevice>(v.target.device);
  if (!d.client) blockOpen(d, changetype<usize>(v), deviceReady, deviceChanged);
  if (v.stable.model == VBD_MODEL_NOXS) controlPageProperties(v);
}

function deviceReady(_device: usize): void {}

/** A volume has another size. */
function deviceChanged(device: usize): void {
  for (let i: u32 = 0; i < VBDS_MAX; i++) {
    const at = vbdAt(i);
    if (!at) continue;
    const v = changetype<Vbd>(at);
    if (v.ready && v.target.device == device && v.stable.model == VBD_MODEL_NOXS) controlPageProperties(v);
  }
}

/** What domain 0 is told of a vbd: VbdProperties. */
export function vbdProperties(v: Vbd, to: usize): void {
  const s = v.stable;
  memory.fill(to, 0, VbdProperties.SIZE);
  store<u32>(to, s.grant, VbdProperties.grant);
  store<u32>(to, s.port, VbdProperties.port);
  store<u32>(to, s.writable ? VBD_WRITABLE : 0, VbdProperties.flags);
  if (!v.ready) return;
  const d = changetype<BlockDevice>(v.target.device);
  store<u64>(to, d.sectors, VbdProperties.sectors);
  store<u32>(to, d.sectorSize, VbdProperties.sectorSize);
  store<u32>(to, d.physicalSectorSize, VbdProperties.physicalSectorSize);
  const discards = s.writable && d.features & BLOCK_CAN_DISCARD;
  store<u32>(to, discards ? max(d.discardAlignment << 9, d.sectorSize) : 0, VbdProperties.discardGranularity);
}

// --- After a restart -----------------------------------------------------------------------------------------------------

/** Makes the record of a vbd that is in stable memory, connects it again, and has its target opened. */
export function vbdAgain(i: u32): void {
  const made = vbdMake(i);
  if (made == null) return;
  const v = made;
  const s = v.stable;
  vbdEnter(v);
  v.target.kept = s.kept;
  if (s.connected) {
    const failure = vbdConnect(v, true);
    if (failure) vbdFail(v, failure);
  }
  // The frontend may have asked for something while there was nobody to notice.
  if (s.model == VBD_MODEL_NOXS) controlPagePort(v);
  taskInit(v, reopenRun);
  taskReady(v);
}

function reopenRun(task: usize): void {
  const v = changetype<Vbd>(task);
  const s = v.stable;
  const rc = targetOpen(v, stableTarget(s), s.writable != 0, v.target);
  if (rc == WAIT) return;
  if (rc != 0) {
    v.lost = 1;
    say("vbd ");
    sayDec(s.vdev);
    say(" of domain ");
    sayDec(s.domid);
    say(": its target cannot be opened again, error ");
    sayDec(<u64>-rc);
    sayEnd();
  } else {
    targetReady(v);
  }
  if (!v.disconnecting && !v.removing) answer(v, rc);
  requestsAgain(v);
  activate(v);
  quiet(v);
}

/** Has a call told when the target of a vbd of before the restart is open again; false when that is not awaited, or by another call. */
export function vbdAwait(v: Vbd, call: usize): bool {
  if (v.ready || v.lost || v.call || !v.stable.present) return false;
  v.call = call;
  return true;
}

// --- Going ---------------------------------------------------------------------------------------------------------------

/** A vbd's frontend is gone, or has broken the protocol: its rings go when nothing is in progress. The call is told. */
export function vbdDisconnect(v: Vbd, call: usize): void {
  v.call = call;
  v.disconnecting = 1;
  quiet(v);
}

/** Removes a vbd when nothing is in progress. The call is told. */
export function vbdRemove(v: Vbd, call: usize): void {
  v.call = call;
  v.removing = 1;
  quiet(v);
}

/** A frontend has broken the protocol. */
export function vbdFail(v: Vbd, failure: u32): void {
  const s = v.stable;
  s.failure = failure;
  // Once: a guest that goes on like this would fill the log.
  if (!v.reported) {
    v.reported = 1;
    say("vbd ");
    sayDec(s.vdev);
    say(" of domain ");
    sayDec(s.domid);
    say(": disconnected, its frontend has broken the protocol, reason ");
    sayDec(failure);
    sayEnd();
  }
  v.disconnecting = 1;
  quiet(v);
}

/** Ends what waits until no request is in progress. */
export function quiet(v: Vbd): void {
  if (v.busy || !(v.disconnecting || v.removing)) return;
  // Its target is being opened: that ends first.
  if (v.removing && !v.ready && !v.lost) return;
  ringsDrop(v);
  if (v.disconnecting) {
    v.disconnecting = 0;
    controlPageState(v);
  }
  if (!v.removing) {
    answer(v, 0);
    return;
  }
  const s = v.stable;
  if (v.ready) targetClose(v.target);
  v.ready = 0;
  leave(v);
  if (s.model == VBD_MODEL_NOXS) controlPageEnd(v);
  s.failure = VBD_FAIL_NONE;
  s.present = 0;
  const call = v.call;
  v.call = 0;
  free(v);
  if (call) changetype<VbdDoneFn>(doneFn)(call, 0);
}
