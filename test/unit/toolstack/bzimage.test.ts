/** bzImages: errors in headers are reported, and domains are created from the payload, or completely removed. */
import test from "ava";
import { gzipSync } from "node:zlib";
import { SHUTDOWN_poweroff } from "../../../abi/sched.ts";
import { __HYPERVISOR_memory_op } from "../../../abi/xen.ts";
import { ENOMEM } from "../../../abi/errno.ts";
import { XENMEM_decrease_reservation } from "../../../abi/memory.ts";
import { BuildError } from "../../../toolstack/control/builder/build-error.ts";
import { findPayload, isBzImage } from "../../../toolstack/control/builder/bzimage.ts";
import type { Image } from "../../../toolstack/control/builder/image.ts";
import { compress } from "../codec/data.ts";
import { FakeMachine } from "./fake-machine.ts";
import { BEYOND_RAM } from "./fake-session.ts";
import { type BzImageOptions, makeBzImage, PAYLOAD_OFFSET, withSize } from "./make-bzimage.ts";
import { makeElf } from "./make-elf.ts";

const code = Buffer.from("code of the guest");
const vmlinux = makeElf({ segments: [{ address: 0x100000, data: code, memorySize: 0x5000 }] }).bytes;

const lz4 = (data: Uint8Array) => compress("lz4", ["-l", "-c", "-q"], data);
const xz = (data: Uint8Array) => compress("xz", ["--check=crc32", "--x86", "--lzma2=dict=32MiB", "-c"], data);
const zstd = (data: Uint8Array) => compress("zstd", ["-q", "-19", "-c"], data);

/** Payloads as Linux's build makes them. */
const PAYLOADS: Record<string, (data: Uint8Array) => Buffer> = {
  gzip: (data) => gzipSync(data),
  LZ4: (data) => withSize(lz4(data), data.length),
  xz: (data) => withSize(xz(data), data.length),
  zstd: (data) => withSize(zstd(data), data.length),
};

function image(bytes: Uint8Array): Image {
  return {
    name: "vmlinuz",
    size: bytes.length,
    address: 0xc1000000,
    read: (offset, length) => Uint8Array.from(bytes.subarray(offset, offset + length)),
  };
}

for (const [name, pack] of Object.entries(PAYLOADS)) {
  test(`a payload of ${name} is found with its size`, (t) => {
    const payload = pack(vmlinux);
    const file = image(makeBzImage(payload));
    t.true(isBzImage(file));
    const found = findPayload(file);
    if ("read" in found) return t.fail("it is compressed");
    t.like(found, { compression: name, offset: 3 * 512 + PAYLOAD_OFFSET, unpackedSize: vmlinux.length });
    t.is(found.size, name === "gzip" ? payload.length : payload.length - 4);
  });
}

test("a payload that is not compressed is the kernel itself", (t) => {
  const found = findPayload(image(makeBzImage(withSize(vmlinux, vmlinux.length))));
  t.true("read" in found);
  if ("read" in found) t.is(found.address, 0xc1000000 + 3 * 512 + PAYLOAD_OFFSET);
});

const gzip = gzipSync(vmlinux);
const refused: [string, Uint8Array, RegExp, BzImageOptions?][] = [
  ["an old boot protocol", gzip, /boot protocol 2\.07, too old/, { version: 0x207 }],
  [
    "memtest86+, which has no kernel inside",
    gzip,
    /it has Linux's boot header, but no Linux kernel inside: .*such as memtest86\+/,
    { version: 0x20c, payloadLength: 0 },
  ],
  ["a zImage", gzip, /a Linux zImage; a bzImage or a vmlinux is needed/, { loadflags: 0 }],
  ["a payload of a size alone", gzip, /damaged: its payload has 4 bytes/, { payloadLength: 4 }],
  [
    "a payload beyond the end",
    gzip,
    /truncated: the file ends inside its compressed kernel/,
    { payloadLength: 2 ** 31 },
  ],
  ["bzip2", compress("bzip2", ["-c"], vmlinux), /compressed with bzip2; gzip, LZ4, xz and zstd are supported/],
  ["LZMA", compress("xz", ["--format=lzma", "-c"], vmlinux), /compressed with LZMA; gzip/],
  ["LZO", Buffer.from("\x89LZO\0\r\n\x1a\n and so on", "latin1"), /compressed with LZO; gzip/],
  ["anything else", Buffer.from("What is this?"), /compressed in an unknown format, or damaged/],
];
for (const [what, payload, message, options] of refused) {
  test(`refused with reason: ${what}`, (t) => {
    const error = t.throws(() => findPayload(image(makeBzImage(payload, options))), { instanceOf: BuildError });
    t.regex(error.message, /^vmlinuz: /);
    t.regex(error.message, message);
  });
}

test("a bzImage cut off within its header is refused; shorter, it is none", (t) => {
  const whole = makeBzImage(gzip);
  for (let length = 0; length < 0x250; length++) {
    const part = image(whole.subarray(0, length));
    t.is(isBzImage(part), length >= 0x206);
    if (length >= 0x206)
      t.throws(() => findPayload(part), { instanceOf: BuildError, message: /ends inside its Linux/ });
  }
});

const exec = (commands: string) => `exec=${encodeURIComponent(commands)}`;

async function run(commands: string, modules: Record<string, Uint8Array>, freeMib?: number) {
  const machine = new FakeMachine(exec(commands), freeMib);
  for (const [name, data] of Object.entries(modules)) machine.addModule(name, data);
  machine.guest = (domain) => machine.shutdownGuest(domain, SHUTDOWN_poweroff);
  const free = machine.freePages;
  await machine.boot();
  for (let i = 0; i < 50 && machine.ended === null; i++) await machine.pass(100);
  return { machine, lost: free - machine.freePages, output: machine.takeOutput().replaceAll("\r\n", "\n") };
}

