/** Messages over a ring page: pieces, wrapped indexes, full rings, and guests that write what they like. */
import test from "ava";
import fc from "fast-check";
import {
  XENSTORE_CONNECTED,
  XENSTORE_ERROR_NONE,
  XENSTORE_ERROR_PROTO,
  XENSTORE_ERROR_RINGIDX,
  XENSTORE_RECONNECT,
  XENSTORE_RING_SIZE,
  XENSTORE_SERVER_FEATURE_ERROR,
  XENSTORE_SERVER_FEATURE_RECONNECTION,
  XenstoreDomainInterface as X,
  XS_ERROR,
  XS_READ,
  XS_WATCH,
  XS_WATCH_EVENT,
  XS_WRITE,
} from "../../../../abi/xs-wire.ts";
import { openHost } from "../../../../toolstack/control/host.ts";
import { Exchange } from "../../../../toolstack/control/store/exchange.ts";
import { handleRequest } from "../../../../toolstack/control/store/requests.ts";
import { StoreRing } from "../../../../toolstack/control/store/ring.ts";
import { decodeHeader, encodeMessage, HEADER_BYTES } from "../../../../toolstack/control/store/wire.ts";
import { PagedWindow } from "../paged-window.ts";
import { StoreLab } from "./store-lab.ts";
import { NO_HOST } from "../no-host.ts";

const PAGE = 0xd0200000;
const window = new PagedWindow((_page, address) => {
  throw new RangeError(`outside the ring page: ${address.toString(16)}`);
});
openHost({
  ...NO_HOST,
  machineWindow: window,
});

/** A guest with its ring: the bytes it has yet to write, and those it has read. */
class Guest {
  readonly lab = new StoreLab();
  readonly client = this.lab.guest(1).client;
  readonly errors: number[] = [];
  reconnections = 0;
  exchange: Exchange;
  private unsent = "";
  private received = "";

  constructor(start = 0) {
    window.map(PAGE / 4096, new Uint8Array(4096));
    for (const index of [X.req_cons, X.req_prod, X.rsp_cons, X.rsp_prod]) this.set(index, start);
    this.exchange = this.connect();
  }

  connect(): Exchange {
    return new Exchange(this.client, new StoreRing(PAGE), {
      request: (header, payload) => {
        handleRequest(this.client, this.lab, header, payload, (error) => {
          throw error;
        });
      },
      broken: (error) => this.errors.push(error),
      reconnected: () => this.reconnections++,
    });
  }

  get(field: number): number {
    return window.load32(PAGE + field);
  }

  set(field: number, value: number): void {
    window.store32(PAGE + field, value >>> 0);
  }

  send(type: number, payload: string, request = 1): void {
    this.unsent += encodeMessage({ type, request, transaction: 0, payload });
  }

  /** Writes up to `most` bytes into the ring. */
  push(most = Infinity): void {
    const producer = this.get(X.req_prod);
    const room = XENSTORE_RING_SIZE - ((producer - this.get(X.req_cons)) >>> 0);
    const piece = this.unsent.slice(0, Math.min(room, most));
    this.put(piece);
    this.unsent = this.unsent.slice(piece.length);
  }

  /** Puts bytes into the ring, where there is room for them. */
  put(piece: string): void {
    const producer = this.get(X.req_prod);
    for (let i = 0; i < piece.length; i++) {
      window.store8(PAGE + X.req + ((producer + i) % XENSTORE_RING_SIZE), piece.charCodeAt(i));
    }
    this.set(X.req_prod, producer + piece.length);
  }

  /** Reads up to `most` bytes from the ring. */
  pull(most = Infinity): void {
    const consumer = this.get(X.rsp_cons);
    const length = Math.min((this.get(X.rsp_prod) - consumer) >>> 0, most);
    for (let i = 0; i < length; i++) {
      this.received += String.fromCharCode(window.load8(PAGE + X.rsp + ((consumer + i) % XENSTORE_RING_SIZE)));
    }
    this.set(X.rsp_cons, consumer + length);
  }

  /** The messages that have come as a whole. */
  messages(): { type: number; request: number; payload: string }[] {
    const found = [];
    while (this.received.length >= HEADER_BYTES) {
      const { type, request, length } = decodeHeader(this.received);
      if (this.received.length < HEADER_BYTES + length) break;
      found.push({ type, request, payload: this.received.slice(HEADER_BYTES, HEADER_BYTES + length) });
      this.received = this.received.slice(HEADER_BYTES + length);
    }
    return found;
  }

