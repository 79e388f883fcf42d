/** The build's own rules: what it refuses, and the formats that the machine reads. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "ava";
import { DOM0_WINDOW } from "../../../abi/domain0-layout.ts";
import { engineExportsHeader, readEngineNames } from "../../../scripts/build/engine-names.ts";
import { withBuildLock } from "../../../scripts/build/lock.ts";
import { ioImage } from "../../../scripts/build/io-image.ts";
import { encodeSnapshot, evaluateControl } from "../../../scripts/build/snapshot.ts";
import { BuildError, Lane } from "../../../scripts/build/task.ts";
import { rejectionTracker, rewriteGeneratedC } from "../../../scripts/build/wasm2c.ts";

const PAGE = 4096;

test("the engine's exports have their C names, mangled as wasm2c does it", (t) => {
  const header = engineExportsHeader(readEngineNames(), { some_place: 160 });
  t.regex(header, /^#define QTS_Call Z_engineZ_\w+$/m);
  t.regex(header, /^#define engine_malloc Z_engineZ_\w+$/m);
  t.regex(header, /^#define engine_import_hostCall Z_aZ_s$/m);
  t.notRegex(header, /Z_engineZ_.*\$/);
  t.regex(header, /^#define engine_some_place 160u$/m);
});

test("the place of the promise rejection hook is read off its two calls, which must agree", (t) => {
  const call = (hook: number, argument: number) =>
    `w2c_i0 = i32_load(instance->Z_aZ_a, (u64)(w2c_i0) + ${hook}u);\n` +
    `w2c_i4 = i32_load(instance->Z_aZ_a, (u64)(w2c_i4) + ${argument}u);\n` +
    `CALL_INDIRECT(instance->w2c_T0, void (*)(void*, u32, u64, u64, u32, u32), 65, w2c_i5);\n`;
  t.is(rejectionTracker(call(160, 164) + call(160, 164)), 160);
  for (const other of [call(160, 164), call(160, 164) + call(161, 165), call(160, 170) + call(160, 170), ""]) {
    t.throws(() => rejectionTracker(other), { message: /promise rejection hook/ });
  }
});

test("a snapshot holds exactly the pages that are not all zero", (t) => {
  const memory = new ArrayBuffer(5 * PAGE);
  new Uint8Array(memory)[PAGE + 7] = 1;
  new Uint8Array(memory)[4 * PAGE + PAGE - 1] = 2;
  const encoded = encodeSnapshot(memory);
  t.is(encoded.length, 3 * PAGE);
  t.deepEqual(
    [0, 4, 8, 12, 16, 20].map((offset) => encoded.readUInt32LE(offset)),
    [2, 5, 0, 0, 1, 4],
  );
  t.is(encoded[PAGE + 7], 1);
  t.is(encoded[2 * PAGE + PAGE - 1], 2);
});

/** A module in WebAssembly's binary format with a memory import, one data segment, and the exports named. */
function ioModule(exports: string[], importFrom = "env"): Uint8Array {
  const text = (value: string): number[] => [value.length, ...Buffer.from(value)];
  const section = (id: number, content: number[]): number[] => [id, content.length, ...content];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 0, 0]),
    ...section(2, [1, ...text(importFrom), ...text("memory"), 2, 0, 1]),
    ...section(3, [1, 0]),
    ...section(7, [exports.length, ...exports.flatMap((name) => [...text(name), 0, 0])]),
    ...section(10, [1, 3, 0, 0, 0x0b]), // unreachable: it must not run
    ...section(11, [1, 0, 0x41, 0xc0, 0x00, 0x0b, 2, 7, 9]),
  ]);
}

test("the I/O domain's image is its data segments; a module that the shim could not start is refused", (t) => {
  const image = ioImage(ioModule(["start", "turn"]));
  t.is(image.readUInt32LE(0), 1, "pages");
  t.is(image.readUInt32LE(16), 0, "the first one");
  t.deepEqual([...image.subarray(PAGE + 0x40, PAGE + 0x43)], [7, 9, 0]);
  t.throws(() => ioImage(ioModule(["start"])), { message: /exports no turn/ });
  t.throws(() => ioImage(ioModule(["start", "turn"], "other")), { message: /imports other\.memory/ });
});

