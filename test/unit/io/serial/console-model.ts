/** A model of a virtio console with named ports (virtio 1.1, 5.3), which behaves as QEMU's virtio-serial does. */
import {
  VIRTIO_CONSOLE_DEVICE_READY,
  VIRTIO_CONSOLE_F_MULTIPORT,
  VIRTIO_CONSOLE_F_SIZE,
  VIRTIO_CONSOLE_PORT_ADD,
  VIRTIO_CONSOLE_PORT_NAME,
  VIRTIO_CONSOLE_PORT_OPEN,
  VIRTIO_CONSOLE_PORT_READY,
  VirtioConsoleConfig,
  VirtioConsoleControl,
} from "../../../../abi/io/virtio-console.ts";
import { VIRTIO_ID_CONSOLE } from "../../../../abi/io/virtio.ts";
import { VirtioModel, type VirtioOptions } from "../drivers/virtio-model.ts";
import { type Chain, piecesBytes } from "../drivers/virtio-ring.ts";

const CONTROL_RX = 2;
const CONTROL_TX = 3;
export const CONSOLE_FEATURES = [VIRTIO_CONSOLE_F_SIZE, VIRTIO_CONSOLE_F_MULTIPORT];

/** A port's two queues. */
export const rxQueue = (port: number) => (port === 0 ? 0 : 2 * port + 2);
export const txQueue = (port: number) => rxQueue(port) + 1;

/** What a port's host has. */
interface HostEnd {
  name: string;
  open: boolean;
  /** The driver's end is open. */
  guestOpen: boolean;
  /** From the driver. */
  received: Buffer[];
  /** To the driver, not taken by it yet. */
  unsent: Buffer;
  /** The host does not read: what was sent to it waits in the queue. */
  throttled: boolean;
}

export class VirtioConsoleModel extends VirtioModel {
  readonly ports = new Map<number, HostEnd>();
  /** Messages from the driver: port, event, value. */
  readonly messages: [number, number, number][] = [];

  /** @param names of ports by their numbers */
  constructor(names: Record<number, string>, max: number, options: Partial<VirtioOptions> = {}) {
    const config = new Uint8Array(VirtioConsoleConfig.SIZE);
    new DataView(config.buffer).setUint32(VirtioConsoleConfig.max_nr_ports, max, true);
    super(VIRTIO_ID_CONSOLE, 0x078000, {
      features: CONSOLE_FEATURES,
      queues: 2 * max + 2,
      queueSize: 128,
      config,
      msixVectors: 2,
      ...options,
    });
    for (const [number, name] of Object.entries(names)) {
      const end = { name, open: false, guestOpen: false, received: [], unsent: Buffer.alloc(0), throttled: false };
      this.ports.set(Number(number), end);
    }
  }

  protected override onReset(): void {
    for (const port of this.ports.values()) port.guestOpen = false;
  }

  protected override serve(queue: number): void {
    if (queue === CONTROL_RX) return;
    for (const [number, port] of this.ports) {
      if (queue === rxQueue(number)) {
        this.feed(number);
        return;
      }
      if (queue === txQueue(number) && port.throttled && port.open) return;
    }
    super.serve(queue);
  }

  protected override handle(queue: number, chain: Chain): number | null {
    const bytes = this.memory.read(chain.readable);
    if (chain.writable.length !== 0) this.machine.violation("bytes to send with room to write");
    if (queue === CONTROL_TX) this.message(bytes);
    else {
      for (const [number, port] of this.ports) {
        // QEMU drops what is sent to an end that nobody has open.
        if (queue === txQueue(number) && port.open) port.received.push(Buffer.from(bytes));
      }
    }
    return 0;
  }

  private message(bytes: Buffer): void {
    if (bytes.length !== VirtioConsoleControl.SIZE) {
      this.machine.violation("a message of another size");
      return;
    }
    const id = bytes.readUInt32LE(VirtioConsoleControl.id);
    const event = bytes.readUInt16LE(VirtioConsoleControl.event);
    const value = bytes.readUInt16LE(VirtioConsoleControl.value);
    this.messages.push([id, event, value]);
    if (event === VIRTIO_CONSOLE_DEVICE_READY) {
      for (const number of this.ports.keys()) this.tellDriver(number, VIRTIO_CONSOLE_PORT_ADD, 1);
      return;
    }
    const port = this.ports.get(id);
    if (port === undefined) this.machine.violation(`a message about port ${id}, which there is not`);
    else if (event === VIRTIO_CONSOLE_PORT_READY) {
      this.tellDriver(id, VIRTIO_CONSOLE_PORT_NAME, 1, port.name);
      if (port.open) this.tellDriver(id, VIRTIO_CONSOLE_PORT_OPEN, 1);
    } else if (event === VIRTIO_CONSOLE_PORT_OPEN) {
      port.guestOpen = value === 1;
      this.feed(id);
    }
  }

  /** A message to the driver; lost when it has no room, as in QEMU. */
  tellDriver(id: number, event: number, value: number, name = ""): boolean {
    const bytes = Buffer.alloc(VirtioConsoleControl.SIZE + name.length);
    bytes.writeUInt32LE(id, VirtioConsoleControl.id);
    bytes.writeUInt16LE(event, VirtioConsoleControl.event);
    bytes.writeUInt16LE(value, VirtioConsoleControl.value);
    bytes.write(name, VirtioConsoleControl.SIZE, "latin1");
    return this.tellRaw(bytes);
  }

  /** Any bytes as a message. */
  tellRaw(bytes: Buffer): boolean {
    if (!this.running) return false;
    const chain = this.ring(CONTROL_RX).pop();
    if (chain === null) return false;
    const part = bytes.subarray(0, piecesBytes(chain.writable));
    this.memory.write(chain.writable, part);
    this.finish(CONTROL_RX, chain, part.length);
    return true;
  }

  // --- The host's end -------------------------------------------------------------------------------------------------------

  private end(port: number): HostEnd {
    return this.ports.get(port)!;
  }

  open(port: number): void {
    this.end(port).open = true;
    this.tellDriver(port, VIRTIO_CONSOLE_PORT_OPEN, 1);
  }

  /** Closed: what waits in the queue to be sent to it is dropped. */
  close(port: number): void {
    const end = this.end(port);
    end.open = false;
    end.throttled = false;
    end.unsent = Buffer.alloc(0);
    if (this.running) this.serve(txQueue(port));
    this.tellDriver(port, VIRTIO_CONSOLE_PORT_OPEN, 0);
  }

  /** Sends bytes: those that the driver has no room for wait. */
  hostSends(port: number, bytes: Uint8Array): void {
    const end = this.end(port);
    end.unsent = Buffer.concat([end.unsent, bytes]);
    this.feed(port);
  }

  /** Reads again. */
  resume(port: number): void {
    this.end(port).throttled = false;
    if (this.running) this.serve(txQueue(port));
  }

  /** All that has come, which is then forgotten. */
  take(port: number): Buffer {
    return Buffer.concat(this.end(port).received.splice(0));
  }

  private feed(port: number): void {
    const end = this.end(port);
    const { ring } = this.queues[rxQueue(port)]!;
    if (!this.running || !end.guestOpen || ring === null || this.silent) return;
    while (end.unsent.length > 0) {
      let chain = ring.pop();
      if (chain === null) {
        ring.sleep();
        chain = ring.pop();
      }
      if (chain === null) return;
      const part = end.unsent.subarray(0, piecesBytes(chain.writable));
      this.memory.write(chain.writable, part);
      end.unsent = end.unsent.subarray(part.length);
      this.finish(rxQueue(port), chain, part.length);
    }
  }
}
