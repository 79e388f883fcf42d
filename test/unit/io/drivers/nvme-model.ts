/** A model of an NVM Express controller with one namespace, from NVM Express 1.4: registers, queues, PRPs, and the commands that the driver uses. */
import {
  Nvme,
  NVME_CC_EN,
  NVME_CREATE_CQ,
  NVME_CREATE_SQ,
  NVME_CSTS_RDY,
  NVME_DATASET_MANAGEMENT,
  NVME_FLUSH,
  NVME_IDENTIFY,
  NVME_IDENTIFY_CONTROLLER,
  NVME_READ,
  NVME_RW_FUA,
  NVME_WRITE,
  NVME_WRITE_ZEROES,
  NvmeIdentifyController,
  NvmeIdentifyNamespace,
} from "../../../../abi/io/nvme.ts";
import { PciFunction } from "./pci-function.ts";
import { DeviceMemory, type Piece } from "./virtio-ring.ts";

const PAGE = 4096;
const INVALID_OPCODE = 1;
const LBA_RANGE = 0x80;
const READ_ERROR = 0x281;

interface Queue {
  base: bigint;
  size: number;
  head: number;
  tail: number;
  /** Of a completion queue. */
  phase: number;
}

export interface NvmeOptions {
  blocks?: number;
  blockShift?: number;
  mdts?: number;
  stride?: number;
  entries?: number;
  oncs?: number;
  vwc?: number;
  namespaces?: number;
  metadata?: number;
  capabilities?: bigint;
  sqes?: number;
  nsattr?: number;
}

export class NvmeModel extends PciFunction {
  readonly memory = new DeviceMemory(this);
  readonly data: Buffer;
  readonly stable: Buffer;
  readonly bad = new Set<number>();
  /** Opcodes of I/O commands, and pages that each moved. */
  readonly commands: number[] = [];
  readonly pages: number[] = [];
  starts = 0;
  /** Commands wait in `kept`. */
  keep = false;
  readonly kept: { view: DataView; queue: number }[] = [];
  // Misbehaviour.
  starting = true;
  stopping = true;
  adminSilent = false;
  fatal = false;
  private cc = 0;
  private stuckReady = false;
  /** INTMS, INTMC. */
  private masked = false;
  private readonly registers = new Map<number, number>();
  private readonly submissions = new Map<number, Queue>();
  private readonly completions = new Map<number, Queue>();

  constructor(readonly options: NvmeOptions = {}) {
    super(0x1b36, 0x0010, 0x010802);
    this.bar(0, "memory64", 0x4000, 0xfe00_4000n);
    this.bar(4, "memory32", 0x1000, 0xfe01_0000n);
    this.msix(4, 4, 0);
    this.pin(1, 11);
    const bytes = (options.blocks ?? 4096) * 2 ** this.shift;
    this.data = Buffer.alloc(bytes > 2 ** 26 ? 0 : bytes);
    this.stable = Buffer.alloc(this.data.length);
  }

  private get shift(): number {
    return this.options.blockShift ?? 9;
  }

  private get capabilities(): bigint {
    const { entries = 1024, stride = 0 } = this.options;
    return (
      this.options.capabilities ??
      BigInt(entries - 1) | (1n << 16n) | (4n << 24n) | (BigInt(stride) << 32n) | (1n << 37n)
    );
  }

  private get ready(): boolean {
    return (this.cc & NVME_CC_EN) !== 0 && this.starting;
  }

  override barRead(_bar: number, offset: number): number {
    if (offset === Nvme.CAP) return Number(this.capabilities & 0xffffffffn);
    if (offset === Nvme.CAP + 4) return Number(this.capabilities >> 32n);
    if (offset === Nvme.CC) return this.cc;
    if (offset === Nvme.CSTS) return (this.ready || this.stuckReady ? NVME_CSTS_RDY : 0) | (this.fatal ? 2 : 0);
    return this.registers.get(offset) ?? 0;
  }

  override barWrite(_bar: number, offset: number, _size: number, value: number | bigint): void {
    const bits = Number(value) >>> 0;
    if (offset === Nvme.CC) this.writeConfiguration(bits);
    else if (offset === Nvme.INTMS) this.masked = true;
    else if (offset === Nvme.INTMC) {
      this.masked = false;
      if ([...this.completions.values()].some((queue) => queue.head !== queue.tail)) this.interrupt(0);
    } else if (offset < Nvme.DOORBELLS) this.registers.set(offset, bits);
    else this.ring(offset - Nvme.DOORBELLS, bits);
  }

