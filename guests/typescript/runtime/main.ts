/**
 * What a program finds in its guest. Evaluated when the program is built: the guest starts from the resulting heap. The first turn
 * does what needs the guest, then calls the program.
 */
import { structuredClone } from "./data/clone.ts";
import { atob, btoa, Buffer } from "./data/buffer.ts";
import { console } from "./program/console.ts";
import { parse as parseJson } from "./data/json.ts";
import { webcrypto } from "./data/crypto.ts";
import { fetch, Headers, Request, Response } from "./http/fetch.ts";
import { fillRandom, clockNs } from "./guest/host.ts";
import { addImmediate, setHandlers, turn } from "./guest/loop.ts";
import { MODULES } from "./modules.ts";
import { performance, startClock } from "./guest/performance.ts";
import { process, uncaught, unhandled } from "./program/process.ts";
import { seedRandom } from "./guest/random.ts";
import { addJob } from "./guest/ticks.ts";
import { TextDecoder, TextEncoder } from "./data/text.ts";
import { clearImmediate, clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } from "./guest/timers.ts";
import { URL, URLSearchParams } from "./data/url.ts";
import { AbortController, AbortSignal, CustomEvent, DOMException, Event, EventTarget } from "./data/web-events.ts";
import { CloseEvent, MessageEvent, WebSocket } from "./http/websocket.ts";

const globals = {
  AbortController,
  AbortSignal,
  atob,
  btoa,
  Buffer,
  crypto: webcrypto,
  CustomEvent,
  DOMException,
  Event,
  EventTarget,
  fetch,
  Headers,
  performance,
  Request,
  Response,
  structuredClone,
  URL,
  URLSearchParams,
  WebSocket,
  MessageEvent,
  CloseEvent,
  console,
  process,
  TextEncoder,
  TextDecoder,
  queueMicrotask: addJob,
  setTimeout,
  setInterval,
  setImmediate,
  clearTimeout,
  clearInterval,
  clearImmediate,
};

Object.defineProperty(JSON, "parse", { value: parseJson, writable: true, configurable: true, enumerable: false });
for (const [name, value] of Object.entries(globals)) {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
}

// Of V8, and many packages call it: the engine's errors have their stack already.
Object.assign(Error, { captureStackTrace: () => {} });
Object.defineProperty(globalThis, Symbol.for("typevisor.module"), { value: (name: string) => MODULES[name] });

const scope = globalThis as unknown as { main?: () => Promise<void>; turn: () => void };

function start(): void {
  startClock();
  seedRandom(fillRandom, clockNs);
  process.open();
  const { main } = scope;
  delete scope.main;
  main!().catch(uncaught);
}

setHandlers(uncaught, unhandled, () => process.exit());
addImmediate(start);
scope.turn = turn;
