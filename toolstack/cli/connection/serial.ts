/**
 * A serial port of a virtual machine as a connection: a UNIX socket of the emulator's, behind which is a port of a virtio console, and
 * domain 0 behind that (toolstack/api/serial.ts). The emulator gives a port to one client at a time, and has others wait without a word.
 * Where there are several ports, the first that answers is taken.
 */
import { once } from "node:events";
import net from "node:net";
import { answerOf, greetingFinder } from "../../api/serial.ts";

/** How long a port may say nothing before the next one is tried beside it. */
const NEXT_MS = 250;
/** Of a socket that has more clients waiting than it holds (listen(2)), tried again after this time. */
const AGAIN_MS = 100;

/** The longest path of a socket (unix(7)). */
export const SOCKET_PATH_MOST = 107;

const sleep = (ms: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });

/** What a system's error about a socket means. */
function meaning(file: string, error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "ENOENT":
      return `there is no socket ${file}`;
    case "ECONNREFUSED":
      return "nothing listens there: the machine has ended";
    case "EACCES":
      return `${file} is not yours to use`;
    default:
      return error.message;
  }
}

/** Connects to a port and waits until domain 0 greets. Null: given up, as `signal` says. @throws Error in words */
async function tryPort(file: string, signal: AbortSignal): Promise<net.Socket | null> {
  for (;;) {
    const socket = net.connect(file);
    const destroy = () => socket.destroy();
    signal.addEventListener("abort", destroy);
    try {
      await once(socket, "connect");
      return await greeted(socket);
    } catch (error) {
      socket.destroy();
      if (signal.aborted) return null;
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "EAGAIN") throw new Error(meaning(file, error as NodeJS.ErrnoException), { cause: error });
      await sleep(AGAIN_MS, signal);
      if (signal.aborted) return null;
    } finally {
      signal.removeEventListener("abort", destroy);
    }
  }
}

/** Waits for the greeting, and answers it. */
async function greeted(socket: net.Socket): Promise<net.Socket> {
  const finder = greetingFinder();
  await new Promise<void>((resolve, reject) => {
    const ended = () => finish(() => reject(new Error("the connection was closed")));
    const failed = (error: Error) => finish(() => reject(error));
    const take = (bytes: Buffer) => {
      // The latest one counts: an earlier one may have been for the client before.
      let number: string | null = null;
      for (let found = finder.push(bytes); found !== null; found = finder.push(found.rest)) number = found.says;
      if (number === null) return;
      socket.pause();
      socket.write(answerOf(number));
      finish(resolve);
    };
    const finish = (how: () => void) => {
      socket.off("data", take).off("close", ended).off("error", failed);
      how();
    };
    socket.on("data", take).on("close", ended).on("error", failed);
  });
  return socket;
}

/**
 * A stream to domain 0 through one of the ports, ready for TLS.
 * @param limitMs how long to wait for one that is free
 * @throws Error in words
 */
export async function connectSerial(sockets: readonly string[], limitMs: number): Promise<net.Socket> {
  const control = new AbortController();
  const limit = setTimeout(() => control.abort(), limitMs);
  let failure: Error | null = null;
  try {
    return await new Promise<net.Socket>((resolve, reject) => {
      let running = sockets.length;
      let connected = false;
      sockets.forEach((file, i) => {
        void (async () => {
          try {
            if (i > 0) await sleep(i * NEXT_MS, control.signal);
            const socket = control.signal.aborted ? null : await tryPort(file, control.signal);
            if (socket !== null) {
              if (connected) {
                socket.destroy();
                return;
              }
              connected = true;
              resolve(socket);
              control.abort();
            }
          } catch (error) {
            failure ??= error as Error;
          }
          if (--running > 0 || connected) return;
          reject(failure ?? new Error(silence(sockets.length, limitMs)));
        })();
      });
    });
  } finally {
    clearTimeout(limit);
  }
}

function silence(ports: number, limitMs: number): string {
  const taken =
    ports === 1
      ? "its port is in use, which takes one client at a time"
      : `all of its ${ports} ports are in use, which take one client each`;
  return `no answer within ${limitMs / 1000} s: ${taken}, or there is no Typevisor with a key behind it (\`control\` at its console tells)`;
}
