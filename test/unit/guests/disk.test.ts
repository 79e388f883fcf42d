/** blkfront as a process: handshakes, requests out of order, a backend that restarts, what a killed guest has left. */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { buildNative, NativeGuest, Sysctl } from "./native.ts";

const folder = mkdtempSync(path.join(tmpdir(), "disk-"));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

const SIZE = 2 << 20;
let disks = 0;
function newDisk(bytes: number = SIZE): string {
  const file = path.join(folder, `${disks++}.img`);
  writeFileSync(file, "");
  truncateSync(file, bytes);
  return file;
}

async function start(t: ExecutionContext, commandLine: string, args: string[]): Promise<NativeGuest> {
  const built = await buildNative("blktest");
  if ("missing" in built) throw new Error(built.missing);
  const guest = new NativeGuest(built.program, commandLine, args);
  t.teardown(() => {
    if (!t.passed) t.log(guest.console);
    return guest.stop();
  });
  return guest;
}

for (const how of ["--sysctl", "--store"]) {
  test(`everything written is read again, over ${how === "--store" ? "xenbus" : "NoXS"}`, async (t) => {
    const disk = newDisk();
    const guest = await start(t, "seed=7", ["--disk", disk, how]);
    t.is(await guest.ended, 0);
    t.regex(guest.console, /blktest: 4096 sectors of 512 bytes, flush, discard\n/);
    t.regex(guest.console, /blktest all 512 units/);
    const again = await start(t, "seed=7 mode=check", ["--disk", disk, how, "--read-only", "yes"]);
    t.is(await again.ended, 0);
    t.regex(again.console, /a write is refused/);
    // Another seed's data are other data: the check can fail.
    const other = await start(t, "seed=8 mode=check", ["--disk", disk, how]);
    t.is(await other.ended, 1);
    t.regex(other.console, /FAIL blktest byte 0 of sector \d+ is wrong/);
  });
}

for (const how of ["--sysctl", "--store"]) {
  test(`requests of 128 KiB, told by indirect segments, over ${how === "--store" ? "xenbus" : "NoXS"}`, async (t) => {
    const disk = newDisk();
    const run = (operation: string, more: string, args: string[] = []) =>
      start(t, `mode=bench op=${operation} requests=16 ${more}`, ["--disk", disk, how, ...args]);
    const writer = await run("write", "size=131072 depth=5 checked");
    t.is(await writer.ended, 0);
    t.regex(writer.console, /blktest bench write 16 requests 131072 bytes \d+ ticks 0 idle\n/);
    for (const size of [4096, 45056, 49152, 131072]) {
      const reader = await run("read", `size=${size} depth=32 warm=7 checked`, ["--restart-every", "3"]);
      t.is(await reader.ended, 0);
      t.regex(reader.console, new RegExp(`blktest bench read 16 requests ${size} bytes`));
    }
    const bytes = readFileSync(disk);
    bytes[131072 * 3 + 4096 * 31] ^= 1;
    writeFileSync(disk, bytes);
    const reader = await run("read", "size=131072 checked");
    t.is(await reader.ended, 1);
    t.regex(reader.console, /FAIL blktest page 31 of the request at sector 768 is wrong/);
    const refused = await run("write", "size=131072", ["--read-only", "yes"]);
    t.is(await refused.ended, 1);
    t.regex(refused.console, /FAIL blktest a request at sector 0: status -1/);
  });
}

test("one changed byte is found", async (t) => {
  const disk = newDisk();
  await (
    await start(t, "seed=3", ["--disk", disk])
  ).ended;
  const bytes = readFileSync(disk);
  bytes[123 * 4096 + 777] ^= 1;
  writeFileSync(disk, bytes);
  const guest = await start(t, "seed=3 mode=check", ["--disk", disk]);
  t.is(await guest.ended, 1);
  t.regex(guest.console, /byte 265 of sector 985 is wrong/);
});

test("the backend restarts again and again, and finishes what was under way", async (t) => {
  const guest = await start(t, "seed=5", ["--disk", newDisk(), "--restart-every", "3"]);
  t.is(await guest.ended, 0);
  t.true(Number(/HOST: (\d+) restarts/.exec(guest.console)?.[1]) > 20);
});

