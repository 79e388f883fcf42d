/** A guest's console as the control plane serves it: kept output, queued input, intervals between servings. */
import test from "ava";
import { XenconsInterface as X } from "../../../abi/console.ts";
import { HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_PFN } from "../../../abi/hvm.ts";
import type { FakeDomain } from "./fake-domain.ts";
import type { FakeMachine } from "./fake-machine.ts";
import { guestPrints, machine } from "./fake-session.ts";

test("console: kept output first, then both directions, Ctrl-] leaves and the rest is typed ahead", async (t) => {
  const m = machine();
  await m.boot();
  await m.type("create --kernel hello\r");
  const domain = m.domains.get(1)!;
  guestPrints(m, domain, "before\n");
  await m.settle();
  m.takeOutput();
  await m.type("console 1\rabc");
  t.regex(m.takeOutput(), /Ctrl-\] leaves\]\r\nbefore\r\n$/);
  // A console that was just served rests.
  await m.pass(5);
  guestPrints(m, domain, "now\n");
  await m.settle();
  t.is(m.takeOutput(), "now\r\n");
  const page = domain.frames.get(domain.params.get(HVM_PARAM_CONSOLE_PFN)!)!;
  t.is(Buffer.from(page.subarray(0, 3)).toString(), "abc");
  await m.type("d\x1djs 5\r");
  t.is(Buffer.from(page.subarray(0, 4)).toString(), "abcd");
  t.regex(m.takeOutput(), /typevisor> .*js 5(\x1b\[K)?\r\n5\r\ntypevisor> $/s);
});

test("a console that was served rests before it is served again, and nothing is lost", async (t) => {
  const m = machine();
  await m.boot();
  await m.type("create --kernel hello\r");
  const domain = m.domains.get(1)!;
  await m.pass(200);
  m.takeOutput();
  await m.type("console 1\r");
  for (let i = 0; i < 100; i++) {
    guestPrints(m, domain, `${i},`);
    await m.settle();
  }
  // The first at once, the others together.
  t.true(m.takeOutput().endsWith("\n0,"));
  await m.pass(2);
  t.regex(m.takeOutput(), /^1,2,.*98,99,$/);
  guestPrints(m, domain, "soon");
  await m.settle();
  t.is(m.takeOutput(), "");
  await m.pass(5);
  t.is(m.takeOutput(), "soon");
  guestPrints(m, domain, "at once");
  await m.settle();
  t.is(m.takeOutput(), "at once");
});

test("a console's event that came while it rested does not keep later ones from waking domain 0", async (t) => {
  const m = machine("", 1024);
  await m.boot();
  // The last one's port has no neighbour that would be taken with it.
  await m.type(`${"create --kernel hello --memory 2 --paused;".repeat(40)}\r`);
  const domain = m.domains.get(40)!;
  await m.type("console 40\r");
  m.takeOutput();
  for (const text of ["first", "second", "third", "fourth"]) {
    guestPrints(m, domain, text);
    await m.settle();
    guestPrints(m, domain, "+");
    await m.pass(20);
  }
  t.is(m.takeOutput(), "first+second+third+fourth+");
});

/** Reads what is in a guest's console ring, as the guest does, and tells domain 0. */
function guestReads(m: FakeMachine, domain: FakeDomain): string {
  const page = domain.frames.get(domain.params.get(HVM_PARAM_CONSOLE_PFN)!)!;
  const view = new DataView(page.buffer, page.byteOffset);
  let text = "";
  const [consumer, producer] = [view.getUint32(X.in_cons, true), view.getUint32(X.in_prod, true)];
  for (let at = consumer; at !== producer; at++) text += String.fromCharCode(page[X.in_ + (at % 1024)]!);
  view.setUint32(X.in_cons, producer, true);
  m.notifyFrom(domain, domain.params.get(HVM_PARAM_CONSOLE_EVTCHN)!);
  return text;
}

test("a guest gets all that is pasted, however slowly it reads", async (t) => {
  const m = machine();
  await m.boot();
  await m.type("create --kernel hello; console 1\r");
  const domain = m.domains.get(1)!;
  const pasted = Array.from({ length: 2000 }, (_, i) => `line ${i}\n`).join("");
  await m.type(`${pasted}\x1djs 'left'\r`);
  let read = "";
  for (let piece = guestReads(m, domain); piece !== ""; piece = guestReads(m, domain)) {
    read += piece;
    await m.settle();
  }
  t.is(read, pasted);
  t.regex(m.takeOutput(), /"left"\r\ntypevisor> $/);
});

test("a guest that does not read can be left; what it did not take is reported", async (t) => {
  const m = machine();
  await m.boot();
  await m.type("create --kernel hello; console 1\r");
  const domain = m.domains.get(1)!;
  await m.type("x".repeat(18_800));
  await m.type("\x1d");
  m.takeOutput();
  await m.pass(4000);
  t.is(m.takeOutput(), "", "it is waited for");
  await m.pass(2000);
  t.regex(
    m.takeOutput(),
    /\[the guest does not read its console: more input is lost until it does\]\r\n[^]*\[13680 bytes of input were lost\]\r\n[^]*typevisor> $/,
  );
  // What was kept is there when it reads at last, and what is typed from then on.
  await m.type("console 1\r");
  t.is(guestReads(m, domain).length, 1024);
  await m.settle();
  await m.type("new");
  let rest = "";
  for (let piece = guestReads(m, domain); piece !== ""; piece = guestReads(m, domain)) {
    rest += piece;
    await m.settle();
  }
  t.is(rest, `${"x".repeat(4096)}new`);
});
