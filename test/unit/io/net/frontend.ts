/**
 * A network frontend that follows xen/io/netif.h, and checks that its back end does: every request is answered once, in a slot and
 * with a status that the protocol allows; every frame's slots make sense.
 */
import {
  VIF_FE_CTRL_RING,
  VIF_FE_GSO_TCPV4,
  VIF_FE_GSO_TCPV6,
  VIF_FE_IPV6_CSUM_OFFLOAD,
  VIF_FE_RX_NOTIFY,
  VIF_FE_SG,
} from "../../../../abi/io/control-net.ts";
import {
  NET_CTRL_RING_SIZE,
  NET_CTRL_SLOT,
  NET_RX_RING_SIZE,
  NET_RX_SLOT,
  NET_TX_RING_SIZE,
  NET_TX_SLOT,
  NetifCtrlRequest,
  NetifCtrlResponse,
  NETIF_RSP_NULL,
  NetifExtraInfo,
  NetifRxRequest,
  NetifRxResponse,
  NetifTxRequest,
  NetifTxResponse,
  NETRXF_csum_blank,
  NETRXF_data_validated,
  NETRXF_extra_info,
  NETRXF_more_data,
  NETTXF_csum_blank,
  NETTXF_data_validated,
  NETTXF_extra_info,
  NETTXF_more_data,
  XEN_NETIF_EXTRA_FLAG_MORE,
  XEN_NETIF_EXTRA_TYPE_GSO,
  XEN_NETIF_EXTRA_TYPE_HASH,
} from "../../../../abi/io/netif.ts";
import { noxs_watch_requested, noxs_watch_updated, NoxsCtrlHdr, NoxsVifCtrlPage } from "../../../../abi/io/noxs.ts";
import { Sring, SRING_HEADER } from "../../../../abi/io/ring.ts";
import {
  XenbusStateClosed,
  XenbusStateClosing,
  XenbusStateConnected,
  XenbusStateInitialising,
  XenbusStateInitWait,
} from "../../../../abi/io/xenbus.ts";
import { Guest, GuestPage, PAGE } from "../grants.ts";
import type { Net } from "./module.ts";

/** What Linux's frontend can do. */
export const LINUX = VIF_FE_RX_NOTIFY | VIF_FE_SG | VIF_FE_GSO_TCPV4 | VIF_FE_GSO_TCPV6 | VIF_FE_IPV6_CSUM_OFFLOAD;

export interface SendOptions {
  /** Bytes of each slot; what is left over goes into slots of a page each. By default pages are filled. */
  pieces?: number[];
  /** Where in its page the first piece begins. */
  offset?: number;
  blank?: boolean;
  validated?: boolean;
  gso?: { type: number; size: number };
  queue?: number;
}

export interface Received {
  data: Buffer;
  blank: boolean;
  validated: boolean;
  gso: { type: number; size: number } | null;
  hash: { type: number; value: number } | null;
  slots: number;
  queue: number;
}

/** An extra info in its eight bytes. */
export function gsoExtra(type: number, size: number, more = false): Buffer {
  const extra = Buffer.alloc(8);
  extra.writeUInt8(XEN_NETIF_EXTRA_TYPE_GSO, NetifExtraInfo.type);
  extra.writeUInt8(more ? XEN_NETIF_EXTRA_FLAG_MORE : 0, NetifExtraInfo.flags);
  extra.writeUInt16LE(size, NetifExtraInfo.gso_size);
  extra.writeUInt8(type, NetifExtraInfo.gso_type);
  return extra;
}

interface TxSlot {
  ref: number;
  page: GuestPage;
}

/** A pair of rings. */
export class FrontQueue {
  readonly txPage = new GuestPage();
  readonly rxPage = new GuestPage();
  readonly txRef: number;
  readonly rxRef: number;
  readonly txPort: number;
  readonly rxPort: number;
  txProd = 0;
  txCons = 0;
  rxProd = 0;
  rxCons = 0;
  /** Statuses of answered transmit requests, extra info left out. */
  readonly statuses: number[] = [];
  private readonly txSlots = new Map<number, TxSlot>();
  /** What each slot of the transmit ring was: an id, or null for extra info. */
  private readonly txSent: (number | null)[] = [];
  private readonly rxBuffers: { page: GuestPage; ref: number }[] = [];
  private nextId = 0;

