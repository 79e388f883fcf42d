/**
 * VMX controls: which exist on this processor and which this hypervisor sets (SDM 3C 25.6 to 25.8; capabilities in 3D,
 * appendix A). A capability MSR has in its low half the bits that must be 1, in its high half those that may be.
 */
import { rdmsr, vmread } from "../hw";
import {
  MSR_VMX_BASIC,
  MSR_VMX_CR0_FIXED0,
  MSR_VMX_CR0_FIXED1,
  MSR_VMX_CR4_FIXED0,
  MSR_VMX_EPT_VPID,
  MSR_VMX_MISC,
  MSR_VMX_PROCBASED2,
  MSR_VMX_TRUE_ENTRY,
  MSR_VMX_TRUE_EXIT,
  MSR_VMX_TRUE_PINBASED,
  MSR_VMX_TRUE_PROCBASED,
} from "../msr";
import { VMCS } from "./vmcs";

// Pin-based (table 25-5).
export const PIN_INTERRUPT_EXITING: u32 = 1 << 0;
export const PIN_NMI_EXITING: u32 = 1 << 3;
export const PIN_VIRTUAL_NMIS: u32 = 1 << 5;
export const PIN_PREEMPTION_TIMER: u32 = 1 << 6;
export const PIN_POSTED_INTERRUPTS: u32 = 1 << 7;

// Primary processor-based (table 25-6).
export const CPU_INTERRUPT_WINDOW: u32 = 1 << 2;
export const CPU_TSC_OFFSETTING: u32 = 1 << 3;
export const CPU_HLT_EXITING: u32 = 1 << 7;
export const CPU_MWAIT_EXITING: u32 = 1 << 10;
export const CPU_RDPMC_EXITING: u32 = 1 << 11;
export const CPU_CR3_LOAD_EXITING: u32 = 1 << 15;
export const CPU_CR3_STORE_EXITING: u32 = 1 << 16;
export const CPU_CR8_LOAD_EXITING: u32 = 1 << 19;
export const CPU_CR8_STORE_EXITING: u32 = 1 << 20;
export const CPU_TPR_SHADOW: u32 = 1 << 21;
export const CPU_NMI_WINDOW: u32 = 1 << 22;
export const CPU_MOV_DR_EXITING: u32 = 1 << 23;
export const CPU_IO_EXITING: u32 = 1 << 24;
export const CPU_IO_BITMAPS: u32 = 1 << 25;
export const CPU_MSR_BITMAPS: u32 = 1 << 28;
export const CPU_MONITOR_EXITING: u32 = 1 << 29;
export const CPU_SECONDARY: u32 = 1 << 31;

// Secondary (table 25-7).
export const CPU2_APIC_ACCESSES: u32 = 1 << 0;
export const CPU2_EPT: u32 = 1 << 1;
export const CPU2_X2APIC: u32 = 1 << 4;
export const CPU2_VPID: u32 = 1 << 5;
export const CPU2_WBINVD_EXITING: u32 = 1 << 6;
export const CPU2_UNRESTRICTED: u32 = 1 << 7;
export const CPU2_APIC_REGISTERS: u32 = 1 << 8;
export const CPU2_INTERRUPT_DELIVERY: u32 = 1 << 9;
export const CPU2_PAUSE_LOOP: u32 = 1 << 10;

// VM exit (table 25-13).
export const EXIT_SAVE_DEBUG: u32 = 1 << 2;
export const EXIT_HOST_64: u32 = 1 << 9;
export const EXIT_SAVE_PAT: u32 = 1 << 18;
export const EXIT_LOAD_PAT: u32 = 1 << 19;
export const EXIT_SAVE_EFER: u32 = 1 << 20;
export const EXIT_LOAD_EFER: u32 = 1 << 21;
export const EXIT_SAVE_TIMER: u32 = 1 << 22;

// VM entry (table 25-15).
export const ENTRY_LOAD_DEBUG: u32 = 1 << 2;
export const ENTRY_GUEST_64: u32 = 1 << 9;
export const ENTRY_LOAD_PAT: u32 = 1 << 14;
export const ENTRY_LOAD_EFER: u32 = 1 << 15;

// IA32_VMX_BASIC, IA32_VMX_MISC, IA32_VMX_EPT_VPID_CAP (appendix A.1, A.6, A.10).
const BASIC_REVISION: u64 = 0x7fffffff;
const BASIC_TRUE_CONTROLS: u64 = 1 << 55;
const MISC_TIMER_SHIFT: u64 = 0x1f;
export const EPT_CAP_2M: u64 = 1 << 16;
export const EPT_CAP_1G: u64 = 1 << 17;
export const EPT_CAP_INVEPT: u64 = 1 << 20;
export const EPT_CAP_INVEPT_SINGLE: u64 = 1 << 25;
export const EPT_CAP_INVVPID: u64 = 1 << 32;
export const EPT_CAP_INVVPID_SINGLE: u64 = 1 << 41;

export const CR4_VMXE: u64 = 1 << 13;

