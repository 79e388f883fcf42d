/** The devices that the hypervisor itself drives: virtual time, local APIC timer, PIT, 8259 PICs, 16550 UART, CMOS clock. */

import type { PciBus } from "./pci.ts";

const APIC = 0xfee00000;
const APIC_EOI = 0xb0;
const APIC_TIMER_LVT = 0x320;
const APIC_INITIAL = 0x380;
const APIC_CURRENT = 0x390;
const APIC_DIVIDE = 0x3e0;
const LVT_MASKED = 0x10000;
const PIT_HZ = 1_193_182;
const COM1 = 0x3f8;
const UART_FIFO = 16;
/** Time a port or register access takes, ns: long, so that calibration loops are short. */
const ACCESS_NS = 20_000;

export class Devices {
  /** Further devices, none of which the hypervisor itself drives. */
  pci: PciBus | undefined;
  /** Virtual time, ns = TSC ticks. */
  now = 1_000;
  private readonly apic = new Map<number, number>();
  private timerDeadline = Infinity;
  private timerStart = 0;
  private timerCount = 0;
  private pitReload = 0xffff;
  private pitStart = 0;
  private pitLatchHigh = false;
  private pitWriteHigh = false;
  private pitGate = 0;
  private cmosIndex = 0;
  /** What the other end of the line has not sent yet, and what lies in the receiver's FIFO. */
  private toSend: number[] = [];
  private received: number[] = [];
  /** The FIFO is on; off, it holds one byte. */
  private uartFifo = false;
  private uartOverrun = false;
  private uartIer = 0;
  /** RTS as the hypervisor has it. */
  rts = false;
  private uartDlab = false;
  private serialPending = false;

  /** @param year the clock's two digits */
  constructor(
    private readonly onOutput: (text: string) => void,
    private readonly year = 26,
  ) {}

  /** Lets `ns` pass; returns the new time. */
  advance(ns: number): number {
    this.now += ns;
    return this.now;
  }

  /** Types at the serial port, as QEMU does: the next byte comes when the receiver has room for it. */
  type(text: string): void {
    for (const byte of Buffer.from(text)) this.toSend.push(byte);
    this.receive();
  }

  /** Types as a sender without flow control does: what the FIFO has no room for is lost. */
  typeAtOnce(text: string): void {
    for (const byte of Buffer.from(text)) {
      if (this.received.length < this.uartDepth) this.received.push(byte);
      else this.uartOverrun = true;
    }
    this.receive();
  }

  /** Bytes that `type` has not been able to send yet. */
  get unsent(): number {
    return this.toSend.length;
  }

  private get uartDepth(): number {
    return this.uartFifo ? UART_FIFO : 1;
  }

  private receive(): void {
    this.received.push(...this.toSend.splice(0, Math.max(0, this.uartDepth - this.received.length)));
    if (this.received.length > 0 && (this.uartIer & 1) !== 0) this.serialPending = true;
  }

  /** True if an interrupt would be taken now. */
  get interruptPending(): boolean {
    return (
      this.serialPending ||
      (this.pci !== undefined && this.pci.vectors.length > 0) ||
      (this.timerDeadline <= this.now && !((this.apic.get(APIC_TIMER_LVT) ?? 0) & LVT_MASKED))
    );
  }

  /** Virtual time of the next timer interrupt. */
  get nextInterrupt(): number {
    return this.serialPending || (this.pci?.vectors.length ?? 0) > 0 ? this.now : this.timerDeadline;
  }

  takeInterrupt(): number {
    if (this.serialPending) {
      this.serialPending = false;
      return 0x24;
    }
    const device = this.pci?.vectors.shift();
    if (device !== undefined) return device;
    if (!this.interruptPending) return -1;
    this.timerDeadline = Infinity;
    return (this.apic.get(APIC_TIMER_LVT) ?? 0) & 0xff;
  }

  /** HLT with interrupts on: time passes until the next one. */
  idle(): number {
    if (!this.interruptPending) this.now = Math.max(this.now, Math.min(this.nextInterrupt, this.now + 1_000_000_000));
    return this.takeInterrupt();
  }

  private get divider(): number {
    const bits = this.apic.get(APIC_DIVIDE) ?? 0;
    const code = (bits & 3) | ((bits >> 1) & 4);
    return code === 7 ? 1 : 2 << code;
  }

  mmioRead(pa: number): number {
    this.advance(ACCESS_NS);
    const device = this.pci?.mmioRead(pa);
    if (device !== undefined) return device;
    const register = pa - APIC;
    if (register === APIC_CURRENT) {
      return Math.max(0, this.timerCount - Math.floor((this.now - this.timerStart) / this.divider));
    }
    if (register === 0x30) return 0x50014;
    return this.apic.get(register) ?? 0;
  }

