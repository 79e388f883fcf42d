/** Stopping and starting a controller (NVM Express 1.4, 7.6), and what it and its namespaces say they are. */
import {
  Nvme,
  NVME_CC_EN,
  NVME_CC_SIZES,
  NVME_CREATE_CQ,
  NVME_CREATE_SQ,
  NVME_CSTS_CFS,
  NVME_CSTS_RDY,
  NVME_IDENTIFY,
  NVME_IDENTIFY_CONTROLLER,
  NVME_IDENTIFY_NAMESPACE,
  NVME_QUEUE_CONTIGUOUS,
  NVME_QUEUE_INTERRUPTS,
  NvmeCommand,
  NvmeIdentifyController,
  NvmeIdentifyNamespace,
} from "../../abi/io/nvme";
import {
  BLOCK_CAN_DISCARD,
  BLOCK_CAN_WRITE_ZEROES,
  BLOCK_HAS_CACHE,
  BLOCK_SECTOR_SHIFT,
  BLOCK_SECTORS_LIMIT,
  BLOCK_SEGMENT_BYTES_MAX,
} from "../block";
import { dmaMachine } from "../host/dma";
import { barrier, read16, read32, read64, read8, systemTime, write32, write64 } from "../host/host";
import { pciMasterDisable, pciMasterEnable } from "../pci/device";
import {
  adminOf,
  completedId,
  completedStatus,
  doorbell,
  ioOf,
  NVME_ADMIN_ENTRIES,
  NvmeController,
  NvmeDisk,
  nvmeGet,
  nvmeSet,
  nvmeSet64,
  pciOf,
  queueKick,
  queuePut,
  queueReset,
  queueTake,
  queueTaken,
} from "./device";
import { NVME_PAGES_MAX, slotsReset } from "./request";

/** How long an admin command may take, while the module does nothing else. */
const ADMIN_NS: u64 = 200_000_000;
const ALL_ONES: u32 = 0xffffffff;
const PAGE_SHIFT: u32 = 12;
/** Most blocks of a write-zeroes, and of a range of a deallocation that are sectors in 32 bits too. */
const ZEROES_BLOCKS: u32 = 65536;
const DISCARD_SECTORS: u32 = 0x7ffff000;

/** Tells the controller to stop; it may no longer access memory, whatever it does. */
export function controllerStop(c: NvmeController): void {
  nvmeSet(c, Nvme.CC, 0);
  pciMasterDisable(pciOf(c));
}

/** Whether the controller has stopped (`ready` false) or started; -1 when it never will. */
export function controllerIs(c: NvmeController, ready: bool): i32 {
  const status = nvmeGet(c, Nvme.CSTS);
  if (status == ALL_ONES || (ready && status & NVME_CSTS_CFS)) return -1;
  return ((status & NVME_CSTS_RDY) != 0) == ready ? 1 : 0;
}

/** Waits for that, `ns` at most; as controllerIs. */
export function controllerAwait(c: NvmeController, ready: bool, ns: u64): i32 {
  const end = systemTime() + ns;
  let is = controllerIs(c, ready);
  while (is == 0 && systemTime() < end) is = controllerIs(c, ready);
  return is;
}

/** Tells a controller that has stopped to start, with empty queues. */
export function controllerStart(c: NvmeController): void {
  const admin = adminOf(c);
  queueReset(admin);
  queueReset(ioOf(c));
  slotsReset(c);
  nvmeSet(c, Nvme.AQA, (NVME_ADMIN_ENTRIES - 1) | ((NVME_ADMIN_ENTRIES - 1) << 16));
  nvmeSet64(c, Nvme.ASQ, dmaMachine(admin.submissions));
  nvmeSet64(c, Nvme.ACQ, dmaMachine(admin.completions));
  admin.submissionDoorbell = doorbell(c, 0, false);
  admin.completionDoorbell = doorbell(c, 0, true);
  // The queues are empty before the controller looks.
  barrier();
  pciMasterEnable(pciOf(c));
  nvmeSet(c, Nvme.CC, NVME_CC_SIZES | NVME_CC_EN);
}

