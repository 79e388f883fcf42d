/** A file as the domain builder sees it: a boot module in the window, or bytes in a test. */
import { memory } from "../host.ts";

export interface Image {
  /** Name for messages. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Address in the window when the image is there, for copying without the engine's heap between. */
  readonly address: number;
  /** A copy of `length` bytes; the range lies within the image. */
  read(offset: number, length: number): Uint8Array;
}

/** An image in the window: a boot module. */
export class WindowImage implements Image {
  constructor(
    readonly name: string,
    readonly address: number,
    readonly size: number,
  ) {}

  read(offset: number, length: number): Uint8Array {
    return memory.read(this.address + offset, length);
  }
}
