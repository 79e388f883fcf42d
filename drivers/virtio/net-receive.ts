/**
 * Reception of a virtio network card (virtio 1.1, 5.1.6.3 and 5.1.6.4).
 *
 * A frame is one or several buffers, each a page of DMA memory; the first begins with the header. A buffer is given back to the
 * card when the client has seen the end of the batch with its frame. The header is read once, and what it claims is checked: a claim
 * that leaves unknown where the next frame begins is a fault of the card, any other drops the frame.
 */
import {
  VIRTIO_NET_HDR_F_DATA_VALID,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_GSO_NONE,
  VIRTIO_NET_HDR_GSO_TCPV4,
  VIRTIO_NET_HDR_GSO_TCPV6,
  VirtioNetHdr,
} from "../../abi/io/virtio-net";
import { dmaMachine } from "../host/dma";
import { read8, read16 } from "../host/host";
import {
  FRAME_CHECKSUM_PARTIAL,
  FRAME_CHECKSUM_VALID,
  FRAME_GSO_NONE,
  FRAME_GSO_TCP4,
  FRAME_GSO_TCP6,
  Frame,
  frameBelievable,
  NETWORK_FRAME_MIN,
  NETWORK_RX_TSO4,
  NETWORK_RX_TSO6,
  networkReceive,
  networkReceiveEnd,
} from "../network";
import { segmentAt, segmentSet } from "../segment";
import {
  cardOf,
  frameOf,
  NET_BAD_HEADER,
  NET_FINE,
  netCheckQueue,
  netFault,
  rxOf,
  VIRTIO_NET_BUFFER_BYTES,
  VIRTIO_NET_BUFFERS_MAX,
  VirtioNet,
  VirtioPair,
} from "./net-device";
import { virtqueueAdd, virtqueueKick, virtqueueTake } from "./queue";

/** Segment[1]: the buffer being given to the card. */
const one: usize = memory.data(16);

/** All buffers are spare: the card was reset. */
export function receiveReset(p: VirtioPair): void {
  memory.copy(p.spare, p.buffers, (<usize>p.bufferCount) << 2);
  p.spareCount = p.bufferCount;
  p.missing = 0;
  frameOf(p).count = 0;
}

/** Gives the card all spare buffers. */
export function receiveFill(p: VirtioPair): void {
  const rx = rxOf(p);
  while (p.spareCount != 0) {
    const buffer: usize = load<u32>(p.spare + ((<usize>(p.spareCount - 1)) << 2));
    segmentSet(one, 0, dmaMachine(buffer), buffer, VIRTIO_NET_BUFFER_BYTES);
    if (virtqueueAdd(rx, one, 0, 1, buffer) < 0) break;
    p.spareCount--;
  }
  virtqueueKick(rx);
}

/** The buffers of the frame are the card's again, once receiveFill runs. */
function recycle(p: VirtioPair): void {
  const frame = frameOf(p);
  for (let i: u32 = 0; i < frame.count; i++) {
    const buffer = segmentAt(frame.segments, i).linear & ~(<usize>(VIRTIO_NET_BUFFER_BYTES - 1));
    store<u32>(p.spare + ((<usize>p.spareCount) << 2), <u32>buffer);
    p.spareCount++;
  }
  frame.count = 0;
}

/**
 * Takes up to `budget` frames and gives them to the client.
 * @returns how many were taken
 */
export function receiveFrames(p: VirtioPair, budget: u32): u32 {
  const card = cardOf(p);
  const rx = rxOf(p);
  let taken: u32 = 0;
  while (taken < budget && card.fault == NET_FINE) {
    if (virtqueueTake(rx) < 0) break;
    if (!receiveBuffer(p, card, rx.takenCookie, rx.takenBytes)) break;
    if (p.missing != 0) continue;
    taken++;
    deliver(p, card);
  }
  netCheckQueue(card, rx);
  if (taken != 0) networkReceiveEnd(card, p.index);
  receiveFill(p);
  return taken;
}

/** Adds a buffer to the frame; false for a fault of the card. */
function receiveBuffer(p: VirtioPair, card: VirtioNet, buffer: usize, bytes: u32): bool {
  const frame = frameOf(p);
  if (p.missing != 0 && bytes != 0) {
    segmentSet(frame.segments, frame.count++, 0, buffer, bytes);
    frame.length += bytes;
    p.missing--;
    return true;
  }
  const buffers = card.merge ? read16(buffer + VirtioNetHdr.num_buffers) : 1;
  if (p.missing != 0 || bytes < VirtioNetHdr.SIZE || buffers == 0 || buffers > VIRTIO_NET_BUFFERS_MAX) {
    netFault(card, NET_BAD_HEADER, 0);
    return false;
  }
  p.missing = buffers - 1;
  frame.count = 1;
  frame.length = bytes - VirtioNetHdr.SIZE;
  segmentSet(frame.segments, 0, 0, buffer + VirtioNetHdr.SIZE, frame.length);
  return true;
}

/** Gives a complete frame to the client, or drops it. Its buffers stay untouched until receiveFill. */
function deliver(p: VirtioPair, card: VirtioNet): void {
  const frame = frameOf(p);
  if (describe(card, frame) && frameBelievable(frame)) networkReceive(card, p.index, frame);
  else card.receiveErrors++;
  recycle(p);
}

/** Fills in what the header says about the frame; false when it says what it must not. */
function describe(card: VirtioNet, frame: Frame): bool {
  const first = segmentAt(frame.segments, 0);
  if (first.bytes < NETWORK_FRAME_MIN) return false;
  const header = first.linear - VirtioNetHdr.SIZE;
  const flags = card.guestChecksum ? read8(header + VirtioNetHdr.flags) : 0;
  frame.flags = 0;
  if (flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
    frame.flags = FRAME_CHECKSUM_PARTIAL;
    frame.checksumStart = <u16>read16(header + VirtioNetHdr.csum_start);
    frame.checksumOffset = <u16>read16(header + VirtioNetHdr.csum_offset);
  } else if (flags & VIRTIO_NET_HDR_F_DATA_VALID) {
    frame.flags = FRAME_CHECKSUM_VALID;
  }
  const gso = read8(header + VirtioNetHdr.gso_type);
  if (gso == VIRTIO_NET_HDR_GSO_NONE) {
    frame.gso = FRAME_GSO_NONE;
    return true;
  }
  if (gso == VIRTIO_NET_HDR_GSO_TCPV4 && card.features & NETWORK_RX_TSO4) frame.gso = FRAME_GSO_TCP4;
  else if (gso == VIRTIO_NET_HDR_GSO_TCPV6 && card.features & NETWORK_RX_TSO6) frame.gso = FRAME_GSO_TCP6;
  else return false;
  frame.gsoSize = <u16>read16(header + VirtioNetHdr.gso_size);
  frame.headerBytes = <u16>min(read16(header + VirtioNetHdr.hdr_len), first.bytes);
  return true;
}
