/** Volumes: what operations answer, what a full store and a failing or damaged disk do, and thousands of crashes at random moments. */
import test from "ava";
import { Random } from "./random.ts";
import { CrashRun, type RunOptions, type Step } from "./crash-run.ts";
import { DISCARD, FLUSH, READ, SimDisk, WRITE } from "./sim-disk.ts";
import { randomSteps, shrink } from "./steps.ts";
import { CREATE, DELETE, RESIZE, sectorData, SNAPSHOT, VolumeHost, volumesModule } from "./volume-host.ts";

const DISK_SECTORS = 24 * 2048;
const EIO = -5;
const ENOENT = -2;
const EBUSY = -16;
const EEXIST = -17;
const EINVAL = -22;
const ENOSPC = -28;
const EROFS = -30;
const ENOTEMPTY = -39;

/** More runs: TYPEVISOR_CRASH_RUNS=1000 npx ava test/unit/io/block/volumes.test.ts */
const RUNS = Number(process.env["TYPEVISOR_CRASH_RUNS"] ?? 12);
const SEED = Number(process.env["TYPEVISOR_CRASH_SEED"] ?? 1);

async function host(disk = new SimDisk({ sectors: DISK_SECTORS })): Promise<VolumeHost> {
  const h = new VolumeHost(await volumesModule(), [disk], new Random(7));
  h.settle();
  return h;
}

async function formatted(disk?: SimDisk): Promise<VolumeHost> {
  const h = await host(disk);
  if (h.format() !== 0) throw new Error("the disk cannot be formatted");
  return h;
}

/** Runs of random steps with crashes; a failing one is made shorter and thrown, with its seed. */
async function crashes(runs: number, seed: number, options: RunOptions): Promise<string> {
  const module = await volumesModule();
  let crashes = 0;
  let writes = 0;
  const attempt = (seed: number, steps: readonly Step[]): Error | null => {
    const run = new CrashRun(module, seed, options);
    try {
      run.run(steps);
      return null;
    } catch (error) {
      return error as Error;
    } finally {
      crashes += run.statistics.crashes;
      writes += run.statistics.writes;
    }
  };
  for (let i = 0; i < runs; i++) {
    const random = new Random(seed + i);
    const steps = randomSteps(random, 40 + random.below(160));
    const error = attempt(seed + i, steps);
    if (error === null) continue;
    const short = shrink(steps, (candidate) => attempt(seed + i, candidate) !== null, 200);
    const last = attempt(seed + i, short) ?? error;
    throw new Error(`seed ${seed + i}: ${last.stack}\n${short.map((step) => JSON.stringify(step)).join("\n")}`);
  }
  return `seeds ${seed} to ${seed + runs - 1}: ${crashes} crashes, ${writes} writes`;
}

// One memory serves all machines of this file: one test at a time.

test.serial("after crashes at random moments, what was flushed is there and the check finds nothing", async (t) => {
  t.log(await crashes(RUNS, SEED, {}));
  t.pass();
});

test.serial("the same on a disk that fails now and then", async (t) => {
  t.log(await crashes(Math.ceil(RUNS / 3), SEED + 10_000, { errors: 0.01 }));
  t.pass();
});

test.serial("the same on a disk of 4 KiB sectors that takes little at once", async (t) => {
  const options = { sectorSize: 4096, segmentsMax: 10, sectorsMax: 160, depth: 3 };
  t.log(await crashes(Math.ceil(RUNS / 3), SEED + 20_000, options));
  t.pass();
});

test.serial("operations say what is wrong", async (t) => {
  const h = await formatted();
  t.is(h.done(CREATE, "a", { sectors: 800 }), 0);
  t.is(h.done(CREATE, "a", { sectors: 800 }), EEXIST);
  t.is(h.done(CREATE, "b", { sectors: 801 }), EINVAL, "not whole blocks");
  t.is(h.done(CREATE, "b", { sectors: 0 }), EINVAL);
  t.is(h.done(CREATE, "b", { sectors: 2 ** 40 }), -7, "too large");
  for (const name of ["", "-b", "a b", "a/b", "a:b", "x".repeat(64)]) {
    t.is(h.done(CREATE, name, { sectors: 8 }), EINVAL, name);
  }
  t.is(h.done(DELETE, "b"), ENOENT);
  t.is(h.done(RESIZE, "b", { sectors: 8 }), ENOENT);
  t.is(h.done(SNAPSHOT, "b", { newName: "c" }), ENOENT);
  t.is(h.done(SNAPSHOT, "a", { newName: "a" }), EEXIST);
  t.is(h.done(SNAPSHOT, "a", { newName: "s" }), 0);
  t.is(h.done(RESIZE, "s", { sectors: 8 }), EROFS);
  t.is(h.done(SNAPSHOT, "s", { newName: "clone" }), 0);
  t.is(h.done(DELETE, "s"), ENOTEMPTY);
  const writer = h.open("a", true);
  t.true(writer > 0);
  t.is(h.open("a", true), EBUSY);
  t.is(h.open("a", false), EBUSY);
  t.is(h.open("s", true), EROFS);
  t.is(h.open("nothing", true), ENOENT);
  t.is(h.done(DELETE, "a"), EBUSY);
  t.is(h.done(RESIZE, "a", { sectors: 400 }), EBUSY, "smaller while it is in use");
  t.is(h.done(RESIZE, "a", { sectors: 1600 }), 0);
  t.is(h.exports["sectorsOf"]!(writer), 1600);
  h.close(writer, true);
  t.is(h.done(DELETE, "clone"), 0);
  h.settle();
  t.is(h.done(DELETE, "s"), 0);
  h.settle();
  t.deepEqual(
    h.list().map(({ name, sectors, previous, clones }) => ({ name, sectors, previous, clones })),
    [{ name: "a", sectors: 1600, previous: 0, clones: 0 }],
  );
  t.is(h.check(), 0, h.log);
  t.true(h.idle);
});

