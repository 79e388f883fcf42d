/**
 * PCI configuration space: by configuration mechanism #1 (ports 0xCF8 and 0xCFC), or, for reading, by ECAM for the buses that
 * were given an address with `pciEcamUse`. A function is named by its address, bus << 8 | device << 3 | function; there is one segment.
 *
 * What does not exist reads as all ones. Nothing here is trusted: callers check what they read.
 */
import { PCI_CONFIG_ADDRESS, PCI_CONFIG_DATA, PCI_CONFIG_ENABLE } from "../../abi/io/pci";
import { portIn, portOut, read16, read32, read8 } from "../host/host";
import { mmioMap } from "../host/mmio";

/** Configuration space of a function by ports and by ECAM; a bus's worth of ECAM. */
const PORT_BYTES: u32 = 256;
const ECAM_BYTES: u32 = 4096;
const ECAM_BUS_BYTES: u32 = 0x100000;

let ecamBase: u64 = 0;
let ecamFirst: u32 = 0;
let ecamLast: u32 = 0;
/** Linear address of each bus's ECAM, u32; 0 not mapped yet, 1 cannot be mapped. */
const ecamBuses: usize = memory.data(256 * 4);

/**
 * Uses ECAM for buses `first` to `last` (an entry of ACPI's MCFG table).
 * @param base machine address of bus 0's configuration space, even if `first` is not 0
 */
export function pciEcamUse(base: u64, first: u32, last: u32): void {
  ecamBase = base;
  ecamFirst = first;
  ecamLast = min<u32>(last, 255);
  memory.fill(ecamBuses, 0, 256 * 4);
}

/** The linear address of a register by ECAM; 0 when there is none. */
function ecamAddress(address: u32, register: u32): usize {
  const bus = address >> 8;
  if (ecamBase == 0 || bus < ecamFirst || bus > ecamLast) return 0;
  const slot = ecamBuses + ((<usize>bus) << 2);
  let linear: usize = load<u32>(slot);
  if (linear == 0) {
    linear = mmioMap(ecamBase + <u64>bus * ECAM_BUS_BYTES, ECAM_BUS_BYTES);
    if (linear == 0) linear = 1;
    store<u32>(slot, <u32>linear);
  }
  return linear == 1 ? 0 : linear + <usize>(address & 0xff) * ECAM_BYTES + register;
}

/** Selects a register for access by the data port; false beyond what ports reach. */
function select(address: u32, register: u32): bool {
  if (register >= PORT_BYTES) return false;
  portOut(PCI_CONFIG_ADDRESS, 4, PCI_CONFIG_ENABLE | ((address & 0xffff) << 8) | (register & 0xfc));
  return true;
}

/** Reads a register; `register` is naturally aligned. */
export function pciRead8(address: u32, register: u32): u32 {
  const at = ecamAddress(address, register);
  if (at) return read8(at);
  return select(address, register) ? portIn(PCI_CONFIG_DATA + (register & 3), 1) & 0xff : 0xff;
}

export function pciRead16(address: u32, register: u32): u32 {
  const at = ecamAddress(address, register);
  if (at) return read16(at);
  return select(address, register) ? portIn(PCI_CONFIG_DATA + (register & 2), 2) & 0xffff : 0xffff;
}

export function pciRead32(address: u32, register: u32): u32 {
  const at = ecamAddress(address, register);
  if (at) return read32(at);
  return select(address, register) ? portIn(PCI_CONFIG_DATA, 4) : 0xffffffff;
}

/** Writes a register; `register` is naturally aligned. By ports: ECAM is mapped read-only. */
export function pciWrite8(address: u32, register: u32, value: u32): void {
  if (select(address, register)) portOut(PCI_CONFIG_DATA + (register & 3), 1, value);
}

export function pciWrite16(address: u32, register: u32, value: u32): void {
  if (select(address, register)) portOut(PCI_CONFIG_DATA + (register & 2), 2, value);
}

export function pciWrite32(address: u32, register: u32, value: u32): void {
  if (select(address, register)) portOut(PCI_CONFIG_DATA, 4, value);
}
