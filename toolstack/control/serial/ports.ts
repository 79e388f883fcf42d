/**
 * The serial ports on the machine: those of which the I/O domain has told in its control page. Its restart, or one of the channel, ends
 * their clients; a restart of domain 0 has them greeted anew.
 */
import { SERIAL_PORTS, SerialPage } from "../../../abi/io/control-serial.ts";
import { IO_DOMAIN } from "../../../abi/io/layout.ts";
import { clockWords, systemTime } from "../clock.ts";
import { memory } from "../host.ts";
import { HypercallError } from "../hypercall.ts";
import { foreignFrames, mapForeign, unmapPage } from "../hypercalls/memory.ts";
import { SERIAL_WINDOW } from "../map-space.ts";
import type { SharedPorts } from "../noxs/channel.ts";
import { Task } from "../tasks.ts";
import { PAGE_SIZE } from "../window.ts";
import { Line } from "./line.ts";
import { type SerialConnection, SerialPort } from "./port.ts";

const PAGES = SerialPage.SIZE / PAGE_SIZE;
/** All ports have the same name in front of the colon: who has failed on one waits on each. */
const NAME = "virtio-console";

interface Port {
  address: number;
  line: Line;
  port: SerialPort;
}

export class SerialPorts implements SharedPorts {
  private readonly ports: Port[] = [];
  private readonly task = new Task("the serial ports", () => this.pump());
  private accept: ((connection: SerialConnection) => void) | null = null;
  private greetings = 0;
  /** Frames that there are, whether they are used or not. */
  private frames: readonly number[] = [];

  /** @param notify notifies the I/O domain */
  constructor(
    private readonly notify: () => void,
    private readonly log: (text: string) => void,
  ) {}

  /** Ports that there are. */
  get count(): number {
    return this.frames.length;
  }

  /** From now on, `accept` is given each client. */
  listen(accept: (connection: SerialConnection) => void): void {
    this.accept = accept;
    this.take();
  }

  /** The I/O domain has told of those ports, or of more than before. */
  found(frames: readonly number[]): void {
    this.frames = frames;
    this.take();
  }

  /** The I/O domain has notified. */
  notified(): void {
    for (const { port } of this.ports) port.tell();
  }

  /** The I/O domain, and the ports with it, are gone. */
  lost(): void {
    this.frames = [];
    for (const { address, port } of this.ports.splice(0)) {
      port.lose();
      for (let page = 0; page < PAGES; page++) unmapPage(address + page * PAGE_SIZE);
    }
  }

  private take(): void {
    if (this.accept === null) return;
    while (this.ports.length < Math.min(this.frames.length, SERIAL_PORTS)) {
      const index = this.ports.length;
      const address = SERIAL_WINDOW + index * PAGES * PAGE_SIZE;
      const list = foreignFrames();
      for (let page = 0; page < PAGES; page++) list[2 * page] = this.frames[index]! + page;
      try {
        mapForeign(IO_DOMAIN, PAGES, address);
      } catch (error) {
        if (!(error instanceof HypercallError)) throw error;
        // Its pages are none of the I/O domain's: it is broken, or was restarted just now.
        this.frames = this.frames.slice(0, index);
        this.log(`control: ${NAME}:${index + 1} cannot be used: ${error.message}`);
        return;
      }
      this.add(address, index);
    }
  }

  private add(address: number, index: number): void {
    const line = new Line({
      load32: (offset) => memory.load32(address + offset),
      store32: (offset, value) => memory.store32(address + offset, value),
      readInto: (offset, into) => memory.readInto(address + offset, into),
      write: (offset, bytes) => memory.write(address + offset, bytes),
    });
    const accept = this.accept!;
    const soon = () => this.task.request();
    const port = new SerialPort(line, `${NAME}:${index + 1}`, accept, () => this.number(), soon);
    this.ports.push({ address, line, port });
    soon();
  }

  /** Another for each greeting, of this domain 0 and earlier ones. */
  private number(): string {
    const time = clockWords().reduce((sum, word) => (Math.imul(sum, 31) + word) >>> 0, ++this.greetings);
    const low = Math.floor(systemTime() / 16) >>> 0;
    return time.toString(16).padStart(8, "0") + low.toString(16).padStart(8, "0");
  }

  private pump(): boolean {
    let more = false;
    let notify = false;
    for (const { line, port } of [...this.ports]) {
      if (port.pump()) more = true;
      if (line.takeNotify()) notify = true;
    }
    if (notify) this.notify();
    return more;
  }
}
