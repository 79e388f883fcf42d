/** A model of an AHCI adapter with disks on its first ports, from AHCI 1.3.1: registers, command lists, tables and FISes. */
import {
  Ahci,
  AHCI_BAR,
  AHCI_CAP_S64A,
  AHCI_CMD_CR,
  AHCI_CMD_FR,
  AHCI_CMD_FRE,
  AHCI_CMD_ST,
  AHCI_GHC_IE,
  AHCI_HEADER_WRITE,
  AHCI_PORT_DHRS,
  AHCI_PORT_TFES,
  AHCI_SIG_ATA,
  AhciPortRegister as Port,
} from "../../../../abi/io/ahci.ts";
import {
  ATA_DATA_SET_MANAGEMENT,
  ATA_FLUSH_CACHE,
  ATA_FLUSH_CACHE_EXT,
  ATA_IDENTIFY_DEVICE,
  ATA_READ_DMA,
  ATA_READ_DMA_EXT,
  ATA_WRITE_DMA,
  ATA_WRITE_DMA_EXT,
} from "../../../../abi/io/ata.ts";
import type { AtaDiskModel } from "./ata-model.ts";
import { PciFunction } from "./pci-function.ts";
import { DeviceMemory, type Piece, piecesBytes } from "./virtio-ring.ts";

const READY = 0x50;
const ERROR = 0x51;
const BUSY = 0xd0;

interface PortState {
  disk: AtaDiskModel | null;
  registers: Map<number, number>;
  present: boolean;
}

export class AhciModel extends PciFunction {
  readonly memory = new DeviceMemory(this);
  readonly ports: PortState[];
  readonly commands: number[] = [];
  signature = AHCI_SIG_ATA;
  capabilities = (AHCI_CAP_S64A | (31 << 8)) >>> 0;
  resets = 0;
  interruptsSent = 0;
  /** Commands stay issued until `go`. */
  hold = false;
  // Misbehaviour.
  resetWorks = true;
  /** It does not stop. */
  stuck = false;
  private ghc = 0;
  private is = 0;

  constructor(
    disks: (AtaDiskModel | null)[],
    readonly size = 512,
    bar = 0x1000,
  ) {
    super(0x8086, 0x2922, 0x010601);
    this.bar(AHCI_BAR, "memory32", bar, 0xfebd_0000n);
    this.pin(1, 11);
    this.ports = disks.map((disk) => ({
      disk,
      present: disk !== null,
      registers: new Map([[Port.TFD, disk === null ? 0x7f : READY]]),
    }));
  }

  private get(port: PortState, register: number): number {
    return port.registers.get(register) ?? 0;
  }

  override barRead(_bar: number, offset: number): number {
    if (offset === Ahci.CAP) return this.capabilities;
    if (offset === Ahci.GHC) return this.ghc;
    if (offset === Ahci.IS) return this.is;
    if (offset === Ahci.PI) return 2 ** this.ports.length - 1;
    if (offset < Ahci.PORTS) return 0;
    const port = this.ports[Math.floor((offset - Ahci.PORTS) / Ahci.PORT_SIZE)];
    if (!port) return 0;
    const register = (offset - Ahci.PORTS) % Ahci.PORT_SIZE;
    if (register === Port.SSTS) return port.present ? 0x113 : 0;
    if (register === Port.SIG) return port.disk ? this.signature : 0xffffffff;
    return this.get(port, register);
  }

  override barWrite(_bar: number, offset: number, _size: number, value: number | bigint): void {
    const bits = Number(value) >>> 0;
    if (offset === Ahci.GHC) this.ghc = bits;
    else if (offset === Ahci.IS) this.is = (this.is & ~bits) >>> 0;
    if (offset < Ahci.PORTS) return;
    const index = Math.floor((offset - Ahci.PORTS) / Ahci.PORT_SIZE);
    const port = this.ports[index];
    if (port) this.portWrite(port, index, (offset - Ahci.PORTS) % Ahci.PORT_SIZE, bits);
  }

  private portWrite(port: PortState, index: number, register: number, bits: number): void {
    switch (register) {
      case Port.IS:
        port.registers.set(register, (this.get(port, register) & ~bits) >>> 0);
        break;
      case Port.CMD:
        this.writeCommand(port, bits);
        break;
      case Port.SCTL:
        if (bits & 1) {
          this.resets++;
          port.registers.set(Port.TFD, this.resetWorks ? READY : BUSY);
          port.registers.set(Port.CI, 0);
        }
        break;
      case Port.CI:
        if (!(this.get(port, Port.CMD) & AHCI_CMD_ST))
          this.machine.violation("a command issued to a port that is stopped");
        port.registers.set(register, (this.get(port, register) | bits) >>> 0);
        if (!this.hold) this.process(port, index);
        break;
      case Port.CLB:
      case Port.FB:
        if (this.get(port, Port.CMD) & (AHCI_CMD_ST | AHCI_CMD_FRE))
          this.machine.violation("a list moved under a running port");
        port.registers.set(register, bits);
        break;
      default:
        port.registers.set(register, bits);
    }
  }

  private writeCommand(port: PortState, bits: number): void {
    let value = bits & ~(AHCI_CMD_CR | AHCI_CMD_FR | 0x1f00);
    if (bits & AHCI_CMD_ST) {
      if (!(bits & AHCI_CMD_FRE)) this.machine.violation("ST without FRE");
      value |= AHCI_CMD_CR | (this.get(port, Port.CMD) & 0x1f00);
    } else {
      port.registers.set(Port.CI, this.stuck ? this.get(port, Port.CI) : 0);
      if (this.stuck) value |= AHCI_CMD_CR;
    }
    if (bits & AHCI_CMD_FRE) value |= AHCI_CMD_FR;
    port.registers.set(Port.CMD, value >>> 0);
  }