  constructor(
    private readonly front: Frontend,
    private readonly index: number,
    split: boolean,
  ) {
    const { guest } = front;
    for (const page of [this.txPage, this.rxPage]) {
      page.view.setUint32(Sring.req_event, 1, true);
      page.view.setUint32(Sring.rsp_event, 1, true);
    }
    this.txRef = guest.grant(this.txPage);
    this.rxRef = guest.grant(this.rxPage);
    const all = (): void => front.poll(this.index);
    this.txPort = guest.allocUnbound(all);
    this.rxPort = split ? guest.allocUnbound(all) : this.txPort;
    for (let i = 0; i < NET_RX_RING_SIZE; i++) {
      const page = new GuestPage();
      this.rxBuffers.push({ page, ref: guest.grant(page) });
    }
  }

  /** Slots of the transmit ring that are free. */
  room(): number {
    return NET_TX_RING_SIZE - (this.txProd - this.txCons);
  }

  /** Puts raw bytes into the next transmit slot. */
  private putTx(bytes: Buffer, what: number | null): void {
    const index = this.txProd++ % NET_TX_RING_SIZE;
    this.txPage.bytes.set(bytes, SRING_HEADER + index * NET_TX_SLOT);
    this.txSent[index] = what;
  }

  request(ref: number, offset: number, flags: number, id: number, size: number): Buffer {
    const slot = Buffer.alloc(NET_TX_SLOT);
    slot.writeUInt32LE(ref >>> 0, NetifTxRequest.gref);
    slot.writeUInt16LE(offset, NetifTxRequest.offset);
    slot.writeUInt16LE(flags, NetifTxRequest.flags);
    slot.writeUInt16LE(id, NetifTxRequest.id);
    slot.writeUInt16LE(size, NetifTxRequest.size);
    return slot;
  }

  /** Slots exactly as given, extra info as eight bytes: for what no frontend should send. */
  putRaw(slots: Buffer[]): void {
    for (const slot of slots) this.putTx(slot, null);
  }

  /** Queues a frame; false when the ring has no room. */
  send(data: Uint8Array, options: SendOptions = {}): boolean {
    const { guest } = this.front;
    const pieces: number[] = [];
    let left = data.length;
    let room = PAGE - (options.offset ?? 0);
    for (const piece of options.pieces ?? []) {
      pieces.push(Math.min(piece, left));
      left -= pieces.at(-1)!;
      room = PAGE;
    }
    while (left > 0 || pieces.length === 0) {
      pieces.push(Math.min(left, room));
      left -= pieces.at(-1)!;
      room = PAGE;
    }
    const extras = options.gso ? [gsoExtra(options.gso.type, options.gso.size)] : [];
    if (pieces.length + extras.length > this.room()) return false;
    let at = 0;
    pieces.forEach((length, i) => {
      const page = new GuestPage();
      const offset = i === 0 ? (options.offset ?? 0) : 0;
      page.bytes.set(data.subarray(at, at + length), offset);
      at += length;
      const ref = guest.grant(page, true);
      const id = this.nextId++ & 0xffff;
      this.txSlots.set(id, { ref, page });
      let flags = i + 1 < pieces.length ? NETTXF_more_data : 0;
      if (i === 0) {
        if (options.blank) flags |= NETTXF_csum_blank | NETTXF_data_validated;
        else if (options.validated) flags |= NETTXF_data_validated;
        if (extras.length > 0) flags |= NETTXF_extra_info;
      }
      this.putTx(this.request(ref, offset, flags, id, i === 0 ? data.length : length), id);
      if (i === 0) for (const extra of extras) this.putTx(extra, null);
    });
    return true;
  }

  /** Makes what was queued visible, and notifies if the back end wants it. */
  push(): void {
    const { view } = this.txPage;
    const old = view.getUint32(Sring.req_prod, true);
    view.setUint32(Sring.req_prod, this.txProd >>> 0, true);
    const event = view.getUint32(Sring.req_event, true);
    if ((this.txProd - event) >>> 0 < (this.txProd - old) >>> 0) this.front.guest.send(this.txPort);
  }

  /** Posts buffers until `count` are there. */
  post(count: number): void {
    const { view } = this.rxPage;
    const old = view.getUint32(Sring.req_prod, true);
    while (this.rxProd - this.rxCons < count) {
      const index = this.rxProd++ % NET_RX_RING_SIZE;
      const slot = SRING_HEADER + index * NET_RX_SLOT;
      const buffer = this.rxBuffers[index]!;
      buffer.page.bytes.fill(0xee);
      view.setUint16(slot + NetifRxRequest.id, index, true);
      view.setUint16(slot + NetifRxRequest.id + 2, 0, true);
      view.setUint32(slot + NetifRxRequest.gref, buffer.ref, true);
    }
    view.setUint32(Sring.req_prod, this.rxProd >>> 0, true);
    const event = view.getUint32(Sring.req_event, true);
    const asked = (this.rxProd - event) >>> 0 < (this.rxProd - old) >>> 0;
    if (asked && this.front.features & VIF_FE_RX_NOTIFY) this.front.guest.send(this.rxPort);
  }

