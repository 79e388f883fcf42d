/** FAT volumes that are damaged, or made to harm: each file is refused with its reason, and reading them ends, within the partition. */
import test from "ava";
import { FatBoot, FatEntry } from "../../../../abi/io/fat.ts";
import * as abi from "../../../../abi/io/control-block.ts";
import { Frontend } from "../block/frontend.ts";
import { Random } from "../block/random.ts";
import { SECTOR, WRITE, type SimDisk } from "../block/sim-disk.ts";
import { sectorData } from "../block/volume-host.ts";
import { FatImage, makeFat, type FatOptions } from "./fat-image.ts";
import { diskWith, FIRST, host, refusal, remove } from "./fat-host.ts";

const EBUSY = -16;
const FAT16: FatOptions = { sectors: 6000, clusterSectors: 1, rootSectors: 4 };
const FAT32: FatOptions = { sectors: 70_000, fat32: true, cut: 4000 };
const CONTENT = sectorData(1, 0, 40);
const PATH = "images/disk.img";
const NAME = "IMAGES/DISK.IMG";

const files = {
  [PATH]: CONTENT,
  "images/other.img": sectorData(2, 0, 40),
  "odd.img": Buffer.alloc(1000, 1),
  "empty.img": Buffer.alloc(0),
};

/** Puts another volume's bytes into the disk's first partition. */
function replace(disk: SimDisk, volume: FatImage): void {
  disk.corrupt(FIRST, () => disk.medium.set(volume.bytes, FIRST * SECTOR));
}

