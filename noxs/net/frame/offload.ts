/**
 * What a sender has left to a card and this receiver cannot do: TCP and UDP checksums, and segmentation of large TCP frames.
 * Frames here are complete (in this domain's memory).
 *
 * Sources: RFC 1071, 9293, 768, 8200 (8.1); what changes from segment to segment: RFC 9293, RFC 3168 (CWR).
 */
import { XEN_NETIF_GSO_TYPE_NONE, XEN_NETIF_GSO_TYPE_TCPV4, XEN_NETIF_GSO_TYPE_TCPV6 } from "../../../abi/io/netif";
import {
  chunkAddress,
  chunkAfter,
  chunkBytes,
  Frame,
  FRAME_CSUM_BLANK,
  FRAME_VALIDATED,
  frameAddPage,
  frameAllocate,
  frameExtend,
  frameHead,
  frameRead,
  frameRelease,
  PAGE_BYTES,
  WHOLE_BYTES,
} from "./frames";
import {
  ETHERNET_BYTES,
  Headers,
  headersParse,
  IPV4,
  IPV6,
  load16be,
  load32be,
  NONE,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "./headers";

/** Most segments that one frame is cut into: a sender of tinier ones wants to make work. */
export const SEGMENTS_MAX: u32 = 128;

const TCP_CHECKSUM: u32 = 16;
const UDP_CHECKSUM: u32 = 6;
const TCP_FLAGS: u32 = 13;
const TCP_FIN_PSH: u32 = 0x09;
const TCP_CWR: u32 = 0x80;

const parsed: Headers = changetype<Headers>(memory.data(offsetof<Headers>(), 8));

/**
 * Sum of 16-bit words in network order, not folded.
 * @param odd 1: the first byte is the low half of its word
 */
function sumBytes(at: usize, length: u32, odd: u32): u64 {
  let sum: u64 = 0;
  const end = at + length;
  if (odd && length) sum += load<u8>(at++);
  // Words as they are in memory; the halves are swapped at the end, which a sum allows.
  let swapped: u64 = 0;
  // Most of a frame in steps of 32 bytes: the loop's own instructions would be more than half.
  for (; at + 32 <= end; at += 32) {
    swapped += <u64>load<u32>(at) + load<u32>(at, 4) + load<u32>(at, 8) + load<u32>(at, 12);
    swapped += <u64>load<u32>(at, 16) + load<u32>(at, 20) + load<u32>(at, 24) + load<u32>(at, 28);
  }
  for (; at + 4 <= end; at += 4) swapped += load<u32>(at);
  if (at + 2 <= end) {
    swapped += load<u16>(at);
    at += 2;
  }
  if (at < end) swapped += load<u8>(at);
  return sum + bswap<u16>(<u16>fold(swapped));
}

/** Folds a sum to 16 bits. */
function fold(sum: u64): u32 {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return <u32>sum;
}

/** The checksum of this domain's memory, complemented, in network order. */
export function checksum(at: usize, length: u32): u32 {
  return fold(sumBytes(at, length, 0)) ^ 0xffff;
}

/** Sum of the pseudo-header for `length` bytes of layer 4, not folded. */
function pseudoSum(head: usize, h: Headers, length: u32): u64 {
  const ip = head + ETHERNET_BYTES;
  const addresses = h.layer3 == IPV4 ? sumBytes(ip + 12, 8, 0) : sumBytes(ip + 8, 32, 0);
  return addresses + h.protocol + length;
}

function checksumOffset(h: Headers): u32 {
  return h.layer4At + (h.layer4 == PROTOCOL_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
}

/** Writes the pseudo-header's sum, not complemented, into the checksum field: where a card goes on from. Notes where that is. */
export function checksumPartial(f: Frame, h: Headers): void {
  const head = frameHead(f);
  f.layer4At = <u16>h.layer4At;
  f.dataAt = <u16>(h.layer4At + h.layer4Bytes);
  f.checksumAt = <u16>checksumOffset(h);
  store<u16>(head + f.checksumAt, bswap<u16>(<u16>fold(pseudoSum(head, h, h.end - h.layer4At))));
}

/**
 * Fills in a frame's blank checksum.
 * @returns false when it is not TCP or UDP whose header is there: nothing was changed
 */
export function checksumFill(f: Frame, h: Headers): bool {
  if (h.layer4 == NONE) return false;
  const head = frameHead(f);
  const field = head + checksumOffset(h);
  store<u16>(field, 0);
  let sum = pseudoSum(head, h, h.end - h.layer4At);
  let at: u32 = 0;
  for (let chunk = f.firstChunk; at < h.end; chunk = chunkAfter(chunk)) {
    const used = chunkBytes(chunk);
    const from = at < h.layer4At ? min(h.layer4At - at, used) : 0;
    const to = min(used, h.end - at);
    if (from < to) sum += sumBytes(chunkAddress(chunk) + from, to - from, (at + from - h.layer4At) & 1);
    at += used;
  }
  let value = fold(sum) ^ 0xffff;
  if (value == 0 && h.layer4 == PROTOCOL_UDP) value = 0xffff;
  store<u16>(field, bswap<u16>(<u16>value));
  f.flags = (f.flags & ~FRAME_CSUM_BLANK) | FRAME_VALIDATED;
  return true;
}

/**
 * Into how many segments a frame with segmentation asked for is cut; 0 when what was asked does not fit its headers, or they are
 * too many. 1: it is short enough already.
 */
export function segmentCount(f: Frame, h: Headers): u32 {
  const wanted = f.gsoType == XEN_NETIF_GSO_TYPE_TCPV4 ? IPV4 : f.gsoType == XEN_NETIF_GSO_TYPE_TCPV6 ? IPV6 : NONE;
  if (wanted == NONE || h.layer3 != wanted || h.layer4 != PROTOCOL_TCP || h.end != f.length || !f.gsoSize) return 0;
  const payload = f.length - h.layer4At - h.layer4Bytes;
  if (!payload) return 1;
  const count = (payload + f.gsoSize - 1) / f.gsoSize;
  return count > SEGMENTS_MAX ? 0 : count;
}

/**
 * Segment `index` of a frame, its checksum blank (the pseudo-header's sum is in the field).
 * @returns a new frame; null when memory is short
 */
export function segmentMake(f: Frame, h: Headers, index: u32, count: u32): Frame | null {
  const headerBytes = h.layer4At + h.layer4Bytes;
  const offset = index * f.gsoSize;
  const payload = min(f.gsoSize, f.length - headerBytes - offset);
  const s = frameAllocate(headerBytes + payload);
  if (s == null) return null;
  s.source = f.source;
  s.flow = f.flow;
  s.flags = f.flags | FRAME_CSUM_BLANK;
  s.gsoType = XEN_NETIF_GSO_TYPE_NONE;
  const head = frameExtend(s, headerBytes);
  memory.copy(head, frameHead(f), headerBytes);
  if (!copyPayload(s, f, headerBytes + offset, payload)) {
    frameRelease(s);
    return null;
  }
  const ip = head + ETHERNET_BYTES;
  if (h.layer3 == IPV4) {
    store<u16>(ip + 2, bswap<u16>(<u16>(h.ipBytes + h.layer4Bytes + payload)));
    store<u16>(ip + 4, bswap<u16>(<u16>(load16be(ip + 4) + index)));
    store<u16>(ip + 10, 0);
    store<u16>(ip + 10, bswap<u16>(<u16>checksum(ip, h.ipBytes)));
  } else {
    store<u16>(ip + 4, bswap<u16>(<u16>(h.layer4Bytes + payload)));
  }
  const tcp = head + h.layer4At;
  store<u32>(tcp + 4, bswap<u32>(load32be(tcp + 4) + offset));
  let flags: u32 = load<u8>(tcp + TCP_FLAGS);
  if (index + 1 < count) flags &= ~TCP_FIN_PSH;
  if (index) flags &= ~TCP_CWR;
  store<u8>(tcp + TCP_FLAGS, <u8>flags);
  headersParse(parsed, head, headerBytes, s.length);
  checksumPartial(s, parsed);
  return s;
}

function copyPayload(s: Frame, f: Frame, offset: u32, length: u32): bool {
  const first = min(length, WHOLE_BYTES - s.inChunks);
  frameRead(f, offset, frameExtend(s, first), first);
  for (let done = first; done < length;) {
    if (!frameAddPage(s)) return false;
    const bytes = min(length - done, PAGE_BYTES);
    frameRead(f, offset + done, frameExtend(s, bytes), bytes);
    done += bytes;
  }
  return true;
}
