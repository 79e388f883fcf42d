/**
 * Every key of xl 4.17's xl.cfg, those of its manual and those that only its parser knows, and what `create` does with each:
 * the source of docs/xl.md, and what xl-cfg.ts goes by. A key that is not here is none of xl's, and refused.
 */

export interface XlKey {
  key: string;
  /**
   * supported: it does what it does in xl, but for what the note says. idle: it cannot matter here; accepted, with the note
   * shown. refused: with the note, which says why or what to do.
   */
  verdict: "supported" | "idle" | "refused";
  note: string;
  /** Of a refused key: values that ask for what is so anyway; accepted. An empty list always is. */
  except: readonly string[];
}

function supported(key: string, note = ""): XlKey {
  return { key, verdict: "supported", note, except: [] };
}

function idle(note: string, ...keys: string[]): XlKey[] {
  return keys.map((key) => ({ key, verdict: "idle", note, except: [] }));
}

function refused(key: string, note: string, ...except: string[]): XlKey {
  return { key, verdict: "refused", note, except };
}

const HVM_ONLY = "for HVM guests only: xl has no use for it in a PVH guest either";
const NO_MODEL = "about the device model, and a PVH guest here has none";
const WITH_PCI = "about devices of pci, which is refused";
const WITH_VNC = "about the display of vnc and vfb, which are refused";
const OTHER_SCHEDULER = "of schedulers that are not here";
const NO_DEVICE = "there is no such device here";

