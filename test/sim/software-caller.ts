/**
 * A software-isolated domain played by the test: its linear memory is the frames that the hypervisor maps there, and it makes
 * hypercalls through its call page whenever the test says so, between two steps of the hypervisor.
 */
import { CallPage } from "../../abi/software.ts";
import type { Machine } from "./machine.ts";
import { PAGE } from "./ram.ts";

export interface SoftwarePlace {
  /** Number of its linear memory. */
  space: number;
  callPage: number;
  /** Where argument structures are put. */
  buffer: number;
}

export class SoftwareCaller {
  constructor(
    readonly machine: Machine,
    private readonly place: SoftwarePlace,
  ) {}

  /** The bytes behind one page of its memory; touches it first as a page fault would. Throws RangeError where it has none. */
  page(address: number, write: boolean): Uint8Array {
    const { space } = this.place;
    const number = Math.floor(address / PAGE);
    let entry = this.machine.space(space).get(number);
    if (!entry || (write && !entry.writable)) {
      if (this.machine.exports.softwareTouch(space, address, write ? 1 : 0) === 0) {
        throw new RangeError(`the domain of space ${space} has nothing at 0x${address.toString(16)}`);
      }
      entry = this.machine.space(space).get(number)!;
    }
    return this.machine.ram.frame(entry.mfn);
  }

  write(address: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const offset = (address + done) % PAGE;
      const part = bytes.subarray(done, done + PAGE - offset);
      this.page(address + done, true).set(part, offset);
      done += part.length;
    }
  }

  read(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const offset = (address + done) % PAGE;
      const part = this.page(address + done, false).subarray(offset, Math.min(PAGE, offset + length - done));
      bytes.set(part, done);
      done += part.length;
    }
    return bytes;
  }

  /** One hypercall; returns its signed result. */
  hypercall(op: number, ...args: (number | bigint)[]): number {
    this.prepare(op, ...args);
    this.machine.exports.softwareHypercall(this.place.space);
    return this.result();
  }

  /** What the latest hypercall returned. */
  result(): number {
    const result = this.read(this.place.callPage + CallPage.result, 8);
    return Number(new DataView(result.buffer).getBigInt64(0, true));
  }

  /** Writes a hypercall into the call page, for the domain's turn to make. */
  prepare(op: number, ...args: (number | bigint)[]): void {
    const call = new DataView(new ArrayBuffer(56));
    call.setBigUint64(CallPage.op, BigInt(op), true);
    args.forEach((arg, i) => call.setBigUint64(CallPage.args + i * 8, BigInt.asUintN(64, BigInt(arg)), true));
    this.write(this.place.callPage, new Uint8Array(call.buffer));
  }

  /** A hypercall with one argument structure; `fill` writes it, the structure as left by the hypervisor comes back. */
  structured(
    op: number,
    command: number | null,
    size: number,
    fill: (view: DataView) => void,
    ...more: number[]
  ): { result: number; view: DataView } {
    const { buffer } = this.place;
    const bytes = new Uint8Array(size);
    fill(new DataView(bytes.buffer));
    this.write(buffer, bytes);
    const args = command === null ? [buffer, ...more] : [command, buffer, ...more];
    const result = this.hypercall(op, ...args);
    const after = this.read(buffer, size);
    return { result, view: new DataView(after.buffer) };
  }
}
