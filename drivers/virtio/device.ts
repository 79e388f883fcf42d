/**
 * The PCI transport of virtio devices (virtio 1.1, 4.1): finding the structures in a device's BARs, status, features,
 * configuration. Transitional devices are used through their modern interface; one that has none is refused.
 *
 * Nothing that the device says is believed: structures must be inside their BARs, waits have an end, and configuration is
 * copied once (virtioConfigCopy), then checked by the driver, then used.
 */
import { EIO, ENODEV, EOPNOTSUPP } from "../../abi/errno";
import {
  VIRTIO_CONFIG_S_ACKNOWLEDGE,
  VIRTIO_CONFIG_S_DRIVER,
  VIRTIO_CONFIG_S_DRIVER_OK,
  VIRTIO_CONFIG_S_FAILED,
  VIRTIO_CONFIG_S_FEATURES_OK,
  VIRTIO_CONFIG_S_NEEDS_RESET,
  VIRTIO_F_VERSION_1,
  VIRTIO_MSI_NO_VECTOR,
  VIRTIO_PCI_CAP_BYTES,
  VIRTIO_PCI_CAP_COMMON_CFG,
  VIRTIO_PCI_CAP_DEVICE_CFG,
  VIRTIO_PCI_CAP_ISR_CFG,
  VIRTIO_PCI_CAP_NOTIFY_CFG,
  VirtioPciCap,
  VirtioPciCommonCfg,
} from "../../abi/io/virtio";
import { PCI_CAP_ID_VNDR } from "../../abi/io/pci";
import { heapAllocate } from "../host/heap";
import { read8, read16, read32, systemTime, write8, write16, write32 } from "../host/host";
import { say, sayEnd } from "../host/log";
import { pciBarMap, pciBarsRead } from "../pci/bars";
import { pciRead8, pciRead32 } from "../pci/config";
import { pciCapability, pciDecodeEnable, PciDevice, pciMasterDisable, pciMasterEnable, pciSay } from "../pci/device";
import { PCI_ALLOW_ALL, PCI_INTERRUPT_MSIX, pciInterruptsBind } from "../pci/interrupts";

/** How long a device may take for a reset. */
const RESET_NS: u64 = 100_000_000;
/** How often the configuration may change while it is copied. */
const CONFIG_TRIES: u32 = 16;
/** Largest structure that is mapped; a notification area of 4 bytes for each of 64 queues is 256 bytes. */
const STRUCTURE_MAX: u32 = 0x10000;
const CONFIG_MAX: u32 = 256;

@unmanaged
export class VirtioDevice {
  pci: usize; // PciDevice
  name: usize; // string constant, for the log
  common: usize; // linear addresses of the structures
  notify: usize;
  notifyBytes: u32;
  notifyMultiplier: u32;
  isr: usize;
  config: usize; // 0: the device has none
  configBytes: u32;
  msix: u32; // 1: vectors are assigned to queues; 0: one interrupt, whose cause is in the ISR byte
  vectors: u32; // interrupts it has, 0: it must be polled
  offered: u64; // features
  features: u64; // those accepted
}

/** Feature bit `number` as a mask. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function virtioBit(number: u32): u64 {
  return (<u64>1) << number;
}

/** Whether the feature was accepted. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function virtioHas(d: VirtioDevice, number: u32): bool {
  return ((d.features >> number) & 1) != 0;
}

/** Writes a line about the device to the log. */
export function virtioSay(d: VirtioDevice, words: string): void {
  say(changetype<string>(d.name));
  say(" ");
  pciSay(changetype<PciDevice>(d.pci));
  say(": ");
  say(words);
  sayEnd();
}

// --- Finding the structures ---------------------------------------------------------------------------------------------

/** Where the last structure looked for was found. */
let foundAt: usize = 0;
let foundBytes: u32 = 0;
let foundCapability: u32 = 0;

