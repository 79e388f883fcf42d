/**
 * The block back end: starts its parts in order, and ties them together. Everything runs in the module's turn: events enter vbds into
 * the schedule, which is one of the things that pollRun runs.
 */
import { vbdConnect } from "./connect";
import { controlPageLook, controlPagesGrant, controlPagesInit, controlPageState } from "./control-page";
import { callDone, callsInit } from "./block-control";
import { entriesInit } from "./entries";
import { grantsInit } from "./grants";
import { ioInit, requestStart } from "./io";
import { recordsInit, Request, stableVbdAt, Vbd, VBDS_MAX } from "./records";
import { entriesSift } from "./restart";
import { activate, scheduleAgain, scheduleInit } from "./schedule";
import { quiet, vbdAgain, vbdDisconnect, vbdFail, vbdsInit } from "./vbds";

/** Starts the back end, after volumesInit. What was there before a restart of the domain goes on. False when there is no memory. */
export function blockInit(): bool {
  if (!recordsInit()) return false;
  entriesSift();
  if (!entriesInit() || !grantsInit() || !callsInit()) return false;
  ioInit(answered);
  scheduleInit(vbdFail);
  vbdsInit(callDone);
  controlPagesInit(wanted);
  controlPagesGrant();
  for (let i: u32 = 0; i < VBDS_MAX; i++) if (stableVbdAt(i).present) vbdAgain(i);
  return true;
}

/** Requests of a vbd were answered; with 0: that was all, and there is room for others. */
function answered(at: usize): void {
  if (!at) {
    scheduleAgain();
    return;
  }
  const v = changetype<Vbd>(at);
  if (v.barrier && v.busy == 1 && !v.told) {
    const r = changetype<Request>(v.barrier);
    if (r.step == 0 && r.status == 0) requestStart(r);
  }
  activate(v);
  quiet(v);
}

/** A NoXS frontend wants to be connected, or disconnected. */
function wanted(v: Vbd, connect: bool): void {
  if (!connect) {
    vbdDisconnect(v, v.call);
    // It may want something else by now.
    if (!v.disconnecting) controlPageLook(v);
    return;
  }
  v.stable.failure = vbdConnect(v, false);
  controlPageState(v);
  activate(v);
}