  /** Takes the transmit responses. */
  takeTx(): void {
    const { view } = this.txPage;
    const prod = view.getUint32(Sring.rsp_prod, true);
    if ((prod - this.txCons) >>> 0 > (this.txProd - this.txCons) >>> 0) throw new Error("more responses than requests");
    while (this.txCons >>> 0 !== prod) {
      const index = this.txCons++ % NET_TX_RING_SIZE;
      const slot = SRING_HEADER + index * NET_TX_SLOT;
      const status = view.getInt16(slot + NetifTxResponse.status, true);
      const id = this.txSent[index];
      if (id === null) {
        if (status !== NETIF_RSP_NULL && this.front.strict) throw new Error(`extra info answered with ${status}`);
        continue;
      }
      if (status === NETIF_RSP_NULL || status > 0) throw new Error(`a request answered with ${status}`);
      if (view.getUint16(slot + NetifTxResponse.id, true) !== id) throw new Error("a response with another id");
      const tx = this.txSlots.get(id!);
      if (tx === undefined) throw new Error(`request ${id} answered twice`);
      this.txSlots.delete(id!);
      this.front.guest.endGrant(tx.ref);
      this.statuses.push(status);
    }
    view.setUint32(Sring.rsp_event, (this.txCons + 1) >>> 0, true);
  }

  /** Revokes a page that a request still names: the back end may be about to copy it. */
  revoke(id: number): void {
    this.front.guest.grants.delete(this.txSlots.get(id)!.ref);
    this.txSlots.get(id)!.ref = this.front.guest.grant(new GuestPage());
  }

  /** Ids of requests that are not answered. */
  unanswered(): number[] {
    return [...this.txSlots.keys()];
  }

  /** Takes the frames received; those with an error are counted. */
  takeRx(): Received[] {
    const { view } = this.rxPage;
    const frames: Received[] = [];
    const prod = view.getUint32(Sring.rsp_prod, true);
    if ((prod - this.rxCons) >>> 0 > (this.rxProd - this.rxCons) >>> 0) throw new Error("more frames than buffers");
    const available = (prod - this.rxCons) >>> 0;
    for (let used = 0; used < available;) {
      const start = used;
      const slotOf = (n: number): number => SRING_HEADER + ((this.rxCons + n) % NET_RX_RING_SIZE) * NET_RX_SLOT;
      const flags = view.getUint16(slotOf(start) + NetifRxResponse.flags, true);
      const frame: Received = {
        data: Buffer.alloc(0),
        blank: (flags & NETRXF_csum_blank) !== 0,
        validated: (flags & NETRXF_data_validated) !== 0,
        gso: null,
        hash: null,
        slots: 0,
        queue: this.index,
      };
      const parts: Uint8Array[] = [];
      let bad = false;
      let more = true;
      while (more) {
        if (used >= available) throw new Error("a frame whose last slots are missing");
        const slot = slotOf(used);
        const index = (this.rxCons + used) % NET_RX_RING_SIZE;
        const slotFlags = view.getUint16(slot + NetifRxResponse.flags, true);
        const status = view.getInt16(slot + NetifRxResponse.status, true);
        const offset = view.getUint16(slot + NetifRxResponse.offset, true);
        if (view.getUint16(slot + NetifRxResponse.id, true) !== index) throw new Error("a response in another's slot");
        used++;
        if (used === start + 1 && slotFlags & NETRXF_extra_info) {
          let moreExtra = true;
          while (moreExtra) {
            if (used >= available) throw new Error("extra info is missing");
            const extra = slotOf(used++);
            const type = view.getUint8(extra + NetifExtraInfo.type);
            moreExtra = (view.getUint8(extra + NetifExtraInfo.flags) & XEN_NETIF_EXTRA_FLAG_MORE) !== 0;
            if (type === XEN_NETIF_EXTRA_TYPE_GSO) {
              frame.gso = {
                type: view.getUint8(extra + NetifExtraInfo.gso_type),
                size: view.getUint16(extra + NetifExtraInfo.gso_size, true),
              };
            } else if (type === XEN_NETIF_EXTRA_TYPE_HASH) {
              frame.hash = {
                type: view.getUint8(extra + NetifExtraInfo.hash_type),
                value: view.getUint32(extra + NetifExtraInfo.hash_value, true),
              };
            } else {
              throw new Error(`extra info of type ${type}`);
            }
          }
        }
        if (status < 0) bad = true;
        else if (status === 0 || offset + status > PAGE) throw new Error(`a slot of ${status} bytes at ${offset}`);
        else parts.push(this.rxBuffers[index]!.page.bytes.slice(offset, offset + status));
        frame.slots++;
        more = (slotFlags & NETRXF_more_data) !== 0;
      }
      frame.data = Buffer.concat(parts);
      if (bad) this.front.rxErrors++;
      else frames.push(frame);
      if (frame.slots > 18 || (frame.slots === 18 && parts[0]!.length > 256))
        throw new Error("more slots than Linux takes");
    }
    this.rxCons += available;
    view.setUint32(Sring.rsp_event, (this.rxCons + 1) >>> 0, true);
    return frames;
  }

