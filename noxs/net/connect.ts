/**
 * Connecting a vif to its frontend and disconnecting it: rings are mapped, ports bound. Who has named them, a NoXS frontend or
 * domain 0 for a xenbus one, makes no difference; they are noted in stable memory, and a restart of the domain connects again
 * from there without the guest's noticing.
 */
import {
  VIF_FAIL_CONFIG,
  VIF_FAIL_INDEX,
  VIF_FAIL_MAP,
  VIF_FAIL_MEMORY,
  VIF_FAIL_NONE,
  VIF_FAIL_PORT,
  VIF_FE_CTRL_RING,
  VIF_QUEUES_MAX,
} from "../../abi/io/control-net";
import { NET_CTRL_RING_SIZE, NET_RX_RING_SIZE, NET_TX_RING_SIZE } from "../../abi/io/netif";
import { Sring } from "../../abi/io/ring";
import { eventForget, eventHandle } from "../../drivers/host/events";
import { read32 } from "../../drivers/host/host";
import { eventBindInterdomain, eventClose, eventSend } from "../../drivers/host/hypercalls";
import { windowMap, windowUnmap } from "../../drivers/host/window";
import { nowNs } from "./structures/clock";
import { ctrlRingServe } from "./control-ring";
import { floodForget } from "./flood";
import { pendingForget, pendingWake } from "./pending";
import { Queue, queueAllocate, queueFree, stableQueueOf, Vif, vifForgive } from "./records";
import { restartRx, restartTx } from "./rings-restart";
import { bucketOf, scheduleForget, scheduleWake } from "./schedule";
import { bucketInit } from "./structures/token-bucket";
import { waitForget } from "./uplink-wait";
import { extrasFree } from "./vif-extras";

/**
 * Connects a vif, which is not connected, to the queues in its StableVif (queueCount, features, ctrlRef, ctrlPort, and a
 * StableQueue each).
 * @param again after a restart of the domain: the rings are in use
 * @returns VIF_FAIL_NONE, or why it cannot be: nothing is left of the attempt
 */
export function vifConnect(v: Vif, again: bool): u32 {
  const s = v.stable;
  if (s.queueCount < 1 || s.queueCount > VIF_QUEUES_MAX) return VIF_FAIL_CONFIG;
  let reason = VIF_FAIL_NONE;
  for (let i: u32 = s.queueCount; i-- && !reason;) reason = addQueue(v, i, again);
  if (!reason && s.features & VIF_FE_CTRL_RING) reason = addCtrlRing(v, again);
  if (reason) {
    release(v);
    return reason;
  }
  v.turn = v.queues;
  v.deficit = 0;
  v.paused = 0;
  bucketInit(bucketOf(v), s.burst, nowNs);
  s.connected = 1;
  // What was sent before the ports were bound had no event that arrived; nor had what was answered just before a restart.
  if (again) kickFrontend(v);
  scheduleWake(v);
  return VIF_FAIL_NONE;
}

function kickFrontend(v: Vif): void {
  for (let at = v.queues; at; at = changetype<Queue>(at).next) {
    const q = changetype<Queue>(at);
    eventSend(q.txPort);
    if (q.rxPort != q.txPort) eventSend(q.rxPort);
  }
  if (v.ctrlPort) eventSend(v.ctrlPort);
}

/** Adds a queue at the front of the vif's list. */
function addQueue(v: Vif, index: u32, again: bool): u32 {
  const q = queueAllocate();
  if (q == null) return VIF_FAIL_MEMORY;
  const s = stableQueueOf(v.stable, index);
  q.vif = v;
  q.index = index;
  q.stable = s;
  q.next = v.queues;
  v.queues = changetype<usize>(q);
  const domid = v.stable.domid;
  if (s.txRef == s.rxRef) return VIF_FAIL_MAP;
  q.tx = windowMap(domid, s.txRef);
  if (!q.tx) return VIF_FAIL_MAP;
  q.rx = windowMap(domid, s.rxRef);
  if (!q.rx) return VIF_FAIL_MAP;
  if (!(again ? continueRings(q) : startRings(q))) return VIF_FAIL_INDEX;
  q.txPort = bind(domid, s.txPort, s.txPort == s.rxPort ? onBoth : onTx, q);
  if (!q.txPort) return VIF_FAIL_PORT;
  q.rxPort = s.txPort == s.rxPort ? q.txPort : bind(domid, s.rxPort, onRx, q);
  return q.rxPort ? VIF_FAIL_NONE : VIF_FAIL_PORT;
}

