/**
 * The interface of network cards. A driver fills in a NetworkDevice and registers it; one client (the switch's uplink) opens it.
 *
 * All memory that a card accesses is DMA memory (host/dma.ts). Frames to send are laid out by the client, received ones by the
 * driver; neither is copied here. A card receives whatever arrives, for any address: its client is a switch.
 *
 * Calls come from the client, callbacks from the module's turn (poll.ts, timers) and, of transmitDone only, from within
 * networkTransmit and networkReclaim. Errors are negative errno.
 * A card that breaks the rules of its interface is reset: every frame not yet sent is done with -EIO, `changed` is called, and the
 * card goes on, or `state` is NETWORK_GONE and every call fails with -EIO.
 */
import { EBUSY, EINVAL, EIO } from "../abi/errno";
import { segmentAt } from "./segment";

// Features: what the card does for a frame to send, and may have left undone in a received one.
export const NETWORK_TX_CHECKSUM: u32 = 1; // FRAME_CHECKSUM_PARTIAL of TCP and UDP over IPv4 and IPv6
export const NETWORK_TX_TSO4: u32 = 2; // FRAME_GSO_TCP4, and FRAME_GSO_TCP6
export const NETWORK_TX_TSO6: u32 = 4;
export const NETWORK_RX_CHECKSUM: u32 = 8; // received frames may be FRAME_CHECKSUM_PARTIAL or FRAME_CHECKSUM_VALID
export const NETWORK_RX_TSO4: u32 = 16; // received frames may be larger than the MTU: FRAME_GSO_TCP4, FRAME_GSO_TCP6
export const NETWORK_RX_TSO6: u32 = 32;

// NetworkDevice.state
export const NETWORK_CLOSED: u32 = 0;
export const NETWORK_OPEN: u32 = 1;
export const NETWORK_GONE: u32 = 2; // for good: it answers no more, or was reset too often

// Frame.flags
/** The TCP or UDP checksum field holds the sum of the pseudo-header only: the rest is from `checksumStart` to the end. */
export const FRAME_CHECKSUM_PARTIAL: u32 = 1;
/** Received: the card found TCP's or UDP's checksum correct. */
export const FRAME_CHECKSUM_VALID: u32 = 2;

// Frame.gso: the frame stands for several, each with at most `gsoSize` bytes behind the headers.
export const FRAME_GSO_NONE: u32 = 0;
export const FRAME_GSO_TCP4: u32 = 1;
export const FRAME_GSO_TCP6: u32 = 2;

/** Bytes in front of a frame's first segment that the client leaves to the driver, in the same page; it starts at a multiple of 4. */
export const NETWORK_HEADROOM: u32 = 16;
/** Most segments of a frame: 64 KiB of data in pages that start anywhere, and headers. */
export const NETWORK_SEGMENTS_MAX: u32 = 20;
export const NETWORK_FRAME_MIN: u32 = 14; // an Ethernet header
/** Largest frame: an IP packet of 64 KiB less one, and an Ethernet header with a VLAN tag. */
export const NETWORK_FRAME_MAX: u32 = 65535 + 18;
export const NETWORK_QUEUES_MAX: u32 = 4;

/** A frame, Ethernet header first, without its checksum; both directions. Read or valid during the call only, but for its memory. */
@unmanaged
export class Frame {
  segments: usize; // Segment[]; the first holds all headers, as far as they are there
  count: u32;
  length: u32; // sum of the segments' bytes
  flags: u32; // FRAME_CHECKSUM_*
  checksumStart: u16; // FRAME_CHECKSUM_PARTIAL: where the transport header begins
  checksumOffset: u16; // and where in it the checksum is
  gso: u32; // FRAME_GSO_*
  gsoSize: u16;
  headerBytes: u16; // FRAME_GSO_*: Ethernet, IP and TCP headers together; of a received frame a hint
}

/** One frame arrived. Its segments are valid until `receiveEnd` returns. */
export type ReceiveFn = (device: usize, queue: u32, frame: usize) => void;
/** The frames given to `receive` since the last call are about to be reused: what was to be copied must be. */
export type ReceiveEndFn = (device: usize, queue: u32) => void;
/**
 * The memory of a frame is the client's again: `status` is 0 when the card has taken the frame, or -EIO. May be called long after
 * the frame left: at the latest with later frames of that queue, or by `networkReclaim`, or after a second.
 */
