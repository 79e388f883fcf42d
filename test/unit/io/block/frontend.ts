/** A block frontend in Node: rings in a guest's pages, requests as blkif.h has them, and what came back. */
import {
  BLKIF_OP_DISCARD,
  BLKIF_OP_INDIRECT,
  BLKIF_OP_READ,
  BLKIF_SLOT,
  BLKIF_SLOT_32,
  BlkifRequest,
  BlkifRequest32,
  BlkifRequestDiscard,
  BlkifRequestDiscard32,
  BlkifRequestIndirect,
  BlkifRequestIndirect32,
  BlkifResponse,
} from "../../../../abi/io/blkif.ts";
import { IO_VBD_ADD, IO_VBD_CONNECT, IO_VBD_LIST } from "../../../../abi/io/control.ts";
import {
  VBD_MODEL_NOXS,
  VBD_MODEL_XENBUS,
  VbdAdd,
  VbdConnect,
  VbdEntry,
  VbdProperties,
} from "../../../../abi/io/control-block.ts";
import {
  noxs_watch_none,
  noxs_watch_requested,
  noxs_watch_updated,
  NoxsCtrlHdr,
  NoxsVbdCtrlPage,
} from "../../../../abi/io/noxs.ts";
import { Sring, SRING_HEADER } from "../../../../abi/io/ring.ts";
import { type BlockHost, type Guest, GuestPage } from "./block-host.ts";

export interface Segment {
  gref: number;
  first: number;
  last: number;
}

export interface Response {
  id: bigint;
  operation: number;
  status: number;
}

export interface FrontendOptions {
  vdev?: number;
  target: string;
  writable?: boolean;
  model?: number;
  rings?: number;
  order?: number;
  narrow?: boolean;
  persistent?: boolean;
}

class Ring {
  readonly pages: GuestPage[];
  readonly slots: number;
  produced = 0;
  consumed = 0;
  port = 0;

  constructor(
    guest: Guest,
    order: number,
    readonly slotBytes: number,
  ) {
    this.pages = Array.from({ length: 1 << order }, () => guest.page());
    this.slots = 2 ** Math.floor(Math.log2((4096 * this.pages.length - SRING_HEADER) / slotBytes));
    this.write(Sring.req_event, 1, 4);
    this.write(Sring.rsp_event, 1, 4);
  }

  read(at: number, bytes: number): number {
    let value = 0;
    for (let i = bytes - 1; i >= 0; i--) value = value * 256 + this.pages[(at + i) >> 12]!.bytes[(at + i) & 4095]!;
    return value;
  }

  write(at: number, value: number | bigint, bytes: number): void {
    let rest = BigInt(value);
    for (let i = 0; i < bytes; i++, rest >>= 8n) {
      this.pages[(at + i) >> 12]!.bytes[(at + i) & 4095] = Number(rest & 0xffn);
    }
  }
}

export class Frontend {
  readonly rings: Ring[];
  readonly responses: Response[] = [];
  readonly properties: { grant: number; port: number; sectors: number; flags: number };
  readonly vdev: number;
  private nextId = 1n;
  private readonly narrow: boolean;
  /** Notifications sent and wanted: turned off, the test notifies by itself. */
  notify = true;

  constructor(
    readonly host: BlockHost,
    readonly guest: Guest,
    private readonly options: FrontendOptions,
  ) {
    this.vdev = options.vdev ?? 51712;
    this.narrow = options.narrow ?? false;
    const added = addVbd(host, guest.domid, options);
    if (added.status !== 0) throw new Error(`VBD_ADD: ${added.status}`);
    this.properties = added.properties;
    const { order = 0, rings = 1 } = options;
    this.rings = Array.from({ length: rings }, () => new Ring(guest, order, this.narrow ? BLKIF_SLOT_32 : BLKIF_SLOT));
    for (const ring of this.rings) ring.port = guest.port(() => this.collect());
    if ((options.model ?? VBD_MODEL_XENBUS) === VBD_MODEL_NOXS) this.connectNoxs();
    else this.connectXenbus();
  }

