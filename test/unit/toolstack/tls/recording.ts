/**
 * What a client of Node's sends in a session with a server whose random numbers are known. To a server of the same it can be played back,
 * whole or damaged, without a client and without waiting.
 */
import type { Connection } from "../../../../toolstack/control/net/connection.ts";
import { lab, type Lab } from "./lab.ts";
import { connect, readAll, serve } from "./sockets.ts";

export interface Recording {
  /** All that the client sent. */
  bytes: Buffer;
  /** Where its encrypted data begin: what is before belongs to the handshake. */
  data: number;
  /** What it said. */
  text: Buffer;
}

export const SEED = Buffer.alloc(48, 7);

/** A server with random numbers that are the same each time. */
export function sameLab(change: Parameters<typeof lab>[0] = {}, clock?: Parameters<typeof lab>[1]): Lab {
  return lab({ seed: () => SEED, stir: () => new Uint8Array(0), ...change }, clock);
}

/** Ends of the records in `bytes`. */
export function recordEnds(bytes: Buffer): number[] {
  const ends: number[] = [];
  for (let at = 0; at + 5 <= bytes.length;) ends.push((at += 5 + bytes.readUInt16BE(at + 3)));
  return ends;
}

/** @param size of what the client says, at least */
export async function record(size: number = 420): Promise<Recording> {
  const all = sameLab();
  const sent: Buffer[] = [];
  const add = all.server.add.bind(all.server);
  all.server.add = (below: Connection, accept) => {
    const read = below.read.bind(below);
    below.read = (into) => {
      const bytes = read(into);
      sent.push(Buffer.from(into.slice(0, bytes)));
      return bytes;
    };
    add(below, accept);
  };
  const listening = await serve(all);
  const { socket, secured } = connect(listening.port);
  await secured;
  const handshake = Buffer.concat(sent).length;
  const text = Buffer.from("what the client says, ".repeat(Math.ceil(size / 22)));
  socket.write(text.subarray(0, 100));
  socket.end(text.subarray(100));
  const heard = await readAll(await listening.next());
  await listening.close();
  if (!heard.equals(text)) throw new Error("the recording is not what was said");
  return { bytes: Buffer.concat(sent), data: handshake, text };
}
