/**
 * The network back end as the module's turn sees it: started once, then given its share of every turn.
 *
 * One batch a turn: frames that wait are delivered and floods go on, frames are taken from vifs in their order; one hypercall
 * copies what is due and the first bytes of the new frames; the switch decides about them; a second one copies them to their
 * receivers; then everybody is answered.
 */
import { VIF_MODEL_NOXS } from "../../abi/io/control-net";
import { systemTime } from "../../drivers/host/host";
import { addressesInit, addressesSweep } from "./addresses";
import { bridgesInit } from "./bridges";
import { arpInit } from "./arp";
import { clockRead } from "./structures/clock";
import { vifDisconnect } from "./connect";
import { controlPageFailed, controlPagesInit } from "./control-page";
import { copiesBegin, copiesInit, copiesRun } from "./frame/copies";
import { floodInit, floodLeft, floodServe, floodWork } from "./flood";
import { framesInit, poolGrow } from "./frame/frames";
import { restartVifs } from "./net-restart";
import { notifyIntendRx, notifyIntendTx, notifyPublishRx, notifyPublishTx } from "./notify";
import { pendingExpire, pendingInit, pendingServe, pendingWork } from "./pending";
import { queueNumbered, recordsInit, vifAt, vifFailing, VIFS_MAX } from "./records";
import { rxBegin, rxInit, rxRespond } from "./rx";
import { scheduleCollect, scheduleResume, scheduleWork } from "./schedule";
import { switchFinish, switchInput, switchRoute } from "./switch";
import { txAt, txBegin, txCount, txInit, txRespond } from "./tx";
import { uplinkDeadline, uplinkInit, uplinkTurn } from "./uplink";
import { extrasInit } from "./vif-extras";
import { WHEEL_NONE, wheelAdvance, wheelDeadline, wheelInit, wheelNext } from "./structures/wheel";

/** Of a batch: deliveries of floods and frames that wait, and the room left for what vifs send. */
const FLOOD_BUDGET: u32 = 96;
const SERVE_BUDGET: u32 = 96;
const COPIES_LEFT: u32 = 512;
const SLOTS_LEFT: u32 = 512;

/**
 * Starts the back end; after a restart of the domain with the bridges and vifs of stable memory.
 * @returns false without memory: there is no network
 */
export function netInit(): bool {
  clockRead();
  const ready =
    wheelInit(systemTime()) &&
    recordsInit() &&
    bridgesInit() &&
    extrasInit() &&
    controlPagesInit() &&
    addressesInit() &&
    arpInit() &&
    framesInit() &&
    copiesInit() &&
    rxInit() &&
    txInit() &&
    pendingInit() &&
    floodInit() &&
    uplinkInit(switchInput);
  if (ready) restartVifs();
  return ready;
}

/**
 * Does a bounded piece of the work there is.
 * @returns whether there is more
 */
export function netTurn(): bool {
  clockRead();
  wheelAdvance(systemTime());
  for (let number = wheelNext(); number != WHEEL_NONE; number = wheelNext()) {
    if (number <= VIFS_MAX) scheduleResume(vifAt(number));
    else pendingExpire(queueNumbered(number - VIFS_MAX - 1));
  }
  addressesSweep();
  poolGrow();
  uplinkTurn();
  batch();
  disconnectFailed();
  return scheduleWork() || pendingWork() || floodWork();
}

/** When the back end has something to do although nothing happens, ns; u64.MAX_VALUE: never. */
export function netDeadline(): u64 {
  return min(wheelDeadline(), uplinkDeadline());
}

function batch(): void {
  copiesBegin();
  rxBegin();
  txBegin();
  for (let budget = FLOOD_BUDGET; ; budget = floodLeft) {
    const v = floodServe(budget);
    if (v == null) break;
    scheduleResume(v);
  }
  pendingServe(SERVE_BUDGET, COPIES_LEFT, SLOTS_LEFT);
  scheduleCollect();
  copiesRun();
  for (let i: u32 = 0; i < txCount; i++) switchRoute(txAt(i));
  copiesRun();
  for (let i: u32 = 0; i < txCount; i++) switchFinish(txAt(i));
  notifyIntendRx();
  rxRespond();
  notifyPublishRx();
  notifyIntendTx();
  txRespond();
  notifyPublishTx();
}

function disconnectFailed(): void {
  for (let v = vifFailing(); v != null; v = vifFailing()) {
    v.stable.failure = v.failing;
    vifDisconnect(v);
    if (v.stable.model == VIF_MODEL_NOXS) controlPageFailed(v);
  }
}
