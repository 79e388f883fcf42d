/**
 * Frames as a broken or hostile client with the right key sends them, drawn from a seed: requests with good and bad arguments, frames of
 * other requests' streams, wrong types, ids and lengths, bodies that are damaged or nested, and plain bytes.
 */
import {
  BODY_MOST,
  CANCEL,
  DATA,
  DATA_END,
  encodeFrame,
  encodeWindow,
  ERROR,
  FrameReader,
  HELLO,
  PROGRESS,
  REQUEST,
  REQUESTS_MOST,
  RESULT,
  RESULT_PART,
  WINDOW,
} from "../../../../toolstack/api/protocol.ts";
import { requests } from "../../../../toolstack/api/requests/table.ts";
import { Random } from "../../../sim/random.ts";

/** What such a client may do in good right, and a test cannot have: restarts, loops, and taking the card off the network it comes by. */
const LEFT_OUT = new Set([
  "js",
  "io-restart",
  "reboot",
  "debug-keys",
  "bridge attach",
  "bridge detach",
  "bridge delete",
]);
/** Names of the domains that random requests are about; no other domain has such a name. */
export const RANDOM_DOMAINS = ["random-1", "random-2", "random-3"];
/** The first digits of the images that they upload. */
export const RANDOM_IMAGE = "sha256:abcd";

export const GREETING = encodeFrame(HELLO, 0, Buffer.from('{"protocol":1,"software":"random"}'));

function isObject(body: Uint8Array): boolean {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString());
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

const text = (value: unknown) => Buffer.from(JSON.stringify(value));

export class RandomFrames {
  private readonly random: Random;
  private id = 0;
  /** What the frames were, by kind. */
  readonly kinds = new Map<string, number>();

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  /** A new connection: ids begin anew. */
  begin(): void {
    this.id = 0;
  }

  /** Bytes of the next frame, or of what is none; `last`: the connection may be over with it. */
  next(): { bytes: Uint8Array; last: boolean } {
    const { random } = this;
    if (random.oneIn(50)) return { bytes: this.ending(), last: true };
    const bytes = this.harmless();
    return { bytes, last: bytes[4] === REQUEST && !isObject(bytes.subarray(9)) };
  }

  private harmless(): Uint8Array {
    const { random } = this;
    const kind = random.below(100);
    if (kind < 45) return this.count("request", this.request());
    if (kind < 50) return this.count("damaged request", this.damaged());
    if (kind < 70) return this.count("stream", this.ofStream());
    if (kind < 80) return this.count("unknown id", encodeFrame(random.pick([DATA, DATA_END, CANCEL]), random.u32()));
    if (kind < 82) return this.count("huge", this.huge());
    return this.count("objects", this.objects());
  }

  /** What ends a connection, more often than not. */
  private ending(): Uint8Array {
    const { random } = this;
    switch (random.below(6)) {
      case 0:
        return this.count("type", encodeFrame(random.below(256), random.below(4), this.bytes(20)));
      case 1:
        return this.count("server's", encodeFrame(random.pick([RESULT, PROGRESS, HELLO]), this.someId()));
      case 2:
        return this.count("length", this.wrongLength());
      case 3:
        return this.count("same id", encodeFrame(REQUEST, this.someId(), text({ request: "list" })));
      case 4:
        return this.count("nested", this.nested());
      default:
        return this.count("bytes", this.bytes(300));
    }
  }