/** Maps the first structure of a type that can be: at least `least` bytes, its offset aligned to `alignment`. */
function findStructure(p: PciDevice, type: u32, least: u32, alignment: u32): bool {
  let at = pciCapability(p, PCI_CAP_ID_VNDR, 0);
  // The list itself ends after 48 steps; so does this.
  for (let i: u32 = 0; i < 48 && at != 0; i++) {
    if (pciRead8(p.address, at + VirtioPciCap.cfg_type) == type && mapStructure(p, at, least, alignment)) return true;
    at = pciCapability(p, PCI_CAP_ID_VNDR, at);
  }
  return false;
}

function mapStructure(p: PciDevice, at: u32, least: u32, alignment: u32): bool {
  if (pciRead8(p.address, at + VirtioPciCap.cap_len) < VIRTIO_PCI_CAP_BYTES) return false;
  const bar = pciRead8(p.address, at + VirtioPciCap.bar);
  const offset = pciRead32(p.address, at + VirtioPciCap.offset);
  const length = pciRead32(p.address, at + VirtioPciCap.length);
  if (length < least || (offset & (alignment - 1)) != 0) return false;
  foundBytes = min(length, STRUCTURE_MAX);
  foundAt = pciBarMap(p, bar, offset, foundBytes);
  foundCapability = at;
  return foundAt != 0;
}

/**
 * Makes the record of a virtio device: its structures are mapped, it has interrupts and is not started.
 * @param name string constant
 * @param vectors MSI-X vectors wanted
 * @returns a VirtioDevice; 0, with the reason in the log, if the device cannot be used
 */
export function virtioAttach(p: PciDevice, name: string, vectors: u32): usize {
  const d = changetype<VirtioDevice>(heapAllocate(offsetof<VirtioDevice>()));
  if (!changetype<usize>(d) || !pciBarsRead(p)) return 0;
  d.pci = changetype<usize>(p);
  d.name = changetype<usize>(name);
  pciDecodeEnable(p);
  if (!findStructure(p, VIRTIO_PCI_CAP_COMMON_CFG, VirtioPciCommonCfg.SIZE, 4)) {
    virtioSay(d, "no modern interface; not used");
    return 0;
  }
  d.common = foundAt;
  if (!findStructure(p, VIRTIO_PCI_CAP_ISR_CFG, 1, 1)) {
    virtioSay(d, "no usable ISR structure; not used");
    return 0;
  }
  d.isr = foundAt;
  if (!findStructure(p, VIRTIO_PCI_CAP_NOTIFY_CFG, 2, 2)) {
    virtioSay(d, "no usable notification structure; not used");
    return 0;
  }
  d.notify = foundAt;
  d.notifyBytes = foundBytes;
  d.notifyMultiplier = pciRead32(p.address, foundCapability + VirtioPciCap.notify_off_multiplier);
  if (findStructure(p, VIRTIO_PCI_CAP_DEVICE_CFG, 1, 4)) {
    d.config = foundAt;
    d.configBytes = min(foundBytes, CONFIG_MAX);
  }
  if (!virtioReset(d)) {
    virtioSay(d, "does not reset; not used");
    return 0;
  }
  d.vectors = pciInterruptsBind(p, vectors, PCI_ALLOW_ALL);
  d.msix = p.interruptKind == PCI_INTERRUPT_MSIX ? 1 : 0;
  return changetype<usize>(d);
}

// --- Status -------------------------------------------------------------------------------------------------------------

function status(d: VirtioDevice): u32 {
  return read8(d.common + VirtioPciCommonCfg.device_status);
}

function addStatus(d: VirtioDevice, bits: u32): void {
  write8(d.common + VirtioPciCommonCfg.device_status, status(d) | bits);
}

/**
 * Resets the device and waits until it says so. It may no longer access memory afterwards, whatever it says: bus mastering is off
 * until virtioBegin.
 */
export function virtioReset(d: VirtioDevice): bool {
  write8(d.common + VirtioPciCommonCfg.device_status, 0);
  const end = systemTime() + RESET_NS;
  let done = status(d) == 0;
  while (!done && systemTime() < end) done = status(d) == 0;
  pciMasterDisable(changetype<PciDevice>(d.pci));
  return done;
}

/**
 * Begins to drive a device that was reset (3.1.1, steps 2 to 4): `offered` are its features afterwards.
 * @returns 0, or -ENODEV: it is not there, or not a device of virtio 1
 */
