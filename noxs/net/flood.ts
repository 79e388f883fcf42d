/**
 * Frames for all: broadcast, multicast, and frames to addresses nobody is known to have. A job delivers the frames of one sender,
 * one after the other, to each vif of the bridge; jobs take turns, a few deliveries each, so that a flood over thousands of vifs
 * holds nobody up. Until its job is done, its sender sends nothing more, and each delivery is charged to it.
 */
import {
  DROP_CHECKSUM,
  DROP_GSO,
  DROP_MEMORY,
  DROP_MULTICAST,
  VIF_ANY_ADDRESS,
  VIF_ANY_MAC,
  VIF_FE_MULTICAST_CONTROL,
} from "../../abi/io/control-net";
import { XEN_NETIF_GSO_TYPE_NONE } from "../../abi/io/netif";
import { heapAllocate } from "../../drivers/host/heap";
import { MAC_BROADCAST, macIsGroup, macLoad, PORT_UPLINK } from "./addresses";
import { Bridge, countBridgeDrops } from "./bridges";
import {
  Frame,
  FRAME_CSUM_BLANK,
  FRAME_TO_OPEN,
  frameHead,
  frameHold,
  frameRelease,
  HEADER_BYTES,
  poolSpare,
} from "./frame/frames";
import { ETHERTYPE_ARP, Headers, headersParse, load16be } from "./frame/headers";
import { checksumFill } from "./frame/offload";
import { pendingAdd } from "./pending";
import { countDrops, Vif, vifAt, vifCharge } from "./records";
import { uplinkSend } from "./uplink";
import { multicastWanted } from "./vif-extras";

const JOBS: u32 = 128;
/** Most frames of a job: a card's sender may be faster than the job. */
const FRAMES_MAX: u32 = 64;
/** Deliveries of a job before it is the next one's turn. */
const TURN: u32 = 16;

@unmanaged
class Job {
  bridge: Bridge;
  /** The vif whose frames these are; 0: the card's. */
  sender: usize;
  /** Frames, linked by Frame.next; the first is being delivered. */
  first: usize;
  last: usize;
  frames: u32;
  /** The vif that is next. */
  cursor: usize;
  next: usize;
}

let freeJob: usize = 0;
let jobFirst: usize = 0;
let jobLast: usize = 0;
const parsed: Headers = changetype<Headers>(memory.data(offsetof<Headers>(), 8));

/** Before anything else here; false without memory. */
export function floodInit(): bool {
  const jobs = heapAllocate(JOBS * offsetof<Job>());
  if (!jobs) return false;
  for (let i: usize = 0; i < JOBS; i++) put(changetype<Job>(jobs + i * offsetof<Job>()));
  return true;
}

function put(j: Job): void {
  j.next = freeJob;
  freeJob = changetype<usize>(j);
}

/** The card's job on a bridge; null when it has none. */
function cardJob(b: Bridge): Job | null {
  for (let at = jobFirst; at; at = changetype<Job>(at).next) {
    const j = changetype<Job>(at);
    if (!j.sender && j.bridge == b) return j;
  }
  return null;
}

/**
 * Has a complete frame delivered to all ports of a bridge but the one at which it came in; with FRAME_TO_OPEN only to those behind
 * which an address may be that is not known. The caller keeps its own reference.
 */
export function floodStart(b: Bridge, f: Frame): void {
  const sender: Vif | null = f.source == PORT_UPLINK ? null : vifAt(f.source);
  let reason: i32 = -1;
  if (f.gsoType != XEN_NETIF_GSO_TYPE_NONE) {
    reason = DROP_GSO; // TCP to more than one
  } else if (f.flags & FRAME_CSUM_BLANK) {
    // Once, for all that cannot take it blank.
    headersParse(parsed, frameHead(f), min(f.inChunks, HEADER_BYTES), f.length);
    if (!checksumFill(f, parsed)) reason = DROP_CHECKSUM;
  }
  if (reason < 0 && !poolSpare()) reason = DROP_MEMORY;
  if (reason < 0) {
    if (sender != null || f.source == PORT_UPLINK) {
      if (f.source != PORT_UPLINK && b.uplink) uplinkSend(b, f);
      if (add(b, sender, f)) return;
      reason = DROP_MEMORY;
    }
  }
  countBridgeDrops(b, reason);
  if (sender != null) countDrops(sender, reason);
}

