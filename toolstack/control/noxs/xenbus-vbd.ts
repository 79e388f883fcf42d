/** What a block frontend says through the store (xen/io/blkif.h), and what the backend says to it. */
import { flagNode, FrontendError, numberNode, optionalNumber, type Nodes, type ReadNode } from "./xenbus.ts";

export interface VbdRing {
  /** One for each page of the ring. */
  refs: number[];
  port: number;
}

export interface VbdFrontend {
  rings: VbdRing[];
  /** Layout of the requests: of 64-bit guests, or of 32-bit ones. */
  protocol: "x86_64-abi" | "x86_32-abi";
  persistent: boolean;
}

/** What a disk is, as the I/O domain tells it. */
export interface VbdProperties {
  /** Of `sectorSize` bytes. */
  sectors: number;
  sectorSize: number;
  physicalSectorSize: number;
  discardGranularity: number;
}

/** Pages of a ring, as a power of two; rings of a vbd; segments of an indirect request. */
export const RING_PAGE_ORDER = 4;
export const VBD_RINGS = 4;
export const INDIRECT_SEGMENTS = 256;

const VDISK_READONLY = 4;

/** Written before InitWait. */
export function vbdFeatures(writable: boolean): Nodes {
  return [
    ["max-ring-page-order", String(RING_PAGE_ORDER)],
    ["multi-queue-max-queues", String(VBD_RINGS)],
    ["feature-max-indirect-segments", String(INDIRECT_SEGMENTS)],
    ["feature-persistent", "1"],
    ["feature-flush-cache", writable ? "1" : "0"],
    ["feature-barrier", writable ? "1" : "0"],
  ];
}

/** Written before Connected. */
export function vbdProperties(disk: VbdProperties, writable: boolean): Nodes {
  const discard: Nodes =
    writable && disk.discardGranularity > 0
      ? [
          ["discard-granularity", String(disk.discardGranularity)],
          ["discard-alignment", "0"],
          ["discard-secure", "0"],
          ["feature-discard", "1"],
        ]
      : [];
  return [
    ...discard,
    ["sectors", String(disk.sectors)],
    ["info", String(writable ? 0 : VDISK_READONLY)],
    ["sector-size", String(disk.sectorSize)],
    ["physical-sector-size", String(disk.physicalSectorSize)],
  ];
}

/** @throws FrontendError */
export function readVbdFrontend(read: ReadNode): VbdFrontend {
  const protocol = read("protocol") ?? "x86_64-abi";
  if (protocol !== "x86_64-abi" && protocol !== "x86_32-abi") {
    throw new FrontendError("its protocol is neither x86_64-abi nor x86_32-abi");
  }
  const count = optionalNumber(read, "multi-queue-num-queues") ?? 1;
  if (count < 1 || count > VBD_RINGS)
    throw new FrontendError(`it wants ${count} rings: 1 to ${VBD_RINGS} are possible`);
  const order = optionalNumber(read, "ring-page-order");
  if (order !== undefined && order > RING_PAGE_ORDER) {
    throw new FrontendError(`its rings have 2^${order} pages: 2^${RING_PAGE_ORDER} are possible`);
  }
  const rings: VbdRing[] = [];
  for (let i = 0; i < count; i++) rings.push(readRing(read, count > 1 ? `queue-${i}/` : "", order));
  return { rings, protocol, persistent: flagNode(read, "feature-persistent") };
}

function readRing(read: ReadNode, prefix: string, order: number | undefined): VbdRing {
  const port = numberNode(read, `${prefix}event-channel`);
  if (order === undefined) return { refs: [numberNode(read, `${prefix}ring-ref`)], port };
  // A frontend with one page may have used the old name of its reference.
  const old = order === 0 ? optionalNumber(read, `${prefix}ring-ref`) : undefined;
  if (old !== undefined) return { refs: [old], port };
  const refs: number[] = [];
  for (let i = 0; i < 1 << order; i++) refs.push(numberNode(read, `${prefix}ring-ref${i}`));
  return { refs, port };
}