for (const [name, pack] of Object.entries(PAYLOADS)) {
  test(`create from a kernel in ${name}: the guest gets the vmlinux inside, and nothing stays behind`, async (t) => {
    const { machine, lost, output } = await run("create --kernel k --memory 2 --paused; destroy 1; create --kernel k", {
      k: makeBzImage(pack(vmlinux)),
    });
    t.is(output, "1\n2\nTYPEVISOR-EXEC: 3 ok, 0 failed\n");
    t.deepEqual(Buffer.from(machine.domains.get(2)!.read(0x100000, code.length)), code);
    t.is(lost, (32 * 1024 * 1024) / 4096 + BEYOND_RAM);
    t.is(machine.domain0.frames.size, 0);
  });
}

const noise = Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * 7919) % 251));
const elf32 = makeElf({ wide: false, entry: null }).bytes;
const damaged: [string, Uint8Array, RegExp][] = [
  ["no ELF inside", makeBzImage(gzipSync(noise)), /k: not an ELF file/],
  [
    "no PVH note",
    makeBzImage(PAYLOADS.LZ4!(makeElf({ entry: null }).bytes)),
    /not a PVH kernel \(Linux: CONFIG_PVH=y\)/,
  ],
  ["a 32-bit kernel without PVH note", makeBzImage(PAYLOADS.xz!(elf32)), /not a PVH kernel/],
  ["an ARM kernel", makeBzImage(PAYLOADS.zstd!(makeElf({ machine: 183 }).bytes)), /64-bit ARM; x86 is needed/],
  [
    "too much announced",
    makeBzImage(withSize(lz4(vmlinux), 0xfffffff0)),
    /announces 4\.0 GiB unpacked: at most 478\.6 MiB/,
  ],
  [
    "more than announced",
    makeBzImage(withSize(xz(Buffer.alloc(1 << 20)), 5000)),
    /more than the 5000 bytes it announces/,
  ],
  ["less than announced", makeBzImage(withSize(zstd(vmlinux), 5000)), /less than the 5000 bytes it announces/],
  ["a cut payload", makeBzImage(withSize(lz4(vmlinux).subarray(0, 50), vmlinux.length)), /LZ4, is truncated/],
  ["a wrong checksum", makeBzImage(spoilt(gzip, gzip.length - 8)), /gzip, is damaged: a checksum is wrong/],
  ["damage inside", makeBzImage(withSize(spoilt(zstd(noise), 60), noise.length)), /zstd, is damaged/],
];
function spoilt(bytes: Uint8Array, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at]! ^= 0xff;
  return copy;
}
for (const [what, file, message] of damaged) {
  test(`create refuses ${what}; memory is back and the next command runs`, async (t) => {
    const { machine, lost, output } = await run("create --kernel k; create --kernel good --paused; destroy 1", {
      k: file,
      good: makeBzImage(gzip),
    });
    t.regex(output, message);
    t.regex(output, /^create: k: .*\n1\nTYPEVISOR-EXEC: 2 ok, 1 failed\n$/);
    t.is(lost, 0);
    t.is(machine.domain0.frames.size, 0);
  });
}

test("no memory to unpack a kernel is said with what it takes, and what was taken is back", async (t) => {
  const payload = withSize(lz4(Buffer.alloc(9 << 20)), 9 << 20);
  const { lost, output } = await run("create --kernel k --memory 1", { k: makeBzImage(payload) }, 6);
  t.regex(output, /k: not enough memory to unpack it: it takes 10 MiB for the time .*, 6 MiB are free/);
  t.is(lost, 0);
});

test("no memory for the guest itself gives back what unpacking took", async (t) => {
  const { lost, output } = await run("create --kernel k --memory 64", { k: makeBzImage(gzip) }, 32);
  t.regex(output, /not enough memory: the guest is to have 64 MiB/);
  t.is(lost, 0);
});

test("a bad name is refused before anything is unpacked", async (t) => {
  const { output } = await run("create --kernel k --name Domain-0", { k: makeBzImage(spoilt(gzip, 30)) });
  t.regex(output, /a domain named "Domain-0" exists already/);
});

test("two kernels asked for at once are unpacked one after the other", async (t) => {
  const both =
    "js Promise.all(modules.map((kernel) => domains.create({ kernel, commandLine: '', memoryMib: 2, vcpus: 1 })))" +
    ".then((made) => made.map(({ name }) => name).join())";
  const { machine, output } = await run(both, { a: makeBzImage(gzip), b: makeBzImage(PAYLOADS.zstd!(vmlinux)) });
  t.regex(output, /"a,b"|^a,b$/m);
  t.is(machine.domain0.frames.size, 0);
});

test("a refusal of the hypervisor to take the codec's memory back is an error, and the next kernel can be unpacked", async (t) => {
  const machine = new FakeMachine("");
  machine.addModule("k", makeBzImage(gzip));
  await machine.boot();
  machine.failNext = { op: __HYPERVISOR_memory_op, command: XENMEM_decrease_reservation, errno: ENOMEM };
  for (const line of ["create --kernel k --paused\r", "create --kernel k --paused\r"]) {
    await machine.type(line);
    await machine.pass(100);
  }
  const output = machine.takeOutput();
  t.regex(output, /create: the hypervisor refused XENMEM_decrease_reservation: ENOMEM/);
  t.regex(output, /\n2\r\n/);
});
