/**
 * A computer on the guest's network, in TypeScript: ARP, UDP and enough of TCP for a link that loses nothing. Not lwIP, so that both
 * sides cannot be wrong in the same way; every frame's checksums are checked.
 */
import type { Frame, NativeGuest } from "./native.ts";

const NETTXF_CSUM_BLANK = 1;
const NETRXF_CSUM_BLANK = 2;

const ETH = 14;
const IP = 20;
const TCP = 6;
const UDP = 17;
const [FIN, SYN, RST, PSH, ACK] = [1, 2, 4, 8, 16];
const WINDOW_SHIFT = 4;
const MSS = 1460;

const GUEST_MAC = "00163e123456";
const BROADCAST = "ffffffffffff";

/** Sum of 16-bit words, folded, not complemented. */
export function checksum(...pieces: Uint8Array[]): number {
  let sum = 0;
  for (const piece of pieces) {
    for (let i = 0; i < piece.length; i++) sum += i % 2 === 0 ? piece[i] << 8 : piece[i];
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

function address(text: string): Buffer {
  return Buffer.from(text.split(".").map(Number));
}

/** What is thrown for a frame that no computer should send. */
export class BadFrame extends Error {}

function must(condition: boolean, message: string): void {
  if (!condition) throw new BadFrame(message);
}

/** One end of a TCP connection to the guest. */
export class Connection {
  /** What came and was not taken, in pieces, and its length. */
  private pieces: Buffer[] = [];
  private length = 0;
  /** The guest has closed its way. */
  ended = false;
  wasReset = false;
  private readonly peer: Peer;
  readonly localPort: number;
  private readonly remotePort: number;
  private next = 1000;
  private acknowledged = 1000;
  private expected = 0;
  private established = false;
  private unsent = Buffer.alloc(0);
  private closing = false;
  private finSent = false;
  private window = 0;
  private waiting: { condition: () => boolean; resolve: () => void }[] = [];
  /** Segments as they came: their lengths. */
  segments: number[] = [];

  constructor(peer: Peer, localPort: number, remotePort: number) {
    this.peer = peer;
    this.localPort = localPort;
    this.remotePort = remotePort;
  }

  /** Sends SYN. */
  open(): void {
    this.segment(SYN, Buffer.alloc(0), Buffer.from([2, 4, MSS >> 8, MSS & 255, 3, 3, WINDOW_SHIFT, 1]));
    this.next += 1;
  }

  private segment(flags: number, data: Uint8Array, options: Uint8Array = Buffer.alloc(0)): void {
    const header = Buffer.alloc(20 + options.length);
    header.writeUInt16BE(this.localPort, 0);
    header.writeUInt16BE(this.remotePort, 2);
    header.writeUInt32BE(this.next >>> 0, 4);
    header.writeUInt32BE((flags & ACK) === 0 ? 0 : this.expected >>> 0, 8);
    header[12] = ((20 + options.length) / 4) << 4;
    header[13] = flags;
    header.writeUInt16BE(0xffff, 14); // scaled from the handshake on: 1 MiB
    header.set(options, 20);
    this.peer.sendIp(TCP, Buffer.concat([header, data]), 16);
  }

  /** A segment of the guest's, whose checksum was right. */
  take(segment: Buffer): void {
    const [sequence, acknowledgement] = [segment.readUInt32BE(4), segment.readUInt32BE(8)];
    const [header, flags] = [(segment[12] >> 4) * 4, segment[13]];
    const data = segment.subarray(header);
    if ((flags & RST) !== 0) {
      this.wasReset = true;
      this.ended = true;
    } else if ((flags & SYN) !== 0 && this.established) {
      this.segment(ACK, Buffer.alloc(0)); // it did not wait for our first answer
    } else if ((flags & SYN) !== 0) {
      this.expected = (sequence + 1) >>> 0;
      this.established = true;
      this.acknowledged = acknowledgement;
      this.window = segment.readUInt16BE(14);
      this.segment(ACK, Buffer.alloc(0));
    } else {
      if ((flags & ACK) !== 0) {
        this.acknowledged = acknowledgement;
        this.window = segment.readUInt16BE(14);
      }
      // What comes twice (the backend was restarted), or after a gap, is only acknowledged again.
      if (sequence === this.expected) {
        if (data.length > 0) this.segments.push(data.length);
        this.pieces.push(data);
        this.length += data.length;
        this.expected = (this.expected + data.length) >>> 0;
        if ((flags & FIN) !== 0) {
          this.expected = (this.expected + 1) >>> 0;
          this.ended = true;
        }
      }
      if (data.length > 0 || (flags & FIN) !== 0) this.segment(ACK, Buffer.alloc(0));
    }
    this.push();
    this.wake();
  }

  /** Sends what the guest's window has room for. */
  private push(): void {
    if (!this.established || this.wasReset) return;
    while (this.unsent.length > 0) {
      const room = this.window - (this.next - this.acknowledged);
      const length = Math.min(MSS, this.unsent.length, room);
      if (length <= 0) return;
      this.segment(ACK | PSH, this.unsent.subarray(0, length));
      this.next += length;
      this.unsent = this.unsent.subarray(length);
    }
    if (this.closing && !this.finSent) {
      this.segment(ACK | FIN, Buffer.alloc(0));
      this.next += 1;
      this.finSent = true;
    }
  }

  write(bytes: Uint8Array | string): void {
    this.unsent = Buffer.concat([this.unsent, Buffer.from(bytes as Uint8Array)]);
    this.push();
  }

  /** Closes our way once everything is sent. */
  close(): void {
    this.closing = true;
    this.push();
  }

  reset(): void {
    this.segment(RST | ACK, Buffer.alloc(0));
  }

  /** The guest is no more: nobody waits any longer. */
  abandon(): void {
    this.ended = this.wasReset = true;
    this.wake();
  }

  private wake(): void {
    this.waiting = this.waiting.filter(({ condition, resolve }) => {
      if (!condition()) return true;
      resolve();
      return false;
    });
  }

  private until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push({ condition, resolve });
      this.wake();
    });
  }

  /** Waits until the guest has answered the SYN. */
  async opened(): Promise<void> {
    await this.until(() => this.established || this.wasReset);
  }

  private whole(): Buffer {
    if (this.pieces.length !== 1) this.pieces = [Buffer.concat(this.pieces)];
    return this.pieces[0];
  }

  /** All that the guest sends until it closes. */
  async all(): Promise<Buffer> {
    await this.until(() => this.ended);
    return this.bytes(this.length);
  }

  /** Waits for so many bytes, and takes them; fewer when the guest closes before. */
  async bytes(count: number): Promise<Buffer> {
    await this.until(() => this.length >= count || this.ended);
    const whole = this.whole();
    const bytes = whole.subarray(0, count);
    this.pieces = [whole.subarray(count)];
    this.length -= bytes.length;
    return bytes;
  }

  /** Waits for bytes, takes everything up to them and them. */
  async upTo(mark: string): Promise<string> {
    await this.until(() => this.ended || (this.length > 0 && this.whole().includes(mark)));
    const end = this.whole().indexOf(mark);
    return (await this.bytes(end < 0 ? this.length : end + mark.length)).toString("latin1");
  }
}

