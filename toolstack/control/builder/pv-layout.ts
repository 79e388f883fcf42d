/**
 * A PVHv1 guest's physical memory layout: the one that Xen's domain builder gives a PV guest, on which such guests rely.
 *
 *   0           RAM, all of it. At virtBase + x the guest finds guest-physical x. From the kernel up: ramdisk, list of frames,
 *               start_info, xenstore ring, console ring, shared_info, page tables, boot stack, and 512 KiB or more that
 *               are mapped and free
 *   0xfeff8000  Xen's special pages, of which there is only the device page (abi/io/noxs.ts)
 */
import { XEN_HVM_MEMMAP_TYPE_RAM, XEN_HVM_MEMMAP_TYPE_RESERVED } from "../../../abi/hvm.ts";
import { formatBytes } from "../../api/sizes.ts";
import { hex } from "../text.ts";
import { PAGE_SIZE } from "../window.ts";
import { BuildError } from "./build-error.ts";
import type { PvKernel } from "./elf.ts";
import { kernelEnd, LOW_RAM_END, type MemoryPlan, SPECIAL_END, SPECIAL_START } from "./layout.ts";

/** Mapped beyond what is in use, and what the end of the mapping is aligned to. */
const PADDING = 512 * 1024;
const MAPPING_ALIGNMENT = 4 * 1024 * 1024;
/** Bytes of an entry of the list of frames, and of a page table. */
const FRAME_BYTES = 8;
const TABLE_ENTRIES = 512;

/** Page tables by level, lowest first: in the list of all of them the highest comes first. */
export interface TablePlan {
  /** Of each level: number of tables, and index of the first entry in the first of them. */
  levels: { tables: number; firstEntry: number }[];
  /** Pages that the lowest level maps. */
  pages: number;
}

/** Addresses are guest-physical, in bytes. */
export interface PvLayout extends MemoryPlan {
  frameList: number;
  startInfo: number;
  sharedInfo: number;
  pageTables: number;
  tables: TablePlan;
  bootStack: number;
}

/**
 * Plans a guest's memory.
 * @param memorySize bytes of RAM the guest gets, a multiple of 1 MiB
 * @throws BuildError when it is too large for one that is mapped in one piece, or too small for kernel and ramdisk
 */
export function planPvGuest(name: string, kernel: PvKernel, ramdiskSize: number, memorySize: number): PvLayout {
  if (memorySize > LOW_RAM_END) {
    throw new BuildError(`${name}: a PVHv1 guest has ${formatBytes(LOW_RAM_END)} of memory at most`);
  }
  let next = kernelEnd(name, kernel.segments, memorySize, memorySize);
  const take = (bytes: number): number => {
    const at = next;
    next += Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
    return at;
  };
  const ramdisk = take(ramdiskSize);
  const frameList = take((memorySize / PAGE_SIZE) * FRAME_BYTES);
  const startInfo = take(PAGE_SIZE);
  const storePage = take(PAGE_SIZE);
  const consolePage = take(PAGE_SIZE);
  const sharedInfo = take(PAGE_SIZE);
  const tables = planTables(kernel.virtBase, next);
  const mapped = tables.pages * PAGE_SIZE;
  const lastAddress = kernel.virtBase + BigInt(mapped) - 1n;
  if (BigInt.asUintN(64, BigInt.asIntN(48, lastAddress)) !== lastAddress) {
    throw new BuildError(`${name}: there is no room for it behind its virtual base 0x${kernel.virtBase.toString(16)}`);
  }
  if (mapped > memorySize) {
    throw new BuildError(
      `${name}: not enough memory: its first page tables map ${formatBytes(mapped)} (up to ${hex(mapped)}), ` +
        `the guest has ${formatBytes(memorySize)}`,
    );
  }
  const pageTables = take(tableCount(tables) * PAGE_SIZE);
  const bootStack = take(PAGE_SIZE);
  return {
    lowRam: memorySize,
    highRam: 0,
    extraGfns: [],
    memoryMap: [
      { start: 0, size: memorySize, type: XEN_HVM_MEMMAP_TYPE_RAM },
      { start: SPECIAL_START, size: SPECIAL_END - SPECIAL_START, type: XEN_HVM_MEMMAP_TYPE_RESERVED },
    ],
    ramdisk,
    frameList,
    startInfo,
    storePage,
    consolePage,
    sharedInfo,
    pageTables,
    tables,
    bootStack,
  };
}

/** Number of page tables. */
export function tableCount({ levels }: TablePlan): number {
  return levels.reduce((sum, { tables }) => sum + tables, 0);
}

/** Plans tables that map guest-physical 0 .. `used`, themselves, the boot stack and the padding behind that. */
function planTables(virtBase: bigint, used: number): TablePlan {
  const withinAlignment = Number(virtBase % BigInt(MAPPING_ALIGNMENT));
  for (let tables = 0; ;) {
    const needed = withinAlignment + used + tables * PAGE_SIZE + PAGE_SIZE + PADDING;
    const end = Math.ceil((needed + 1) / MAPPING_ALIGNMENT) * MAPPING_ALIGNMENT;
    const plan = tablesFor(virtBase, (end - withinAlignment) / PAGE_SIZE);
    const count = tableCount(plan);
    if (used + (count + 1) * PAGE_SIZE + PADDING + withinAlignment <= end) return plan;
    tables = count;
  }
}

function tablesFor(virtBase: bigint, pages: number): TablePlan {
  const levels: TablePlan["levels"] = [];
  let entries = pages;
  for (let shift = 12n; shift < 48n; shift += 9n) {
    const firstEntry = Number((virtBase >> shift) % BigInt(TABLE_ENTRIES));
    const tables = Math.ceil((firstEntry + entries) / TABLE_ENTRIES);
    levels.push({ tables, firstEntry });
    entries = tables;
  }
  return { levels, pages };
}