  /** Ends what the guest has granted; throws if the back end still uses any of it. */
  free(): void {
    const { guest } = this.front;
    for (const ref of [this.txRef, this.rxRef, ...this.rxBuffers.map((buffer) => buffer.ref)]) guest.endGrant(ref);
    for (const { ref } of this.txSlots.values()) guest.endGrant(ref);
    guest.close(this.txPort);
    if (this.rxPort !== this.txPort) guest.close(this.rxPort);
  }
}

export interface FrontendOptions {
  features?: number;
  queues?: number;
  split?: boolean;
  /** Buffers kept posted. */
  buffers?: number;
  devid?: number;
  ctrl?: boolean;
}

export class Frontend {
  readonly guest: Guest;
  readonly features: number;
  readonly queues: FrontQueue[];
  readonly received: Received[] = [];
  rxErrors = 0;
  /** Buffers kept posted; 0: none are posted any more. */
  buffers: number;
  /** False: it does not look at its rings. */
  awake = true;
  /** Unanswered extra info is an error. */
  strict = true;
  /** Called with each frame as it arrives. */
  onFrame: ((frame: Received) => void) | null = null;
  ctrlPage: GuestPage | null = null;
  ctrlRef = 0;
  ctrlPort = 0;
  private ctrlProd = 0;
  private page: { bytes: Uint8Array; view: DataView } | null = null;
  private port = 0;
  private readonly devid: number;

  constructor(
    readonly net: Net,
    readonly domid: number,
    options: FrontendOptions = {},
  ) {
    this.guest = net.host.guests.get(domid) ?? net.guest(domid);
    this.features = (options.features ?? LINUX) | (options.ctrl ? VIF_FE_CTRL_RING : 0);
    this.buffers = options.buffers ?? NET_RX_RING_SIZE;
    this.devid = options.devid ?? 0;
    const split = options.split ?? false;
    this.queues = Array.from({ length: options.queues ?? 1 }, (_, i) => new FrontQueue(this, i, split));
    if (options.ctrl) {
      this.ctrlPage = new GuestPage();
      this.ctrlRef = this.guest.grant(this.ctrlPage);
      this.ctrlPort = this.guest.allocUnbound(() => {});
    }
    for (const queue of this.queues) queue.post(this.buffers);
  }

  get queue(): FrontQueue {
    return this.queues[0]!;
  }

  /** Takes what the back end has for it, and posts buffers again. */
  poll(index = 0): void {
    if (!this.awake) return;
    const queue = this.queues[index]!;
    queue.takeTx();
    for (const frame of queue.takeRx()) {
      this.received.push(frame);
      this.onFrame?.(frame);
    }
    if (this.buffers > 0) queue.post(this.buffers);
  }

  wake(): void {
    this.awake = true;
    this.queues.forEach((_, i) => this.poll(i));
  }

  /** Sends one frame and runs until all is quiet. */
  send(data: Uint8Array, options: SendOptions = {}): void {
    this.queueFrame(data, options);
    this.net.run();
  }

  queueFrame(data: Uint8Array, options: SendOptions = {}): void {
    const queue = this.queues[options.queue ?? 0]!;
    if (!queue.send(data, options)) throw new Error("the transmit ring is full");
    queue.push();
  }

  /** The frames received since the last call. */
  take(): Received[] {
    return this.received.splice(0);
  }

  // --- xenbus ---------------------------------------------------------------------------------------------------------

  connectXenbus(): number {
    const queues = this.queues.map(({ txRef, rxRef, txPort, rxPort }) => ({ txRef, rxRef, txPort, rxPort }));
    const status = this.net.connectVif(
      this.domid,
      this.features,
      queues,
      { ref: this.ctrlRef, port: this.ctrlPort },
      this.devid,
    );
    this.net.run();
    return status;
  }

