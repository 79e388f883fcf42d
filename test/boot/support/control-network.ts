/** Services that domain 0 is given in `js`, and this computer's clients of them. */
import { once } from "node:events";
import net from "node:net";
import type { Machine } from "../../../scripts/machine.ts";
import { COMMAND_MS, evaluate } from "./boot.ts";

/** How long a service may say nothing. */
const SILENCE_MS = 120_000;

export const ECHO = 7;
export const SINK = 9;
export const SOURCE = 19;
/** Bytes that the source sends. */
export const SOURCE_BYTES = 4 << 20;

/** Defines the services: each command fits into a line of the prompt. */
export async function startServices(machine: Machine): Promise<void> {
  const commands = [
    "globalThis.buffer = new Uint8Array(32768); globalThis.taken = 0; globalThis.served = 0; 0",
    // What could not be written yet is kept; nothing is read meanwhile.
    `net.listen(${ECHO}, (c) => { let rest = null; served++; c.onReady = () => { for (;;) { ` +
      "if (rest === null) { const n = c.read(buffer); if (n === 0) break; rest = buffer.slice(0, n); } " +
      "const n = c.write(rest); rest = n === rest.length ? null : rest.subarray(n); if (rest !== null) return; } }; }); 0",
    `net.listen(${SINK}, (c) => { c.onReady = () => { for (let n; (n = c.read(buffer)) > 0;) taken += n; }; }); 0`,
    `net.listen(${SOURCE}, (c) => { let left = ${SOURCE_BYTES}; c.onReady = () => { while (left > 0) { ` +
      "const n = c.write(buffer.subarray(0, Math.min(left, buffer.length))); if (n === 0) return; left -= n; } c.close(); }; c.onReady(); }); 0",
  ];
  for (const command of commands) await machine.command(`js ${command}`, COMMAND_MS);
}

export function open(port: number): net.Socket {
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
  socket.on("error", () => {}); // the test looks at what came
  return socket;
}

/** Sends bytes to an echo service and returns as many that come back. @throws when it is silent or ends too early */
export async function exchanged(socket: net.Socket, bytes: Buffer): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  socket.setTimeout(SILENCE_MS, () => socket.destroy());
  socket.write(bytes);
  await new Promise<void>((resolve, reject) => {
    const take = (piece: Buffer) => {
      pieces.push(piece);
      length += piece.length;
      if (length < bytes.length) return;
      socket.off("data", take);
      resolve();
    };
    socket.on("data", take);
    socket.once("close", () => reject(new Error(`ended after ${length} of ${bytes.length} bytes`)));
  });
  return Buffer.concat(pieces);
}

/** The same over a connection of its own. */
export async function echoed(port: number, bytes: Buffer): Promise<Buffer> {
  const socket = open(port);
  const back = await exchanged(socket, bytes);
  socket.destroy();
  return back;
}

/** Everything that a service sends until it closes the connection. */
export async function received(port: number): Promise<number> {
  const socket = open(port);
  let length = 0;
  socket.setTimeout(SILENCE_MS, () => socket.destroy());
  socket.on("data", (piece: Buffer) => (length += piece.length));
  await once(socket, "close");
  return length;
}

/** Waits until an expression in domain 0 has a value; asks so many times. */
export async function awaitValue(machine: Machine, expression: string, wanted: number, most = 200): Promise<void> {
  for (let tries = 0; tries < most; tries++) {
    if ((await evaluate<number>(machine, expression)) === wanted) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${expression} did not become ${wanted}, but is ${await evaluate<number>(machine, expression)}`);
}