  mmioWrite(pa: number, value: number): void {
    if (this.pci?.mmioWrite(pa, value) === true) return;
    const register = pa - APIC;
    if (register === APIC_EOI && this.pci !== undefined) this.pci.ends++;
    this.apic.set(register, value);
    if (register === APIC_INITIAL) {
      this.timerCount = value;
      this.timerStart = this.now;
      this.timerDeadline = value === 0 ? Infinity : this.now + value * this.divider;
    }
  }

  private get pitCount(): number {
    const ticks = Math.floor(((this.now - this.pitStart) * PIT_HZ) / 1e9);
    return this.pitReload - ticks;
  }

  /** Time that the serial port takes for a FIFO of bytes, ns; 0: none. It gives no interrupt when it has room again. */
  uartSlowNs = 0;
  private uartFreeAt = 0;
  private uartFilled = 0;

  in8(port: number): number {
    switch (port) {
      case 0x42: {
        this.advance(ACCESS_NS);
        const value = this.pitCount & 0xffff;
        this.pitLatchHigh = !this.pitLatchHigh;
        return this.pitLatchHigh ? value & 0xff : value >> 8;
      }
      case 0x61:
        this.advance(ACCESS_NS);
        return (this.pitGate & 0xf) | (this.pitCount <= 0 ? 0x20 : 0);
      case COM1: {
        if (this.uartDlab) return 1;
        const byte = this.received.shift() ?? 0;
        this.receive();
        return byte;
      }
      case COM1 + 1:
        return this.uartIer;
      case COM1 + 2:
        return 0xc1;
      case COM1 + 5: {
        const overrun = this.uartOverrun ? 2 : 0;
        this.uartOverrun = false;
        return (this.now < this.uartFreeAt ? 0 : 0x60) | overrun | (this.received.length > 0 ? 1 : 0);
      }
      case COM1 + 6:
        return 0xb0;
      case 0x71:
        return this.cmos();
      default:
        return this.pci?.in(port, 1) ?? 0xff;
    }
  }

  in32(port: number): number {
    if (port === 0x608) {
      this.advance(ACCESS_NS);
      return Math.floor((this.now * 3.579545) / 1000) & 0xffffff;
    }
    return this.pci?.in(port, 4) ?? 0xffffffff;
  }

  out8(port: number, value: number): void {
    switch (port) {
      case 0x42:
        this.pitReload = this.pitWriteHigh ? (this.pitReload & 0xff) | (value << 8) : (this.pitReload & 0xff00) | value;
        if (this.pitWriteHigh) this.pitStart = this.now;
        this.pitWriteHigh = !this.pitWriteHigh;
        break;
      case 0x43:
        this.pitWriteHigh = false;
        this.pitLatchHigh = false;
        break;
      case 0x61:
        if ((value & 1) !== 0 && (this.pitGate & 1) === 0) this.pitStart = this.now;
        this.pitGate = value;
        break;
      case 0x70:
        this.cmosIndex = value & 0x7f;
        break;
      case COM1:
        if (this.uartDlab) break;
        if (this.now >= this.uartFreeAt && ++this.uartFilled === UART_FIFO) {
          this.uartFilled = 0;
          this.uartFreeAt = this.now + this.uartSlowNs;
        }
        this.onOutput(String.fromCharCode(value));
        break;
      case COM1 + 1:
        if (this.uartDlab) break;
        this.uartIer = value;
        this.receive();
        break;
      case COM1 + 2:
        // Turned on or cleared, the FIFO loses what is in it.
        if (!this.uartFifo || (value & 2) !== 0) this.received = [];
        this.uartFifo = (value & 1) !== 0;
        break;
      case COM1 + 4:
        this.rts = (value & 2) !== 0;
        break;
      case COM1 + 3:
        this.uartDlab = (value & 0x80) !== 0;
        break;
      default:
        this.pci?.out(port, 1, value);
    }
  }

  /** November 20th of its year, 12:00:00, binary-coded decimal, 24 hours. */
  private cmos(): number {
    const values: Record<number, number> = {
      0: 0,
      2: 0,
      4: 0x12,
      6: 6,
      7: 0x20,
      8: 0x11,
      9: Number.parseInt(String(this.year), 16),
      10: 0x26,
      11: 0x02,
      0x32: 0x20,
    };
    return values[this.cmosIndex] ?? 0;
  }
}
