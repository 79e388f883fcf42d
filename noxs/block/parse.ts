/**
 * Consuming a request: its slot is read once, into the in-flight table, and judged there. One that is not possible is consumed
 * like any other, and answered with the reason.
 */
import { GNTCOPY_source_gref, GNTST_okay, GnttabCopy, GNTTABOP_copy } from "../../abi/grant-table";
import {
  BLKIF_DISCARD_SECURE,
  BLKIF_MAX_SEGMENTS_PER_REQUEST,
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_INDIRECT,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER,
  BLKIF_RSP_EOPNOTSUPP,
  BLKIF_RSP_ERROR,
  BlkifRequest,
  BlkifRequest32,
  BlkifRequestDiscard,
  BlkifRequestDiscard32,
  BlkifRequestIndirect,
  BlkifRequestIndirect32,
  BlkifSegment,
} from "../../abi/io/blkif";
import { VBD_PROTOCOL_X86_32 } from "../../abi/io/control-block";
import { SRING_HEADER } from "../../abi/io/ring";
import { DOMID_SELF } from "../../abi/xen";
import { BLOCK_CAN_DISCARD, BlockDevice } from "../../drivers/block";
import { barrier, read16, read32, read8, write32 } from "../../drivers/host/host";
import { grantTableOp } from "../../drivers/host/hypercalls";
import { blockTake, requestTake } from "./entries";
import { Entry, entrySegments, ENTRY_BUSY, Request, Ring, SEGMENTS_MAX, StableRing, stableRing, Vbd } from "./records";

const PAGE_SECTORS: u32 = 8;
const copyOp: usize = memory.data(40, 8);
/** Room for a whole page that segments are copied into: the hypervisor copies into RAM, and not where nothing was touched. */
const copyRoom: usize = memory.data(8192);

/** 64 bits of a slot, whose fields may be aligned to 4 bytes only. */
function read64In(at: usize): u64 {
  return (<u64>read32(at)) | ((<u64>read32(at + 4)) << 32);
}

/** Consumes the next request of a ring; there is one, and entryReady. */
export function consume(v: Vbd, ring: Ring): Request {
  const r = requestTake();
  const e = r.entry;
  const slot = ring.mapped + SRING_HEADER + <usize>(ring.consumed & (ring.slots - 1)) * ring.slotBytes;
  r.vbd = v;
  r.ring = ring;
  e.vbd = v.index;
  e.ring = ring.number;
  e.index = ring.consumed;
  e.reason = 0;
  e.count = 0;
  e.sectors = 0;
  e.response = 0;
  e.status = 0;
  copyRequest(v, r, slot);
  if (e.reason == 0) e.reason = judge(v, e);
  barrier();
  write32(changetype<usize>(e), ENTRY_BUSY);
  ring.consumed++;
  write32(changetype<usize>(stableRing(v.stable, ring.number)) + offsetof<StableRing>("consumed"), ring.consumed);
  return r;
}

function copyRequest(v: Vbd, r: Request, slot: usize): void {
  const e = r.entry;
  const narrow = v.stable.protocol == VBD_PROTOCOL_X86_32;
  const operation = read8(slot + BlkifRequest.operation);
  e.operation = operation;
  e.id = read64In(slot + (narrow ? BlkifRequest32.id : BlkifRequest.id));
  e.sector = read64In(slot + (narrow ? BlkifRequest32.sector_number : BlkifRequest.sector_number));
  if (operation == BLKIF_OP_INDIRECT) {
    copyIndirect(v, r, slot, narrow);
  } else if (operation == BLKIF_OP_DISCARD) {
    if (read8(slot + BlkifRequestDiscard.flag) & BLKIF_DISCARD_SECURE) e.reason = BLKIF_RSP_EOPNOTSUPP;
    e.sectors = read64In(slot + (narrow ? BlkifRequestDiscard32.nr_sectors : BlkifRequestDiscard.nr_sectors));
  } else if (operation <= BLKIF_OP_FLUSH_DISKCACHE) {
    const count = read8(slot + BlkifRequest.nr_segments);
    if (count > BLKIF_MAX_SEGMENTS_PER_REQUEST) {
      e.reason = BLKIF_RSP_ERROR;
      return;
    }
    e.count = count;
    const from = slot + (narrow ? BlkifRequest32.seg : BlkifRequest.seg);
    const to = entrySegments(e);
    for (let at: usize = 0; at < count * BlkifSegment.SIZE; at += 4) store<u32>(to + at, read32(from + at));
  } else {
    e.reason = BLKIF_RSP_EOPNOTSUPP;
  }
}

