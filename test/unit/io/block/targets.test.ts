/** Targets that are no volumes: partitions by label, boot modules, memory; and partition tables that nobody should believe. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { crc32 } from "node:zlib";
import test from "ava";
import { IO_VBD_REMOVE } from "../../../../abi/io/control.ts";
import {
  IO_MODULE_ADD,
  IO_MODULE_REMOVE,
  ModuleAdd,
  ModulePage,
  NAME_BYTES,
} from "../../../../abi/io/control-block.ts";
import { GptEntry, GptHeader } from "../../../../abi/io/gpt.ts";
import { makePartitionedDisk } from "../../../../scripts/bench/partitioned-disk.ts";
import { BlockHost, blockModule, type Guest } from "./block-host.ts";
import { addVbd, Frontend } from "./frontend.ts";
import { writeTable } from "./gpt-table.ts";
import { Random } from "./random.ts";
import { SECTOR, SimDisk } from "./sim-disk.ts";
import { sectorData, VolumeHost, volumesModule } from "./volume-host.ts";

const DISK_SECTORS = 24 * 2048;
const ERROR = -1;

async function host(disk = new SimDisk({ sectors: DISK_SECTORS })): Promise<BlockHost> {
  const h = new BlockHost(await blockModule(), [disk], new Random(5));
  h.settle();
  return h;
}

function remove(h: BlockHost, domid: number, vdev: number): number {
  const data = Buffer.alloc(8);
  data.writeUInt32LE(domid, 0);
  data.writeUInt32LE(vdev, 4);
  return h.control(IO_VBD_REMOVE, data).status;
}

test.serial("a partition by its label is a raw image, for one writer or many readers", async (t) => {
  const disk = new SimDisk({ sectors: DISK_SECTORS });
  writeTable(disk, [
    { name: "first", first: 2048, last: 4095 },
    { name: "data", first: 8192, last: 12287 },
  ]);
  disk.corrupt(8192 + 7, (data) => data.set(sectorData(3, 7)));
  disk.corrupt(12288, (data) => data.fill(0x99));
  const h = await host(disk);
  const f = new Frontend(h, h.guest(3), { target: "part:data" });
  t.is(f.properties.sectors, 4096);
  t.true(f.read(7, 512).equals(sectorData(3, 7)));
  t.is(f.write(4095, sectorData(4, 4095)), 0);
  t.true(disk.peek(12287, 1).equals(sectorData(4, 4095)));
  t.is(f.write(4096, sectorData(4, 4096)), ERROR);
  t.is(f.write(0, sectorData(5, 0, 1024)), 0, "more than the disk takes at once");
  t.true(f.read(0, 1024 * 512).equals(sectorData(5, 0, 1024)));
  t.true(disk.peek(12288, 1).every((byte) => byte === 0x99));
  t.is(addVbd(h, 4, { target: "part:data", writable: false }).status, -16);
  t.is(remove(h, 3, 51712), 0);
  t.is(addVbd(h, 4, { target: "part:data", writable: false }).status, 0);
  t.is(addVbd(h, 5, { target: "part:data", writable: false }).status, 0);
  t.is(addVbd(h, 6, { target: "part:data" }).status, -16);
  // A store gets a partition of its own beside them, when they are not in use.
  t.is(h.format(), -16);
  t.is(remove(h, 4, 51712), 0);
  t.is(remove(h, 5, 51712), 0);
  t.is(h.format(), 0);
  t.true(disk.peek(8192, 1024).equals(sectorData(5, 0, 1024)));
  t.is(addVbd(h, 7, { target: "part:typevisor-volumes" }).status, -2, "a store is no raw image");
  t.is(addVbd(h, 7, { target: "part:data" }).status, 0);
});

test.serial("the disk that the benchmarks make has its partition, by either copy of its table", async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), "bench-disk-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, "disk.img");
  makePartitionedDisk(file, DISK_SECTORS * SECTOR, "bench");
  const image = readFileSync(file);
  t.is(image.length, DISK_SECTORS * SECTOR);
  for (const spoiled of [[], [1], [DISK_SECTORS - 1]]) {
    const disk = new SimDisk({ sectors: DISK_SECTORS });
    for (let sector = 0; sector < DISK_SECTORS; sector++) {
      const data = image.subarray(sector * SECTOR, (sector + 1) * SECTOR);
      if (data.some((byte) => byte !== 0)) disk.corrupt(sector, (medium) => medium.set(data));
    }
    for (const sector of spoiled) disk.corrupt(sector, (medium) => medium.fill(0x55));
    const h = await host(disk);
    const f = new Frontend(h, h.guest(3), { target: "part:bench" });
    t.is(f.properties.sectors, DISK_SECTORS - 2048 - 1 - 33 + 1);
  }
});

/** Domain 0 makes a module known. */
function addModule(h: BlockHost, dom0: Guest, name: string, content: Buffer): number {
  const list = dom0.page();
  for (let at = 0, i = 0; at < content.length; at += 4096, i++) {
    const page = dom0.page();
    page.bytes.set(content.subarray(at, at + 4096));
    list.view.setUint32(ModulePage.grants + 4 * i, dom0.grant(page, true), true);
    list.view.setUint32(ModulePage.count, i + 1, true);
  }
  const data = Buffer.alloc(ModuleAdd.SIZE);
  data.write(name, ModuleAdd.name, "latin1");
  data.writeBigUInt64LE(BigInt(content.length), ModuleAdd.bytes);
  data.writeUInt32LE(dom0.grant(list), ModuleAdd.pages);
  return h.control(IO_MODULE_ADD, data).status;
}