for (const [kind, options] of [
  ["FAT16", FAT16],
  ["FAT32", FAT32],
] as const) {
  test.serial(`${kind}: why a file is refused`, async (t) => {
    const good = makeFat(options, files);
    const disk = diskWith({ stock: good });
    const h = await host(disk);
    const file = good.entry(NAME);
    const chain = good.chain(file.first);
    const other = good.chain(good.entry("IMAGES/OTHER.IMG").first);
    const images = good.entry("IMAGES");
    const free = good.clusters + 1;
    const boot =
      (at: number, value: number, bytes = 2) =>
      (v: FatImage) => {
        v.bytes.writeUIntLE(value, at, bytes);
      };
    const setSize = (bytes: number) => (v: FatImage) => {
      v.bytes.writeUInt32LE(bytes, file.at + FatEntry.bytes);
    };
    const cases: [string, number, (v: FatImage) => void, string?][] = [
      ["nothing there", abi.FILE_NO_VOLUME, (v) => v.bytes.fill(0, 0, SECTOR)],
      ["another file system", abi.FILE_NO_VOLUME, (v) => v.bytes.fill(0x5a, 0, 510)],
      ["no signature", abi.FILE_NO_VOLUME, boot(FatBoot.signature, 0)],
      ["sectors of 0 bytes", abi.FILE_BOOT_SECTOR, boot(FatBoot.sectorBytes, 0)],
      ["sectors of 8192 bytes", abi.FILE_BOOT_SECTOR, boot(FatBoot.sectorBytes, 8192)],
      ["sectors of 768 bytes", abi.FILE_BOOT_SECTOR, boot(FatBoot.sectorBytes, 768)],
      ["clusters of no sectors", abi.FILE_BOOT_SECTOR, boot(FatBoot.clusterSectors, 0, 1)],
      ["clusters of 3 sectors", abi.FILE_BOOT_SECTOR, boot(FatBoot.clusterSectors, 3, 1)],
      ["no reserved sectors", abi.FILE_BOOT_SECTOR, boot(FatBoot.reserved, 0)],
      ["no FAT", abi.FILE_BOOT_SECTOR, boot(FatBoot.fats, 0, 1)],
      ["another medium", abi.FILE_BOOT_SECTOR, boot(FatBoot.media, 0x12, 1)],
      [
        "FATs that leave no room",
        abi.FILE_BOOT_SECTOR,
        (v) => {
          boot(FatBoot.fats, 255, 1)(v);
          if (v.bits === 16) boot(FatBoot.fatSectors16, 0xffff)(v);
        },
      ],
      [
        "more sectors than the partition",
        abi.FILE_BOOT_SECTOR,
        (v) => {
          v.bytes.writeUInt16LE(0, FatBoot.sectors16);
          v.bytes.writeUInt32LE(v.bytes.length / SECTOR + 1, FatBoot.sectors32);
        },
      ],
      [
        "all sectors there can be",
        abi.FILE_BOOT_SECTOR,
        (v) => {
          v.bytes.writeUInt16LE(0, FatBoot.sectors16);
          v.bytes.writeUInt32LE(0xffffffff, FatBoot.sectors32);
        },
      ],
      [
        "a FAT that is too short",
        abi.FILE_BOOT_SECTOR,
        (v) => {
          if (v.bits === 32) v.bytes.writeUInt32LE(20, FatBoot.fatSectors32);
          else v.bytes.writeUInt16LE(10, FatBoot.fatSectors16);
        },
      ],
      [
        "a FAT as long as there can be",
        abi.FILE_BOOT_SECTOR,
        (v) => {
          v.bytes.writeUInt16LE(0, FatBoot.fatSectors16);
          v.bytes.writeUInt32LE(0xffffffff, FatBoot.fatSectors32);
        },
      ],
      ["absent", abi.FILE_ABSENT, () => {}, "images/disc.img"],
      ["part of a name", abi.FILE_ABSENT, () => {}, "images/disk.im"],
      ["more than a name", abi.FILE_ABSENT, () => {}, "images/disk.imgs"],
      ["the volume's label", abi.FILE_ABSENT, () => {}, "test"],
      ["deleted", abi.FILE_ABSENT, (v) => (v.bytes[file.at] = 0xe5)],
      ["a directory that is absent", abi.FILE_ABSENT, () => {}, "pictures/disk.img"],
      ["a file as a directory", abi.FILE_NOT_DIRECTORY, () => {}, "odd.img/disk.img"],
      ["a directory as a file", abi.FILE_IS_DIRECTORY, () => {}, "images"],
      ["empty", abi.FILE_EMPTY, () => {}, "empty.img"],
      ["an odd size", abi.FILE_ODD_SIZE, () => {}, "odd.img"],
      ["a chain that is longer", abi.FILE_CHAIN_LONG, setSize(39 * SECTOR)],
      ["a chain that is shorter", abi.FILE_CHAIN_SHORT, setSize(41 * SECTOR)],
      ["more clusters than there are", abi.FILE_CHAIN_SHORT, setSize(0xfffffe00)],
      ["an early end", abi.FILE_CHAIN_SHORT, (v) => v.set(chain[20]!, v.end)],
      ["to a free cluster", abi.FILE_CHAIN_BROKEN, (v) => v.set(chain[20]!, 0)],
      ["to cluster 1", abi.FILE_CHAIN_BROKEN, (v) => v.set(chain[20]!, 1)],
      ["to a bad cluster", abi.FILE_CHAIN_BROKEN, (v) => v.set(chain[20]!, v.end - 8)],
      ["behind the last cluster", abi.FILE_CHAIN_BROKEN, (v) => v.set(chain[20]!, v.clusters + 2)],
      ["first cluster 0", abi.FILE_CHAIN_BROKEN, (v) => v.setFirst(file, 0)],
      ["first cluster beyond", abi.FILE_CHAIN_BROKEN, (v) => v.setFirst(file, v.clusters + 2)],
      ["to itself", abi.FILE_CHAIN_CYCLE, (v) => v.set(chain[20]!, chain[20]!)],
      ["back to its first cluster", abi.FILE_CHAIN_CYCLE, (v) => v.set(chain[20]!, chain[0]!)],
      [
        "a cycle of two",
        abi.FILE_CHAIN_CYCLE,
        (v) => {
          setSize(1000 * SECTOR)(v);
          v.set(chain[20]!, chain[19]!);
        },
      ],
      [
        "back to one in the middle",
        abi.FILE_CHAIN_CYCLE,
        (v) => {
          setSize(400 * SECTOR)(v);
          v.set(chain[39]!, chain[17]!);
        },
      ],
      ["a cycle where it should end", abi.FILE_CHAIN_CYCLE, (v) => v.set(chain[39]!, chain[33]!)],
      ["into another file", abi.FILE_CROSS_LINKED, (v) => v.set(chain[19]!, other[20]!)],
      ["another file into it", abi.FILE_CROSS_LINKED, (v) => v.set(other[10]!, chain[30]!)],
      ["another file into its begin", abi.FILE_CROSS_LINKED, (v) => v.set(other[10]!, chain[0]!)],
      ["a chain of nobody's into it", abi.FILE_CROSS_LINKED, (v) => v.set(free, chain[30]!)],
      [
        "the directory that it is in",
        abi.FILE_CROSS_LINKED,
        (v) => {
          v.setFirst(file, images.first);
          setSize(v.chain(images.first).length * SECTOR)(v);
        },
      ],
      [
        "a directory with a cycle",
        abi.FILE_BAD_DIRECTORY,
        (v) => {
          for (const cluster of v.chain(images.first)) {
            for (let at = 0; at < SECTOR; at += FatEntry.SIZE) v.bytes[v.place(cluster) + at] = 0xe5;
          }
          v.set(v.chain(images.first).at(-1)!, images.first);
        },
      ],
      [
        "a directory that leads to a free cluster",
        abi.FILE_BAD_DIRECTORY,
        (v) => {
          v.bytes.fill(0xe5, v.place(images.first), v.place(images.first) + SECTOR);
          v.set(images.first, 0);
        },
      ],
      ["a directory that is not there", abi.FILE_BAD_DIRECTORY, (v) => v.setFirst(images, 0)],
    ];
    if (kind === "FAT32") {
      cases.push(
        ["another version", abi.FILE_BOOT_SECTOR, boot(FatBoot.version, 1)],
        ["a root directory that is nowhere", abi.FILE_BOOT_SECTOR, boot(FatBoot.rootCluster, 0, 4)],
        ["an active FAT that is not there", abi.FILE_BOOT_SECTOR, boot(FatBoot.extFlags, 0x82)],
        [
          "a root directory with a cycle",
          abi.FILE_BAD_DIRECTORY,
          (v) => {
            v.bytes.fill(0xe5, v.place(v.rootCluster), v.place(v.rootCluster) + SECTOR);
            v.set(v.rootCluster, v.rootCluster);
          },
        ],
        [
          "the root directory as a file",
          abi.FILE_CROSS_LINKED,
          (v) => {
            v.setFirst(file, v.rootCluster);
            setSize(SECTOR)(v);
          },
        ],
      );
    } else {
      cases.push(["no root directory", abi.FILE_BOOT_SECTOR, boot(FatBoot.rootEntries, 0)]);
    }
    for (const [what, reason, damage, path = PATH] of cases) {
      const volume = new FatImage(Buffer.from(good.bytes));
      damage(volume);
      replace(disk, volume);
      const { bytes, ...said } = refusal(h, 3, `file:stock/${path}`);
      t.is(said.reason, reason, what);
      t.true(said.status < 0, what);
      t.like(said, { disk: 0, partition: 1, unit: 512, label: "stock" }, what);
      if (reason === abi.FILE_ODD_SIZE) t.is(bytes, 1000);
      // Without a label the same is found.
      t.like(refusal(h, 3, `file:${path}`), { reason, status: said.status }, what);
    }
    replace(disk, good);
    const f = new Frontend(h, h.guest(3), { target: `file:${PATH}` });
    t.true(f.read(0, CONTENT.length).equals(CONTENT));
  });
}