/** The segments of an indirect request are in a page of their own, which is copied. */
function copyIndirect(v: Vbd, r: Request, slot: usize, narrow: bool): void {
  const e = r.entry;
  const operation = read8(slot + BlkifRequestIndirect.indirect_op);
  const count = read16(slot + BlkifRequestIndirect.nr_segments);
  e.operation = operation;
  e.reason = BLKIF_RSP_ERROR;
  if (operation != BLKIF_OP_READ && operation != BLKIF_OP_WRITE) return;
  if (count == 0 || count > SEGMENTS_MAX) return;
  blockTake(r);
  e.count = count;
  const bytes = <usize>count * BlkifSegment.SIZE;
  const page = (copyRoom + 4095) & ~(<usize>4095);
  memory.fill(page, 0, bytes);
  const grefs = slot + (narrow ? BlkifRequestIndirect32.indirect_grefs : BlkifRequestIndirect.indirect_grefs);
  memory.fill(copyOp, 0, GnttabCopy.SIZE);
  store<u32>(copyOp, read32(grefs), GnttabCopy.source_u_ref);
  store<u16>(copyOp, <u16>v.stable.domid, GnttabCopy.source_domid);
  store<u64>(copyOp, page >> 12, GnttabCopy.dest_u_gmfn);
  store<u16>(copyOp, <u16>DOMID_SELF, GnttabCopy.dest_domid);
  store<u16>(copyOp, <u16>bytes, GnttabCopy.len);
  store<u16>(copyOp, <u16>GNTCOPY_source_gref, GnttabCopy.flags);
  if (grantTableOp(GNTTABOP_copy, copyOp, 1) != 0) return;
  if (load<i16>(copyOp, GnttabCopy.status) != GNTST_okay) return;
  memory.copy(entrySegments(e), page, bytes);
  e.reason = 0;
}

/** Why a request is not possible: BLKIF_RSP_*, 0: it is. */
function judge(v: Vbd, e: Entry): i32 {
  if (!v.ready) return BLKIF_RSP_ERROR;
  const d = changetype<BlockDevice>(v.target.device);
  const unit = (d.sectorSize >> 9) - 1;
  const isRead = e.operation == BLKIF_OP_READ;
  if (!isRead && !v.stable.writable && e.operation != BLKIF_OP_FLUSH_DISKCACHE) return BLKIF_RSP_ERROR;
  if (e.operation == BLKIF_OP_DISCARD) {
    if (!(d.features & BLOCK_CAN_DISCARD)) return BLKIF_RSP_EOPNOTSUPP;
    return e.sector <= d.sectors && e.sectors <= d.sectors - e.sector ? 0 : BLKIF_RSP_ERROR;
  }
  let sectors: u32 = 0;
  const segments = entrySegments(e);
  for (let i: u32 = 0; i < e.count; i++) {
    const s = segments + <usize>i * BlkifSegment.SIZE;
    const first = <u32>load<u8>(s, BlkifSegment.first_sect);
    const last = <u32>load<u8>(s, BlkifSegment.last_sect);
    if (first > last || last >= PAGE_SECTORS) return BLKIF_RSP_ERROR;
    sectors += last - first + 1;
  }
  e.sectors = sectors;
  if (!sectors) return isRead || e.operation == BLKIF_OP_WRITE ? BLKIF_RSP_ERROR : 0;
  if (!isRead && !v.stable.writable) return BLKIF_RSP_ERROR;
  if (((<u32>e.sector) | sectors) & unit) return BLKIF_RSP_ERROR;
  if (e.sector > d.sectors || <u64>sectors > d.sectors - e.sector) return BLKIF_RSP_ERROR;
  return 0;
}

/** Whether an operation has its data written. */
export function isWrite(operation: u32): bool {
  return operation == BLKIF_OP_WRITE || operation == BLKIF_OP_WRITE_BARRIER || operation == BLKIF_OP_FLUSH_DISKCACHE;
}
