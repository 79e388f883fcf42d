/** The block back end with frontends that behave, and with ones that do not; restarts with requests in flight. */
import test from "ava";
import { IO_VBD_DISCONNECT, IO_VBD_REMOVE } from "../../../../abi/io/control.ts";
import { VBD_CONNECTED, VBD_FAIL_INDEX, VBD_FAILED, VBD_MODEL_NOXS } from "../../../../abi/io/control-block.ts";
import { Sring } from "../../../../abi/io/ring.ts";
import { BlockHost, blockModule } from "./block-host.ts";
import { addVbd, Frontend, type FrontendOptions } from "./frontend.ts";
import { Random } from "./random.ts";
import { SimDisk } from "./sim-disk.ts";
import { Crash, CREATE, sectorData, SNAPSHOT } from "./volume-host.ts";

const ERROR = -1;
const EOPNOTSUPP = -2;
const WRITE = 1;
const BARRIER = 2;
const FLUSH = 3;

async function host(seed = 1): Promise<BlockHost> {
  const h = new BlockHost(await blockModule(), [new SimDisk({ sectors: 24 * 2048 })], new Random(seed));
  h.settle();
  if (h.format() !== 0) throw new Error("the disk cannot be formatted");
  if (h.done(CREATE, "v", { sectors: 16384 }) !== 0) throw new Error("no volume");
  return h;
}

async function frontend(options: Partial<FrontendOptions> = {}, seed = 1): Promise<Frontend> {
  const h = await host(seed);
  return new Frontend(h, h.guest(3), { target: "volume:v", ...options });
}

function key(domid: number, vdev: number): Buffer {
  const data = Buffer.alloc(8);
  data.writeUInt32LE(domid, 0);
  data.writeUInt32LE(vdev, 4);
  return data;
}

const KINDS: [string, Partial<FrontendOptions>][] = [
  ["one page, 64 bits", {}],
  ["one page, 32 bits", { narrow: true }],
  ["NoXS", { model: VBD_MODEL_NOXS }],
  ["NoXS, two rings of four pages", { model: VBD_MODEL_NOXS, rings: 2, order: 2 }],
  ["four rings of sixteen pages", { rings: 4, order: 4 }],
  ["four pages, 32 bits", { narrow: true, order: 2 }],
  ["persistent grants", { persistent: true }],
  ["memory", { target: "ram:8M" }],
];

for (const [name, options] of KINDS) {
  test.serial(`what is written is read again: ${name}`, async (t) => {
    const f = await frontend(options);
    const before = f.host.mapped;
    for (const [sector, sectors] of [
      [0, 8],
      [100, 88],
      [1000, 300],
      [4000, 2048],
      [8191, 1],
    ] as const) {
      const data = sectorData(sector + 1, sector, sectors);
      t.is(f.write(sector, data), 0);
      t.true(f.read(sector, data.length).equals(data), `sector ${sector}`);
    }
    t.is(f.answer(f.segments(FLUSH, 0, [])).status, 0);
    t.is(f.answer(f.segments(BARRIER, 5000, f.pages(sectorData(9, 5000, 8)).segments)).status, 0);
    t.true(f.read(5000, 4096).equals(sectorData(9, 5000, 8)));
    t.is(f.answer(f.discard(4000, 1024)).status, 0);
    t.true(f.read(4032, 4096).every((byte) => byte === 0));
    const { state, reads, writes, errors, refused } = f.entry();
    t.deepEqual(
      { state, reads, writes, errors, refused },
      { state: VBD_CONNECTED, reads: 7, writes: 6, errors: 0, refused: 0 },
    );
    if (!options.persistent) t.is(f.host.mapped, before, "nothing stays mapped");
    t.is(f.host.control(IO_VBD_REMOVE, key(3, 51712)).status, 0);
    t.is(f.host.mapped, 0);
    t.true(f.host.idle);
    t.is(f.host.exports["entriesFree"]!(), 1024);
  });
}

