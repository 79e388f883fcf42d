/**
 * __HYPERVISOR_grant_table_op: a domain lets others use its pages by writing entries into its grant table; this is how
 * they use them, and how the table is set up. Version 1 entries only, as Xen with gnttab=max-ver:1. Page transfer,
 * unmap_and_replace, status frames, cache flushes and the debug dump are refused with -ENOSYS: Xen gives them to PV
 * domains only. Errors of single elements are GNTST_* in the element, as Xen's.
 *
 * The parts: grant-frames.ts (the table), grant-pin.ts (use of an entry), grant-map.ts, grant-copy.ts.
 */
import { EFAULT, EINVAL, ENOSYS, EPERM, ESRCH } from "../../abi/errno";
import {
  GNTST_bad_domain,
  GNTST_bad_gntref,
  GNTST_bad_virt_addr,
  GNTST_eagain,
  GNTST_general_error,
  GNTST_okay,
  GNTST_permission_denied,
  GnttabCopy,
  GnttabGetVersion,
  GnttabMapGrantRef,
  GNTTABOP_copy,
  GNTTABOP_get_version,
  GNTTABOP_map_grant_ref,
  GNTTABOP_query_size,
  GNTTABOP_set_version,
  GNTTABOP_setup_table,
  GNTTABOP_swap_grant_ref,
  GNTTABOP_unmap_grant_ref,
  GnttabQuerySize,
  GnttabSetupTable,
  GnttabSetVersion,
  GnttabSwapGrantRef,
  GnttabUnmapGrantRef,
} from "../../abi/grant-table";
import * as hw from "../../arch-x86/hw";
import { domainNamed, mayTarget } from "../records/domain-access";
import { copyLongTo, copyStructureFrom, copyStructureTo, Layout, LONG, PAD, structureSize } from "./compat";
import { Domain } from "../records/domain";
import { grantCopy } from "../grants/grant-copy";
import {
  activeOf,
  grantEntries,
  grantEntryPa,
  grantGrow,
  grants,
  GRANT_VERSION,
  grantFrameMfn,
} from "../grants/grant-frames";
import { grantMapBy, grantUnmapBy } from "../grants/grant-linear";
import { mappingOf } from "../grants/grant-map";
import { copyFromGuest, copyToGuest } from "../memory/guest-copy";
import { hypercallRestart } from "./hypercall";
import { scratch } from "../memory/scratch";
import { Vcpu } from "../records/vcpu";
import { preemptNeeded } from "../records/cpu";
import { sharedFrameAt } from "../memory/frames";

const SETUP_TABLE: Layout = [2, 4, 2, LONG];
const MAP: Layout = [8, 4, 4, 2, 2, 4, 8];
const UNMAP: Layout = [8, 8, 4, 2];
const COPY: Layout = [LONG, 2, 2, PAD, LONG, 2, 2, PAD, 2, 2, 2];
const SWAP: Layout = [4, 4, 2];

/**
 * The hypercall.
 * @param a1 GNTTABOP_*
 * @param a2 guest address of `a3` elements
 * @returns 0 or negative errno
 */
export function grantTableOp(v: Vcpu, a1: u64, a2: u64, a3: u64, _a4: u64, _a5: u64, _a6: u64): i64 {
  const op = <u32>a1;
  const count = <u32>a3;
  if (!v.domain.grants || !isOffered(op)) return -ENOSYS;
  if (<i32>count < 0) return -EINVAL;
  switch (op) {
    case GNTTABOP_setup_table:
      return count == 1 ? setupTable(v, a2) : -EINVAL;
    case GNTTABOP_query_size:
      return count == 1 ? querySize(v, a2) : -EINVAL;
    case GNTTABOP_set_version:
      return setVersion(v, a2);
    case GNTTABOP_get_version:
      return getVersion(v, a2);
    default:
      return elements(v, op, a2, count);
  }
}

/** Operations that Xen offers to HVM guests. */
function isOffered(op: u32): bool {
  return (
    elementSize(op) != 0 ||
    op == GNTTABOP_setup_table ||
    op == GNTTABOP_query_size ||
    op == GNTTABOP_set_version ||
    op == GNTTABOP_get_version
  );
}

