/**
 * A model of an Intel gigabit card, from the same manuals as the driver: registers, legacy receive descriptors, transmit contexts and data, checksums
 * inserted and TSO frames cut up as the controller does it (8254x manual, 3.5 and 3.6).
 */
import {
  E1000,
  E1000_82540EM,
  E1000_82574L,
  E1000_CTRL_RST,
  E1000_CTRL_SLU,
  E1000_ICR_LSC,
  E1000_ICR_RXO,
  E1000_ICR_RXT0,
  E1000_ICR_TXDW,
  E1000_PCI_VENDOR,
  E1000_RAH_AV,
  E1000_RCTL_EN,
  E1000_STATUS_LU,
  E1000_TCTL_EN,
  E1000_TXC_IP,
  E1000_TXC_TSE,
  E1000_TXD_DEXT,
  E1000_TXD_DTYP_DATA,
  E1000_TXD_EOP,
  E1000_TXD_POPTS_IXSM,
  E1000_TXD_POPTS_TXSM,
  E1000_TXD_RS,
  E1000_TXD_TSE,
  E1000TxContext,
} from "../../../../abi/io/e1000.ts";
import { PciFunction } from "./pci-function.ts";
import { DeviceMemory } from "./virtio-ring.ts";

const DESCRIPTOR = 16;
const BUFFER = 2048;

interface Context {
  ipcss: number;
  ipcso: number;
  ipcse: number;
  tucss: number;
  tucso: number;
  payload: number;
  hdrlen: number;
  mss: number;
  command: number;
}

