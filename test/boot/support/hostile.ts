/** Clients of bad will, against the control connection of a machine in QEMU. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { setTimeout } from "node:timers/promises";
import type { ExecutionContext } from "ava";
import type { Machine } from "../../../scripts/machine.ts";
import { encodeFrame, REQUEST } from "../../../toolstack/api/protocol.ts";
import { destroyRequest } from "../../../toolstack/api/requests/domains.ts";
import { imageListRequest, imageRemoveRequest } from "../../../toolstack/api/requests/images.ts";
import type { Client } from "../../../toolstack/cli/connection/client.ts";
import { GREETING, RANDOM_DOMAINS, RandomClient, RandomFrames } from "../../unit/toolstack/api/random-frames.ts";
import { COMMAND_MS, evaluate, powerOff } from "./boot.ts";
import { awaitValue } from "./control-network.ts";
import {
  engineFrames,
  expectHoldings,
  goodClient,
  holdings,
  ownConnection,
  startControlled,
  Worker,
  type Holdings,
} from "./control.ts";

/** How long a computer that is busy otherwise may take for answers; it ends a test that hangs. */
const ANSWERS_MS = 120_000;
/** Bytes that may wait for the other end: more are not written meanwhile. */
const WAITING_BYTES = 64 * 1024;

/**
 * Sends random frames by clients with the right key, one after the other: each sends until a frame that ends its connection; one of four
 * leaves without waiting for that, in the middle of another frame.
 */
export async function sendRandomFrames(source: RandomFrames, count: number): Promise<{ connections: number }> {
  let [sent, connections] = [0, 0];
  while (sent < count) {
    const socket = await ownConnection();
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    const client = new RandomClient(source, (bytes) => socket.write(bytes));
    let wrong: unknown = null;
    socket.on("data", (bytes: Buffer) => {
      try {
        client.take(bytes);
      } catch (error) {
        wrong ??= error;
      }
    });
    for (let last = false; !last; sent++) {
      const limit = Date.now() + ANSWERS_MS;
      while (!client.free || socket.writableLength > WAITING_BYTES) {
        if (socket.destroyed) throw new Error(`the connection was ended after ${sent} frames`);
        if (Date.now() > limit) throw new Error(`requests that were cancelled are not answered, after ${sent} frames`);
        await setTimeout(2);
      }
      last = client.send();
    }
    if (++connections % 4 === 0) {
      socket.write(source.next().bytes.subarray(0, 7));
      socket.destroy();
    } else {
      // Everything was read when it is closed there.
      socket.end();
      await closed;
    }
    if (wrong !== null) throw wrong as Error;
  }
  return { connections };
}

/** A record of TLS with random contents, an HTTP request, a greeting without TLS, random bytes: none is a handshake. */
function garbage(i: number): Buffer {
  const bytes = randomBytes(1 + (i % 500));
  switch (i % 4) {
    case 0:
      return bytes;
    case 1: // a ClientHello's record and message type, then anything
      return Buffer.concat([Buffer.from([0x16, 3, 1, bytes.length >> 8, bytes.length & 0xff, 1]), bytes]);
    case 2:
      return Buffer.concat([Buffer.from("POST / HTTP/1.1\r\n\r\n"), bytes]);
    default:
      return Buffer.concat([GREETING, encodeFrame(REQUEST, 1, Buffer.from('{"request":"list"}')), bytes]);
  }
}

function plain(port: number): net.Socket {
  return net.connect({ port, host: "127.0.0.1", noDelay: true }).on("error", () => {});
}

/**
 * Sends garbage over so many connections without TLS; some leave at once, the others when they are thrown out.
 * @param ports that lead to the control port: the emulator takes one connection at a time of each
 */
export async function sendGarbage(ports: readonly number[], count: number): Promise<void> {
  const send = async (i: number) => {
    const socket = plain(ports[i % ports.length]!);
    const closed = once(socket, "close");
    await once(socket, "connect");
    socket.resume();
    socket.write(garbage(i));
    if (i % 8 === 0) socket.end();
    else if (i % 8 === 1) socket.destroy();
    await closed;
  };
  await eachOf(ports.length, count, send);
}

