/** Starting, stopping and resetting a port of an AHCI adapter (AHCI 1.3.1, chapter 10), and finding out what is behind it. */
import {
  AHCI_CMD_CR,
  AHCI_CMD_FR,
  AHCI_CMD_FRE,
  AHCI_CMD_ICC_ACTIVE,
  AHCI_CMD_POD,
  AHCI_CMD_ST,
  AHCI_CMD_SUD,
  AHCI_PORT_DHRS,
  AHCI_PORT_HBDS,
  AHCI_PORT_HBFS,
  AHCI_PORT_IFS,
  AHCI_PORT_PCS,
  AHCI_PORT_PSS,
  AHCI_PORT_TFES,
  AHCI_SCTL_DET_RESET,
  AHCI_SSTS_DET,
  AHCI_SSTS_DET_PRESENT,
  AhciPortRegister,
} from "../../abi/io/ahci";
import { ATA_IDENTIFY_DEVICE, ATA_STATUS_BSY, ATA_STATUS_DRQ, ATA_STATUS_ERR } from "../../abi/io/ata";
import { ataDescribe, ataWords } from "../ata/identify-data";
import { dmaMachine } from "../host/dma";
import { barrier, read64, systemTime } from "../host/host";
import { ahciIssue, ahciPutIdentify } from "./command";
import { AHCI_FISES, AHCI_LIST, AHCI_RANGES, AhciDisk, portAwaitClear, portGet, portSet, taskFile } from "./device";

/** How long a port may take to stop: 500 ms by the specification, far less in practice; longer, and its link is reset. */
const STOP_NS: u64 = 20_000_000;
/** How long the reset of the link is asserted. */
const RESET_NS: u64 = 1_000_000;
/** How long a disk may take to say what it is: at the start, once. */
const ANSWER_NS: u64 = 1_000_000_000;
const ALL_ONES: u32 = 0xffffffff;

/** Causes that interrupt, and those that end what the port does. */
export const AHCI_CAUSES_FATAL: u32 = AHCI_PORT_TFES | AHCI_PORT_HBFS | AHCI_PORT_HBDS | AHCI_PORT_IFS;
const CAUSES: u32 = AHCI_CAUSES_FATAL | AHCI_PORT_DHRS | AHCI_PORT_PSS | AHCI_PORT_PCS;

/** Stops the processing of commands; false when it does not stop. */
export function portStop(d: AhciDisk): bool {
  portSet(d, AhciPortRegister.CMD, portGet(d, AhciPortRegister.CMD) & ~AHCI_CMD_ST);
  return portAwaitClear(d, AhciPortRegister.CMD, AHCI_CMD_CR, STOP_NS);
}

/** Stops the reception of FISes too: nothing is written to memory any more. */
export function portStopAll(d: AhciDisk): bool {
  const stopped = portStop(d);
  portSet(d, AhciPortRegister.CMD, portGet(d, AhciPortRegister.CMD) & ~AHCI_CMD_FRE);
  return portAwaitClear(d, AhciPortRegister.CMD, AHCI_CMD_FR, STOP_NS) && stopped;
}

/** Whether a device is there, and communicates. */
export function portPresent(d: AhciDisk): bool {
  const status = portGet(d, AhciPortRegister.SSTS);
  return status != ALL_ONES && (status & AHCI_SSTS_DET) == AHCI_SSTS_DET_PRESENT;
}

/** Whether the device takes commands. */
export function portReady(d: AhciDisk): bool {
  return portPresent(d) && (taskFile(d) & (ATA_STATUS_BSY | ATA_STATUS_DRQ)) == 0;
}

/** Starts a stopped port, without interrupts. */
export function portStart(d: AhciDisk): void {
  const list = dmaMachine(d.lists + AHCI_LIST);
  const fises = dmaMachine(d.lists + AHCI_FISES);
  portSet(d, AhciPortRegister.CLB, <u32>list);
  portSet(d, AhciPortRegister.CLB + 4, <u32>(list >> 32));
  portSet(d, AhciPortRegister.FB, <u32>fises);
  portSet(d, AhciPortRegister.FB + 4, <u32>(fises >> 32));
  portSet(d, AhciPortRegister.SERR, ALL_ONES);
  portSet(d, AhciPortRegister.IS, ALL_ONES);
  // What is in memory is there before the adapter looks.
  barrier();
  portSet(d, AhciPortRegister.CMD, AHCI_CMD_ICC_ACTIVE | AHCI_CMD_POD | AHCI_CMD_SUD | AHCI_CMD_FRE);
  portSet(d, AhciPortRegister.CMD, portGet(d, AhciPortRegister.CMD) | AHCI_CMD_ST);
}

/** Has the port interrupt. */
export function portListen(d: AhciDisk): void {
  portSet(d, AhciPortRegister.IE, CAUSES);
}

/** Restarts a port after a command failed: what was issued is to be issued again. False when it does not stop. */
export function portRestart(d: AhciDisk): bool {
  if (!portStop(d)) return false;
  portSet(d, AhciPortRegister.SERR, ALL_ONES);
  portSet(d, AhciPortRegister.IS, ALL_ONES);
  // A device that still wants something must be reset.
  if (taskFile(d) & (ATA_STATUS_BSY | ATA_STATUS_DRQ)) return false;
  portSet(d, AhciPortRegister.CMD, portGet(d, AhciPortRegister.CMD) | AHCI_CMD_ST);
  return true;
}

/** Resets the link and so the device, which is to be awaited. */
export function portReset(d: AhciDisk): void {
  portSet(d, AhciPortRegister.IE, 0);
  portStopAll(d);
  portSet(d, AhciPortRegister.SCTL, AHCI_SCTL_DET_RESET);
  const end = systemTime() + RESET_NS;
  while (systemTime() < end) {}
  portSet(d, AhciPortRegister.SCTL, 0);
}

/** Asks the device what it is, at the start, and fills in its record; false when it cannot be used. */
export function portIdentify(d: AhciDisk): bool {
  const buffer = d.lists + AHCI_RANGES;
  ahciPutIdentify(d, 0, ATA_IDENTIFY_DEVICE, buffer);
  ahciIssue(d, 1);
  const answered = portAwaitClear(d, AhciPortRegister.CI, 1, ANSWER_NS);
  d.issued = 0;
  const causes = portGet(d, AhciPortRegister.IS);
  portSet(d, AhciPortRegister.IS, ALL_ONES);
  if (!answered || causes & AHCI_CAUSES_FATAL || taskFile(d) & ATA_STATUS_ERR) return false;
  for (let i: usize = 0; i < 512; i += 8) store<u64>(ataWords + i, read64(buffer + i));
  return ataDescribe(d);
}
