/** Compressed kernels: guests start from them on both machines, and errors in one are reported and have no other effect. */
import test from "ava";
import { CODEC_GZIP, CODEC_OWN_BYTES } from "../../abi/codec.ts";
import { CallPage, SANDBOX_ABSENT, SANDBOX_CODEC, SANDBOX_NEW, SANDBOX_STOPPED } from "../../abi/software.ts";
import { DOM0_CALL_PAGE } from "../../abi/domain0-layout.ts";
import { compress } from "../unit/codec/data.ts";
import { makeBzImage, withSize } from "../unit/toolstack/make-bzimage.ts";
import { bootToPrompt, COMMAND_MS, evaluate, GUEST_MS, MACHINES, powerOff } from "./support/boot.ts";
import { asModules, Kernel } from "./support/damaged.ts";
import { expectFrames, framesWarm } from "./support/frames.ts";

const PASS = /TYPEVISOR-GUEST: PASS hello/;

function packed(kernel: Uint8Array): Record<"gzip" | "lz4" | "xz" | "zstd", Buffer> {
  return {
    gzip: compress("gzip", ["-n9"], kernel),
    lz4: compress("lz4", ["-l", "-9", "-c", "-q"], kernel),
    xz: compress("xz", ["--check=crc32", "--x86", "--lzma2=dict=32MiB", "-c"], kernel),
    zstd: compress("zstd", ["-q", "--ultra", "-22", "-c"], kernel),
  };
}

/** bzImages of our demo guest. */
function images(): Record<string, Buffer> {
  const kernel = new Kernel().bytes;
  const { gzip, ...others } = packed(kernel);
  const sized = Object.entries(others).map(([name, bytes]) => [name, makeBzImage(withSize(bytes, kernel.length))]);
  return { gzip: makeBzImage(gzip), ...Object.fromEntries(sized) };
}

for (const kind of MACHINES) {
  test.serial(`${kind}: guests start from kernels compressed in every way, and their memory comes back`, async (t) => {
    const files = images();
    const machine = await bootToPrompt(t, { kind, modules: asModules(t, files) });
    t.regex(await machine.command("create --kernel lz4 --wait", GUEST_MS), PASS);
    const before = await framesWarm(machine);
    for (const name of Object.keys(files)) {
      t.regex(await machine.command(`create --kernel ${name} --wait`, GUEST_MS), PASS, name);
    }
    await expectFrames(t, machine, before, "after the guests");
    await powerOff(t, machine);
  });

  test.serial(`${kind}: a fault in the codec is a status, and domain 0 and a guest go on`, async (t) => {
    const machine = await bootToPrompt(t, { kind, modules: asModules(t, images()) });
    await machine.command("create --kernel spin", COMMAND_MS);
    // No memory was given to the codec: its first access faults.
    const words = [CODEC_GZIP, CODEC_OWN_BYTES, 100, 2 * CODEC_OWN_BYTES, 100];
    const at = DOM0_CALL_PAGE + CallPage.sandboxArguments;
    const write = `${JSON.stringify(words)}.forEach((word, i) => memory.store32(${at} + 4 * i, word))`;
    const call = (number: number) =>
      `(memory.store32(${DOM0_CALL_PAGE + CallPage.sandbox}, ${number >>> 0}), sandbox(), ` +
      `memory.load32(${DOM0_CALL_PAGE + CallPage.sandboxStatus}))`;
    t.is(await evaluate(machine, `(${write}, ${call(SANDBOX_CODEC | SANDBOX_NEW)})`), SANDBOX_STOPPED);
    t.is(await evaluate(machine, call(SANDBOX_CODEC)), SANDBOX_ABSENT);
    t.is(await evaluate(machine, call((99 | SANDBOX_NEW) >>> 0)), SANDBOX_ABSENT);
    t.regex(machine.output, /Domain 0's codec: page fault writing its linear address 0xe[0-9a-f]{7} in /);
    t.regex(await machine.command("create --kernel xz --wait", GUEST_MS), PASS);
    t.regex(await machine.command("list", COMMAND_MS), /^spin /m);
    t.notRegex(machine.output, /Domain 0 is restarted/);
    await powerOff(t, machine);
  });
}

test.serial("bzImages with something wrong are refused in words, and nothing of them stays", async (t) => {
  const kernel = new Kernel().bytes;
  const { gzip, lz4, xz, zstd } = packed(kernel);
  const size = kernel.length;
  const spoilt = Buffer.from(gzip);
  spoilt[gzip.length - 6]! ^= 1;
  const none = new Kernel().setNoteType(99).bytes;
  const cases: Record<string, [Buffer, RegExp]> = {
    good: [makeBzImage(gzip), PASS],
    cut: [
      makeBzImage(withSize(xz.subarray(0, xz.length / 2), size)),
      /cut: its kernel, compressed with xz, is truncated/,
    ],
    short: [makeBzImage(gzip).subarray(0, 3000), /short: truncated: the file ends inside its compressed kernel/],
    checksum: [makeBzImage(spoilt), /checksum: its kernel, compressed with gzip, is damaged: a checksum is wrong/],
    bomb: [makeBzImage(withSize(zstd, 4096)), /bomb: .* it unpacks to more than the 4096 bytes it announces/],
    less: [makeBzImage(withSize(lz4, 4096 + size)), /less: .* it unpacks to less than the \d+ bytes it announces/],
    vast: [makeBzImage(withSize(lz4, 2 ** 31)), /vast: its kernel announces 2 GiB unpacked: at most/],
    big: [makeBzImage(withSize(lz4, 470 * 2 ** 20)), /big: not enough memory to unpack it: it takes \d+ MiB/],
    bzip2: [makeBzImage(compress("bzip2", ["-c"], kernel)), /bzip2: its kernel is compressed with bzip2; gzip, LZ4,/],
    "no-note": [
      makeBzImage(compress("gzip", ["-nc"], none)),
      /no-note: .*PVH entry \(Linux: CONFIG_PVH=y; it has no XEN/,
    ],
  };
  const modules = asModules(t, Object.fromEntries(Object.entries(cases).map(([name, [bytes]]) => [name, bytes])));
  const machine = await bootToPrompt(t, { modules });
  t.regex(await machine.command("create --kernel good --wait", GUEST_MS), PASS);
  // The largest that was tried also needs page tables for the codec's window, which stay.
  await machine.command("create --kernel big --wait", GUEST_MS);
  const before = await framesWarm(machine);
  for (const [name, [, says]] of Object.entries(cases)) {
    const printed = await machine.command(`create --kernel ${name} --wait`, GUEST_MS);
    t.regex(printed, says);
    t.notRegex(printed, /^\s+at /m);
  }
  await expectFrames(t, machine, before, "after the refusals");
  await powerOff(t, machine);
});
