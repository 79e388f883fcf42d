/** Sizes and numbers, as users write them and as they are shown. */
import { CommandError } from "./command-error.ts";

export const SECTOR_BYTES = 512;

const KIB = 1024;
/** Bytes of a unit. Without one a size is in MiB, as everywhere at the prompt. */
const UNITS: Record<string, number> = { "": KIB ** 2, B: 1, K: KIB, M: KIB ** 2, G: KIB ** 3, T: KIB ** 4 };

/**
 * Bytes of a size such as "64M", "1.5G" or "512K"; without a unit it is MiB.
 * @param what names it in errors
 * @param step the size is to be a multiple of it
 * @throws CommandError
 */
export function parseBytes(what: string, text: string, step: number): number {
  const [, number, unit] = /^([0-9]{1,15}(?:\.[0-9]{1,6})?)(?:([KMGT])(?:i?B)?|(B))?$/i.exec(text) ?? [];
  const letter = /b$/i.test(text) && unit === undefined ? "B" : (unit ?? "").toUpperCase();
  const bytes = Number(number ?? NaN) * UNITS[letter]!;
  if (!(Number.isSafeInteger(bytes) && bytes > 0)) {
    throw new CommandError(`${what}: "${text}" is no size such as 64M, 512K or 2G; without a unit it is MiB`);
  }
  if (bytes % step !== 0) throw new CommandError(`${what}: ${text} is no multiple of ${step} bytes`);
  return bytes;
}

/** "16M", "1.5G", "10752B": a size as `parseBytes` reads it. */
export function shortSize(bytes: number): string {
  for (const unit of ["T", "G", "M", "K"]) {
    const value = bytes / UNITS[unit]!;
    if (value >= 1 && Number.isInteger(value * 10)) return `${value}${unit}`;
  }
  return bytes === 0 ? "0" : `${bytes}B`;
}

/** A size in the largest unit that leaves a readable number: "640 KiB", "12.5 MiB". */
export function formatBytes(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}

/** "1 page", "2 pages". */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}