  /** Exchanges until nothing moves; a guest that reads and writes `step` bytes at a time. */
  settle(step = Infinity): void {
    for (let still = 0; still < 2;) {
      const before = [X.req_prod, X.req_cons, X.rsp_prod, X.rsp_cons].map((field) => this.get(field)).join();
      this.push(step);
      this.exchange.run(64);
      this.pull(step);
      const after = [X.req_prod, X.req_cons, X.rsp_prod, X.rsp_cons].map((field) => this.get(field)).join();
      still = before === after ? still + 1 : 0;
    }
  }
}

test("the page says what is offered, and that it is connected", (t) => {
  const guest = new Guest();
  t.is(guest.get(X.server_features), XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR);
  t.is(guest.get(X.connection), XENSTORE_CONNECTED);
  t.is(guest.get(X.error), XENSTORE_ERROR_NONE);
});

for (const start of [0, 1000, 0xfffffff0]) {
  for (const step of [1, 7, 1024]) {
    test(`requests of all sizes by pieces of ${step} bytes, indexes from ${start}`, (t) => {
      const guest = new Guest(start);
      for (const [i, length] of [0, 1, 900, 990, 1200, 2000].entries()) {
        const value = "v".repeat(length) + i;
        guest.send(XS_WRITE, `data/x\0${value}`, 2 * i);
        guest.send(XS_READ, "data/x\0", 2 * i + 1);
        guest.settle(step);
        t.deepEqual(guest.messages(), [
          { type: XS_WRITE, request: 2 * i, payload: "OK\0" },
          { type: XS_READ, request: 2 * i + 1, payload: value },
        ]);
      }
      t.deepEqual(guest.errors, []);
    });
  }
}

test("a request that is all there stays in the ring until it is answered: a new domain 0 takes it up", (t) => {
  const guest = new Guest();
  guest.send(XS_WRITE, "data/x\0value");
  guest.push();
  t.is(guest.get(X.req_cons), 0);
  guest.exchange = guest.connect();
  guest.settle();
  t.deepEqual(guest.messages(), [{ type: XS_WRITE, request: 1, payload: "OK\0" }]);
});

test("what is there of a request is taken at once: Linux tells of the rest only when its beginning was taken", (t) => {
  const guest = new Guest();
  guest.send(XS_WRITE, "data/x\0value");
  guest.push(16);
  t.true(guest.exchange.run(64).moved);
  t.is(guest.get(X.req_cons), 16, "its header");
  guest.push(4);
  guest.exchange.run(64);
  t.is(guest.get(X.req_cons), 20);
  guest.settle();
  t.deepEqual(guest.messages(), [{ type: XS_WRITE, request: 1, payload: "OK\0" }]);
});

test("a guest that tells as Linux does is answered wherever the ring ends: in its header, in its payload, nowhere", (t) => {
  const message = encodeMessage({ type: XS_WRITE, request: 1, transaction: 0, payload: "data/x\0value" });
  for (let start = XENSTORE_RING_SIZE - message.length - 1; start <= XENSTORE_RING_SIZE; start++) {
    const guest = new Guest(start);
    // xb_write: header and payload one after the other, each up to the ring's end; it tells only of what it puts into a
    // ring that was empty.
    for (const part of [message.slice(0, HEADER_BYTES), message.slice(HEADER_BYTES)]) {
      for (let at = 0; at < part.length;) {
        const producer = guest.get(X.req_prod);
        const piece = Math.min(part.length - at, XENSTORE_RING_SIZE - (producer % XENSTORE_RING_SIZE));
        guest.put(part.slice(at, at + piece));
        at += piece;
        if (producer === guest.get(X.req_cons)) guest.exchange.run(64);
      }
    }
    guest.pull();
    t.deepEqual(guest.messages(), [{ type: XS_WRITE, request: 1, payload: "OK\0" }], `from ${start}`);
  }
});

test("a guest that does not read is not answered, and what it asks waits", (t) => {
  const guest = new Guest();
  for (let i = 0; i < 200; i++) guest.send(XS_READ, "data\0", i);
  for (let i = 0; i < 50; i++) {
    guest.push();
    guest.exchange.run(64);
  }
  t.is((guest.get(X.rsp_prod) - guest.get(X.rsp_cons)) >>> 0, XENSTORE_RING_SIZE);
  t.true(guest.client.account.outstanding <= 20);
  guest.settle();
  t.deepEqual(
    guest.messages().map(({ request }) => request),
    Array.from({ length: 200 }, (_, i) => i),
  );
  t.is(guest.client.account.outstanding, 0);
});

test("no more requests are carried out at a time than are let", (t) => {
  const guest = new Guest();
  for (let i = 0; i < 10; i++) guest.send(XS_READ, "data\0", i);
  guest.push();
  t.is(guest.exchange.run(3).done, 3);
  t.is(guest.exchange.run(0).done, 0);
  t.is(guest.exchange.run(64).done, 7);
});

