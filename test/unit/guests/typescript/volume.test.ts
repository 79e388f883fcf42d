/** The file system on a volume: against a model, over losses of power at every write, full, damaged, resized. */
import test from "ava";
import { Damaged } from "../../../../guests/typescript/runtime/volume/nodes.ts";
import { Volume, VolumeError } from "../../../../guests/typescript/runtime/volume/volume.ts";
import { Random } from "../../../sim/random.ts";
import { CutDisk, PowerCut } from "./cut-disk.ts";

let time = 1_700_000_000_000;
const now = () => time++;

/** What there should be: contents by path, null for a folder. */
type Model = Map<string, Buffer | null>;

const parts = (path: string) => path.split("/").filter((part) => part !== "");

function look(volume: Volume, path = "", into: Model = new Map()): Model {
  const node = volume.get(parts(path));
  if (node.kind === "file") {
    const bytes = Buffer.alloc(node.size);
    volume.read(node, 0, bytes);
    into.set(path, bytes);
    return into;
  }
  if (path !== "") into.set(path, null);
  for (const name of node.entries.keys()) look(volume, `${path}/${name}`, into);
  return into;
}

function equal(a: Model, b: Model): boolean {
  if (a.size !== b.size) return false;
  for (const [path, bytes] of a) {
    const other = b.get(path);
    if (other === undefined || (bytes === null ? other !== null : other === null || !bytes.equals(other))) return false;
  }
  return true;
}

function randomBytes(random: Random, length: number): Buffer {
  const first = random.below(256);
  return Buffer.from(Uint8Array.from({ length }, (_, i) => (first + i * 7 + (i >> 8)) & 0xff));
}

/** One random operation on a volume and its model; those that fail must fail in both. */
function step(random: Random, volume: Volume, model: Model): void {
  const paths = [...model.keys()];
  const files = paths.filter((path) => model.get(path) !== null);
  const folders = ["", ...paths.filter((path) => model.get(path) === null)];
  const pick = <T>(from: T[]): T => from[random.below(from.length)]!;
  const kind = random.below(12);
  if (kind === 0 && folders.length < 6) {
    const path = `${pick(folders)}/folder${random.below(1000)}`;
    if (model.has(path)) return;
    volume.makeFolder(parts(path));
    model.set(path, null);
  } else if (kind === 1 && files.length > 0) {
    const path = pick(files);
    volume.unlink(parts(path));
    model.delete(path);
  } else if (kind === 2 && files.length > 0) {
    const [from, to] = [pick(files), random.below(2) ? pick(files) : `${pick(folders)}/ä${random.below(1000)}`];
    if (model.get(to) === null) return;
    volume.rename(parts(from), parts(to));
    const bytes = model.get(from)!;
    model.delete(from);
    model.set(to, bytes);
  } else if (kind === 3 && folders.length > 3) {
    const path = pick(folders.slice(1));
    volume.removeFolder(parts(path), true);
    for (const each of paths) if (each === path || each.startsWith(`${path}/`)) model.delete(each);
  } else if (kind === 4 && files.length > 0) {
    const path = pick(files);
    const size = random.below(30_000);
    const file = volume.open(parts(path), {});
    volume.resize(file, size);
    volume.close(file);
    const before = model.get(path)!;
    model.set(path, Buffer.concat([before.subarray(0, size), Buffer.alloc(Math.max(0, size - before.length))]));
  } else {
    const path =
      files.length > 0 && random.below(3) > 0
        ? pick(files)
        : `${pick(folders)}/file${random.below(1000)}${"-".repeat(random.below(200))}`;
    if (model.get(path) === null) return;
    const before = model.get(path) ?? Buffer.alloc(0);
    const file = volume.open(parts(path), { create: true });
    // Behind the end, somewhere in it, or beyond it.
    const at = [before.length, random.below(before.length + 1), before.length + random.below(9000)][random.below(3)]!;
    const bytes = randomBytes(random, [1 + random.below(300), 4096, random.below(20_000)][random.below(3)]!);
    volume.write(file, at, bytes);
    volume.close(file);
    const after = Buffer.alloc(Math.max(before.length, bytes.length === 0 ? 0 : at + bytes.length));
    before.copy(after);
    bytes.copy(after, at);
    model.set(path, after);
  }
}

