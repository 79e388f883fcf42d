/**
 * What few frontends ask for: a list of multicast addresses they want (extra info MCAST_ADD, MCAST_DEL), and how frames are
 * spread over their queues (the control ring's hash requests). Kept in stable memory, in blocks that a vif gets when it first asks.
 *
 * Source: xen/io/netif.h, "Control messages", "Hash types".
 */
import {
  NetifExtraInfo,
  XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ,
  XEN_NETIF_CTRL_HASH_TYPE_IPV4,
  XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP,
  XEN_NETIF_CTRL_HASH_TYPE_IPV6,
  XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP,
  XEN_NETIF_EXTRA_TYPE_HASH,
} from "../../abi/io/netif";
import { stableRegion } from "../../drivers/host/stable";
import { ETHERNET_BYTES, Headers, IPV4, IPV6, PROTOCOL_TCP } from "./frame/headers";
import { Vif } from "./records";

/** Most multicast addresses of a vif. */
export const MULTICAST_MAX: u32 = 64;
/** Longest key, and most entries of the table from hash to queue. */
export const HASH_KEY_BYTES: u32 = 40;
export const HASH_TABLE_ENTRIES: u32 = 128;

const BLOCKS: u32 = 512;
const BLOCK_BYTES: u32 = 768;
const ADDRESSES_AT: usize = 64;
const TABLE_AT: usize = 576;

@unmanaged
export class VifExtras {
  /** The vif's index; 0: free. */
  owner: u32;
  /** Addresses in the list, u64 each from ADDRESSES_AT. */
  addresses: u32;
  /** XEN_NETIF_CTRL_HASH_ALGORITHM_*, XEN_NETIF_CTRL_HASH_TYPE_*. */
  algorithm: u32;
  types: u32;
  /** Entries of the table, a byte each from TABLE_AT; 0: the hash modulo the queues. */
  tableEntries: u32;
  // The key, HASH_KEY_BYTES bytes, zero beyond what was set.
}
const KEY_AT: usize = 20;

let blocks: usize = 0;
const input: usize = memory.data(40, 8);

/** Before anything else here; false without memory. */
export function extrasInit(): bool {
  blocks = stableRegion(0x4e585452, BLOCKS * BLOCK_BYTES); // "NXTR"
  return blocks != 0;
}

function blockAt(index: u32): VifExtras {
  return changetype<VifExtras>(blocks + <usize>index * BLOCK_BYTES);
}

/** A vif's block; null when it has none. */
export function extrasOf(v: Vif): VifExtras | null {
  return v.stable.extras ? blockAt(v.stable.extras - 1) : null;
}

/** The same, with a new one when it has none; null when all are in use. */
export function extrasMake(v: Vif): VifExtras | null {
  if (v.stable.extras) return extrasOf(v);
  for (let i: u32 = 0; i < BLOCKS; i++) {
    const x = blockAt(i);
    if (x.owner) continue;
    memory.fill(changetype<usize>(x), 0, BLOCK_BYTES);
    x.owner = v.index;
    v.stable.extras = i + 1;
    return x;
  }
  return null;
}

/** Gives the vif's block back: its frontend is gone. */
export function extrasFree(v: Vif): void {
  const x = extrasOf(v);
  if (x == null) return;
  v.stable.extras = 0;
  x.owner = 0;
}

// --- Multicast -----------------------------------------------------------------------------------------------------------

function addressSlot(x: VifExtras, index: u32): usize {
  return changetype<usize>(x) + ADDRESSES_AT + ((<usize>index) << 3);
}

function multicastIndex(x: VifExtras, mac: u64): u32 {
  let i: u32 = 0;
  while (i < x.addresses && load<u64>(addressSlot(x, i)) != mac) i++;
  return i;
}

/** Whether a vif that filters multicast wants this address. */
export function multicastWanted(v: Vif, mac: u64): bool {
  const x = extrasOf(v);
  return x != null && multicastIndex(x, mac) < x.addresses;
}

