/** Raw images by file name: finding them on FAT volumes, reading and writing them in place, who may have them. */
import test, { type ExecutionContext } from "ava";
import type { BlockHost } from "../block/block-host.ts";
import { addVbd, Frontend } from "../block/frontend.ts";
import { writeTable } from "../block/gpt-table.ts";
import { Random } from "../block/random.ts";
import { FLUSH, SECTOR, SimDisk, WRITE } from "../block/sim-disk.ts";
import { sectorData } from "../block/volume-host.ts";
import { makeFat, readFat, type FatImage, type FatOptions } from "./fat-image.ts";
import { diskWith, FIRST, firstPartition, host, remove } from "./fat-host.ts";

const EBUSY = -16;
const ENOENT = -2;
const EINVAL = -22;

const FAT32: FatOptions = { sectors: 70_000, fat32: true };
const KINDS: [string, FatOptions][] = [
  ["FAT12", { sectors: 4096, clusterSectors: 2, rootSectors: 8 }],
  ["FAT16", { sectors: 20_480, clusterSectors: 2, rootSectors: 8 }],
  ["FAT32", FAT32],
];

/** Tries to open a target; its status. */
function open(h: BlockHost, domid: number, target: string, writable = true): number {
  return addVbd(h, domid, { target, writable }).status;
}

/** Compares a frontend's disk with `expected`, in requests of all sizes. */
function compare(t: ExecutionContext, f: Frontend, expected: Buffer): void {
  t.is(f.properties.sectors, expected.length / SECTOR);
  for (let at = 0, bytes = SECTOR; at < expected.length; at += bytes, bytes = Math.min(bytes * 2, 256 * 1024)) {
    const some = Math.min(bytes, expected.length - at);
    t.true(f.read(at / SECTOR, some).equals(expected.subarray(at, at + some)), `${at}`);
  }
}

for (const [kind, options] of KINDS) {
  test.serial(
    `${kind}: a file by its path, long or short name, in either case, read and written in place`,
    async (t) => {
      const content = sectorData(1, 0, 700);
      // It fills its last part, so that no NUL ends it.
      const long = "a name of three parts of 13 characters.";
      const files: Record<string, Buffer> = { "root.img": sectorData(2, 0, 3) };
      for (let i = 0; i < 40; i++) files[`images/deep/filler number ${i}.txt`] = Buffer.from(`${i}`);
      files["images/deep/disk one.img"] = content;
      files[`images/${long}`] = sectorData(3, 0, 5);
      const volume = makeFat(options, files);
      const disk = diskWith({ stock: volume });
      const h = await host(disk);
      const f = new Frontend(h, h.guest(3), { target: "file:images/deep/disk one.img" });
      compare(t, f, content);
      t.is(f.write(700, sectorData(9, 0)), -1, "behind its end");

      const changed = Buffer.from(content);
      const random = new Random(7);
      for (let i = 0; i < 30; i++) {
        const sectors = 1 + random.below(random.pick([2, 20, 500]));
        const at = random.below(700 - sectors + 1);
        const data = sectorData(10 + i, at, sectors);
        data.copy(changed, at * SECTOR);
        t.is(f.write(at, data), 0);
      }
      compare(t, f, changed);
      t.is(remove(h, 3), 0);
      for (const [path, expected] of [
        ["file:IMAGES/Deep/DISK ONE.IMG", changed],
        ["file:/images/deep/diskon~1.img", changed],
        ["file:stock/images/deep/disk one.img", changed],
        [`file:images/${long}`, files[`images/${long}`]!],
        ["file:root.img", files["root.img"]!],
        ["file:stock/root.img", files["root.img"]!],
      ] as const) {
        compare(t, new Frontend(h, h.guest(4), { target: path, writable: false }), expected);
        t.is(remove(h, 4), 0);
      }

      // Outside, it is a good volume whose file has changed, and nothing else.
      const after = firstPartition(disk, volume);
      t.true(readFat(after, "images/deep/disk one.img").equals(changed));
      const expected = Buffer.from(volume.bytes);
      const { first } = volume.entry("IMAGES/DEEP/DISKON~1.IMG");
      volume.chain(first).forEach((cluster, i) => {
        changed.copy(expected, volume.place(cluster), i * volume.clusterBytes, (i + 1) * volume.clusterBytes);
      });
      t.true(after.equals(expected));
    },
  );
}