const SECTORS = 2048;

for (const sectorBytes of [512, 4096]) {
  test(`a volume is what a model of it is, from mount to mount (sectors of ${sectorBytes} bytes)`, (t) => {
    for (let seed = 1; seed <= 6; seed++) {
      const random = new Random(seed);
      const disk = new CutDisk((SECTORS * 512) / sectorBytes, sectorBytes);
      let volume = Volume.mount(disk, now);
      const model: Model = new Map();
      for (let i = 0; i < 400; i++) {
        step(random, volume, model);
        if (random.below(4) === 0) volume.commit();
        if (random.below(40) === 0) {
          t.true(equal(look(volume), model), `seed ${seed}, step ${i}`);
          volume.commit();
          volume = Volume.mount(disk, now);
        }
        // Room is made from time to time.
        if (model.size > 25) {
          for (const path of [...model.keys()].filter((each) => !each.slice(1).includes("/")))
            volume.remove(parts(path));
          model.clear();
        }
      }
      t.true(equal(look(volume), model), `seed ${seed}`);
      const all = [...model.keys()].filter((each) => !each.slice(1).includes("/"));
      for (const path of all) volume.remove(parts(path));
      volume.commit();
      t.is(volume.sizes().free, volume.sizes().bytes, "every block is free again");
    }
  });
}

test("a loss of power at any write leaves what was committed last, or the commit that was under way", (t) => {
  let cuts = 0;
  for (let seed = 1; seed <= 12; seed++) {
    /** Runs the same steps until the disk is cut. @returns false when it was not */
    const run = (cutAt: number): boolean => {
      const random = new Random(seed);
      let disk = new CutDisk(SECTORS);
      const model: Model = new Map();
      let kept: Model = new Map();
      let committing = true; // formatting
      disk.cutAt = cutAt;
      try {
        const volume = Volume.mount(disk, now);
        committing = false;
        for (let i = 0; i < 25; i++) {
          step(random, volume, model);
          if (random.below(3) > 0) continue;
          committing = true;
          volume.commit();
          committing = false;
          kept = new Map(model);
        }
        return false;
      } catch (error) {
        if (!(error instanceof PowerCut)) throw error;
      }
      cuts++;
      const fate = new Random(cutAt * 31 + seed);
      disk = disk.powerUp(fate);
      // And once more, while it is mounted and used again.
      disk.cutAt = fate.below(2) ? fate.below(6) : Infinity;
      try {
        const again = Volume.mount(disk, now);
        const found = look(again);
        if (!equal(found, kept) && !(committing && equal(found, model))) {
          t.fail(`seed ${seed}, cut at ${cutAt}: ${[...found.keys()].join(" ")}, not ${[...kept.keys()].join(" ")}`);
        }
        kept = found;
        again.makeFolder(["after"]);
        again.commit();
        kept = new Map([...found, ["/after", null]]);
      } catch (error) {
        if (!(error instanceof PowerCut)) throw error;
        disk = disk.powerUp(fate);
      }
      disk.cutAt = Infinity;
      const found = look(Volume.mount(disk, now));
      found.delete("/after");
      kept.delete("/after");
      if (!equal(found, kept) && !(committing && equal(found, model)))
        t.fail(`seed ${seed}, cut at ${cutAt}, and again`);
      return true;
    };
    for (let cutAt = 0; run(cutAt); cutAt++);
  }
  t.true(cuts > 500, `${cuts} cuts`);
});

