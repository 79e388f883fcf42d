import test from "ava";
import fc from "fast-check";
import { XENCONS_IN_SIZE, XENCONS_OUT_SIZE, XenconsInterface as X } from "../../../abi/console.ts";
import { ByteRing } from "../../../toolstack/control/byte-ring.ts";
import { Backlog } from "../../../toolstack/control/domains/backlog.ts";
import { ConsoleRing } from "../../../toolstack/control/domains/console-ring.ts";
import { openHost } from "../../../toolstack/control/host.ts";
import { PagedWindow } from "./paged-window.ts";
import { NO_HOST } from "./no-host.ts";

const PAGE = 0xd0200000;
const window = new PagedWindow((_page, address) => {
  throw new RangeError(`outside the console page: ${address.toString(16)}`);
});
openHost({
  ...NO_HOST,
  machineWindow: window,
});

/** A fresh page and ring, its indexes starting at `start`. */
function setup(start = 0) {
  window.map(PAGE / 4096, new Uint8Array(4096));
  for (const index of [X.in_cons, X.in_prod, X.out_cons, X.out_prod]) window.store32(PAGE + index, start);
  return new ConsoleRing(PAGE, false);
}

/** What a guest does to print. */
function guestWrites(bytes: Uint8Array): void {
  const producer = window.load32(PAGE + X.out_prod);
  bytes.forEach((byte, i) => window.store8(PAGE + X.out + ((producer + i) % XENCONS_OUT_SIZE), byte));
  window.store32(PAGE + X.out_prod, producer + bytes.length);
}

const pattern = (length: number, seed: number) => Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);

for (const start of [0, 5, XENCONS_OUT_SIZE - 3, 0xfffffffe]) {
  test(`output arrives whole and in order, indexes starting at ${start}`, (t) => {
    const ring = setup(start);
    for (let round = 0; round < 20; round++) {
      const bytes = pattern((round * 397) % (XENCONS_OUT_SIZE + 1), round);
      guestWrites(bytes);
      t.deepEqual([...ring.receive()], [...bytes]);
      t.is(window.load32(PAGE + X.out_cons), window.load32(PAGE + X.out_prod));
      t.is(ring.receive().length, 0);
    }
  });

  test(`input goes in as far as there is room, indexes starting at ${start}`, (t) => {
    const ring = setup(start);
    t.is(ring.send(pattern(1500, 1)), XENCONS_IN_SIZE);
    t.is(ring.send(pattern(10, 2)), 0);
    window.store32(PAGE + X.in_cons, window.load32(PAGE + X.in_cons) + 100);
    t.is(ring.send(pattern(1500, 3)), 100);
    const at = (start + 100) % XENCONS_IN_SIZE;
    t.is(window.load8(PAGE + X.in_ + at), pattern(200, 1)[100]);
  });
}

test("hostile indexes: never more than a ring, never outside the page, and it works again afterwards", (t) => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          field: fc.constantFrom(X.in_cons, X.in_prod, X.out_cons, X.out_prod),
          value: fc.oneof(fc.nat(0xffffffff), fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xffffffff)),
        }),
        { maxLength: 20 },
      ),
      (writes) => {
        const ring = setup();
        for (const { field, value } of writes) {
          window.store32(PAGE + field, value);
          if (ring.receive().length > XENCONS_OUT_SIZE) return false;
          if (ring.send(pattern(50, value)) > 50) return false;
        }
        guestWrites(pattern(8, 1));
        ring.receive();
        guestWrites(pattern(9, 2));
        return ring.receive().length === 9;
      },
    ),
  );
  t.pass();
});

test("the backlog keeps the latest bytes and says that earlier ones were lost", (t) => {
  const backlog = new Backlog(256);
  const text = (taken: { bytes: Uint8Array }) => Buffer.from(taken.bytes).toString();
  backlog.add(Buffer.from("abcd"));
  backlog.add(Buffer.from("efgh"));
  t.deepEqual(backlog.take(), { bytes: Uint8Array.from(Buffer.from("abcdefgh")), dropped: false });
  backlog.add(Buffer.from("abcd"));
  backlog.add(Buffer.from("x".repeat(252)));
  t.is(backlog.take().dropped, false, "just full");
  backlog.add(Buffer.from("abcd"));
  backlog.add(Buffer.from("x".repeat(250)));
  backlog.add(Buffer.from("yz-"));
  const taken = backlog.take();
  t.is(text(taken), `bcd${"x".repeat(250)}yz-`);
  t.true(taken.dropped);
  backlog.add(Buffer.from(`${"0".repeat(256)}abcdef`));
  t.is(text(backlog.take()), `${"0".repeat(250)}abcdef`);
});

test("a byte ring is the end of the stream, whatever is put in and taken out, and never larger than its limit", (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(1200), fc.nat(1200)), { maxLength: 30 }), (steps) => {
      const ring = new ByteRing(1024);
      let model: number[] = [];
      let next = 0;
      for (const [add, take] of steps) {
        const bytes = Uint8Array.from({ length: add }, () => next++ & 0xff);
        model.push(...bytes);
        const lost = Math.max(model.length - 1024, 0);
        model = model.slice(lost);
        if (ring.add(bytes) !== lost || ring.capacity > 1024 || ring.length !== model.length) return false;
        const taken = [...ring.take(take)];
        if (JSON.stringify(taken) !== JSON.stringify(model.splice(0, take))) return false;
      }
      return true;
    }),
  );
  t.pass();
});

test("output that comes byte by byte takes no more memory than its bytes", (t) => {
  const backlog = new Backlog(16 * 1024);
  for (let i = 0; i < 50_000; i++) backlog.add(Uint8Array.of(i & 0xff));
  t.true(backlog.capacity <= 16 * 1024);
  t.is(backlog.take().bytes.length, 16 * 1024);
  t.is(backlog.capacity, 0, "what was shown is given back");
});
