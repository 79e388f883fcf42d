/**
 * Transmission of a virtio network card (virtio 1.1, 5.1.6.2). The header is written into the headroom in front of the frame, so
 * that a frame of one segment is one descriptor.
 *
 * The card is not asked for interrupts as long as there is room: what it has sent is looked for when more is sent, and
 * each second.
 */
import { EAGAIN, EINVAL } from "../../abi/errno";
import {
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_GSO_TCPV4,
  VIRTIO_NET_HDR_GSO_TCPV6,
  VirtioNetHdr,
} from "../../abi/io/virtio-net";
import { write32 } from "../host/host";
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
import { cardOf, NET_FINE, netCheckQueue, pairAt, txOf, VirtioNet, VirtioPair } from "./net-device";
import {
  virtqueueAdd,
  virtqueueChainMax,
  virtqueueDrain,
  virtqueueHasRoom,
  virtqueueKick,
  virtqueueListen,
  virtqueueQuiet,
  virtqueueTake,
} from "./queue";

/** Writes a frame's header at `at`, a multiple of 4: three words. */
function writeHeader(at: usize, f: Frame): void {
  let flags: u32 = 0; // flags, gso_type, hdr_len
  let size: u32 = 0; // gso_size, csum_start
  let offset: u32 = 0; // csum_offset, num_buffers
  if (f.gso != FRAME_GSO_NONE) {
    const type = f.gso == FRAME_GSO_TCP4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
    flags = (type << 8) | ((<u32>f.headerBytes) << 16);
    size = f.gsoSize;
  }
  if (f.flags & FRAME_CHECKSUM_PARTIAL) {
    flags |= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    size |= (<u32>f.checksumStart) << 16;
    offset = f.checksumOffset;
  }
  write32(at + VirtioNetHdr.flags, flags);
  write32(at + VirtioNetHdr.gso_size, size);
  write32(at + VirtioNetHdr.csum_offset, offset);
}

/** TransmitFn: the frame was checked by networkTransmit. */
export function netTransmit(device: usize, queue: u32, frameAt: usize, cookie: usize): i32 {
  const card = changetype<VirtioNet>(device);
  const pair = pairAt(card, queue);
  const tx = txOf(pair);
  const frame = changetype<Frame>(frameAt);
  if (frame.count > virtqueueChainMax(tx)) return -EINVAL;
  if (card.fault != NET_FINE || !makeRoom(pair, frame.count)) {
    pair.wantsRoom = 1;
    return -EAGAIN;
  }
  // The header is part of the first segment while the chain is written.
  const first = segmentAt(frame.segments, 0);
  first.machine -= VirtioNetHdr.SIZE;
  first.linear -= VirtioNetHdr.SIZE;
  first.bytes += VirtioNetHdr.SIZE;
  writeHeader(first.linear, frame);
  virtqueueAdd(tx, frame.segments, frame.count, frame.count, cookie);
  first.machine += VirtioNetHdr.SIZE;
  first.linear += VirtioNetHdr.SIZE;
  first.bytes -= VirtioNetHdr.SIZE;
  networkCountSent(card, frame.length);
  return 0;
}

/** Whether there is room for a frame of `count` segments, if need be after taking what was sent; else an interrupt is asked for. */
function makeRoom(p: VirtioPair, count: u32): bool {
  const tx = txOf(p);
  if (virtqueueHasRoom(tx, count)) return true;
  takeSent(p);
  if (virtqueueHasRoom(tx, count)) return true;
  // The card must know of all that it has to send before it is waited for.
  virtqueueKick(tx);
  if (!virtqueueListen(tx, tx.inFlight / 2)) return false;
  takeSent(p);
  return virtqueueHasRoom(tx, count);
}

/** Takes what was sent and tells the client. */
function takeSent(p: VirtioPair): void {
  const card = cardOf(p);
  const tx = txOf(p);
  while (virtqueueTake(tx) >= 0) networkTransmitDone(card, p.index, tx.takenCookie, 0);
  netCheckQueue(card, tx);
}

/** QueueFn: tells the card of the frames added. */
export function netKick(device: usize, queue: u32): void {
  const card = changetype<VirtioNet>(device);
  if (card.fault == NET_FINE) virtqueueKick(txOf(pairAt(card, queue)));
}

/** QueueFn: looks for frames that were sent. */
export function netReclaim(device: usize, queue: u32): void {
  const card = changetype<VirtioNet>(device);
  if (card.fault == NET_FINE) takeSent(pairAt(card, queue));
}

/** The turn's part: takes what was sent, and calls transmitReady if it is due. */
export function transmitPoll(p: VirtioPair): void {
  const card = cardOf(p);
  const tx = txOf(p);
  if (tx.inFlight != 0) takeSent(p);
  if (card.fault != NET_FINE || !p.wantsRoom || tx.freeDescriptors < tx.size / 4) return;
  p.wantsRoom = 0;
  virtqueueQuiet(tx);
  networkTransmitReady(card, p.index);
}

/** The card was reset: every frame that it had is done with `status`. */
export function transmitDrain(p: VirtioPair, status: i32): void {
  const tx = txOf(p);
  while (virtqueueDrain(tx) >= 0) networkTransmitDone(cardOf(p), p.index, tx.takenCookie, status);
}