  // --- NoXS, as LightVM's Mini-OS does it -----------------------------------------------------------------------------

  /** Maps the control page and binds its port: what a guest does with its device page's entry. */
  attach(entry: { grant: number; port: number }): void {
    this.page = this.guest.mapIo(entry.grant);
    this.port = this.guest.bind(entry.port, () => this.watch());
  }

  get control(): DataView {
    return this.page!.view;
  }

  /** Times the back end has answered a watch. */
  watched = 0;

  private watch(): void {
    if (this.control.getUint32(NoxsCtrlHdr.fe_watch_state, true) !== noxs_watch_updated) return;
    this.control.setUint32(NoxsCtrlHdr.fe_watch_state, 0, true);
    this.watched++;
  }

  /** Writes its rings into the control page. */
  writeRings(): void {
    const { control, queue } = this;
    control.setUint32(NoxsVifCtrlPage.tx_ring_ref, queue.txRef, true);
    control.setUint32(NoxsVifCtrlPage.rx_ring_ref, queue.rxRef, true);
    control.setUint32(NoxsVifCtrlPage.event_channel_tx, queue.txPort, true);
    control.setUint32(NoxsVifCtrlPage.event_channel_rx, queue.rxPort, true);
    control.setUint32(NoxsVifCtrlPage.ctrl_ring_ref, this.ctrlRef, true);
    control.setUint32(NoxsVifCtrlPage.event_channel_ctrl, this.ctrlPort, true);
    control.setUint32(NoxsVifCtrlPage.request_rx_copy, 1, true);
    control.setUint16(NoxsVifCtrlPage.fe_feat, this.features & 0x3ff, true);
  }

  /** Changes its state, with a watch unless `asks` is false, notifies, and waits; the back end's state then. */
  setState(state: number, asks = true): number {
    if (asks) this.control.setUint32(NoxsCtrlHdr.fe_watch_state, noxs_watch_requested, true);
    this.control.setUint32(NoxsCtrlHdr.fe_state, state, true);
    this.guest.send(this.port);
    this.net.run();
    return this.control.getUint32(NoxsCtrlHdr.be_state, true);
  }

  /** Notifies the back end of a change of the control page. */
  notify(): void {
    this.guest.send(this.port);
  }

  /** Notifies the back end without having changed anything. */
  nudge(): void {
    this.notify();
    this.net.run();
  }

  connectNoxs(entry: { grant: number; port: number }): number {
    this.attach(entry);
    if (this.control.getUint32(NoxsCtrlHdr.be_state, true) !== XenbusStateInitWait) throw new Error("not in InitWait");
    this.writeRings();
    return this.setState(XenbusStateConnected);
  }

  /** Closes, as Mini-OS does, and lets go of its rings; the back end then waits for the next one. */
  close(): number[] {
    const states = [this.setState(XenbusStateClosing), this.setState(XenbusStateClosed)];
    for (const queue of this.queues) queue.free();
    states.push(this.setState(XenbusStateInitialising));
    return states;
  }

  // --- Control ring ---------------------------------------------------------------------------------------------------

  /** Makes a request on the control ring; status and data of its answer. */
  ctrl(type: number, data: [number, number?, number?]): { status: number; data: number } {
    const { view } = this.ctrlPage!;
    const index = this.ctrlProd++ % NET_CTRL_RING_SIZE;
    const slot = SRING_HEADER + index * NET_CTRL_SLOT;
    view.setUint16(slot + NetifCtrlRequest.id, index, true);
    view.setUint16(slot + NetifCtrlRequest.type, type, true);
    view.setUint32(slot + NetifCtrlRequest.data0, data[0], true);
    view.setUint32(slot + NetifCtrlRequest.data1, data[1] ?? 0, true);
    view.setUint32(slot + NetifCtrlRequest.data2, data[2] ?? 0, true);
    view.setUint32(Sring.req_prod, this.ctrlProd, true);
    this.guest.send(this.ctrlPort);
    this.net.run();
    // The page's view changes when it is mapped.
    const after = this.ctrlPage!.view;
    if (after.getUint32(Sring.rsp_prod, true) !== this.ctrlProd) throw new Error("no answer on the control ring");
    if (after.getUint16(slot + NetifCtrlResponse.type, true) !== type) throw new Error("an answer of another type");
    return {
      status: after.getUint32(slot + NetifCtrlResponse.status, true),
      data: after.getUint32(slot + NetifCtrlResponse.data, true),
    };
  }
}
