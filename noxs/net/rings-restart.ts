/**
 * The rings of a vif after a restart of the domain. What was consumed but not answered is done again: the next request is the
 * first that has no response. Frames may be sent twice, as on any network.
 *
 * The restart may have come while responses were being written (notify.ts): up to the index noted then (`intent`), slots hold
 * requests or responses, and the frames behind them are done. Their responses are completed here. What of a slot no
 * response overwrites says enough: of a transmit request its id and flags, of a receive request or response its id; that of
 * a slot for extra info is in the journal.
 */
import {
  NET_RX_RING_SIZE,
  NET_RX_SLOT,
  NET_TX_RING_SIZE,
  NET_TX_SLOT,
  NETIF_RSP_ERROR,
  NETIF_RSP_NULL,
  NETIF_RSP_OKAY,
  NetifExtraInfo,
  NetifRxResponse,
  NetifTxRequest,
  NetifTxResponse,
  NETTXF_extra_info,
  NETTXF_more_data,
  XEN_NETIF_EXTRA_FLAG_MORE,
} from "../../abi/io/netif";
import { Sring, SRING_HEADER } from "../../abi/io/ring";
import { read16, read32, read8, write16, write32 } from "../../drivers/host/host";
import { journalFind } from "./extra-journal";
import { Queue } from "./records";

/** How many slots from rsp_prod on have responses that must be completed; -1 when the ring's indices are not possible. */
function unfinished(ring: usize, intent: u32, slots: u32): i32 {
  const done = read32(ring + Sring.rsp_prod);
  const produced = read32(ring + Sring.req_prod) - done;
  if (produced > slots) return -1;
  const intended = intent - done;
  return intended <= produced ? <i32>intended : 0;
}

/** Completes the responses of a transmit ring up to `intent`; false when its indices are not possible. */
export function restartTx(ring: usize, intent: u32): bool {
  const first = read32(ring + Sring.rsp_prod);
  const count = unfinished(ring, intent, NET_TX_RING_SIZE);
  if (count < 0) return false;
  let extra = false;
  let further = false;
  for (let i: u32 = 0; i < <u32>count; i++) {
    const slot = ring + SRING_HEADER + <usize>((first + i) & (NET_TX_RING_SIZE - 1)) * NET_TX_SLOT;
    if (extra) {
      extra = (read8(slot + NetifExtraInfo.flags) & XEN_NETIF_EXTRA_FLAG_MORE) != 0;
      write16(slot + NetifTxResponse.status, <u32>NETIF_RSP_NULL);
      continue;
    }
    const flags = read16(slot + NetifTxRequest.flags);
    // Only a frame's first request has extra info behind it.
    extra = !further && (flags & NETTXF_extra_info) != 0;
    further = (flags & NETTXF_more_data) != 0;
    write32(slot, read16(slot + NetifTxRequest.id) | ((<u32>NETIF_RSP_OKAY) << 16));
  }
  if (count) write32(ring + Sring.rsp_prod, intent);
  return true;
}

/** The same for a receive ring: the frames of such slots are lost. */
export function restartRx(q: Queue, intent: u32): bool {
  const ring = q.rx;
  const first = read32(ring + Sring.rsp_prod);
  const count = unfinished(ring, intent, NET_RX_RING_SIZE);
  if (count < 0) return false;
  for (let i: u32 = 0; i < <u32>count; i++) {
    const slot = ring + SRING_HEADER + <usize>((first + i) & (NET_RX_RING_SIZE - 1)) * NET_RX_SLOT;
    const noted = journalFind(q, first + i);
    write32(slot, noted != 0xffffffff ? noted : read16(slot + NetifRxResponse.id));
    write32(slot + NetifRxResponse.flags, (<u32>NETIF_RSP_ERROR) << 16);
  }
  if (count) write32(ring + Sring.rsp_prod, intent);
  return true;
}
