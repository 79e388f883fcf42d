/**
 * A network frontend of a simulated guest, which follows netif.h and NoXS's handshake, or, by xenbus, what it writes into its nodes.
 * It checks what is its to check: each request answered once, in its place; nothing written but into buffers that it has posted; no
 * grant still in use when the protocol says that the back end is done with it.
 */
import {
  NET_RX_RING_SIZE,
  NET_RX_SLOT,
  NET_TX_RING_SIZE,
  NET_TX_SLOT,
  NETIF_RSP_DROPPED,
  NETIF_RSP_OKAY,
  NetifRxRequest,
  NetifRxResponse,
  NetifTxRequest,
  NetifTxResponse,
  NETRXF_csum_blank,
  NETRXF_extra_info,
  NETRXF_more_data,
  NETTXF_csum_blank,
  NETTXF_data_validated,
  NETTXF_more_data,
} from "../../../abi/io/netif.ts";
import { VIF_FE_RX_NOTIFY, VIF_FE_SG } from "../../../abi/io/control-net.ts";
import { noxs_dev_vif, NoxsVifCtrlPage } from "../../../abi/io/noxs.ts";
import { Sring, SRING_HEADER } from "../../../abi/io/ring.ts";
import type { Steps } from "../call.ts";
import { PAGE } from "../ram.ts";
import { Front } from "./front.ts";
import { CONTROL_GFN, type Kit, type Rings } from "./guest.ts";
import type { Packet } from "./wire.ts";

export const TX_GFN = 10;
export const RX_GFN = 11;
export const TX_DATA_GFN = 12;
export const TX_PAGES = 8;
export const RX_DATA_GFN = 20;
export const RX_PAGES = 12;
export const TX_REF = 8;
export const RX_REF = 9;
export const TX_DATA_REF = 16;
export const RX_DATA_REF = 32;
const TX = TX_GFN * PAGE;
const RX = RX_GFN * PAGE;
const CONTROL = CONTROL_GFN * PAGE;
/** What a buffer holds before a frame is received into it. */
const EMPTY = 0xee;

/** A page of the transmit ring's data: what was sent from it, and by which request. */
interface Sent {
  page: number;
  bytes: Uint8Array;
}

export class NetFront extends Front {
  private txProd = 0;
  private txCons = 0;
  private readonly sent = new Map<number, Sent>();
  private readonly freePages = Array.from({ length: TX_PAGES }, (_, i) => i);
  private nextId = 0;
  private rxProd = 0;
  private rxCons = 0;
  /** The buffers posted, in the order of their slots; kills of the I/O domain before. */
  private readonly posted: { buffer: number; kills: number }[] = [];
  private readonly freeBuffers = Array.from({ length: RX_PAGES }, (_, i) => i);
  private readonly features = VIF_FE_SG | VIF_FE_RX_NOTIFY;

  constructor(kit: Kit) {
    super(kit, noxs_dev_vif);
  }

  get unanswered(): number {
    return this.txProd - this.txCons;
  }

  // --- Connecting -------------------------------------------------------------------------------------------------------------

  /** Fresh rings, their grants, a port. */
  *prepare(): Steps<void> {
    const { kit } = this;
    kit.bytes(TX_GFN).fill(0);
    kit.bytes(RX_GFN).fill(0);
    for (const ring of [TX, RX]) {
      kit.set32(ring + Sring.req_event, 1);
      kit.set32(ring + Sring.rsp_event, 1);
    }
    kit.grant(TX_REF, TX_GFN);
    kit.grant(RX_REF, RX_GFN);
    this.port = yield* kit.allocPort();
    if (this.port < 0) throw this.wrong(`no port: ${this.port}`);
    this.txProd = this.txCons = this.rxProd = this.rxCons = 0;
    this.post();
  }

  writeRings(): void {
    const { kit } = this;
    kit.set32(CONTROL + NoxsVifCtrlPage.multi_queue_num_queues, 1);
    kit.set32(CONTROL + NoxsVifCtrlPage.tx_ring_ref, TX_REF);
    kit.set32(CONTROL + NoxsVifCtrlPage.rx_ring_ref, RX_REF);
    kit.set32(CONTROL + NoxsVifCtrlPage.event_channel_tx, this.port);
    kit.set32(CONTROL + NoxsVifCtrlPage.event_channel_rx, this.port);
    kit.set32(CONTROL + NoxsVifCtrlPage.request_rx_copy, 1);
    kit.set16(CONTROL + NoxsVifCtrlPage.fe_feat, this.features);
  }

