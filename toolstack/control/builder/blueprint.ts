/**
 * What a guest's configuration alone decides of building it: where everything lies, and what is written where. Guests that
 * are alike are built by one blueprint, which is kept if it is small.
 */
import { DOM0_MAP } from "../../../abi/domain0-layout.ts";
import { encodeUtf8 } from "../text.ts";
import { acpiSize, acpiTables } from "./acpi.ts";
import type { Kernel, PvhKernel } from "./elf.ts";
import { planWrites, type Batch, type Piece } from "./guest-writer.ts";
import type { Image } from "./image.ts";
import { planGuest, type MemoryPlan } from "./layout.ts";
import type { Rings } from "./rings.ts";
import { makeStartInfo, startInfoSize } from "./start-info.ts";
import { setStartContext } from "./vcpu-state.ts";

const MIB = 1024 * 1024;

/** How a guest is built, and the steps that depend on its kind. */
export interface Plan {
  layout: MemoryPlan;
  /** Bytes that are written, and how. */
  size: number;
  batches: (rings: Rings) => Iterable<Batch>;
  /** What remains to be done when all is written. */
  finish: (id: number) => void;
}

/** What it is made for. */
export interface BlueprintConfig {
  kernel: Image;
  ramdisk?: Image;
  commandLine: string;
  memoryMib: number;
  vcpus: number;
}

/** Of images that stay where they are: boot modules. Those used longest ago first. */
const kept = new Map<string, Plan>();
/** The one used last, found without its key: guests of one kind are often made one after the other. */
let latest: (BlueprintConfig & { blueprint: Plan }) | null = null;
const KEPT = 16;
/** Those that write more are made each time: their lists of frames would take more memory than they save time. */
const KEPT_BYTES = 2 * MIB;

/** The blueprint for such a guest, whose kernel has been read. Throws BuildError for what does not fit. */
export function blueprintFor(config: BlueprintConfig, parsed: PvhKernel): Plan {
  const { kernel, ramdisk, commandLine, memoryMib, vcpus } = config;
  const stays = kernel.address < DOM0_MAP && (ramdisk === undefined || ramdisk.address < DOM0_MAP);
  if (!stays) return makeBlueprint(config, parsed, false);
  if (
    latest?.kernel === kernel &&
    latest.ramdisk === ramdisk &&
    latest.memoryMib === memoryMib &&
    latest.vcpus === vcpus &&
    latest.commandLine === commandLine
  ) {
    return latest.blueprint;
  }
  const key = `${kernel.address} ${ramdisk?.address ?? ""} ${memoryMib} ${vcpus} ${commandLine}`;
  const known = kept.get(key);
  const blueprint = known ?? makeBlueprint(config, parsed, true);
  if (known === undefined) {
    if (blueprint.size > KEPT_BYTES) return blueprint;
    if (kept.size >= KEPT) kept.delete(kept.keys().next().value!);
    kept.set(key, blueprint);
  }
  latest = { kernel, ramdisk, commandLine, memoryMib, vcpus, blueprint };
  return blueprint;
}

/** @param stays the images stay where they are: what is written where can be kept */
function makeBlueprint(config: BlueprintConfig, kernel: PvhKernel, stays: boolean): Plan {
  const { ramdisk, vcpus } = config;
  const commandLine = encodeUtf8(config.commandLine);
  const ramdiskSize = ramdisk?.size ?? 0;
  const layout = planGuest(
    config.kernel.name,
    kernel,
    ramdiskSize,
    config.memoryMib * MIB,
    startInfoSize(commandLine),
    acpiSize(vcpus),
  );
  const pieces = [
    ...imagePieces(config, kernel, layout.ramdisk),
    bytesAt(layout.startInfo, makeStartInfo(layout, commandLine, ramdiskSize)),
    bytesAt(layout.acpi, acpiTables(layout.acpi, vcpus)),
  ];
  const size = pieces.reduce((sum, piece) => sum + piece.size, 0);
  const kept = stays && size <= KEPT_BYTES ? [...planWrites(pieces)] : null;
  return {
    layout,
    size,
    batches: () => kept ?? planWrites(pieces),
    finish: (id) => setStartContext(id, kernel.entry, layout.startInfo),
  };
}

/** The kernel's segments and the ramdisk, which goes to `address`, as what is to be written. */
export function imagePieces({ kernel: image, ramdisk }: BlueprintConfig, kernel: Kernel, address: number): Piece[] {
  const pieces: Piece[] = kernel.segments.map(({ address: at, fileOffset, fileSize }) => ({
    address: at,
    size: fileSize,
    from: image.address + fileOffset,
  }));
  if (ramdisk !== undefined) pieces.push({ address, size: ramdisk.size, from: ramdisk.address });
  return pieces;
}

/** Bytes as something to be written. */
export function bytesAt(address: number, bytes: Uint8Array): Piece {
  return { address, size: bytes.length, from: bytes };
}
