/** How values are shown: Node's util.inspect and util.format, in their usual form. */
import { mapStack } from "../guest/source-map.ts";

const WIDTH = 72;
const ITEMS_MOST = 100;
const TEXT_MOST = 10_000;
export const custom: unique symbol = Symbol.for("nodejs.util.inspect.custom") as never;

export interface InspectOptions {
  depth?: number | null;
}

interface State {
  depth: number;
  above: object[];
}

function quote(text: string): string {
  const shown =
    text.length > TEXT_MOST ? `${text.slice(0, TEXT_MOST)}... ${text.length - TEXT_MOST} more characters` : text;
  const mark = !shown.includes("'") ? "'" : !shown.includes('"') ? '"' : !shown.includes("`") ? "`" : "'";
  const escaped = JSON.stringify(shown).slice(1, -1).replace(/\\"/g, '"');
  return mark + (mark === "'" ? escaped.replace(/'/g, "\\'") : escaped) + mark;
}

function keyText(key: string | symbol): string {
  if (typeof key === "symbol") return `[${String(key)}]`;
  return /^[A-Za-z_$][\w$]*$/.test(key) ? key : quote(key);
}

/** Name of what made an object; null for one without prototype. */
function className(value: object): string | null {
  for (
    let proto = Object.getPrototypeOf(value) as object | null;
    proto !== null;
    proto = Object.getPrototypeOf(proto)
  ) {
    const descriptor = Object.getOwnPropertyDescriptor(proto, "constructor");
    if (typeof descriptor?.value === "function" && descriptor.value.name !== "") return descriptor.value.name as string;
  }
  return null;
}

function functionText(value: () => unknown): string {
  const isClass = /^class\b/.test(Function.prototype.toString.call(value));
  const name = value.name === "" ? "(anonymous)" : value.name;
  if (isClass) return `[class ${name}]`;
  return value.name === "" ? "[Function (anonymous)]" : `[Function: ${name}]`;
}

/** An error's stack, with the program's own places, below what it says. */
export function errorText(error: Error): string {
  const head = String(error);
  const stack = typeof error.stack === "string" ? mapStack(error.stack).trimEnd() : "";
  if (stack === "") return `[${head}]`;
  // The engine's stacks begin with the first frame, other ones with what is said.
  return stack.startsWith(head) ? stack : `${head}\n${stack}`;
}

function propertyItems(value: object, state: State, skip: (key: string | symbol) => boolean): string[] {
  const items: string[] = [];
  for (const key of Reflect.ownKeys(value)) {
    const descriptor = Object.getOwnPropertyDescriptor(value, key);
    if (descriptor === undefined || !descriptor.enumerable || skip(key)) continue;
    const accessors = [descriptor.get && "Getter", descriptor.set && "Setter"].filter(Boolean).join("/");
    items.push(`${keyText(key)}: ${accessors === "" ? show(descriptor.value, state) : `[${accessors}]`}`);
  }
  return items;
}

function wrap(prefix: string, open: string, items: string[], close: string): string {
  const head = prefix === "" ? "" : `${prefix} `;
  if (items.length === 0) return `${head}${open}${close}`;
  const line = `${head}${open} ${items.join(", ")} ${close}`;
  if (line.length <= WIDTH && !line.includes("\n")) return line;
  const indented = items.map((item) => `  ${item.replace(/\n/g, "\n  ")}`);
  return `${head}${open}\n${indented.join(",\n")}\n${close}`;
}

function limited(items: string[], total: number): string[] {
  const more = total - items.length;
  return more > 0 ? [...items, `... ${more} more item${more === 1 ? "" : "s"}`] : items;
}

const isIndex = (key: string | symbol) => typeof key === "string" && /^\d+$/.test(key);

function listText(value: ArrayLike<unknown> & object, name: string, state: State): string {
  const shown: string[] = [];
  for (let i = 0; i < Math.min(value.length, ITEMS_MOST); i++) {
    shown.push(i in value ? show(value[i], state) : "<1 empty item>");
  }
  const items = [...limited(shown, value.length), ...propertyItems(value, state, isIndex)];
  const prefix = name === "Array" ? "" : `${name}(${value.length})`;
  return wrap(prefix, "[", items, "]").replace(/^\[ \]$/, "[]");
}

function objectText(value: object, state: State): string {
  const name = className(value);
  const none = () => false;
  if (Array.isArray(value)) return listText(value, name ?? "Array", state);
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    return listText(value as Uint8Array, name ?? "TypedArray", state);
  }
  if (value instanceof Map) {
    const entries = [...value].slice(0, ITEMS_MOST).map(([key, item]) => `${show(key, state)} => ${show(item, state)}`);
    return wrap(
      `${name}(${value.size})`,
      "{",
      [...limited(entries, value.size), ...propertyItems(value, state, none)],
      "}",
    );
  }
  if (value instanceof Set) {
    const entries = [...value].slice(0, ITEMS_MOST).map((item) => show(item, state));
    return wrap(
      `${name}(${value.size})`,
      "{",
      [...limited(entries, value.size), ...propertyItems(value, state, none)],
      "}",
    );
  }
  if (value instanceof Error) {
    const items = propertyItems(value, state, (key) => key === "stack" || key === "message");
    if (value.cause !== undefined) items.push(`[cause]: ${show(value.cause, state)}`);
    return items.length === 0 ? errorText(value) : wrap(errorText(value), "{", items, "}");
  }
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (value instanceof Promise) return wrap("Promise", "{", propertyItems(value, state, none), "}");
  if (value instanceof ArrayBuffer) return `ArrayBuffer { byteLength: ${value.byteLength} }`;
  for (const Box of [Number, String, Boolean, BigInt, Symbol]) {
    if (value instanceof Box) return `[${Box.name}: ${show(value.valueOf(), state)}]`;
  }
  const tag = (value as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag];
  const tagged = typeof tag === "string" && tag !== name ? `[${tag}]` : "";
  const prefix = [name === null ? "[Object: null prototype]" : name === "Object" ? "" : name, tagged].filter(
    (part) => part !== "",
  );
  return wrap(prefix.join(" "), "{", propertyItems(value, state, none), "}");
}

/** One value, inside others. */
function show(value: unknown, state: State): string {
  switch (typeof value) {
    case "string":
      return quote(value);
    case "bigint":
      return `${value}n`;
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "symbol":
      return String(value);
    case "function": {
      const items = propertyItems(value, state, () => false);
      return items.length === 0
        ? functionText(value as () => unknown)
        : wrap(functionText(value as () => unknown), "{", items, "}");
    }
    case "object":
      break;
    default:
      return String(value);
  }
  if (value === null) return "null";
  const own = (value as Record<symbol, unknown>)[custom];
  if (typeof own === "function") {
    const shown: unknown = own.call(value, state.depth, {}, inspect);
    return typeof shown === "string" ? shown : show(shown, state);
  }
  if (state.above.includes(value!)) return "[Circular *1]";
  if (state.depth < 0) return Array.isArray(value) ? "[Array]" : `[${className(value!) ?? "Object: null prototype"}]`;
  return objectText(value!, { depth: state.depth - 1, above: [...state.above, value!] });
}

/** A value as text. */
export function inspect(value: unknown, options: InspectOptions = {}): string {
  const depth = options.depth === null ? Infinity : (options.depth ?? 2);
  return show(value, { depth, above: [] });
}

/** What console.log makes of its arguments: %s %d %i %f %j %o %O %c and %% in the first, the others behind it. */
export function format(...values: unknown[]): string {
  const [first, ...rest] = values;
  if (typeof first !== "string") return values.map(plain).join(" ");
  const text = first.replace(/%[sdifjoOc%]/g, (word) => {
    if (word === "%%") return rest.length === 0 && values.length === 1 ? "%%" : "%";
    if (rest.length === 0) return word;
    const value = rest.shift();
    switch (word) {
      case "%s":
        return typeof value === "object" && value !== null && !(value instanceof Error)
          ? inspect(value, { depth: 0 })
          : String(value);
      case "%d":
        return typeof value === "bigint" ? `${value}n` : String(Number(value));
      case "%i":
        return String(Number.parseInt(String(value), 10));
      case "%f":
        return String(Number.parseFloat(String(value)));
      case "%j":
        return JSON.stringify(value) ?? "undefined";
      case "%c":
        return "";
      default:
        return inspect(value, { depth: word === "%o" ? 4 : 2 });
    }
  });
  return [text, ...rest.map(plain)].join(" ");
}

function plain(value: unknown): string {
  return typeof value === "string" ? value : inspect(value);
}
