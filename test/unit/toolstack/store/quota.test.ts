/** No guest can exceed its quota of the store, and freed quota can be used again. */
import test from "ava";
import {
  ASSURED_BYTES,
  MAX_BYTES,
  MAX_NODES,
  MAX_OUTSTANDING,
  MAX_TRANSACTION_NODES,
  MAX_TRANSACTIONS,
  MAX_WATCHES,
  POOL_BYTES,
  RESERVE_BYTES,
} from "../../../../toolstack/control/store/quota.ts";
import { ANNOUNCE_UNITS } from "../../../../toolstack/control/store/announcements.ts";
import { EVENT_TIMEOUT_MS } from "../../../../toolstack/control/store/client.ts";
import { StoreLab, type LabClient } from "./store-lab.ts";

const OK = "OK\0";

/** Makes nodes until it is refused; returns how many, and the error. */
function fill(client: LabClient, data: string, transaction = 0): { made: number; error: string } {
  for (let made = 0; ; made++) {
    // A directory's list of names counts as its size too: hence directories.
    const answer = client.write(`data/${Math.floor(made / 100)}/${made}`, data, transaction);
    if (answer !== OK) return { made, error: answer };
  }
}

test("nodes: no more than the limit, also by making those above, and in a transaction", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  const { made, error } = fill(a, "");
  t.is(error, "!ENOSPC");
  // `data` itself is one, each hundred has a directory.
  t.is(made + Math.ceil(made / 100) + 1, MAX_NODES);
  t.is(a.client.account.nodes, MAX_NODES);
  t.is(a.mkdir("data/more"), "!ENOSPC");
  t.is(a.write("data/0/0", "changed"), OK, "what is there may be written");
  t.is(a.rm("data/0/0"), OK);
  t.is(a.write("data/p/q", ""), "!ENOSPC", "two are too many");
  t.is(a.write("data/p", ""), OK);
  const tx = a.start();
  t.is(a.write("data/q", "", tx), "!ENOSPC");
  t.is(a.rm("data/p", tx), OK);
  t.is(a.write("data/q", "", tx), OK, "it has given one back");
  t.is(a.end(tx), OK);
  t.is(lab.guest(2).write("data/x", ""), OK, "others have their own");
  t.deepEqual(lab.wrong(), []);
});

test("nodes: two transactions that each would fit do not fit together", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  for (let i = 0; i < MAX_NODES - 3; i++) a.write(`data/${Math.floor(i / 100)}/${i}`, "");
  const free = MAX_NODES - a.client.account.nodes;
  for (let i = 0; i < 20 - free; i++) a.rm(`data/0/${i}`);
  const one = a.start();
  const two = a.start();
  for (let i = 0; i < 15; i++) {
    t.is(a.write(`data/1/one-${i}`, "", one), OK);
    t.is(a.write(`data/2/two-${i}`, "", two), OK);
  }
  t.is(a.end(one), OK);
  t.is(a.end(two), "!ENOSPC");
  t.is(a.read("data/2/two-0"), "!ENOENT");
  t.deepEqual(lab.wrong(), []);
});

test("node size: value, permissions and names of children together", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  t.is(a.write("data/x", "v".repeat(2015)), OK);
  t.is(a.write("data/x", "v".repeat(2016)), "!ENOSPC");
  t.is(a.read("data/x").length, 2015);
  t.is(a.mkdir("data/x/y"), "!ENOSPC");
  for (let i = 0; ; i++) {
    if (a.mkdir(`data/child-with-a-name-${i}`) === OK) continue;
    // 24 bytes of header, 8 of permissions, 2 for "x", 20 or 21 for each name.
    t.is(i, 96);
    break;
  }
  t.is(lab.zero.write("/big", "v".repeat(4000)), OK, "domain 0 is not limited");
  t.deepEqual(lab.wrong(), []);
});

