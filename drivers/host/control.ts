/**
 * The control channel's server (abi/io/control.ts): domain 0's requests, dispatched by operation. Domain 0 opens the channel: it
 * writes a port of this domain's into the control page and notifies it; that port is not known here, which is how it is noticed
 * (eventsUnclaimed). After a restart of either side it does so again.
 *
 * A request is copied before it is looked at. Requests are taken only as long as there is room for their answers.
 */
import { EINVAL, ENOSYS } from "../../abi/errno";
import {
  CONTROL_BULK_BYTES,
  CONTROL_PAYLOAD_BYTES,
  CONTROL_SLOT_BYTES,
  CONTROL_SLOTS,
  ControlPage,
  ControlRequest,
  ControlResponse,
  IO_CONTROL_MAGIC,
  IO_CONTROL_VERSION,
  IO_PING,
} from "../../abi/io/control";
import { IO_CONTROL } from "../../abi/io/layout";
import { eventForget, eventHandle, eventsUnclaimed } from "./events";
import { barrier, read32, read64, write32, write64 } from "./host";
import { eventClose, eventSend } from "./hypercalls";
import { stableRegion } from "./stable";

/** What a handler answers with. */
@unmanaged
export class ControlAnswer {
  /** The request's operation: one function may handle several. */
  operation: u32;
  /** The request's id, for controlAnswerLater. */
  id: u32;
  /** CONTROL_PAYLOAD_BYTES of room, zeroed, and the bytes used. */
  payload: usize;
  length: u32;
  /** The bulk area: CONTROL_BULK_BYTES, and the bytes used. Domain 0 may read it only once it has been answered. */
  bulk: usize;
  bulkLength: u32;
}

/**
 * Handles one operation.
 * @param request its payload: a copy, CONTROL_PAYLOAD_BYTES long, zeroed beyond `length`
 * @param length as domain 0 gave it, CONTROL_PAYLOAD_BYTES at most
 * @param answer a ControlAnswer
 * @returns 0 or a negative errno; CONTROL_LATER: controlAnswerLater will be called
 */
export type ControlFn = (request: usize, length: u32, answer: usize) => i32;

/** See controlOnNotify. */
export type ControlToldFn = () => void;

/** Not a status: see ControlFn. */
export const CONTROL_LATER: i32 = 1;

/** Operations have numbers below this. */
const OPERATIONS: u32 = 128;
/** Requests served at a time. */
const BATCH: u32 = 8;
const STABLE_TAG: u32 = 0x4354524c; // "CTRL"
const PAGE: usize = IO_CONTROL;

const handlers: usize = memory.data(128 * 4, 4);
const request: usize = memory.data(512, 8);
const response: usize = memory.data(512, 8);
const answer = changetype<ControlAnswer>(memory.data(offsetof<ControlAnswer>(), 4));

/** The port that domain 0 notifies; 0: there is none yet. */
let port: u32 = 0;
/** Requests taken that will be answered later. */
let later: u32 = 0;
/** There may be requests. */
let wanted: bool = false;
/** Called when domain 0 notifies; 0 none. */
let told: usize = 0;

/** Makes the channel ready for domain 0 to open. Once, after eventsStart. False when there is no stable memory. */
export function controlStart(): bool {
  const stable = stableRegion(STABLE_TAG, 64);
  if (!stable) return false;
  const generation = load<u32>(stable) + 1;
  store<u32>(stable, generation);
  write32(PAGE + ControlPage.version, IO_CONTROL_VERSION);
  write32(PAGE + ControlPage.generation, generation);
  barrier();
  write32(PAGE + ControlPage.magic, IO_CONTROL_MAGIC);
  eventsUnclaimed(look);
  controlHandle(IO_PING, ping);
  return true;
}

/** Has `fn` handle an operation (IO_*). */
export function controlHandle(operation: u32, fn: ControlFn): void {
  assert(operation < OPERATIONS, "an operation of the control channel beyond the table");
  store<usize>(handlers + ((<usize>operation) << 2), changetype<usize>(fn));
}

/** An event on a port that nothing handles: domain 0 may have opened the channel by it. */
function look(which: usize): void {
  if (which == port || read32(PAGE + ControlPage.port) != <u32>which) return;
  if (port) {
    eventForget(port);
    eventClose(port);
  }
  port = <u32>which;
  if (!eventHandle(port, notified, 0)) port = 0;
  // What an earlier domain 0 had asked for and not taken the answers of is nobody's any more.
  later = 0;
  wanted = true;
  if (told) changetype<ControlToldFn>(told)();
}

function notified(_record: usize): void {
  wanted = true;
  if (told) changetype<ControlToldFn>(told)();
}

/** What is shared with domain 0 besides: `fn` is called whenever domain 0 notifies, or has opened the channel. */
export function controlOnNotify(fn: ControlToldFn): void {
  told = changetype<usize>(fn);
}

