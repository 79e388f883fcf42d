/** queueMicrotask and process.nextTick: both are promise jobs. */

let report: (error: unknown) => void = () => {};

/** Says who hears of errors that jobs leave uncaught. */
export function reportTo(hear: (error: unknown) => void): void {
  report = hear;
}

const done = Promise.resolve();

function guarded(run: () => void): void {
  try {
    run();
  } catch (error) {
    report(error);
  }
}

/** queueMicrotask: a promise job of its own, behind those that were asked for before. */
export function addJob(run: () => void): void {
  void done.then(() => guarded(run));
}

/** Ticks that one job runs: a promise for each would cost more than most of them. */
let ticks: (() => void)[] = [];

function runTicks(): void {
  const now = ticks;
  ticks = [];
  for (let i = 0; i < now.length; i++) guarded(now[i]!);
}

/** process.nextTick: in the promise job that the first of them has asked for, in their order. */
export function addTick(run: () => void): void {
  if (ticks.push(run) === 1) void done.then(runTicks);
}
