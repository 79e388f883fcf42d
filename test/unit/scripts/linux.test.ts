/** The Linux guest's own parts: the initramfs and the archive format it has. */
import test from "ava";
import { makeCpio } from "../../../scripts/linux/cpio.ts";
import { makeInitramfs } from "../../../scripts/linux/initramfs.ts";

interface Record {
  name: string;
  mode: number;
  links: number;
  data: Buffer;
  rdev: [number, number];
}

/** Reads an archive as Linux's init/initramfs.c does, strictly. */
function readCpio(archive: Buffer): Record[] {
  const records: Record[] = [];
  const inodes = new Set<number>();
  for (let at = 0; at < archive.length;) {
    const header = archive.subarray(at, at + 110).toString("latin1");
    if (!/^070701[0-9A-F]{104}$/.test(header)) throw new Error(`no header at ${at}`);
    const field = (index: number) => parseInt(header.slice(6 + 8 * index, 14 + 8 * index), 16);
    const nameSize = field(11);
    const name = archive.subarray(at + 110, at + 110 + nameSize).toString("latin1");
    if (!name.endsWith("\0") || name.indexOf("\0") !== nameSize - 1) throw new Error(`a bad name at ${at}`);
    const dataAt = at + Math.ceil((110 + nameSize) / 4) * 4;
    const data = archive.subarray(dataAt, dataAt + field(6));
    at = dataAt + Math.ceil(field(6) / 4) * 4;
    records.push({ name: name.slice(0, -1), mode: field(1), links: field(4), data, rdev: [field(9), field(10)] });
    if (name !== "TRAILER!!!\0" && inodes.has(field(0))) throw new Error("an inode number twice");
    inodes.add(field(0));
  }
  return records;
}

test("archives have folders, files, links and devices, and end with the trailer", (t) => {
  const archive = makeCpio([
    { kind: "folder", path: "dev", mode: 0o755 },
    { kind: "device", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
    { kind: "file", path: "a", mode: 0o644, data: Buffer.from("12345") },
    { kind: "file", path: "empty", mode: 0o755, data: new Uint8Array(0) },
    { kind: "link", path: "lib", target: "usr/lib" },
  ]);
  t.is(archive.length % 4, 0);
  const records = readCpio(archive);
  t.deepEqual(
    records.map(({ name, mode, rdev }) => [name, mode.toString(8), rdev.join()]),
    [
      ["dev", "40755", "0,0"],
      ["dev/console", "20600", "5,1"],
      ["a", "100644", "0,0"],
      ["empty", "100755", "0,0"],
      ["lib", "120777", "0,0"],
      ["TRAILER!!!", "0", "0,0"],
    ],
  );
  t.is(records[2]!.data.toString(), "12345");
  t.is(records[4]!.data.toString(), "usr/lib");
});

test("the initramfs is the same for the same BusyBox, has /init, a console, and folders before what is in them", (t) => {
  const busybox = Buffer.from("\x7fELF, as it were", "latin1");
  const archive = makeInitramfs(busybox);
  t.true(archive.equals(makeInitramfs(busybox)));
  const records = readCpio(archive);
  const seen = new Set([""]);
  for (const { name } of records) {
    t.true(seen.has(name.includes("/") ? name.slice(0, name.lastIndexOf("/")) : ""), name);
    seen.add(name);
  }
  const init = records.find(({ name }) => name === "init")!;
  t.is(init.mode, 0o100755);
  t.true(init.data.toString().startsWith("#!/bin/busybox sh\n"));
  t.true(records.find(({ name }) => name === "usr/bin/busybox")!.data.equals(busybox));
  t.deepEqual(records.find(({ name }) => name === "dev/console")!.rdev, [5, 1]);
  for (const folder of ["bin", "sbin", "lib", "lib64"]) {
    t.is(records.find(({ name }) => name === folder)!.data.toString(), `usr/${folder}`);
    t.is(records.find(({ name }) => name === `usr/${folder}`)!.mode, 0o40755);
  }
});

test("more files come with the folders above them, and instead of ours", (t) => {
  const inittab = Buffer.from("::sysinit:/bin/true\n");
  const records = readCpio(
    makeInitramfs(Buffer.from("busybox"), [
      { kind: "file", path: "usr/lib/x86_64-linux-gnu/libx.so.1.0", mode: 0o644, data: Buffer.from("x") },
      { kind: "link", path: "usr/lib/x86_64-linux-gnu/libx.so.1", target: "libx.so.1.0" },
      { kind: "file", path: "etc/inittab", mode: 0o600, data: inittab },
    ]),
  );
  const names = records.map(({ name }) => name);
  t.is(new Set(names).size, names.length, "nothing is there twice");
  t.true(names.indexOf("usr/lib/x86_64-linux-gnu") < names.indexOf("usr/lib/x86_64-linux-gnu/libx.so.1"));
  t.true(records.find(({ name }) => name === "etc/inittab")!.data.equals(inittab));
});
