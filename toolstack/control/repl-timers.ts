/** setTimeout and related functions, only for `js`; domain 0's own code uses `after` and `sleep`. */
import { after } from "./timers.ts";

type Callback = (...args: unknown[]) => void;

/** Node's shortest interval: an interval of 0 would starve the console. */
const SHORTEST_MS = 1;

let latest = 0;
const pending = new Map<number, () => void>();

function schedule(run: Callback, ms: number, repeat: boolean, args: unknown[]): number {
  if (typeof run !== "function") throw new TypeError("the first argument is not a function");
  const id = ++latest;
  const delay = Math.max(Number(ms) || 0, SHORTEST_MS);
  const arm = () =>
    pending.set(
      id,
      after(delay, () => {
        pending.delete(id);
        if (repeat) arm();
        run(...args);
      }),
    );
  arm();
  return id;
}

function withdraw(id: number): void {
  pending.get(id)?.();
  pending.delete(id);
}

/** The HTML standard's timers; ids are numbers. */
export const replTimers = {
  setTimeout: (run: Callback, ms = 0, ...args: unknown[]): number => schedule(run, ms, false, args),
  setInterval: (run: Callback, ms = 0, ...args: unknown[]): number => schedule(run, ms, true, args),
  clearTimeout: withdraw,
  clearInterval: withdraw,
};