export interface PeerOptions {
  address?: string;
  mac?: string;
  guestAddress?: string;
  /** Leave checksums blank and say so, as other guests do. */
  blank?: boolean;
}

export class Peer {
  readonly connections = new Map<number, Connection>();
  /** What was wrong with a frame of the guest's; tests look that there was nothing. */
  readonly wrong: string[] = [];
  /** Frames of the guest's by what they are. */
  readonly counts = { arp: 0, tcp: 0, blank: 0, udp: 0, other: 0 };
  onDatagram: (port: number, from: number, bytes: Buffer, sender: string) => void = () => {};
  private readonly guest: NativeGuest;
  private readonly mac: string;
  readonly address: string;
  readonly guestAddress: string;
  private readonly blank: boolean;
  private port = 40000;

  constructor(guest: NativeGuest, options: PeerOptions = {}) {
    this.guest = guest;
    this.mac = options.mac ?? "020000000001";
    this.address = options.address ?? "10.0.0.1";
    this.guestAddress = options.guestAddress ?? "10.0.0.2";
    this.blank = options.blank ?? false;
    void guest.ended.then(() => {
      for (const connection of this.connections.values()) connection.abandon();
    });
    guest.onFrame = (frame) => {
      try {
        this.take(frame);
      } catch (error) {
        this.wrong.push((error as Error).message);
      }
    };
  }

  connect(port: number): Connection {
    const connection = new Connection(this, this.port++, port);
    this.connections.set(connection.localPort, connection);
    connection.open();
    return connection;
  }

