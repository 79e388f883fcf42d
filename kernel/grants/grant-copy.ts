/**
 * GNTTABOP_copy: bytes from one page to another, each named by a grant reference of some domain or by a gfn of the
 * caller's own: of its RAM, or, a software-isolated domain's, of its stable memory. Each element pins both sides, copies and unpins
 * them.
 */
import { GNTCOPY_dest_gref, GNTCOPY_source_gref } from "../../abi/grant-table";
import {
  GNTST_bad_copy_arg,
  GNTST_bad_domain,
  GNTST_bad_page,
  GNTST_okay,
  GNTST_permission_denied,
  GnttabCopy,
} from "../../abi/grant-table";
import { DOMID_SELF } from "../../abi/xen";
import * as hw from "../../arch-x86/hw";
import { P2M_RAM, P2M_RAM_RO, P2M_SHARED } from "../../arch-x86/p2m-types";
import { domainNamed } from "../records/domain-access";
import { Domain, DomainKind } from "../records/domain";
import { frameGet, framePut } from "../memory/frames";
import { grantPin, grantUnpin } from "./grant-pin";
import { entryMfn, entryType, physmapLookup } from "../memory/physmap";
import { SCRATCH_BYTES } from "../memory/scratch";
import { softwarePopulate } from "../memory/software-memory";
import { isLendableStable } from "../memory/stable-memory";
import { Vcpu } from "../records/vcpu";

/**
 * One element.
 * @param op a copy of it at the start of the CPU's scratch page, whose upper half this function uses
 * @returns GNTST_*
 */
export function grantCopy(v: Vcpu, op: usize): i32 {
  const flags = <u32>load<u16>(op, GnttabCopy.flags);
  const fromRef = (flags & GNTCOPY_source_gref) != 0;
  const toRef = (flags & GNTCOPY_dest_gref) != 0;
  const fromId = <u32>load<u16>(op, GnttabCopy.source_domid);
  const toId = <u32>load<u16>(op, GnttabCopy.dest_domid);
  const source = domainNamed(v, fromId);
  if (source == null) return GNTST_bad_domain;
  if (!fromRef && fromId != DOMID_SELF) return GNTST_permission_denied;
  const dest = domainNamed(v, toId);
  if (dest == null) return GNTST_bad_domain;
  if (!toRef && toId != DOMID_SELF) return GNTST_permission_denied;

  const fromName = load<u64>(op, GnttabCopy.source_u_gmfn);
  const toName = load<u64>(op, GnttabCopy.dest_u_gmfn);
  const from = claim(v, source, fromRef, fromName, true);
  if (from < 0) return <i32>from;
  const to = claim(v, dest, toRef, toName, false);
  let rc: i32 = <i32>to;
  if (to >= 0) {
    rc = transfer(op, from, to);
    unclaim(dest, toRef, toName, to, false);
  }
  unclaim(source, fromRef, fromName, from, true);
  return rc;
}

/** The frame of one side, with a reference; or a negative GNTST_*. */
function claim(v: Vcpu, d: Domain, isRef: bool, name: u64, readonly: bool): i64 {
  if (isRef) return grantPin(d, <u32>name, v.domain.id, readonly, false);
  let entry = physmapLookup(d, name);
  // As its own access would, this makes memory appear that a software domain has not touched yet.
  if (!entry && d.kind == DomainKind.Software && softwarePopulate(d, name)) entry = physmapLookup(d, name);
  const type = entryType(entry);
  if (!entry) return GNTST_bad_page;
  if (type != P2M_RAM && !(readonly && type == P2M_RAM_RO) && !(type == P2M_SHARED && isLendableStable(d, name))) {
    return GNTST_bad_page;
  }
  const mfn = entryMfn(entry);
  return frameGet(mfn, d.id) ? mfn : GNTST_bad_page;
}

function unclaim(d: Domain, isRef: bool, name: u64, mfn: u64, readonly: bool): void {
  if (isRef) grantUnpin(d, <u32>name, mfn, readonly);
  else framePut(mfn);
}

function transfer(op: usize, from: u64, to: u64): i32 {
  const length = <u32>load<u16>(op, GnttabCopy.len);
  const fromOffset = <u32>load<u16>(op, GnttabCopy.source_offset);
  const toOffset = <u32>load<u16>(op, GnttabCopy.dest_offset);
  if (fromOffset + length > 4096 || toOffset + length > 4096) return GNTST_bad_copy_arg;
  if (!length) return GNTST_okay;
  const fromPa = (from << 12) + fromOffset;
  const toPa = (to << 12) + toOffset;
  if (from != to) {
    hw.copyPhys(toPa, fromPa, length);
    return GNTST_okay;
  }
  // Within one frame the two may overlap: copied piecewise through linear memory, in the direction that is safe.
  const buffer = op + SCRATCH_BYTES / 2;
  const piece: u32 = SCRATCH_BYTES / 2;
  for (let done: u32 = 0; done < length;) {
    const bytes = min(piece, length - done);
    const at: u64 = toPa > fromPa ? length - done - bytes : done;
    hw.copyFromPhys(buffer, fromPa + at, bytes);
    hw.copyToPhys(toPa + at, buffer, bytes);
    done += bytes;
  }
  return GNTST_okay;
}
