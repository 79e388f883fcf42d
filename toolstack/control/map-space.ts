/**
 * Which pages of the mapping region are in use. The first BUILD_PAGES are the domain builder's, which maps a batch,
 * copies, and unmaps; then those of the I/O domain's control channel; single pages after them are allocated for permanent
 * mappings of guests' pages.
 */
import { DOM0_MAP, DOM0_MAP_END } from "../../abi/domain0-layout.ts";
import { SERIAL_PORTS, SerialPage } from "../../abi/io/control-serial.ts";
import { IO_CONTROL, IO_CONTROL_END } from "../../abi/io/layout.ts";
import { PAGE_SIZE } from "./window.ts";

/** Address of the builder's part, and its pages: as many as one batch of mappings holds. */
export const BUILD_WINDOW = DOM0_MAP;
export const BUILD_PAGES = 512;

/** Where the I/O domain's control channel is mapped. */
export const IO_WINDOW = DOM0_MAP + BUILD_PAGES * PAGE_SIZE;

/** And the serial ports that are served over it, SerialPage.SIZE each. */
export const SERIAL_WINDOW = IO_WINDOW + (IO_CONTROL_END - IO_CONTROL);

let fresh = SERIAL_WINDOW + SERIAL_PORTS * SerialPage.SIZE;
const released: number[] = [];

/** Takes one page of the mapping region; nothing is mapped there yet. */
export function takeMapPage(): number {
  const again = released.pop();
  if (again !== undefined) return again;
  if (fresh >= DOM0_MAP_END) throw new Error("no room left for mapping guest pages");
  fresh += PAGE_SIZE;
  return fresh - PAGE_SIZE;
}

/** Gives a page back after it was unmapped. */
export function releaseMapPage(address: number): void {
  released.push(address);
}