/** Bytes of one element of the batched operations, 0 for an operation that does not exist. */
function elementSize(op: u32): u32 {
  switch (op) {
    case GNTTABOP_map_grant_ref:
      return GnttabMapGrantRef.SIZE;
    case GNTTABOP_unmap_grant_ref:
      return GnttabUnmapGrantRef.SIZE;
    case GNTTABOP_copy:
      return GnttabCopy.SIZE;
    case GNTTABOP_swap_grant_ref:
      return GnttabSwapGrantRef.SIZE;
    default:
      return 0;
  }
}

/** The 32-bit layout of an element. */
function elementLayout(op: u32): Layout {
  switch (op) {
    case GNTTABOP_map_grant_ref:
      return MAP;
    case GNTTABOP_unmap_grant_ref:
      return UNMAP;
    case GNTTABOP_copy:
      return COPY;
    default:
      return SWAP;
  }
}

/** Runs a batched operation element by element; after a preemption a long batch continues where it stopped. */
function elements(v: Vcpu, op: u32, gva: u64, count: u32): i64 {
  const size = elementSize(op);
  const layout = elementLayout(op);
  const step = structureSize(v, size, layout);
  const element = scratch(v);
  let at = gva;
  for (let i: u32 = 0; i < count; i++) {
    if (i != 0 && preemptNeeded(v)) return hypercallRestart(v, op, at, count - i, 0, 0, 0);
    if (!copyStructureFrom(v, element, at, size, layout)) return -EFAULT;
    performElement(v, op, element);
    if (!copyStructureTo(v, at, element, size, layout)) return giveUp(v, op, element);
    at += step;
  }
  return 0;
}

/** One element: a status goes into it. */
function performElement(v: Vcpu, op: u32, element: usize): void {
  const d = v.domain;
  switch (op) {
    case GNTTABOP_map_grant_ref:
      grantMapBy(v, element);
      break;
    case GNTTABOP_unmap_grant_ref:
      unmapElement(v, element);
      break;
    case GNTTABOP_copy:
      store<i16>(element, <i16>grantCopy(v, element), GnttabCopy.status);
      break;
    case GNTTABOP_swap_grant_ref: {
      const a = load<u32>(element, GnttabSwapGrantRef.ref_a);
      const b = load<u32>(element, GnttabSwapGrantRef.ref_b);
      store<i16>(element, <i16>swap(d, a, b), GnttabSwapGrantRef.status);
      break;
    }
  }
}

function unmapElement(v: Vcpu, op: usize): void {
  const handle = load<u32>(op, GnttabUnmapGrantRef.handle);
  const status = grantUnmapBy(v, handle, load<u64>(op, GnttabUnmapGrantRef.host_addr));
  store<i16>(op, <i16>status, GnttabUnmapGrantRef.status);
}

/** The result of an element could not be copied back: a mapping whose handle the guest does not know is undone. */
function giveUp(v: Vcpu, op: u32, element: usize): i64 {
  if (op == GNTTABOP_map_grant_ref && load<i16>(element, GnttabMapGrantRef.status) == <i16>GNTST_okay) {
    const handle = load<u32>(element, GnttabMapGrantRef.handle);
    const m = mappingOf(grants(v.domain), handle)!;
    grantUnmapBy(v, handle, m.gfn << 12);
  }
  return -EFAULT;
}

function setupTable(v: Vcpu, gva: u64): i64 {
  const arg = scratch(v);
  if (!copyStructureFrom(v, arg, gva, GnttabSetupTable.SIZE, SETUP_TABLE)) return -EFAULT;
  const status = setupTableFor(v, arg);
  store<i16>(arg, <i16>status, GnttabSetupTable.status);
  return copyToGuest(v, gva + GnttabSetupTable.status, arg + GnttabSetupTable.status, 2) ? 0 : -EFAULT;
}

