/**
 * VM entry's checks of the control fields (SDM 3C, 27.2.1), with descriptions. The hypervisor sets these fields itself:
 * a violation is a bug here or an unusual processor.
 */
import { breaks } from "../entry-rule";
import { cpuidEax, rdmsr, vmread } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { MSR_VMX_EPT_VPID, MSR_VMX_PROCBASED2, MSR_VMX_TRUE_ENTRY, MSR_VMX_TRUE_EXIT } from "../msr";
import { MSR_VMX_TRUE_PINBASED, MSR_VMX_TRUE_PROCBASED } from "../msr";
import {
  CPU2_APIC_ACCESSES,
  CPU2_APIC_REGISTERS,
  CPU2_EPT,
  CPU2_INTERRUPT_DELIVERY,
  CPU2_UNRESTRICTED,
  CPU2_VPID,
  CPU2_X2APIC,
  CPU_IO_BITMAPS,
  CPU_MSR_BITMAPS,
  CPU_NMI_WINDOW,
  CPU_SECONDARY,
  CPU_TPR_SHADOW,
  EXIT_SAVE_TIMER,
  PIN_INTERRUPT_EXITING,
  PIN_NMI_EXITING,
  PIN_POSTED_INTERRUPTS,
  PIN_PREEMPTION_TIMER,
  PIN_VIRTUAL_NMIS,
  secondaryControls,
} from "./controls";
import { makeCurrent } from "./current";
import { vmxEventBroken } from "./event-check";
import { vmxGetTaskPriority } from "./task-priority";
import { VMCS } from "./vmcs";

const CR3_TARGETS: u64 = 4;
const MSR_ENTRY_BYTES: u64 = 16;
const TPR_THRESHOLD: u64 = 0xf;
const PAGE: u64 = 0xfff;

// EPT pointer (table 25-9) and IA32_VMX_EPT_VPID_CAP (appendix A.10).
const EPTP_TYPE: u64 = 7;
const EPTP_UNCACHEABLE: u64 = 0;
const EPTP_WRITE_BACK: u64 = 6;
const EPTP_WALK: u64 = 7 << 3;
const EPTP_WALK_4: u64 = 3 << 3;
const EPTP_ACCESSED_DIRTY: u64 = 1 << 6;
const EPTP_RESERVED: u64 = 0xf80;
const CAP_UNCACHEABLE: u64 = 1 << 8;
const CAP_WRITE_BACK: u64 = 1 << 14;
const CAP_ACCESSED_DIRTY: u64 = 1 << 21;

/** Whether a rule on a control field is broken; entry-rule.ts then knows which. */
export function vmxControlBroken(v: HvmVcpu): bool {
  makeCurrent(v);
  return executionBroken(v) || nestedPagingBroken() || exitBroken() || entryBroken();
}

/** The bits of `field` against the MSR that has those that must be 1 below, and those that may be above. */
function capabilityBroken(name: string, field: u32, capability: u32): bool {
  const allowed = rdmsr(capability);
  const controls = <u32>vmread(field);
  if ((~controls & (<u32>allowed)) != 0) return breaks(name, controls, "a bit that this processor fixes to 1 is clear");
  if ((controls & ~(<u32>(allowed >> 32))) != 0) return breaks(name, controls, "it has bits that this processor lacks");
  return false;
}

/** The address of something aligned to `low` + 1 bytes, of which the last byte is `last` beyond it. */
function addressBroken(name: string, field: u32, low: u64, last: u64): bool {
  const address = vmread(field);
  if ((address & low) != 0) return breaks(name, address, "it is not aligned");
  if ((address + last) >> (cpuidEax(0x80000008, 0) & 0xff) != 0) {
    return breaks(name, address, "it has bits beyond the processor's physical addresses");
  }
  return false;
}

