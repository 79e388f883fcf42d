/** Descriptions as files of each format, for the way back. */
import type { DomainDescription } from "../../../toolstack/cli/config/description.ts";
import { vbdSettings, vifSettings } from "../../../toolstack/cli/config/settings.ts";

/** A string of xl's, in quotes of one of the two kinds. */
export function xlString(text: string, quote: "'" | '"' = '"'): string {
  const escapes: Record<string, string> = {
    "\x07": "a",
    "\b": "b",
    "\f": "f",
    "\n": "n",
    "\r": "r",
    "\t": "t",
    "\v": "v",
    "\\": "\\",
    [quote]: quote,
  };
  const written = [...text].map((letter) => (letter in escapes ? `\\${escapes[letter]}` : letter));
  return `${quote}${written.join("")}${quote}`;
}

function imageName({ from, name }: DomainDescription["kernel"]): string {
  return from === "module" ? `module:${name}` : name;
}

/** As xl.cfg; it has no key for `model` and `paused`, which are left out. */
export function printXl(domain: DomainDescription): string {
  const strings: Record<string, string | undefined> = {
    type: "pvh",
    name: domain.name,
    uuid: domain.uuid,
    kernel: imageName(domain.kernel),
    ramdisk: domain.ramdisk && imageName(domain.ramdisk),
    cmdline: domain.cmdline,
    on_poweroff: domain.policy.poweroff,
    on_reboot: domain.policy.reboot,
    on_crash: domain.policy.crash,
    on_watchdog: domain.policy.crash,
    on_soft_reset: domain.policy.softReset,
  };
  const lists = { vif: domain.vifs.map(vifSettings), disk: domain.vbds.map(diskSpec) };
  return [
    ...Object.entries(strings)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => `${key} = ${xlString(value!)}`),
    `memory = ${domain.memoryMib}`,
    `vcpus = 0x${domain.vcpus.toString(16)}`,
    ...(domain.weight === undefined ? [] : [`cpu_weight = ${domain.weight}`]),
    ...Object.entries(lists).map(
      ([key, items]) => `${key} = [\n${items.map((item) => `  ${xlString(item)},\n`).join("")}]`,
    ),
    "",
  ].join("\n");
}

/** xl's `target` takes all that is behind it. */
function diskSpec(vbd: DomainDescription["vbds"][number]): string {
  const settings = vbdSettings(vbd).split(",");
  return [...settings.slice(1), settings[0]].join(",");
}

/** As LightVM's JSON; it has no key for what is left out. */
export function printChaos(domain: DomainDescription): string {
  return JSON.stringify(
    {
      name: domain.name,
      kernel: imageName(domain.kernel),
      ramdisk: domain.ramdisk && imageName(domain.ramdisk),
      cmdline: domain.cmdline,
      memory: domain.memoryMib,
      vcpus: domain.vcpus,
      paused: domain.paused,
      vifs: domain.vifs.map(({ mac, ip, bridge }) => ({ mac, ip, bridge })),
      vbds: domain.vbds.map(({ target, vdev, access }) => ({
        target: `${target.kind}:${target.name}${target.kind === "ram" ? "B" : ""}`,
        type: "phy",
        vdev,
        access,
      })),
      xen: { pvh: true, dev_method: domain.model === "noxs" ? "noxs" : "xenstore" },
    },
    undefined,
    2,
  );
}
