/** Guests in ACPI's S3 ("suspend to RAM"): the hypervisor knows which, so a later domain 0 does too. */
import { HVM_PARAM_ACPI_S_STATE } from "../../../abi/hvm.ts";
import { getHvmParam, setHvmParam } from "../hypercalls/hvm.ts";

const AWAKE = 0;
const ASLEEP = 3;

/** Whether a domain sleeps. */
export function isAsleep(id: number): boolean {
  return getHvmParam(id, HVM_PARAM_ACPI_S_STATE) === ASLEEP;
}

/** Lets it go on where it fell asleep. No effect on one that is awake. */
export function wake(id: number): void {
  setHvmParam(id, HVM_PARAM_ACPI_S_STATE, AWAKE);
}