test("addresses in the snapshot do not depend on the bundle", (t) => {
  const small = evaluateControl("globalThis.turn = () => 1;");
  const large = evaluateControl(
    "const kept = Array.from({ length: 20000 }, (_, i) => ({ i })); globalThis.turn = () => kept.length;",
  );
  t.deepEqual(small.meta, large.meta);
});

test("the snapshot's turn can be called in a fresh copy of its memory", (t) => {
  const { engine, meta } = evaluateControl("let n = 41; globalThis.turn = () => ++n;");
  const result = engine.call("QTS_Call", meta.context, meta.turn, meta.globalThis, 0, 0);
  t.is(engine.valueText(meta.context, result), "42");
});

test("the machine's window and host functions are there, and nothing more is needed to evaluate", (t) => {
  const { engine, meta } = evaluateControl(
    "globalThis.turn = () => [typeof hypercall, typeof exchange, machineWindow.byteLength].join();",
  );
  const result = engine.call("QTS_Call", meta.context, meta.turn, meta.globalThis, 0, 0);
  t.is(engine.valueText(meta.context, result), `function,function,${0xfff00000 - DOM0_WINDOW}`);
});

for (const [title, bundle, message] of [
  [
    "an exception comes with its stack",
    "function f() { throw new Error('no'); }\nf();",
    /Error: no\n {4}at f \(control\.js:1/,
  ],
  ["a syntax error comes with its place", "let x = (;", /SyntaxError.*\n {4}at control\.js:1/],
  ["a hypercall is refused", "hypercall();", /called hypercall\(\) while it was evaluated/],
  ["turn is missing", "globalThis.other = 1;", /does not define globalThis\.turn/],
] as const) {
  test(`evaluating for the snapshot: ${title}`, (t) => {
    const error = t.throws(() => evaluateControl(bundle), { instanceOf: BuildError });
    t.regex(error?.message ?? "", message);
  });
}

test("wasm2c's output is refused when it is not what the rewrites were made for", (t) => {
  const good = "a &mem->data[addr] b &mem->data[addr] c\n#define wasm_asm __asm__\n";
  t.is(rewriteGeneratedC(good, "BASE"), "a &((u8*)BASE)[addr] b &((u8*)BASE)[addr] c\n#define wasm_asm(X)\n");
  t.throws(() => rewriteGeneratedC("a &mem->data[addr]", "BASE"), { message: /1 times .* instead of 2/ });
});

test("a lane runs no more than its width at once", async (t) => {
  const lane = new Lane(2);
  let running = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: 7 }, () =>
      lane.run(async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
      }),
    ),
  );
  t.is(most, 2);
});

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-lock-"));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

for (const [what, content] of [
  ["that is empty", ""],
  ["that says nothing", "0"],
  ["of a process that is gone", "999999999"],
]) {
  test(`a build lock ${what} is taken over`, async (t) => {
    const file = path.join(folder, what!.replaceAll(" ", "-"));
    writeFileSync(file, content!);
    t.is(await withBuildLock(() => Promise.resolve(7), file), 7);
    t.false(existsSync(file));
  });
}

test("one build waits for the other", async (t) => {
  const file = path.join(folder, "two");
  const order: string[] = [];
  let finish = () => {};
  const first = withBuildLock(async () => {
    order.push("first");
    await new Promise<void>((resolve) => (finish = resolve));
    order.push("done");
  }, file);
  await new Promise((resolve) => setImmediate(resolve));
  const second = withBuildLock(() => Promise.resolve(order.push("second")), file);
  finish();
  await Promise.all([first, second]);
  t.deepEqual(order, ["first", "done", "second"]);
});

test("a folder that cannot be written is refused in words, at once", async (t) => {
  // A file in the place of the folder: permissions do not stop root.
  const blocked = path.join(folder, "file");
  writeFileSync(blocked, "");
  await t.throwsAsync(
    withBuildLock(() => Promise.resolve(), path.join(blocked, "build.lock")),
    { instanceOf: BuildError, message: /^the build cannot write into .*file: E/ },
  );
});