  asks(): Rings {
    return { refs: [TX_REF, RX_REF], port: this.port, features: this.features };
  }

  protected release(): void {
    const { kit } = this;
    kit.endGrant(TX_REF, "the transmit ring");
    kit.endGrant(RX_REF, "the receive ring");
    for (const { page } of this.sent.values()) {
      kit.endGrant(TX_DATA_REF + page, "a frame of a closed ring");
      this.freePages.push(page);
    }
    this.sent.clear();
    this.order.length = 0;
    for (const { buffer } of this.posted.splice(0)) {
      kit.endGrant(RX_DATA_REF + buffer, "a buffer of a closed ring");
      this.freeBuffers.push(buffer);
    }
  }

  // --- Sending ----------------------------------------------------------------------------------------------------------------

  /** A short frame can be sent. */
  get hasRoom(): boolean {
    return this.freePages.length > 0;
  }

  /** Puts a frame into the ring, in pieces of a page or less, at times without its checksum; false: no room. */
  put(packet: Packet): boolean {
    const { kit } = this;
    const { random } = kit.scene;
    const blank = random.oneIn(3);
    const frame = blank ? packet.blank : packet.frame;
    const first = blank ? NETTXF_csum_blank | NETTXF_data_validated : 0;
    const pieces: number[] = [];
    for (let left = frame.length; left > 0; left -= pieces.at(-1)!) {
      pieces.push(Math.min(left, random.oneIn(3) ? 1 + random.below(PAGE) : PAGE));
    }
    if (pieces.length > this.freePages.length) return false;
    let at = 0;
    pieces.forEach((length, i) => {
      const page = this.freePages.shift()!;
      const offset = random.below(PAGE - length + 1);
      const bytes = kit.bytes(TX_DATA_GFN + page);
      bytes.fill(0x77);
      bytes.set(frame.subarray(at, at + length), offset);
      at += length;
      const id = this.nextId++ & 0xffff;
      this.sent.set(id, { page, bytes: bytes.slice() });
      kit.grant(TX_DATA_REF + page, TX_DATA_GFN + page, true);
      const slot = TX + SRING_HEADER + (this.txProd++ % NET_TX_RING_SIZE) * NET_TX_SLOT;
      kit.set32(slot + NetifTxRequest.gref, TX_DATA_REF + page);
      kit.set16(slot + NetifTxRequest.offset, offset);
      kit.set16(slot + NetifTxRequest.flags, (i === 0 ? first : 0) | (i + 1 < pieces.length ? NETTXF_more_data : 0));
      kit.set16(slot + NetifTxRequest.id, id);
      kit.set16(slot + NetifTxRequest.size, i === 0 ? frame.length : length);
      this.order.push(id);
    });
    return true;
  }

  /** Ids of the requests that are not answered, in their order. */
  private readonly order: number[] = [];

  *push(): Steps<void> {
    yield* this.pushRing(TX, this.txProd);
  }

  /** Takes the responses to what it has sent. */
  private takeTx(): void {
    const { kit } = this;
    while (true) {
      const prod = kit.get32(TX + Sring.rsp_prod);
      if ((prod - this.txCons) >>> 0 > this.txProd - this.txCons) throw this.wrong("more responses than requests");
      while (this.txCons !== prod) {
        const slot = TX + SRING_HEADER + (this.txCons++ % NET_TX_RING_SIZE) * NET_TX_SLOT;
        const id = kit.get16(slot + NetifTxResponse.id);
        const status = (kit.get16(slot + NetifTxResponse.status) << 16) >> 16;
        const expected = this.order.shift();
        if (id !== expected) throw this.wrong(`request ${expected} answered as ${id}`);
        if (status !== NETIF_RSP_OKAY && status !== NETIF_RSP_DROPPED)
          throw this.wrong(`a good frame got status ${status}`);
        const { page, bytes } = this.sent.get(id)!;
        this.sent.delete(id);
        kit.endGrant(TX_DATA_REF + page, "a frame that was answered");
        if (!Buffer.from(bytes).equals(kit.bytes(TX_DATA_GFN + page)))
          throw this.wrong("a frame to be sent was written to");
        this.freePages.push(page);
        kit.scene.counts["sent"]!++;
      }
      kit.set32(TX + Sring.rsp_event, this.txCons + 1);
      if (kit.get32(TX + Sring.rsp_prod) === this.txCons) return;
    }
  }