/** By the sections of xl.cfg(5). */
export const XL_KEYS: Record<string, readonly XlKey[]> = {
  "Name and type": [
    supported("name", "at most 64 bytes, without blanks, no number alone"),
    supported(
      "type",
      '"pvh" only. Without it xl makes a PV domain; here the kernel itself says whether it is PVH or PVHv1, and a note says so',
    ),
    refused("builder", 'it means "hvm" or PV, of which there is none here: type = "pvh"'),
    supported("uuid", "of 36 characters, with dashes; no other domain's"),
  ],
  "CPUs and scheduling": [
    supported("vcpus", "1 to 64"),
    supported(
      "maxvcpus",
      "vcpus to 64. A guest that does not look into the store for how many of its vCPUs it is to use uses all of them",
    ),
    supported("cpus", "a CPU that Typevisor does not use is refused, and a set for a vCPU that there is not"),
    supported("cpus_soft", "as cpus; kept and shown, and without effect while Typevisor uses one CPU"),
    refused("pool", "there are no CPU pools", "Pool-0"),
    supported("cpu_weight", "1 to 65535, 256 if not given: each vCPU's, of the time that vCPUs compete for"),
    refused("cap", "no domain is held below what is free", "0"),
    ...idle(OTHER_SCHEDULER, "period", "slice", "latency", "extratime"),
  ],
  Memory: [
    supported("memory", "MiB, 1 to 1048576; 32 if neither this nor maxmem is given, as in xl"),
    supported("maxmem", "the same as memory: a guest starts with all of its memory; mem-set makes it less"),
    refused("vnuma", "a guest's memory is one node"),
    ...idle("the tables of nested paging are not taken from it", "shadow_memory"),
    ...idle("about shadow page tables, which there are none of", "oos"),
    refused("hap", "memory is virtualised by nested paging only: leave it out", "1"),
  ],
  "What happens when it ends": [
    supported("on_poweroff", "destroy, restart or preserve"),
    supported("on_reboot", "destroy, restart or preserve"),
    supported("on_crash", "destroy, restart or preserve; for a watchdog that ran out too"),
    supported("on_watchdog", "the same as on_crash: there is one action for both"),
    supported("on_soft_reset", "soft-reset, destroy, restart or preserve"),
  ],
  "What it boots": [
    supported(
      "kernel",
      "a file of this computer, or module:NAME, a boot module; a PVH or PVHv1 image or a Linux bzImage",
    ),
    supported("ramdisk", "a file of this computer, or module:NAME"),
    supported("cmdline"),
    supported("root", "left out, with a note, where there is a cmdline, as in xl"),
    supported("extra", "left out, with a note, where there is a cmdline, as in xl"),
    refused("bootloader", "nothing runs in domain 0 to look for a kernel in a disk: give kernel and ramdisk"),
    ...idle("about bootloader, which is refused", "bootloader_args"),
    refused("firmware", "there is no firmware for guests: give kernel and ramdisk"),
    refused("pvshim", "PV guests are not run in a shim", "0"),
    ...idle("about pvshim, which is refused", "pvshim_path", "pvshim_cmdline", "pvshim_extra"),
    ...idle(HVM_ONLY, "boot", "bios", "bios_path_override", "firmware_override", "acpi_firmware", "smbios_firmware"),
  ],
  Devices: [
    supported("disk", "see below"),
    supported("vif", "see below"),
    refused("vif2", "netchannel2, which xl does not support either: use vif"),
    refused("vtpm", NO_DEVICE),
    refused("p9", NO_DEVICE),
    refused("pvcalls", NO_DEVICE),
    refused("vfb", "guests have no display: the console is theirs"),
    refused("vkb", NO_DEVICE),
    refused("vdispl", NO_DEVICE),
    refused("vsnd", NO_DEVICE),
    refused("channel", "the console is the only channel of its kind"),
    refused("usbctrl", NO_DEVICE),
    refused("usbdev", "no USB device is passed to guests"),
    refused("pci", "no PCI device is passed to guests: the I/O domain has them"),
    ...idle(WITH_PCI, "pci_permissive", "pci_msitranslate", "pci_seize", "pci_power_mgmt", "rdm", "rdm_mem_boundary"),
    refused("gfx_passthru", "no graphics card is passed to guests", "0"),
    refused("dtdev", "no device is passed to guests"),
    refused("ioports", "no I/O port of the machine is passed to guests"),
    refused("iomem", "no memory of the machine's devices is passed to guests"),
    refused("irqs", "no interrupt of the machine is passed to guests"),
    refused("passthrough", "no device is passed to guests", "disabled", "default"),
  ],
  "Limits, rights and the rest": [
    refused("max_event_channels", "a guest may have 4095: leave it out", "4095"),
    refused("max_grant_frames", "a guest may have 64: leave it out", "64"),
    refused("max_maptrack_frames", "a guest may have 1024: leave it out", "1024"),
    refused("max_grant_version", "guests have version 1: leave it out", "1"),
    refused("seclabel", "there is no FLASK: domains have no labels"),
    refused("init_seclabel", "there is no FLASK: domains have no labels"),
    refused("driver_domain", "devices are the I/O domain's", "0"),
    ...idle("no guest is moved to another machine", "nomigrate"),
    ...idle("about an event channel of suspends that no tool here uses", "xend_suspend_evtchn_compat"),
    refused("vmtrace_buf_kb", "no processor trace is taken", "0"),
    refused("vpmu", "guests have no performance counters", "0"),
    refused("tee", "no guest talks to a trusted execution environment", "none"),
  ],
  "Processor and platform": [
    refused("cpuid", "what guests see of CPUID is the hypervisor's own: leave it out", "host"),
    refused("msr_relaxed", "an MSR that is not there faults: leave it out", "0"),
    refused("nestedhvm", "guests have no VT-x or AMD-V", "0"),
    refused("altp2m", "a guest has one set of nested page tables", "0", "disabled"),
    refused("acpi", "a guest's ACPI tables are always there, and guests that want none do not look", "1"),
    refused("tsc_mode", "the time stamp counter is the processor's own: leave it out", "0", "default"),
    refused("timer_mode", "ticks are not delivered late: leave it out", "1", "no_delay_for_missed_ticks"),
    refused("localtime", "the wallclock is UTC: set the guest's time zone", "0"),
    refused("rtc_timeoffset", "the wallclock is UTC: set the guest's time zone", "0"),
    ...idle("for PV guests only: xl has no use for it in a PVH guest either", "e820_host"),
    ...idle(HVM_ONLY, "pae", "acpi_s3", "acpi_s4", "acpi_laptop_slate", "apic", "nx", "hpet", "vpt_align", "mmio_hole"),
    ...idle(HVM_ONLY, "altp2mhvm", "ms_vm_genid", "viridian", "mca_caps", "xen_platform_pci"),
    ...idle("for ARM only", "device_tree", "gic_version"),
    refused("vuart", "for ARM only; the console is there without it"),
  ],
  "Display, sound and emulated devices": [
    refused("vnc", "guests have no display: the console is theirs", "0"),
    ...idle(WITH_VNC, "vnclisten", "vncdisplay", "vncunused", "vncpasswd", "keymap"),
    ...idle(WITH_VNC, "sdl", "opengl", "display", "xauthority"),
    ...idle("xl ignores it too", "vncviewer"),
    ...idle(HVM_ONLY, "videoram", "stdvga", "vga", "nographic", "hdtype", "serial", "soundhw", "vkb_device"),
    ...idle(HVM_ONLY, "usb", "usbversion", "usbdevice", "vendor_device"),
    ...idle(HVM_ONLY, "spice", "spicehost", "spiceport", "spicetls_port", "spicedisable_ticketing", "spicepasswd"),
    ...idle(HVM_ONLY, "spiceagent_mouse", "spicevdagent", "spice_clipboard_sharing", "spiceusbredirection"),
    ...idle(HVM_ONLY, "spice_image_compression", "spice_streaming_video"),
  ],
  "Device model": [
    ...idle(NO_MODEL, "device_model", "device_model_version", "device_model_override", "device_model_user"),
    ...idle(NO_MODEL, "device_model_args", "device_model_args_pv", "device_model_args_hvm", "dm_restrict"),
    ...idle(NO_MODEL, "device_model_stubdomain_override", "device_model_stubdomain_seclabel"),
    ...idle(NO_MODEL, "stubdomain_kernel", "stubdomain_ramdisk", "stubdomain_cmdline", "stubdomain_memory"),
  ],
};

const BY_NAME = new Map(Object.values(XL_KEYS).flatMap((keys) => keys.map((key) => [key.key, key] as const)));

/** What is done with a key; undefined for one that xl does not have. */
export function xlKey(name: string): XlKey | undefined {
  return BY_NAME.get(name);
}

export function xlKeyNames(): string[] {
  return [...BY_NAME.keys()];
}
