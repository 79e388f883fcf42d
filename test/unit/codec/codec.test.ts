/** The codec that boots, on what Debian's compressors make and on what no compressor makes. */
import test from "ava";
import {
  CODEC_CHECKSUM,
  CODEC_CONTINUE,
  CODEC_DAMAGED,
  CODEC_DONE,
  CODEC_MORE,
  CODEC_NOT_BEGUN,
  CODEC_NOT_FORMAT,
  CODEC_TOO_LONG,
  CODEC_TOO_SHORT,
  CODEC_TRUNCATED,
  CODEC_UNSUPPORTED,
} from "../../../abi/codec.ts";
import { Random } from "../../sim/random.ts";
import { Codec, codecModule, type CodecExports, FORMATS, type Format } from "./codec.ts";
import { compress, COMPRESSORS, sampleData } from "./data.ts";

const module = codecModule();
const codec = async () => new Codec(await module);

/** What a fault may look like from outside: never a trap, never DONE with other bytes. */
const REFUSALS = new Set([
  CODEC_NOT_FORMAT,
  CODEC_TRUNCATED,
  CODEC_DAMAGED,
  CODEC_TOO_LONG,
  CODEC_TOO_SHORT,
  CODEC_CHECKSUM,
  CODEC_UNSUPPORTED,
]);

const SAMPLES = {
  nothing: Buffer.alloc(0),
  "one byte": Buffer.from("x"),
  "a line": Buffer.from("Hello, Xen!\n"),
  zeroes: Buffer.alloc(3_000_000),
  noise: sampleNoise(300_000),
  mixed: sampleData(1, 700_000),
  "more than a step": sampleData(2, 2_500_000),
};

function sampleNoise(size: number): Buffer {
  const random = new Random(7);
  return Buffer.from(Array.from({ length: size }, () => random.below(256)));
}

for (const { name, format, command, args } of COMPRESSORS) {
  test(`${name}: every sample comes back`, async (t) => {
    const c = await codec();
    for (const [what, data] of Object.entries(SAMPLES)) {
      const { status, output } = c.run(format, compress(command, args, data), data.length);
      t.is(status, CODEC_DONE, what);
      t.true(data.equals(output), what);
    }
  });

  test(`${name}: a wrong size is noticed, in both directions`, async (t) => {
    const c = await codec();
    for (const data of [SAMPLES["a line"], SAMPLES.mixed]) {
      const packed = compress(command, args, data);
      t.is(c.run(format, packed, data.length - 1).status, CODEC_TOO_LONG);
      t.is(c.run(format, packed, data.length + 1).status, CODEC_TOO_SHORT);
      t.is(c.run(format, packed, 0).status, CODEC_TOO_LONG);
    }
  });

  test(`${name}: cut off anywhere it is refused`, async (t) => {
    const c = await codec();
    const data = SAMPLES.mixed.subarray(0, 40_000);
    const packed = compress(command, args, data);
    const random = new Random(3);
    const cuts = [...Array(40).keys()].concat(Array.from({ length: 60 }, () => random.below(packed.length)));
    for (const length of cuts) {
      const { status } = c.run(format, packed.subarray(0, length), data.length);
      t.true(REFUSALS.has(status), `${length} of ${packed.length} bytes: status ${status}`);
    }
  });

  test(`${name}: with any byte changed it is refused, or a format without checksum notices nothing; it never traps`, async (t) => {
    const c = await codec();
    const data = SAMPLES.mixed.subarray(0, 20_000);
    const packed = compress(command, args, data);
    const checked = !/lz4|without a check|no-check/.test(name);
    const random = new Random(4);
    for (let i = 0; i < 150; i++) {
      const damaged = Buffer.from(packed);
      const at = i < 50 ? i % packed.length : random.below(packed.length);
      damaged[at]! ^= 1 + random.below(255);
      const { status, output } = c.run(format, damaged, data.length);
      // Names, times and reserved fields of a header mean nothing to the data.
      const harmless = status === CODEC_DONE && (!checked || data.equals(output));
      t.true(harmless || REFUSALS.has(status), `byte ${at}: status ${status}`);
    }
  });
}

test("bytes that no compressor wrote, behind a right beginning, are refused without a trap", async (t) => {
  const c = await codec();
  const random = new Random(5);
  const beginnings: [Format, number[]][] = [
    ["gzip", [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]],
    ["lz4", [0x02, 0x21, 0x4c, 0x18, 200, 0, 0, 0]],
    ["zstd", [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58]],
  ];
  // A stream header, and a block header with LZMA2 alone, both with their checksums.
  const xz = compress("xz", ["-T1", "--check=none", "-c"], SAMPLES["a line"]).subarray(0, 24);
  beginnings.push(["xz", [...xz]]);
  for (const [format, beginning] of beginnings) {
    const seen = new Set<number>();
    for (let i = 0; i < 500; i++) {
      // Zstandard's blocks are rare among random bytes: give their headers, and let the rest be random.
      const rest = Array.from({ length: 220 }, () => random.below(256));
      if (format === "zstd") rest.splice(0, 3, 5 + ((200 << 3) & 0xff), 200 >> 5, 0);
      if (format === "xz") rest.splice(0, 6, 0xe0, 0x10, 0, 0, 200, random.below(225));
      if (format === "xz") rest[6] = 0;
      const { status } = c.run(format, Uint8Array.from([...beginning, ...rest]), 100_000);
      seen.add(status);
      t.true(REFUSALS.has(status), `${format}: status ${status}`);
    }
    t.true(seen.has(CODEC_DAMAGED), `${format}: ${[...seen].join()}`);
  }
});