test.serial(
  "writes that find out at once that they need the same chunk alone do not wait for each other for ever",
  async (t) => {
    const h = await formatted();
    t.is(h.done(CREATE, "a", { sectors: 4096 }), 0);
    const first = h.open("a", true);
    t.is(h.performed(first, WRITE, 0, 8, { data: sectorData(1, 0, 8) }).status, 0);
    t.is(h.performed(first, FLUSH, 0, 0).status, 0);
    h.close(first, true);
    // What is in the cache is forgotten: all of them wait for the same block of the tree.
    h.start();
    h.settle();
    const device = h.open("a", true);
    for (const [round, chunk] of [3, 4, 5].entries()) {
      const answers: number[] = [];
      for (let i = 0; i < 2 + round; i++) {
        const sector = chunk * 128 + 16 * i;
        const data = sectorData(2, sector, 8);
        t.is(
          h.request(device, WRITE, sector, 8, { data }, ({ status }) => answers.push(status)),
          0,
        );
      }
      h.settle();
      t.deepEqual(answers, new Array(2 + round).fill(0), `chunk ${chunk}`);
    }
    t.is(h.check(), 0, h.log);
  },
);

test.serial("everything that is deleted is free again", async (t) => {
  const h = await formatted();
  const chunks = h.fact("freeChunks");
  h.done(CREATE, "a", { sectors: 4096 });
  for (let round = 0; round < 4; round++) {
    const device = h.open("a", true);
    for (let sector = 0; sector < 4096; sector += 512) {
      t.is(h.performed(device, WRITE, sector, 300, { data: sectorData(round + 1, sector, 300) }).status, 0);
    }
    h.close(device, true);
    t.is(h.done(SNAPSHOT, "a", { newName: `s${round}` }), 0);
  }
  t.is(h.check(), 0, h.log);
  t.true(h.fact("freeChunks") < chunks - 3 * 24);
  // From the middle, the newest, the volume itself, and the rest.
  for (const name of ["s1", "s3", "a", "s0", "s2"]) {
    t.is(h.done(DELETE, name), 0, name);
    h.settle();
    t.is(h.check(), 0, h.log);
  }
  t.is(h.fact("jobs"), 0);
  t.is(h.fact("volumes"), 0);
  h.pass(10_000_000_000n);
  t.is(h.fact("freeChunks"), chunks);
  t.is(h.check(), 0, h.log);
});

test.serial("a full store refuses what is new, and takes it again when something is discarded", async (t) => {
  const h = await formatted();
  h.done(CREATE, "big", { sectors: 8 * DISK_SECTORS });
  const device = h.open("big", true);
  let sector = 0;
  let status = 0;
  for (; status === 0; sector += 128) {
    status = h.performed(device, WRITE, sector, 128, { data: sectorData(3, sector, 128) }).status;
  }
  t.is(status, ENOSPC);
  t.is(h.fact("freeChunks"), 0);
  // What is there can be read and overwritten.
  t.is(h.performed(device, WRITE, 0, 128, { data: sectorData(4, 0, 128) }).status, 0);
  t.is(h.performed(device, FLUSH, 0, 0).status, 0);
  t.true(h.performed(device, READ, 0, 128).data.equals(sectorData(4, 0, 128)));
  t.true(
    h.performed(device, READ, sector - 128, 128).data.every((byte) => byte === 0),
    "the refused write left nothing",
  );
  t.is(h.check(), 0, h.log);
  t.is(h.performed(device, DISCARD, 128, 1280).status, 0);
  t.is(
    h.performed(device, WRITE, 9 * DISK_SECTORS - 4 * DISK_SECTORS, 128, { data: sectorData(5, 5 * DISK_SECTORS, 128) })
      .status,
    0,
  );
  t.true(h.performed(device, READ, 128, 1280).data.every((byte) => byte === 0));
  t.is(h.check(), 0, h.log);
  t.true(h.idle);
});