  private writeConfiguration(bits: number): void {
    const was = this.cc & NVME_CC_EN;
    this.stuckReady = was !== 0 && !(bits & NVME_CC_EN) && !this.stopping;
    this.cc = bits;
    if (!(bits & NVME_CC_EN)) {
      this.submissions.clear();
      this.completions.clear();
      this.kept.length = 0;
      return;
    }
    if (was) return;
    this.starts++;
    if ((bits & 0xfffffe) !== 0x460000) this.machine.violation(`configuration ${bits.toString(16)}`);
    const sizes = this.registers.get(Nvme.AQA) ?? 0;
    const base = (register: number): bigint =>
      (BigInt(this.registers.get(register + 4) ?? 0) << 32n) | BigInt(this.registers.get(register) ?? 0);
    this.submissions.set(0, { base: base(Nvme.ASQ), size: (sizes & 0xfff) + 1, head: 0, tail: 0, phase: 1 });
    this.completions.set(0, { base: base(Nvme.ACQ), size: (sizes >>> 16) + 1, head: 0, tail: 0, phase: 1 });
  }

  private ring(offset: number, value: number): void {
    const stride = 4 * 2 ** (this.options.stride ?? 0);
    const index = offset / stride;
    const id = Math.floor(index / 2);
    const queue = (index % 2 === 0 ? this.submissions : this.completions).get(id);
    if (!queue || value >= queue.size) {
      this.machine.violation(`doorbell ${index} rung with ${value}`);
      return;
    }
    if (index % 2 === 1) {
      queue.head = value;
      return;
    }
    queue.tail = value;
    while (queue.head !== queue.tail) {
      const source = this.memory.view(queue.base + BigInt(queue.head * 64), 64);
      const view = new DataView(source.buffer.slice(source.byteOffset, source.byteOffset + 64));
      queue.head = (queue.head + 1) % queue.size;
      if (id === 0) {
        if (!this.adminSilent) this.complete(0, view, this.admin(view));
      } else if (this.keep) this.kept.push({ view, queue: id });
      else this.complete(id, view, this.perform(view));
    }
  }

  /** Carries out what was kept, in any order. */
  release(order = this.kept.map((_, i) => i)): void {
    const kept = this.kept.splice(0);
    for (const i of order) this.complete(kept[i]!.queue, kept[i]!.view, this.perform(kept[i]!.view));
  }

  /** Writes a completion, for the command id given. */
  answer(queue: number, id: number, status: number): void {
    const q = this.completions.get(queue)!;
    const entry = this.memory.view(q.base + BigInt(q.tail * 16), 16);
    entry.setUint16(8, this.submissions.get(queue)?.head ?? 0, true);
    entry.setUint16(10, queue, true);
    entry.setUint16(12, id, true);
    entry.setUint16(14, (status << 1) | q.phase, true);
    q.tail = (q.tail + 1) % q.size;
    if (q.tail === 0) q.phase ^= 1;
    if (q.tail === q.head) this.machine.violation("a completion queue overflows");
    if (!this.masked || this.machine.gives.msix) this.interrupt(0);
  }

  private complete(queue: number, view: DataView, status: number): void {
    this.answer(queue, view.getUint16(2, true), status);
  }

  private admin(view: DataView): number {
    const prp = view.getBigUint64(24, true);
    const cdw10 = view.getUint32(40, true);
    const cdw11 = view.getUint32(44, true);
    const size = (cdw10 >>> 16) + 1;
    switch (view.getUint8(0)) {
      case NVME_IDENTIFY: {
        const data =
          cdw10 === NVME_IDENTIFY_CONTROLLER
            ? this.describeController()
            : this.describeNamespace(view.getUint32(4, true));
        this.memory.write([{ machine: prp, bytes: PAGE }], data);
        return 0;
      }
      case NVME_CREATE_CQ:
        if ((cdw11 & 3) !== 3)
          this.machine.violation("a completion queue that is not contiguous, or does not interrupt");
        this.completions.set(cdw10 & 0xffff, { base: prp, size, head: 0, tail: 0, phase: 1 });
        return size > (this.options.entries ?? 1024) ? 0x102 : 0;
      case NVME_CREATE_SQ:
        if ((cdw11 & 1) !== 1 || !this.completions.has(cdw11 >>> 16))
          this.machine.violation("a submission queue without its other half");
        this.submissions.set(cdw10 & 0xffff, { base: prp, size, head: 0, tail: 0, phase: 1 });
        return 0;
      default:
        return INVALID_OPCODE;
    }
  }