/** Opens so many connections that say nothing; the result closes them. */
export async function holdSilent(ports: readonly number[], count: number): Promise<() => void> {
  const sockets: net.Socket[] = [];
  await eachOf(ports.length, count, async (i) => {
    const socket = plain(ports[i % ports.length]!);
    sockets.push(socket);
    await once(socket, "connect");
  });
  return () => sockets.forEach((socket) => socket.destroy());
}

/** Does something for 0 to `count` - 1: `step` at a time, each of them for every `step`th. */
async function eachOf(step: number, count: number, work: (i: number) => Promise<void>): Promise<void> {
  const line = async (first: number) => {
    for (let i = first; i < count; i += step) await work(i);
  };
  await Promise.all(Array.from({ length: step }, (_, first) => line(first)));
}

export interface HostileRun {
  machine: Machine;
  /** Of this computer's, that lead to the control port. */
  ports: number[];
  /** A client that works all the time. */
  worker: Worker;
  /** What clients held before it began. */
  before: Holdings;
  /** Pages that domain 0's engine has more than then. */
  grown(): Promise<number>;
}

/** Starts a machine in which everything has been used once, and a client that works. */
export async function hostileRun(t: ExecutionContext, ports: number): Promise<HostileRun> {
  const { machine, ports: more } = await startControlled(t, ports);
  const warm = new Worker(await goodClient());
  // Room for as many sessions as there may be, which stays.
  const clients: Client[] = [];
  while (clients.length < 20) clients.push(await goodClient());
  for (const client of clients) client.close();
  await warm.progress(3);
  await warm.stop();
  // The list of images, and the page tables of a larger guest.
  await evaluate(machine, "images.list().length");
  await machine.command("create --kernel hello --memory 200 --wait", COMMAND_MS);
  // And the heap pages of as many domains as random clients and the worker have at once.
  const several = ["w1", "w2", "w3", "w4", "w5"];
  for (const name of several) {
    await machine.command(`create --kernel idle --memory 8 --name ${name} --vif bridge=xenbr0`, COMMAND_MS);
  }
  await machine.command(`destroy ${several.join(" ")}`, COMMAND_MS);
  await awaitValue(machine, "net.count()", 0);
  const before = await holdings(machine);
  const engine = await engineFrames(machine);
  const worker = new Worker(await goodClient());
  const grown = async () => (await engineFrames(machine)) - engine;
  return { machine, ports: more, worker, before, grown };
}

/** Pages by which domain 0's heap may grow, however many clients do what they like: 8 MiB. */
const GROWN_MOST = 2048;

/** Sends so many random frames, and looks at what is left of them. */
export async function randomFramesHarmNobody(t: ExecutionContext, count: number): Promise<void> {
  const { machine, worker, before, grown } = await hostileRun(t, 0);
  const seed = Number(process.env.SEED ?? 1);
  const source = new RandomFrames(seed);
  const { connections } = await sendRandomFrames(source, count);
  t.log(`seed ${seed}, ${connections} connections: ${[...source.kinds].map(([kind, n]) => `${n} ${kind}`).join(", ")}`);
  await worker.progress(2);
  t.log(`the client beside them: ${await worker.stop()} domains; domain 0 has grown by ${await grown()} pages`);
  // What they made in good right.
  const client = await goodClient();
  for (const name of RANDOM_DOMAINS) await client.request(destroyRequest, { ids: [name] }).result.catch(() => {});
  const images = (await client.request(imageListRequest, {}).result).map(({ hash }) => hash);
  if (images.length > 0) await client.request(imageRemoveRequest, { images }).result;
  client.close();
  await expectHoldings(t, machine, before, "random frames");
  t.true((await grown()) < GROWN_MOST, `domain 0 has grown by ${await grown()} pages`);
  t.notRegex(machine.output, /uncaught exception|was restarted|panic/i);
  await powerOff(t, machine);
}
