/**
 * Device memory in the I/O domain's: XENMAPSPACE_dev_mmio. RAM is refused, and the registers that make the hypervisor what it is:
 * local APIC and the addresses of messages, I/O APICs, HPET, IOMMUs. What firmware reserves, its tables and PCI's configuration
 * space in memory can be read but not written, as can MSI-X tables in use.
 */
import { BootInfo } from "../../abi/boot-info";
import { EEXIST, EINVAL, EPERM } from "../../abi/errno";
import { ACPI_DMAR, ACPI_HPET, ACPI_IVRS, ACPI_MCFG, acpiLength, acpiTable } from "../../arch-x86/host/acpi";
import { ioApicAddress } from "../../arch-x86/host/io-apic";
import * as hw from "../../arch-x86/hw";
import { P2M_MMIO, P2M_MMIO_RO, P2M_NONE } from "../../arch-x86/p2m-types";
import { P2M_END } from "../../arch-x86/p2m";
import { entryMfn, entryType, physmapLookup, physmapMap, physmapNext, physmapUnmap } from "../memory/physmap";
import { Domain } from "../records/domain";
import { softwareOf } from "../records/software-domain";
import { functionHasTable } from "./functions";

const E820_RAM: u64 = 1;
const E820_RESERVED: u64 = 2;
const E820_NVS: u64 = 4;
/** Firmware's part of the first MiB; the rest of it is no device's, or VGA's. */
const FIRMWARE: u64 = 0xe0000;
const LOW_END: u64 = 0x100000;
/** Where processors listen for messages (SDM 3A 11.11.1). */
const MESSAGES: u64 = 0xfee00000;
const MESSAGES_BYTES: u64 = 0x100000;
const PAGE: u64 = 4096;
const IVHD_BYTES: u64 = 0x80000;
const ADDRESS_BITS_MOST: u32 = 52;

const RANGES_MAX: u32 = 48;
/** Ranges of physical addresses: u64 base, u64 end, u64 P2M type that is allowed, P2M_NONE for none. */
const ranges: usize = memory.data(48 * 24, 8);
let rangeCount: u32 = 0;
let boot: usize = 0;
let addressBits: u32 = 36;

function add(base: u64, bytes: u64, type: u32): void {
  assert(rangeCount < RANGES_MAX, "more ranges of registers than there is room for");
  const r = ranges + <usize>rangeCount * 24;
  store<u64>(r, base & ~(PAGE - 1));
  store<u64>(r, (base + bytes + PAGE - 1) & ~(PAGE - 1), 8);
  store<u64>(r, type, 16);
  rangeCount++;
}

/** Finds the hypervisor's own registers. Once; after ioApicInit. @param bootInfo BootInfo in linear memory */
export function registersInit(bootInfo: usize): void {
  boot = bootInfo;
  if (hw.cpuidEax(0x80000000, 0) >= 0x80000008) addressBits = hw.cpuidEax(0x80000008, 0) & 0xff;
  if (addressBits > ADDRESS_BITS_MOST) addressBits = ADDRESS_BITS_MOST;
  add(MESSAGES, MESSAGES_BYTES, P2M_NONE);
  for (let i: u32 = 0; ioApicAddress(i); i++) add(ioApicAddress(i), PAGE, P2M_NONE);
  const rsdp = load<u64>(boot + BootInfo.rsdp);
  const hpet = acpiTable(rsdp, ACPI_HPET);
  if (hpet) add(hw.load64(hpet + 44), 1024, P2M_NONE);
  addUnits(acpiTable(rsdp, ACPI_DMAR), false);
  addUnits(acpiTable(rsdp, ACPI_IVRS), true);
  const mcfg = acpiTable(rsdp, ACPI_MCFG);
  for (let at = mcfg + 44; mcfg && at + 16 <= mcfg + acpiLength(mcfg) && rangeCount < RANGES_MAX - 1; at += 16) {
    const first = hw.load8(at + 10);
    const last = hw.load8(at + 11);
    if (last >= first) add(hw.load64(at) + ((<u64>first) << 20), (<u64>(last - first + 1)) << 20, P2M_MMIO_RO);
  }
}

/** Registers of the IOMMUs in a DMAR or IVRS table (VT-d 8.3, AMD IOMMU 5.2.2). */
function addUnits(table: u64, amd: bool): void {
  if (!table) return;
  const end = table + acpiLength(table);
  for (let at = table + 48; at + 16 <= end && rangeCount < RANGES_MAX - 4;) {
    const type = amd ? hw.load8(at) : hw.load16(at);
    const length = hw.load16(at + 2);
    if (length < 4 || at + length > end) return;
    if (amd ? type == 0x10 || type == 0x11 || type == 0x40 : type == 0) {
      add(hw.load64(at + 8), amd ? IVHD_BYTES : PAGE, P2M_NONE);
    }
    at += length;
  }
}

/** How a frame may be mapped: P2M_MMIO, P2M_MMIO_RO, or P2M_NONE: not at all. */
export function registersType(mfn: u64): u32 {
  if (mfn >> (addressBits - 12) != 0) return P2M_NONE;
  const base = mfn << 12;
  const end = base + PAGE;
  let type: u32 = P2M_MMIO;
  for (let i: u32 = 0; i < rangeCount; i++) {
    const r = ranges + <usize>i * 24;
    if (end <= load<u64>(r) || base >= load<u64>(r, 8)) continue;
    if (load<u64>(r, 16) == P2M_NONE) return P2M_NONE;
    type = P2M_MMIO_RO;
  }
  const regions = load<u64>(boot + BootInfo.memoryCount);
  for (let i: u64 = 0; i < regions; i++) {
    const r = boot + BootInfo.memory + <usize>i * BootInfo.MEMORY_RECORD;
    if (end <= load<u64>(r) || base >= load<u64>(r) + load<u64>(r, 8)) continue;
    const kind = load<u64>(r, 16);
    if (kind == E820_RAM || kind > E820_NVS || kind < E820_RESERVED) return P2M_NONE;
    type = P2M_MMIO_RO;
  }
  if (base < FIRMWARE) return P2M_NONE;
  if (base < LOW_END || functionHasTable(mfn)) return P2M_MMIO_RO;
  return type;
}

/** Maps a device's frame at `gfn`, which the layout allows. 0; -EPERM no device's; -EEXIST something is there; -ENOMEM. */
export function registersMap(d: Domain, mfn: u64, gfn: u64): i32 {
  const type = registersType(mfn);
  if (type == P2M_NONE) return -EPERM;
  if (physmapLookup(d, gfn)) return -EEXIST;
  return physmapMap(d, gfn, mfn, type);
}

/** Takes the right to write to frames [first, last], which hold an MSI-X table now, from all of the domain's mappings. */
export function registersProtect(d: Domain, first: u64, last: u64): i32 {
  const end: u64 = softwareOf(d).layout.mmioEnd;
  for (
    let gfn = physmapNext(d, softwareOf(d).layout.mmio);
    gfn != P2M_END && gfn < end;
    gfn = physmapNext(d, gfn + 1)
  ) {
    const entry = physmapLookup(d, gfn);
    const mfn = entryMfn(entry);
    if (mfn < first || mfn > last || entryType(entry) != P2M_MMIO) continue;
    physmapUnmap(d, gfn);
    if (physmapMap(d, gfn, mfn, P2M_MMIO_RO) != 0) return -EINVAL; // its tables exist: it cannot fail
  }
  return 0;
}
