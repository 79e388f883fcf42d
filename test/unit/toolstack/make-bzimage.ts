/** Small bzImages for tests: a setup header and a payload that a test compresses as it likes. */

const SECTOR = 512;
const SETUP_SECTS = 2;
/** Where the payload begins behind the setup sectors: in real images a decompressor is there. */
export const PAYLOAD_OFFSET = 0x180;

export interface BzImageOptions {
  /** Boot protocol, 0x20f if not given. */
  version?: number;
  loadflags?: number;
  /** The header's payload_length, where it is not the payload's. */
  payloadLength?: number;
}

/** A bzImage around `payload`, to which the size must already be appended. */
export function makeBzImage(payload: Uint8Array, options: BzImageOptions = {}): Buffer {
  const start = (SETUP_SECTS + 1) * SECTOR + PAYLOAD_OFFSET;
  const bytes = Buffer.alloc(start + payload.length);
  bytes[0x1f1] = SETUP_SECTS;
  bytes.writeUInt16LE(0xaa55, 0x1fe);
  bytes.write("HdrS", 0x202, "latin1");
  bytes.writeUInt16LE(options.version ?? 0x20f, 0x206);
  bytes[0x211] = options.loadflags ?? 1;
  bytes.writeUInt32LE(PAYLOAD_OFFSET, 0x248);
  bytes.writeUInt32LE(options.payloadLength ?? payload.length, 0x24c);
  bytes.set(payload, start);
  return bytes;
}

/** `compressed` with the 32-bit size behind it that Linux's build appends (gzip has it already). */
export function withSize(compressed: Uint8Array, size: number): Buffer {
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(size >>> 0);
  return Buffer.concat([compressed, tail]);
}