test.serial("one damaged superblock is made up for by the other, two are not", async (t) => {
  const disk = new SimDisk({ sectors: DISK_SECTORS });
  const h = await formatted(disk);
  h.done(CREATE, "a", { sectors: 800 });
  const device = h.open("a", true);
  h.performed(device, WRITE, 0, 200, { data: sectorData(9, 0, 200) });
  h.performed(device, FLUSH, 0, 0);
  h.settle();
  // The store begins at 1 MiB and ends with the partition.
  const first = 2048;
  const last = Math.floor((DISK_SECTORS - 34) / 2048) * 2048 - 8;
  t.is(disk.peek(first, 1).subarray(0, 8).toString(), "TVVOLUME");
  t.is(disk.peek(last, 1).subarray(0, 8).toString(), "TVVOLUME");
  for (const sector of [first, last + 7]) {
    disk.corrupt(sector, (data) => (data[17]! ^= 1));
    h.log = "";
    h.start();
    h.settle();
    t.is(h.fact("ready"), 1);
    t.regex(h.log, /superblock is not intact/);
    t.is(h.check(), 0, h.log);
    const reader = h.open("a", false);
    t.true(h.performed(reader, READ, 0, 200).data.equals(sectorData(9, 0, 200)));
  }
  // It was mended: the next start has nothing to say.
  h.log = "";
  h.start();
  h.settle();
  t.is(h.log, "");
  disk.corrupt(first, (data) => (data[17]! ^= 1));
  disk.corrupt(last, (data) => (data[17]! ^= 1));
  h.start();
  h.settle();
  t.is(h.fact("ready"), 0);
  t.regex(h.log, /is damaged/);
  t.is(h.open("a", false), ENOENT);
  t.is(h.format(0, 0), EEXIST, "what is damaged is not lost without a word");
  t.is(h.format(0, 1), 0);
  t.is(h.fact("ready"), 1);
});

test.serial("a damaged block of metadata is an error of what needs it, and the check says so", async (t) => {
  const disk = new SimDisk({ sectors: DISK_SECTORS });
  const h = await formatted(disk);
  h.done(CREATE, "a", { sectors: 800 });
  const device = h.open("a", true);
  h.performed(device, WRITE, 0, 200, { data: sectorData(9, 0, 200) });
  h.performed(device, FLUSH, 0, 0);
  h.settle();
  let damaged = 0;
  for (let block = h.fact("metadataStart"); block < h.fact("metadataStart") + 12; block++) {
    const sector = 2048 + block * 8;
    if (disk.peek(sector, 1).subarray(0, 4).toString() !== "VNde") continue;
    damaged++;
    disk.corrupt(sector + 3, (data) => (data[100]! ^= 0x40));
  }
  t.is(damaged, 3);
  h.start();
  h.settle();
  const reader = h.open("a", true);
  t.is(h.performed(reader, READ, 0, 8).status, EIO);
  t.is(h.performed(reader, WRITE, 0, 8, { data: sectorData(1, 0, 8) }).status, EIO);
  h.log = "";
  t.true(h.check() > 0);
  t.regex(h.log, /volume a: the root of its tree is damaged/);
});

test.serial("a disk without our partition is never written to", async (t) => {
  const disk = new SimDisk({ sectors: DISK_SECTORS });
  disk.corrupt(5, (data) => data.fill(0x55));
  let written = 0;
  disk.onWrite = () => written++;
  const h = await host(disk);
  t.is(h.fact("ready"), 0);
  t.is(h.done(CREATE, "a", { sectors: 8 }), ENOENT);
  t.is(h.format(), EEXIST, "there is something on it");
  h.pass(100_000_000_000n);
  t.is(written, 0);
  t.is(h.format(0, 2), 0);
  t.true(written > 0);
  t.is(h.exports["diskFact"]!(0), 2);
});

test.serial("of a damaged partition table the other copy is used, of two none", async (t) => {
  const disk = new SimDisk({ sectors: DISK_SECTORS });
  const h = await formatted(disk);
  h.done(CREATE, "a", { sectors: 800 });
  h.settle();
  const random = new Random(3);
  for (const sector of [1, 2, 1 + random.below(32)]) {
    const before = disk.peek(sector, 1);
    disk.corrupt(sector, (data) => (data[8 + random.below(80)]! ^= 1 << random.below(8)));
    h.start();
    h.settle();
    t.is(h.exports["diskFact"]!(0), 4);
    t.is(h.fact("ready"), 1);
    disk.corrupt(sector, (data) => data.set(before));
  }
  disk.corrupt(1, (data) => (data[0]! ^= 1));
  disk.corrupt(DISK_SECTORS - 1, (data) => (data[16]! ^= 1));
  let written = 0;
  disk.onWrite = () => written++;
  h.start();
  h.settle();
  t.is(h.exports["diskFact"]!(0), 1);
  t.is(h.fact("ready"), 0);
  t.is(written, 0);
});
