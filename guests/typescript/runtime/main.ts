/**
 * What a program finds in its guest. Evaluated when the program is built: the guest starts from the resulting heap. The first turn
 * does what needs the guest, then calls the program.
 */
import { structuredClone } from "./clone.ts";
import { atob, btoa, Buffer } from "./buffer.ts";
import { console } from "./console.ts";
import { webcrypto } from "./crypto.ts";
import { fetch, Headers, Request, Response } from "./fetch.ts";
import { fillRandom, clockNs } from "./host.ts";
import { addImmediate, setHandlers, turn } from "./loop.ts";
import { MODULES } from "./modules.ts";
import { performance, startClock } from "./performance.ts";
import { process, uncaught, unhandled } from "./process.ts";
import { seedRandom } from "./random.ts";
import { addTick } from "./ticks.ts";
import { TextDecoder, TextEncoder } from "./text.ts";
import { clearImmediate, clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } from "./timers.ts";
import { URL, URLSearchParams } from "./url.ts";
import { AbortController, AbortSignal, CustomEvent, DOMException, Event, EventTarget } from "./web-events.ts";
import { CloseEvent, MessageEvent, WebSocket } from "./websocket.ts";

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
  queueMicrotask: addTick,
  setTimeout,
  setInterval,
  setImmediate,
  clearTimeout,
  clearInterval,
  clearImmediate,
};

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