export function virtioBegin(d: VirtioDevice): i32 {
  pciMasterEnable(changetype<PciDevice>(d.pci));
  addStatus(d, VIRTIO_CONFIG_S_ACKNOWLEDGE);
  addStatus(d, VIRTIO_CONFIG_S_DRIVER);
  if (status(d) != (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)) return -ENODEV;
  write32(d.common + VirtioPciCommonCfg.device_feature_select, 0);
  const low = read32(d.common + VirtioPciCommonCfg.device_feature);
  write32(d.common + VirtioPciCommonCfg.device_feature_select, 1);
  const high = read32(d.common + VirtioPciCommonCfg.device_feature);
  d.offered = ((<u64>high) << 32) | low;
  return d.offered & virtioBit(VIRTIO_F_VERSION_1) ? 0 : -ENODEV;
}

/**
 * Accepts features, a part of those offered, and has the device agree (3.1.1, steps 4 to 6).
 * @returns 0, or -EOPNOTSUPP: it does not
 */
export function virtioAccept(d: VirtioDevice, features: u64): i32 {
  d.features = features;
  write32(d.common + VirtioPciCommonCfg.driver_feature_select, 0);
  write32(d.common + VirtioPciCommonCfg.driver_feature, <u32>features);
  write32(d.common + VirtioPciCommonCfg.driver_feature_select, 1);
  write32(d.common + VirtioPciCommonCfg.driver_feature, <u32>(features >> 32));
  addStatus(d, VIRTIO_CONFIG_S_FEATURES_OK);
  return status(d) & VIRTIO_CONFIG_S_FEATURES_OK ? 0 : -EOPNOTSUPP;
}

/** The queues are set up: the device works from here on. */
export function virtioStart(d: VirtioDevice): void {
  addStatus(d, VIRTIO_CONFIG_S_DRIVER_OK);
}

/** Tells the device that it was given up. */
export function virtioFail(d: VirtioDevice): void {
  addStatus(d, VIRTIO_CONFIG_S_FAILED);
}

/** Whether the device is there and works: not removed, and no reset wanted (2.1.1). */
export function virtioWell(d: VirtioDevice): bool {
  const s = status(d);
  return (
    (s & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)) ==
    VIRTIO_CONFIG_S_DRIVER_OK
  );
}

/** Queues the device says it has. */
export function virtioQueueCount(d: VirtioDevice): u32 {
  return read16(d.common + VirtioPciCommonCfg.num_queues);
}

/**
 * Assigns the interrupt for changes of the configuration.
 * @returns 0, or -EIO: the device has no resources for it
 */
export function virtioConfigVector(d: VirtioDevice, vector: u32): i32 {
  if (!d.msix) return 0;
  write16(d.common + VirtioPciCommonCfg.msix_config, vector);
  return read16(d.common + VirtioPciCommonCfg.msix_config) == vector ? 0 : -EIO;
}

/** No interrupts from changes of the configuration. */
export function virtioConfigVectorNone(d: VirtioDevice): void {
  if (d.msix) write16(d.common + VirtioPciCommonCfg.msix_config, VIRTIO_MSI_NO_VECTOR);
}

/** Reads, and so clears, the cause of an interrupt that is not MSI-X: VIRTIO_PCI_ISR_*. */
export function virtioCause(d: VirtioDevice): u32 {
  return read8(d.isr);
}

// --- Configuration ------------------------------------------------------------------------------------------------------

/**
 * Copies the first `bytes` bytes of the device's configuration to `to`, zeroes for what it does not have, all of one moment.
 * @param bytes a multiple of 4
 * @returns false when the configuration does not hold still
 */
export function virtioConfigCopy(d: VirtioDevice, to: usize, bytes: u32): bool {
  for (let i: u32 = 0; i < CONFIG_TRIES; i++) {
    const before = read8(d.common + VirtioPciCommonCfg.config_generation);
    for (let at: u32 = 0; at < bytes; at++) store<u8>(to + at, at < d.configBytes ? <u8>read8(d.config + at) : 0);
    if (read8(d.common + VirtioPciCommonCfg.config_generation) == before) return true;
  }
  return false;
}