test.serial("only the FAT that is kept up to date counts", async (t) => {
  const good = makeFat(FAT32, files);
  const second = new FatImage(Buffer.from(good.bytes));
  second.bytes.writeUInt16LE(0x81, FatBoot.extFlags);
  second.bytes.fill(0, second.fatStart, second.fatStart + second.fatBytes);
  const disk = diskWith({ stock: second });
  const h = await host(disk);
  const f = new Frontend(h, h.guest(3), { target: `file:${PATH}` });
  t.true(f.read(0, CONTENT.length).equals(CONTENT));
  t.is(remove(h, 3), 0);
  second.bytes.writeUInt16LE(0, FatBoot.extFlags);
  replace(disk, second);
  t.is(refusal(h, 3, `file:${PATH}`).reason, abi.FILE_CHAIN_BROKEN);
});

test.serial("fragments: as many as a file may have, and all files", async (t) => {
  const clusters = 8193;
  const big = makeFat({ sectors: 70_000, fat32: true }, { "disk.img": Buffer.alloc(clusters * SECTOR, 7) });
  const disk = diskWith({ stock: big });
  const h = await host(disk);
  const own = big.chain(big.entry("DISK.IMG").first);
  t.is(own.length, clusters);
  big.move(
    "DISK.IMG",
    own.map((_, i) => 20_000 + 2 * i),
  );
  replace(disk, big);
  t.like(refusal(h, 3, "file:disk.img"), { status: -7, reason: abi.FILE_FRAGMENTS });
  // A cycle is one, however many fragments it would have.
  const cycle = new FatImage(Buffer.from(big.bytes));
  cycle.set(20_000 + 2 * 20, 20_000 + 2 * 19);
  cycle.bytes.writeUInt32LE(20_000 * SECTOR, cycle.entry("DISK.IMG").at + FatEntry.bytes);
  replace(disk, cycle);
  t.like(refusal(h, 3, "file:disk.img"), { reason: abi.FILE_CHAIN_CYCLE });
  // One less: the last two follow each other.
  big.move(
    "DISK.IMG",
    own.map((_, i) => (i === clusters - 1 ? 20_000 + 2 * i - 1 : 20_000 + 2 * i)),
  );
  replace(disk, big);
  const f = new Frontend(h, h.guest(3), { target: "file:disk.img" });
  t.is(f.write(8100, sectorData(3, 0, 93)), 0);
  t.true(f.read(8100, 93 * SECTOR).equals(sectorData(3, 0, 93)));
  t.is(remove(h, 3), 0);

  // Eight with 8192 each are all; what is given back can be had again.
  const many: Record<string, Buffer> = {};
  for (let i = 0; i < 9; i++) many[`f${i}`] = Buffer.alloc(2, 1);
  const volume = makeFat({ sectors: 160_000, fat32: true }, many);
  for (let i = 0; i < 9; i++) {
    const entry = volume.entry(`F${i}`);
    volume.set(entry.first, 0);
    const first = 1000 + i;
    for (let n = 0; n < 8192; n++) volume.set(first + 18 * n, n === 8191 ? volume.end : first + 18 * (n + 1));
    volume.setFirst(entry, first);
    volume.bytes.writeUInt32LE(8192 * SECTOR, entry.at + FatEntry.bytes);
  }
  const other = await host(diskWith({ many: volume }));
  for (let i = 0; i < 8; i++) t.is(refusal(other, i + 1, `file:f${i}`).status, 0);
  t.like(refusal(other, 9, "file:f8"), { status: -23, reason: abi.FILE_NO_ROOM });
  t.is(remove(other, 4), 0);
  t.is(refusal(other, 9, "file:f8").status, 0);
});