test.serial("targets say what is wrong", async (t) => {
  const h = await host();
  const add = (target: string, writable = true, vdev = 1): number => addVbd(h, 5, { target, writable, vdev }).status;
  t.is(add("volume:nothing"), -2);
  t.is(add("nonsense"), -22);
  t.is(add("ram:"), -22);
  t.is(add("ram:100"), -22, "not whole sectors");
  t.is(add("ram:1G"), -12);
  t.is(add("part:none"), -2);
  t.is(add("module:none", false), -2);
  t.is(add("module:none", true), -30);
  t.is(h.done(SNAPSHOT, "v", { newName: "s" }), 0);
  t.is(add("volume:s", true), -30);
  t.is(add("volume:s", false), 0);
  t.is(add("volume:v", true, 2), 0);
  t.is(add("volume:v", true, 2), 0, "the same again");
  t.is(add("volume:v", true, 3), -16);
  t.is(add("volume:s", true, 2), -17);
});

test.serial("a read-only vbd refuses writes, barriers and discards", async (t) => {
  const f = await frontend({ writable: false });
  t.is(f.write(0, sectorData(1, 0, 8)), ERROR);
  t.is(f.write(0, sectorData(1, 0, 8), BARRIER), ERROR);
  t.is(f.write(0, sectorData(1, 0, 8), FLUSH), ERROR);
  t.is(f.answer(f.discard(0, 8)).status, ERROR);
  t.is(f.answer(f.segments(FLUSH, 0, [])).status, 0);
  t.true(f.read(0, 4096).every((byte) => byte === 0));
});

test.serial("requests that are not possible are refused, and harm nobody", async (t) => {
  const f = await frontend();
  const { segments } = f.pages(sectorData(1, 0, 8));
  const [whole] = segments as [(typeof segments)[0]];
  const refused = (id: bigint, status = ERROR): void => {
    t.is(f.answer(id).status, status);
  };
  refused(f.segments(WRITE, 0, []));
  refused(f.segments(0, 0, []));
  refused(
    f.segments(
      WRITE,
      0,
      Array.from({ length: 12 }, () => whole),
    ),
  );
  refused(
    f.segments(
      WRITE,
      0,
      Array.from({ length: 255 }, () => whole),
    ),
  );
  refused(f.segments(WRITE, 0, [{ ...whole, first: 5, last: 4 }]));
  refused(f.segments(WRITE, 0, [{ ...whole, last: 8 }]));
  refused(f.segments(WRITE, 0, [{ ...whole, first: 255, last: 255 }]));
  refused(f.segments(WRITE, 0, [{ ...whole, gref: 7777 }]));
  refused(f.segments(WRITE, 16384, [whole]));
  refused(f.segments(WRITE, 16377, [whole]));
  refused(f.segments(WRITE, 0xffff_ffff_ffff_fffcn, [whole]));
  refused(f.segments(4, 0, [whole]), EOPNOTSUPP);
  refused(f.segments(77, 0, [whole]), EOPNOTSUPP);
  refused(f.discard(0, 8, 1), EOPNOTSUPP);
  refused(f.discard(16384, 1));
  refused(f.discard(8, 0xffff_ffff_ffff_fff9n));
  refused(f.indirect(WRITE, 0, [whole], 0));
  refused(f.indirect(WRITE, 0, [whole], 257));
  refused(f.indirect(WRITE, 0, [whole], 65535));
  refused(f.indirect(6, 0, [whole]));
  refused(f.indirect(FLUSH, 0, [whole]));
  refused(f.indirect(WRITE, 0, [{ ...whole, first: 9 }]));
  // The page of the segments is not granted.
  const id = f.indirect(WRITE, 0, [whole]);
  for (const [ref, { page }] of f.guest.grants)
    if (page.view.getUint32(0, true) === whole.gref) f.guest.grants.delete(ref);
  refused(id);
  t.is(f.entry().state, VBD_CONNECTED);
  t.is(f.write(0, sectorData(2, 0, 8)), 0);
  t.is(f.host.check(), 0, f.host.log);
});

