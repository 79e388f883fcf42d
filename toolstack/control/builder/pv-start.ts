/**
 * What a PVHv1 guest finds in its memory at the start: struct start_info (xen/xen.h), its first page tables, and the list of
 * frames by number, which for a guest with translated addresses says nothing: frame n is n.
 */
import { MAX_GUEST_CMDLINE, StartInfo } from "../../../abi/xen.ts";
import { encodeUtf8 } from "../text.ts";
import { PAGE_SIZE } from "../window.ts";
import { BuildError } from "./build-error.ts";
import type { PvKernel } from "./elf.ts";
import { type PvLayout, tableCount, type TablePlan } from "./pv-layout.ts";
import type { Rings } from "./rings.ts";

const MAGIC = "xen-3.0-x86_64";
/** Rights in page tables: present, writable, accessed; and in those above the lowest also user, dirty. As Xen sets them. */
const PAGE_RIGHTS = 0x23;
const TABLE_RIGHTS = 0x67;
const TABLE_WORDS = PAGE_SIZE / 4;
/** Frames of the list that is kept from one guest to the next: those of 512 MiB. */
const KEPT_FRAMES = 128 * 1024;

/** Refuses a command line that is longer than start_info has room for. */
export function checkPvCommandLine(name: string, commandLine: Uint8Array): void {
  if (commandLine.length < MAX_GUEST_CMDLINE) return;
  throw new BuildError(
    `${name}: the command line is too long: ${commandLine.length} bytes; a PVHv1 kernel takes ${MAX_GUEST_CMDLINE - 1}`,
  );
}

/** Virtual address of guest-physical `address`, as its low and its high word. */
export function virtualWords(kernel: PvKernel, address: number): [number, number] {
  const va = kernel.virtBase + BigInt(address);
  return [Number(va & 0xffffffffn), Number(va >> 32n)];
}

/** Builds start_info. */
export function makePvStartInfo(
  kernel: PvKernel,
  layout: PvLayout,
  rings: Rings,
  commandLine: Uint8Array,
  ramdiskSize: number,
): Uint8Array {
  const bytes = new Uint8Array(StartInfo.SIZE);
  const words = new Uint32Array(bytes.buffer);
  const virtual = (offset: number, address: number) => words.set(virtualWords(kernel, address), offset / 4);
  bytes.set(encodeUtf8(MAGIC), StartInfo.magic);
  words[StartInfo.nr_pages / 4] = layout.lowRam / PAGE_SIZE;
  words[StartInfo.shared_info / 4] = layout.sharedInfo;
  words[StartInfo.store_mfn / 4] = rings.storeGfn;
  words[StartInfo.store_evtchn / 4] = rings.storePort;
  words[StartInfo.console_mfn / 4] = rings.consoleGfn;
  words[StartInfo.console_evtchn / 4] = rings.consolePort;
  virtual(StartInfo.pt_base, layout.pageTables);
  words[StartInfo.nr_pt_frames / 4] = tableCount(layout.tables);
  virtual(StartInfo.mfn_list, layout.frameList);
  if (ramdiskSize > 0) {
    virtual(StartInfo.mod_start, layout.ramdisk);
    words[StartInfo.mod_len / 4] = ramdiskSize;
  }
  bytes.set(commandLine, StartInfo.cmd_line);
  return bytes;
}

/** Tables made last, and for what: guests that are alike have the same. */
let made: { key: string; bytes: Uint8Array } = { key: "", bytes: new Uint8Array(0) };

/** Builds the page tables that `plan` says, to be placed at guest-physical `base`. */
export function makePageTables(plan: TablePlan, base: number): Uint8Array {
  const key = `${base} ${plan.pages} ${plan.levels.map(({ tables, firstEntry }) => `${tables}/${firstEntry}`).join(" ")}`;
  if (made.key !== key) made = { key, bytes: fillTables(plan, base) };
  return made.bytes;
}

function fillTables({ levels, pages }: TablePlan, base: number): Uint8Array {
  const bytes = new Uint8Array(tableCount({ levels, pages }) * PAGE_SIZE);
  const words = new Uint32Array(bytes.buffer);
  // What a level's entries point to, one after the other: pages from guest-physical 0, or the tables of the level below.
  let target = PAGE_RIGHTS;
  let entries = pages;
  let first = bytes.length / PAGE_SIZE;
  for (const { tables, firstEntry } of levels) {
    first -= tables;
    let at = first * TABLE_WORDS + firstEntry * 2;
    for (let i = 0; i < entries; i++, at += 2, target += PAGE_SIZE) words[at] = target;
    target = base + first * PAGE_SIZE + TABLE_RIGHTS;
    entries = tables;
  }
  return bytes;
}

let frames: Uint8Array = new Uint8Array(0);

/** The list of `count` frames: number n at place n. */
export function makeFrameList(count: number): Uint8Array {
  if (frames.length >= count * 8) return frames.subarray(0, count * 8);
  const bytes = new Uint8Array(count * 8);
  const words = new Uint32Array(bytes.buffer);
  for (let n = 0; n < count; n++) words[2 * n] = n;
  if (count <= KEPT_FRAMES) frames = bytes;
  return bytes;
}