test.serial("two names of one file, and of different sizes", async (t) => {
  const volume = makeFat(
    { ...FAT16, clusterSectors: 4 },
    { "a.img": sectorData(1, 0, 7), "b.img": sectorData(2, 0, 8) },
  );
  volume.setFirst(volume.entry("B.IMG"), volume.entry("A.IMG").first);
  const h = await host(diskWith({ stock: volume }));
  t.is(refusal(h, 1, "file:a.img").status, 0);
  t.like(refusal(h, 2, "file:b.img"), { reason: abi.FILE_CROSS_LINKED });
});

test.serial("what is not refused by the file has no words of an earlier one", async (t) => {
  const volume = makeFat(FAT16, files);
  const h = await host(diskWith({ stock: volume }));
  t.is(refusal(h, 1, "file:absent.img").reason, abi.FILE_ABSENT);
  t.like(refusal(h, 1, "part:absent"), { status: -2, reason: 0 });
  t.like(refusal(h, 1, "file:"), { status: -22, reason: 0 });
  t.is(refusal(h, 1, `file:${PATH}`).status, 0);
  const writer = new Frontend(h, h.guest(2), { target: "file:images/other.img" });
  t.is(writer.write(0, sectorData(1, 0)), 0);
  t.like(refusal(h, 3, "file:images/other.img"), { status: EBUSY, reason: 0 });
});

test.serial("a disk that cannot read: the reason is said, and the next partition is looked at", async (t) => {
  const volume = makeFat(FAT16, files);
  const disk = diskWith({ one: volume, two: volume });
  const h = await host(disk);
  const end = FIRST + volume.bytes.length / SECTOR;
  let bad = (_sector: number): boolean => false;
  disk.outcome = (request) => (request.sector < end && bad(request.sector - FIRST) ? -5 : 0);
  for (const [from, to, found] of [
    [0, 1, true],
    [volume.rootStart, volume.dataStart, true],
    [volume.fatStart, volume.fatStart + SECTOR, false],
  ] as const) {
    bad = (sector) => sector * SECTOR >= from && sector * SECTOR < to;
    t.like(refusal(h, 1, `file:one/${PATH}`), { status: -5, reason: abi.FILE_READ, label: "one" });
    t.is(refusal(h, 1, `file:${PATH}`).status, found ? 0 : -5, "a file that is there is the one");
    if (found) t.is(remove(h, 1), 0);
  }
});

