/** Checks that there is enough memory for a guest, with error messages. */
import { physicalInfo } from "../hypercalls/sysctl.ts";
import { formatBytes } from "../../api/sizes.ts";
import { PAGE_SIZE } from "../window.ts";
import { BuildError } from "./build-error.ts";

const MIB = 1024 * 1024;

/** Why a guest of that size cannot be created now. */
export function notEnoughMemory(memoryMib: number): BuildError {
  return new BuildError(
    `not enough memory: the guest is to have ${formatBytes(memoryMib * MIB)}, ` +
      `${formatBytes(physicalInfo().availablePages * PAGE_SIZE)} are free (a guest takes a little more than its own memory)`,
  );
}

/** Populating as much as this takes no longer than asking whether it is there. */
const SMALL_MIB = 64;

/**
 * Refuses a guest that cannot fit, before allocating any memory: populating takes long, and would starve other domains. A small
 * one is refused when it has found none.
 * @throws BuildError
 */
export function refuseTooLarge(memoryMib: number): void {
  if (memoryMib <= SMALL_MIB) return;
  if (memoryMib * MIB > physicalInfo().availablePages * PAGE_SIZE) throw notEnoughMemory(memoryMib);
}
