/** Guests that nobody here wrote: PVH images out of Debian's packages. Skipped by name where they cannot be fetched. */
import path from "node:path";
import test from "ava";
import { unpackedPackage } from "../../scripts/packages.ts";
import { bootToPrompt, COMMAND_MS, GUEST_MS, MACHINES, powerOff } from "./support/boot.ts";
import { expectFrames, frames } from "./support/frames.ts";

const IMAGE = "usr/lib/grub-xen/grub-i386-xen_pvh.bin";

function findGrub(): { file: string } | { missing: string } {
  try {
    return { file: path.join(unpackedPackage("grub-xen-host"), IMAGE) };
  } catch (error) {
    return { missing: (error as Error).message.split("\n").at(-1)! };
  }
}

const grub = findGrub();
const withGrub = "file" in grub ? test.serial : test.skip;
const why = "file" in grub ? "" : ` (${grub.missing})`;

for (const kind of MACHINES) {
  withGrub(`GRUB's own PVH image, a 32-bit guest, comes to its prompt and halts on ${kind}${why}`, async (t) => {
    const modules = "file" in grub ? [{ name: "grub", file: grub.file }] : [];
    const machine = await bootToPrompt(t, { kind, modules });
    // The first one also touches domain 0's own buffers for good. In Bochs one must do: GRUB knows no way to measure the
    // time stamp counter there, takes it for 16 times as fast and waits accordingly.
    let before = {};
    const rounds = kind === "bochs-vmx" ? [1] : [1, 2];
    for (const round of rounds) {
      await machine.command("create --kernel grub --memory 128", COMMAND_MS);
      machine.send(`console ${round}\r`);
      await machine.waitFor("grub> ", GUEST_MS, "GRUB's prompt");
      machine.send("echo made for $grub_cpu-$grub_platform\r");
      await machine.waitFor("made for i386-xen_pvh", COMMAND_MS, "GRUB's answer");
      machine.send("halt\r");
      await machine.waitFor(`domain ${round} (grub) has ended: poweroff`, COMMAND_MS);
      await machine.waitFor("typevisor> ", COMMAND_MS);
      if (round === 1) before = await frames(machine);
    }
    await expectFrames(t, machine, before, "after the last one");
    await powerOff(t, machine);
  });
}