  // --- Receiving --------------------------------------------------------------------------------------------------------------

  /** Posts all the buffers that are free. */
  private post(): boolean {
    const { kit } = this;
    const old = kit.get32(RX + Sring.req_prod);
    while (this.freeBuffers.length > 0) {
      const buffer = this.freeBuffers.shift()!;
      kit.bytes(RX_DATA_GFN + buffer).fill(EMPTY);
      kit.grant(RX_DATA_REF + buffer, RX_DATA_GFN + buffer);
      const index = this.rxProd++ % NET_RX_RING_SIZE;
      const slot = RX + SRING_HEADER + index * NET_RX_SLOT;
      kit.set16(slot + NetifRxRequest.id, index);
      kit.set32(slot + NetifRxRequest.gref, RX_DATA_REF + buffer);
      this.posted.push({ buffer, kills: kit.scene.wire.kills });
    }
    kit.set32(RX + Sring.req_prod, this.rxProd);
    return (this.rxProd - kit.get32(RX + Sring.req_event)) >>> 0 < (this.rxProd - old) >>> 0;
  }

  /** Takes what was received, and checks it. */
  private takeRx(): void {
    const { kit } = this;
    while (true) {
      const prod = kit.get32(RX + Sring.rsp_prod);
      if ((prod - this.rxCons) >>> 0 > this.rxProd - this.rxCons) throw this.wrong("more frames than buffers");
      while (this.rxCons !== prod) this.takeFrame(prod);
      kit.set32(RX + Sring.rsp_event, this.rxCons + 1);
      if (kit.get32(RX + Sring.rsp_prod) === this.rxCons) return;
    }
  }

  private takeFrame(prod: number): void {
    const { kit } = this;
    const parts: Buffer[] = [];
    let failed = false;
    let blank = false;
    for (let more = true; more;) {
      if (this.rxCons === prod) throw this.wrong("a frame whose last slots are missing");
      const index = this.rxCons++ % NET_RX_RING_SIZE;
      const slot = RX + SRING_HEADER + index * NET_RX_SLOT;
      const flags = kit.get16(slot + NetifRxResponse.flags);
      const status = (kit.get16(slot + NetifRxResponse.status) << 16) >> 16;
      const offset = kit.get16(slot + NetifRxResponse.offset);
      if (kit.get16(slot + NetifRxResponse.id) !== index) throw this.wrong("a buffer of another slot");
      if (parts.length === 0) blank = (flags & NETRXF_csum_blank) !== 0;
      if ((flags & NETRXF_extra_info) !== 0) throw this.wrong("extra info that it has not asked for");
      const { buffer, kills } = this.posted.shift()!;
      kit.endGrant(RX_DATA_REF + buffer, "a buffer that was filled");
      const bytes = Buffer.from(kit.bytes(RX_DATA_GFN + buffer));
      if (status < 0) failed = true;
      else if (status === 0 || offset + status > PAGE) throw this.wrong(`${status} bytes at ${offset} of a buffer`);
      else {
        parts.push(bytes.subarray(offset, offset + status));
        // A run of the I/O domain that was killed may have written more before.
        const rest = kills === kit.scene.wire.kills;
        for (let at = 0; rest && at < PAGE; at++) {
          if (at === offset) at += status;
          if (at < PAGE && bytes[at] !== EMPTY) throw this.wrong(`a buffer was written beyond its frame, at ${at}`);
        }
      }
      this.freeBuffers.push(buffer);
      more = (flags & NETRXF_more_data) !== 0;
    }
    if (failed) {
      kit.scene.counts["received with an error"]!++;
      return;
    }
    kit.scene.counts["received"]!++;
    kit.scene.wire.arrived(kit.me.id, Buffer.concat(parts), blank);
  }

  /** Serves both rings. */
  *poll(): Steps<void> {
    this.takeTx();
    this.takeRx();
    if (this.unanswered === 0) this.kit.me.awaits = null;
    if (this.post()) yield* this.kit.send(this.port);
  }
}
