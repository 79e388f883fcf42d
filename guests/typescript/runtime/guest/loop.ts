/**
 * The event loop. The guest calls `turn` when something came or a timer is due; a turn runs one callback, and the engine then runs
 * promise jobs, so that jobs come between any two callbacks, as in Node.
 */
import { call, clockNs, endTurn, OPERATION, takeRejections, word } from "./host.ts";

type Callback = () => void;

/** sockets.h. */
export const EVENT = {
  accepted: 1,
  connected: 2,
  readable: 4,
  writable: 8,
  peerClosed: 16,
  failed: 32,
  network: 64,
  resolved: 128,
} as const;

interface Timer {
  /** ns. */
  at: number;
  run: Callback;
  /** Whether the program goes on for it. */
  held: boolean;
}

/** By time; those of the same time in the order of their making. */
const timers: Timer[] = [];
const immediates: Callback[] = [];
const sockets = new Map<number, (events: number, error: number) => void>();
/** Who else wants the program to go on. */
let holds = 0;
let phase = 0;
let onError: (error: unknown) => void = (error) => {
  throw error;
};
let onRejection: (reason: unknown) => void = onError;
let onIdle: Callback = () => {};
let onConnection: (handle: number, listener: number) => void = () => {};

/** Says who hears of errors that callbacks leave uncaught, of promises' that nobody handles, and that there is nothing left to do. */
export function setHandlers(
  error: (error: unknown) => void,
  rejection: (reason: unknown) => void,
  idle: Callback,
): void {
  onError = error;
  onRejection = rejection;
  onIdle = idle;
}

/** Calls `run` once, `ms` milliseconds from now at the earliest; returns what `removeTimer` takes. */
export function addTimer(ms: number, run: Callback, held = true): Timer {
  const timer = { at: clockNs() + Math.max(ms, 0) * 1e6, run, held };
  let [low, high] = [0, timers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timers[middle]!.at <= timer.at) low = middle + 1;
    else high = middle;
  }
  timers.splice(low, 0, timer);
  return timer;
}

export function removeTimer(timer: Timer): void {
  const at = timers.indexOf(timer);
  if (at >= 0) timers.splice(at, 1);
}

/** Calls `run` in a turn of its own. */
export function addImmediate(run: Callback): void {
  immediates.push(run);
}

export function removeImmediate(run: Callback): void {
  const at = immediates.indexOf(run);
  if (at >= 0) immediates.splice(at, 1);
}

/** Keeps the program going until the result is called. */
export function hold(): Callback {
  holds++;
  let held = true;
  return () => {
    if (held) holds--;
    held = false;
  };
}

/** Says who hears of a socket's events. */
export function watchSocket(handle: number, hear: (events: number, error: number) => void): void {
  sockets.set(handle, hear);
}

/** Says who hears of new connections: their handle, and their listener's; the connection's first events come right behind. */
export function watchConnections(hear: (handle: number, listener: number) => void): void {
  onConnection = hear;
}

export function forgetSocket(handle: number): void {
  sockets.delete(handle);
}

const PHASES: (() => Callback | undefined)[] = [
  () => (timers.length > 0 && timers[0]!.at <= clockNs() ? timers.shift()!.run : undefined),
  () => immediates.shift(),
  () => {
    if (call(OPERATION.takeEvent) !== 1) return undefined;
    const handle = word(0);
    const events = word(1);
    const error = word(2);
    const listener = word(3);
    return () => {
      if ((events & EVENT.accepted) !== 0) onConnection(handle, listener);
      sockets.get(handle)?.(events & ~EVENT.accepted, error);
    };
  },
];

/** One callback of the next phase that has one. */
function next(): Callback | undefined {
  for (let tried = 0; tried < PHASES.length; tried++) {
    const run = PHASES[phase]!();
    phase = (phase + 1) % PHASES.length;
    if (run !== undefined) return run;
  }
  return undefined;
}

/** Whether something is still to come. */
function isAlive(): boolean {
  return holds > 0 || immediates.length > 0 || timers.some((timer) => timer.held);
}

/** Runs `work`; what it leaves uncaught is reported. */
export function guarded(work: Callback): void {
  try {
    work();
  } catch (error) {
    onError(error);
  }
}

/** What the guest calls. */
export function turn(): void {
  // Promise jobs have run since the latest callback: what has no handler now has none.
  takeRejections((reason) => guarded(() => onRejection(reason)));
  const run = next();
  if (run !== undefined) {
    guarded(run);
    endTurn(true, 0);
    return;
  }
  if (!isAlive()) guarded(onIdle);
  endTurn(immediates.length > 0, timers.length > 0 ? timers[0]!.at : 0);
}
