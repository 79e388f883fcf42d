/**
 * Audit of device pages: each is a frame of its domain's own, dense, without two devices of the same type and id, and every entry
 * names a backend that exists and counts it.
 */
import { noxs_dev_none, NOXS_DEV_COUNT_MAX, NoxsDevPageEntry } from "../../abi/io/noxs";
import * as hw from "../../arch-x86/hw";
import { deviceCount, deviceEntry } from "../domains/device-page";
import { frameAllocated, frameOwner, frameType, FrameType } from "../memory/frames";
import { Domain } from "../records/domain";
import { domainById, domainFirst } from "../records/domain-list";
import { rule, violation } from "./audit-report";

/** Audits all pages: each entry is subtracted from its backend's count, all counts must be zero, then they are restored. */
export function auditDevices(): void {
  each(auditPage);
  each(auditCounts);
  each(restoreCounts);
}

function each(check: (d: Domain) => void): void {
  for (let at = changetype<usize>(domainFirst()); at; at = changetype<Domain>(at).next) check(changetype<Domain>(at));
}

function field(d: Domain, index: u32, offset: u32): u32 {
  return hw.load32(deviceEntry(d, index) + offset);
}

/** The backend that an entry names. */
function backendOf(d: Domain, index: u32): Domain | null {
  return domainById(field(d, index, NoxsDevPageEntry.be_id));
}

function auditPage(d: Domain): void {
  const mfn = d.devicePageMfn;
  if (!mfn) return;
  rule(d.devctl != 0, d, "device page of a domain without devctl", mfn);
  const own = frameType(mfn) == FrameType.XenShared && frameOwner(mfn) == d.id && frameAllocated(mfn);
  rule(own, d, "device page that is not its own", mfn);
  const count = deviceCount(d);
  rule(count <= NOXS_DEV_COUNT_MAX, d, "more devices than fit", count);
  for (let i: u32 = 0; i < NOXS_DEV_COUNT_MAX; i++) {
    const type = field(d, i, NoxsDevPageEntry.type);
    rule((type != noxs_dev_none) == i < count, d, "device page with a hole, or more behind its end, at", i);
    if (i >= count) continue;
    for (let j: u32 = 0; j < i; j++) {
      const same = field(d, j, NoxsDevPageEntry.type) == type;
      const id = field(d, i, NoxsDevPageEntry.id);
      rule(!same || field(d, j, NoxsDevPageEntry.id) != id, d, "device twice in the page", i);
    }
    const backend = backendOf(d, i);
    if (backend == null) violation(d, "device of a backend that is gone", i);
    else backend.devicesOffered--;
  }
}

function auditCounts(d: Domain): void {
  rule(d.devicesOffered == 0, d, "count of devices offered is off by", d.devicesOffered);
}

function restoreCounts(d: Domain): void {
  for (let i: u32 = 0; i < deviceCount(d); i++) {
    const backend = backendOf(d, i);
    if (backend != null) backend.devicesOffered++;
  }
}