test("after a guest is killed, everything it flushed is there", async (t) => {
  const disk = newDisk(256 * 4096);
  let flushed = 0;
  for (let round = 0; round < 4; round++) {
    const writer = await start(t, `mode=log from=${flushed + 1}`, ["--disk", disk]);
    await writer.printed(
      new RegExp(`blktest flushed ${flushed + 16 * (10 + round * 13)}, waited \\d+ us at most, \\d+ us for a flush\n`),
    );
    await writer.stop();
    const told = [...writer.console.matchAll(/^blktest flushed (\d+), waited /gm)];
    flushed = Number(told[told.length - 1][1]);
    const checker = await start(t, `mode=log-check flushed=${flushed}`, ["--disk", disk]);
    t.is(await checker.ended, 0);
    t.regex(checker.console, new RegExp(`all records up to ${flushed} are there`));
  }
  // A record that was flushed and is not there is missed.
  const bytes = readFileSync(disk);
  bytes.fill(0, (flushed % 256) * 4096, (flushed % 256) * 4096 + 512);
  writeFileSync(disk, bytes);
  const checker = await start(t, `mode=log-check flushed=${flushed}`, ["--disk", disk]);
  t.is(await checker.ended, 1);
  t.regex(checker.console, /FAIL blktest unit \d+, sector 0: record 0, but \d+ was flushed/);
});

test("what a log has left where nothing was flushed is its records or nothing", async (t) => {
  const disk = newDisk(256 * 4096);
  const writer = await start(t, "mode=log records=40", ["--disk", disk]);
  t.is(await writer.ended, 0);
  const check = async () => await start(t, "mode=log-check flushed=16", ["--disk", disk]);
  t.is(await (await check()).ended, 0);
  const bytes = readFileSync(disk);
  bytes[200 * 4096 + 5 * 512] = 7;
  writeFileSync(disk, bytes);
  const checker = await check();
  t.is(await checker.ended, 1);
  t.regex(checker.console, /FAIL blktest unit 200, sector 5: record 7, but 0 was flushed/);
});

test("a checksum tells what is in front of a sector, and whether anything is behind it", async (t) => {
  const disk = newDisk(64 * 4096);
  const bytes = readFileSync(disk);
  bytes.write("123456789", 20 * 4096, "latin1");
  writeFileSync(disk, bytes);
  const sum = async (front: number) => {
    const guest = await start(t, `mode=sum front=${front}`, ["--disk", disk]);
    t.is(await guest.ended, 0);
    return /blktest sum (.*)\n/.exec(guest.console)![1];
  };
  t.is(await sum(0), "0 sectors 00000000, behind them data");
  t.regex(await sum(21 * 8), /^168 sectors [0-9a-f]{8}, behind them zeroes$/);
  const before = await sum(64 * 8);
  bytes[20 * 4096 + 8] ^= 1;
  writeFileSync(disk, bytes);
  t.not(await sum(64 * 8), before);
});

test("with `repeat` and in mode=pulse it goes on until the operator asks, and tells how long it waited", async (t) => {
  for (const [line, said] of [
    ["seed=4 repeat", /blktest: wrote 512 units/],
    ["mode=pulse", /blktest: reading/],
  ] as const) {
    const guest = await start(t, line, ["--disk", newDisk(), "--sysctl"]);
    await guest.printed(said);
    guest.sysctl(Sysctl.Poweroff);
    t.is(await guest.ended, 0);
    t.regex(guest.console, /blktest waited \d+ us at most, \d+ us for a flush\nTYPEVISOR-GUEST: PASS blktest/);
  }
});

test("a disk that cannot be used is named", async (t) => {
  const without = await start(t, "", ["--sysctl"]);
  t.is(await without.ended, 1);
  t.regex(without.console, /FAIL blktest the domain has no block device/);
  const small = await start(t, "", ["--disk", newDisk(3584)]);
  t.is(await small.ended, 1);
  t.regex(small.console, /FAIL blktest a device of 7 sectors/);
});
