/** EventTarget, Event, AbortController, DOMException: the web's. */
import { addTick } from "../guest/ticks.ts";
import { setTimeout } from "../guest/timers.ts";

const CODES: Record<string, number> = {
  AbortError: 20,
  TimeoutError: 23,
  DataCloneError: 25,
  InvalidCharacterError: 5,
};

export class DOMException extends Error {
  constructor(message = "", name = "Error") {
    super(message);
    Object.defineProperty(this, "name", { value: name, configurable: true });
  }
  get code(): number {
    return CODES[this.name] ?? 0;
  }
}

export class Event {
  readonly timeStamp = Date.now();
  target: EventTarget | null = null;
  defaultPrevented = false;
  stopped = false;
  readonly cancelable: boolean;
  constructor(
    readonly type: string,
    options: { cancelable?: boolean } = {},
  ) {
    this.cancelable = options.cancelable ?? false;
  }
  get currentTarget(): EventTarget | null {
    return this.target;
  }
  preventDefault(): void {
    if (this.cancelable) this.defaultPrevented = true;
  }
  stopImmediatePropagation(): void {
    this.stopped = true;
  }
  stopPropagation(): void {}
}

export class CustomEvent extends Event {
  readonly detail: unknown;
  constructor(type: string, options: { cancelable?: boolean; detail?: unknown } = {}) {
    super(type, options);
    this.detail = options.detail ?? null;
  }
}

type Listener = ((event: Event) => void) | { handleEvent: (event: Event) => void };

export class EventTarget {
  private readonly listeners = new Map<string, { listener: Listener; once: boolean }[]>();

  addEventListener(
    type: string,
    listener: Listener | null,
    options: boolean | { once?: boolean; signal?: AbortSignal } = {},
  ): void {
    if (listener === null) return;
    const { once = false, signal = undefined } = typeof options === "boolean" ? {} : options;
    const list = this.listeners.get(type) ?? [];
    if (signal?.aborted || list.some((entry) => entry.listener === listener)) return;
    this.listeners.set(type, [...list, { listener, once }]);
    signal?.addEventListener("abort", () => this.removeEventListener(type, listener));
  }
  removeEventListener(type: string, listener: Listener | null): void {
    const list = this.listeners.get(type) ?? [];
    this.listeners.set(
      type,
      list.filter((entry) => entry.listener !== listener),
    );
  }
  dispatchEvent(event: Event): boolean {
    event.target = this;
    for (const { listener, once } of this.listeners.get(event.type) ?? []) {
      if (event.stopped) break;
      if (once) this.removeEventListener(event.type, listener);
      try {
        if (typeof listener === "function") listener.call(this, event);
        else listener.handleEvent(event);
      } catch (error) {
        // What a listener throws is uncaught, and the others hear of the event all the same.
        addTick(() => {
          throw error;
        });
      }
    }
    return !event.defaultPrevented;
  }
}

export class AbortSignal extends EventTarget {
  aborted = false;
  reason: unknown;
  onabort: ((event: Event) => void) | null = null;

  static abort(reason?: unknown): AbortSignal {
    const signal = new AbortSignal();
    abort(signal, reason);
    return signal;
  }
  static timeout(ms: number): AbortSignal {
    const signal = new AbortSignal();
    setTimeout(() => abort(signal, new DOMException("the operation took too long", "TimeoutError")), ms).unref();
    return signal;
  }
  static any(signals: AbortSignal[]): AbortSignal {
    const signal = new AbortSignal();
    for (const one of signals) {
      if (one.aborted) abort(signal, one.reason);
      else one.addEventListener("abort", () => abort(signal, one.reason));
    }
    return signal;
  }
  throwIfAborted(): void {
    if (this.aborted) throw this.reason;
  }
}

function abort(signal: AbortSignal, reason?: unknown): void {
  if (signal.aborted) return;
  signal.aborted = true;
  signal.reason = reason ?? new DOMException("the operation was aborted", "AbortError");
  const event = new Event("abort");
  signal.onabort?.(event);
  signal.dispatchEvent(event);
}

export class AbortController {
  readonly signal = new AbortSignal();
  abort(reason?: unknown): void {
    abort(this.signal, reason);
  }
}
