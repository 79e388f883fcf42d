/**
 * ACPI's S3 ("suspend to RAM") of a guest: it writes its sleep control register, is shut down with the reason suspend, and
 * goes on behind that write when the toolstack sets HVM_PARAM_ACPI_S_STATE to 0 (`xl trigger ID s3resume`), which reads as
 * 3 meanwhile. As Xen does it for an HVM guest, but for two things: that one is paused and nobody is told, and it wakes
 * in its firmware. A hardware-reduced machine has no waking vector (ACPI 6.2, 5.2.10: no FACS), so here nothing of the
 * vCPUs is lost.
 */
import {
  ACPI_SLEEP_CONTROL_PORT,
  ACPI_SLEEP_ENABLE,
  ACPI_SLEEP_TYPE_MASK,
  ACPI_SLEEP_TYPE_S3,
  ACPI_SLEEP_TYPE_SHIFT,
} from "../../abi/acpi-sleep";
import { EINVAL } from "../../abi/errno";
import { HVM_PARAM_ACPI_S_STATE } from "../../abi/hvm";
import { SHUTDOWN_suspend } from "../../abi/sched";
import { Domain, DomainLife } from "../records/domain";
import { domainShutdown } from "./domain-shutdown";
import { hvmParam, hvmParamSet } from "./hvm-params";
import { domainResume } from "./soft-reset";

/** HVM_PARAM_ACPI_S_STATE of a sleeping domain. */
const ASLEEP: u64 = 3;
const GO_TO_S3: u32 = ACPI_SLEEP_ENABLE | (ACPI_SLEEP_TYPE_S3 << ACPI_SLEEP_TYPE_SHIFT);

/**
 * A byte written to a port of the guest's. The status register has nothing to be written: reads of it give all ones, as of
 * every port, so its wake status is set whenever the guest runs.
 */
export function acpiPortWrite(d: Domain, port: u32, value: u32): void {
  if (port != ACPI_SLEEP_CONTROL_PORT || d.shutdown) return;
  if ((value & (ACPI_SLEEP_ENABLE | ACPI_SLEEP_TYPE_MASK)) != GO_TO_S3) return;
  domainShutdown(d, SHUTDOWN_suspend);
  // Another reason may have been latched before.
  if (d.shutdownCode == SHUTDOWN_suspend) {
    hvmParamSet(d, HVM_PARAM_ACPI_S_STATE, ASLEEP);
  }
}

/** Wakes a domain; no effect on one that is awake. 0; -EINVAL for one that is being destroyed. */
export function acpiWake(d: Domain): i32 {
  if (d.life != DomainLife.Alive) return -EINVAL;
  if (hvmParam(d, HVM_PARAM_ACPI_S_STATE) == ASLEEP) domainResume(d);
  return 0;
}
