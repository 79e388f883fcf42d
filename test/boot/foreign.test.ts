/** Third-party guests: PVH images from Debian's packages. Skipped by name if they cannot be fetched. */
import { execFileSync } from "node:child_process";
import path from "node:path";
import type { BootModule } from "../../scripts/modules.ts";
import { unpackedPackage } from "../../scripts/packages.ts";
import { buildFolder } from "../../scripts/paths.ts";
import { bootToPrompt, COMMAND_MS, GUEST_MS, MACHINES, powerOff } from "./support/boot.ts";
import { expectFrames, frames } from "./support/frames.ts";
import { packageTests } from "./support/packages.ts";

const FORMAT = "i386-xen_pvh";
/** What its prompt needs to come up and to answer. */
const GRUB_MODULES = ["normal", "echo", "halt"];

/** GRUB's image for Xen's PVH guests, made of the modules in Debian's grub-xen-bin. */
function grubModule(): BootModule[] {
  const modules = path.join(unpackedPackage("grub-xen-bin"), "usr/lib/grub", FORMAT);
  const file = path.join(buildFolder, `grub-${FORMAT}.elf`);
  execFileSync("grub-mkimage", ["-d", modules, "-O", FORMAT, "-o", file, "-p", "/", ...GRUB_MODULES]);
  return [{ name: "grub", file }];
}

const { modules, test, why } = packageTests(grubModule);

for (const kind of MACHINES) {
  test(`GRUB's own PVH image, a 32-bit guest, comes to its prompt and halts on ${kind}${why}`, async (t) => {
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
