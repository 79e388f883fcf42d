/**
 * Transmission of an Intel gigabit card: a context descriptor where a checksum or TSO is wanted and the card does not have that
 * context already, then data descriptors. The last one asks for a report; the card is not asked for interrupts as long as there
 * is room.
 */
import { EAGAIN, EINVAL } from "../../abi/errno";
import {
  E1000,
  E1000_ICR_TXDW,
  E1000_TXD_DEXT,
  E1000_TXD_DTYP_DATA,
  E1000_TXD_EOP,
  E1000_TXD_IFCS,
  E1000_TXD_POPTS_IXSM,
  E1000_TXD_POPTS_TXSM,
  E1000_TXD_RS,
  E1000_TXD_STAT_DD,
  E1000_TXD_TSE,
  E1000TxDesc,
} from "../../abi/io/e1000";
import { dmaMachine } from "../host/dma";
import { read8, write64 } from "../host/host";
import {
  Frame,
  FRAME_CHECKSUM_PARTIAL,
  FRAME_GSO_NONE,
  FRAME_GSO_TCP4,
  networkCountSent,
  networkTransmitDone,
  networkTransmitReady,
} from "../network";
import { segmentAt } from "../segment";
import { E1000_FINE, E1000_RING, E1000Card, setRegister, slotAt } from "./device";
import { context0, context1, offloadContext } from "./offload";

/** Most bytes of a data descriptor. */
const PIECE: u32 = 4096;
/** One descriptor stays free: it tells a full ring from an empty one. */
const USABLE: u32 = E1000_RING - 1;

function descriptorAt(c: E1000Card, index: u32): usize {
  return c.txRing + <usize>index * E1000TxDesc.SIZE;
}

/** The card was reset: its ring is empty. */
export function transmitReset(c: E1000Card): void {
  const machine = dmaMachine(c.txRing);
  setRegister(c, E1000.TDBAL, <u32>machine);
  setRegister(c, E1000.TDBAH, <u32>(machine >> 32));
  setRegister(c, E1000.TDLEN, E1000_RING * E1000TxDesc.SIZE);
  setRegister(c, E1000.TDH, 0);
  setRegister(c, E1000.TDT, 0);
  c.txNext = 0;
  c.txFirst = 0;
  c.txTold = 0;
  c.txFree = USABLE;
  c.txContext0 = 0;
  c.txContext1 = 0;
}

/** Data descriptors of a frame. */
function pieces(f: Frame): u32 {
  let count: u32 = 0;
  for (let i: u32 = 0; i < f.count; i++) count += (segmentAt(f.segments, i).bytes + PIECE - 1) / PIECE;
  return count;
}

function put(c: E1000Card, first: u64, second: u64): void {
  const at = descriptorAt(c, c.txNext);
  write64(at, first);
  write64(at + E1000TxDesc.command, second);
  c.txNext = (c.txNext + 1) % E1000_RING;
}

/** Takes frames that are done and tells the client. */
function takeSent(c: E1000Card): void {
  while (c.txFree < USABLE) {
    const slot = slotAt(c, c.txFirst);
    if (!(read8(descriptorAt(c, slot.last) + E1000TxDesc.status) & E1000_TXD_STAT_DD)) return;
    c.txFree += slot.count;
    c.txFirst = (c.txFirst + slot.count) % E1000_RING;
    networkTransmitDone(c, 0, slot.cookie, 0);
  }
}

/** Whether there is room for `count` descriptors, if need be after taking what was sent; else an interrupt is asked for. */
function makeRoom(c: E1000Card, count: u32): bool {
  if (c.txFree >= count) return true;
  takeSent(c);
  if (c.txFree >= count) return true;
  // The card must know of all that it has to send before it is waited for.
  kick(c);
  setRegister(c, E1000.IMS, E1000_ICR_TXDW);
  takeSent(c);
  return c.txFree >= count;
}

