/** Values as text for `js`: the value's structure down to a depth, without calling any of its methods. */
import { describeError } from "./failures.ts";

const MAX_DEPTH = 3;
const MAX_ITEMS = 100;
/** Elements of a typed array shown, on one line. */
const MAX_NUMBERS = 32;
const LINE_LENGTH = 100;

/** The value as text: strings in quotes, objects by their own properties, cycles marked. */
export function inspect(value: unknown): string {
  return show(value, 0, []);
}

function show(value: unknown, depth: number, above: object[]): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "bigint":
      return `${value}n`;
    case "symbol":
      return value.toString();
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "function":
      return showFunction(value as (...args: unknown[]) => unknown, depth, above);
    case "object":
      return value === null ? "null" : showObject(value, depth, above);
    default:
      return String(value);
  }
}

function showFunction(value: (...args: unknown[]) => unknown, depth: number, above: object[]): string {
  const name = Object.getOwnPropertyDescriptor(value, "name")?.value;
  const source = Function.prototype.toString.call(value);
  const kind = source.startsWith("class") ? "class" : "function";
  const head = `[${kind}${typeof name === "string" && name !== "" ? ` ${name}` : ""}]`;
  const own = Object.keys(value).length;
  return own === 0 ? head : `${head} ${braces(properties(value, depth, above), "{", "}", depth)}`;
}

function showObject(value: object, depth: number, above: object[]): string {
  if (above.includes(value)) return "[circular]";
  if (value instanceof Error) return depth === 0 ? describeError(value) : `[${value.name}: ${value.message}]`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (value instanceof RegExp) return String(value);
  const name = className(value);
  const prefix = name === "Object" || name === "Array" ? "" : `${name} `;
  if (depth > MAX_DEPTH) return `[${name}]`;
  const inside = [...above, value];
  if (Array.isArray(value)) return prefix + braces(items(value, depth, inside), "[", "]", depth);
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    const view = value as unknown as ArrayLike<number>;
    const shown = Array.from({ length: Math.min(view.length, MAX_NUMBERS) }, (_, i) => show(view[i], depth, inside));
    if (view.length > MAX_NUMBERS) shown.push(`... ${view.length - MAX_NUMBERS} more`);
    return `${name}(${view.length}) [ ${shown.join(", ")} ]`;
  }
  if (value instanceof ArrayBuffer) return `ArrayBuffer(${value.byteLength})`;
  if (value instanceof Map) {
    const entries = limited([...value], ([k, v]) => `${show(k, depth + 1, inside)} => ${show(v, depth + 1, inside)}`);
    return `${name}(${value.size}) ${braces(entries, "{", "}", depth)}`;
  }
  if (value instanceof Set) {
    const entries = limited([...value], (item) => show(item, depth + 1, inside));
    return `${name}(${value.size}) ${braces(entries, "{", "}", depth)}`;
  }
  return prefix + braces(properties(value, depth, inside), "{", "}", depth);
}

function className(value: object): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null) return "[no prototype]";
  const constructor: unknown = Object.getOwnPropertyDescriptor(prototype as object, "constructor")?.value;
  return typeof constructor === "function" && constructor.name !== "" ? constructor.name : "Object";
}

function limited<T>(all: T[], text: (item: T) => string): string[] {
  const shown = all.slice(0, MAX_ITEMS).map(text);
  if (all.length > MAX_ITEMS) shown.push(`... ${all.length - MAX_ITEMS} more`);
  return shown;
}

function items(value: ArrayLike<unknown> & object, depth: number, above: object[]): string[] {
  const shown: string[] = [];
  for (let i = 0; i < Math.min(value.length, MAX_ITEMS); i++) {
    shown.push(i in value ? show(value[i], depth + 1, above) : "<empty>");
  }
  if (value.length > MAX_ITEMS) shown.push(`... ${value.length - MAX_ITEMS} more`);
  return shown;
}

function properties(value: object, depth: number, above: object[]): string[] {
  return limited(Reflect.ownKeys(value), (key) => {
    const descriptor = Object.getOwnPropertyDescriptor(value, key)!;
    if (!descriptor.enumerable) return "";
    const plain = typeof key === "string" && /^[A-Za-z_$][\w$]*$/.test(key);
    const label = plain ? key : typeof key === "symbol" ? `[${key.toString()}]` : JSON.stringify(key);
    // A getter might do anything: it is named, not called.
    const shown = "value" in descriptor ? show(descriptor.value, depth + 1, above) : "[getter]";
    return `${label}: ${shown}`;
  }).filter((line) => line !== "");
}

/** Parts in brackets: on one line if they fit, else one a line. */
function braces(parts: string[], open: string, close: string, depth: number): string {
  if (parts.length === 0) return open + close;
  const oneLine = `${open} ${parts.join(", ")} ${close}`;
  if (oneLine.length <= LINE_LENGTH && !oneLine.includes("\n")) return oneLine;
  const indent = "  ".repeat(depth + 1);
  return `${open}\n${parts.map((part) => indent + part).join(",\n")}\n${"  ".repeat(depth)}${close}`;
}
