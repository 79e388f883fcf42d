/** The I/O domain's entry point: its start, and its turns. */
import { blockFirst } from "../drivers/block";
import { driversStart } from "../drivers/drivers";
import { controlServe, controlStart } from "../drivers/host/control";
import { eventHandle, eventsServe, eventsStart } from "../drivers/host/events";
import { systemTime } from "../drivers/host/host";
import { keptPortsEnd, keptPortsStart } from "../drivers/host/kept-ports";
import { say, sayEnd } from "../drivers/host/log";
import { eventBindVirq, setTimer, setWatchdog } from "../drivers/host/hypercalls";
import { Timer, timerInit, timerSet, timersNext, timersRun } from "../drivers/host/timer";
import { pollRun, pollWaiting } from "../drivers/poll";
import { VIRQ_TIMER } from "../abi/xen";
import { blockInit } from "./block/block";
import { blockWasHere } from "./block/records";
import { blockBegin, blockServe } from "./block/service";
import { volumesInit } from "./volumes/volumes";
import { netDeadline, netInit, netTurn } from "./net/net";
import { netServe } from "./net/service";
import { serialServe } from "./serial/serial";

/** A turn that lasts longer than this, of the domain's own time, ends in a restart. */
const WATCHDOG_SECONDS: u32 = 10;
/** Shortest time between two refreshes of the watchdog, and the longest sleep. */
const PET_NS: u64 = 1000000000;
const SLEEP_NS: u64 = 4000000000;
/** Events, and pieces of work of each device or back end, before the others have their turn. */
const EVENTS: u32 = 64;
const WORK: u32 = 64;

let started: bool = false;
/** There are networks. */
let network: bool = false;
let watchdog: u32 = 0;
let pettedNs: u64 = 0;
/** What VIRQ_TIMER was last asked for. */
let timerNs: u64 = u64.MAX_VALUE;
const awake = changetype<Timer>(memory.data(offsetof<Timer>(), 8));

function begin(): void {
  started = true;
  showLife(systemTime());
  assert(eventsStart(), "no memory for event channels");
  keptPortsStart();
  const port = eventBindVirq(VIRQ_TIMER);
  assert(port > 0 && eventHandle(port, nothing, 0), "no port for the timer");
  timerInit(awake, stayAwake, 0);
  stayAwake(0);
  serialServe();
  driversStart();
  network = netInit();
  if (network) {
    netServe();
  } else {
    say("There is not enough memory for networks.");
    sayEnd();
  }
  blockServe(startBlock);
  // Without a disk it starts when a vbd on memory or on a boot module is wanted, and again after a restart with such.
  if (blockFirst() || blockWasHere()) blockBegin();
  keptPortsEnd();
  assert(controlStart(), "no stable memory");
}

function startBlock(): bool {
  if (volumesInit() && blockInit()) return true;
  say("There is not enough memory for disks.");
  sayEnd();
  return false;
}

function nothing(_record: usize): void {}

/** Has the domain wake up in time for its watchdog. */
function stayAwake(_record: usize): void {
  timerSet(awake, systemTime() + SLEEP_NS);
}

function showLife(now: u64): void {
  if (watchdog && now - pettedNs < PET_NS) return;
  pettedNs = now;
  const id = setWatchdog(watchdog, WATCHDOG_SECONDS);
  if (id > 0) watchdog = <u32>id;
}

/**
 * One turn: serves everything that is pending, in rounds in which each device and each back end does a bounded piece. Its return means
 * that there is nothing to do until an event comes.
 */
export function turn(): void {
  if (!started) begin();
  while (true) {
    let more = eventsServe(EVENTS);
    const now = systemTime();
    showLife(now);
    timersRun(now);
    if (controlServe()) more = true;
    pollRun(WORK);
    if (network && netTurn()) more = true;
    if (!more && !pollWaiting() && timersNext() > now) break;
  }
  const next = network ? min(timersNext(), netDeadline()) : timersNext();
  if (next == timerNs) return;
  timerNs = next;
  setTimer(next == u64.MAX_VALUE ? 0 : next);
}