test("checkpoints: thousands of commits in a small log, cut anywhere, keep the last", (t) => {
  const random = new Random(3);
  let disk = new CutDisk(SECTORS);
  for (let round = 0; round < 40; round++) {
    let volume = Volume.mount(disk, now);
    const before = look(volume).get("/counter");
    let count = before === undefined ? 0 : Number(before!.toString());
    disk.cutAt = disk.operations + 1 + random.below(2000);
    let committed = count;
    try {
      for (;;) {
        const file = volume.open(["counter"], { create: true, truncate: true });
        volume.write(file, 0, Buffer.from(String(++count)));
        volume.close(file);
        volume.commit();
        committed = count;
      }
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
    }
    disk = disk.powerUp(random);
    volume = Volume.mount(disk, now);
    const found = Number(look(volume).get("/counter")!.toString());
    t.true(found === committed || found === committed + 1, `${found}, of ${committed}`);
  }
});

const code = (expected: string) => ({ instanceOf: VolumeError, code: expected });

test("a full volume refuses in words, loses nothing, and takes more when something was removed", (t) => {
  const disk = new CutDisk(SECTORS);
  const volume = Volume.mount(disk, now);
  const { bytes } = volume.sizes();
  const file = volume.open(["big"], { create: true });
  let size = 0;
  const block = Buffer.alloc(50_000, 7);
  t.throws(() => {
    for (;;) {
      volume.write(file, size, block);
      size += block.length;
    }
  }, code("ENOSPC"));
  t.true(size > bytes - 2 * 65_536 && size <= bytes);
  volume.commit();
  t.true(volume.sizes().free < 65_536);
  // Also when all of it is to move: in pieces, with commits in between.
  const same = Buffer.alloc(block.length, 8);
  volume.resize(file, size - 2 * block.length);
  volume.commit();
  for (let at = 0; at < size - 2 * block.length; at += block.length) volume.write(file, at, same);
  volume.commit();
  const again = look(Volume.mount(disk, now)).get("/big")!;
  t.true(again!.every((byte) => byte === 8));
  volume.close(file);
  volume.unlink(["big"]);
  const other = volume.open(["other"], { create: true });
  volume.write(other, 0, Buffer.alloc(bytes - 100_000));
  volume.close(other);
  volume.commit();

  const names = Volume.mount(new CutDisk(SECTORS), now);
  let made = 0;
  t.throws(() => {
    for (;;) names.makeFolder([`${"n".repeat(200)}${made++}`]);
  }, code("ENOSPC"));
  t.true(made > 100, "the areas have room for many names");
  names.commit();
  names.removeFolder([`${"n".repeat(200)}0`], false);
  names.makeFolder(["x"]);
});

test("operations fail as Node's do, and change nothing", (t) => {
  const disk = new CutDisk(SECTORS);
  const volume = Volume.mount(disk, now);
  volume.makeFolder(["a"]);
  volume.makeFolder(["a", "b"]);
  volume.close(volume.open(["f"], { create: true }));
  volume.commit();
  const before = disk.operations;
  t.throws(() => volume.makeFolder(["a"]), code("EEXIST"));
  t.throws(() => volume.makeFolder(["x", "y"]), code("ENOENT"));
  t.throws(() => volume.makeFolder(["f", "y"]), code("ENOTDIR"));
  t.throws(() => volume.makeFolder(["n".repeat(256)]), code("ENAMETOOLONG"));
  t.throws(() => volume.open(["a"], {}), code("EISDIR"));
  t.throws(() => volume.open(["none"], {}), code("ENOENT"));
  t.throws(() => volume.open(["f"], { create: true, exclusive: true }), code("EEXIST"));
  t.throws(() => volume.unlink(["a"]), code("EISDIR"));
  t.throws(() => volume.removeFolder(["a"], false), code("ENOTEMPTY"));
  t.throws(() => volume.removeFolder(["f"], false), code("ENOTDIR"));
  t.throws(() => volume.removeFolder([], true), code("EBUSY"));
  t.throws(() => volume.rename(["a"], ["a", "b", "c"]), code("EINVAL"));
  t.throws(() => volume.rename(["f"], ["a"]), code("EISDIR"));
  t.throws(() => volume.rename(["a"], ["f"]), code("ENOTDIR"));
  t.false(volume.dirty);
  volume.commit();
  t.is(disk.operations, before, "nothing is written for nothing");

  // A file that is open and has no name any more can be used until it is closed.
  const file = volume.open(["f"], {});
  volume.write(file, 0, Buffer.from("still here"));
  volume.unlink(["f"]);
  volume.commit();
  const bytes = Buffer.alloc(10);
  volume.read(file, 0, bytes);
  t.is(bytes.toString(), "still here");
  volume.write(file, 0, Buffer.from("STILL"));
  volume.close(file);
  volume.commit();
  t.is(volume.sizes().free, volume.sizes().bytes);

  disk.readOnly = true;
  const readOnly = Volume.mount(disk, now);
  t.deepEqual([...look(readOnly).keys()], ["/a", "/a/b"]);
  t.throws(() => readOnly.makeFolder(["c"]), code("EROFS"));
});