test("bombs end where the announced size ends", async (t) => {
  const c = await codec();
  const bomb = Buffer.alloc(64 << 20);
  for (const { name, format, command, args } of COMPRESSORS.filter(({ name }) => /-9|-19|as Linux/.test(name))) {
    const { status, output, steps } = c.run(format, compress(command, args, bomb), 4096);
    t.is(status, CODEC_TOO_LONG, name);
    t.is(output.length, 4096);
    t.true(steps <= 1, `${name}: ${steps} steps`);
  }
});

test("formats are told by their first bytes, and options that are not supported are named as such", async (t) => {
  const c = await codec();
  const data = SAMPLES.mixed.subarray(0, 5000);
  for (const format of Object.keys(FORMATS) as Format[]) {
    t.is(c.run(format, data, data.length).status, CODEC_NOT_FORMAT);
    t.is(c.run(format, new Uint8Array(0), 10).status, CODEC_TRUNCATED);
  }
  const xz = (...args: string[]) => compress("xz", ["-T1", ...args, "-c"], data);
  t.is(c.run("xz", xz("--check=sha256"), data.length).status, CODEC_UNSUPPORTED);
  t.is(c.run("xz", xz("--arm", "--lzma2"), data.length).status, CODEC_UNSUPPORTED);
  t.is(c.run("xz", xz("--delta", "--lzma2"), data.length).status, CODEC_UNSUPPORTED);
  t.is(c.run("xz", xz("--x86=start=4096", "--lzma2"), data.length).status, CODEC_UNSUPPORTED);
});

test("several frames one behind the other, where the format has that", async (t) => {
  const c = await codec();
  const [a, b] = [SAMPLES.mixed.subarray(0, 9000), SAMPLES.mixed.subarray(9000, 30_000)];
  const skippable = Buffer.from([0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
  const zstd = (data: Uint8Array) => compress("zstd", ["-q", "-c"], data);
  const lz4 = (data: Uint8Array) => compress("lz4", ["-l", "-c", "-q"], data);
  for (const [format, packed] of [
    ["zstd", Buffer.concat([zstd(a), skippable, zstd(b)])],
    ["lz4", Buffer.concat([lz4(a), lz4(b)])],
  ] as const) {
    const { status, output } = c.run(format, packed, a.length + b.length);
    t.is(status, CODEC_DONE, format);
    t.true(Buffer.concat([a, b]).equals(output));
  }
  const gzip = compress("gzip", ["-nc"], a);
  t.is(c.run("gzip", Buffer.concat([gzip, Buffer.alloc(4)]), a.length).status, CODEC_DAMAGED);
});

test("gzip's optional header fields are passed over", async (t) => {
  const data = SAMPLES["a line"];
  const packed = compress("gzip", ["-nc"], data);
  const header = Buffer.from([0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 3]);
  const fields = Buffer.concat([Buffer.from([2, 0, 9, 9]), Buffer.from("name\0comment\0"), Buffer.from([1, 2])]);
  const all = Buffer.concat([header, fields, packed.subarray(10)]);
  const { status, output } = (await codec()).run("gzip", all, data.length);
  t.is(status, CODEC_DONE);
  t.true(data.equals(output));
});

test("a run works in steps, and there is none before it is begun or after it has ended", async (t) => {
  const data = SAMPLES["more than a step"];
  const packed = compress("zstd", ["-q", "-1", "-c"], data);
  t.true((await codec()).run("zstd", packed, data.length).steps > 2);
  const memory = new WebAssembly.Memory({ initial: 20 });
  const { call } = new WebAssembly.Instance(await module, { env: { memory } }).exports as unknown as CodecExports;
  const begin = (format: number, inputSize: number, outputSize: number) =>
    call(format, 0x60000, inputSize, 0x70000, outputSize, 0);
  const step = () => call(CODEC_CONTINUE, 0, 0, 0, 0, 0);
  t.is(step(), CODEC_NOT_BEGUN);
  t.is(begin(99, 10, 10), CODEC_UNSUPPORTED);
  new Uint8Array(memory.buffer).set(compress("lz4", ["-l", "-c", "-q"], Buffer.from("abc")), 0x60000);
  t.is(begin(FORMATS.lz4, 12, 3), CODEC_MORE);
  t.is(step(), CODEC_DONE);
  t.is(step(), CODEC_NOT_BEGUN);
});

test("the module asks for nothing but its memory", async (t) => {
  t.deepEqual(WebAssembly.Module.imports(await module), [{ module: "env", name: "memory", kind: "memory" }]);
});

test("memory that is not there ends the sandbox, and only that", async (t) => {
  const memory = new WebAssembly.Memory({ initial: 8 });
  const { call } = new WebAssembly.Instance(await module, { env: { memory } }).exports as unknown as CodecExports;
  t.throws(() => call(FORMATS.gzip, 0x10000000, 100, 0x20000000, 100, 0), { instanceOf: WebAssembly.RuntimeError });
});