test.serial(
  "a file in fragments: requests are split where they end, and where the disk takes no more; flushes pass on",
  async (t) => {
    const content = sectorData(1, 0, 1200);
    const volume = makeFat(FAT32, { "disk.img": content });
    // In all orders: forwards with gaps, backwards, and pairs.
    const clusters = Array.from({ length: 1200 }, (_, i) =>
      i < 400 ? 3000 + i * 3 : i < 800 ? 20_000 - i : 40_000 + 10 * (i >> 1) + (i & 1),
    );
    volume.move("DISK.IMG", clusters);
    const disk = diskWith({ p: volume }, { segmentsMax: 4, sectorsMax: 40 });
    let splits = 0;
    disk.onWrite = (_, sectors) => (splits += sectors <= 2 ? 1 : 0);
    const h = await host(disk);
    const f = new Frontend(h, h.guest(3), { target: "file:disk.img", order: 1 });
    compare(t, f, content);
    const random = new Random(3);
    const model = Buffer.from(content);
    for (let i = 0; i < 120; i++) {
      const sectors = 1 + random.below(random.pick([3, 8, 120, 512]));
      const at = random.below(1200 - sectors + 1);
      if (random.chance(0.5)) {
        const data = sectorData(100 + i, at, sectors);
        data.copy(model, at * SECTOR);
        t.is(f.write(at, data), 0);
      } else {
        t.true(f.read(at, sectors * SECTOR).equals(model.subarray(at * SECTOR, (at + sectors) * SECTOR)));
      }
    }
    t.true(splits > 1000, `${splits}`);

    // Many at once: more than are split at the same time.
    const pages = Array.from({ length: 60 }, (_, i) => f.pages(sectorData(300, i * 16, 16)));
    const ids = pages.map(({ segments }, i) => f.segments(1, i * 16, segments));
    for (const id of ids) t.is(f.answer(id).status, 0);
    sectorData(300, 0, 960).copy(model);
    compare(t, f, model);

    const flushes = disk.counts.flushes;
    t.is(f.answer(f.segments(3, 0, [])).status, 0);
    t.is(disk.counts.flushes, flushes + 1);
    // A barrier: a flush, and parts that are durable each.
    const barrier = f.pages(sectorData(77, 40, 8));
    t.is(f.answer(f.segments(2, 40, barrier.segments)).status, 0);
    sectorData(77, 40, 8).copy(model, 40 * SECTOR);
    disk.powerFails(new Random(1), "nothing");
    t.true(readFat(firstPartition(disk, volume), "disk.img").equals(model));

    // An error of the disk in the middle of a request is an error of the request.
    disk.outcome = (request) => (request.operation === WRITE && request.sector > FIRST + 40_000 ? -5 : 0);
    t.is(f.write(798, sectorData(1, 0, 8)), -1);
    disk.outcome = null;
    t.is(f.answer(f.discard(0, 8)).status, -2, "it keeps its clusters");
    t.true(disk.inFlight.every(({ operation }) => operation !== FLUSH));
  },
);

test.serial("several read a file, or one writes it; a partition that is written as a whole has no files", async (t) => {
  const volume = makeFat(FAT32, { "a.img": sectorData(1, 0, 8), "images/b.img": sectorData(2, 0, 8) });
  const h = await host(diskWith({ stock: volume, other: Buffer.alloc(4 * 1024 * 1024) }));
  t.is(open(h, 1, "file:a.img"), 0);
  t.is(open(h, 2, "file:stock/A.IMG", false), EBUSY, "the same file by another name");
  t.is(open(h, 2, "file:a.img"), EBUSY);
  t.is(open(h, 2, "file:images/b.img"), 0, "another file");
  t.is(open(h, 3, "part:stock", false), EBUSY, "files on it are written");
  t.is(remove(h, 1), 0);
  t.is(remove(h, 2), 0);
  t.is(open(h, 1, "file:a.img", false), 0);
  t.is(open(h, 2, "file:stock/a.img", false), 0);
  t.is(open(h, 3, "file:a.img"), EBUSY);
  t.is(open(h, 3, "part:stock"), EBUSY, "a file on it is read");
  t.is(open(h, 3, "part:stock", false), 0, "all of them read");
  t.is(open(h, 4, "file:images/b.img"), EBUSY, "the partition is read");
  for (const domid of [1, 2, 3]) t.is(remove(h, domid), 0);
  t.is(open(h, 3, "part:stock"), 0);
  t.is(open(h, 1, "file:stock/a.img", false), EBUSY);
  t.is(open(h, 1, "file:a.img", false), ENOENT, "nobody's, as long as a guest has it");
  t.is(remove(h, 3), 0);
  t.is(open(h, 1, "file:a.img"), 0);
  t.is(h.format(), EBUSY, "the table is in use");
  t.is(remove(h, 1), 0);
});

test.serial("which partition it is on: the one of that label, or else the first that has it", async (t) => {
  const one = makeFat(FAT32, { "both.img": sectorData(1, 0, 1), "two/inside.img": sectorData(2, 0, 1) });
  const two = makeFat(KINDS[1]![1], {
    "both.img": sectorData(3, 0, 2),
    "inside.img": sectorData(4, 0, 2),
    "own.img": sectorData(5, 0, 2),
  });
  const h = await host(diskWith({ raw: Buffer.alloc(512 * 1024), one }), diskWith({ two }));
  for (const [path, content] of [
    ["both.img", sectorData(1, 0, 1)],
    ["two/both.img", sectorData(3, 0, 2)],
    ["own.img", sectorData(5, 0, 2)],
    // The label comes first; with a slash before it, it is none.
    ["two/inside.img", sectorData(4, 0, 2)],
    ["/two/inside.img", sectorData(2, 0, 1)],
    ["one/two/inside.img", sectorData(2, 0, 1)],
  ] as const) {
    compare(t, new Frontend(h, h.guest(9), { target: `file:${path}` }), content);
    t.is(remove(h, 9), 0);
  }
  for (const [path, status] of [
    ["one/own.img", ENOENT],
    ["raw/own.img", ENOENT],
    ["/one/both.img", ENOENT],
    ["", EINVAL],
    ["/", EINVAL],
    ["two//both.img", EINVAL],
    ["two/", EINVAL],
    ["../both.img", EINVAL],
    ["./both.img", EINVAL],
    ["two/./both.img", EINVAL],
  ] as const) {
    t.is(open(h, 9, `file:${path}`), status, path);
  }
});