test("a disk with something else on it, or damaged, or too small, is left alone in words", (t) => {
  const refused = (disk: CutDisk, message: RegExp) => {
    const before = Buffer.from(disk.bytes());
    t.throws(() => Volume.mount(disk, now), { instanceOf: Damaged, message });
    t.true(before.equals(Buffer.from(disk.bytes())), "nothing was written");
  };
  const foreign = new CutDisk(SECTORS);
  foreign.bytes()[1080] = 0x53; // as ext4's superblock
  refused(foreign, /something else on it/);
  refused(new CutDisk(16), /volume needs 262144 or more/);
  const empty = new CutDisk(SECTORS);
  empty.readOnly = true;
  refused(empty, /empty, and cannot be written/);

  const disk = new CutDisk(SECTORS);
  const volume = Volume.mount(disk, now);
  const file = volume.open(["f"], { create: true });
  volume.write(file, 0, Buffer.alloc(300_000, 1));
  volume.commit();
  const larger = Volume.mount(disk.resized(2 * SECTORS), now);
  t.true(larger.sizes().bytes > 1.4 * volume.sizes().bytes, "a volume that was made larger has more room");
  refused(disk.resized(700), /has become smaller/);
  // Any damage of the records is noticed, or does not matter.
  const random = new Random(9);
  for (let i = 0; i < 300; i++) {
    const damaged = disk.resized(SECTORS);
    const at = random.below(140_000);
    damaged.bytes()[at] = damaged.bytes()[at]! ^ (1 << random.below(8));
    try {
      const found = look(Volume.mount(damaged, now));
      t.true(found.size === 0 || found.get("/f")!.length === 300_000, `byte ${at}`);
    } catch (error) {
      if (!(error instanceof Damaged)) throw error;
    }
  }
  // A disk that fails is not written any further.
  const failing = new CutDisk(SECTORS);
  const failed = Volume.mount(failing, now);
  failing.cutAt = failing.operations;
  failed.makeFolder(["a"]);
  t.throws(() => failed.commit(), { instanceOf: PowerCut });
  failing.cutAt = Infinity;
  t.throws(() => failed.makeFolder(["b"]), code("EIO"));
  t.throws(() => failed.commit(), code("EIO"));
});

test("what a small write costs: one sector and one record, each flushed", (t) => {
  const disk = new CutDisk(SECTORS);
  const volume = Volume.mount(disk, now);
  const file = volume.open(["log"], { create: true });
  for (let i = 0; i < 100; i++) {
    volume.write(file, file.size, Buffer.from(`line ${i}\n`.padEnd(60)));
    volume.commit();
  }
  const [operations, flushes] = [disk.operations, disk.flushes];
  volume.write(file, file.size, Buffer.from("the last line\n"));
  volume.commit();
  t.deepEqual([disk.operations - operations, disk.flushes - flushes], [4, 2]);
  t.is(file.runs.length, 2, "a file that grows stays in one piece");
});
