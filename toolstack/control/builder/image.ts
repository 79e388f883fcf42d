/** A file as the domain builder sees it: a boot module in the window, or bytes in a test. */
import { memory } from "../host.ts";

export interface Image {
  /** Name for messages. */
  readonly name: string;
  /** What finds it again where that is not its name: of one that was uploaded. */
  readonly reference?: string;
  /** It was removed: its memory may be another's. */
  readonly removed?: boolean;
  /** Bytes. */
  readonly size: number;
  /** Address in the window when the image is there, for copying without the engine's heap between. */
  readonly address: number;
  /** A copy of `length` bytes; the range lies within the image. */
  read(offset: number, length: number): Uint8Array;
}

/** An image in the window: a boot module, by its name. */
export class WindowImage implements Image {
  declare readonly reference?: string;
  declare removed?: boolean;

  constructor(
    readonly name: string,
    readonly address: number,
    readonly size: number,
  ) {}

  read(offset: number, length: number): Uint8Array {
    return memory.read(this.address + offset, length);
  }
}