/** The one's complement sum of big-endian 16-bit words. */
export function sum16(data: Uint8Array, start = 0): number {
  let sum = start;
  for (let i = 0; i < data.length; i += 2) sum += (data[i]! << 8) | (data[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

export class E1000Model extends PciFunction {
  readonly memory = new DeviceMemory(this);
  readonly registers = new Map<number, number>();
  readonly sent: Buffer[] = [];
  /** Contexts that it was given. */
  contexts = 0;
  resets = 0;
  interruptsSent = 0;
  linkUp = true;
  // Misbehaviour.
  silent = false;
  resetWorks = true;
  /** The address is not loaded from the EEPROM, as in Bochs; and what is in there. */
  loads = true;
  eeprom: number[] | null = null;
  causes = 0;
  private enabled = 0;
  private context: Context | null = null;
  private parts: { data: Buffer; command: number; options: number }[] = [];

  constructor(
    device: number = E1000_82540EM,
    readonly mac: number[] = [0x52, 0x54, 0, 0xab, 0xcd, 0xef],
  ) {
    super(E1000_PCI_VENDOR, device, 0x020000);
    this.bar(0, "memory32", 0x20000, 0xfebc_0000n);
    this.pin(1, 10);
    this.registers.set(E1000.CTRL, 0);
    this.onReset();
  }

  private onReset(): void {
    this.registers.clear();
    if (this.loads) this.registers.set(E1000.RAL0, Buffer.from(this.mac).readUInt32LE(0));
    if (this.loads) this.registers.set(E1000.RAH0, (Buffer.from(this.mac).readUInt16LE(4) | E1000_RAH_AV) >>> 0);
    this.causes = 0;
    this.enabled = 0;
    this.context = null;
    this.parts = [];
  }

  get(register: number): number {
    return this.registers.get(register) ?? 0;
  }

  private raise(cause: number): void {
    this.causes |= cause;
    if ((this.causes & this.enabled) === 0) return;
    this.interruptsSent++;
    this.interrupt(0);
  }

  override barRead(_bar: number, offset: number): number {
    if (offset === E1000.ICR) {
      const causes = this.causes;
      this.causes = 0;
      return causes;
    }
    if (offset === E1000.STATUS) return this.linkUp && this.get(E1000.CTRL) & E1000_CTRL_SLU ? E1000_STATUS_LU : 0;
    return this.get(offset);
  }

  override barWrite(_bar: number, offset: number, _size: number, value: number | bigint): void {
    const bits = Number(value) >>> 0;
    if (offset === E1000.IMS) {
      this.enabled = (this.enabled | bits) >>> 0;
      this.raise(0);
    } else if (offset === E1000.EERD) {
      const newer = this.view.getUint16(2, true) === E1000_82574L;
      const word = this.eeprom?.[bits >>> (newer ? 2 : 8)];
      this.registers.set(offset, word === undefined ? bits : (bits | (newer ? 2 : 0x10) | (word << 16)) >>> 0);
    } else if (offset === E1000.IMC) this.enabled = (this.enabled & ~bits) >>> 0;
    else if (offset === E1000.CTRL && bits & E1000_CTRL_RST) {
      if (!this.resetWorks) this.registers.set(E1000.CTRL, bits);
      else {
        this.resets++;
        this.onReset();
      }
    } else {
      this.registers.set(offset, bits);
      if (offset === E1000.TDT) this.transmit();
    }
  }

  setLink(up: boolean): void {
    this.linkUp = up;
    this.raise(E1000_ICR_LSC);
  }

  private base(low: number): bigint {
    return (BigInt(this.get(low + 4)) << 32n) | BigInt(this.get(low));
  }

  // --- Transmission -----------------------------------------------------------------------------------------------------------

  transmit(): void {
    if (this.silent || !(this.get(E1000.TCTL) & E1000_TCTL_EN)) return;
    const count = this.get(E1000.TDLEN) / DESCRIPTOR;
    let reports = false;
    for (let head = this.get(E1000.TDH); head !== this.get(E1000.TDT);) {
      const descriptor = this.memory.view(this.base(E1000.TDBAL) + BigInt(head * DESCRIPTOR), DESCRIPTOR);
      reports = this.descriptor(descriptor) || reports;
      head = (head + 1) % count;
      this.registers.set(E1000.TDH, head);
    }
    if (reports) this.raise(E1000_ICR_TXDW);
  }

  private descriptor(d: DataView): boolean {
    const command = d.getUint32(8, true);
    if (!(command & E1000_TXD_DEXT)) this.machine.violation("a legacy transmit descriptor");
    if (!(command & E1000_TXD_DTYP_DATA)) {
      if (this.parts.length !== 0) this.machine.violation("a context in the middle of a frame");
      this.contexts++;
      this.context = {
        ipcss: d.getUint8(E1000TxContext.ipcss),
        ipcso: d.getUint8(E1000TxContext.ipcso),
        ipcse: d.getUint16(E1000TxContext.ipcse, true),
        tucss: d.getUint8(E1000TxContext.tucss),
        tucso: d.getUint8(E1000TxContext.tucso),
        payload: command & 0xfffff,
        hdrlen: d.getUint8(E1000TxContext.hdrlen),
        mss: d.getUint16(E1000TxContext.mss, true),
        command,
      };
      return false;
    }
    const data = this.memory.read([{ machine: d.getBigUint64(0, true), bytes: command & 0xfffff }]);
    if (data.length === 0) this.machine.violation("an empty data descriptor");
    this.parts.push({ data, command, options: d.getUint32(12, true) });
    if (command & E1000_TXD_EOP) this.endFrame();
    if (!(command & E1000_TXD_RS)) return false;
    d.setUint32(12, d.getUint32(12, true) | 1, true);
    return true;
  }

  private endFrame(): void {
    const { command, options } = this.parts[0]!;
    const data = Buffer.concat(this.parts.map((part) => part.data));
    this.parts = [];
    if (command & E1000_TXD_TSE) this.segment(data, options);
    else {
      if (options & E1000_TXD_POPTS_TXSM) this.insert(data, this.context!.tucss, this.context!.tucso);
      this.sent.push(data);
    }
  }

  /** Inserts a checksum over everything from `start` on, the sum in the field included. */
  private insert(data: Buffer, start: number, field: number, end = data.length): void {
    data.writeUInt16BE(~sum16(data.subarray(start, end)) & 0xffff, field);
  }

  private segment(data: Buffer, options: number): void {
    const c = this.context!;
    if (!(c.command & E1000_TXC_TSE) || c.payload !== data.length - c.hdrlen)
      this.machine.violation("a TSO context of another frame");
    const header = data.subarray(0, c.hdrlen);
    const four = (c.command & E1000_TXC_IP) !== 0;
    const zero = four
      ? header.readUInt16BE(c.ipcss + 2) | header.readUInt16BE(c.ipcso)
      : header.readUInt16BE(c.ipcss + 4);
    if (zero !== 0) this.machine.violation("lengths and checksum of a TSO frame are not 0");
    for (let at = c.hdrlen, i = 0; at < data.length; at += c.mss, i++) {
      const last = at + c.mss >= data.length;
      const frame = Buffer.concat([header, data.subarray(at, at + c.mss)]);
      if (four) {
        frame.writeUInt16BE(frame.length - c.ipcss, c.ipcss + 2);
        frame.writeUInt16BE((header.readUInt16BE(c.ipcss + 4) + i) & 0xffff, c.ipcss + 4);
        if (!(options & E1000_TXD_POPTS_IXSM)) this.machine.violation("TSO over IPv4 without its checksum");
        this.insert(frame, c.ipcss, c.ipcso, c.ipcse + 1);
      } else frame.writeUInt16BE(frame.length - c.ipcss - 40, c.ipcss + 4);
      frame.writeUInt32BE((header.readUInt32BE(c.tucss + 4) + i * c.mss) >>> 0, c.tucss + 4);
      if (!last) frame[c.tucss + 13]! &= ~0x09;
      // The length of this piece is added to the pseudo-header's sum.
      const length = frame.length - c.tucss;
      frame.writeUInt16BE(sum16(Uint8Array.of(length >> 8, length & 255), header.readUInt16BE(c.tucso)), c.tucso);
      this.insert(frame, c.tucss, c.tucso);
      this.sent.push(frame);
    }
  }

  // --- Reception --------------------------------------------------------------------------------------------------------------

  /**
   * Receives a frame.
   * @returns false when there is no descriptor for it
   */
  deliver(data: Uint8Array, { status = 0x23, errors = 0, length = data.length, tell = true } = {}): boolean {
    if (!(this.get(E1000.RCTL) & E1000_RCTL_EN)) return false;
    const count = this.get(E1000.RDLEN) / DESCRIPTOR;
    const head = this.get(E1000.RDH);
    if (head === this.get(E1000.RDT)) {
      this.raise(E1000_ICR_RXO);
      return false;
    }
    const descriptor = this.memory.view(this.base(E1000.RDBAL) + BigInt(head * DESCRIPTOR), DESCRIPTOR);
    if (descriptor.getBigUint64(8, true) !== 0n) this.machine.violation("a receive descriptor that looks done");
    const part = data.subarray(0, BUFFER);
    this.memory.write([{ machine: descriptor.getBigUint64(0, true), bytes: BUFFER }], part);
    descriptor.setUint16(8, data.length > BUFFER ? BUFFER : length, true);
    descriptor.setUint16(12, (data.length > BUFFER ? status & ~2 : status) | (errors << 8), true);
    this.registers.set(E1000.RDH, (head + 1) % count);
    if (data.length > BUFFER) return this.deliver(data.subarray(BUFFER), { status, errors, tell });
    if (tell) this.raise(E1000_ICR_RXT0);
    return true;
  }
}