  /** Carries out what is issued on a port. */
  go(index = 0): void {
    this.process(this.ports[index]!, index);
  }

  private process(port: PortState, index: number): void {
    if (this.get(port, Port.TFD) === ERROR && this.get(port, Port.IS) & AHCI_PORT_TFES) return;
    for (let slot = 0; slot < 32; slot++) {
      if (!((this.get(port, Port.CI) >>> slot) & 1)) continue;
      if (!this.perform(port, slot)) {
        port.registers.set(Port.CMD, ((this.get(port, Port.CMD) & ~0x1f00) | (slot << 8)) >>> 0);
        port.registers.set(Port.TFD, ERROR);
        this.cause(port, index, AHCI_PORT_TFES);
        return;
      }
      port.registers.set(Port.TFD, READY);
      port.registers.set(Port.CI, (this.get(port, Port.CI) & ~(2 ** slot)) >>> 0);
      this.cause(port, index, AHCI_PORT_DHRS);
    }
  }

  /** An interrupt cause of a port. */
  cause(port: PortState, index: number, cause: number): void {
    port.registers.set(Port.IS, (this.get(port, Port.IS) | cause) >>> 0);
    if (!(this.get(port, Port.IE) & cause)) return;
    this.is = (this.is | (1 << index)) >>> 0;
    if (!(this.ghc & AHCI_GHC_IE)) return;
    this.interruptsSent++;
    this.interrupt(0);
  }

  private base(port: PortState, register: number): bigint {
    return (BigInt(this.get(port, register + 4)) << 32n) | BigInt(this.get(port, register));
  }

  /** Carries out a slot's command; false when it fails. */
  private perform(port: PortState, slot: number): boolean {
    const header = this.memory.view(this.base(port, Port.CLB) + BigInt(slot * 32), 32);
    const flags = header.getUint32(0, true);
    const table = header.getBigUint64(8, true);
    if ((flags & 31) !== 5) this.machine.violation("a FIS of another length");
    if (table % 128n !== 0n) this.machine.violation("a table that is not aligned");
    const fis = this.memory.view(table, 20);
    if (fis.getUint8(0) !== 0x27 || fis.getUint8(1) !== 0x80) this.machine.violation("not a command");
    const pieces: Piece[] = [];
    for (let i = 0; i < flags >>> 16; i++) {
      const region = this.memory.view(table + BigInt(0x80 + i * 16), 16);
      const bytes = (region.getUint32(12, true) & 0x3fffff) + 1;
      const machine = region.getBigUint64(0, true);
      if (bytes & 1 || machine & 1n || region.getUint32(8, true) !== 0) this.machine.violation("an odd region");
      pieces.push({ machine, bytes });
    }
    const low = fis.getUint32(4, true);
    const command = fis.getUint8(2);
    const wide = [ATA_READ_DMA_EXT, ATA_WRITE_DMA_EXT].includes(command);
    const sector = wide ? (low & 0xffffff) + (fis.getUint32(8, true) & 0xffffff) * 2 ** 24 : low & 0x0fffffff;
    const count = wide ? fis.getUint16(12, true) || 65536 : fis.getUint8(12) || 256;
    const write = (flags & AHCI_HEADER_WRITE) !== 0;
    this.commands.push(command);
    return this.command(port.disk!, command, sector, count, pieces, write, fis.getUint8(3));
  }

  private command(
    disk: AtaDiskModel,
    command: number,
    sector: number,
    count: number,
    pieces: Piece[],
    write: boolean,
    features: number,
  ): boolean {
    const from = sector * this.size;
    const bytes = count * this.size;
    switch (command) {
      case ATA_IDENTIFY_DEVICE:
        this.memory.write(pieces, disk.identify());
        return true;
      case ATA_FLUSH_CACHE:
      case ATA_FLUSH_CACHE_EXT:
        disk.data.copy(disk.stable);
        disk.flushes++;
        return true;
      case ATA_DATA_SET_MANAGEMENT: {
        if (features !== 1 || !write) this.machine.violation("not a TRIM");
        const ranges = this.memory.read(pieces);
        for (let at = 0; at < ranges.length; at += 8) {
          const range = ranges.readBigUInt64LE(at);
          const start = Number(range & 0xffff_ffff_ffffn) * this.size;
          disk.data.fill(0xdd, start, start + Number(range >> 48n) * this.size);
        }
        return true;
      }
      case ATA_READ_DMA:
      case ATA_READ_DMA_EXT:
      case ATA_WRITE_DMA:
      case ATA_WRITE_DMA_EXT: {
        if (write !== (command === ATA_WRITE_DMA || command === ATA_WRITE_DMA_EXT))
          this.machine.violation("the other direction");
        if (piecesBytes(pieces) !== bytes) this.machine.violation("regions of another size");
        for (let s = sector; s < sector + count; s++) if (disk.bad.has(s)) return false;
        if (from + bytes > disk.data.length) return false;
        if (write) this.memory.read(pieces).copy(disk.data, from);
        else this.memory.write(pieces, disk.data.subarray(from, from + bytes));
        return true;
      }
      default:
        return false;
    }
  }
}
