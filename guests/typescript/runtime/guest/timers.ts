/** setTimeout and its relatives, as Node has them: objects that the web's numbers can stand for. */
import { addImmediate, addTimer, removeImmediate, removeTimer } from "./loop.ts";

type Callback = (...values: unknown[]) => void;

/** The web's and Node's shortest. */
const SHORTEST_MS = 1;
const LONGEST_MS = 2 ** 31 - 1;

let latest = 0;
const byNumber = new Map<number, Timeout>();

class Timeout {
  private timer: ReturnType<typeof addTimer> | undefined;
  private held = true;
  private readonly number = ++latest;

  constructor(
    private readonly ms: number,
    private readonly repeat: boolean,
    private readonly run: () => void,
  ) {
    byNumber.set(this.number, this);
    this.arm();
  }
  private arm(): void {
    this.timer = addTimer(
      this.ms,
      () => {
        if (this.repeat) this.arm();
        else this.close();
        this.run();
      },
      this.held,
    );
  }
  close(): this {
    if (this.timer !== undefined) removeTimer(this.timer);
    this.timer = undefined;
    byNumber.delete(this.number);
    return this;
  }
  refresh(): this {
    if (this.timer === undefined) return this;
    removeTimer(this.timer);
    this.arm();
    return this;
  }
  ref(): this {
    return this.hold(true);
  }
  unref(): this {
    return this.hold(false);
  }
  hasRef(): boolean {
    return this.held;
  }
  private hold(held: boolean): this {
    this.held = held;
    if (this.timer !== undefined) this.timer.held = held;
    return this;
  }
  [Symbol.toPrimitive](): number {
    return this.number;
  }
}

function start(run: Callback, ms: unknown, repeat: boolean, values: unknown[]): Timeout {
  if (typeof run !== "function") throw new TypeError("the first argument is no function");
  const number = Number(ms);
  const delay = number >= SHORTEST_MS && number <= LONGEST_MS ? number : SHORTEST_MS;
  return new Timeout(delay, repeat, () => run(...values));
}

function stop(which: unknown): void {
  if (which instanceof Timeout) which.close();
  else if (which !== undefined && which !== null) byNumber.get(Number(which))?.close();
}

export const setTimeout = (run: Callback, ms?: unknown, ...values: unknown[]) => start(run, ms, false, values);
export const setInterval = (run: Callback, ms?: unknown, ...values: unknown[]) => start(run, ms, true, values);
export const clearTimeout = stop;
export const clearInterval = stop;

export interface Immediate {
  run: () => void;
}
export function setImmediate(run: Callback, ...values: unknown[]): Immediate {
  const task = () => run(...values);
  addImmediate(task);
  return { run: task };
}
export function clearImmediate(immediate?: Immediate): void {
  if (immediate !== undefined) removeImmediate(immediate.run);
}

/** node:timers/promises. */
export const promises = {
  setTimeout: <T>(ms?: number, value?: T): Promise<T> =>
    new Promise((resolve) => setTimeout(() => resolve(value as T), ms)),
  setImmediate: <T>(value?: T): Promise<T> => new Promise((resolve) => setImmediate(() => resolve(value as T))),
};