test("watches, transactions, nodes of a transaction", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  for (let i = 0; i < MAX_WATCHES; i++) t.is(a.watch("data", `t${i}`), OK);
  t.is(a.watch("data", "more"), "!E2BIG");
  t.is(a.unwatch("data", "t3"), OK);
  t.is(a.watch("data", "more"), OK);
  const open = Array.from({ length: MAX_TRANSACTIONS }, () => a.start());
  t.true(open.every((id) => id > 0));
  t.true(Number.isNaN(a.start()), "!ENOSPC is no number");
  t.is(a.end(open.pop()!, "F"), OK);
  const tx = a.start();
  let refused = "";
  for (let i = 0; i < 2 * MAX_TRANSACTION_NODES && refused === ""; i++) {
    const answer = a.read(`data/x${i}`, tx);
    if (answer !== "!ENOENT") refused = answer;
  }
  t.is(refused, "!ENOSPC");
  t.is(a.end(tx), "!ENOMEM", "it cannot be committed any more");
  t.is(a.read("data"), "");
});

test("memory: values, watches and transactions have one limit, and are counted to the byte", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  const { account } = a.client;
  const empty = account.bytes;
  const { error } = fill(a, "v".repeat(2010));
  t.true(error === "!ENOMEM" || error === "!ENOSPC");
  t.true(account.bytes <= MAX_BYTES);
  // The rest by what transactions keep.
  for (let i = 0; i < 5; i++) {
    const tx = a.start();
    for (let k = 0; k < 600; k++) {
      const answer = a.write(`data/${Math.floor(k / 100)}/${k}`, "w".repeat(2010), tx);
      if (answer !== OK) break;
    }
    t.true(account.bytes <= MAX_BYTES, `${account.bytes}`);
  }
  t.is(a.watch("data", "t".repeat(4000)), "!ENOMEM");
  t.is(a.read("data"), "", "it may still read");
  t.is(lab.guest(2).write("data/x", "v"), OK);
  t.is(a.rm("data/0"), OK, "and give back");
  a.client.reset();
  for (let i = 0; i < 10; i++) a.rm(`data/${i}`);
  t.is(account.bytes, empty);
  t.deepEqual(lab.wrong(), []);
});

test("memory: all guests together leave domain 0 its heap, and each has its assured part", (t) => {
  const lab = new StoreLab();
  const guests = Array.from({ length: 12 }, (_, i) => lab.guest(i + 1));
  for (const guest of guests) fill(guest, "v".repeat(2010));
  const total = () => guests.reduce((sum, { client }) => sum + client.account.bytes, 0);
  t.true(total() <= POOL_BYTES + guests.length * ASSURED_BYTES);
  t.true(total() > POOL_BYTES - 3000);
  const late = lab.guest(99);
  fill(late, "v".repeat(2010));
  const { bytes } = late.client.account;
  t.true(bytes <= ASSURED_BYTES && bytes > ASSURED_BYTES - 4000, `${bytes}`);
  lab.remove(1);
  t.is(late.write("data/more", "v".repeat(2010)), OK, "what one gives back is there for others");
  t.deepEqual(lab.wrong(), []);
});

test("events that nobody takes: like ones once, within the memory quota, dropped after a while", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  const b = lab.guest(2);
  a.setPerms("data", "r1");
  b.watch("/local/domain/1/data", "t");
  b.heard();
  b.takes = false;
  for (let i = 0; i < 5; i++) a.write("data/x", String(i));
  t.is(a.client.account.outstanding, 1, "five times the same event");
  for (let i = 0; i < 100 && a.client.mayAsk; i++) a.write(`data/x${i}`, "");
  t.false(a.client.mayAsk, "who makes events for others that do not take them waits");
  t.is(a.client.account.outstanding, MAX_OUTSTANDING);
  b.now = EVENT_TIMEOUT_MS - 1;
  b.client.dropStaleEvents(false);
  t.false(a.client.mayAsk);
  b.now = EVENT_TIMEOUT_MS;
  b.client.dropStaleEvents(true);
  t.is(a.client.account.outstanding, 1, "one was partly sent and stays");
  b.client.dropStaleEvents(false);
  t.is(a.client.account.outstanding, 0);
  t.deepEqual(b.heard(), []);
  // Domain 0's changes delay no client, but are charged up to the quota.
  const home = "/local/domain/2/data";
  b.takes = true;
  b.watch("data", "own");
  b.heard();
  b.takes = false;
  for (let i = 0; i < 3000; i++) lab.local.write(`${home}/${"x".repeat(1000)}-${i}`, "");
  t.true(b.client.account.bytes <= MAX_BYTES + 3000 * 2000, "nodes of domain 0's making are not refused");
  b.client.close();
  for (const name of lab.local.list(home)!) lab.local.remove(`${home}/${name}`);
  t.is(b.client.account.outstanding, 0);
  t.deepEqual(lab.wrong(), []);
});