  private refs(ring: Ring): number[] {
    return ring.pages.map((page) => this.guest.grant(page));
  }

  private connectXenbus(): void {
    const { order = 0 } = this.options;
    const data = Buffer.alloc(VbdConnect.SIZE + this.rings.length * (4 + (4 << order)));
    data.writeUInt32LE(this.guest.domid, VbdConnect.domid);
    data.writeUInt32LE(this.vdev, VbdConnect.vdev);
    data.writeUInt32LE(this.rings.length, VbdConnect.rings);
    data.writeUInt32LE(order, VbdConnect.order);
    data.writeUInt32LE(Number(this.narrow), VbdConnect.protocol);
    data.writeUInt32LE(Number(this.options.persistent ?? false), VbdConnect.features);
    let at = VbdConnect.SIZE;
    for (const ring of this.rings) {
      at = data.writeUInt32LE(ring.port, at);
      for (const ref of this.refs(ring)) at = data.writeUInt32LE(ref, at);
    }
    const { status } = this.host.control(IO_VBD_CONNECT, data);
    if (status !== 0) throw new Error(`VBD_CONNECT: ${status}`);
  }

  /** The control page, in the domain's stable memory. */
  get page(): number {
    for (let at = 0x40000000; at < 0x41000000; at += 4096) {
      if (this.host.view.getUint32(at + NoxsCtrlHdr.devid, true) !== this.vdev) continue;
      if (this.host.view.getUint32(at + NoxsVbdCtrlPage.max_rings, true) === 4) return at;
    }
    throw new Error("there is no control page");
  }

  private controlPort = 0;
  /** Times it was told of a change of the control page. */
  told = 0;

  private watch(): void {
    const { view } = this.host;
    const word = this.page + NoxsCtrlHdr.fe_watch_state;
    if (view.getUint32(word, true) !== noxs_watch_updated) return;
    view.setUint32(word, noxs_watch_none, true);
    this.told++;
  }

  /** Notifies the back end without having changed anything. */
  nudge(): void {
    this.guest.send(this.controlPort);
    this.host.settle();
  }

  private connectNoxs(): void {
    const { view } = this.host;
    const page = this.page;
    this.controlPort = this.host.bind(this.guest, this.properties.port, () => this.watch());
    view.setUint32(page + NoxsVbdCtrlPage.num_rings, this.rings.length, true);
    view.setUint32(page + NoxsVbdCtrlPage.ring_page_order, this.options.order ?? 0, true);
    let at = page + NoxsVbdCtrlPage.rings_start_addr;
    for (const ring of this.rings) {
      view.setUint32(at, ring.port, true);
      at += 4;
      for (const ref of this.refs(ring)) {
        view.setUint32(at, ref, true);
        at += 4;
      }
    }
    this.setState(4);
  }

  /** Sets the frontend's state in the control page, with a watch unless `asks` is false; the backend's, afterwards. */
  setState(state: number, asks = true): number {
    this.ask(state, asks);
    this.host.settle();
    return this.state;
  }

  /** The same, without waiting for what comes of it. */
  ask(state: number, asks = true): void {
    const { view } = this.host;
    if (asks) view.setUint32(this.page + NoxsCtrlHdr.fe_watch_state, noxs_watch_requested, true);
    view.setUint32(this.page + NoxsCtrlHdr.fe_state, state, true);
    this.guest.send(this.controlPort);
  }

  /** The back end's state. */
  get state(): number {
    return this.host.view.getUint32(this.page + NoxsCtrlHdr.be_state, true);
  }

  // --- Requests ---------------------------------------------------------------------------------------------------------