function kick(c: E1000Card): void {
  if (c.txTold == c.txNext) return;
  c.txTold = c.txNext;
  setRegister(c, E1000.TDT, c.txNext);
}

/** TransmitFn: the frame was checked by networkTransmit. */
export function e1000Transmit(device: usize, _queue: u32, frameAt: usize, cookie: usize): i32 {
  const c = changetype<E1000Card>(device);
  const f = changetype<Frame>(frameAt);
  if (c.fault != E1000_FINE || !makeRoom(c, pieces(f) + 1)) {
    c.wantsRoom = 1;
    return -EAGAIN;
  }
  const first = c.txNext;
  const slot = slotAt(c, first);
  let options: u64 = 0;
  let command: u32 = E1000_TXD_DEXT | E1000_TXD_DTYP_DATA | E1000_TXD_IFCS;
  if (f.flags & FRAME_CHECKSUM_PARTIAL) {
    if (!offloadContext(f)) return -EINVAL;
    // TSO frames differ in their payload's length nearly always, others hardly ever.
    if (context0 != c.txContext0 || context1 != c.txContext1) {
      put(c, context0, context1);
      c.txContext0 = context0;
      c.txContext1 = context1;
    }
    options = E1000_TXD_POPTS_TXSM;
    if (f.gso != FRAME_GSO_NONE) command |= E1000_TXD_TSE;
    if (f.gso == FRAME_GSO_TCP4) options |= E1000_TXD_POPTS_IXSM;
  }
  slot.last = <u16>putData(c, f, command, options);
  slot.count = <u16>((c.txNext + E1000_RING - first) % E1000_RING);
  slot.cookie = cookie;
  slot.stamp = c.clock;
  c.txFree -= slot.count;
  networkCountSent(c, f.length);
  return 0;
}

/** Writes a frame's data descriptors; the last one's number. */
function putData(c: E1000Card, f: Frame, command: u32, options: u64): u32 {
  let last: u32 = 0;
  for (let i: u32 = 0; i < f.count; i++) {
    const s = segmentAt(f.segments, i);
    for (let done: u32 = 0; done < s.bytes;) {
      const bytes = min(s.bytes - done, PIECE);
      const end = i + 1 == f.count && done + bytes == s.bytes;
      last = c.txNext;
      put(c, s.machine + done, (<u64>(command | bytes | (end ? E1000_TXD_EOP | E1000_TXD_RS : 0))) | (options << 32));
      done += bytes;
    }
  }
  return last;
}

/** QueueFn: tells the card of the frames added. */
export function e1000Kick(device: usize, _queue: u32): void {
  const c = changetype<E1000Card>(device);
  if (c.fault == E1000_FINE) kick(c);
}

/** QueueFn: looks for frames that were sent. */
export function e1000Reclaim(device: usize, _queue: u32): void {
  const c = changetype<E1000Card>(device);
  if (c.fault == E1000_FINE) takeSent(c);
}

/** The turn's part: takes what was sent, and calls transmitReady if it is due. */
export function transmitPoll(c: E1000Card): void {
  takeSent(c);
  if (!c.wantsRoom || c.txFree < E1000_RING / 4) return;
  c.wantsRoom = 0;
  setRegister(c, E1000.IMC, E1000_ICR_TXDW);
  networkTransmitReady(c, 0);
}

/** How long the oldest frame has been unsent, in ticks of `clock`; 0 for none. */
export function transmitOldest(c: E1000Card): u32 {
  return c.txFree < USABLE ? c.clock - slotAt(c, c.txFirst).stamp : 0;
}

/** The card was reset: every frame that it had is done with `status`. */
export function transmitDrain(c: E1000Card, status: i32): void {
  while (c.txFree < USABLE) {
    const slot = slotAt(c, c.txFirst);
    c.txFree += slot.count;
    c.txFirst = (c.txFirst + slot.count) % E1000_RING;
    networkTransmitDone(c, 0, slot.cookie, status);
  }
}
