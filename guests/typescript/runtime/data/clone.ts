/** structuredClone: the web's, for values of the language; nothing is transferred. */
import { DOMException } from "./web-events.ts";

const TYPED = [Number, String, Boolean, BigInt];

function refuse(value: unknown): never {
  throw new DOMException(
    `${typeof value === "function" ? value.name || "a function" : String(value)} could not be cloned`,
    "DataCloneError",
  );
}

function clone(value: unknown, seen: Map<object, unknown>): unknown {
  if (typeof value === "function" || typeof value === "symbol") refuse(value);
  if (typeof value !== "object" || value === null) return value;
  if (seen.has(value)) return seen.get(value);
  const keep = <T>(made: T): T => {
    seen.set(value, made);
    return made;
  };
  if (value instanceof Date) return keep(new Date(value.getTime()));
  if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
  if (value instanceof ArrayBuffer) return keep(value.slice(0));
  if (ArrayBuffer.isView(value)) {
    const { buffer, byteOffset } = value;
    const Kind = value.constructor as new (buffer: unknown, offset: number, length: number) => unknown;
    return keep(new Kind(clone(buffer, seen), byteOffset, (value as Uint8Array).length ?? value.byteLength));
  }
  for (const Box of TYPED) if (value instanceof Box) return keep(Object(value.valueOf()));
  if (value instanceof Map) {
    const map = keep(new Map());
    for (const [key, item] of value) map.set(clone(key, seen), clone(item, seen));
    return map;
  }
  if (value instanceof Set) {
    const items = keep(new Set());
    for (const item of value) items.add(clone(item, seen));
    return items;
  }
  if (value instanceof Error) {
    const Kind =
      [EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].find(
        (kind) => kind.name === value.name,
      ) ?? Error;
    const error = keep(new Kind(value.message));
    if (value.stack !== undefined) error.stack = value.stack;
    if (value.cause !== undefined) error.cause = clone(value.cause, seen);
    return error;
  }
  if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet || value instanceof WeakRef)
    refuse(value);
  const made = keep<Record<string, unknown>>((Array.isArray(value) ? new Array(value.length) : {}) as never);
  for (const [key, item] of Object.entries(value)) made[key] = clone(item, seen);
  return made;
}

export function structuredClone<T>(value: T, options: { transfer?: unknown[] } = {}): T {
  if (options.transfer !== undefined && options.transfer.length > 0) {
    throw new DOMException("nothing can be transferred: a guest has one thread", "DataCloneError");
  }
  return clone(value, new Map()) as T;
}