  /** Puts a request into a ring with `fill` for its fields. Its id. */
  put(fill: (slot: number, ring: Ring) => void, which = 0): bigint {
    const ring = this.rings[which]!;
    const id = this.nextId++;
    const slot = SRING_HEADER + (ring.produced % ring.slots) * ring.slotBytes;
    for (let i = 0; i < ring.slotBytes; i++) ring.write(slot + i, 0, 1);
    ring.write(slot + (this.narrow ? BlkifRequest32.id : BlkifRequest.id), id, 8);
    fill(slot, ring);
    ring.produced++;
    ring.write(Sring.req_prod, ring.produced >>> 0, 4);
    if (this.notify) this.guest.send(ring.port);
    return id;
  }

  segments(operation: number, sector: number | bigint, segments: Segment[], which = 0): bigint {
    return this.put((slot, ring) => {
      ring.write(slot + BlkifRequest.operation, operation, 1);
      ring.write(slot + BlkifRequest.nr_segments, segments.length, 1);
      ring.write(slot + (this.narrow ? BlkifRequest32.sector_number : BlkifRequest.sector_number), sector, 8);
      let at = slot + (this.narrow ? BlkifRequest32.seg : BlkifRequest.seg);
      for (const { gref, first, last } of segments) {
        if (at + 8 > slot + ring.slotBytes) break;
        ring.write(at, gref, 4);
        ring.write(at + 4, first, 1);
        ring.write(at + 5, last, 1);
        at += 8;
      }
    }, which);
  }

  indirect(
    operation: number,
    sector: number,
    segments: Segment[],
    count = segments.length,
    page = this.guest.page(),
  ): bigint {
    segments.forEach(({ gref, first, last }, i) => {
      if (i >= 512) return;
      page.view.setUint32(i * 8, gref, true);
      page.bytes[i * 8 + 4] = first;
      page.bytes[i * 8 + 5] = last;
    });
    const ref = this.guest.grant(page);
    return this.put((slot, ring) => {
      ring.write(slot, BLKIF_OP_INDIRECT, 1);
      ring.write(slot + BlkifRequestIndirect.indirect_op, operation, 1);
      ring.write(slot + BlkifRequestIndirect.nr_segments, count, 2);
      ring.write(slot + (this.narrow ? BlkifRequest32.sector_number : BlkifRequest.sector_number), sector, 8);
      const at = this.narrow ? BlkifRequestIndirect32.indirect_grefs : BlkifRequestIndirect.indirect_grefs;
      ring.write(slot + at, ref, 4);
    });
  }

  discard(sector: number | bigint, sectors: number | bigint, flag = 0): bigint {
    return this.put((slot, ring) => {
      ring.write(slot, BLKIF_OP_DISCARD, 1);
      ring.write(slot + BlkifRequestDiscard.flag, flag, 1);
      ring.write(slot + (this.narrow ? BlkifRequest32.sector_number : BlkifRequest.sector_number), sector, 8);
      ring.write(slot + (this.narrow ? BlkifRequestDiscard32.nr_sectors : BlkifRequestDiscard.nr_sectors), sectors, 8);
    });
  }

  /** Takes the responses that are there. */
  collect(): void {
    for (const ring of this.rings) {
      for (;;) {
        const produced = ring.read(Sring.rsp_prod, 4);
        if (ring.consumed === produced) break;
        const slot = SRING_HEADER + (ring.consumed % ring.slots) * ring.slotBytes;
        const status = ring.read(slot + BlkifResponse.status, 2);
        const id = BigInt(ring.read(slot, 4)) + (BigInt(ring.read(slot + 4, 4)) << 32n);
        this.responses.push({
          id,
          operation: ring.read(slot + BlkifResponse.operation, 1),
          status: status > 0x7fff ? status - 0x10000 : status,
        });
        ring.consumed++;
        ring.write(Sring.rsp_event, ring.consumed + 1, 4);
      }
    }
  }

  /** Runs until a request is answered: its response. */
  answer(id: bigint): Response {
    for (let i = 0; i < 10_000; i++) {
      this.collect();
      const found = this.responses.filter((response) => response.id === id);
      if (found.length > 1) throw new Error("a request was answered twice");
      if (found.length === 1) return found[0]!;
      if (!this.host.advance(1)) this.host.turn();
    }
    throw new Error("a request was not answered");
  }