test.serial("a disk of 4096-byte sectors: clusters are of them, and sizes too", async (t) => {
  const content = sectorData(1, 0, 800);
  const volume = makeFat(
    { sectors: 5000 * 8, sectorBytes: 4096 },
    { "disk.img": content, "odd.img": sectorData(2, 0, 12) },
  );
  const chain = volume.chain(volume.entry("DISK.IMG").first);
  volume.move(
    "DISK.IMG",
    chain.map((_, i) => 3000 - i * 2),
  );
  // The table is one for 512-byte sectors: its bytes are moved to where such a disk has them.
  const disk = diskOf4096(volume);
  const h = await host(disk);
  const f = new Frontend(h, h.guest(3), { target: "file:disk.img" });
  compare4096(t, f, content);
  const data = sectorData(50, 80, 160);
  t.is(f.write(80, data), 0);
  data.copy(content, 80 * SECTOR);
  compare4096(t, f, content);
  t.is(open(h, 4, "file:odd.img"), EINVAL);
  // A volume of smaller sectors has clusters that such a disk cannot write by themselves.
  const small = makeFat(KINDS[1]![1], { "disk.img": content });
  t.is(open(await host(diskOf4096(small)), 4, "file:disk.img"), -74);
});

function compare4096(t: ExecutionContext, f: Frontend, expected: Buffer): void {
  t.is(f.properties.sectors, expected.length / SECTOR);
  for (let at = 0; at < expected.length; at += 65536) {
    const some = Math.min(65536, expected.length - at);
    t.true(f.read(at / SECTOR, some).equals(expected.subarray(at, at + some)), `${at}`);
  }
}

/** A disk of 4096-byte sectors with one partition. */
function diskOf4096(volume: FatImage): SimDisk {
  const sectors = volume.bytes.length / SECTOR + 4096;
  // As a disk of as many sectors of 512 bytes sees it, sector by sector.
  const table = new SimDisk({ sectors: sectors / 8 });
  writeTable(table, [{ name: "p", first: FIRST / 8, last: FIRST / 8 + volume.bytes.length / 4096 - 1 }]);
  const disk = new SimDisk({ sectors, sectorSize: 4096 });
  disk.medium.set(volume.bytes, FIRST * SECTOR);
  const last = table.sectors - 1;
  const put = (sector: number, to: number) =>
    disk.medium.set(table.medium.subarray(sector * SECTOR, (sector + 1) * SECTOR), to);
  put(1, 4096);
  for (let i = 0; i < 32; i++) put(2 + i, 2 * 4096 + i * SECTOR);
  for (let i = 0; i < 32; i++) put(last - 32 + i, (last - 32) * 4096 + i * SECTOR);
  put(last, last * 4096);
  return disk;
}

test.serial("after a restart it is the same file again, whatever is elsewhere by then", async (t) => {
  const content = sectorData(1, 0, 64);
  const volume = makeFat(FAT32, { "disk.img": content });
  const disk = diskWith({ guest: Buffer.alloc(volume.bytes.length), stock: volume });
  const h = await host(disk);
  const writer = new Frontend(h, h.guest(3), { target: "file:disk.img" });
  const whole = new Frontend(h, h.guest(4), { target: "part:guest" });
  t.is(writer.write(8, sectorData(2, 8, 8)), 0);
  sectorData(2, 8, 8).copy(content, 8 * SECTOR);
  // A guest makes a file of that name on the partition that it has.
  const trap = makeFat(FAT32, { "disk.img": sectorData(66, 0, 64) });
  trap.bytes.copy(disk.medium, FIRST * SECTOR);
  for (let i = 0; i < 3; i++) {
    h.start();
    h.settle();
    compare(t, writer, content);
    t.is(writer.write(i, sectorData(20 + i, i)), 0);
    sectorData(20 + i, i).copy(content, i * SECTOR);
    t.is(open(h, 5, "file:disk.img", false), EBUSY);
  }
  t.is(whole.read(0, SECTOR).readUInt16LE(510), 0xaa55);
  t.is(remove(h, 3), 0);
  t.is(remove(h, 4), 0);
  compare(t, new Frontend(h, h.guest(6), { target: "file:disk.img" }), sectorData(66, 0, 64));
});
