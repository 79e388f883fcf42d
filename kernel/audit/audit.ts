/**
 * The self-check: all invariants between parts of the kernel, verified by walking the frame table,
 * all physmaps, event channels, grant tables, device pages and the IOMMU's page tables. For the simulation, after every few steps, and for a debug key.
 * Calling context: between hypercalls; changes nothing.
 */
import { auditDevices } from "./audit-devices";
import { auditDma } from "./audit-dma";
import { auditEvents } from "./audit-events";
import { auditFrames } from "./audit-frames";
import { auditGrants } from "./audit-grants";
import { auditBegin, auditCount, rule } from "./audit-report";
import { vcpuOf } from "../records/domain-access";
import { Domain } from "../records/domain";
import { domainById, domainFirst } from "../records/domain-list";

/** Checks everything; returns the number of violations, each logged. */
export function audit(): u32 {
  auditBegin();
  let before: i32 = -1;
  for (let at = changetype<usize>(domainFirst()); at; at = changetype<Domain>(at).next) {
    const d = changetype<Domain>(at);
    rule(<i32>d.id > before, d, "out of order after", <u64>before);
    rule(domainById(d.id) == d, d, "not found by its id", d.id);
    before = d.id;
    for (let i: u32 = 0; i < d.vcpuCount; i++) {
      const v = vcpuOf(d, i);
      if (v != null) rule(v.domain == d && v.id == i, d, "vCPU that is not its own", i);
    }
    auditEvents(d);
    auditDma(d);
  }
  auditGrants();
  auditDevices();
  auditFrames();
  return auditCount();
}
