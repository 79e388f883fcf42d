/**
 * Who is on the bridge and on the wire behind its card, and what good guests and hosts have sent: what a guest receives, and what the card is
 * told to send, is held against it.
 */
import type { Host } from "../../unit/io/net/packets.ts";
import { macText, pattern, udpFrame } from "../../unit/io/net/packets.ts";
import { Violation } from "../svm-cpu.ts";

/** Marks a good guest's frame: behind it come its sender's and its receiver's domain id, and its number. */
export const MARK = Buffer.from("SIMFRAME");
/** Marks a frame that came from the wire with the source address of a guest. */
const FORGED = Buffer.from("SIMFORGE");
/** Receiver of a frame for all. */
export const EVERYBODY = 0xffff;
/** Hosts on the wire, numbered as guests are: those that follow the rules, and one that sends anything. */
export const HOSTS = [0x8001, 0x8002, 0x8003];
export const STRANGER = 0x8010;
/** The wire itself, as the receiver of a frame. */
const WIRE = 0x8000;
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

function isOutside(id: number): boolean {
  return id >= WIRE && id !== EVERYBODY;
}

/** One that sends frames. */
interface Sender {
  good: boolean;
  /** Its vif has an address to which it is held. */
  hasAddress: boolean;
  /** It has a vif on the bridge. */
  present: boolean;
}

/** A frame, and the same with its checksum left to others: the pseudo-header's sum is in the field. */
export interface Packet {
  frame: Buffer;
  blank: Buffer;
  number: number;
}

interface Sent extends Packet {
  from: number;
  to: number;
  /** Its receiver had a vif when it was made. */
  toPresent: boolean;
  /** Kills of the I/O domain before it was sent. */
  kills: number;
  /** Who has received it. */
  readonly got: Map<number, number>;
}

type Wrong = (what: string) => Violation;

export class Wire {
  private readonly sent = new Map<number, Sent>();
  private number = 0;
  /** Every guest with a vif that has been there, and the hosts on the wire. */
  readonly known = new Map<number, Sender>();
  delivered = 0;

  /** @param killsNow how often the I/O domain has been killed so far */
  constructor(private readonly killsNow: () => number) {
    for (const id of HOSTS) this.known.set(id, { good: true, hasAddress: false, present: false });
    this.known.set(STRANGER, { good: false, hasAddress: false, present: false });
  }

  get kills(): number {
    return this.killsNow();
  }

  /** Guests that have a vif now. */
  get present(): number[] {
    return [...this.known].filter(([, { present }]) => present).map(([id]) => id);
  }

  /** A good sender's frame of about `length` bytes, noted as sent. */
  make(from: number, to: number, length: number): Packet {
    const number = ++this.number;
    const mark = Buffer.alloc(8);
    mark.writeUInt16LE(from, 0);
    mark.writeUInt16LE(to, 2);
    mark.writeUInt32LE(number, 4);
    const payload = Buffer.concat([MARK, mark, pattern(Math.max(length, SHORTEST), number)]);
    const receiver = to === EVERYBODY ? { mac: "ff:ff:ff:ff:ff:ff", ip: "10.0.255.255" } : hostOf(to);
    const packet = {
      frame: udpFrame(hostOf(from), receiver, payload),
      blank: udpFrame(hostOf(from), receiver, payload, { blank: true }),
      number,
    };
    const toPresent = this.known.get(to)?.present ?? false;
    this.sent.set(number, { ...packet, from, to, toPresent, kills: this.kills, got: new Map() });
    return packet;
  }

  /** A frame that says it is from a guest. */
  forge(from: number, to: number): Buffer {
    return udpFrame(hostOf(from), hostOf(to), Buffer.concat([FORGED, pattern(64)]));
  }

  hasArrived(number: number, at: number): boolean {
    return (this.sent.get(number)!.got.get(isOutside(at) ? WIRE : at) ?? 0) > 0;
  }

  /** Holds a frame that guest `id` has received against what may have been sent to it; `blank`: it was told that the checksum is. */
  arrived(id: number, frame: Buffer, blank = false): void {
    const wrong: Wrong = (what) =>
      new Violation(`domain ${id} received ${what}: ${frame.subarray(0, 64).toString("hex")}, ${frame.length} bytes`);
    const [from, sender] = this.senderOf(frame, wrong);
    if ((frame[0]! & 1) === 0 && macText(frame) !== macOf(id)) throw wrong("a frame that is not addressed to it");
    if (from === id) throw wrong("a frame of its own");
    if (frame.subarray(MARK_AT, MARK_AT + FORGED.length).equals(FORGED)) {
      // Of one that is gone anybody may have the address.
      if (sender.present) throw wrong("a frame from the wire in a guest's name");
      return;
    }
    if (!sender.good) {
      if (sender.hasAddress) this.checkAddress(from, frame, wrong);
      return;
    }
    const sent = this.sentAs(frame, blank, wrong);
    if (sent.to !== id && sent.to !== EVERYBODY) throw wrong("another's frame");
    // What the I/O domain had taken and not answered when it was killed is sent again, but what a card had received is not.
    this.once(sent, id, isOutside(from) ? 0 : this.kills - sent.kills, wrong);
    this.delivered++;
  }

  /** Holds a frame that the card was told to send, its checksum filled in, against what guests may have sent to hosts on the wire. */
  left(frame: Buffer): void {
    const wrong: Wrong = (what) =>
      new Violation(`the card was to send ${what}: ${frame.subarray(0, 64).toString("hex")}, ${frame.length} bytes`);
    const [from, sender] = this.senderOf(frame, wrong);
    if (isOutside(from)) throw wrong("a frame that came from the wire");
    const to = frame.readUInt16BE(4);
    const isPresent = macText(frame) === macOf(to) && (this.known.get(to)?.present ?? false);
    if (!sender.good) {
      // Hostile guests send to others that are there, if to guests at all.
      if (isPresent) throw wrong("a frame to a guest");
      if (sender.hasAddress) this.checkAddress(from, frame, wrong);
      return;
    }
    const sent = this.sentAs(frame, false, wrong);
    if (isPresent && sent.toPresent) throw wrong("a frame to a guest");
    this.once(sent, WIRE, this.kills - sent.kills, wrong);
  }

  private senderOf(frame: Buffer, wrong: Wrong): [number, Sender] {
    if (frame.length < 14) throw wrong("less than a frame");
    const from = frame.readUInt16BE(10);
    const sender = macOf(from) === macText(frame.subarray(6)) ? this.known.get(from) : undefined;
    if (sender === undefined) throw wrong("a frame from nobody");
    return [from, sender];
  }

  /** The good sender's frame that this is. */
  private sentAs(frame: Buffer, blank: boolean, wrong: Wrong): Sent {
    if (!frame.subarray(MARK_AT, MARK_AT + MARK.length).equals(MARK)) throw wrong("what a good sender did not send");
    const sent = this.sent.get(frame.readUInt32LE(MARK_AT + MARK.length + 4));
    if (sent === undefined || !(sent.frame.equals(frame) || (blank && sent.blank.equals(frame)))) {
      throw wrong("a good sender's frame, altered");
    }
    return sent;
  }

  private once(sent: Sent, at: number, more: number, wrong: Wrong): void {
    const before = sent.got.get(at) ?? 0;
    if (before > more) throw wrong("a frame twice");
    sent.got.set(at, before + 1);
  }

  private checkAddress(from: number, frame: Buffer, wrong: Wrong): void {
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

  /** Frames of good senders to others that are in a hostile guest's memory: the numbers of those that are not for it. */
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
