/** Uncaught exceptions: printed with their stack; domain 0 continues. */

/** Prints one or more lines as a notice; the console sets it at start. */
let notice: (text: string) => void = () => {};

export function reportFailuresTo(print: (text: string) => void): void {
  notice = print;
}

/** An error as text: "Name: message" and its stack, for values that are no errors the value. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return `exception: ${String(error)}`;
  const head = `${error.name}: ${error.message}`;
  const stack = (error.stack ?? "").trimEnd();
  // Some engines repeat the message in the stack, QuickJS does not.
  if (stack.startsWith(error.name)) return stack;
  return stack === "" ? head : `${head}\n${stack}`;
}

/** Reports an exception that ended `what`. */
export function reportFailure(what: string, error: unknown): void {
  notice(`domain 0: uncaught exception in ${what}: ${describeError(error)}`);
}

/** Runs an asynchronous function without awaiting it; a failure is reported. */
export function detach(what: string, work: () => Promise<void>): void {
  work().catch((error) => reportFailure(what, error));
}
