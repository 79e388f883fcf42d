/**
 * Captures of what passes a bridge, as a pcap file (IETF draft-ietf-opsawg-pcap, with times in nanoseconds). The I/O domain keeps the
 * latest frames in a ring of fixed size (noxs/net/capture.ts); they are read from there in parts, so that nothing here grows with
 * their number.
 */
import { EIO } from "../../../abi/errno.ts";
import { IO_BRIDGE_CAPTURE, IO_BRIDGE_DUMP } from "../../../abi/io/control.ts";
import {
  BridgeCapture,
  BridgeCaptureResponse,
  BridgeDump,
  BridgeDumpResponse,
  CaptureRecord,
} from "../../../abi/io/control-net.ts";
import { systemTime, wallTimeMs } from "../clock.ts";
import { pause, type Interruption } from "../interruption.ts";
import { Fields, IoError, Payload, type IoRequests } from "./io-requests.ts";

/** How long to wait for more, ms, when there is nothing. */
const IDLE_MS = 50;

const MAGIC_NS = 0xa1b23c4d;
const VERSION = 0x00040002; // minor << 16 | major
const LINK_ETHERNET = 1;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const NS = 1e9;

export interface CaptureLimits {
  /** Bytes of each frame. */
  bytes: number;
  /** It ends after so many frames, or so long. */
  frames: number;
  seconds: number;
}

export interface CaptureResult {
  frames: number;
  /** Frames that were overwritten before they were read. */
  lost: number;
  /** How often the I/O domain was restarted meanwhile: what was not read of the one before is missing, and not counted. */
  restarts: number;
}

/** Whether a frame is to be in the file, by its first bytes. */
export type Wanted = (frame: Uint8Array) => boolean;

/** Takes the file's next bytes. */
type Write = (bytes: Uint8Array) => Promise<void>;

/** What is to be added to system time, for 1970: whole seconds and nanoseconds. */
export interface WallClock {
  seconds: number;
  ns: number;
}

/** A pcap file that is being written. */
export class PcapFile {
  frames = 0;
  lost = 0;
  /** Number of the latest frame. */
  private latest = 0;

  constructor(
    private readonly limits: Pick<CaptureLimits, "bytes" | "frames">,
    private readonly clock: WallClock,
    private readonly write: Write,
    private readonly wanted: Wanted = () => true,
  ) {}

  get full(): boolean {
    return this.frames >= this.limits.frames;
  }

  /** What is in front of all frames. */
  async begin(): Promise<void> {
    const header = new Payload(FILE_HEADER_BYTES).u32(0, MAGIC_NS).u32(4, VERSION);
    await this.write(header.u32(16, this.limits.bytes).u32(20, LINK_ETHERNET).bytes);
  }

  /** A capture begins anew: its frames' numbers do. */
  beginAgain(): void {
    this.latest = 0;
  }

  /** Adds frames as the I/O domain has them (CaptureRecord), until the file is full. */
  async add(records: Uint8Array): Promise<void> {
    for (let at = 0; at < records.length && !this.full;) {
      const record = new Fields(records.subarray(at, at + CaptureRecord.SIZE));
      const number = record.u32(CaptureRecord.number);
      this.lost += (number - this.latest - 1) >>> 0;
      this.latest = number;
      at += CaptureRecord.SIZE;
      const captured = record.u32(CaptureRecord.captured);
      const data = records.subarray(at, at + captured);
      at += (captured + 7) & ~7;
      if (!this.wanted(data)) continue;
      await this.write(this.frame(record, data));
      this.frames++;
    }
  }

  private frame(record: Fields, data: Uint8Array): Uint8Array {
    const time = record.u64(CaptureRecord.time) + this.clock.ns;
    return new Payload(RECORD_HEADER_BYTES + data.length)
      .u32(0, this.clock.seconds + Math.floor(time / NS))
      .u32(4, time % NS)
      .u32(8, data.length)
      .u32(12, record.u32(CaptureRecord.length))
      .put(RECORD_HEADER_BYTES, data).bytes;
  }
}

/**
 * Captures a bridge's frames until a limit is reached or the user interrupts; what came until then is in the file.
 * @throws IoError: ENOENT no such bridge, also when it is deleted meanwhile
 */
export async function captureBridge(
  io: IoRequests,
  bridge: string,
  limits: CaptureLimits,
  interruption: Interruption,
  write: Write,
  wanted?: Wanted,
): Promise<CaptureResult> {
  const end = systemTime() + limits.seconds * NS;
  const file = new PcapFile(limits, wallClock(), write, wanted);
  let restarts = 0;
  let position = await start(io, bridge, limits.bytes);
  await file.begin();
  const add = async (part: Part): Promise<void> => {
    position = part.position;
    await file.add(part.records);
  };
  while (!interruption.raised && !file.full && systemTime() < end) {
    const part = await read(io, bridge, position);
    if (part.running) {
      await add(part);
      if (part.records.length === 0) await pause(IDLE_MS, interruption);
    } else {
      restarts++;
      position = await start(io, bridge, limits.bytes);
      file.beginAgain();
    }
  }
  await start(io, bridge, 0);
  while (!file.full) {
    const part = await read(io, bridge, position);
    if (part.records.length === 0) break;
    await add(part);
  }
  return { frames: file.frames, lost: file.lost, restarts };
}

/** A part of what was captured. */
interface Part {
  position: number;
  records: Uint8Array;
  /** The capture goes on. */
  running: boolean;
}

/** Starts a capture, or with 0 bytes ends it; returns the position in front of its first frame. */
async function start(io: IoRequests, bridge: string, bytes: number): Promise<number> {
  const payload = new Payload(BridgeCapture.SIZE).name(BridgeCapture.name, bridge).u32(BridgeCapture.bytes, bytes);
  const { payload: answer } = await patient(() => io.request(IO_BRIDGE_CAPTURE, payload.bytes));
  return new Fields(answer).u64(BridgeCaptureResponse.position);
}

async function read(io: IoRequests, bridge: string, position: number): Promise<Part> {
  const payload = new Payload(BridgeDump.SIZE).name(BridgeDump.name, bridge).u64(BridgeDump.position, position);
  const { payload: answer, bulk } = await patient(() => io.request(IO_BRIDGE_DUMP, payload.bytes));
  const fields = new Fields(answer);
  return {
    position: fields.u64(BridgeDumpResponse.position),
    records: bulk.subarray(0, fields.u32(BridgeDumpResponse.bytes)),
    running: fields.u32(BridgeDumpResponse.capture) !== 0,
  };
}

/** Makes a request that may be made twice; one that the I/O domain was restarted over is. */
async function patient<T>(request: () => Promise<T>): Promise<T> {
  while (true) {
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof IoError) || error.code !== EIO) throw error;
    }
  }
}

function wallClock(): WallClock {
  const ms = wallTimeMs() - systemTime() / 1e6;
  const seconds = Math.floor(ms / 1000);
  return { seconds, ns: Math.round((ms - seconds * 1000) * 1e6) };
}