// The controls of a vCPU that is entered the first time: read once by vmxControlsRead.
export let pinControls: u32 = 0;
export let cpuControls: u32 = 0;
export let cpuControls2: u32 = 0;
export let exitControls: u32 = 0;
export let entryControls: u32 = 0;
/** Identifies the VMCS's format; the first word of a VMCS and of the VMXON region. */
export let vmcsRevision: u32 = 0;
/** EPT_CAP_*. */
export let eptCapabilities: u64 = 0;
/** Bits that CR0 must have in VMX operation, and those it may have. */
export let cr0Fixed0: u64 = 0;
export let cr0Fixed1: u64 = 0;
/** The preemption timer counts once per 2^timerShift ticks of the TSC; hasTimer is false where there is none. */
export let timerShift: u64 = 0;
export let hasTimer: bool = false;
/** Guests have their task priority in the virtual-APIC page; without it, CR8 makes exits. */
export let hasTprShadow: bool = false;

/** `wanted` as far as the capability MSR allows it, with the bits it demands. */
function adjust(capability: u32, wanted: u32): u32 {
  const allowed = rdmsr(capability);
  return (wanted & (<u32>(allowed >> 32))) | (<u32>allowed);
}

/**
 * Reads the capabilities and settles the controls.
 * @returns false if a control that this hypervisor cannot do without is missing, or one it cannot live with is forced
 */
export function vmxControlsRead(): bool {
  const basic = rdmsr(MSR_VMX_BASIC);
  vmcsRevision = <u32>(basic & BASIC_REVISION);
  // Without the "true" MSRs, exits at CR3 accesses cannot be turned off; every processor with EPT has them.
  if ((basic & BASIC_TRUE_CONTROLS) == 0) return false;
  eptCapabilities = rdmsr(MSR_VMX_EPT_VPID);
  cr0Fixed0 = rdmsr(MSR_VMX_CR0_FIXED0);
  cr0Fixed1 = rdmsr(MSR_VMX_CR0_FIXED1);

  const pinNeeded = PIN_INTERRUPT_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS;
  pinControls = adjust(MSR_VMX_TRUE_PINBASED, pinNeeded | PIN_PREEMPTION_TIMER);
  hasTimer = (pinControls & PIN_PREEMPTION_TIMER) != 0;
  timerShift = rdmsr(MSR_VMX_MISC) & MISC_TIMER_SHIFT;

  hasTprShadow = ((<u32>(rdmsr(MSR_VMX_TRUE_PROCBASED) >> 32)) & CPU_TPR_SHADOW) != 0;
  const cpuNeeded =
    CPU_TSC_OFFSETTING |
    CPU_HLT_EXITING |
    CPU_MWAIT_EXITING |
    CPU_RDPMC_EXITING |
    // Else they would reach the host's task priority register.
    (hasTprShadow ? CPU_TPR_SHADOW : CPU_CR8_LOAD_EXITING | CPU_CR8_STORE_EXITING) |
    CPU_MOV_DR_EXITING |
    CPU_IO_EXITING |
    CPU_MSR_BITMAPS |
    CPU_MONITOR_EXITING |
    CPU_SECONDARY;
  cpuControls = adjust(MSR_VMX_TRUE_PROCBASED, cpuNeeded);

  const cpu2Needed = CPU2_EPT | CPU2_UNRESTRICTED | CPU2_WBINVD_EXITING;
  // RDTSCP, INVPCID, XSAVES and the like stay off, so that they raise #UD: cpuid-policy.ts hides them.
  let cpu2Wanted = cpu2Needed | CPU2_PAUSE_LOOP;
  const vpidFlush = EPT_CAP_INVVPID | EPT_CAP_INVVPID_SINGLE;
  if ((eptCapabilities & vpidFlush) == vpidFlush) cpu2Wanted |= CPU2_VPID;
  cpuControls2 = adjust(MSR_VMX_PROCBASED2, cpu2Wanted);

  const exitNeeded = EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_SAVE_PAT | EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_LOAD_EFER;
  exitControls = adjust(MSR_VMX_TRUE_EXIT, exitNeeded);
  const entryNeeded = ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER;
  entryControls = adjust(MSR_VMX_TRUE_ENTRY, entryNeeded);

  return (
    (pinControls & pinNeeded) == pinNeeded &&
    (cpuControls & cpuNeeded) == cpuNeeded &&
    (cpuControls & (CPU_CR3_LOAD_EXITING | CPU_CR3_STORE_EXITING)) == 0 &&
    (cpuControls2 & cpu2Needed) == cpu2Needed &&
    (exitControls & exitNeeded) == exitNeeded &&
    (entryControls & entryNeeded) == entryNeeded &&
    (eptCapabilities & EPT_CAP_INVEPT) != 0 &&
    // The guest's CR4 is its own but for the bit that VMX itself needs.
    rdmsr(MSR_VMX_CR4_FIXED0) == CR4_VMXE
  );
}

/** Secondary controls of the current VMCS as they count: all off unless the primary ones activate them. */
export function secondaryControls(): u32 {
  return (<u32>vmread(VMCS.CPU_CONTROLS)) & CPU_SECONDARY ? <u32>vmread(VMCS.CPU_CONTROLS2) : 0;
}

/** Whether the current VMCS's guest may run in real mode and without paging. */
export function isUnrestricted(): bool {
  return (secondaryControls() & CPU2_UNRESTRICTED) != 0;
}
