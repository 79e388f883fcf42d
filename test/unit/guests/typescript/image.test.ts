/** `chaos build`: the image that it makes, and what it refuses. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { buildApp } from "../../../../toolstack/cli/app/build.ts";
import { bundleProgram } from "../../../../toolstack/cli/app/bundle.ts";
import { withProgram } from "../../../../toolstack/cli/app/elf.ts";
import { mapStackBy, parseSourceMap } from "../../../../guests/typescript/runtime/guest/source-map.ts";
import { FakeGuest } from "./fake-guest.ts";

/** A folder with these files. */
function folder(t: ExecutionContext, files: Record<string, string>): string {
  const made = mkdtempSync(path.join(os.tmpdir(), "typevisor-image-"));
  t.teardown(() => rmSync(made, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(made, name)), { recursive: true });
    writeFileSync(path.join(made, name), text);
  }
  return made;
}

/** Program headers of type PT_LOAD: file offset, physical address, size in the file and in memory. */
function loads(image: Buffer): { offset: number; address: number; fileSize: number; memorySize: number }[] {
  const at = Number(image.readBigUInt64LE(32));
  return Array.from({ length: image.readUInt16LE(56) }, (_, i) => at + i * image.readUInt16LE(54))
    .filter((header) => image.readUInt32LE(header) === 1)
    .map((header) => {
      const [offset, address, fileSize, memorySize] = [8, 24, 32, 40].map((field) =>
        Number(image.readBigUInt64LE(header + field)),
      );
      return { offset: offset!, address: address!, fileSize: fileSize!, memorySize: memorySize! };
    });
}

test("the program is the last segment of the image, whole pages, with the files in it", async (t) => {
  const made = folder(t, { "app.ts": "console.log(1);", "files/a/b.txt": "the contents of a file" });
  const image = await buildApp({ file: path.join(made, "app.ts"), files: path.join(made, "files") });
  const segments = loads(image).sort((a, b) => a.address - b.address);
  const last = segments.at(-1)!;
  t.is(image.toString("latin1", last.offset, last.offset + 8), "\0TVPROG1");
  t.is(Number(image.readBigUInt64LE(last.offset + 8)), last.fileSize);
  t.is(last.fileSize, last.memorySize);
  t.is(last.offset + last.fileSize, image.length);
  t.is(last.fileSize % 4096, 0);
  t.true(image.subarray(last.offset).includes("the contents of a file"));
  for (let i = 1; i < segments.length; i++)
    t.true(segments[i - 1]!.address + segments[i - 1]!.memorySize <= segments[i]!.address);
});

test("stacks are told in the program's own places, of packages too", async (t) => {
  const made = folder(t, {
    "src/app.ts": 'import { deep } from "./lib/deep";\ninterface A {}\nconst a: A | undefined = undefined;\ndeep(a);\n',
    "src/lib/deep.ts": 'import thrower from "thrower";\nexport function deep(x: unknown) {\n  return thrower(x);\n}\n',
    "node_modules/thrower/index.js": "module.exports = function thrower(x) {\n  return x.property;\n};\n",
  });
  const { code, map } = await bundleProgram(path.join(made, "src/app.ts"));
  const guest = await FakeGuest.run(code.replace(/^[^{]*\{/, "").replace(/\};\s*$/, ""), { sourceMap: map });
  t.is(guest.ended, "crash");
  // The simulated guest evaluates it on one line; a real one shows the bundle's own lines, which are mapped here.
  const places = parseSourceMap(map);
  const at = (text: string): string => {
    const before = code.slice(0, code.indexOf(text)).split("\n");
    return mapStackBy(places, `at x (app.js:${before.length}:${before.at(-1)!.length + 1})`);
  };
  t.is(at("x.property"), "at x (node_modules/thrower/index.js:2:10)");
  t.regex(at("deep(a)"), /at x \(app\.ts:4:1\)/);
});

for (const [what, files, options, wanted] of [
  ["no program", {}, {}, /there is no file .*app\.ts/],
  ["a syntax error", { "app.ts": "let a = 1;\nlet b = (;\n" }, {}, /app\.ts:2:10: .*Unexpected/],
  [
    "a package that is not installed",
    { "app.ts": 'import "no-such-package-here";' },
    {},
    /app\.ts:1:8: .*no-such-package-here/,
  ],
  [
    "a module of Node's that is absent",
    { "app.ts": 'import "node:child_process";' },
    {},
    /app\.ts:1:8: "node:child_process" is neither/,
  ],
  ["a folder that is none", { "app.ts": "" }, { files: "nowhere" }, /--files .*nowhere: there is no such folder/],
] as [string, Record<string, string>, { files?: string }, RegExp][]) {
  test(`refused: ${what}`, async (t) => {
    const made = folder(t, files);
    const given = options.files === undefined ? {} : { files: path.join(made, options.files) };
    await t.throwsAsync(buildApp({ file: path.join(made, "app.ts"), ...given }), { message: wanted });
  });
}

test("an image without a place for a program is refused", (t) => {
  t.throws(() => withProgram(Buffer.from("no image"), Buffer.alloc(4096)), { message: /no ELF64 image/ });
});