  sendDatagram(port: number, from: number, bytes: Uint8Array): void {
    const header = Buffer.alloc(8);
    header.writeUInt16BE(from, 0);
    header.writeUInt16BE(port, 2);
    header.writeUInt16BE(8 + bytes.length, 4);
    this.sendIp(UDP, Buffer.concat([header, bytes]), 6);
  }

  private ethernet(to: string, type: number, payload: Uint8Array, flags: number = 0): void {
    const header = Buffer.from(`${to}${this.mac}${type.toString(16).padStart(4, "0")}`, "hex");
    this.guest.sendFrame(Buffer.concat([header, payload]), flags);
  }

  /** Sends an IPv4 packet; `at` is where its protocol has its checksum. */
  sendIp(protocol: number, payload: Buffer, at: number): void {
    const header = Buffer.alloc(IP);
    header[0] = 0x45;
    header.writeUInt16BE(IP + payload.length, 2);
    header.writeUInt16BE(0x4000, 6);
    header[8] = 64;
    header[9] = protocol;
    header.set(address(this.address), 12);
    header.set(address(this.guestAddress), 16);
    header.writeUInt16BE(checksum(header) ^ 0xffff, 10);
    payload.writeUInt16BE(0, at);
    const pseudo = this.pseudo(header, payload.length);
    payload.writeUInt16BE(this.blank ? checksum(pseudo) : checksum(pseudo, payload) ^ 0xffff, at);
    this.ethernet(GUEST_MAC, 0x0800, Buffer.concat([header, payload]), this.blank ? NETRXF_CSUM_BLANK : 0);
  }

  private pseudo(ip: Buffer, length: number): Buffer {
    return Buffer.concat([ip.subarray(12, 20), Buffer.from([0, ip[9], length >> 8, length & 255])]);
  }

  private take(frame: Frame): void {
    const { bytes, flags } = frame;
    must(bytes.length >= ETH && bytes.length <= ETH + 1500, `a frame of ${bytes.length} bytes`);
    must(bytes.toString("hex", 6, 12) === GUEST_MAC, `a frame from ${bytes.toString("hex", 6, 12)}`);
    const to = bytes.toString("hex", 0, 6);
    must(to === this.mac || to === BROADCAST, `a frame to ${to}`);
    const type = bytes.readUInt16BE(12);
    if (type === 0x0806) this.takeArp(bytes.subarray(ETH));
    else if (type === 0x0800) this.takeIp(bytes.subarray(ETH), (flags & NETTXF_CSUM_BLANK) !== 0);
    else this.counts.other += 1;
  }

  private takeArp(arp: Buffer): void {
    this.counts.arp += 1;
    const target = [...arp.subarray(24, 28)].join(".");
    if (arp.readUInt16BE(6) !== 1 || target !== this.address) return;
    const answer = Buffer.from(`0001080006040002${this.mac}`, "hex");
    this.ethernet(
      GUEST_MAC,
      0x0806,
      Buffer.concat([answer, address(this.address), arp.subarray(8, 14), arp.subarray(14, 18)]),
    );
  }

  private takeIp(packet: Buffer, blank: boolean): void {
    must(packet[0] === 0x45 && checksum(packet.subarray(0, IP)) === 0xffff, "a wrong IPv4 header");
    const whole = packet.subarray(0, packet.readUInt16BE(2));
    const payload = whole.subarray(IP);
    const pseudo = this.pseudo(whole, payload.length);
    const at = whole[9] === TCP ? 16 : 6;
    if (blank) {
      this.counts.blank += 1;
      must(payload.readUInt16BE(at) === checksum(pseudo), "a blank checksum without the pseudo header's sum");
    } else if (whole[9] === TCP || payload.readUInt16BE(at) !== 0) {
      must(checksum(pseudo, payload) === 0xffff, `a wrong checksum of protocol ${whole[9]}`);
    }
    if (whole[9] === TCP) {
      this.counts.tcp += 1;
      this.connections.get(payload.readUInt16BE(2))?.take(payload);
    } else if (whole[9] === UDP) {
      this.counts.udp += 1;
      const sender = [...whole.subarray(12, 16)].join(".");
      this.onDatagram(payload.readUInt16BE(2), payload.readUInt16BE(0), payload.subarray(8), sender);
    }
  }
}
