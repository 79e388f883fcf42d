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

/** A part of what was captured. */
interface Part {
  position: number;
  records: Uint8Array;
  /** The capture goes on. */
  running: boolean;
}

/**
 * Captures a bridge's frames until a limit is reached or the user interrupts; what came until then is in the file.
 * @param write takes the file's next bytes
 * @throws IoError: ENOENT no such bridge, also when it is deleted meanwhile
 */
export async function captureBridge(
  io: IoRequests,
  bridge: string,
  limits: CaptureLimits,
  interruption: Interruption,
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<CaptureResult> {
  const result: CaptureResult = { frames: 0, lost: 0, restarts: 0 };
  const end = systemTime() + limits.seconds * NS;
  let position = await start(io, bridge, limits.bytes);
  const clock = wallClock();
  /** Number of the latest frame. */
  let latest = 0;
  await write(fileHeader(limits.bytes));
  const take = async (part: Part): Promise<void> => {
    position = part.position;
    for (let at = 0; at < part.records.length && result.frames < limits.frames;) {
      const record = new Fields(part.records.subarray(at, at + CaptureRecord.SIZE));
      const number = record.u32(CaptureRecord.number);
      result.lost += (number - latest - 1) >>> 0;
      latest = number;
      at += CaptureRecord.SIZE;
      const captured = record.u32(CaptureRecord.captured);
      await write(fileRecord(record, part.records.subarray(at, at + captured), clock));
      result.frames++;
      at += (captured + 7) & ~7;
    }
  };
  while (!interruption.raised && result.frames < limits.frames && systemTime() < end) {
    const part = await read(io, bridge, position);
    if (part.running) {
      await take(part);
      if (part.records.length === 0) await pause(IDLE_MS, interruption);
    } else {
      result.restarts++;
      position = await start(io, bridge, limits.bytes);
      latest = 0;
    }
  }
  await start(io, bridge, 0);
  while (result.frames < limits.frames) {
    const part = await read(io, bridge, position);
    if (part.records.length === 0) break;
    await take(part);
  }
  return result;
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

/** What is to be added to system time, for 1970: whole seconds and nanoseconds. */
function wallClock(): { seconds: number; ns: number } {
  const ms = wallTimeMs() - systemTime() / 1e6;
  const seconds = Math.floor(ms / 1000);
  return { seconds, ns: Math.round((ms - seconds * 1000) * 1e6) };
}

function fileHeader(most: number): Uint8Array {
  const header = new Payload(FILE_HEADER_BYTES).u32(0, MAGIC_NS).u32(4, VERSION);
  return header.u32(16, most).u32(20, LINK_ETHERNET).bytes;
}

function fileRecord(record: Fields, data: Uint8Array, clock: { seconds: number; ns: number }): Uint8Array {
  const time = record.u64(CaptureRecord.time) + clock.ns;
  return new Payload(RECORD_HEADER_BYTES + data.length)
    .u32(0, clock.seconds + Math.floor(time / NS))
    .u32(4, time % NS)
    .u32(8, data.length)
    .u32(12, record.u32(CaptureRecord.length))
    .put(RECORD_HEADER_BYTES, data).bytes;
}
