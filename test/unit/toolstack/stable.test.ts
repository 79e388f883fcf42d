/** Records that survive a restart of domain 0: replaced completely or not at all, found again, within the size limit. */
import test from "ava";
import { EFAULT } from "../../../abi/errno.ts";
import { DOM0_CALL_PAGE, DOM0_STABLE, DOM0_STABLE_END } from "../../../abi/domain0-layout.ts";
import { CallPage } from "../../../abi/software.ts";
import { openHost } from "../../../toolstack/control/host.ts";
import { openHypercalls } from "../../../toolstack/control/hypercall.ts";
import { hostEncode } from "./host-encode.ts";
import { PagedWindow } from "./paged-window.ts";
import { NO_HOST } from "./no-host.ts";

const PAGE = 4096;
const pages = new Map<number, Uint8Array>();
/** Pages that were touched. */
let touched = 0;
/** Pages that may be. */
let memoryPages = Infinity;
let window = fresh();
let encode = (text: string): void => hostEncode(window, text);

/** The same memory as a new domain 0 sees it. */
function fresh(): PagedWindow {
  return new PagedWindow((page, address) => {
    const callPage = address >= DOM0_CALL_PAGE && address < DOM0_CALL_PAGE + PAGE;
    if (!callPage && (address < DOM0_STABLE || address >= DOM0_STABLE_END))
      throw new RangeError(`outside: ${address.toString(16)}`);
    if (!callPage && !pages.has(page) && touched++ >= memoryPages) throw new RangeError("memory is out");
    const bytes = pages.get(page) ?? new Uint8Array(PAGE);
    pages.set(page, bytes);
    return bytes;
  });
}

/** XENVER_extraversion, which writes 16 bytes at its argument. */
function write16(): void {
  const address = window.load32(DOM0_CALL_PAGE + CallPage.args + 8);
  const there = pages.has(address / PAGE) || touched < memoryPages;
  if (there) window.write(address, new Uint8Array(16));
  window.store32(DOM0_CALL_PAGE + CallPage.result, there ? 0 : -EFAULT >>> 0);
  window.store32(DOM0_CALL_PAGE + CallPage.result + 4, there ? 0 : 0xffffffff);
}

/** Domain 0 starts: the module's own state is new. */
async function start(): Promise<typeof import("../../../toolstack/control/stable.ts")> {
  window = fresh();
  encode = (text) => hostEncode(window, text);
  openHost({
    ...NO_HOST,
    hypercall: write16,
    encode: (text) => encode(text),
    machineWindow: window,
  });
  openHypercalls();
  const name = `../../../toolstack/control/stable.ts?${Math.random()}`;
  return (await import(name)) as typeof import("../../../toolstack/control/stable.ts");
}

test.beforeEach(() => {
  pages.clear();
  touched = 0;
  memoryPages = Infinity;
});

test.serial("at the machine's start there are none, and little is touched", async (t) => {
  const stable = await start();
  t.is(stable.loadRecords().size, 0);
  t.is(touched, 1);
});

test.serial("a text that takes more pages than it has characters", async (t) => {
  let stable = await start();
  stable.loadRecords();
  const long = "\u20ac".repeat(3000);
  t.true(stable.saveRecord(1, "before"));
  t.true(stable.saveRecord(1, long));
  t.true(stable.saveRecord(2, "beside"));
  t.false(stable.saveRecord(1, "\u20ac".repeat(11_000)), "more than a record may have");
  stable = await start();
  const records = stable.loadRecords();
  t.is(Buffer.from(records.get(1)!, "latin1").toString("utf8"), long);
  t.is(records.get(2), "beside");
});

test.serial("records are found again, replaced and dropped", async (t) => {
  let stable = await start();
  stable.loadRecords();
  t.true(stable.saveRecord(1, "one"));
  t.true(stable.saveRecord(2, "two".repeat(3000)));
  t.true(stable.saveRecord(1, "one again \xe9"));
  t.true(stable.saveRecord(3, ""));
  stable.dropRecord(3);
  stable.dropRecord(77);
  for (let restarts = 0; restarts < 3; restarts++) {
    stable = await start();
    t.deepEqual([...stable.loadRecords()].sort(), [
      [1, "one again \xc3\xa9"],
      [2, "two".repeat(3000)],
    ]);
  }
  stable.dropRecord(1);
  stable = await start();
  t.deepEqual([...stable.loadRecords().keys()], [2]);
  t.true(touched < 10, `${touched} pages`);
});

