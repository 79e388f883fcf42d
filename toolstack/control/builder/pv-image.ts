/**
 * What an image for PV guests says of itself: Xen's ELF notes, or, in images that have none, the older section `__xen_guest`, a
 * text of KEY=VALUE separated by commas. Such a kernel runs here if it can be a PVHv1 guest: 64-bit, with guest-physical
 * addresses that the hypervisor translates, in supervisor mode, its events by callback vector.
 *
 * Source: xen/elfnote.h, which also describes the section; what Xen 4.4 to 4.9 did with both.
 */
import {
  XEN_ELFNOTE_ENTRY,
  XEN_ELFNOTE_FEATURES,
  XEN_ELFNOTE_GUEST_OS,
  XEN_ELFNOTE_HYPERCALL_PAGE,
  XEN_ELFNOTE_LOADER,
  XEN_ELFNOTE_PADDR_OFFSET,
  XEN_ELFNOTE_SUPPORTED_FEATURES,
  XEN_ELFNOTE_VIRT_BASE,
  XEN_ELFNOTE_XEN_VERSION,
} from "../../../abi/elfnote.ts";
import {
  XENFEAT_auto_translated_physmap,
  XENFEAT_hvm_callback_vector,
  XENFEAT_supervisor_mode_kernel,
} from "../../../abi/features.ts";
import { hex } from "../text.ts";
import { PAGE_SIZE } from "../window.ts";
import { BuildError } from "./build-error.ts";
import { noteNumber, noteText, type XenNotes } from "./elf-notes.ts";

/** Features that a kernel must support to run in a hardware container. */
const CONTAINER: Record<string, number> = {
  auto_translated_physmap: XENFEAT_auto_translated_physmap,
  supervisor_mode_kernel: XENFEAT_supervisor_mode_kernel,
  hvm_callback_vector: XENFEAT_hvm_callback_vector,
};
/** Features that it may require: those, and what page and descriptor tables of its own amount to. */
const OFFERED = new Set([
  ...Object.keys(CONTAINER),
  "writable_page_tables",
  "writable_descriptor_tables",
  "pae_pgdir_above_4gb",
]);
/** Offsets from here up are not those of memory. */
const MAX_OFFSET = 2n ** 52n;

/** Where a PVHv1 kernel wants to be. */
export interface PvPlace {
  /** Virtual address at which guest-physical 0 is to be mapped. */
  virtBase: bigint;
  /** What to subtract from the image's physical addresses to get guest-physical ones. */
  paddrOffset: number;
  /** Virtual address of the first instruction. */
  entry: bigint;
  /** Virtual address of the hypercall page; undefined: the guest has none made. */
  hypercallPage: bigint | undefined;
}

/** What it says, whatever the way. Undefined: not said. */
interface Words {
  virtBase: bigint | undefined;
  paddrOffset: bigint | undefined;
  entry: bigint | undefined;
  hypercallPage: bigint | undefined;
  loader: string;
  guestOs: string;
  xenVersion: string;
  features: string;
  /** XENFEAT_* bits besides. */
  supported: number;
}

/**
 * @param name the image's, for messages
 * @param notes Xen's notes
 * @param section text of the section `__xen_guest`
 * @param elfEntry the entry point in the ELF header
 * @returns null when the image says nothing to Xen
 * @throws BuildError when what it says is impossible, or not for this hypervisor
 */
export function pvPlace(name: string, notes: XenNotes, section: string | undefined, elfEntry: bigint): PvPlace | null {
  if (notes.size === 0 && section === undefined) return null;
  const words = notes.size > 0 ? fromNotes(notes) : fromSection(name, section!);
  checkFeatures(name, words);
  if (!words.loader.startsWith("generic") && !words.guestOs.startsWith("linux")) {
    throw new BuildError(`${name}: made for the loader "${words.loader}"; Xen's is "generic"`);
  }
  if (!words.xenVersion.startsWith("xen-3.0")) {
    throw new BuildError(`${name}: made for the Xen interface "${words.xenVersion}"; "xen-3.0" is needed`);
  }
  if (words.paddrOffset !== undefined && words.virtBase === undefined) {
    throw new BuildError(`${name}: damaged: it gives a physical offset without a virtual base`);
  }
  const virtBase = words.virtBase ?? 0n;
  // Kernels with the section were once linked with their virtual addresses as physical ones.
  const paddrOffset = words.paddrOffset ?? (notes.size > 0 ? 0n : virtBase);
  if (virtBase % BigInt(PAGE_SIZE) !== 0n || BigInt.asUintN(64, BigInt.asIntN(48, virtBase)) !== virtBase) {
    throw new BuildError(`${name}: damaged: its virtual base 0x${virtBase.toString(16)} is no address of a page`);
  }
  if (paddrOffset >= MAX_OFFSET) {
    throw new BuildError(`${name}: its physical addresses, from 0x${paddrOffset.toString(16)} on, are none of memory`);
  }
  return {
    virtBase,
    paddrOffset: Number(paddrOffset),
    entry: words.entry ?? elfEntry,
    hypercallPage: words.hypercallPage,
  };
}

