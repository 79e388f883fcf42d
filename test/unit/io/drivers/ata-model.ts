/** A model of a PCI IDE controller with disks on its primary channel: command block, PIO, bus master (the documents that abi/io/ata.ts names). */
import {
  Ata,
  ATA_BM_ACTIVE,
  ATA_BM_ERROR,
  ATA_BM_INTERRUPT,
  ATA_BM_READ,
  ATA_BM_START,
  ATA_CONTROL_SRST,
  ATA_FLUSH_CACHE,
  ATA_FLUSH_CACHE_EXT,
  ATA_IDENTIFY_DEVICE,
  ATA_PRD_LAST,
  ATA_READ_DMA,
  ATA_READ_DMA_EXT,
  ATA_READ_SECTORS,
  ATA_READ_SECTORS_EXT,
  ATA_WRITE_DMA,
  ATA_WRITE_DMA_EXT,
  ATA_WRITE_SECTORS,
  ATA_WRITE_SECTORS_EXT,
  AtaBusMaster,
  AtaIdentify,
} from "../../../../abi/io/ata.ts";
import type { IoMachine } from "./machine.ts";
import { PciFunction } from "./pci-function.ts";
import { DeviceMemory, type Piece } from "./virtio-ring.ts";

const SECTOR = 512;
const BSY = 0x80;
const READY = 0x50;
const DRQ = 0x08;
const ERR = 0x01;

export interface DiskOptions {
  sectors?: number;
  wide?: boolean;
  cache?: boolean;
  /** Changes of its IDENTIFY words. */
  words?: Record<number, number>;
  atapi?: boolean;
}

export class AtaDiskModel {
  readonly data: Buffer;
  readonly stable: Buffer;
  readonly bad = new Set<number>();
  flushes = 0;

  constructor(readonly options: DiskOptions = {}) {
    this.data = Buffer.alloc((options.sectors ?? 2048) * SECTOR);
    this.stable = Buffer.alloc(this.data.length);
  }

  identify(): Buffer {
    const words = Buffer.alloc(512);
    const sectors = this.data.length / SECTOR;
    const { wide = true, cache = true } = this.options;
    words.writeUInt16LE(0x300, AtaIdentify.capabilities * 2);
    words.writeUInt32LE(Math.min(sectors, 0x0fffffff), AtaIdentify.sectors28 * 2);
    words.writeUInt16LE(0x4000 | (wide ? 0x2400 : 0) | 0x1000, AtaIdentify.commandSets * 2);
    words.writeUInt16LE(cache ? 0x20 : 0, AtaIdentify.enabled * 2);
    if (wide) words.writeBigUInt64LE(BigInt(sectors), AtaIdentify.sectors48 * 2);
    for (const [word, value] of Object.entries(this.options.words ?? {})) words.writeUInt16LE(value, Number(word) * 2);
    return words;
  }
}

export class IdeModel extends PciFunction {
  readonly memory = new DeviceMemory(this);
  readonly commands: number[] = [];
  // Misbehaviour.
  silent = false;
  /** It asks for data again and again. */
  greedy = false;
  dmaFails = false;
  resetWorks = true;
  resets = 0;
  private readonly regs = { features: 0, count: [0, 0], low: [0, 0], mid: [0, 0], high: [0, 0], device: 0 };
  private status = READY;
  private buffer: Buffer = Buffer.alloc(0);
  private position = 0;
  private sector = 0;
  private left = 0;
  private writing = false;
  private master = { command: 0, status: 0, table: 0 };
  private waiting: (() => void) | null = null;

  constructor(readonly disks: (AtaDiskModel | null)[]) {
    super(0x8086, 0x7010, 0x010180);
    this.bar(4, "io", 16, 0xc000n);
    this.gsis.push(14);
  }

  /** Puts the channel's ports into the machine. */
  wire(machine: IoMachine): this {
    machine.ports.push(
      {
        first: 0x1f0,
        count: 8,
        read: (port, size) => this.read(port - 0x1f0, size),
        write: (port, size, value) => this.write(port - 0x1f0, size, value),
      },
      { first: 0x3f6, count: 1, read: () => this.status, write: (_port, _size, value) => this.control(value) },
    );
    return this;
  }