/** Adds an address to a vif's list; false when the list is full or there is no memory for it. */
export function multicastAdd(v: Vif, mac: u64): bool {
  const x = extrasMake(v);
  if (x == null) return false;
  if (multicastIndex(x, mac) < x.addresses) return true;
  if (x.addresses == MULTICAST_MAX) return false;
  store<u64>(addressSlot(x, x.addresses), mac);
  x.addresses++;
  return true;
}

/** Removes an address, if it is in the list. */
export function multicastRemove(v: Vif, mac: u64): void {
  const x = extrasOf(v);
  if (x == null) return;
  const i = multicastIndex(x, mac);
  if (i == x.addresses) return;
  store<u64>(addressSlot(x, i), load<u64>(addressSlot(x, x.addresses - 1)));
  x.addresses--;
}

// --- Hash ----------------------------------------------------------------------------------------------------------------

/** Address of a block's key. */
export function hashKey(x: VifExtras): usize {
  return changetype<usize>(x) + KEY_AT;
}

/** Address of an entry of a block's table. */
export function hashTableSlot(x: VifExtras, index: u32): usize {
  return changetype<usize>(x) + TABLE_AT + index;
}

/** Whether frames to this vif carry a hash. */
export function hashEnabled(x: VifExtras | null): bool {
  return x != null && x.algorithm == XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ && x.types != 0;
}

/** The number of a hash type's bit, as in NetifExtraInfo.hash_type; of the last hashFrame. */
export let hashTypeBit: u32 = 0;

/**
 * Hashes a frame as the frontend has asked.
 * @param head the frame's first bytes
 * @returns the hash, 0 for a frame of no kind that is hashed (hashTypeBit is then 0xff)
 */
export function hashFrame(x: VifExtras, head: usize, h: Headers): u32 {
  hashTypeBit = 0xff;
  const ip = head + ETHERNET_BYTES;
  const isTcp = h.layer4 == PROTOCOL_TCP;
  let type: u32 = 0;
  let length: u32 = 0;
  if (h.layer3 == IPV4) {
    type =
      isTcp && (x.types & XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP) != 0
        ? XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP
        : XEN_NETIF_CTRL_HASH_TYPE_IPV4;
    memory.copy(input, ip + 12, 8);
    length = 8;
  } else if (h.layer3 == IPV6) {
    type =
      isTcp && (x.types & XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP) != 0
        ? XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP
        : XEN_NETIF_CTRL_HASH_TYPE_IPV6;
    memory.copy(input, ip + 8, 32);
    length = 32;
  }
  if (!(x.types & type)) return 0;
  if (type == XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP || type == XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP) {
    store<u32>(input + length, load<u32>(head + h.layer4At));
    length += 4;
  }
  hashTypeBit = ctz<u32>(type);
  return toeplitz(hashKey(x), HASH_KEY_BYTES, input, length);
}

/** Toeplitz hash: for each set bit of the data, the 32 bits of the key that begin at the same place, combined by XOR. */
export function toeplitz(key: usize, keyBytes: u32, data: usize, length: u32): u32 {
  let hash: u32 = 0;
  // The 32 bits at the present place, and the 32 after them.
  let window: u64 = 0;
  for (let i: u32 = 0; i < 8; i++) window = (window << 8) | (i < keyBytes ? load<u8>(key + i) : 0);
  for (let i: u32 = 0; i < length; i++) {
    const byte: u32 = load<u8>(data + i);
    for (let bit: u32 = 0; bit < 8; bit++) {
      if (byte & (0x80 >> bit)) hash ^= <u32>((window << bit) >> 32);
    }
    window <<= 8;
    if (i + 8 < keyBytes) window |= load<u8>(key + i + 8);
  }
  return hash;
}

/** First word of the extra info that carries a hash; the second is the hash. */
export function hashExtra(bit: u32): u32 {
  return (
    XEN_NETIF_EXTRA_TYPE_HASH |
    (bit << (NetifExtraInfo.hash_type * 8)) |
    (XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ << (NetifExtraInfo.hash_algorithm * 8))
  );
}
