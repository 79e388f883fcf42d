/** Debian's Linux from `create` to its shell, as on Xen. */
import { jsCommand, runCounted } from "../guest.ts";
import type { BenchRow } from "../bench.ts";
import { KERNEL_MODULE, LINUX_GUEST, LINUX_PROMPT, linuxModules, RAMDISK_MODULE } from "../../linux/guest.ts";
import { COMPARED_MACHINE } from "../xen-dom0/machine.ts";
import { xenToolstackFigures } from "../xen-dom0/toolstack.ts";

/**
 * Run in domain 0. The guest's console is read as `xl console` reads it, without being printed on the machine's. Prints one
 * line: from the beginning until it is made, and until the prompt has been read.
 */
const SCRIPT = `(async () => {
  const find = (name) => modules.find((m) => m.name === name);
  const request = { kernel: find("${KERNEL_MODULE}"), ramdisk: find("${RAMDISK_MODULE}"), name: "linux", ...${JSON.stringify(LINUX_GUEST)} };
  const start = uptimeNs();
  const domain = await domains.create(request);
  const made = uptimeNs();
  let output = "";
  await new Promise((resolve, reject) => {
    domain.onEnd((reason) => reject(new Error("Linux has ended: " + reason)));
    const show = (bytes) => {
      output = (output + String.fromCharCode(...bytes)).slice(-4096);
      if (output.includes("${LINUX_PROMPT}")) resolve();
    };
    domain.console.attach({ show });
    domains.unpause(domain);
  });
  const end = uptimeNs();
  print("figures " + [made - start, end - start].join(" ") + "\\n");
})()`;

export const row: BenchRow = {
  name: "linux",
  definition:
    "Debian's cloud kernel as PVH guest with 256 MiB, one vCPU and the initramfs of `npm start -- --guest linux`, both in memory, from `create` until domain 0 has read the prompt of its shell from its console; `xl create` and `xl console` in a Linux domain 0 on Xen, in the same machine. In virtual time, where an instruction takes a nanosecond; time in which nothing is executed would count too, but there is none to speak of on either. `made`: the part until it is built and paused (`xl create -p`)",
  measure: async () => {
    const output = await runCounted(jsCommand(SCRIPT), { ...COMPARED_MACHINE, modules: linuxModules() });
    const found = /^figures (\d+) (\d+)$/m.exec(output);
    if (found === null) throw new Error(`no figures in:\n${output}`);
    const [made, shell] = found.slice(1).map(Number) as [number, number];
    const unit = "instructions" as const;
    const xl = await xenToolstackFigures();
    return [
      { what: "create to shell", value: shell, unit, xen: xl?.linuxShell },
      { what: "create to made", value: made, unit, xen: xl?.createLinux },
    ];
  },
};