function add(b: Bridge, sender: Vif | null, f: Frame): bool {
  let j: Job | null = sender != null ? changetype<Job | null>(sender.flood) : cardJob(b);
  if (j == null) {
    if (!freeJob) return false;
    j = changetype<Job>(freeJob);
    freeJob = j.next;
    j.bridge = b;
    j.sender = changetype<usize>(sender);
    j.first = 0;
    j.last = 0;
    j.frames = 0;
    j.cursor = b.first;
    if (sender != null) sender.flood = changetype<usize>(j);
    append(j);
  } else if (j.frames == FRAMES_MAX) {
    return false;
  }
  frameHold(f);
  f.next = 0;
  if (j.last) changetype<Frame>(j.last).next = changetype<usize>(f);
  else j.first = changetype<usize>(f);
  j.last = changetype<usize>(f);
  j.frames++;
  return true;
}

function append(j: Job): void {
  j.next = 0;
  if (jobLast) changetype<Job>(jobLast).next = changetype<usize>(j);
  else jobFirst = changetype<usize>(j);
  jobLast = changetype<usize>(j);
}

/** Whether there is a job. */
export function floodWork(): bool {
  return jobFirst != 0;
}

/**
 * Does up to `budget` deliveries, of all jobs in turn.
 * @returns a vif whose job is done, which may send again; null when the budget is used up or there is no job
 */
export function floodServe(budget: u32): Vif | null {
  let left = budget;
  while (jobFirst && left) {
    const j = changetype<Job>(jobFirst);
    jobFirst = j.next;
    if (!jobFirst) jobLast = 0;
    const turn = min(TURN, left);
    left -= turn;
    if (step(j, turn)) {
      append(j);
      continue;
    }
    const sender = changetype<Vif | null>(j.sender);
    put(j);
    if (sender == null) continue;
    sender.flood = 0;
    floodLeft = left;
    return sender;
  }
  floodLeft = left;
  return null;
}

/** What is left of the budget after floodServe. */
export let floodLeft: u32 = 0;

/** Does up to `turn` deliveries of a job; false when it is done. */
function step(j: Job, turn: u32): bool {
  for (let n: u32 = 0; n < turn; n++) {
    while (!j.cursor) {
      const f = changetype<Frame>(j.first);
      j.first = f.next;
      if (!f.next) j.last = 0;
      j.frames--;
      frameRelease(f);
      if (!j.first) return false;
      j.cursor = j.bridge.first;
    }
    const v = changetype<Vif>(j.cursor);
    j.cursor = v.bridgeNext;
    deliver(j, v, changetype<Frame>(j.first));
  }
  return true;
}

function deliver(j: Job, v: Vif, f: Frame): void {
  if (changetype<usize>(v) == j.sender || !v.queues) return;
  const head = frameHead(f);
  const mac = macLoad(head);
  if (f.flags & FRAME_TO_OPEN) {
    // An ARP request asks for an unknown IPv4 address, another frame is to an unknown MAC address.
    const isArp = load16be(head + 12) == ETHERTYPE_ARP && macIsGroup(mac);
    const fixed = isArp ? v.stable.ipv4 != 0 && !(v.stable.flags & VIF_ANY_ADDRESS) : !(v.stable.flags & VIF_ANY_MAC);
    if (fixed) return;
  }
  const filters = (v.stable.features & VIF_FE_MULTICAST_CONTROL) != 0;
  if (filters && macIsGroup(mac) && mac != MAC_BROADCAST && !multicastWanted(v, mac)) {
    countDrops(v, DROP_MULTICAST);
    return;
  }
  if (j.sender) vifCharge(changetype<Vif>(j.sender), 1, f.length);
  pendingAdd(v, f);
}

/** Forgets a vif that leaves its bridge: its own job, and it as the next one of others. */
export function floodForget(v: Vif): void {
  let before: usize = 0;
  for (let at = jobFirst; at;) {
    const j = changetype<Job>(at);
    const next = j.next;
    if (j.cursor == changetype<usize>(v)) j.cursor = v.bridgeNext;
    if (j.sender != changetype<usize>(v)) {
      before = at;
    } else {
      if (before) changetype<Job>(before).next = next;
      else jobFirst = next;
      if (jobLast == at) jobLast = before;
      end(j);
    }
    at = next;
  }
  v.flood = 0;
}

/** Drops a job's frames and the job. */
function end(j: Job): void {
  for (let at = j.first; at;) {
    const f = changetype<Frame>(at);
    at = f.next;
    frameRelease(f);
  }
  put(j);
}