export type TransmitDoneFn = (device: usize, queue: u32, cookie: usize, status: i32) => void;
/** A queue that refused a frame with -EAGAIN has room again. */
export type TransmitReadyFn = (device: usize, queue: u32) => void;
/** `linkUp`, `mtu`, `queues` or `state` changed, or the card was reset. */
export type ChangedFn = (device: usize) => void;

// The driver's part.
export type OpenFn = (device: usize) => i32;
export type TransmitFn = (device: usize, queue: u32, frame: usize, cookie: usize) => i32;
export type QueueFn = (device: usize, queue: u32) => void;

/** Base class of drivers' records. */
@unmanaged
export class NetworkDevice {
  next: usize; // NetworkDevice
  // What it is: written by the driver.
  name: usize; // string constant: the driver
  address: u32; // PCI address
  features: u32; // NETWORK_*
  mac: u64; // first byte lowest
  mtu: u32; // most bytes behind the Ethernet header, but for GSO
  queues: u32; // for transmission, 1 to NETWORK_QUEUES_MAX
  linkUp: u32;
  state: u32; // NETWORK_CLOSED, NETWORK_OPEN, NETWORK_GONE
  openFn: usize; // OpenFn
  transmitFn: usize; // TransmitFn
  kickFn: usize; // QueueFn
  reclaimFn: usize; // QueueFn
  // The client's: written by networkOpen.
  client: usize; // whatever the client wants to find again
  receiveFn: usize;
  receiveEndFn: usize;
  transmitDoneFn: usize;
  transmitReadyFn: usize;
  changedFn: usize;
  // Counters.
  received: u64; // frames
  receivedBytes: u64;
  receiveErrors: u64; // frames dropped: the card reported an error, or what it said of them cannot be
  sent: u64;
  sentBytes: u64;
  sendErrors: u64;
  resets: u32;
}

let first: usize = 0;
let last: usize = 0;

/** Adds a card to the list; the driver has filled it in. */
export function networkRegister(d: NetworkDevice): void {
  d.next = 0;
  d.state = NETWORK_CLOSED;
  if (last) changetype<NetworkDevice>(last).next = changetype<usize>(d);
  else first = changetype<usize>(d);
  last = changetype<usize>(d);
}

/** The first card, 0 for none; the others follow by `next`, in the order they were found. */
export function networkFirst(): usize {
  return first;
}

/**
 * Starts a card for its client, whose functions are called from then on.
 * @returns 0; -EBUSY open already; -EIO it does not start
 */
export function networkOpen(
  d: NetworkDevice,
  client: usize,
  receive: ReceiveFn,
  receiveEnd: ReceiveEndFn,
  transmitDone: TransmitDoneFn,
  transmitReady: TransmitReadyFn,
  changed: ChangedFn,
): i32 {
  if (d.state == NETWORK_GONE) return -EIO;
  if (d.state != NETWORK_CLOSED) return -EBUSY;
  d.client = client;
  d.receiveFn = changetype<usize>(receive);
  d.receiveEndFn = changetype<usize>(receiveEnd);
  d.transmitDoneFn = changetype<usize>(transmitDone);
  d.transmitReadyFn = changetype<usize>(transmitReady);
  d.changedFn = changetype<usize>(changed);
  return changetype<OpenFn>(d.openFn)(changetype<usize>(d));
}

/**
 * Sends a frame; it may wait for `networkKick`. Its segments belong to the card until `transmitDone` is called with `cookie`, its
 * headers may be changed (TCP's checksum for TSO).
 * @returns 0; -EAGAIN the queue is full: `transmitReady` will be called; -EINVAL a frame the card cannot send (its features, its
 * size, its segments); -EIO the card is gone or closed. Unless 0, the frame is still the client's
 */
export function networkTransmit(d: NetworkDevice, queue: u32, frame: Frame, cookie: usize): i32 {
  if (d.state != NETWORK_OPEN) return -EIO;
  if (queue >= d.queues || !frameAccepted(d, frame)) return -EINVAL;
  return changetype<TransmitFn>(d.transmitFn)(changetype<usize>(d), queue, changetype<usize>(frame), cookie);
}

