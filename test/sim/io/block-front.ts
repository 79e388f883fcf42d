/**
 * A block frontend of a simulated guest, and what its disk must hold. No two of its requests in flight touch the same sector, so that
 * every read has one right answer; what was in flight when its ring was closed may be there or not.
 */
import {
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_INDIRECT,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER,
  BLKIF_RSP_ERROR,
  BLKIF_RSP_OKAY,
  BLKIF_SLOT,
  BlkifRequest,
  BlkifRequestDiscard,
  BlkifRequestIndirect,
  BlkifResponse,
  BlkifSegment,
} from "../../../abi/io/blkif.ts";
import { VBD_FE_PERSISTENT } from "../../../abi/io/control-block.ts";
import { NOXS_VBD_FE_persistent, noxs_dev_vbd, NoxsVbdCtrlPage } from "../../../abi/io/noxs.ts";
import { Sring, SRING_HEADER } from "../../../abi/io/ring.ts";
import type { Steps } from "../call.ts";
import { PAGE } from "../ram.ts";
import { Front } from "./front.ts";
import { CONTROL_GFN, type Kit, type Rings } from "./guest.ts";

export const RING_GFN = 10;
const INDIRECT_GFN = 11;
export const DATA_GFN = 12;
export const DATA_PAGES = 18;
export const RING_REF = 8;
const INDIRECT_REF = 9;
export const DATA_REF = 16;
const RING = RING_GFN * PAGE;
const CONTROL = CONTROL_GFN * PAGE;
export const SECTOR = 512;
export const SECTORS = 128;
/** Slots of a ring of one page. */
const SLOTS = 32;
const EMPTY = 0xee;
/** Begins every sector that a good guest writes; its domain id and a number follow. */
export const BLOCK_MARK = Buffer.from("SIMBLOCK");

interface Pending {
  operation: number;
  sector: number;
  sectors: number;
  /** What each sector is to hold, or holds: numbers of contents. */
  contents: number[];
  pages: { page: number; first: number; last: number }[];
  indirect: boolean;
  /** Of a flush: what was written and answered before, by sector. */
  before: Map<number, number>;
}

/** What a sector holds that was written as number `content`; 0: zeroes. */
function fill(bytes: Uint8Array, domain: number, content: number): void {
  if (content === 0) {
    bytes.fill(0);
    return;
  }
  bytes.fill(content & 0xff);
  bytes.set(BLOCK_MARK);
  const view = new DataView(bytes.buffer, bytes.byteOffset, SECTOR);
  view.setUint32(8, domain, true);
  view.setUint32(12, content, true);
}

/** What a vbd is of. */
export interface Target {
  writable: boolean;
  /** Its requests may fail, and discarded sectors hold anything: it is on a disk. */
  onDisk: boolean;
  /** What a sector holds that would be left after a loss of power; null when that is not known. */
  stable: ((sector: number) => Buffer) | null;
}

export class BlockFront extends Front {
  /** What each sector may hold. */
  private readonly disk: Set<number>[] = Array.from({ length: SECTORS }, () => new Set([0]));
  private content = 0;
  private produced = 0;
  private consumed = 0;
  private nextId = 1;
  private readonly pending = new Map<number, Pending>();
  private readonly freePages = Array.from({ length: DATA_PAGES }, (_, i) => i);
  private indirectFree = true;
  private readonly persistent: boolean;

  /** @param disk what its target is */
  constructor(
    kit: Kit,
    private readonly target: Target,
  ) {
    super(kit, noxs_dev_vbd);
    this.persistent = kit.scene.random.oneIn(3);
  }

  get unanswered(): number {
    return this.pending.size;
  }

  // --- Connecting -------------------------------------------------------------------------------------------------------------

