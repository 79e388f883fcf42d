/** A serial port's clients: each begins with a greeting of its own, whatever the one before has left in either direction. */
import { randomBytes } from "node:crypto";
import test from "ava";
import fc from "fast-check";
import { SERIAL_RING_BYTES, SerialPage } from "../../../../abi/io/control-serial.ts";
import { answerFinder, answerOf, greetingFinder, greetingOf } from "../../../../toolstack/api/serial.ts";
import { FakePort, readAll } from "./fake-port.ts";

const number = (n: number) => n.toString(16).padStart(16, "0");
const text = (words: string) => Buffer.from(words, "latin1");

test("a greeting and its answer are found however the stream is cut, behind anything", async (t) => {
  await fc.assert(
    fc.property(fc.uint8Array({ maxLength: 90 }), fc.array(fc.integer({ min: 1, max: 40 })), (before, cuts) => {
      for (const [finder, line] of [
        [greetingFinder(), greetingOf(number(77))],
        [answerFinder(number(77)), answerOf(number(77))],
      ] as const) {
        // What could be the line's beginning is before it, too.
        const stream = Buffer.concat([before, text(line.slice(0, 9)), text(line), text("TLS")]);
        let found: ReturnType<typeof finder.push> = null;
        let at = 0;
        for (const cut of [...cuts, stream.length]) {
          found = finder.push(stream.subarray(at, at + cut));
          at += cut;
          if (found !== null) break;
        }
        t.is(found?.says, number(77));
        t.true("TLS".startsWith(Buffer.from(found!.rest).toString()));
      }
    }),
  );
  t.is(answerFinder(number(1)).push(text(answerOf(number(2)))), null);
  t.is(greetingFinder().push(text("TYPEVISOR-CONTROL 123\nTYPEVISOR-CONTROL 0000000000000zzz\n")), null);
});

test("a client is greeted, answers, and has the stream from there on; the next has another number", (t) => {
  const fake = new FakePort();
  t.is(fake.sent(), "", "nobody is there");
  fake.change();
  t.is(fake.sent(), greetingOf(number(1)));
  fake.receive(text("what another has left behind"));
  fake.receive(text(`\0\xff${answerOf(number(9))}${answerOf(number(1)).slice(0, 20)}`));
  t.is(fake.clients.length, 0);
  fake.receive(text(`${answerOf(number(1)).slice(20)}hello`));
  const [client] = fake.clients;
  t.is(client!.peer, "virtio-console:1");
  t.is(readAll(client!), "hello");
  t.is(client!.write(text("welcome")), 7);
  t.is(fake.sent(), "welcome");
  // It leaves behind what it had not read.
  client!.write(text("too late"));
  let told = 0;
  client!.onReady = () => told++;
  fake.receive(text("the last words"), false);
  fake.change();
  t.is(client!.ended, null, "there is something to be read yet");
  t.is(readAll(client!), "the last words");
  t.is(client!.ended, "closed");
  fake.run();
  t.true(told >= 2);
  fake.change();
  t.is(fake.sent(), `too late${greetingOf(number(2))}`);
  fake.receive(text(answerOf(number(1))));
  t.is(fake.clients.length, 1, "that is an earlier number");
  fake.receive(text(answerOf(number(2))));
  t.is(fake.clients.length, 2);
  t.is(client!.read(new Uint8Array(9)), 0);
  t.is(client!.write(text("no more")), 0);
});

test("one that is ended here: whoever has the host's end is greeted again, and its bytes are nobody's", (t) => {
  const fake = new FakePort();
  fake.change();
  fake.sent();
  fake.receive(text(answerOf(number(1))));
  const [client] = fake.clients;
  client!.onReady = () => t.fail("it was ended here");
  client!.abort();
  t.is(client!.ended, "local");
  fake.receive(Buffer.concat(Array.from({ length: 7 }, () => randomBytes(4000))));
  t.is(fake.sent(), greetingOf(number(2)));
  t.is(fake.line.available, 0);
  fake.receive(text(answerOf(number(2))));
  t.is(fake.clients.length, 2);
});

test("closed and opened before it was noticed is another client", (t) => {
  const fake = new FakePort();
  fake.change();
  fake.receive(text(`${answerOf(number(1))}abc`));
  const [client] = fake.clients;
  t.is(readAll(client!), "abc");
  fake.page.writeUInt32LE(fake.page.readUInt32LE(SerialPage.connection) + 2, SerialPage.connection);
  fake.run();
  t.is(client!.ended, "closed");
  t.is(fake.sent(), greetingOf(number(1)) + greetingOf(number(2)));
});

test("one that leaves before it has answered: the next is greeted anew", (t) => {
  const fake = new FakePort();
  fake.change();
  t.is(fake.sent(), greetingOf(number(1)));
  fake.page.writeUInt32LE(fake.page.readUInt32LE(SerialPage.connection) + 2, SerialPage.connection);
  fake.receive(text(answerOf(number(1))));
  t.is(fake.clients.length, 0);
  t.is(fake.sent(), greetingOf(number(2)));
});

test("a client that reads nothing, and one that is not read, wait", (t) => {
  const fake = new FakePort();
  fake.change();
  fake.sent();
  fake.receive(text(answerOf(number(1))));
  const [client] = fake.clients;
  const much = randomBytes(SERIAL_RING_BYTES + 1000);
  t.is(client!.write(much), SERIAL_RING_BYTES);
  t.is(fake.page.readUInt32LE(SerialPage.txWaits), 1);
  t.is(client!.write(text("x")), 0);
  let told = 0;
  client!.onReady = () => told++;
  t.is(fake.sent(), much.subarray(0, SERIAL_RING_BYTES).toString("latin1"));
  t.is(told, 1);
  t.is(client!.write(text("x")), 1);
  t.is(fake.page.readUInt32LE(SerialPage.txWaits), 0);
  fake.line.takeNotify();
  t.is(fake.receive(much), SERIAL_RING_BYTES);
  fake.page.writeUInt32LE(1, SerialPage.rxWaits);
  t.false(fake.line.takeNotify(), "there is no room");
  t.is(readAll(client!), much.subarray(0, SERIAL_RING_BYTES).toString("latin1"));
  t.true(fake.line.takeNotify());
});

test("a new domain 0 greets whoever is there; the I/O domain's end is a client's", (t) => {
  const fake = new FakePort();
  fake.change();
  fake.receive(text(`${answerOf(number(1))}abc`));
  fake.sent();
  fake.start();
  fake.receive(text("of an old connection"));
  t.is(fake.sent(), greetingOf(number(2)));
  fake.receive(text(answerOf(number(2))));
  const client = fake.clients[1]!;
  let told = 0;
  client.onReady = () => told++;
  fake.port.lose();
  t.is(client.ended, "reset");
  t.is(told, 1);
});

test("indices of the I/O domain that cannot be are as if nothing were there", (t) => {
  const fake = new FakePort();
  fake.change();
  fake.sent();
  for (const wrong of [SERIAL_RING_BYTES + 1, 100_000, 0x80000000]) {
    fake.page.writeUInt32LE(wrong, SerialPage.rxProduced);
    fake.run();
    t.is(fake.line.available, 0);
    t.is(fake.line.read(new Uint8Array(10)), 0);
    fake.page.writeUInt32LE(wrong, SerialPage.txConsumed);
    t.is(fake.line.write(text("x")), 0);
  }
});