test("answers that nobody takes are few", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  a.takes = false;
  let asked = 0;
  for (; a.client.mayAsk && asked < 100; asked++) a.read("data");
  t.is(asked, MAX_OUTSTANDING);
  a.take();
  t.true(a.client.mayAsk);
  t.is(a.client.account.outstanding, 0);
});

test("a transaction of 900 nodes under 128 watches is told of in pieces, and its guest waits meanwhile", (t) => {
  const lab = new StoreLab();
  const [a, b] = [lab.guest(1), lab.guest(2)];
  const paths = Array.from({ length: 900 }, (_, i) => `data/${Math.floor(i / 100)}/${i % 100}`);
  for (let i = 0; i < MAX_WATCHES; i++) t.is(a.watch("data", `${i}`), OK);
  a.heard();
  const tx = a.start();
  for (const path of paths) t.is(a.write(path, "", tx), OK);
  lab.tells = false;
  a.takes = false;
  a.end(tx);
  const most = 2 * ANNOUNCE_UNITS;
  const events = () => a.client.account.outstanding;
  t.true(events() > 0 && events() <= most, `${events()} events in one go`);
  t.false(a.client.mayAsk, "no more requests before all has been told");
  t.is(b.write("data/x", "y"), OK, "others are served meanwhile");
  let pieces = 0;
  for (let before = events(), more = true; more; before = events(), pieces++) {
    more = lab.store.fire(ANNOUNCE_UNITS);
    t.true(events() - before <= most);
  }
  t.true(pieces > 100);
  // Events that do not fit into its quota are dropped and queue no message.
  t.true(a.client.account.bytes < MAX_BYTES + 2048);
  a.take();
  t.true(a.client.mayAsk);
  t.is(a.client.account.outstanding, 0);
  t.true(a.events.length > 5000);
  t.deepEqual(lab.wrong(), []);
});

test("a thousand guests watch the root: a change costs what those cost who may know of it", (t) => {
  const lab = new StoreLab();
  const clients = Array.from({ length: 1000 }, (_, i) => lab.guest(i + 1));
  for (const client of clients) {
    client.watch("/", "t");
    client.heard();
  }
  const { tree } = lab.store;
  const before = tree.work;
  lab.tells = false;
  clients[500]!.write("data", "x");
  t.deepEqual(clients[500]!.heard(), ["/local/domain/501/data t"]);
  t.true(tree.work - before < 20, `${tree.work - before} nodes looked at`);
  t.deepEqual(clients[3]!.heard(), []);
  lab.tells = true;
  t.is(clients[7]!.setPerms("data", "r8"), OK);
  t.deepEqual(clients[3]!.heard(), ["/local/domain/8/data t"], "what all may read, all hear of");
});

test("thousands of events that nobody takes are dropped in one go, and taken one by one", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  a.watch("data", "t");
  a.heard();
  a.takes = false;
  const { zero } = lab;
  for (let i = 0; i < 3000; i++) zero.write(`/local/domain/1/data/${i % 30}/${i}`, "");
  t.true(a.client.eventsWait);
  a.now = EVENT_TIMEOUT_MS;
  a.client.dropStaleEvents(false);
  t.false(a.client.eventsWait);
  zero.write("/local/domain/1/data/more", "");
  t.deepEqual(a.heard(), ["data/more t"]);
});

test("however many guests there are, together they stay within the pool and its reserve", (t) => {
  const lab = new StoreLab();
  let bytes = 0;
  for (let domain = 1; domain <= 600; domain++) {
    const guest = lab.guest(domain);
    // What the toolstack has made its own is no part of it.
    bytes -= guest.client.account.bytes;
    for (let i = 0; guest.write(`data/${i}`, "v".repeat(1900)) === OK; i++);
    bytes += guest.client.account.bytes;
  }
  t.true(bytes > POOL_BYTES && bytes <= POOL_BYTES + RESERVE_BYTES, `${bytes} bytes`);
});