  *prepare(): Steps<void> {
    const { kit } = this;
    kit.bytes(RING_GFN).fill(0);
    kit.set32(RING + Sring.req_event, 1);
    kit.set32(RING + Sring.rsp_event, 1);
    kit.grant(RING_REF, RING_GFN);
    this.port = yield* kit.allocPort();
    if (this.port < 0) throw this.wrong(`no port: ${this.port}`);
    this.produced = this.consumed = 0;
  }

  writeRings(): void {
    const { kit } = this;
    kit.set32(CONTROL + NoxsVbdCtrlPage.num_rings, 1);
    kit.set32(CONTROL + NoxsVbdCtrlPage.ring_page_order, 0);
    kit.set32(CONTROL + NoxsVbdCtrlPage.rings_start_addr, this.port);
    kit.set32(CONTROL + NoxsVbdCtrlPage.rings_start_addr + 4, RING_REF);
    const feature = kit.bytes(CONTROL_GFN);
    feature[NoxsVbdCtrlPage.fe_feat] = this.persistent ? NOXS_VBD_FE_persistent : 0;
  }

  asks(): Rings {
    return { refs: [RING_REF], port: this.port, features: this.persistent ? VBD_FE_PERSISTENT : 0 };
  }

  protected release(): void {
    const { kit } = this;
    kit.endGrant(RING_REF, "the ring");
    for (const { operation, sector, contents, pages, indirect } of this.pending.values()) {
      if (isWrite(operation)) contents.forEach((content, i) => this.disk[sector + i]!.add(content));
      for (const { page } of pages) this.freePages.push(page);
      if (indirect) kit.endGrant(INDIRECT_REF, "the segments of a closed ring");
    }
    this.indirectFree = true;
    this.pending.clear();
    for (let page = 0; page < DATA_PAGES; page++) {
      if (kit.granted(DATA_REF + page)) kit.endGrant(DATA_REF + page, "a page of a closed ring");
    }
  }

  // --- Requests ---------------------------------------------------------------------------------------------------------------

  private isFree(sector: number, sectors: number): boolean {
    return ![...this.pending.values()].some((p) => p.sector < sector + sectors && sector < p.sector + p.sectors);
  }

  /** Puts a request of a random kind into the ring; false: no room for it. */
  put(): boolean {
    const { kit } = this;
    const { random } = kit.scene;
    if (this.produced - this.consumed === SLOTS) return false;
    const kind = random.below(12);
    const operation =
      kind < 5
        ? BLKIF_OP_READ
        : kind < 9
          ? BLKIF_OP_WRITE
          : [BLKIF_OP_WRITE_BARRIER, BLKIF_OP_FLUSH_DISKCACHE, BLKIF_OP_DISCARD][kind - 9]!;
    if (operation === BLKIF_OP_DISCARD && this.target.onDisk) return false;
    const sectors = operation === BLKIF_OP_FLUSH_DISKCACHE ? 0 : 1 + random.below(random.oneIn(4) ? 100 : 16);
    if (sectors > SECTORS) return false;
    const sector = random.below(SECTORS - sectors + 1);
    if (!this.isFree(sector, sectors)) return false;
    return this.request(operation, sector, sectors);
  }

  /** Reads sectors, if none of them is in flight. */
  read(sector: number, sectors: number): boolean {
    return this.isFree(sector, sectors) && this.request(BLKIF_OP_READ, sector, sectors);
  }

  /** The pieces of a request's data: each within a page. */
  private pieces(sectors: number): Pending["pages"] | null {
    const { random } = this.kit.scene;
    const pages: Pending["pages"] = [];
    for (let left = sectors; left > 0;) {
      const page = this.freePages[pages.length];
      if (page === undefined) return null;
      const first = random.oneIn(3) ? random.below(8) : 0;
      const count = Math.min(left, 1 + (random.oneIn(3) ? random.below(8 - first) : 7 - first));
      pages.push({ page, first, last: first + count - 1 });
      left -= count;
    }
    return pages;
  }