test.serial("a record that is too long, or finds no room, leaves the old one", async (t) => {
  let stable = await start();
  stable.loadRecords();
  t.true(stable.saveRecord(1, "x".repeat(stable.RECORD_BYTES)));
  t.false(stable.saveRecord(1, "y".repeat(stable.RECORD_BYTES + 1)));
  let domain = 2;
  while (stable.saveRecord(domain, "z".repeat(10_000))) domain++;
  t.true(domain > 2500 && domain < 3000, `${domain} large records`);
  let small = 10_000;
  while (stable.saveRecord(small, "s".repeat(8000))) small++;
  t.true(small > 14_000, `${small - 10_000} small ones beside them`);
  t.false(stable.saveRecord(10_000, "w".repeat(8000)), "replacing needs room for both");
  stable = await start();
  const found = stable.loadRecords();
  t.is(found.get(1), "x".repeat(stable.RECORD_BYTES));
  t.is(found.get(2), "z".repeat(10_000));
  t.is(found.get(10_000), "s".repeat(8000));
  for (const id of found.keys()) stable.dropRecord(id);
  t.true(stable.saveRecord(1, "x".repeat(stable.RECORD_BYTES)));
});

test.serial("what a crash left half written is not read", async (t) => {
  let stable = await start();
  stable.loadRecords();
  stable.saveRecord(1, "old");
  stable.saveRecord(2, "other");
  stable.saveRecord(3, "gone");
  stable.dropRecord(3);
  // Domain 0 ends when half of the new record of domain 1 is written, where one that was dropped has been.
  encode = (text) => {
    hostEncode(window, text.slice(0, text.length / 2));
    throw new Error("the end");
  };
  t.throws(() => stable.saveRecord(1, "new one"), { message: "the end" });
  stable = await start();
  t.deepEqual([...stable.loadRecords()].sort(), [
    [1, "old"],
    [2, "other"],
  ]);

  // Both are whole: the later one counts.
  pages.clear();
  stable = await start();
  stable.loadRecords();
  stable.saveRecord(1, "old");
  const before = new Map([...pages].map(([page, bytes]) => [page, bytes.slice()]));
  stable.saveRecord(1, "new");
  for (const [page, bytes] of before)
    if (page !== DOM0_STABLE / PAGE && page !== DOM0_CALL_PAGE / PAGE) pages.set(page, bytes);
  stable = await start();
  t.deepEqual([...stable.loadRecords()], [[1, "new"]]);
  stable = await start();
  t.deepEqual([...stable.loadRecords()], [[1, "new"]], "and the other is gone");
});

test.serial(
  "8,000 domains have a record each, found again after a restart; ever new ones take no more room",
  async (t) => {
    let stable = await start();
    stable.loadRecords();
    const text = (id: number): string => `${id}:`.padEnd(700, "r");
    for (let id = 1; id <= 8000; id++) t.true(stable.saveRecord(id, text(id)));
    stable = await start();
    const found = stable.loadRecords();
    t.is(found.size, 8000);
    for (let id = 1; id <= 8000; id += 777) t.is(found.get(id), text(id));
    const before = touched;
    for (let id = 8001; id <= 20_000; id++) {
      stable.dropRecord(id - 8000);
      if (!stable.saveRecord(id, text(id))) return t.fail(`no room for ${id}`);
    }
    t.true(touched <= before + 1, `${touched - before} pages more`);
  },
);

test.serial("room in small pieces is joined when nothing else is left", async (t) => {
  let stable = await start();
  stable.loadRecords();
  let last = 0;
  while (stable.saveRecord(last + 1, "s")) last++;
  t.true(last > 16_000, `${last}`);
  for (let id = 1; id <= last; id++) if (id % 8 !== 0 || id > 9000) stable.dropRecord(id);
  t.true(stable.saveRecord(50_000, "l".repeat(stable.RECORD_BYTES - 4096)), "seven pages in a row");
  stable = await start();
  t.is(stable.loadRecords().get(50_000)?.length, stable.RECORD_BYTES - 4096);
  t.true(stable.saveRecord(50_001, "l".repeat(stable.RECORD_BYTES)));
});

test.serial("where memory is out there is no room, and the records there are stay", async (t) => {
  let stable = await start();
  stable.loadRecords();
  memoryPages = 4;
  t.true(stable.saveRecord(1, "one"));
  t.true(stable.saveRecord(2, "two"));
  t.false(stable.saveRecord(3, "three".repeat(1000)), "two pages");
  t.true(stable.saveRecord(3, "three"));
  t.false(stable.saveRecord(4, "four"));
  stable.dropRecord(1);
  t.true(stable.saveRecord(4, "four"), "in the place of another");
  stable = await start();
  t.deepEqual([...stable.loadRecords().keys()].sort(), [2, 3, 4]);
});
