/** The serial ports' module on a machine with a virtio console, and domain 0's ends. */
import { SERIAL_PORTS } from "../../../../abi/io/control-serial.ts";
import { ControlPage } from "../../../../abi/io/control.ts";
import { IO_CONTROL } from "../../../../abi/io/layout.ts";
import { Line } from "../../../../toolstack/control/serial/line.ts";
import { compileEntry, IoMachine } from "../drivers/machine.ts";
import type { PciFunction } from "../drivers/pci-function.ts";

const module = compileEntry("unit-serial", "noxs/serial/unit-test-entry.ts", ["drivers", "noxs/serial"]);

export class SerialHost {
  private constructor(readonly machine: IoMachine) {}

  static async start(...functions: [number, PciFunction][]): Promise<SerialHost> {
    return await SerialHost.with({}, ...functions);
  }

  /** @param gives the kinds of interrupts that there are, where not all are */
  static async with(gives: Partial<IoMachine["gives"]>, ...functions: [number, PciFunction][]): Promise<SerialHost> {
    const machine = IoMachine.of(await module, ...functions);
    Object.assign(machine.gives, gives);
    machine.exports["begin"]!();
    machine.run();
    return new SerialHost(machine);
  }

  /** Addresses of the ports' pages that domain 0 was told of. */
  get pages(): number[] {
    const frames = Array.from({ length: SERIAL_PORTS }, (_, i) =>
      this.machine.view.getUint32(IO_CONTROL + ControlPage.serial + 4 * i, true),
    );
    return frames.filter((frame) => frame !== 0).map((frame) => frame * 4096);
  }

  /** Domain 0's end of a port, as a domain 0 that has just started has it. */
  line(index: number): Line {
    const page = this.pages[index]!;
    const { view, bytes } = this.machine;
    const line = new Line({
      load32: (offset) => view.getUint32(page + offset, true),
      store32: (offset, value) => view.setUint32(page + offset, value, true),
      readInto: (offset, into) => into.set(bytes.subarray(page + offset, page + offset + into.length)),
      write: (offset, from) => bytes.set(from, page + offset),
    });
    this.settle(line);
    return line;
  }

  /** A field of a port's page, spoilt. */
  spoil(index: number, offset: number, value: number): void {
    this.machine.view.setUint32(this.pages[index]! + offset, value, true);
  }

  field(index: number, offset: number): number {
    return this.machine.view.getUint32(this.pages[index]! + offset, true);
  }

  /** Domain 0 notifies if it has cause to; both sides work until nothing is left to do. */
  settle(...lines: Line[]): void {
    this.machine.run();
    for (let rounds = 0; lines.some((line) => line.takeNotify()); rounds++) {
      if (rounds > 1000) throw new Error("domain 0 and the I/O domain do not come to rest");
      this.notify();
    }
  }

  notify(): void {
    this.machine.exports["notify"]!();
    this.machine.run();
  }

  /** Everything that can be read, with the I/O domain told of the room. */
  drain(line: Line): Buffer {
    const into = new Uint8Array(5000);
    const parts: Buffer[] = [];
    for (let bytes: number; (bytes = line.read(into)) > 0; this.settle(line)) {
      parts.push(Buffer.from(into.subarray(0, bytes)));
    }
    return Buffer.concat(parts);
  }
}

/** Bytes that tell their place. */
export function pattern(bytes: number, seed = 0): Buffer {
  return Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + (i >> 8) * 13 + seed) & 255));
}