  private get disk(): AtaDiskModel | null {
    return this.disks[(this.regs.device >> 4) & 1] ?? null;
  }

  private control(value: number): void {
    if (value & ATA_CONTROL_SRST) {
      this.resets++;
      this.status = this.resetWorks ? READY : BSY;
      this.waiting = null;
    }
  }

  private read(register: number, size: number): number {
    if (this.disks.every((disk) => disk === null)) return 0xff;
    if (this.disk === null) return 0;
    switch (register) {
      case Ata.data:
        return size === 2 ? this.readData() : 0;
      case Ata.lbaMid:
        return this.disk.options.atapi ? 0x14 : this.regs.mid[0]!;
      case Ata.lbaHigh:
        return this.disk.options.atapi ? 0xeb : this.regs.high[0]!;
      case Ata.status:
        return this.status;
      default:
        return 0;
    }
  }

  private write(register: number, size: number, value: number): void {
    const shift = (pair: number[]): void => {
      pair[1] = pair[0]!;
      pair[0] = value & 0xff;
    };
    if (this.status & BSY && register !== Ata.command)
      this.machine.violation(`register ${register} written while busy`);
    if (register === Ata.data) this.writeData(size, value);
    else if (register === Ata.features) this.regs.features = value;
    else if (register === Ata.count) shift(this.regs.count);
    else if (register === Ata.lbaLow) shift(this.regs.low);
    else if (register === Ata.lbaMid) shift(this.regs.mid);
    else if (register === Ata.lbaHigh) shift(this.regs.high);
    else if (register === Ata.device) this.regs.device = value;
    else this.command(value);
  }

  private tell(): void {
    this.master.status |= ATA_BM_INTERRUPT;
    this.interrupt(14);
  }

  // --- Commands -----------------------------------------------------------------------------------------------------------------

  private command(command: number): void {
    const disk = this.disk;
    if (disk === null) return;
    this.commands.push(command);
    if (this.silent) {
      this.status = BSY;
      return;
    }
    const wide = [ATA_READ_DMA_EXT, ATA_WRITE_DMA_EXT, ATA_READ_SECTORS_EXT, ATA_WRITE_SECTORS_EXT].includes(command);
    const { count, low, mid, high, device } = this.regs;
    this.sector = wide
      ? low[0]! + mid[0]! * 256 + high[0]! * 65536 + low[1]! * 2 ** 24 + mid[1]! * 2 ** 32 + high[1]! * 2 ** 40
      : low[0]! + mid[0]! * 256 + high[0]! * 65536 + (device & 15) * 2 ** 24;
    this.left = wide ? count[0]! + count[1]! * 256 || 65536 : count[0]! || 256;
    switch (command) {
      case ATA_IDENTIFY_DEVICE:
        if (disk.options.atapi) this.fail();
        else this.offer(disk.identify());
        break;
      case ATA_FLUSH_CACHE:
      case ATA_FLUSH_CACHE_EXT:
        disk.data.copy(disk.stable);
        disk.flushes++;
        this.status = READY;
        this.tell();
        break;
      case ATA_READ_SECTORS:
      case ATA_READ_SECTORS_EXT:
        this.writing = false;
        this.nextRead(disk);
        break;
      case ATA_WRITE_SECTORS:
      case ATA_WRITE_SECTORS_EXT:
        this.writing = true;
        this.buffer = Buffer.alloc(SECTOR);
        this.position = 0;
        this.status = READY | DRQ;
        break;
      case ATA_READ_DMA:
      case ATA_READ_DMA_EXT:
      case ATA_WRITE_DMA:
      case ATA_WRITE_DMA_EXT:
        this.status = READY | DRQ;
        this.waiting = () => this.dma(disk, command === ATA_READ_DMA || command === ATA_READ_DMA_EXT);
        break;
      default:
        this.fail();
    }
  }

  private fail(): void {
    this.status = READY | ERR;
    this.left = 0;
    this.tell();
  }

  private offer(data: Buffer): void {
    this.buffer = data;
    this.position = 0;
    this.writing = false;
    this.status = READY | DRQ;
    this.tell();
  }

