/** node:assert, in part. */
import { inspect, isDeepStrictEqual } from "./util.ts";

export class AssertionError extends Error {
  readonly code = "ERR_ASSERTION";
  readonly actual: unknown;
  readonly expected: unknown;
  constructor(options: { message: string; actual?: unknown; expected?: unknown }) {
    super(options.message);
    this.name = "AssertionError";
    this.actual = options.actual;
    this.expected = options.expected;
  }
}

function check(good: boolean, message: unknown, otherwise: string, actual?: unknown, expected?: unknown): void {
  if (good) return;
  if (message instanceof Error) throw message;
  throw new AssertionError({ message: message === undefined ? otherwise : String(message), actual, expected });
}

const both = (a: unknown, b: unknown, words: string) =>
  `Expected values to be ${words}:\n${inspect(a)}\nand\n${inspect(b)}`;

/** Whether an error is as `expected`: a class, a pattern of its text, an object whose properties it has, or a function that says so. */
function isAs(error: unknown, expected: unknown): boolean {
  if (expected === undefined) return true;
  if (expected instanceof RegExp) return expected.test(String(error));
  if (typeof expected === "function") {
    if (expected === Error || expected.prototype instanceof Error) return error instanceof (expected as never);
    return (expected as (error: unknown) => boolean)(error) === true;
  }
  return Object.entries(expected as object).every(([key, value]) => {
    const found = (error as Record<string, unknown>)[key];
    return value instanceof RegExp ? value.test(String(found)) : isDeepStrictEqual(found, value);
  });
}

const functions = {
  ok: (value: unknown, message?: unknown) =>
    check(!!value, message, "The expression evaluated to a falsy value", value, true),
  // eslint-disable-next-line eqeqeq -- what it promises
  equal: (a: unknown, b: unknown, message?: unknown) => check(a == b, message, both(a, b, "loosely equal"), a, b),
  strictEqual: (a: unknown, b: unknown, message?: unknown) =>
    check(Object.is(a, b), message, both(a, b, "strictly equal"), a, b),
  notStrictEqual: (a: unknown, b: unknown, message?: unknown) =>
    check(!Object.is(a, b), message, both(a, b, "different"), a, b),
  deepStrictEqual: (a: unknown, b: unknown, message?: unknown) =>
    check(isDeepStrictEqual(a, b), message, both(a, b, "strictly deep-equal"), a, b),
  match: (text: string, pattern: RegExp, message?: unknown) =>
    check(pattern.test(text), message, `${inspect(text)} does not match ${pattern}`, text, pattern),
  fail: (message: unknown = "Failed") => check(false, message, ""),
  throws: (run: () => unknown, expected?: unknown, message?: unknown) => {
    try {
      run();
    } catch (error) {
      if (!isAs(error, expected)) throw error;
      return;
    }
    check(false, message, "Missing expected exception");
  },
  rejects: async (run: Promise<unknown> | (() => Promise<unknown>), expected?: unknown, message?: unknown) => {
    try {
      await (typeof run === "function" ? run() : run);
    } catch (error) {
      if (!isAs(error, expected)) throw error;
      return;
    }
    check(false, message, "Missing expected rejection");
  },
};

export const assert = Object.assign((value: unknown, message?: unknown) => functions.ok(value, message), functions, {
  AssertionError,
  deepEqual: functions.deepStrictEqual,
});
Object.assign(assert, { strict: assert });