  private request(operation: number, sector: number, sectors: number): boolean {
    const { kit } = this;
    const hasData = operation !== BLKIF_OP_DISCARD;
    const pages = hasData ? this.pieces(sectors) : [];
    if (pages === null) return false;
    const indirect = pages.length > 11 || (pages.length > 0 && kit.scene.random.oneIn(8));
    const plain = operation === BLKIF_OP_READ || operation === BLKIF_OP_WRITE;
    if (indirect && (!this.indirectFree || !plain)) return false;
    this.freePages.splice(0, pages.length);
    const write = isWrite(operation);
    const contents = Array.from({ length: sectors }, () =>
      operation === BLKIF_OP_DISCARD || !write ? 0 : ++this.content,
    );
    let done = 0;
    for (const { page, first, last } of pages) {
      const bytes = kit.bytes(DATA_GFN + page);
      bytes.fill(EMPTY);
      for (let i = first; write && i <= last; i++) {
        fill(bytes.subarray(i * SECTOR, (i + 1) * SECTOR), kit.me.id, contents[done++]!);
      }
      if (!kit.granted(DATA_REF + page)) kit.grant(DATA_REF + page, DATA_GFN + page, write && !this.persistent);
    }
    const slot = RING + SRING_HEADER + (this.produced++ % SLOTS) * BLKIF_SLOT;
    const id = this.nextId++;
    const request = kit.cpu.look(slot, BLKIF_SLOT);
    request.setUint8(BlkifRequest.operation, indirect ? BLKIF_OP_INDIRECT : operation);
    request.setBigUint64(BlkifRequest.id, BigInt(id), true);
    request.setBigUint64(BlkifRequest.sector_number, BigInt(sector), true);
    if (operation === BLKIF_OP_DISCARD) {
      request.setUint8(BlkifRequestDiscard.flag, 0);
      request.setBigUint64(BlkifRequestDiscard.nr_sectors, BigInt(sectors), true);
    } else if (indirect) {
      request.setUint8(BlkifRequestIndirect.indirect_op, operation);
      request.setUint16(BlkifRequestIndirect.nr_segments, pages.length, true);
      request.setUint32(BlkifRequestIndirect.indirect_grefs, INDIRECT_REF, true);
      kit.grant(INDIRECT_REF, INDIRECT_GFN, true);
      this.indirectFree = false;
    } else request.setUint8(BlkifRequest.nr_segments, pages.length);
    const segments = indirect
      ? kit.cpu.look(INDIRECT_GFN * PAGE, PAGE)
      : kit.cpu.look(slot + BlkifRequest.seg, BLKIF_SLOT - BlkifRequest.seg);
    pages.forEach(({ page, first, last }, i) => {
      segments.setUint32(i * BlkifSegment.SIZE + BlkifSegment.gref, DATA_REF + page, true);
      segments.setUint8(i * BlkifSegment.SIZE + BlkifSegment.first_sect, first);
      segments.setUint8(i * BlkifSegment.SIZE + BlkifSegment.last_sect, last);
    });
    const before = new Map<number, number>();
    if (operation === BLKIF_OP_FLUSH_DISKCACHE) {
      this.disk.forEach((may, at) => {
        if (may.size === 1 && this.isFree(at, 1)) before.set(at, [...may][0]!);
      });
    }
    this.pending.set(id, { operation, sector, sectors, contents, pages, indirect, before });
    return true;
  }

  *push(): Steps<void> {
    yield* this.pushRing(RING, this.produced);
  }

