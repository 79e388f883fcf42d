/** Who is on the bridge, and what good guests have sent: what a guest receives is held against it. */
import type { Host } from "../../unit/io/net/packets.ts";
import { macText, pattern, udpFrame } from "../../unit/io/net/packets.ts";
import { Violation } from "../svm-cpu.ts";

/** Marks a good guest's frame: behind it come its sender's and its receiver's domain id, and its number. */
export const MARK = Buffer.from("SIMFRAME");
/** Receiver of a frame for all. */
export const EVERYBODY = 0xffff;
const MARK_AT = 42;
const SHORTEST = 24;

export function macOf(id: number): string {
  return `00:16:3e:00:${(id >> 8).toString(16).padStart(2, "0")}:${(id & 255).toString(16).padStart(2, "0")}`;
}

export function ipOf(id: number): string {
  return `10.0.${id >> 8}.${id & 255}`;
}

export function macBytes(id: number): Uint8Array {
  return Buffer.from(macOf(id).replaceAll(":", ""), "hex");
}

export function ipBytes(id: number): Uint8Array {
  return Uint8Array.from(ipOf(id).split("."), Number);
}

export function hostOf(id: number): Host {
  return { mac: macOf(id), ip: ipOf(id) };
}

interface Sent {
  from: number;
  to: number;
  frame: Buffer;
  /** Kills of the I/O domain before it was sent. */
  kills: number;
  /** Who has received it. */
  readonly got: Map<number, number>;
}

export class Wire {
  private readonly sent = new Map<number, Sent>();
  private number = 0;
  /** Every guest that has been there: whether it is good, and whether its vif has an address to which it is held. */
  readonly known = new Map<number, { good: boolean; hasAddress: boolean }>();
  delivered = 0;

  /** @param killsNow how often the I/O domain has been killed so far */
  constructor(private readonly killsNow: () => number) {}

  get kills(): number {
    return this.killsNow();
  }

  /** A good guest's frame of about `length` bytes, noted as sent. */
  make(from: number, to: number, length: number): { frame: Buffer; number: number } {
    const number = ++this.number;
    const mark = Buffer.alloc(8);
    mark.writeUInt16LE(from, 0);
    mark.writeUInt16LE(to, 2);
    mark.writeUInt32LE(number, 4);
    const payload = Buffer.concat([MARK, mark, pattern(Math.max(length, SHORTEST), number)]);
    const receiver = to === EVERYBODY ? { mac: "ff:ff:ff:ff:ff:ff", ip: "10.0.255.255" } : hostOf(to);
    const frame = udpFrame(hostOf(from), receiver, payload);
    this.sent.set(number, { from, to, frame, kills: this.kills, got: new Map() });
    return { frame, number };
  }

  hasArrived(number: number, at: number): boolean {
    return (this.sent.get(number)!.got.get(at) ?? 0) > 0;
  }

  /** Holds a frame that `id` has received against what may have been sent to it. */
  arrived(id: number, frame: Buffer): void {
    const wrong = (what: string): Violation =>
      new Violation(`domain ${id} received ${what}: ${frame.subarray(0, 64).toString("hex")}, ${frame.length} bytes`);
    if (frame.length < 14) throw wrong("less than a frame");
    const group = (frame[0]! & 1) !== 0;
    if (!group && macText(frame) !== macOf(id)) throw wrong("a frame that is not addressed to it");
    const source = macText(frame.subarray(6));
    const from = frame.readUInt16BE(10);
    const sender = macOf(from) === source ? this.known.get(from) : undefined;
    if (sender === undefined) throw wrong("a frame from nobody");
    if (from === id) throw wrong("a frame of its own");
    if (!sender.good) {
      if (sender.hasAddress) this.checkAddress(from, frame, wrong);
      return;
    }
    if (!frame.subarray(MARK_AT, MARK_AT + MARK.length).equals(MARK)) throw wrong("what a good guest did not send");
    const sent = this.sent.get(frame.readUInt32LE(MARK_AT + MARK.length + 4));
    if (sent === undefined || !sent.frame.equals(frame)) throw wrong("a good guest's frame, altered");
    if (sent.to !== id && sent.to !== EVERYBODY) throw wrong("another's frame");
    const before = sent.got.get(id) ?? 0;
    // What the I/O domain had taken and not answered when it was killed is sent again.
    if (before > this.kills - sent.kills) throw wrong("a frame twice");
    sent.got.set(id, before + 1);
    this.delivered++;
  }

  private checkAddress(from: number, frame: Buffer, wrong: (what: string) => Violation): void {
    const own = Buffer.from(ipBytes(from));
    const type = frame.readUInt16BE(12);
    if (type === 0x0800) {
      const sender = frame.subarray(26, 30);
      const isClient = sender.equals(Buffer.alloc(4)) && frame[23] === 17;
      if (!sender.equals(own) && !isClient) throw wrong("a forged IPv4 address");
    } else if (type === 0x0806) {
      if (!frame.subarray(22, 28).equals(frame.subarray(6, 12))) throw wrong("ARP with a forged MAC address");
      const sender = frame.subarray(28, 32);
      if (!sender.equals(own) && !sender.equals(Buffer.alloc(4))) throw wrong("ARP with a forged IPv4 address");
    } else if (type !== 0x86dd) throw wrong("a kind of frame that its sender may not send");
  }

  /** Frames of good guests to others that are in a hostile guest's memory: the numbers of those that are not for it. */
  notFor(id: number, memory: Buffer): number[] {
    const found: number[] = [];
    for (let at = memory.indexOf(MARK); at >= 0; at = memory.indexOf(MARK, at + 1)) {
      if (at + 16 > memory.length) break;
      const to = memory.readUInt16LE(at + MARK.length + 2);
      if (to !== id && to !== EVERYBODY) found.push(memory.readUInt32LE(at + MARK.length + 4));
    }
    return found;
  }
}