/** Carries out an admin command; whether it succeeded. */
function adminCommand(c: NvmeController, opcode: u32, namespace: u32, prp: u64, cdw10: u32, cdw11: u32): bool {
  const q = adminOf(c);
  const id = q.tail;
  const at = queuePut(q, opcode, id, namespace);
  write64(at + NvmeCommand.prp1, prp);
  write32(at + NvmeCommand.cdw10, cdw10);
  write32(at + NvmeCommand.cdw11, cdw11);
  queueKick(q);
  const end = systemTime() + ADMIN_NS;
  let answered = queueTake(q);
  while (!answered && systemTime() < end) answered = queueTake(q);
  if (!answered) return false;
  q.used--;
  queueTaken(q);
  return completedId == id && (completedStatus & 0x7ff) == 0;
}

/** Makes the I/O queues of a controller that is ready. False when it does not. */
export function controllerQueues(c: NvmeController): bool {
  const q = ioOf(c);
  const size = (q.entries - 1) << 16;
  q.submissionDoorbell = doorbell(c, 1, false);
  q.completionDoorbell = doorbell(c, 1, true);
  const completions = dmaMachine(q.completions);
  const submissions = dmaMachine(q.submissions);
  const flags = NVME_QUEUE_CONTIGUOUS | NVME_QUEUE_INTERRUPTS;
  return (
    adminCommand(c, NVME_CREATE_CQ, 0, completions, 1 | size, flags) &&
    adminCommand(c, NVME_CREATE_SQ, 0, submissions, 1 | size, NVME_QUEUE_CONTIGUOUS | (1 << 16))
  );
}

/**
 * Asks the controller what it is.
 * @returns how many namespaces it may have; 0 when it cannot be used
 */
export function controllerIdentify(c: NvmeController): u32 {
  if (!adminCommand(c, NVME_IDENTIFY, 0, dmaMachine(c.buffer), NVME_IDENTIFY_CONTROLLER, 0)) return 0;
  const submission = read8(c.buffer + NvmeIdentifyController.sqes);
  const completion = read8(c.buffer + NvmeIdentifyController.cqes);
  // Entries of 64 and 16 bytes must be among those it takes.
  if ((submission & 15) > 6 || submission >> 4 < 6 || (completion & 15) > 4 || completion >> 4 < 4) return 0;
  const mdts = read8(c.buffer + NvmeIdentifyController.mdts);
  c.pagesMax = mdts == 0 || mdts > 8 ? NVME_PAGES_MAX : min<u32>(NVME_PAGES_MAX, (<u32>1) << mdts);
  const optional = read16(c.buffer + NvmeIdentifyController.oncs);
  c.features = (optional & 4 ? BLOCK_CAN_DISCARD : 0) | (optional & 8 ? BLOCK_CAN_WRITE_ZEROES : 0);
  c.cache = read8(c.buffer + NvmeIdentifyController.vwc) & 1;
  return read32(c.buffer + NvmeIdentifyController.nn);
}

/** Asks about a namespace and fills in its disk's record; false when there is none, or none that can be used. */
export function namespaceIdentify(c: NvmeController, d: NvmeDisk): bool {
  if (!adminCommand(c, NVME_IDENTIFY, d.namespace, dmaMachine(c.buffer), NVME_IDENTIFY_NAMESPACE, 0)) return false;
  const blocks = read64(c.buffer + NvmeIdentifyNamespace.nsze);
  const format = read8(c.buffer + NvmeIdentifyNamespace.flbas) & 15;
  const layout = read32(c.buffer + NvmeIdentifyNamespace.lbaf + format * 4);
  d.blockShift = (layout >> 16) & 0xff;
  // Blocks of 512 to 4096 bytes, without metadata.
  if (blocks == 0 || layout & 0xffff || d.blockShift < BLOCK_SECTOR_SHIFT || d.blockShift > PAGE_SHIFT) return false;
  const shift = d.blockShift - BLOCK_SECTOR_SHIFT;
  if (blocks > BLOCK_SECTORS_LIMIT >> shift) return false;
  d.sectors = blocks << shift;
  d.sectorSize = (<u32>1) << d.blockShift;
  d.physicalSectorSize = d.sectorSize;
  d.readOnly = read8(c.buffer + NvmeIdentifyNamespace.nsattr) & 1;
  d.features = c.features | (c.cache ? BLOCK_HAS_CACHE : 0);
  d.segmentBytesMax = BLOCK_SEGMENT_BYTES_MAX;
  d.discardSectorsMax = DISCARD_SECTORS;
  d.zeroesSectorsMax = ZEROES_BLOCKS << shift;
  return true;
}