/** Whether a sector is not the file's: of the metadata, the directory that it is in, or the other file, by what the damaged volume says. */
function othersSectors(volume: FatImage, good: FatImage): (sector: number) => boolean {
  const clusters = new Set<number>([volume.rootCluster]);
  const images = good.entry("IMAGES");
  const other = good.entry("IMAGES/OTHER.IMG");
  // An entry that begins somewhere else is what cannot be seen.
  const same = (at: number) => volume.bytes.subarray(at, at + 32).equals(good.bytes.subarray(at, at + 32));
  if (same(images.at)) clusters.add(images.first);
  if (same(images.at) && same(other.at)) {
    for (
      let n = 0, next = other.first;
      n < 40 && next >= 2 && next < volume.clusters + 2;
      n++, next = volume.get(next)
    ) {
      clusters.add(next);
    }
  }
  return (sector) => {
    const at = sector * SECTOR - volume.dataStart;
    return at < 0 || clusters.has(2 + Math.floor(at / volume.clusterBytes));
  };
}

test.serial("any damage of the metadata: it ends, and nothing outside of the partition is touched", async (t) => {
  const seed = Number(process.env["TYPEVISOR_SEED"] ?? 20_26);
  const kinds = [
    makeFat({ sectors: 4096, clusterSectors: 2, rootSectors: 8 }, files),
    makeFat(FAT16, files),
    makeFat(FAT32, files),
  ];
  let opened = 0;
  const reasons = new Set<number>();
  for (const [k, good] of kinds.entries()) {
    const disk = diskWith({
      before: Buffer.alloc(64 * SECTOR, 0xbb),
      stock: good,
      after: Buffer.alloc(64 * SECTOR, 0xaa),
    });
    const first = FIRST + 64;
    const last = first + good.bytes.length / SECTOR;
    const h = await host(disk);
    let requests = 0;
    disk.outcome = (request) => {
      requests++;
      if (request.sector >= FIRST + 64 && (request.sector < first || request.sector + request.sectors > last)) {
        throw new Error(`sectors ${request.sector} + ${request.sectors} are outside of the partition`);
      }
      return 0;
    };
    const images = good.entry("IMAGES");
    const file = good.entry(NAME);
    // Places in the metadata, and the bytes that each has.
    const places = [
      [0, 96],
      [good.fatStart, 1024],
      [good.rootStart, good.bits === 32 ? 0 : 2048],
      [good.bits === 32 ? good.place(good.rootCluster) : 0, SECTOR],
      [good.place(images.first), SECTOR],
      [file.at - 32, 64],
    ] as const;
    for (let i = 0; i < 250; i++) {
      const random = new Random(seed + 1000 * k + i);
      const volume = new FatImage(Buffer.from(good.bytes));
      for (let n = 1 + random.below(4); n > 0; n--) {
        const [at, bytes] = random.pick(places);
        if (bytes === 0) continue;
        if (random.chance(0.2)) {
          // One of the clusters in use leads to another one.
          volume.set(2 + random.below(100), 2 + random.below(100));
          continue;
        }
        const place = at + random.below(bytes);
        if (random.chance(0.5)) volume.bytes[place]! ^= 1 << random.below(8);
        else volume.bytes[place] = random.pick([0, 1, 2, 0x7f, 0x80, 0xe5, 0xff, random.below(256)]);
      }
      disk.corrupt(first, () => disk.medium.set(volume.bytes, first * SECTOR));
      requests = 0;
      const said = refusal(h, 3, `file:stock/${PATH}`);
      t.true(requests < 10_000, `seed ${seed}, kind ${k}, ${i}: ${requests} requests`);
      reasons.add(said.reason);
      if (said.status !== 0) continue;
      opened++;
      t.is(remove(h, 3), 0);
      const f = new Frontend(h, h.guest(4), { target: `file:stock/${PATH}` });
      const written = new Set<number>();
      disk.onWrite = (sector, sectors) => {
        for (let n = 0; n < sectors; n++) written.add(sector - first + n);
      };
      for (let at = 0; at < f.properties.sectors; at += 8) {
        f.write(at, sectorData(9, at, Math.min(8, f.properties.sectors - at)));
      }
      disk.onWrite = null;
      t.is(written.size, f.properties.sectors, `seed ${seed}, kind ${k}, ${i}`);
      const others = othersSectors(volume, good);
      t.deepEqual(
        [...written].filter((sector) => others(sector)),
        [],
        `seed ${seed}, kind ${k}, ${i}`,
      );
      t.is(remove(h, 4), 0);
    }
    t.true(disk.peek(FIRST, 64).every((byte) => byte === 0xbb));
    t.true(disk.peek(last, 64).every((byte) => byte === 0xaa));
    t.true(disk.inFlight.every(({ operation }) => operation !== WRITE));
  }
  t.log(`${opened} of 750 opened; reasons ${[...reasons].sort((a, b) => a - b).join(" ")}`);
  t.true(opened > 100 && reasons.size > 6);
});