  /** Takes the responses. */
  *poll(): Steps<void> {
    const { kit } = this;
    while (true) {
      const produced = kit.get32(RING + Sring.rsp_prod);
      if ((produced - this.consumed) >>> 0 > this.produced - this.consumed)
        throw this.wrong("more responses than requests");
      while (this.consumed !== produced) {
        const slot = kit.cpu.look(RING + SRING_HEADER + (this.consumed++ % SLOTS) * BLKIF_SLOT, BlkifResponse.SIZE);
        this.answered(
          Number(slot.getBigUint64(BlkifResponse.id, true)),
          slot.getUint8(BlkifResponse.operation),
          slot.getInt16(BlkifResponse.status, true),
        );
      }
      kit.set32(RING + Sring.rsp_event, this.consumed + 1);
      if (kit.get32(RING + Sring.rsp_prod) === this.consumed) break;
    }
    if (this.unanswered === 0) kit.me.awaits = null;
    yield* this.push();
  }

  private answered(id: number, operation: number, status: number): void {
    const { kit } = this;
    const request = this.pending.get(id);
    if (request === undefined) throw this.wrong(`a response to request ${id}, which waits for none`);
    this.pending.delete(id);
    const write = isWrite(request.operation);
    const wanted = this.target.writable || !write;
    const failed = wanted && status === BLKIF_RSP_ERROR && this.target.onDisk;
    if ((status === BLKIF_RSP_OKAY) !== wanted && !failed)
      throw this.wrong(`operation ${request.operation} has status ${status}`);
    if (failed) kit.scene.counts["disk errors"]!++;
    else if (request.operation === BLKIF_OP_FLUSH_DISKCACHE) this.flushed(request.before);
    if (operation !== request.operation) throw this.wrong(`operation ${request.operation} answered as ${operation}`);
    if (request.indirect) {
      kit.endGrant(INDIRECT_REF, "an answered request's segments");
      this.indirectFree = true;
    }
    let done = 0;
    for (const { page, first, last } of request.pages) {
      if (!this.persistent) kit.endGrant(DATA_REF + page, "an answered request's page");
      const bytes = Buffer.from(kit.bytes(DATA_GFN + page));
      const isRead = request.operation === BLKIF_OP_READ;
      for (let i = 0; i < 8; i++) {
        const sector = bytes.subarray(i * SECTOR, (i + 1) * SECTOR);
        if (i < first || i > last) {
          if (sector.some((byte) => byte !== EMPTY)) throw this.wrong("a page was written beyond its segment");
        } else if (isRead && !failed) this.check(request.sector + done++, sector);
      }
      this.freePages.push(page);
    }
    if (write && wanted) {
      request.contents.forEach((content, i) => {
        if (failed) this.disk[request.sector + i]!.add(content);
        else this.disk[request.sector + i] = new Set([content]);
      });
    }
    kit.scene.counts["block requests"]!++;
  }

  /** A flush was answered: what was written and answered before it was asked for is on the disk, unless written again since. */
  private flushed(before: Map<number, number>): void {
    const { stable } = this.target;
    if (stable === null) return;
    const expected = Buffer.alloc(SECTOR);
    for (const [sector, content] of before) {
      const now = this.disk[sector]!;
      if (now.size !== 1 || !now.has(content) || !this.isFree(sector, 1)) continue;
      fill(expected, this.kit.me.id, content);
      if (!expected.equals(stable(sector))) throw this.wrong(`sector ${sector} is not on the disk after a flush`);
    }
    this.kit.scene.counts["flushes"]!++;
  }

  /** Holds a sector that was read against what it may hold; from then on it holds that. */
  private check(sector: number, bytes: Buffer): void {
    const expected = Buffer.alloc(SECTOR);
    for (const content of this.disk[sector]!) {
      fill(expected, this.kit.me.id, content);
      if (!expected.equals(bytes)) continue;
      this.disk[sector] = new Set([content]);
      return;
    }
    const may = [...this.disk[sector]!].join(", ");
    throw this.wrong(`sector ${sector} holds ${bytes.subarray(0, 16).toString("hex")}, not ${may}`);
  }
}

function isWrite(operation: number): boolean {
  return operation === BLKIF_OP_WRITE || operation === BLKIF_OP_WRITE_BARRIER || operation === BLKIF_OP_DISCARD;
}
