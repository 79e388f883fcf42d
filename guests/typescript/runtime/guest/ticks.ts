/** queueMicrotask and process.nextTick: both are promise jobs here, in the order in which they were asked for. */

let report: (error: unknown) => void = () => {};

/** Says who hears of errors that jobs leave uncaught. */
export function reportTo(hear: (error: unknown) => void): void {
  report = hear;
}

const done = Promise.resolve();

export function addTick(run: () => void): void {
  void done.then(() => {
    try {
      run();
    } catch (error) {
      report(error);
    }
  });
}