  private nextRead(disk: AtaDiskModel): void {
    if (disk.bad.has(this.sector) || (this.sector + 1) * SECTOR > disk.data.length) this.fail();
    else this.offer(Buffer.from(disk.data.subarray(this.sector * SECTOR, (this.sector + 1) * SECTOR)));
  }

  private readData(): number {
    if (!(this.status & DRQ)) this.machine.violation("data read that was not offered");
    const value = this.position + 2 <= this.buffer.length ? this.buffer.readUInt16LE(this.position) : 0;
    this.position += 2;
    if (this.position < this.buffer.length) return value;
    this.status = READY;
    const identifying = this.commands.at(-1) === ATA_IDENTIFY_DEVICE;
    if (!identifying && (--this.left > 0 || this.greedy)) {
      this.sector++;
      this.nextRead(this.disk!);
    }
    return value;
  }

  private writeData(size: number, value: number): void {
    if (size !== 2 || !(this.status & DRQ) || !this.writing) {
      this.machine.violation("data written that was not asked for");
      return;
    }
    this.buffer.writeUInt16LE(value & 0xffff, this.position);
    this.position += 2;
    if (this.position < SECTOR) return;
    const disk = this.disk!;
    if (disk.bad.has(this.sector) || (this.sector + 1) * SECTOR > disk.data.length) {
      this.fail();
      return;
    }
    this.buffer.copy(disk.data, this.sector * SECTOR);
    this.sector++;
    this.position = 0;
    this.status = --this.left > 0 || this.greedy ? READY | DRQ : READY;
    this.tell();
  }

  // --- Bus master -----------------------------------------------------------------------------------------------------------------

  override barRead(_bar: number, offset: number): number {
    if (offset === AtaBusMaster.command) return this.master.command;
    return offset === AtaBusMaster.status ? this.master.status : 0;
  }

  override barWrite(_bar: number, offset: number, size: number, value: number | bigint): void {
    const bits = Number(value);
    if (offset === AtaBusMaster.table && size === 4) this.master.table = bits;
    else if (offset === AtaBusMaster.status) this.master.status &= ~(bits & (ATA_BM_ERROR | ATA_BM_INTERRUPT));
    else if (offset === AtaBusMaster.command) {
      this.master.command = bits;
      if (bits & ATA_BM_START) {
        this.master.status |= ATA_BM_ACTIVE;
        const waiting = this.waiting;
        this.waiting = null;
        waiting?.();
      } else this.master.status &= ~ATA_BM_ACTIVE;
    }
  }

  private regions(): Piece[] {
    const pieces: Piece[] = [];
    for (let i = 0; i < 512; i++) {
      const entry = this.memory.view(BigInt(this.master.table + i * 8), 8);
      const address = entry.getUint32(0, true);
      const bytes = entry.getUint16(4, true) || 65536;
      if (Math.floor(address / 65536) !== Math.floor((address + bytes - 1) / 65536))
        this.machine.violation("a region across 64 KiB");
      if (address & 1 || bytes & 1) this.machine.violation("an odd region");
      pieces.push({ machine: BigInt(address), bytes });
      if (entry.getUint16(6, true) & ATA_PRD_LAST) return pieces;
    }
    this.machine.violation("a table without an end");
    return [];
  }

  private dma(disk: AtaDiskModel, read: boolean): void {
    if (((this.master.command & ATA_BM_READ) !== 0) !== read)
      this.machine.violation("the bus master goes the other way");
    if (this.dmaFails) {
      this.status = READY;
      this.master.status |= ATA_BM_ERROR;
      this.tell();
      return;
    }
    const pieces = this.regions();
    const bytes = this.left * SECTOR;
    if (pieces.reduce((sum, piece) => sum + piece.bytes, 0) !== bytes)
      this.machine.violation("regions of another size");
    for (let s = this.sector; s < this.sector + this.left; s++) {
      if (disk.bad.has(s) || (s + 1) * SECTOR > disk.data.length) {
        this.fail();
        return;
      }
    }
    const at = this.sector * SECTOR;
    if (read) this.memory.write(pieces, disk.data.subarray(at, at + bytes));
    else this.memory.read(pieces).copy(disk.data, at);
    this.status = READY;
    this.master.status &= ~ATA_BM_ACTIVE;
    this.tell();
  }
}
