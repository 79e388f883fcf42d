/** Every command of xl 4.17, those of its manual and those that only its table has, and what this `xl` does with each. */

export interface XlCommand {
  command: string;
  /** A command that is refused says why, or what to do instead. */
  verdict: "supported" | "refused";
  /** Whether `xl` has it already: of those that are to be supported. */
  implemented: boolean;
  note: string;
}

function done(...commands: string[]): XlCommand[] {
  return commands.map((command) => ({ command, verdict: "supported", implemented: true, note: "" }));
}

/** As `done`, of what is to be known. */
function noted(note: string, ...commands: string[]): XlCommand[] {
  return commands.map((command) => ({ command, verdict: "supported", implemented: true, note }));
}

function refused(note: string, ...commands: string[]): XlCommand[] {
  return commands.map((command) => ({ command, verdict: "refused", implemented: false, note }));
}

const NO_DEVICE = "there are no such devices";
const NO_PCI = "no PCI device is passed to guests: the I/O domain has them";
const NO_USB = "no USB device is passed to guests";
const NO_CDROM = "there are no CD-ROM drives";
const NO_POOLS = "there are no CPU pools";
const NO_FLASK = "there is no FLASK";
const NO_PSR = "the processor's cache and memory bandwidth are not divided among domains";
const NO_SAVING = "guests cannot be saved or moved";

/** By the sections of xl(1). */
export const XL_COMMANDS: Record<string, readonly XlCommand[]> = {
  Domains: [
    ...done("create", "list", "destroy", "shutdown", "reboot", "pause", "unpause", "console", "domid", "domname"),
    ...done("rename", "mem-set", "vcpu-set", "vcpu-list", "trigger", "sysrq"),
    ...noted(
      "the domain's own name only, and its UUID: these stay. All else is in effect when it is restarted",
      "config-update",
    ),
    ...noted(
      "no less than mem-set's target, which still goes no further than what the domain was made with; until it is restarted",
      "mem-max",
    ),
    ...noted(
      "a CPU that Typevisor does not use is refused; domain 0's vCPU runs on all CPUs, and may be asked to",
      "vcpu-pin",
    ),
    ...refused("it presses a button of an HVM guest: use trigger", "button-press"),
    ...refused("it shows a part of what list shows: use that", "vm-list"),
    ...refused(NO_SAVING, "save", "restore", "migrate", "migrate-receive", "remus"),
    ...refused("no memory dump is written: `chaos xenctx` shows where a guest is", "dump-core"),
    ...refused("domains share no memory of this kind", "sharing"),
    ...refused("guests have no display: use console", "vncviewer"),
  ],
  Host: [
    ...done("info", "dmesg", "debug-keys", "uptime", "top", "help"),
    ...refused("the hypervisor's parameters are fixed at its start", "set-parameters"),
    ...refused("memory is not claimed ahead of a domain", "claims"),
  ],
  Schedulers: [
    ...noted(
      "the scheduler is of its kind: of vCPUs that want the CPU, each gets time in proportion to its domain's weight. No caps, no rate " +
        "limit; domain 0 and the I/O domain have budgets instead of weights",
      "sched-credit2",
    ),
    ...refused("weights are set with sched-credit2", "sched-credit", "sched-rtds"),
  ],
  "CPU pools": refused(
    NO_POOLS,
    ...["cpupool-create", "cpupool-list", "cpupool-destroy", "cpupool-rename"],
    ...["cpupool-cpu-add", "cpupool-cpu-remove", "cpupool-migrate", "cpupool-numa-split"],
  ),
  Devices: [
    ...done("network-list", "network-attach", "network-detach", "block-list", "block-attach", "block-detach"),
    ...refused(NO_CDROM, "cd-insert", "cd-eject"),
    ...refused(NO_DEVICE, "channel-list", "vtpm-attach", "vtpm-list", "vtpm-detach"),
    ...refused(NO_DEVICE, "vkb-attach", "vkb-list", "vkb-detach", "vdispl-attach", "vdispl-list", "vdispl-detach"),
    ...refused(NO_DEVICE, "vsnd-attach", "vsnd-list", "vsnd-detach"),
    ...refused(NO_PCI, "pci-attach", "pci-detach", "pci-list"),
    ...refused(NO_PCI, "pci-assignable-add", "pci-assignable-remove", "pci-assignable-list"),
    ...refused(NO_USB, "usbctrl-attach", "usbctrl-detach", "usbdev-attach", "usbdev-detach", "usb-list"),
    ...refused("guests have no device model", "qemu-monitor-command"),
    ...refused("devices are the I/O domain's: it needs no such daemon", "devd"),
  ],
  "Security policy": refused(NO_FLASK, "getenforce", "setenforce", "loadpolicy"),
  "Shared resources of the processor": refused(
    NO_PSR,
    ...["psr-hwinfo", "psr-cmt-attach", "psr-cmt-detach", "psr-cmt-show"],
    ...["psr-cat-set", "psr-cat-show", "psr-mba-set", "psr-mba-show"],
  ),
};