test.serial("a producer index that is not possible disconnects the frontend", async (t) => {
  const f = await frontend();
  f.write(0, sectorData(2, 0, 8));
  const [ring] = f.rings;
  ring!.write(Sring.req_prod, (ring!.produced + 33) >>> 0, 4);
  f.guest.send(ring!.port);
  f.host.settle();
  const { state, failure } = f.entry();
  t.deepEqual([state, failure], [VBD_FAILED, VBD_FAIL_INDEX]);
  t.is(f.host.mapped, 0);
  t.true(f.host.idle);
});

test.serial("a frontend that breaks the protocol again and again has one line in the log", async (t) => {
  const f = await frontend({ model: VBD_MODEL_NOXS });
  for (let i = 0; i < 3; i++) {
    const [ring] = f.rings;
    ring!.write(Sring.req_prod, (ring!.produced + 33) >>> 0, 4);
    f.guest.send(ring!.port);
    f.host.settle();
    t.is(f.entry().failure, VBD_FAIL_INDEX);
    ring!.write(Sring.req_prod, ring!.produced, 4);
    f.setState(6);
    f.setState(1);
    t.is(f.setState(4), 4);
  }
  t.is(f.host.log.split("broken the protocol").length - 1, 1, f.host.log);
});

test.serial("an error of the disk is one of the request", async (t) => {
  const f = await frontend();
  f.write(0, sectorData(2, 0, 64));
  let failing = true;
  f.host.disks[0]!.outcome = () => (failing ? -5 : 0);
  t.is(f.write(0, sectorData(3, 0, 64)), ERROR);
  t.is(f.answer(f.segments(FLUSH, 0, [])).status, ERROR);
  failing = false;
  t.is(f.write(0, sectorData(4, 0, 64)), 0);
  t.is(f.answer(f.segments(FLUSH, 0, [])).status, 0);
  t.is(f.entry().errors, 2);
  t.is(f.entry().state, VBD_CONNECTED);
});

test.serial("one that floods leaves the others their share", async (t) => {
  const h = await host();
  h.done(CREATE, "w", { sectors: 16384 });
  const flood = new Frontend(h, h.guest(3), { target: "volume:v", order: 4 });
  const other = new Frontend(h, h.guest(4), { target: "volume:w" });
  flood.notify = false;
  const { segments } = flood.pages(sectorData(1, 0, 8));
  for (let i = 0; i < 512; i++) flood.segments(0, i * 8, segments);
  flood.guest.send(flood.rings[0]!.port);
  h.turn();
  const before = flood.responses.length;
  t.is(other.write(0, sectorData(5, 0, 8)), 0);
  t.true(flood.responses.length - before < 200, `${flood.responses.length - before} requests went before`);
});

test.serial(
  "a NoXS frontend is told of every change, also when it has not asked or has taken its request back",
  async (t) => {
    const f = await frontend({ model: VBD_MODEL_NOXS });
    let { told } = f;
    for (const [state, answer] of [
      [5, 5],
      [6, 6],
      [1, 2],
      [4, 4],
      [1, 2],
      [4, 4],
    ] as const) {
      t.is(f.setState(state, false), answer);
      t.true(f.told > told, `state ${state}`);
      ({ told } = f);
      // Nothing has changed: an event alone is not answered.
      f.nudge();
      t.is(f.told, told, `state ${state}`);
    }
  },
);

test.serial("disconnecting waits for what is in progress, and connects again", async (t) => {
  const f = await frontend({ model: VBD_MODEL_NOXS });
  const { segments } = f.pages(sectorData(6, 0, 8));
  f.segments(WRITE, 0, segments);
  f.host.turn();
  t.is(f.host.control(IO_VBD_DISCONNECT, key(3, 51712)).status, 0);
  t.is(f.host.mapped, 0);
  t.is(f.setState(6), 6);
  t.is(f.setState(1), 2);
});

