/** A domain of the fake hypervisor: its frames, ports and parameters. */
const PAGE = 4096;

/** One end of an event channel in domain 0 or a guest. */
export interface Port {
  domain: FakeDomain | null;
  peer: Port | null;
  /** Port number in its domain. */
  number: number;
  state: "unbound" | "interdomain" | "virq";
}

export class FakeDomain {
  readonly frames = new Map<number, Uint8Array>();
  readonly ports = new Map<number, Port>();
  readonly params = new Map<number, number>();
  handle = new Uint8Array(16);
  vcpus = 0;
  maxPages = 0;
  pauses = 1;
  shutdown: number | null = null;
  context: Uint8Array | null = null;
  /** What XENMEM_set_memory_map gave: start, size and type of each range. */
  memoryMap: number[][] = [];
  /** Domain 0's mappings of its frames. */
  mapped = 0;

  constructor(readonly id: number) {}

  /** Bytes of guest-physical memory, across frames. */
  read(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) {
      const frame = this.frames.get(Math.floor((address + i) / PAGE));
      if (frame === undefined) throw new RangeError(`guest has nothing at ${address + i}`);
      bytes[i] = frame[(address + i) % PAGE]!;
    }
    return bytes;
  }
}