function setupTableFor(v: Vcpu, arg: usize): i32 {
  const d = domainNamed(v, load<u16>(arg, GnttabSetupTable.dom));
  if (d == null || !d.grants) return GNTST_bad_domain;
  if (!mayTarget(v, d)) return GNTST_permission_denied;
  const frames = load<u32>(arg, GnttabSetupTable.nr_frames);
  if (!grantGrow(d, frames)) return GNTST_general_error;
  const list = load<u64>(arg, GnttabSetupTable.frame_list);
  let status = GNTST_okay;
  for (let i: u32 = 0; i < frames; i++) {
    // A frame that is not mapped anywhere is reported as ~0, Xen's INVALID_M2P_ENTRY.
    store<u64>(arg, sharedFrameAt(grantFrameMfn(d, i)) - 1, 64);
    if (!copyLongTo(v, list, i, arg + 64)) status = GNTST_bad_virt_addr;
  }
  return status;
}

function querySize(v: Vcpu, gva: u64): i64 {
  const arg = scratch(v);
  if (!copyFromGuest(v, arg, gva, GnttabQuerySize.SIZE)) return -EFAULT;
  const d = domainNamed(v, load<u16>(arg, GnttabQuerySize.dom));
  let status = GNTST_okay;
  if (d == null || !d.grants) {
    status = GNTST_bad_domain;
  } else if (!mayTarget(v, d)) {
    status = GNTST_permission_denied;
  } else {
    store<u32>(arg, grants(d).frames, GnttabQuerySize.nr_frames);
    store<u32>(arg, grants(d).maxFrames, GnttabQuerySize.max_nr_frames);
  }
  store<i16>(arg, <i16>status, GnttabQuerySize.status);
  return copyToGuest(v, gva, arg, GnttabQuerySize.SIZE) ? 0 : -EFAULT;
}

/** GNTTABOP_set_version: returns the version in use, whether the requested one is supported or not. */
function setVersion(v: Vcpu, gva: u64): i64 {
  const arg = scratch(v);
  if (!copyFromGuest(v, arg, gva, GnttabSetVersion.SIZE)) return -EFAULT;
  const version = load<u32>(arg, GnttabSetVersion.version);
  store<u32>(arg, GRANT_VERSION, GnttabSetVersion.version);
  if (!copyToGuest(v, gva, arg, GnttabSetVersion.SIZE)) return -EFAULT;
  if (version == GRANT_VERSION) return 0;
  return version == 2 ? -ENOSYS : -EINVAL;
}

function getVersion(v: Vcpu, gva: u64): i64 {
  const arg = scratch(v);
  if (!copyFromGuest(v, arg, gva, GnttabGetVersion.SIZE)) return -EFAULT;
  const d = domainNamed(v, load<u16>(arg, GnttabGetVersion.dom));
  if (d == null) return -ESRCH;
  if (!mayTarget(v, d)) return -EPERM;
  store<u32>(arg, GRANT_VERSION, GnttabGetVersion.version);
  const at = gva + GnttabGetVersion.version;
  return copyToGuest(v, at, arg + GnttabGetVersion.version, 4) ? 0 : -EFAULT;
}

/** Swaps two entries of the caller's table that are not in use. GNTST_*. */
function swap(d: Domain, a: u32, b: u32): i32 {
  const t = grants(d);
  const limit = grantEntries(t);
  if (a >= limit || b >= limit) return GNTST_bad_gntref;
  if (a == b) return GNTST_okay;
  hw.lock(d.grants);
  let status = GNTST_eagain;
  const activeA = activeOf(t, a);
  const activeB = activeOf(t, b);
  const busyA = activeA != null && (activeA.reads | activeA.writes) != 0;
  const busyB = activeB != null && (activeB.reads | activeB.writes) != 0;
  if (!busyA && !busyB) {
    const entryA = hw.load64(grantEntryPa(t, a));
    hw.store64(grantEntryPa(t, a), hw.load64(grantEntryPa(t, b)));
    hw.store64(grantEntryPa(t, b), entryA);
    status = GNTST_okay;
  }
  hw.unlock(d.grants);
  return status;
}