test.serial("a restart with requests in flight loses none and answers each once", async (t) => {
  for (let seed = 1; seed <= 25; seed++) {
    const f = await frontend({ model: seed % 2 ? VBD_MODEL_NOXS : 2, order: seed % 3 }, seed);
    const { host, random } = { host: f.host, random: f.host.random };
    const written = new Map<number, { tag: number; id: bigint }>();
    for (let round = 0; round < 6; round++) {
      const ids: bigint[] = [];
      for (let i = 0; i < 6; i++) {
        const sector = (round * 6 + i) * 200;
        const sectors = random.pick([1, 8, 24, 88]);
        const tag = round * 100 + i + 1;
        const id = f.segments(WRITE, sector, f.pages(sectorData(tag, sector, sectors)).segments);
        ids.push(id);
        written.set(sector, { tag, id });
      }
      host.advance(random.below(8));
      host.crashAfter = random.below(300);
      try {
        host.advance(random.below(20));
      } catch (error) {
        if (!(error instanceof Crash)) throw error;
      }
      host.start();
      for (const id of ids) t.is(f.answer(id).status, 0, `seed ${seed}`);
    }
    for (const [sector, { tag }] of written) {
      t.true(f.read(sector, 512).equals(sectorData(tag, sector, 1)), `seed ${seed}, sector ${sector}`);
    }
    host.settle();
    t.is(host.check(), 0, host.log);
    t.is(host.exports["entriesFree"]!(), 1024, `seed ${seed}`);
    t.true(host.idle);
  }
});

test.serial(
  "a restart at any moment at which several requests are being answered loses none of the answers",
  async (t) => {
    const f = await frontend({ target: "ram:8M" });
    const { host } = f;
    let restarts = 0;
    for (let after = 0, died = true; died; after++) {
      died = false;
      const ids = [0, 1, 2, 3].map((i) => f.segments(WRITE, i * 8, f.pages(sectorData(1, i * 8, 8)).segments));
      host.crashAfter = after;
      try {
        for (let turns = 0; turns < 4; turns++) host.turn();
      } catch (error) {
        if (!(error instanceof Crash)) throw error;
        died = true;
        restarts++;
        host.start();
      }
      host.crashAfter = -1;
      t.deepEqual(
        ids.map((id) => f.answer(id).status),
        [0, 0, 0, 0],
        `after ${after} accesses`,
      );
    }
    t.true(restarts > 30, `${restarts} restarts`);
    t.is(host.exports["entriesFree"]!(), 1024);
  },
);

test.serial("a restart at any moment while a NoXS frontend connects leaves it connected", async (t) => {
  const f = await frontend({ target: "ram:8M", model: VBD_MODEL_NOXS });
  const { host } = f;
  let restarts = 0;
  for (let after = 0, died = true; died; after++) {
    died = false;
    t.deepEqual([f.setState(6), f.setState(1)], [6, 2]);
    f.ask(4);
    host.crashAfter = after;
    try {
      for (let turns = 0; turns < 4; turns++) host.turn();
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
      died = true;
      restarts++;
      host.start();
    }
    host.crashAfter = -1;
    host.settle();
    t.is(f.state, 4, `after ${after} accesses`);
  }
  t.true(restarts > 5, `${restarts} restarts`);
  f.write(0, sectorData(1, 0, 8));
});

test.serial("after a restart a frontend is notified: its last event may not have been sent", async (t) => {
  const f = await frontend({ target: "ram:8M", rings: 2 });
  f.write(0, sectorData(1, 0, 8));
  const { send } = f.host.calls;
  f.host.start();
  f.host.settle();
  t.is(f.host.calls.send, send + 2);
});

test.serial("what a request costs", async (t) => {
  const f = await frontend();
  f.write(0, sectorData(1, 0, 256));
  const { calls } = f.host;
  const cost = (sectors: number): string => {
    const before = { ...calls };
    const reads = f.host.disks[0]!.counts.reads;
    f.read(0, sectors * 512);
    const disk = f.host.disks[0]!.counts.reads - reads;
    return `map ${calls.map - before.map}, unmap ${calls.unmap - before.unmap}, copy ${calls.copy - before.copy}, send ${calls.send - before.send}, disk ${disk}`;
  };
  t.is(cost(8), "map 1, unmap 1, copy 0, send 1, disk 1");
  t.is(cost(256), "map 1, unmap 1, copy 1, send 1, disk 1");
});
