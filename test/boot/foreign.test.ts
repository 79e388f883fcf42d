/**
 * Third-party guests: PVH images from Debian's packages, and those in the folder that TYPEVISOR_FOREIGN names, which nobody
 * packages: README.md here says how they are made. Skipped by name where they are missing.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import ava, { type ExecutionContext } from "ava";
import type { BootModule } from "../../scripts/modules.ts";
import { freePorts } from "../../scripts/devices.ts";
import { unpackedPackage } from "../../scripts/packages.ts";
import { buildFolder } from "../../scripts/paths.ts";
import { bootToPrompt, COMMAND_MS, consoleSays, GUEST_MS, MACHINES, powerOff } from "./support/boot.ts";
import { expectFrames, frames, framesWarm } from "./support/frames.ts";
import { packageTests } from "./support/packages.ts";
import { said } from "./support/tcp.ts";

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

/** `ava.serial` with an image of TYPEVISOR_FOREIGN's folder as a boot module, or a test that is skipped and says why. */
function withImage(
  name: string,
  title: string,
  body: (t: ExecutionContext, modules: BootModule[]) => Promise<void>,
): void {
  const folder = process.env.TYPEVISOR_FOREIGN;
  const file = path.join(folder ?? "", name);
  if (folder !== undefined && existsSync(file)) ava.serial(title, (t) => body(t, [{ name, file }]));
  else ava.skip(`${title} (TYPEVISOR_FOREIGN names no folder with ${name})`, () => {});
}

/** Mini-OS with its own network frontend and its own `daytime.c`. */
const NETFRONTS = [
  {
    image: "minios-noxs-net",
    title: "LightVM's Mini-OS, by NoXS,",
    model: "noxs",
    started: /split event channels enabled[^]*Connection at/,
  },
  { image: "minios-pvh-net", title: "xen-project's Mini-OS, by xenbus,", model: "xenbus", started: /Connection at/ },
];

for (const kind of MACHINES) {
  withImage(
    "minios-noxs",
    `LightVM's Mini-OS, a PVHv1 guest, ends as its NoXS sysctl device says on ${kind}`,
    async (t, modules) => {
      const machine = await bootToPrompt(t, { kind, modules });
      await machine.command("create --kernel minios-noxs", COMMAND_MS);
      machine.send("console 1\r");
      await machine.waitFor("gnttab_table mapped", GUEST_MS, "Mini-OS to start");
      machine.send("\x1d");
      await machine.waitFor("\ntypevisor> ", COMMAND_MS, "the prompt after Ctrl-]");
      machine.send("shutdown 1\r");
      await machine.waitFor("domain 1 (minios-noxs) has ended: poweroff", GUEST_MS, "Mini-OS to end as it is told");
      t.regex(machine.output, /Xen HVM callback vector for event delivery is enabled[^]*gnttab_table mapped/);
      await powerOff(t, machine);
    },
  );

  for (const { image, title, model, started } of NETFRONTS) {
    withImage(image, `${title} serves the time, over restarts of the I/O domain, on ${kind}`, async (t, modules) => {
      const [port] = (await freePorts(1)) as [number];
      const machine = await bootToPrompt(t, {
        kind,
        modules,
        nic: kind === "bochs-vmx" ? "e1000" : "virtio-net",
        forwards: [{ protocol: "tcp", hostPort: port, address: "10.0.2.20", port: 13 }],
      });
      await machine.command(`create --kernel ${image} --memory 32 --vif ip=10.0.2.20,model=${model}`, COMMAND_MS);
      await consoleSays(machine, "1", started, GUEST_MS);
      for (let restarts = 0; restarts < 3; restarts++) {
        t.regex(await said(port), /^ *\d+\.\d{6}\n$/);
        await machine.command("io-restart", COMMAND_MS);
      }
      t.regex(
        await machine.command("vif list", COMMAND_MS),
        new RegExp(`^ *1 +0 .* 10\\.0\\.2\\.20 +xenbr0 +${model} +connected `, "m"),
      );
      await machine.command("destroy 1", COMMAND_MS);
      await powerOff(t, machine);
    });
  }

  withImage("minios-pvh", `Mini-OS as a PVH guest starts and is shut down on ${kind}`, async (t, modules) => {
    const machine = await bootToPrompt(t, { kind, modules });
    const before = await framesWarm(machine);
    await machine.command("create --kernel minios-pvh", COMMAND_MS);
    await consoleSays(machine, "2", /dummy main/, GUEST_MS);
    machine.send("shutdown 2\r");
    await machine.waitFor("domain 2 (minios-pvh) has ended: poweroff", GUEST_MS);
    await machine.waitFor("typevisor> ", COMMAND_MS);
    await expectFrames(t, machine, before, "after it");
    await powerOff(t, machine);
  });
}