/** 27.2.1.1. */
function executionBroken(v: HvmVcpu): bool {
  const pin = <u32>vmread(VMCS.PIN_CONTROLS);
  const primary = <u32>vmread(VMCS.CPU_CONTROLS);
  const secondary = secondaryControls();
  if (capabilityBroken("pin-based controls", VMCS.PIN_CONTROLS, MSR_VMX_TRUE_PINBASED)) return true;
  if (capabilityBroken("primary processor-based controls", VMCS.CPU_CONTROLS, MSR_VMX_TRUE_PROCBASED)) return true;
  if (
    (primary & CPU_SECONDARY) != 0 &&
    capabilityBroken("secondary processor-based controls", VMCS.CPU_CONTROLS2, MSR_VMX_PROCBASED2)
  ) {
    return true;
  }
  const targets = vmread(VMCS.CR3_TARGET_COUNT);
  if (targets > CR3_TARGETS) return breaks("CR3-target count", targets, "it is above 4");
  if ((primary & CPU_IO_BITMAPS) != 0) {
    if (addressBroken("address of I/O bitmap A", VMCS.IO_BITMAP_A, PAGE, 0)) return true;
    if (addressBroken("address of I/O bitmap B", VMCS.IO_BITMAP_B, PAGE, 0)) return true;
  }
  if ((primary & CPU_MSR_BITMAPS) != 0 && addressBroken("address of MSR bitmaps", VMCS.MSR_BITMAP, PAGE, 0))
    return true;
  if ((primary & CPU_TPR_SHADOW) != 0) {
    if (addressBroken("virtual-APIC address", VMCS.VIRTUAL_APIC_ADDRESS, PAGE, 0)) return true;
    const threshold = vmread(VMCS.TPR_THRESHOLD);
    if ((secondary & CPU2_INTERRUPT_DELIVERY) == 0 && (threshold & ~TPR_THRESHOLD) != 0) {
      return breaks("TPR threshold", threshold, "it has bits above 3");
    }
    if ((secondary & (CPU2_APIC_ACCESSES | CPU2_INTERRUPT_DELIVERY)) == 0 && threshold > vmxGetTaskPriority(v) >> 4) {
      return breaks("TPR threshold", threshold, "it is above the task priority");
    }
  } else if ((secondary & (CPU2_X2APIC | CPU2_APIC_REGISTERS | CPU2_INTERRUPT_DELIVERY)) != 0) {
    return breaks("secondary processor-based controls", secondary, "the APIC is virtualised without the TPR shadow");
  }
  if ((pin & PIN_NMI_EXITING) == 0 && (pin & PIN_VIRTUAL_NMIS) != 0) {
    return breaks("pin-based controls", pin, "virtual NMIs without NMI exiting");
  }
  if ((pin & PIN_VIRTUAL_NMIS) == 0 && (primary & CPU_NMI_WINDOW) != 0) {
    return breaks("primary processor-based controls", primary, "NMI-window exiting without virtual NMIs");
  }
  if ((secondary & CPU2_APIC_ACCESSES) != 0) {
    if ((secondary & CPU2_X2APIC) != 0) {
      return breaks(
        "secondary processor-based controls",
        secondary,
        "APIC accesses and x2APIC mode are both virtualised",
      );
    }
    if (addressBroken("APIC-access address", VMCS.APIC_ACCESS_ADDRESS, PAGE, 0)) return true;
  }
  if ((secondary & CPU2_INTERRUPT_DELIVERY) != 0 && (pin & PIN_INTERRUPT_EXITING) == 0) {
    return breaks("pin-based controls", pin, "virtual-interrupt delivery without external-interrupt exiting");
  }
  if ((pin & PIN_POSTED_INTERRUPTS) != 0 && (secondary & CPU2_INTERRUPT_DELIVERY) == 0) {
    return breaks("pin-based controls", pin, "posted interrupts without virtual-interrupt delivery");
  }
  const vpid = vmread(VMCS.VPID);
  if ((secondary & CPU2_VPID) != 0 && vpid == 0) return breaks("VPID", vpid, "0 is the host's");
  return false;
}

/** 27.2.1.1: EPT. */
function nestedPagingBroken(): bool {
  const secondary = secondaryControls();
  if ((secondary & CPU2_EPT) == 0) {
    if ((secondary & CPU2_UNRESTRICTED) == 0) return false;
    return breaks("secondary processor-based controls", secondary, "unrestricted guest without EPT");
  }
  const pointer = vmread(VMCS.EPT_POINTER);
  const able = rdmsr(MSR_VMX_EPT_VPID);
  const type = pointer & EPTP_TYPE;
  const typeThere =
    (type == EPTP_UNCACHEABLE && (able & CAP_UNCACHEABLE) != 0) ||
    (type == EPTP_WRITE_BACK && (able & CAP_WRITE_BACK) != 0);
  if (!typeThere) return breaks("EPT pointer", pointer, "the processor does not offer its memory type");
  if ((pointer & EPTP_WALK) != EPTP_WALK_4) return breaks("EPT pointer", pointer, "it does not ask for four levels");
  if ((pointer & EPTP_ACCESSED_DIRTY) != 0 && (able & CAP_ACCESSED_DIRTY) == 0) {
    return breaks("EPT pointer", pointer, "the processor keeps no accessed and dirty flags");
  }
  if ((pointer & EPTP_RESERVED) != 0) return breaks("EPT pointer", pointer, "it has reserved bits");
  return addressBroken("EPT pointer", VMCS.EPT_POINTER, 0, 0);
}

/** 27.2.1.2. */
function exitBroken(): bool {
  if (capabilityBroken("VM-exit controls", VMCS.EXIT_CONTROLS, MSR_VMX_TRUE_EXIT)) return true;
  const controls = <u32>vmread(VMCS.EXIT_CONTROLS);
  const pin = <u32>vmread(VMCS.PIN_CONTROLS);
  if ((pin & PIN_PREEMPTION_TIMER) == 0 && (controls & EXIT_SAVE_TIMER) != 0) {
    return breaks("VM-exit controls", controls, "the preemption timer is saved and not active");
  }
  return (
    listBroken("VM-exit MSR-store address", VMCS.EXIT_MSR_STORE_ADDRESS, VMCS.EXIT_MSR_STORE_COUNT) ||
    listBroken("VM-exit MSR-load address", VMCS.EXIT_MSR_LOAD_ADDRESS, VMCS.EXIT_MSR_LOAD_COUNT)
  );
}

/** 27.2.1.3. */
function entryBroken(): bool {
  if (capabilityBroken("VM-entry controls", VMCS.ENTRY_CONTROLS, MSR_VMX_TRUE_ENTRY)) return true;
  if (vmxEventBroken()) return true;
  return listBroken("VM-entry MSR-load address", VMCS.ENTRY_MSR_LOAD_ADDRESS, VMCS.ENTRY_MSR_LOAD_COUNT);
}

/** A list of MSRs, if there is one. */
function listBroken(name: string, address: u32, count: u32): bool {
  const entries = vmread(count);
  return entries != 0 && addressBroken(name, address, MSR_ENTRY_BYTES - 1, entries * MSR_ENTRY_BYTES - 1);
}
