/**
 * Reception of an Intel gigabit card: a ring of legacy descriptors, each with a buffer of its own. A descriptor is the card's
 * again when the client has seen the end of the batch with its frame.
 */
import {
  E1000,
  E1000_RXD_ERR_CE,
  E1000_RXD_ERR_CXE,
  E1000_RXD_ERR_RXE,
  E1000_RXD_ERR_SE,
  E1000_RXD_ERR_SEQ,
  E1000_RXD_ERR_TCPE,
  E1000_RXD_STAT_DD,
  E1000_RXD_STAT_EOP,
  E1000_RXD_STAT_IXSM,
  E1000_RXD_STAT_TCPCS,
  E1000_RXD_STAT_UDPCS,
  E1000RxDesc,
} from "../../abi/io/e1000";
import { dmaMachine } from "../host/dma";
import { read64, write64 } from "../host/host";
import { FRAME_CHECKSUM_VALID, FRAME_GSO_NONE, frameBelievable, networkReceive, networkReceiveEnd } from "../network";
import { segmentSet } from "../segment";
import {
  E1000_BAD_LENGTH,
  E1000_BUFFER_BYTES,
  E1000_FINE,
  E1000_RING,
  E1000Card,
  e1000Fault,
  frameOf,
  setRegister,
} from "./device";

/** Errors that spoil a frame; a wrong checksum does not, the client sees it. */
const SPOILT: u32 = E1000_RXD_ERR_CE | E1000_RXD_ERR_SE | E1000_RXD_ERR_SEQ | E1000_RXD_ERR_CXE | E1000_RXD_ERR_RXE;

function bufferAt(c: E1000Card, index: u32): usize {
  return load<u32>(c.rxBuffers + ((<usize>index) << 2));
}

function descriptorAt(c: E1000Card, index: u32): usize {
  return c.rxRing + <usize>index * E1000RxDesc.SIZE;
}

/** Gives descriptor `index` its buffer, not done. */
function prepare(c: E1000Card, index: u32): void {
  const at = descriptorAt(c, index);
  write64(at + E1000RxDesc.address, dmaMachine(bufferAt(c, index)));
  write64(at + E1000RxDesc.length, 0);
}

/** The card was reset: it gets all descriptors but one, which tells a full ring from an empty one. */
export function receiveReset(c: E1000Card): void {
  for (let i: u32 = 0; i < E1000_RING; i++) prepare(c, i);
  const machine = dmaMachine(c.rxRing);
  setRegister(c, E1000.RDBAL, <u32>machine);
  setRegister(c, E1000.RDBAH, <u32>(machine >> 32));
  setRegister(c, E1000.RDLEN, E1000_RING * E1000RxDesc.SIZE);
  setRegister(c, E1000.RDH, 0);
  c.rxNext = 0;
  c.rxDropping = 0;
  c.rxTail = E1000_RING - 1;
}

/** Lets the card use the descriptors up to rxTail. */
export function receiveStart(c: E1000Card): void {
  setRegister(c, E1000.RDT, c.rxTail);
}

/** Whether a frame has arrived. */
export function receivePending(c: E1000Card): bool {
  return ((<u32>(read64(descriptorAt(c, c.rxNext) + E1000RxDesc.length) >> 32)) & E1000_RXD_STAT_DD) != 0;
}

/** Takes up to `budget` descriptors and gives their frames to the client; how many were taken. */
export function receiveFrames(c: E1000Card, budget: u32): u32 {
  // Those that are done may be all but the one behind the tail.
  const most = min(budget, E1000_RING - 1);
  let taken: u32 = 0;
  for (; taken < most; taken++) {
    const done = read64(descriptorAt(c, c.rxNext) + E1000RxDesc.length);
    if (!((<u32>(done >> 32)) & E1000_RXD_STAT_DD)) break;
    const length = (<u32>done) & 0xffff;
    if (length > E1000_BUFFER_BYTES) {
      e1000Fault(c, E1000_BAD_LENGTH);
      break;
    }
    deliver(c, length, (<u32>(done >> 32)) & 0xff, (<u32>(done >> 40)) & 0xff);
    c.rxNext = (c.rxNext + 1) % E1000_RING;
  }
  if (taken == 0) return 0;
  networkReceiveEnd(c, 0);
  if (c.fault != E1000_FINE) return taken;
  for (let i: u32 = 0; i < taken; i++) {
    prepare(c, c.rxTail);
    c.rxTail = (c.rxTail + 1) % E1000_RING;
  }
  // The descriptor at the tail is the one last taken: it is prepared when the tail passes it.
  receiveStart(c);
  return taken;
}

/** Gives the client the frame of descriptor rxNext, or drops it. */
function deliver(c: E1000Card, length: u32, status: u32, errors: u32): void {
  const frame = frameOf(c);
  const whole = !c.rxDropping && (status & E1000_RXD_STAT_EOP) != 0;
  c.rxDropping = status & E1000_RXD_STAT_EOP ? 0 : 1;
  const checked = !(status & E1000_RXD_STAT_IXSM) && (status & (E1000_RXD_STAT_TCPCS | E1000_RXD_STAT_UDPCS)) != 0;
  frame.length = length;
  frame.flags = checked && !(errors & E1000_RXD_ERR_TCPE) ? FRAME_CHECKSUM_VALID : 0;
  frame.gso = FRAME_GSO_NONE;
  if (!whole || errors & SPOILT || !frameBelievable(frame)) {
    c.receiveErrors++;
    return;
  }
  frame.count = 1;
  segmentSet(frame.segments, 0, 0, bufferAt(c, c.rxNext), length);
  networkReceive(c, 0, frame);
}
