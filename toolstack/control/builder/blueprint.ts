/**
 * What a guest's configuration alone decides of building it: where everything lies, and what is written where. Guests that
 * are alike are built by one blueprint, which is kept if it is small.
 */
import { DOM0_MAP } from "../../../abi/domain0-layout.ts";
import { encodeUtf8 } from "../text.ts";
import { acpiSize, acpiTables } from "./acpi.ts";
import { parseKernel, type Kernel } from "./elf.ts";
import { planWrites, type Batch, type Piece } from "./guest-writer.ts";
import type { Image } from "./image.ts";
import { planGuest, type GuestLayout } from "./layout.ts";
import { makeStartInfo, startInfoSize } from "./start-info.ts";

const MIB = 1024 * 1024;

export interface Blueprint {
  kernel: Kernel;
  layout: GuestLayout;
  /** Bytes that are written, and how. */
  size: number;
  writes: Iterable<Batch>;
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
const kept = new Map<string, Blueprint>();
const KEPT = 16;
/** Those that write more are made each time: their lists of frames would take more memory than they save time. */
const KEPT_BYTES = 2 * MIB;

/** The blueprint for such a guest. Throws BuildError for an image that is no kernel, or what does not fit. */
export function blueprintFor(config: BlueprintConfig): Blueprint {
  const { kernel, ramdisk, commandLine, memoryMib, vcpus } = config;
  const stays = kernel.address < DOM0_MAP && (ramdisk === undefined || ramdisk.address < DOM0_MAP);
  if (!stays) return makeBlueprint(config);
  const key = `${kernel.address} ${ramdisk?.address ?? ""} ${memoryMib} ${vcpus} ${commandLine}`;
  const known = kept.get(key);
  if (known !== undefined) return known;
  const made = makeBlueprint(config);
  if (made.size > KEPT_BYTES) return made;
  made.writes = [...made.writes];
  if (kept.size >= KEPT) kept.delete(kept.keys().next().value!);
  kept.set(key, made);
  return made;
}

function makeBlueprint({ kernel: image, ramdisk, commandLine: text, memoryMib, vcpus }: BlueprintConfig): Blueprint {
  const kernel = parseKernel(image);
  const commandLine = encodeUtf8(text);
  const ramdiskSize = ramdisk?.size ?? 0;
  const layout = planGuest(
    image.name,
    kernel,
    ramdiskSize,
    memoryMib * MIB,
    startInfoSize(commandLine),
    acpiSize(vcpus),
  );
  const startInfo = makeStartInfo(layout, commandLine, ramdiskSize);
  const acpi = acpiTables(layout.acpi, vcpus);
  const pieces: Piece[] = kernel.segments.map(({ address, fileOffset, fileSize }) => ({
    address,
    size: fileSize,
    from: image.address + fileOffset,
  }));
  if (ramdisk !== undefined) pieces.push({ address: layout.ramdisk, size: ramdisk.size, from: ramdisk.address });
  pieces.push({ address: layout.startInfo, size: startInfo.length, from: startInfo });
  pieces.push({ address: layout.acpi, size: acpi.length, from: acpi });
  const size = pieces.reduce((sum, piece) => sum + piece.size, 0);
  return { kernel, layout, size, writes: planWrites(pieces) };
}
