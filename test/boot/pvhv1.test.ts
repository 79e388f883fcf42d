/** PVHv1 guests, on AMD-V and on VT-x: ours, which checks what it is started with and every call that such guests make. */
import { writeFileSync } from "node:fs";
import path from "node:path";
import test from "ava";
import { buildFolder } from "../../scripts/paths.ts";
import { bootToPrompt, GUEST_MS, MACHINES, powerOff } from "./support/boot.ts";
import { expectFrames, framesWarm } from "./support/frames.ts";

/** What the guest expects of its ramdisk: each byte is its place. Not a whole number of pages. */
function ramdisk(): string {
  const file = path.join(buildFolder, "places.bin");
  writeFileSync(
    file,
    Uint8Array.from({ length: 300_001 }, (_, at) => at & 0xff),
  );
  return file;
}

for (const kind of MACHINES) {
  test.serial(`a PVHv1 guest finds all as it should be on ${kind}`, async (t) => {
    const machine = await bootToPrompt(t, { kind, modules: [{ name: "places", file: ramdisk() }] });
    const before = await framesWarm(machine, "pvhv1");
    for (const [options, said] of [
      ["", "module 0 (0 bytes)\n  command line: \n"],
      ["--memory 64 --ramdisk places --cmdline 'one two'", "(300001 bytes)\n  command line: one two\n"],
    ] as const) {
      const printed = await machine.command(`create --kernel pvhv1 ${options} --wait`, GUEST_MS);
      t.true(printed.includes(said), printed);
      t.regex(
        printed,
        /Device page at feffa000: 1 devices\n  type 1, id 0, backend 0, [^]*TYPEVISOR-GUEST: PASS pvhv1/,
      );
      t.regex(printed, /has ended: poweroff/);
    }
    await expectFrames(t, machine, before, "after both");
    await powerOff(t, machine);
  });
}
