/**
 * Domains as libxl writes them in JSON, as far as Typevisor knows what it says: what `xl list -l` shows of those that there are and
 * `xl create -n` of one that there could be. Scripts read `c_info.name`, `c_info.uuid`, the sizes in `b_info`, and the devices.
 */
import type { DomainDescription, ImageDescription } from "../config/description.ts";
import { vbdSettings, vifSettings } from "../config/settings.ts";

const KIB_PER_MIB = 1024;

/** What is known of a domain. */
export interface LibxlDomain {
  name: string;
  uuid?: string;
  /** Its share of the CPU, where that is known. */
  share?: { weight: number; cap?: number };
  /** How it is made; null when that is not known any more. */
  made: {
    kernel: string;
    ramdisk: string | null;
    cmdline: string;
    memoryMib: number;
    vcpus: number;
    /** Where there may be more than there are at first. */
    maxVcpus?: number;
    /** As `create --vif` takes them; null for one that was taken away. */
    vifs: readonly (string | null)[];
    vbds: readonly string[];
  } | null;
  onPoweroff: string;
  onReboot: string;
  onCrash: string;
}

/** `mac=00:16:3e:12:34:56,bridge=xenbr0` by key. */
function settingsOf(text: string): Map<string, string> {
  const items = text.split(",").map((item) => item.trim());
  return new Map(
    items
      .filter((item) => item.includes("="))
      .map((item) => [item.slice(0, item.indexOf("=")), item.slice(item.indexOf("=") + 1)]),
  );
}

function nic(settings: string, devid: number) {
  const values = settingsOf(settings);
  const [mac, bridge, ip] = ["mac", "bridge", "ip"].map((key) => values.get(key));
  return { devid, ...(mac && { mac }), bridge: bridge ?? "xenbr0", ...(ip && { ip }), nictype: "vif" };
}

function disk(settings: string) {
  const values = settingsOf(settings);
  const readwrite = values.get("access") === "r" ? 0 : 1;
  return { pdev_path: values.get("target"), vdev: values.get("vdev"), backend: "phy", format: "raw", readwrite };
}

/** libxl_domain_config. */
export function libxlConfig({ name, uuid, share, made, onPoweroff, onReboot, onCrash }: LibxlDomain) {
  const memory = (made?.memoryMib ?? 0) * KIB_PER_MIB;
  const built =
    made === null
      ? {}
      : {
          max_vcpus: made.maxVcpus ?? made.vcpus,
          avail_vcpus: Array.from({ length: made.vcpus }, (_, i) => i),
          max_memkb: memory,
          target_memkb: memory,
          kernel: made.kernel,
          ...(made.ramdisk === null ? {} : { ramdisk: made.ramdisk }),
          cmdline: made.cmdline,
          ...(share === undefined ? {} : { sched_params: share }),
        };
  const disks = made?.vbds.map(disk) ?? [];
  const nics = made?.vifs.flatMap((settings, i) => (settings === null ? [] : [nic(settings, i)])) ?? [];
  return {
    c_info: { type: "pvh", name, ...(uuid === undefined ? {} : { uuid }) },
    b_info: { ...built, "type.pvh": {} },
    ...(disks.length === 0 ? {} : { disks }),
    ...(nics.length === 0 ? {} : { nics }),
    on_poweroff: onPoweroff,
    on_reboot: onReboot,
    on_crash: onCrash,
  };
}

const imageName = ({ from, name }: ImageDescription) => (from === "module" ? `module:${name}` : name);

/** Of a domain that is described in a file. */
export function libxlConfigOf(domain: DomainDescription) {
  const { name, uuid, kernel, ramdisk, cmdline, memoryMib, vcpus, maxVcpus, weight, policy } = domain;
  return libxlConfig({
    name,
    uuid,
    share: weight === undefined ? undefined : { weight },
    made: {
      kernel: imageName(kernel),
      ramdisk: ramdisk === undefined ? null : imageName(ramdisk),
      cmdline,
      memoryMib,
      vcpus,
      maxVcpus,
      vifs: domain.vifs.map(vifSettings),
      vbds: domain.vbds.map(vbdSettings),
    },
    onPoweroff: policy.poweroff,
    onReboot: policy.reboot,
    onCrash: policy.crash,
  });
}
