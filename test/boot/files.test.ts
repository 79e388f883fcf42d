/** Raw images by file name on a FAT partition, as guests' disks on a whole machine. */
import { randomBytes } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import test, { type ExecutionContext } from "ava";
import type { Machine } from "../../scripts/machine.ts";
import { bootToPrompt, COMMAND_MS, consoleSays, GUEST_MS, powerOff, settle } from "./support/boot.ts";
import { diskFile } from "./support/disk-file.ts";
import { fatFile, makeFatDisk } from "./support/fat-disk.ts";
import { expectFrames, frames } from "./support/frames.ts";

const MIB = 1 << 20;
const PARTITION = 40 * MIB;
/** Boot sector and FATs of that partition, made with clusters of one sector. */
const METADATA = 600 * 1024;

function metadata(disk: string): Buffer {
  const bytes = Buffer.alloc(METADATA);
  const handle = openSync(disk, "r");
  readSync(handle, bytes, 0, METADATA, MIB);
  closeSync(handle);
  return bytes;
}

async function blktest(t: ExecutionContext, machine: Machine, vbds: string, cmdline: string): Promise<string> {
  const line = `create --kernel blktest --memory 8 ${vbds} --cmdline '${cmdline}' --wait`;
  const printed = await machine.command(line, GUEST_MS * 2);
  t.regex(printed, /TYPEVISOR-GUEST: PASS blktest/, `${line}\n${printed}`);
  return printed;
}

test.serial("a file on a FAT partition is a guest's disk, beside a store of volumes on the same disk", async (t) => {
  t.timeout(GUEST_MS * 4);
  const disk = diskFile(t, 96 * MIB);
  const content = randomBytes(2 * MIB);
  makeFatDisk(disk, 96 * MIB, "stock", PARTITION, {
    "images/disk.img": content,
    "images/log.img": Buffer.alloc(4 * MIB),
    "images/My other disk.img": content,
    "odd.img": Buffer.alloc(1000),
  });
  const before = metadata(disk);
  const machine = await bootToPrompt(t, { memoryMib: 128, disks: [{ file: disk }] });
  t.is((await machine.command("volume format 0", COMMAND_MS)).trim(), "");
  t.is((await machine.command("volume create v 1M", COMMAND_MS)).trim(), "");

  const refusals = [
    [
      "file:images/disc.img",
      /no file "images\/disc.img" on the partition "stock" of disk 0, the only one.*label "images"/,
    ],
    ["file:odd.img", /the file "odd.img" on the partition "stock" of disk 0 has 1000 bytes: .* a multiple of 512/],
    ["file:stock/images", /the file "images" on the partition "stock" of disk 0 is a directory/],
    ["file:STOCK/images/disk.img", /no file "STOCK\/images\/disk.img".*no partition has the label "STOCK"/],
    ["file:images/", /"images\/" is no path of a file/],
  ] as const;
  const tried = (target: string) => `create --kernel hello --memory 4 --vbd 'target=${target},vdev=xvda'`;
  for (const [target, says] of refusals) t.regex(await machine.command(tried(target), COMMAND_MS), says, target);

  const file = "--vbd target=file:images/disk.img,vdev=xvda";
  const printed = await blktest(t, machine, `--noxs ${file}`, "seed=5");
  t.regex(printed, /4096 sectors of 512 bytes, flush\n/, printed);
  await blktest(t, machine, `--xenbus ${file}`, "seed=5 mode=check");
  await blktest(t, machine, "--vbd target=file:stock/Images/DISK.img,vdev=xvda,access=r", "seed=5 mode=check");

  // A second writer, and the partition itself. The first round grows pools and tables.
  let frame: Awaited<ReturnType<typeof frames>> | null = null;
  for (let round = 0; round < 2; round++) {
    const id = await machine.createDomain(`--kernel idle --memory 4 ${file}`, COMMAND_MS);
    const same = await machine.command(tried("file:images/disk.img"), COMMAND_MS);
    t.regex(same, new RegExp(`in use: domain ${id} has it as xvda`));
    t.regex(await machine.command(tried("file:stock/images/DISK.IMG"), COMMAND_MS), /is in use, by another name/);
    t.regex(await machine.command(tried("part:stock"), COMMAND_MS), /part:stock is in use/);
    await blktest(t, machine, "--vbd 'target=file:images/My other disk.img,vdev=xvda'", "seed=6");
    await machine.command(`destroy ${id}`, COMMAND_MS);
    frame ??= await frames(machine);
  }
  await expectFrames(t, machine, frame!, "after files that were opened, and that were not");

  // The I/O domain is killed while a guest writes its log into a file.
  const log = (cmdline: string) =>
    `--kernel blktest --memory 8 --vbd target=file:stock/images/log.img,vdev=xvda --vbd target=ram:64K,vdev=xvdb ` +
    `--name log --cmdline '${cmdline}'`;
  await machine.createDomain(log("mode=log flush=64"), COMMAND_MS);
  for (let kill = 0; kill < 5; kill++) await machine.command("io-restart; js await sleep(100)", COMMAND_MS);
  await settle(machine);
  await consoleSays(machine, "log", /blktest flushed \d+/, GUEST_MS);
  const said = await consoleSays(machine, "log", /blktest flushed (\d+), waited [^\n]*\n/, GUEST_MS);
  await machine.command("destroy log", COMMAND_MS);
  const checked = await machine.command(`create ${log(`mode=log-check flushed=${said[1]}`)} --wait`, GUEST_MS);
  t.regex(checked, /TYPEVISOR-GUEST: PASS blktest/, checked);
  t.regex(await machine.command("volume check 0", COMMAND_MS), /no problem/);
  await powerOff(t, machine);

  // Outside: FATs and what nobody had are as they were.
  t.true(metadata(disk).equals(before));
  t.true(fatFile(disk, "odd.img").equals(Buffer.alloc(1000)));
  const written = fatFile(disk, "images/disk.img");
  t.is(written.length, content.length);
  t.false(written.equals(content));
});
