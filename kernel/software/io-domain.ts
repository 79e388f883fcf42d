/**
 * Creating the I/O domain, which drives the machine's devices and serves them to guests: a software-isolated domain with one
 * vCPU and no privilege beyond devices (kernel/devices/), from the image in the shim.
 */
import {
  IO_CALL_PAGE,
  IO_CONTROL_END,
  IO_DMA,
  IO_DMA_END,
  IO_DOMAIN,
  IO_GRANT_TABLE,
  IO_GRANT_TABLE_END,
  IO_MAP,
  IO_MAP_END,
  IO_MMIO,
  IO_MMIO_END,
  IO_RAM_END,
  IO_SHARED_INFO,
  IO_STABLE,
  IO_STABLE_END,
  IO_START_INFO,
} from "../../abi/io/layout";
import { BootInfo } from "../../abi/boot-info";
import { ioApicInit } from "../../arch-x86/host/io-apic";
import * as hw from "../../arch-x86/hw";
import { registersInit } from "../devices/registers";
import { dmaConfined } from "../memory/dma-space";
import { ioDomainRefused } from "../machine/boot-options";
import { SoftwareLayout } from "../records/software-domain";
import { softwareCreate } from "./software-create";

/** Its number among hw's linear memories. */
const IO_SPACE: u32 = 2;
/** Pages beyond its image that it is sure of, 1 MiB. */
const ROOM: u32 = 256;
/** Frames for page tables, event channels and other allocations for it, and those of stable memory. */
const OVERHEAD: u32 = 48;
const STABLE_FRAMES: u32 = 32;
/** An IOMMU's page tables for its first mappings, and a context table. */
const DMA_TABLES: u32 = 8;
/** The call page and a few more. */
const OTHER_PAGES: u32 = 16;

const layout = changetype<SoftwareLayout>(memory.data(offsetof<SoftwareLayout>(), 8));

/**
 * Builds the I/O domain and unpauses it, unless the command line has `io=off` or there is no image for it (in the simulation).
 * @param boot BootInfo in linear memory
 * @returns false when out of memory: the machine works without it
 */
export function ioStart(boot: usize): bool {
  if (ioDomainRefused() || !hw.imagePages(IO_SPACE)) return true;
  ioApicInit(load<u64>(boot + BootInfo.rsdp));
  registersInit(boot);
  layout.callPage = IO_CALL_PAGE >> 12;
  layout.sharedInfo = IO_SHARED_INFO >> 12;
  layout.startInfo = IO_START_INFO >> 12;
  layout.scratchEnd = IO_CONTROL_END >> 12;
  layout.map = IO_MAP >> 12;
  layout.mapEnd = IO_MAP_END >> 12;
  layout.shared = IO_GRANT_TABLE >> 12;
  layout.sharedEnd = IO_GRANT_TABLE_END >> 12;
  layout.stable = IO_STABLE >> 12;
  layout.stableEnd = IO_STABLE_END >> 12;
  layout.dma = IO_DMA >> 12;
  layout.dmaEnd = IO_DMA_END >> 12;
  layout.mmio = IO_MMIO >> 12;
  layout.mmioEnd = IO_MMIO_END >> 12;
  layout.ramMax = IO_RAM_END >> 12;
  layout.ramFixed = 1;
  layout.room = ROOM;
  layout.overhead = OVERHEAD + (dmaConfined() ? DMA_TABLES : 0);
  layout.stableRoom = STABLE_FRAMES;
  const pages = layout.ramMax + (layout.scratchEnd - layout.startInfo) + (layout.dmaEnd - layout.dma) + OTHER_PAGES;
  return softwareCreate(IO_DOMAIN, false, IO_SPACE, layout, pages) != null;
}
