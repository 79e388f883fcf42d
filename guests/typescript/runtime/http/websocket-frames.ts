/** WebSocket's frames (RFC 6455, section 5): a client's are masked, a server's are not. */
import { joined } from "../data/join.ts";

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** The largest message that is put together. */
const MESSAGE_MOST = 16 * 1024 * 1024;

/** What the other side may not do; `code` is for the Close frame. */
export class FrameError extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

/** A whole frame; `mask`: four random bytes. */
export function encodeFrame(opcode: number, payload: Uint8Array, mask: Uint8Array): Uint8Array {
  const { length } = payload;
  const extended = length < 126 ? 0 : length < 65536 ? 2 : 8;
  const frame = new Uint8Array(2 + extended + 4 + length);
  const view = new DataView(frame.buffer);
  frame[0] = 0x80 | opcode;
  frame[1] = 0x80 | (extended === 0 ? length : extended === 2 ? 126 : 127);
  if (extended === 2) view.setUint16(2, length);
  if (extended === 8) view.setBigUint64(2, BigInt(length));
  frame.set(mask, 2 + extended);
  const at = 6 + extended;
  for (let i = 0; i < length; i++) frame[at + i] = payload[i]! ^ mask[i & 3]!;
  return frame;
}

export interface Message {
  opcode: number;
  payload: Uint8Array;
}

/** Cuts a server's bytes into messages: fragments are put together, control frames come between them. */
export class FrameParser {
  private rest: Uint8Array = new Uint8Array(0);
  private fragments: Uint8Array[] = [];
  private opcode: number = OPCODE.continuation;

  /** @throws FrameError for what the protocol forbids */
  *push(bytes: Uint8Array): Generator<Message> {
    this.rest = joined([this.rest, bytes]);
    for (;;) {
      const frame = this.take();
      if (frame === undefined) return;
      const message = this.assemble(frame);
      if (message !== undefined) yield message;
    }
  }
  private take(): { final: boolean; opcode: number; payload: Uint8Array } | undefined {
    const { rest } = this;
    if (rest.length < 2) return undefined;
    const [first, second] = [rest[0]!, rest[1]!];
    const short = second & 0x7f;
    const head = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0);
    if ((first & 0x70) !== 0) throw new FrameError(1002, "reserved bits are set");
    if ((second & 0x80) !== 0) throw new FrameError(1002, "a server's frame is masked");
    if (rest.length < head) return undefined;
    const view = new DataView(rest.buffer, rest.byteOffset);
    const length = short === 126 ? view.getUint16(2) : short === 127 ? Number(view.getBigUint64(2)) : short;
    const opcode = first & 0x0f;
    const final = (first & 0x80) !== 0;
    if (opcode >= 8 && (!final || length > 125))
      throw new FrameError(1002, "a control frame is too long, or in fragments");
    if (length > MESSAGE_MOST) throw new FrameError(1009, "a message is too long");
    if (rest.length < head + length) return undefined;
    this.rest = rest.subarray(head + length);
    return { final, opcode, payload: rest.slice(head, head + length) };
  }
  private assemble({
    final,
    opcode,
    payload,
  }: {
    final: boolean;
    opcode: number;
    payload: Uint8Array;
  }): Message | undefined {
    if (opcode >= 8) {
      if (opcode > OPCODE.pong) throw new FrameError(1002, `the opcode ${opcode} is not known`);
      return { opcode, payload };
    }
    if (opcode > OPCODE.binary) throw new FrameError(1002, `the opcode ${opcode} is not known`);
    if ((opcode === OPCODE.continuation) !== this.fragments.length > 0)
      throw new FrameError(1002, "fragments are out of order");
    if (opcode !== OPCODE.continuation) this.opcode = opcode;
    this.fragments.push(payload);
    if (this.fragments.reduce((sum, part) => sum + part.length, 0) > MESSAGE_MOST)
      throw new FrameError(1009, "a message is too long");
    if (!final) return undefined;
    return { opcode: this.opcode, payload: joined(this.fragments.splice(0)) };
  }
}
