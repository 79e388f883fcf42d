/**
 * The control channel with domain 0, this side (abi/io/control.ts): requests are handled in their order; one that takes its time is
 * answered later. Domain 0 is trusted, but its requests are copied before they are looked at.
 *
 * After a restart of this domain the channel is bound again to the port of domain 0 that stable memory has; after one of domain 0,
 * which then makes a new port here, by that port's first event.
 */
import { ENOSYS } from "../../abi/errno";
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
} from "../../abi/io/control";
import { IO_CONTROL } from "../../abi/io/layout";
import { eventForget, eventHandle, eventStrays } from "./events";
import { barrier, read32, write32 } from "./host";
import { eventBindInterdomain, eventClose, eventSend } from "./hypercalls";
import { stableRegion } from "./stable";

/**
 * Handles one request. `request` is a copy of its payload, `length` bytes and zeroes behind it; `response` takes the answer's payload,
 * whose length is set with controlAnswer.
 * @returns 0, a negative errno, or CONTROL_LATER: then controlFinish answers
 */
export type ControlFn = (request: usize, length: u32, response: usize) => i32;

/** The request is answered later, under the number that controlTicket gave while it was handled. */
export const CONTROL_LATER: i32 = 1;

const DOMAIN_0: u32 = 0;
const OPERATIONS: u32 = 128;
const TAG: u32 = 0x4c525443; // "CTRL"

/** In stable memory. */
@unmanaged
class Kept {
  /** Domain 0's port, 0 none. */
  remotePort: u32;
  /** Starts of this domain. */
  generation: u32;
}

const functions: usize = memory.data(4 * 128);
const request: usize = memory.data(512, 8);
const response: usize = memory.data(512, 8);
let kept: usize = 0;
let port: u32 = 0;
/** Of the request being handled: its id, and what the answer has. */
let ticket: u32 = 0;
let answerBytes: u32 = 0;
let bulkBytes: u32 = 0;

/** Where listings go: CONTROL_BULK_BYTES, until the request is answered. */
export const CONTROL_BULK: usize = <usize>IO_CONTROL + ControlPage.bulk;

/** Has `fn` handle requests for `operation`. */
export function controlHandle(operation: u32, fn: ControlFn): void {
  assert(operation < OPERATIONS, "an operation beyond the table");
  store<usize>(functions + ((<usize>operation) << 2), changetype<usize>(fn));
}

/** Sets the length of the present answer's payload and of what it has in the bulk area. */
export function controlAnswer(bytes: u32, bulk: u32 = 0): void {
  assert(bytes <= CONTROL_PAYLOAD_BYTES && bulk <= CONTROL_BULK_BYTES, "an answer is too long");
  answerBytes = bytes;
  bulkBytes = bulk;
}

/** The number of the request being handled, for controlFinish. */
export function controlTicket(): u32 {
  return ticket;
}

/** Answers a request whose function returned CONTROL_LATER. */
export function controlFinish(number: u32, status: i32, payload: usize, bytes: u32, bulk: u32): void {
  answer(number, status, payload, bytes, bulk);
  notify();
}

/** Opens the channel; once, after the event queue. */
export function controlOpen(): bool {
  kept = stableRegion(TAG, offsetof<Kept>());
  if (!kept) return false;
  const k = changetype<Kept>(kept);
  k.generation++;
  eventStrays(adopt);
  write32(<usize>IO_CONTROL + ControlPage.version, IO_CONTROL_VERSION);
  write32(<usize>IO_CONTROL + ControlPage.generation, k.generation);
  barrier();
  write32(<usize>IO_CONTROL + ControlPage.magic, IO_CONTROL_MAGIC);
  if (!k.remotePort) return true;
  const bound = eventBindInterdomain(DOMAIN_0, k.remotePort);
  // Domain 0 was restarted too: it makes a new port.
  if (bound < 0) k.remotePort = 0;
  else use(<u32>bound);
  return true;
}

function use(local: u32): void {
  port = local;
  eventHandle(local, serve, 0);
  notify();
}

function notify(): void {
  if (port) eventSend(port);
}

/** An event on a port that nothing handles: it is the channel's if domain 0 says so. */
function adopt(local: u32): void {
  if (read32(<usize>IO_CONTROL + ControlPage.port) != local) return;
  if (port) {
    eventForget(port);
    eventClose(port);
  }
  changetype<Kept>(kept).remotePort = read32(<usize>IO_CONTROL + ControlPage.remotePort);
  port = local;
  eventHandle(local, serve, 0);
  serve(0);
}

/** Handles all requests that are there. */
function serve(_record: usize): void {
  const consumedAt = <usize>IO_CONTROL + ControlPage.requestConsumed;
  let consumed = read32(consumedAt);
  const produced = read32(<usize>IO_CONTROL + ControlPage.requestProduced);
  if (produced - consumed > CONTROL_SLOTS) return;
  let answered = false;
  for (; consumed != produced; consumed++) {
    const slot = <usize>IO_CONTROL + ControlPage.requests + <usize>(consumed % CONTROL_SLOTS) * CONTROL_SLOT_BYTES;
    for (let at: usize = 0; at < CONTROL_SLOT_BYTES; at += 4) store<u32>(request + at, read32(slot + at));
    write32(consumedAt, consumed + 1);
    if (handle()) answered = true;
  }
  if (answered) notify();
}

/** Handles the request copied; whether it is answered. */
function handle(): bool {
  const operation = load<u32>(request, ControlRequest.operation);
  const length = min(load<u32>(request, ControlRequest.length), CONTROL_PAYLOAD_BYTES);
  memory.fill(request + ControlRequest.payload + length, 0, CONTROL_PAYLOAD_BYTES - length);
  const fn = operation < OPERATIONS ? load<usize>(functions + ((<usize>operation) << 2)) : 0;
  ticket = load<u32>(request, ControlRequest.id);
  answerBytes = bulkBytes = 0;
  const status = fn
    ? changetype<ControlFn>(fn)(request + ControlRequest.payload, length, response + ControlResponse.payload)
    : -ENOSYS;
  if (status == CONTROL_LATER) return false;
  answer(ticket, status, response + ControlResponse.payload, answerBytes, bulkBytes);
  return true;
}

/** Domain 0 has as many requests outstanding as there are slots, at most: there always is one for the answer. */
function answer(number: u32, status: i32, payload: usize, bytes: u32, bulk: u32): void {
  const producedAt = <usize>IO_CONTROL + ControlPage.responseProduced;
  const produced = read32(producedAt);
  const slot = <usize>IO_CONTROL + ControlPage.responses + <usize>(produced % CONTROL_SLOTS) * CONTROL_SLOT_BYTES;
  write32(slot + ControlResponse.id, number);
  write32(slot + ControlResponse.status, <u32>status);
  write32(slot + ControlResponse.length, bytes);
  write32(slot + ControlResponse.bulkLength, bulk);
  for (let at: usize = 0; at < bytes; at += 4) write32(slot + ControlResponse.payload + at, load<u32>(payload + at));
  barrier();
  write32(producedAt, produced + 1);
}