/** Tells the card of the frames sent since the last call. */
export function networkKick(d: NetworkDevice, queue: u32): void {
  if (d.state == NETWORK_OPEN && queue < d.queues) changetype<QueueFn>(d.kickFn)(changetype<usize>(d), queue);
}

/** Looks for frames that are done. `transmitDone` is called from within this call. */
export function networkReclaim(d: NetworkDevice, queue: u32): void {
  if (d.state == NETWORK_OPEN && queue < d.queues) changetype<QueueFn>(d.reclaimFn)(changetype<usize>(d), queue);
}

/** Whether the card can send the frame: a mistake of the client's otherwise. */
function frameAccepted(d: NetworkDevice, f: Frame): bool {
  if (f.count == 0 || f.count > NETWORK_SEGMENTS_MAX || f.length < NETWORK_FRAME_MIN) return false;
  if (segmentAt(f.segments, 0).linear & 3) return false;
  let bytes: u32 = 0;
  for (let i: u32 = 0; i < f.count; i++) {
    const part = segmentAt(f.segments, i).bytes;
    if (part == 0 || part > NETWORK_FRAME_MAX) return false;
    bytes += part;
  }
  if (bytes != f.length) return false;
  if (f.flags & FRAME_CHECKSUM_PARTIAL) {
    if (!(d.features & NETWORK_TX_CHECKSUM)) return false;
    if (<u32>f.checksumStart + f.checksumOffset + 2 > f.length) return false;
  }
  if (f.gso == FRAME_GSO_NONE) return f.length <= d.mtu + 18;
  const needed = f.gso == FRAME_GSO_TCP4 ? NETWORK_TX_TSO4 : NETWORK_TX_TSO6;
  if (f.gso > FRAME_GSO_TCP6 || !(d.features & needed) || !(f.flags & FRAME_CHECKSUM_PARTIAL)) return false;
  if (f.gsoSize == 0 || <u32>f.gsoSize + f.headerBytes > d.mtu + 18 || f.length > NETWORK_FRAME_MAX) return false;
  return <u32>f.headerBytes < f.length && <u32>f.headerBytes <= segmentAt(f.segments, 0).bytes;
}

// --- For drivers --------------------------------------------------------------------------------------------------------

/** Passes a received frame to the client. */
export function networkReceive(d: NetworkDevice, queue: u32, frame: Frame): void {
  d.received++;
  d.receivedBytes += frame.length;
  changetype<ReceiveFn>(d.receiveFn)(changetype<usize>(d), queue, changetype<usize>(frame));
}

export function networkReceiveEnd(d: NetworkDevice, queue: u32): void {
  changetype<ReceiveEndFn>(d.receiveEndFn)(changetype<usize>(d), queue);
}

export function networkTransmitDone(d: NetworkDevice, queue: u32, cookie: usize, status: i32): void {
  if (status != 0) d.sendErrors++;
  changetype<TransmitDoneFn>(d.transmitDoneFn)(changetype<usize>(d), queue, cookie, status);
}

export function networkTransmitReady(d: NetworkDevice, queue: u32): void {
  changetype<TransmitReadyFn>(d.transmitReadyFn)(changetype<usize>(d), queue);
}

export function networkChanged(d: NetworkDevice): void {
  if (d.state != NETWORK_CLOSED) changetype<ChangedFn>(d.changedFn)(changetype<usize>(d));
}

/** Counts a frame that `transmit` accepted. */
export function networkCountSent(d: NetworkDevice, bytes: u32): void {
  d.sent++;
  d.sentBytes += bytes;
}

/** A locally administered address for a card that has none of its own, made from where it is: first byte lowest. */
export function networkMadeUpMac(address: u32): u64 {
  return 0x565402 | (((<u64>address) & 0xff) << 40) | (((<u64>address) >> 8) << 32);
}

/** Whether a received frame's claims about itself fit it. */
export function frameBelievable(f: Frame): bool {
  if (f.length < NETWORK_FRAME_MIN || f.length > NETWORK_FRAME_MAX) return false;
  if (f.flags & FRAME_CHECKSUM_PARTIAL && <u32>f.checksumStart + f.checksumOffset + 2 > f.length) return false;
  return f.gso == FRAME_GSO_NONE || (f.gsoSize != 0 && (f.flags & FRAME_CHECKSUM_PARTIAL) != 0);
}
