/** A serial port's shared pages in Node, the other end of which the test is; and domain 0's code above them. */
import { SERIAL_RING_BYTES, SerialPage } from "../../../../abi/io/control-serial.ts";
import { Line } from "../../../../toolstack/control/serial/line.ts";
import { type SerialConnection, SerialPort } from "../../../../toolstack/control/serial/port.ts";

export class FakePort {
  readonly page = Buffer.alloc(SerialPage.SIZE);
  line!: Line;
  port!: SerialPort;
  readonly clients: SerialConnection[] = [];
  private greetings = 0;
  private wanted = false;

  constructor() {
    this.start();
  }

  /** A new domain 0 has begun. */
  start(): void {
    const { page } = this;
    this.line = new Line({
      load32: (offset) => page.readUInt32LE(offset),
      store32: (offset, value) => page.writeUInt32LE(value >>> 0, offset),
      readInto: (offset, into) => into.set(page.subarray(offset, offset + into.length)),
      write: (offset, bytes) => page.set(bytes, offset),
    });
    this.port = new SerialPort(
      this.line,
      "virtio-console:1",
      (connection) => this.clients.push(connection),
      () => (++this.greetings).toString(16).padStart(16, "0"),
      () => (this.wanted = true),
    );
  }

  /** The I/O domain has notified: domain 0 works until nothing is left to do. */
  run(): void {
    this.port.tell();
    while (this.wanted) {
      this.wanted = false;
      while (this.port.pump());
    }
  }

  /** The host's end is opened or closed. */
  change(): void {
    this.page.writeUInt32LE(this.page.readUInt32LE(SerialPage.connection) + 1, SerialPage.connection);
    this.run();
  }

  /** Bytes come from outside; as many as there is room for. */
  receive(bytes: Uint8Array, run = true): number {
    const produced = this.page.readUInt32LE(SerialPage.rxProduced);
    const room = SERIAL_RING_BYTES - (produced - this.page.readUInt32LE(SerialPage.rxConsumed));
    const part = bytes.subarray(0, room);
    part.forEach((byte, i) => (this.page[SerialPage.rx + ((produced + i) % SERIAL_RING_BYTES)] = byte));
    this.page.writeUInt32LE(produced + part.length, SerialPage.rxProduced);
    if (run) this.run();
    return part.length;
  }

  /** What domain 0 has sent. */
  sent(): string {
    const produced = this.page.readUInt32LE(SerialPage.txProduced);
    let text = "";
    for (let at = this.page.readUInt32LE(SerialPage.txConsumed); at < produced; at++) {
      text += String.fromCharCode(this.page[SerialPage.tx + (at % SERIAL_RING_BYTES)]!);
    }
    this.page.writeUInt32LE(produced, SerialPage.txConsumed);
    this.run();
    return text;
  }
}

/** Everything that a connection has now. */
export function readAll(connection: SerialConnection): string {
  const into = new Uint8Array(100);
  let text = "";
  for (let bytes: number; (bytes = connection.read(into)) > 0;) {
    text += Buffer.from(into.subarray(0, bytes)).toString("latin1");
  }
  return text;
}