test("a payload that is too long, and indexes that make no sense, cost the connection", (t) => {
  const long = new Guest();
  long.send(XS_READ, "x".repeat(4097));
  long.settle();
  t.deepEqual(long.errors, [XENSTORE_ERROR_PROTO]);
  t.is(long.get(X.error), XENSTORE_ERROR_PROTO);

  const produced = new Guest();
  produced.send(XS_WATCH, "data\0t\0");
  produced.settle();
  produced.client.begin();
  t.is(produced.client.allWatches.length, 1);
  produced.set(X.req_prod, produced.get(X.req_cons) + 1025);
  produced.exchange.run(64);
  t.deepEqual(produced.errors, [XENSTORE_ERROR_RINGIDX]);
  t.is(produced.client.allWatches.length, 0, "its watches are gone");
  t.is(produced.client.openTransactions.length, 0);
  produced.set(X.req_prod, produced.get(X.req_cons));
  produced.send(XS_READ, "data\0");
  produced.settle();
  t.deepEqual(
    produced.messages().filter(({ type }) => type === XS_READ),
    [],
    "nothing is exchanged any more",
  );
  // Not even after a restart of domain 0.
  produced.exchange = produced.connect();
  produced.settle();
  t.is(produced.errors.length, 1);

  const consumed = new Guest();
  consumed.set(X.rsp_cons, 1);
  consumed.send(XS_READ, "data\0");
  consumed.push();
  consumed.exchange.run(64);
  t.deepEqual(consumed.errors, [XENSTORE_ERROR_RINGIDX]);
});

test("a broken connection is made again when the guest asks, with nothing left of before", (t) => {
  const guest = new Guest();
  guest.send(XS_READ, "x".repeat(4097));
  guest.settle();
  guest.set(X.connection, XENSTORE_RECONNECT);
  t.true(guest.exchange.run(64).moved);
  t.is(guest.get(X.connection), XENSTORE_CONNECTED);
  t.is(guest.get(X.error), XENSTORE_ERROR_NONE);
  t.is(guest.reconnections, 1);
  const fresh = guest as unknown as { unsent: string };
  fresh.unsent = "";
  guest.send(XS_READ, "data\0", 5);
  guest.settle();
  t.deepEqual(guest.messages(), [{ type: XS_READ, request: 5, payload: "" }]);
});

test("a reconnection in the midst of a large message begins at a message", (t) => {
  const guest = new Guest(77);
  guest.send(XS_WATCH, "data\0t\0");
  guest.settle();
  guest.messages();
  guest.send(XS_WRITE, `data/x\0${"v".repeat(1500)}`);
  guest.push(1000);
  guest.exchange.run(64);
  guest.set(X.connection, XENSTORE_RECONNECT);
  guest.exchange.run(64);
  t.is(guest.client.allWatches.length, 0);
  (guest as unknown as { unsent: string }).unsent = "";
  guest.send(XS_READ, "data/x\0", 9);
  guest.settle();
  t.deepEqual(guest.messages(), [{ type: XS_ERROR, request: 9, payload: "ENOENT\0" }]);
});

test("events come between answers, each as a whole", (t) => {
  const guest = new Guest();
  guest.send(XS_WATCH, "data\0token\0");
  for (let i = 0; i < 30; i++) guest.send(XS_WRITE, `data/${i}\0x`, i);
  guest.settle(33);
  const messages = guest.messages();
  t.is(messages.filter(({ type }) => type === XS_WATCH_EVENT).length, 31);
  t.is(messages.filter(({ type }) => type === XS_WRITE).length, 30);
});

test("whatever a guest writes into its page: no exception, quotas hold, others are served", (t) => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.record({ at: fc.constant(-1), bytes: fc.uint8Array({ maxLength: 300 }), value: fc.constant(0) }),
          fc.record({
            at: fc.constantFrom(
              X.req_cons,
              X.req_prod,
              X.rsp_cons,
              X.rsp_prod,
              X.server_features,
              X.connection,
              X.error,
            ),
            bytes: fc.constant(new Uint8Array()),
            value: fc.oneof(fc.nat(2048), fc.integer({ min: 0, max: 0xffffffff })),
          }),
        ),
        { maxLength: 40 },
      ),
      (steps) => {
        const guest = new Guest();
        for (const { at, bytes, value } of steps) {
          if (at >= 0) {
            guest.set(at, value);
          } else {
            const producer = guest.get(X.req_prod);
            bytes.forEach((byte, i) => window.store8(PAGE + X.req + ((producer + i) % 1024), byte));
            guest.set(X.req_prod, producer + bytes.length);
          }
          guest.exchange.run(64);
          guest.pull(500);
        }
        const other = guest.lab.guest(2);
        return other.write("data/x", "") === "OK\0" && guest.lab.wrong().length === 0;
      },
    ),
    { seed: 1, numRuns: 400 },
  );
  t.pass();
});