  private count(kind: string, bytes: Uint8Array): Uint8Array {
    this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1);
    return bytes;
  }

  private bytes(most: number): Uint8Array {
    return Uint8Array.from({ length: this.random.below(most) }, () => this.random.below(256));
  }

  /** An id that is in use, was, or may be soon. */
  private someId(): number {
    return Math.max(1, this.id - this.random.below(6) + 1);
  }

  private value(): unknown {
    const { random } = this;
    const word = () =>
      random.pick([...RANDOM_DOMAINS, "nobody", "xenbr0", "0", "999", "", "\u{1f600}", "x".repeat(5000)]);
    switch (random.below(10)) {
      case 0:
        return random.pick<unknown>([null, true, false, {}, [], [[]], { toString: 1, valueOf: 1 }]);
      case 1:
        return random.pick([-1, 0, 1, 2, 16, 1e9, 2 ** 53, 1.5, 1e308]);
      case 2:
        return Array.from({ length: random.below(5) }, word);
      case 3:
        return Array.from({ length: 1 + random.below(3) }, () => random.pick(RANDOM_DOMAINS));
      default:
        return word();
    }
  }

  /** Arguments that are right as often as not, and so are what they say. */
  private params(name: string): Record<string, unknown> {
    const { random } = this;
    const domain = random.pick(RANDOM_DOMAINS);
    if (random.oneIn(2)) {
      if (name === "create") {
        const vif = random.oneIn(4) ? { vif: ["bridge=xenbr0"] } : {};
        return { kernel: "idle", name: domain, memory: 2 + random.below(6), paused: random.oneIn(2), ...vif };
      }
      if (name === "image put") {
        const bytes = 1 + random.below(200_000);
        return { hash: `${RANDOM_IMAGE}${random.below(1000).toString().padStart(60, "0")}`, name: "x", bytes };
      }
      if (["destroy", "pause", "unpause"].includes(name)) return { ids: [domain] };
      if (["console", "logs", "info", "shutdown"].includes(name)) return { id: domain };
    }
    const { arguments: all } = requests.find((request) => request.name === name)!;
    const keys = [...Object.keys(all as object), ...(random.oneIn(4) ? ["__proto__", "constructor", "\n"] : [])];
    return Object.fromEntries(keys.filter(() => !random.oneIn(4)).map((key) => [key, this.value()]));
  }

  private body(): Buffer {
    const names = requests.map(({ name }) => name).filter((name) => !LEFT_OUT.has(name));
    const request = this.random.pick(this.random.oneIn(3) ? ["create", "destroy", "console", "image put"] : names);
    const body = text({ request, params: this.params(request) });
    return body.length > BODY_MOST ? this.body() : body;
  }

  private request(): Uint8Array {
    return encodeFrame(REQUEST, ++this.id, this.body());
  }

  private damaged(): Uint8Array {
    const body = this.body();
    if (this.random.oneIn(2))
      return encodeFrame(REQUEST, ++this.id, text({ request: this.value(), params: this.value() }));
    // In a place that leaves it JSON, more often than not.
    const at = body.indexOf(this.random.pick([":", "i", "a", "1", "2"]), 20);
    if (at > 0) body[at + 1] = this.random.pick([0x31, 0x39, 0x22, 0x61, 0xff, 0x7f]);
    return encodeFrame(REQUEST, ++this.id, body);
  }

  private ofStream(): Uint8Array {
    const id = this.someId();
    switch (this.random.below(4)) {
      case 0:
        return encodeFrame(DATA, id, this.bytes(2000));
      case 1:
        return encodeFrame(DATA_END, id);
      case 2:
        return encodeFrame(WINDOW, id, encodeWindow(this.random.u32()));
      default:
        return encodeFrame(CANCEL, id);
    }
  }

  private huge(): Uint8Array {
    const { random } = this;
    const filling = random.pick(["x", "\\u0000", "\u{1f600}", "\\\\"]);
    const words = filling.repeat(Math.floor((BODY_MOST - 100) / Buffer.byteLength(filling)));
    const body = random.pick([
      `{"request":"${words}"}`,
      `{"request":"list","params":{"${words}":1}}`,
      `{"request":"info","params":{"id":"${words}"}}`,
      `{"request":"destroy","params":{"ids":["${words.slice(0, 3000)}"]}}`,
    ]);
    return encodeFrame(REQUEST, ++this.id, Buffer.from(body).subarray(0, BODY_MOST));
  }

  private nested(): Uint8Array {
    const depth = this.random.pick([10, 1000, 15_000]);
    const value = this.random.oneIn(2)
      ? "[".repeat(depth) + "]".repeat(depth)
      : '{"a":'.repeat(depth / 5) + "1" + "}".repeat(depth / 5);
    const body = this.random.oneIn(2) ? `{"request":"list","params":${value}}` : `{"request":${value}}`;
    return encodeFrame(REQUEST, ++this.id, Buffer.from(body));
  }

  private objects(): Uint8Array {
    const bodies = [
      '{"request":{"toString":1,"valueOf":1}}',
      '{"request":null}',
      "{}",
      '{"request":"__proto__"}',
      '{"request":"list","params":[]}',
    ];
    return encodeFrame(REQUEST, ++this.id, Buffer.from(this.random.pick(bodies)));
  }

  private wrongLength(): Uint8Array {
    const bytes = this.request();
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const length = view.getUint32(0, true);
    view.setUint32(0, this.random.pick([0, 4, length - 1, length + 1, BODY_MOST + 6, 0xffffffff]), true);
    return bytes;
  }
}

/** Requests that one such client has at a time: one more than there may be ends its connection. */
const OPEN_MOST = REQUESTS_MOST - 1;

/**
 * One such client: it sends whatever comes, but knows its own requests, so that its connection is over when it is to be. It gives streams
 * room, and cancels what it has too much of: all of that must be answered.
 */
export class RandomClient {
  private readonly open = new Set<number>();
  private readonly reader = new FrameReader();

  constructor(
    private readonly source: RandomFrames,
    private readonly write: (bytes: Uint8Array) => void,
  ) {
    source.begin();
    write(GREETING);
  }

  /** Whether it can send something: not while it waits for answers. */
  get free(): boolean {
    return this.open.size < OPEN_MOST;
  }

  /** Sends a frame, when it is free; true: the connection is over with it. */
  send(): boolean {
    const { bytes, last } = this.source.next();
    this.write(bytes);
    if (last || bytes[4] !== REQUEST) return last;
    this.open.add(Buffer.from(bytes).readUInt32LE(5));
    if (!this.free) for (const id of this.open) this.write(encodeFrame(CANCEL, id));
    return false;
  }

  /** What Typevisor has sent. @throws Error for what no client can read */
  take(bytes: Uint8Array): void {
    this.reader.push(bytes, ({ type, id, body }) => {
      if (type === DATA && this.open.has(id)) this.write(encodeFrame(WINDOW, id, encodeWindow(body.length)));
      if (type === ERROR) JSON.parse(Buffer.from(body).toString());
      if (type === RESULT || type === ERROR) this.open.delete(id);
      else if (![HELLO, PROGRESS, DATA, WINDOW, RESULT_PART].includes(type)) throw new Error(`a frame of type ${type}`);
    });
  }
}
