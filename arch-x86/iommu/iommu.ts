/**
 * The machine's IOMMUs for the kernel: which devices may reach memory, and which memory. See README.md.
 *
 * Calling context: start on the boot CPU; the rest from one domain's hypercalls and its restart, never at the same time.
 */
import { ACPI_DMAR, ACPI_IVRS, acpiTable, IOMMU_AMD, IOMMU_INTEL, IOMMU_NONE } from "../host/acpi";
import { amdAdded, amdAttach, amdDetach, amdFault, amdRemoved, amdStart } from "./amd";
import { dmarRead } from "./dmar";
import { Fault } from "./fault";
import { ivrsRead } from "./ivrs";
import { RegistersOk } from "./table";
import { dmaTablesMap, dmaTablesUnmap } from "./tables";
import { unitAt, unitCount, unitsForget } from "./unit";
import { vtdAdded, vtdAttach, vtdDetach, vtdFault, vtdRemoved, vtdStart } from "./vtd";

/** IOMMU_* in use. */
let kind: u32 = IOMMU_NONE;

/**
 * Takes the machine's IOMMUs into use; from then on no device reaches memory that it was not given.
 * @param rsdp physical address of ACPI's root pointer, 0 for none
 * @param ok whether there may be registers at a physical address
 * @param lastBus the highest number of a PCI bus
 * @returns "" if they are in use, or why they are not
 */
export function iommuStart(rsdp: u64, ok: RegistersOk, lastBus: u32): string {
  const intel = acpiTable(rsdp, ACPI_DMAR);
  const amd = acpiTable(rsdp, ACPI_IVRS);
  if (!intel && !amd) return "there is none";
  let why = intel ? dmarRead(intel, ok) : ivrsRead(amd, ok);
  if (!why.length) why = intel ? vtdStart() : amdStart(lastBus);
  if (why.length) unitsForget();
  else kind = intel ? IOMMU_INTEL : IOMMU_AMD;
  return why;
}

/** IOMMU_* that is in use; IOMMU_NONE: devices reach all memory. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function iommuKind(): u32 {
  return kind;
}

/**
 * Maps 2^order consecutive frames for attached devices, from bus frame `page` on, where nothing is mapped.
 * @param order 0 to 9; page and mfn are multiples of 2^order
 * @returns false, with nothing mapped: no memory
 */
export function iommuMap(page: u64, mfn: u64, order: u32, writable: bool): bool {
  if (!dmaTablesMap(page, mfn, order, writable)) return false;
  answered(kind == IOMMU_INTEL ? vtdAdded(page, order) : amdAdded(page, order));
  return true;
}

/**
 * Unmaps one page. When it returns, no device reaches the frame by it any more.
 * @returns 1; 0: nothing is mapped; -ENOMEM, nothing changed: no memory to split the 2 MiB that it is part of
 */
export function iommuUnmap(page: u64): i32 {
  const rc = dmaTablesUnmap(page);
  if (rc == 1) answered(kind == IOMMU_INTEL ? vtdRemoved(page, 0) : amdRemoved(page, 0));
  return rc;
}

/** Lets a requester (bus << 8 | device << 3 | function) reach what is mapped. False: no memory, or no place for it. */
export function iommuAttach(requester: u32): bool {
  return kind == IOMMU_INTEL ? vtdAttach(requester) : amdAttach(requester);
}

/** Undoes iommuAttach. When it returns, the device reaches nothing. */
export function iommuDetach(requester: u32): void {
  answered(kind == IOMMU_INTEL ? vtdDetach(requester) : amdDetach(requester));
}

/** A unit that does not answer may let devices reach what is no longer theirs: there is no going on. */
function answered(ok: bool): void {
  assert(ok, "an IOMMU does not answer: what devices reach is not known any more");
}

/** Takes a fault that was not taken yet. False: there is none. */
export function iommuFault(fault: Fault): bool {
  for (let i: u32 = 0; i < unitCount(); i++) {
    if (kind == IOMMU_INTEL ? vtdFault(unitAt(i), fault) : amdFault(unitAt(i), fault)) return true;
  }
  return false;
}