/** Notifies domain 0, if it has opened the channel. */
export function controlNotify(): void {
  if (port) eventSend(port);
}

/** Tells domain 0 where the pages of a serial port are (ControlPage.serial). */
export function controlPublishSerial(index: u32, frame: u32): void {
  write32(PAGE + ControlPage.serial + <usize>index * 4, frame);
  controlNotify();
}

function ping(at: usize, length: u32, to: usize): i32 {
  memory.copy(changetype<ControlAnswer>(to).payload, at, length);
  changetype<ControlAnswer>(to).length = length;
  return 0;
}

/** Slots that answers, those that come later included, may still use. */
function room(): u32 {
  const used = read32(PAGE + ControlPage.responseProduced) - read32(PAGE + ControlPage.responseConsumed) + later;
  return used < CONTROL_SLOTS ? CONTROL_SLOTS - used : 0;
}

/** Serves requests, a few at a time. True: there may be more, call again. */
export function controlServe(): bool {
  if (!wanted || !port) return false;
  let answered = false;
  for (let n: u32 = 0; n < BATCH; n++) {
    const consumed = read32(PAGE + ControlPage.requestConsumed);
    const ahead = read32(PAGE + ControlPage.requestProduced) - consumed;
    // More than there are slots: domain 0 is broken. It opens the channel again if it is restarted.
    if (ahead == 0 || ahead > CONTROL_SLOTS || !room()) {
      wanted = false;
      break;
    }
    take(consumed % CONTROL_SLOTS);
    write32(PAGE + ControlPage.requestConsumed, consumed + 1);
    if (serve()) answered = true;
  }
  if (answered) eventSend(port);
  return wanted;
}

/** Copies a request out of its slot. */
function take(slot: u32): void {
  const from = PAGE + ControlPage.requests + <usize>slot * CONTROL_SLOT_BYTES;
  barrier();
  for (let at: usize = 0; at < CONTROL_SLOT_BYTES; at += 8) store<u64>(request + at, read64(from + at));
}

/** Handles the request taken; whether it was answered. */
function serve(): bool {
  const operation = load<u32>(request, ControlRequest.operation);
  const length = load<u32>(request, ControlRequest.length);
  answer.operation = operation;
  answer.id = load<u32>(request, ControlRequest.id);
  answer.payload = response + ControlResponse.payload;
  answer.length = 0;
  answer.bulk = PAGE + ControlPage.bulk;
  answer.bulkLength = 0;
  memory.fill(response, 0, CONTROL_SLOT_BYTES);
  const fn = operation < OPERATIONS ? load<usize>(handlers + ((<usize>operation) << 2)) : 0;
  let status = -ENOSYS;
  if (length > CONTROL_PAYLOAD_BYTES) status = -EINVAL;
  else if (fn) {
    const payload = request + ControlRequest.payload;
    memory.fill(payload + length, 0, CONTROL_PAYLOAD_BYTES - length);
    // The answer that comes later may come from within the handler.
    later++;
    status = changetype<ControlFn>(fn)(payload, length, changetype<usize>(answer));
    if (status == CONTROL_LATER) return false;
    later--;
  }
  put(status);
  return true;
}

/** Puts the response into its slot. Nothing but the status counts of one that failed. */
function put(status: i32): void {
  assert(answer.length <= CONTROL_PAYLOAD_BYTES && answer.bulkLength <= CONTROL_BULK_BYTES, "an answer is too long");
  store<u32>(response, answer.id, ControlResponse.id);
  store<i32>(response, status, ControlResponse.status);
  store<u32>(response, answer.length, ControlResponse.length);
  store<u32>(response, answer.bulkLength, ControlResponse.bulkLength);
  const produced = read32(PAGE + ControlPage.responseProduced);
  const to = PAGE + ControlPage.responses + <usize>(produced % CONTROL_SLOTS) * CONTROL_SLOT_BYTES;
  for (let at: usize = 0; at < CONTROL_SLOT_BYTES; at += 8) write64(to + at, load<u64>(response + at));
  barrier();
  write32(PAGE + ControlPage.responseProduced, produced + 1);
}

/**
 * Answers a request whose handler returned CONTROL_LATER. No effect when domain 0 was restarted meanwhile.
 * @param id ControlAnswer.id of the request
 * @param payload, length of the answer; a bulk area that was filled in has `bulkLength` bytes
 */
export function controlAnswerLater(id: u32, status: i32, payload: usize, length: u32, bulkLength: u32): void {
  if (!later || !port) return;
  later--;
  memory.fill(response, 0, CONTROL_SLOT_BYTES);
  answer.id = id;
  answer.length = min(length, CONTROL_PAYLOAD_BYTES);
  answer.bulkLength = bulkLength;
  memory.copy(response + ControlResponse.payload, payload, answer.length);
  put(status);
  wanted = true;
  eventSend(port);
}
