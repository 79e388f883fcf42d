/** node:util, in part. */
import { custom, format, inspect } from "./inspect.ts";
import { TextDecoder, TextEncoder } from "../data/text.ts";

export { format, inspect, TextDecoder, TextEncoder };

type Callback = (error: unknown, value?: unknown) => void;
type Function = (...values: unknown[]) => unknown;

const promisifyCustom: symbol = Symbol.for("nodejs.util.promisify.custom");

export const promisify = Object.assign(
  (run: Function): Function => {
    const own = (run as unknown as Record<symbol, Function | undefined>)[promisifyCustom];
    if (own !== undefined) return own;
    return function (this: unknown, ...values: unknown[]) {
      return new Promise((resolve, reject) => {
        const done: Callback = (error, value) => (error ? reject(error as Error) : resolve(value));
        run.call(this, ...values, done);
      });
    };
  },
  { custom: promisifyCustom },
);

export function callbackify(run: (...values: unknown[]) => Promise<unknown>): Function {
  return (...values) => {
    const done = values.pop() as Callback;
    run(...values).then((value) => done(null, value), done);
  };
}

export function inherits(child: Function, parent: Function): void {
  Object.defineProperty(child, "super_", { value: parent, writable: true, configurable: true });
  Object.setPrototypeOf(child.prototype, parent.prototype as object);
}

export function deprecate<T>(run: T): T {
  return run;
}
export const debuglog = () => Object.assign(() => {}, { enabled: false });
export const debug = debuglog;
export const isArray = Array.isArray;
export const types = {
  isDate: (value: unknown) => value instanceof Date,
  isRegExp: (value: unknown) => value instanceof RegExp,
  isMap: (value: unknown) => value instanceof Map,
  isSet: (value: unknown) => value instanceof Set,
  isPromise: (value: unknown) => value instanceof Promise,
  isNativeError: (value: unknown) => value instanceof Error,
  isTypedArray: (value: unknown) => ArrayBuffer.isView(value) && !(value instanceof DataView),
  isUint8Array: (value: unknown) => value instanceof Uint8Array,
  isArrayBuffer: (value: unknown) => value instanceof ArrayBuffer,
  isAnyArrayBuffer: (value: unknown) => value instanceof ArrayBuffer,
};

/** Whether two values are equal in structure, as assert.deepStrictEqual has it. */
export function isDeepStrictEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (a instanceof Date) return a.getTime() === (b as Date).getTime();
  if (a instanceof RegExp) return String(a) === String(b);
  if (a instanceof Error && (a.message !== (b as Error).message || a.name !== (b as Error).name)) return false;
  if (a instanceof Map) {
    const other = b as Map<unknown, unknown>;
    return (
      a.size === other.size &&
      [...a].every(([key, value]) => other.has(key) && isDeepStrictEqual(value, other.get(key)))
    );
  }
  if (a instanceof Set) {
    const other = [...(b as Set<unknown>)];
    return a.size === other.length && [...a].every((value) => other.some((one) => isDeepStrictEqual(value, one)));
  }
  const [keys, others] = [Reflect.ownKeys(a), Reflect.ownKeys(b)];
  return (
    keys.length === others.length &&
    keys.every(
      (key) =>
        Object.hasOwn(b, key) &&
        isDeepStrictEqual((a as Record<PropertyKey, unknown>)[key], (b as Record<PropertyKey, unknown>)[key]),
    )
  );
}

export const inspectCustom = custom;
Object.assign(inspect, { custom });
Object.assign(promisify, { custom: promisifyCustom });
