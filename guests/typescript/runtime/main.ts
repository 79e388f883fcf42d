/**
 * What a program finds in its guest. Evaluated when the program is built: the guest starts from the resulting heap. The first turn
 * does what needs the guest, then calls the program.
 */
import { console } from "./console.ts";
import { fillRandom, clockNs } from "./host.ts";
import { addImmediate, setHandlers, turn } from "./loop.ts";
import { MODULES } from "./modules.ts";
import { process, uncaught } from "./process.ts";
import { seedRandom } from "./random.ts";
import { addTick } from "./ticks.ts";
import { TextDecoder, TextEncoder } from "./text.ts";
import { clearImmediate, clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } from "./timers.ts";

const globals = {
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

Object.defineProperty(globalThis, Symbol.for("typevisor.module"), { value: (name: string) => MODULES[name] });

const scope = globalThis as unknown as { main?: () => Promise<void>; turn: () => void };

function start(): void {
  seedRandom(fillRandom, clockNs);
  process.open();
  const { main } = scope;
  delete scope.main;
  main!().catch(uncaught);
}

setHandlers(uncaught, () => process.exit());
addImmediate(start);
scope.turn = turn;