test.serial("a boot module is a read-only disk, also after a restart", async (t) => {
  const h = await host();
  const dom0 = h.guest(0);
  const content = sectorData(6, 0, 203);
  t.is(addModule(h, dom0, "web", content), 0);
  t.is(addModule(h, dom0, "web", content), -17);
  t.is(addModule(h, dom0, "odd", content.subarray(0, 1000)), -22);
  const f = new Frontend(h, h.guest(3), { target: "module:web", writable: false });
  t.is(f.properties.sectors, 203);
  t.true(f.read(0, content.length).equals(content));
  t.is(f.write(0, sectorData(1, 0)), ERROR);
  t.is(f.answer(f.segments(0, 203, f.pages(sectorData(1, 0)).segments)).status, ERROR);
  const name = Buffer.alloc(NAME_BYTES);
  name.write("web");
  t.is(h.control(IO_MODULE_REMOVE, name).status, -16);
  h.start();
  h.settle();
  t.true(f.read(100, 512).equals(sectorData(6, 100)));
  t.is(remove(h, 3, 51712), 0);
  t.is(h.mapped, 0);
  t.is(h.control(IO_MODULE_REMOVE, name).status, 0);
  t.is(h.control(IO_MODULE_REMOVE, name).status, -2);
});

test.serial("memory survives a restart, and is gone with its vbd", async (t) => {
  const h = await host();
  const f = new Frontend(h, h.guest(3), { target: "ram:1M" });
  t.is(f.properties.sectors, 2048);
  t.is(f.write(2040, sectorData(8, 2040, 8)), 0);
  h.start();
  h.settle();
  t.true(f.read(2040, 4096).equals(sectorData(8, 2040, 8)));
  t.is(addVbd(h, 4, { target: "ram:16M" }).status, -12);
  t.is(remove(h, 3, 51712), 0);
  const g = new Frontend(h, h.guest(4), { target: "ram:16M" });
  t.true(g.read(2040, 4096).every((byte) => byte === 0));
});

test.serial("a partition table that contradicts itself is not believed, and nothing is written", async (t) => {
  const random = new Random(11);
  const module = await volumesModule();
  for (let i = 0; i < 120; i++) {
    const disk = new SimDisk({ sectors: 4096 });
    const store = Buffer.from("a30b1342b0ef794283e999693824 65fa".replace(" ", ""), "hex");
    const wild = (): bigint =>
      random.pick([0n, 1n, 33n, BigInt(random.below(8192)), 0xffff_ffff_ffff_ffffn, 1n << 63n, BigInt(random.next())]);
    const choice = i % 12;
    writeTable(
      disk,
      [
        { name: "a", first: 64, last: 1000 },
        { name: "b", first: 1500, last: 3000, type: store },
      ],
      (header, entries) => {
        const fix = (): number => header.writeUInt32LE(crc32(entries), GptHeader.entriesChecksum);
        if (choice === 0) header.writeUInt32LE(random.next(), GptHeader.headerSize);
        else if (choice === 1) header.writeBigUInt64LE(wild(), GptHeader.firstUsable);
        else if (choice === 2) header.writeBigUInt64LE(wild(), GptHeader.lastUsable);
        else if (choice === 3) header.writeBigUInt64LE(wild(), GptHeader.entriesLba);
        else if (choice === 4) header.writeUInt32LE(random.next(), GptHeader.entries);
        else if (choice === 5) header.writeUInt32LE(random.next(), GptHeader.entrySize);
        else if (choice === 6) entries[random.below(256)]! ^= 1 << random.below(8);
        else if (choice === 7) {
          entries.writeBigUInt64LE(wild(), GptEntry.firstLba);
          fix();
        } else if (choice === 8) {
          entries.writeBigUInt64LE(wild(), GptEntry.SIZE + GptEntry.lastLba);
          fix();
        } else if (choice === 9) {
          entries.writeBigUInt64LE(1400n, GptEntry.lastLba);
          entries.writeBigUInt64LE(1300n, GptEntry.SIZE + GptEntry.firstLba);
          fix();
        } else {
          for (let n = 0; n < 8; n++) entries[random.below(256)] = random.next() & 0xff;
          fix();
        }
      },
    );
    let written = 0;
    disk.onWrite = () => written++;
    const h = new VolumeHost(module, [disk], new Random(i));
    h.settle();
    t.is(written, 0, `${i}`);
    t.true(h.exports["disksLooked"]!() !== 0, `${i}`);
    t.is(h.fact("ready"), 0);
  }
});