function fromNotes(notes: XenNotes): Words {
  return {
    virtBase: noteNumber(notes, XEN_ELFNOTE_VIRT_BASE),
    paddrOffset: noteNumber(notes, XEN_ELFNOTE_PADDR_OFFSET),
    entry: noteNumber(notes, XEN_ELFNOTE_ENTRY),
    hypercallPage: noteNumber(notes, XEN_ELFNOTE_HYPERCALL_PAGE),
    loader: noteText(notes, XEN_ELFNOTE_LOADER) ?? "",
    guestOs: noteText(notes, XEN_ELFNOTE_GUEST_OS) ?? "",
    xenVersion: noteText(notes, XEN_ELFNOTE_XEN_VERSION) ?? "",
    features: noteText(notes, XEN_ELFNOTE_FEATURES) ?? "",
    supported: Number(noteNumber(notes, XEN_ELFNOTE_SUPPORTED_FEATURES) ?? 0n),
  };
}

function fromSection(name: string, section: string): Words {
  const values = new Map<string, string>();
  for (const pair of section.split(",")) {
    const [key, value] = pair.split(/=(.*)/s);
    if (key) values.set(key, value ?? "");
  }
  const number = (key: string): bigint | undefined => {
    const value = values.get(key);
    if (value === undefined) return undefined;
    if (!/^(0x[0-9a-f]{1,16}|[0-9]{1,20})$/i.test(value)) {
      throw new BuildError(`${name}: damaged: its section __xen_guest says ${key}="${value}", which is no number`);
    }
    return BigInt.asUintN(64, BigInt(value));
  };
  const virtBase = number("VIRT_BASE");
  const page = number("HYPERCALL_PAGE");
  return {
    virtBase,
    paddrOffset: number("ELF_PADDR_OFFSET"),
    entry: number("VIRT_ENTRY"),
    hypercallPage: page === undefined ? undefined : BigInt.asUintN(64, (virtBase ?? 0n) + page * BigInt(PAGE_SIZE)),
    loader: values.get("LOADER") ?? "",
    guestOs: values.get("GUEST_OS") ?? "",
    xenVersion: values.get("XEN_VER") ?? "",
    features: values.get("FEATURES") ?? "",
    supported: 0,
  };
}

/** A name behind '!' is required, any name is supported. */
function checkFeatures(name: string, { features, supported }: Words): void {
  const names = features.split("|").filter((feature) => feature !== "");
  const known = new Set(names.map((feature) => feature.replace(/^!/, "")));
  const refused = names.filter((feature) => feature.startsWith("!") && !OFFERED.has(feature.slice(1)));
  if (refused.length > 0) {
    throw new BuildError(`${name}: it requires ${refused.map((f) => f.slice(1)).join(", ")}, which no guest has here`);
  }
  const missing = Object.entries(CONTAINER)
    .filter(([feature, bit]) => !known.has(feature) && (supported & (1 << bit)) === 0)
    .map(([feature]) => feature);
  if (missing.length > 0) {
    throw new BuildError(
      `${name}: a Xen PV kernel without a PVH entry (Linux: CONFIG_PVH=y; it has no XEN_ELFNOTE_PHYS32_ENTRY note), and not for PVHv1: ` +
        `it does not support ${missing.join(", ")}; only PVH and PVHv1 guests run here`,
    );
  }
}

/** Guest-physical address of virtual address `va`; throws BuildError unless it is within the first `size` bytes of the guest's memory. */
export function pvPhysical(name: string, what: string, { virtBase }: PvPlace, va: bigint, size: number): number {
  const offset = va - virtBase;
  if (offset < 0n || offset >= BigInt(size)) {
    throw new BuildError(
      `${name}: damaged: its ${what} 0x${va.toString(16)} is outside the image, which ends ${hex(size)} bytes after its virtual base`,
    );
  }
  return Number(offset);
}
