/** VM entry's checks of the event to be injected (SDM 3C, 27.2.1.3). */
import { CR0_PE } from "../control-bits";
import { breaks } from "../entry-rule";
import { rdmsr, vmread } from "../hw";
import { MSR_VMX_BASIC, MSR_VMX_MISC } from "../msr";
import { isUnrestricted } from "./controls";
import {
  EVENT_EXCEPTION,
  EVENT_HAS_ERROR,
  EVENT_NMI,
  EVENT_SOFTWARE,
  EVENT_TYPE,
  EVENT_VALID,
  EVENT_VECTOR,
} from "./events";
import { VMCS } from "./vmcs";
import { VECTOR_NMI } from "../vectors";

const EVENT_RESERVED: u32 = 1 << 8;
const EVENT_OTHER: u32 = 7 << 8;
const EVENT_UNUSED: u32 = 0x7ffff000;
const EXCEPTIONS: u32 = 32;
/** #DF #TS #NP #SS #GP #PF #AC. */
const VECTORS_WITH_ERROR: u32 = (1 << 8) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13) | (1 << 14) | (1 << 17);
/** IA32_VMX_BASIC: any exception may come with an error code or without. */
const BASIC_ANY_ERROR: u64 = 1 << 56;
/** IA32_VMX_MISC: an instruction of length 0 may be injected. */
const MISC_NO_LENGTH: u64 = 1 << 30;
const LENGTH_MAX: u64 = 15;

/** Whether a rule is broken; entry-rule.ts then knows which. The VMCS is current. */
export function vmxEventBroken(): bool {
  const name = "VM-entry interruption information";
  const event = <u32>vmread(VMCS.ENTRY_EVENT);
  if ((event & EVENT_VALID) == 0) return false;
  const vector = event & EVENT_VECTOR;
  const type = event & EVENT_TYPE;
  if (type == EVENT_RESERVED) return breaks(name, event, "the event's type is reserved");
  if (type == EVENT_NMI && vector != VECTOR_NMI) return breaks(name, event, "an NMI has a vector other than 2");
  if (type == EVENT_EXCEPTION && vector >= EXCEPTIONS) {
    return breaks(name, event, "an exception has a vector above 31");
  }
  if (type == EVENT_OTHER && vector != 0) return breaks(name, event, "an event of type 7 has a vector other than 0");
  if (errorCodeBroken(event, type, vector)) {
    return breaks(name, event, "an error code is to be delivered where there is none, or none where there is one");
  }
  if ((event & EVENT_UNUSED) != 0) return breaks(name, event, "it has reserved bits");
  const error = vmread(VMCS.ENTRY_ERROR_CODE);
  if ((event & EVENT_HAS_ERROR) != 0 && error >> 16 != 0) {
    return breaks("VM-entry exception error code", error, "it has bits above 15");
  }
  const length = vmread(VMCS.ENTRY_INSTRUCTION_LENGTH);
  if (type >= EVENT_SOFTWARE && type != EVENT_OTHER) {
    if (length > LENGTH_MAX) return breaks("VM-entry instruction length", length, "it is above 15");
    if (length == 0 && (rdmsr(MSR_VMX_MISC) & MISC_NO_LENGTH) == 0) {
      return breaks("VM-entry instruction length", length, "a software event needs its instruction's length");
    }
  }
  return false;
}

function errorCodeBroken(event: u32, type: u32, vector: u32): bool {
  const has = (event & EVENT_HAS_ERROR) != 0;
  const real = isUnrestricted() && (vmread(VMCS.GUEST_CR0) & CR0_PE) == 0;
  if (type != EVENT_EXCEPTION || real) return has;
  if ((rdmsr(MSR_VMX_BASIC) & BASIC_ANY_ERROR) != 0) return false;
  return has != (((VECTORS_WITH_ERROR >> vector) & 1) != 0);
}
