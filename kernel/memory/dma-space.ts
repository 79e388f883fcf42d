/**
 * What the I/O domain's devices may reach, where the machine has an IOMMU: the pages of its region for devices' memory, and what it has
 * mapped of others' by grants, read-only where the grant is. Bus addresses are its linear addresses, so that each page of it is mapped
 * at one place, whoever else maps the frame; without an IOMMU they are the machine's addresses. The domain is told either way.
 *
 * physmap.ts calls this for every page that it maps and unmaps, before the frame may be another's: when dmaUnmapped returns, no device
 * reaches the frame by that page.
 */
import { BootInfo } from "../../abi/boot-info";
import { iommuAttach, iommuDetach, iommuKind, iommuMap, iommuStart, iommuUnmap } from "../../arch-x86/iommu/iommu";
import { dmaTablesClear } from "../../arch-x86/iommu/tables";
import { acpiIommu, IOMMU_INTEL, IOMMU_NONE } from "../../arch-x86/host/acpi";
import { PCI_NO_REQUESTER, pciBridgesFind, pciRequester } from "../../arch-x86/host/pci-bridges";
import { say, sayEnd } from "../../arch-x86/log";
import { P2M_GRANT_RO, P2M_GRANT_RW, P2M_RAM } from "../../arch-x86/p2m-types";
import { iommuRefused } from "../machine/boot-options";
import { Domain } from "../records/domain";
import { drivesDevices, softwareOf } from "../records/software-domain";
import { frameChargeBegin, frameChargeEnd } from "./overhead";
import { FrameType } from "./frames";

const E820_RESERVED: u64 = 2;
const ADDRESS_BITS: u64 = 46;

let boot: usize = 0;

/** Takes the machine's IOMMUs into use, unless the command line has `iommu=off`. Once, before devices are. @param bootInfo BootInfo */
export function dmaStart(bootInfo: usize): void {
  boot = bootInfo;
  const rsdp = load<u64>(boot + BootInfo.rsdp);
  const found = acpiIommu(rsdp);
  if (found == IOMMU_NONE) return;
  const why = iommuRefused() ? "iommu=off was given" : iommuStart(rsdp, registersOk, pciBridgesFind());
  say(found == IOMMU_INTEL ? "VT-d" : "AMD-Vi");
  if (why.length) {
    say(" is not used: ");
    say(why);
    say(". Drivers are trusted with what their devices read and write.");
  } else {
    say(" confines devices to the I/O domain's memory for them and what it was granted.");
  }
  sayEnd();
}

/** Whether an IOMMU's registers can be at this page: neither RAM nor firmware's tables, and within what the shim can map. */
function registersOk(pa: u64): bool {
  if (!pa || pa >> ADDRESS_BITS != 0) return false;
  const regions = load<u64>(boot + BootInfo.memoryCount);
  for (let i: u64 = 0; i < regions; i++) {
    const r = boot + BootInfo.memory + <usize>i * BootInfo.MEMORY_RECORD;
    if (load<u64>(r + 16) == E820_RESERVED) continue;
    if (pa < load<u64>(r) + load<u64>(r + 8) && pa + 4096 > load<u64>(r)) return false;
  }
  return true;
}

/** Whether devices are confined. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function dmaConfined(): bool {
  return iommuKind() != IOMMU_NONE;
}

/** The bus frame by which devices reach page `gfn` of a domain, which is mapped to `mfn`. */
export function dmaFrame(d: Domain, gfn: u64, mfn: u64): u64 {
  return dmaConfined() && drivesDevices(d) ? gfn : mfn;
}

/** Whether devices may reach page `gfn` when it is mapped with this type. */
export function dmaReaches(d: Domain, gfn: u64, type: u32): bool {
  if (!drivesDevices(d)) return false;
  const layout = softwareOf(d).layout;
  if (type == P2M_RAM) return gfn >= layout.dma && gfn < layout.dmaEnd;
  return (type == P2M_GRANT_RO || type == P2M_GRANT_RW) && gfn >= layout.map && gfn < layout.mapEnd;
}

/**
 * 2^order pages have been mapped; the caller has begun to charge frames to the domain.
 * @returns false: there is no memory, and devices reach none of it
 */
export function dmaMapped(d: Domain, gfn: u64, mfn: u64, type: u32, order: u32): bool {
  return !dmaReaches(d, gfn, type) || iommuMap(gfn, mfn, order, type != P2M_GRANT_RO);
}

/**
 * Page `gfn` is about to be unmapped; the caller has begun to charge frames to the domain.
 * @returns false: there is no memory to do so, nothing has changed
 */
export function dmaUnmapped(d: Domain, gfn: u64): bool {
  return !drivesDevices(d) || iommuUnmap(gfn) >= 0;
}

/** Unmaps everything: the domain is restarted, none of its devices is attached any more (devicesRelease). */
export function dmaClear(d: Domain): void {
  if (dmaConfined() && drivesDevices(d)) dmaTablesClear();
}

/** Lets a function's accesses reach what is mapped. False: there is no memory for that. @param d the domain that drives it */
export function dmaAttach(d: Domain, address: u32): bool {
  if (!dmaConfined()) return true;
  frameChargeBegin(d.id, FrameType.Table);
  let index: u32 = 0;
  let requester = pciRequester(address, 0);
  let attached: bool = true;
  while (attached && requester != PCI_NO_REQUESTER) {
    attached = iommuAttach(requester);
    requester = pciRequester(address, ++index);
  }
  frameChargeEnd();
  if (!attached) dmaDetach(address);
  return attached;
}

/** Undoes dmaAttach, and for the functions that share a bridge's requester id with this one as well. */
export function dmaDetach(address: u32): void {
  if (!dmaConfined()) return;
  let index: u32 = 0;
  let requester = pciRequester(address, 0);
  while (requester != PCI_NO_REQUESTER) {
    iommuDetach(requester);
    requester = pciRequester(address, ++index);
  }
}