/** The indices of a frontend's new rings; false when they are not possible. */
function startRings(q: Queue): bool {
  q.txDone = read32(q.tx + Sring.rsp_prod);
  q.rxDone = read32(q.rx + Sring.rsp_prod);
  if (read32(q.tx + Sring.req_prod) - q.txDone > NET_TX_RING_SIZE) return false;
  if (read32(q.rx + Sring.req_prod) - q.rxDone > NET_RX_RING_SIZE) return false;
  q.txCons = q.txDone;
  q.rxCons = q.rxDone;
  q.stable.txIntent = q.txDone;
  q.stable.rxIntent = q.rxDone;
  return true;
}

/** Goes on with rings that an earlier run of the domain has used. */
function continueRings(q: Queue): bool {
  const tx = restartTx(q.tx, q.stable.txIntent);
  const rx = restartRx(q, q.stable.rxIntent);
  q.txDone = read32(q.tx + Sring.rsp_prod);
  q.rxDone = read32(q.rx + Sring.rsp_prod);
  q.txCons = q.txDone;
  q.rxCons = q.rxDone;
  return tx && rx;
}

function addCtrlRing(v: Vif, again: bool): u32 {
  const s = v.stable;
  v.ctrlRing = windowMap(s.domid, s.ctrlRef);
  if (!v.ctrlRing) return VIF_FAIL_MAP;
  v.ctrlCons = read32(v.ctrlRing + Sring.rsp_prod);
  if (read32(v.ctrlRing + Sring.req_prod) - v.ctrlCons > NET_CTRL_RING_SIZE) return VIF_FAIL_INDEX;
  const port = eventBindInterdomain(s.domid, s.ctrlPort);
  if (port < 0) return VIF_FAIL_PORT;
  if (!handle(port, onCtrl, changetype<usize>(v))) return VIF_FAIL_PORT;
  v.ctrlPort = port;
  if (again) ctrlRingServe(v);
  return VIF_FAIL_NONE;
}

type QueueHandler = (record: usize) => void;

/** Binds a port of the guest's; 0 when it cannot be. */
function bind(domid: u32, remote: u32, handler: QueueHandler, q: Queue): u32 {
  const port = eventBindInterdomain(domid, remote);
  return port > 0 && handle(port, handler, changetype<usize>(q)) ? port : 0;
}

/** Sets a port's handler; false, the port closed, when there is no memory for it. */
function handle(port: u32, handler: QueueHandler, record: usize): bool {
  if (eventHandle(port, handler, record)) return true;
  eventClose(port);
  return false;
}

/** Disconnects a vif, if it is connected; its frontend can connect anew. */
export function vifDisconnect(v: Vif): void {
  v.stable.connected = 0;
  vifForgive(v);
  if (!v.queues && !v.ctrlRing) return;
  floodForget(v);
  scheduleForget(v);
  waitForget(v);
  release(v);
  extrasFree(v);
}

/** Undoes what addQueue and addCtrlRing have done, however far they came. */
function release(v: Vif): void {
  while (v.queues) {
    const q = changetype<Queue>(v.queues);
    v.queues = q.next;
    pendingForget(q);
    if (q.rxPort && q.rxPort != q.txPort) unbind(q.rxPort);
    if (q.txPort) unbind(q.txPort);
    if (q.tx) windowUnmap(q.tx);
    if (q.rx) windowUnmap(q.rx);
    queueFree(q);
  }
  if (v.ctrlPort) unbind(v.ctrlPort);
  if (v.ctrlRing) windowUnmap(v.ctrlRing);
  v.ctrlPort = 0;
  v.ctrlRing = 0;
  v.turn = 0;
}

function unbind(port: u32): void {
  eventForget(port);
  eventClose(port);
}

// --- Events ------------------------------------------------------------------------------------------------------------------

function onTx(record: usize): void {
  scheduleWake(changetype<Queue>(record).vif);
}

function onRx(record: usize): void {
  pendingWake(changetype<Queue>(record));
}

function onBoth(record: usize): void {
  onRx(record);
  onTx(record);
}

function onCtrl(record: usize): void {
  ctrlRingServe(changetype<Vif>(record));
}