  /** Data in pages of its own: the pages, and segments of them. */
  pages(
    data: Uint8Array,
    persistent: Map<number, GuestPage> | null = null,
  ): { pages: GuestPage[]; segments: Segment[] } {
    const pages: GuestPage[] = [];
    const segments: Segment[] = [];
    for (let at = 0; at < data.length; at += 4096) {
      const part = data.subarray(at, at + 4096);
      const page = this.guest.page();
      page.bytes.set(part);
      pages.push(page);
      const gref = this.guest.grant(page);
      persistent?.set(gref, page);
      segments.push({ gref, first: 0, last: part.length / 512 - 1 });
    }
    return { pages, segments };
  }

  write(sector: number, data: Uint8Array, operation = 1): number {
    const { segments } = this.pages(data);
    const id =
      segments.length > 11 ? this.indirect(operation, sector, segments) : this.segments(operation, sector, segments);
    const { status } = this.answer(id);
    for (const { gref } of segments) if (!this.options.persistent) this.guest.endGrant(gref);
    return status;
  }

  read(sector: number, bytes: number): Buffer {
    const { pages, segments } = this.pages(Buffer.alloc(bytes, 0xee));
    const id =
      segments.length > 11
        ? this.indirect(BLKIF_OP_READ, sector, segments)
        : this.segments(BLKIF_OP_READ, sector, segments);
    const { status } = this.answer(id);
    if (status !== 0) throw new Error(`a read failed: ${status}`);
    return Buffer.concat(pages.map((page) => page.bytes)).subarray(0, bytes);
  }

  /** Its entry in VBD_LIST. */
  entry(): Record<"state" | "failure" | "reads" | "writes" | "errors" | "refused" | "writtenBytes", number> {
    const { bulk } = this.host.control(IO_VBD_LIST, Buffer.alloc(4));
    for (let at = 0; at < bulk.length; at += VbdEntry.SIZE) {
      if (bulk.readUInt32LE(at + VbdEntry.domid) !== this.guest.domid) continue;
      if (bulk.readUInt32LE(at + VbdEntry.vdev) !== this.vdev) continue;
      const u64 = (field: number): number => Number(bulk.readBigUInt64LE(at + field));
      return {
        state: bulk.readUInt32LE(at + VbdEntry.state),
        failure: bulk.readUInt32LE(at + VbdEntry.failure),
        reads: u64(VbdEntry.reads),
        writes: u64(VbdEntry.writes),
        errors: u64(VbdEntry.errors),
        refused: u64(VbdEntry.refused),
        writtenBytes: u64(VbdEntry.writtenBytes),
      };
    }
    throw new Error("the vbd is not listed");
  }
}

/** VBD_ADD. */
export function addVbd(
  host: BlockHost,
  domid: number,
  options: FrontendOptions,
): { status: number; properties: { grant: number; port: number; sectors: number; flags: number } } {
  const data = Buffer.alloc(VbdAdd.SIZE);
  data.writeUInt32LE(domid, VbdAdd.domid);
  data.writeUInt32LE(options.vdev ?? 51712, VbdAdd.vdev);
  data.writeUInt32LE(options.model ?? VBD_MODEL_XENBUS, VbdAdd.model);
  data.writeUInt32LE((options.writable ?? true) ? 1 : 0, VbdAdd.flags);
  data.write(options.target, VbdAdd.target, "latin1");
  const { status, payload } = host.control(IO_VBD_ADD, data);
  return {
    status,
    properties:
      status === 0
        ? {
            grant: payload.readUInt32LE(VbdProperties.grant),
            port: payload.readUInt32LE(VbdProperties.port),
            sectors: Number(payload.readBigUInt64LE(VbdProperties.sectors)),
            flags: payload.readUInt32LE(VbdProperties.flags),
          }
        : { grant: 0, port: 0, sectors: 0, flags: 0 },
  };
}
