/** `npm run volume`: which files it takes, and under which names; and where source packages are looked for. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import zlib from "node:zlib";
import test from "ava";
import fc from "fast-check";
import { listForSources, sourcesForSources } from "../../../scripts/source-packages.ts";
import { collectFiles, crc32, packArchive } from "../../../scripts/volume/archive.ts";
import { fromRoot } from "../../../scripts/paths.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "volume-"));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

mkdirSync(path.join(folder, "site/deep/er"), { recursive: true });
writeFileSync(path.join(folder, "site/index.html"), "front");
writeFileSync(path.join(folder, "site/deep/er/x.txt"), "x");
writeFileSync(path.join(folder, "other.txt"), "other");

/** CRC-32 as zlib computes it: it is in the last bytes of what gzip makes. */
function zlibCrc(bytes: Uint8Array): number {
  const packed = zlib.gzipSync(bytes);
  return packed.readUInt32LE(packed.length - 8);
}

test("a folder gives its contents, a file itself", (t) => {
  const files = collectFiles([path.join(folder, "site"), path.join(folder, "other.txt")]);
  t.deepEqual(files.map((file) => `${file.path}=${Buffer.from(file.data).toString()}`).sort(), [
    "deep/er/x.txt=x",
    "index.html=front",
    "other.txt=other",
  ]);
  t.throws(() => collectFiles([path.join(folder, "none")]), { message: /there is no file or folder .*none/ });
  t.throws(() => collectFiles(["/dev/null"]), { message: /neither a file nor a folder/ });
});

test("an archive has whole blocks, and paths that mean one file each", (t) => {
  const data = Buffer.alloc(5000, 1);
  const image = packArchive([
    { path: "b", data },
    { path: "a/c", data: Buffer.alloc(0) },
  ]);
  t.is(image.length, 4096 + 8192);
  t.is(image.toString("latin1", 0, 8), "TVFILES1");
  t.is(image.readUInt32LE(8), 2);
  t.is(image.readBigUInt64LE(16), BigInt(image.length));
  // Entries are in the order of their paths.
  t.is(image.readBigUInt64LE(64 + 8), 0n);
  t.is(image.readBigUInt64LE(64 + 32 + 8), 5000n);
  t.is(image.readUInt32LE(64 + 32 + 24), zlibCrc(data));
  t.deepEqual(image.subarray(4096, 4096 + 5000), data);
  for (const bad of ["", "/a", "a/", "a//b", "./a", "a/..", "a\0b"]) {
    t.throws(() => packArchive([{ path: bad, data }]), { message: /is no path for an archive/ }, JSON.stringify(bad));
  }
  t.throws(() => packArchive([{ path: "x".repeat(70000), data }]), { message: /too long/ });
  const twice = [data, data].map((bytes) => ({ path: "b", data: bytes }));
  t.throws(() => packArchive(twice), { message: "b is given twice" });
});

test("the checksum is zlib's", (t) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => crc32(bytes) === zlibCrc(bytes)));
  t.pass();
});

test("the command writes the image, or says what is wrong and writes none", (t) => {
  const out = path.join(folder, "made/image.img");
  const command = fromRoot("scripts/volume.ts");
  const words = ["--import=tsx", command, path.join(folder, "site"), "--out", out];
  const printed = execFileSync(process.execPath, words, { encoding: "utf8" });
  t.regex(printed, / {9}5 {2}index\.html\n/);
  t.regex(printed, /2 files, 12288 bytes: /);
  t.is(readFileSync(out).length, 12288);
  rmSync(out);
  const failed = spawnSync(process.execPath, [...words, path.join(folder, "none")], { encoding: "utf8" });
  t.is(failed.status, 1);
  t.regex(failed.stderr, /\[typevisor\] there is no file or folder .*none\n/);
  t.throws(() => readFileSync(out));
});

test("sources are looked for where packages come from, in either format of apt's lists", (t) => {
  const deb822 =
    "Types: deb\n# a comment\nURIs: http://x/debian\nSuites: a b\nSigned-By: /k.gpg\n\nTypes: deb deb-src\nURIs: y\n";
  t.is(
    sourcesForSources(deb822),
    "Types: deb-src\n# a comment\nURIs: http://x/debian\nSuites: a b\nSigned-By: /k.gpg\n\nTypes: deb-src\nURIs: y\n",
  );
  t.is(
    listForSources(
      "# c\ndeb [signed-by=/k] http://x a main\ndeb-src [signed-by=/k] http://x a main\n deb http://y b main\n",
    ),
    "deb-src [signed-by=/k] http://x a main\ndeb-src http://y b main\n",
  );
  t.is(listForSources("# nothing\n"), "");
});