  private describeController(): Buffer {
    const data = Buffer.alloc(PAGE);
    const { mdts = 7, oncs = 0xc, vwc = 1, namespaces = 1, sqes = 0x66 } = this.options;
    data[NvmeIdentifyController.mdts] = mdts;
    data[NvmeIdentifyController.sqes] = sqes;
    data[NvmeIdentifyController.cqes] = 0x44;
    data.writeUInt32LE(namespaces, NvmeIdentifyController.nn);
    data.writeUInt16LE(oncs, NvmeIdentifyController.oncs);
    data[NvmeIdentifyController.vwc] = vwc;
    return data;
  }

  private describeNamespace(id: number): Buffer {
    const data = Buffer.alloc(PAGE);
    if (id !== 1) return data;
    data.writeBigUInt64LE(BigInt(this.options.blocks ?? 4096), NvmeIdentifyNamespace.nsze);
    data[NvmeIdentifyNamespace.flbas] = 2;
    data.writeUInt32LE((this.shift << 16) | (this.options.metadata ?? 0), NvmeIdentifyNamespace.lbaf + 8);
    data[NvmeIdentifyNamespace.nsattr] = this.options.nsattr ?? 0;
    return data;
  }

  /** The pages that a command's PRPs name. */
  private pieces(view: DataView, bytes: number): Piece[] {
    const first = view.getBigUint64(24, true);
    const second = view.getBigUint64(32, true);
    if (first % 4n !== 0n) this.machine.violation("a PRP that is not aligned");
    const pieces: Piece[] = [{ machine: first, bytes: Math.min(bytes, PAGE - Number(first & 0xfffn)) }];
    let left = bytes - pieces[0]!.bytes;
    const count = Math.ceil(left / PAGE);
    for (let i = 0; i < count; i++) {
      if (count > 1 && i * 8 >= PAGE) this.machine.violation("a list that goes beyond its page");
      const page = count === 1 ? second : this.memory.view(second + BigInt(i * 8), 8).getBigUint64(0, true);
      if ((page & 0xfffn) !== 0n) this.machine.violation("a PRP behind the first that is not a page");
      pieces.push({ machine: page, bytes: Math.min(left, PAGE) });
      left -= PAGE;
    }
    return pieces;
  }

  private perform(view: DataView): number {
    const opcode = view.getUint8(0);
    if (view.getUint32(4, true) !== 1) this.machine.violation("another namespace");
    this.commands.push(opcode);
    const block = Number(view.getBigUint64(40, true));
    const flags = view.getUint32(48, true);
    const count = (flags & 0xffff) + 1;
    const from = block * 2 ** this.shift;
    const bytes = count * 2 ** this.shift;
    switch (opcode) {
      case NVME_FLUSH:
        this.data.copy(this.stable);
        return 0;
      case NVME_READ:
      case NVME_WRITE: {
        if (from + bytes > this.data.length) return LBA_RANGE;
        const { mdts = 7 } = this.options;
        const pieces = this.pieces(view, bytes);
        this.pages.push(pieces.length);
        if (mdts !== 0 && bytes > PAGE * 2 ** mdts) this.machine.violation("more than a command may move");
        for (let b = block; b < block + count; b++) if (this.bad.has(b)) return READ_ERROR;
        if (opcode === NVME_READ) this.memory.write(pieces, this.data.subarray(from, from + bytes));
        else this.memory.read(pieces).copy(this.data, from);
        if (flags & NVME_RW_FUA) this.data.copy(this.stable, from, from, from + bytes);
        return 0;
      }
      case NVME_WRITE_ZEROES:
        this.data.fill(0, from, from + bytes);
        if (flags & NVME_RW_FUA) this.stable.fill(0, from, from + bytes);
        return 0;
      case NVME_DATASET_MANAGEMENT: {
        const range = this.memory.read([{ machine: view.getBigUint64(24, true), bytes: 16 }]);
        const start = Number(range.readBigUInt64LE(8)) * 2 ** this.shift;
        this.data.fill(0xdd, start, start + range.readUInt32LE(4) * 2 ** this.shift);
        return view.getUint32(44, true) === 4 && view.getUint32(40, true) === 0 ? 0 : 2;
      }
      default:
        return INVALID_OPCODE;
    }
  }
}
