/** Allocating and freeing a vCPU's VMCS; skipping an instruction. */
import { ENOMEM } from "../../abi/errno";
import {
  HOST_STATE_CS,
  HOST_STATE_GDT_BASE,
  HOST_STATE_IDT_BASE,
  HOST_STATE_SS,
  HOST_STATE_TR,
  HOST_STATE_TR_BASE,
} from "../../abi/host-state";
import { guestCr4Mask } from "../cpuid-policy";
import { fpuReset } from "../fpu";
import { hostState, rdmsr, readCr0, readCr3, readCr4, store32, vmread, vmwrite } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { MSR_EFER, MSR_PAT } from "../msr";
import { guestMsrReset } from "../msr-policy";
import { P2m } from "../p2m";
import { resetState } from "../reset";
import { is64, RFLAGS_RF, RFLAGS_TF } from "../state";
import { allocFrame, freeFrame } from "../supply";
import { bitmapPa } from "./bitmap";
import {
  cpuControls2,
  CPU2_PAUSE_LOOP,
  CPU2_VPID,
  exitControls,
  hasTprShadow,
  pinControls,
  vmcsRevision,
} from "./controls";
import { clearVmcs, makeCurrent } from "./current";
import { PENDING_STEP } from "./events";
import { eptPointer } from "./flush";
import { vmxClearInterruptShadow, vmxCr0Mask, vmxResetCpuControls, vmxWrite } from "./state";
import { VMCS } from "./vmcs";
import { VECTOR_DB, VECTOR_AC, VECTOR_MC } from "../vectors";

/** #DB and #AC because their delivery can raise the same exception again forever, uninterruptibly; #MC is the host's. */
const INTERCEPTED_EXCEPTIONS: u32 = (1 << VECTOR_DB) | (1 << VECTOR_AC) | (1 << VECTOR_MC);

// A vCPU that spins with PAUSE for this long leaves: TSC ticks between two PAUSEs of one loop, and of the whole loop.
const PAUSE_GAP: u64 = 128;
const PAUSE_WINDOW: u64 = 4096;

const NO_LINK: u64 = ~0;

/** Last VPID allocated; 0 is the host's. */
let lastVpid: u32 = 0;

/** See hvmVcpuInit. */
export function vmxVcpuInit(v: HvmVcpu, p2m: P2m): i32 {
  const control = allocFrame();
  if (control == 0) return -ENOMEM;
  const state = allocFrame();
  if (state == 0) {
    freeFrame(control);
    return -ENOMEM;
  }
  v.controlPa = control << 12;
  v.statePa = state << 12;
  v.p2m = p2m;
  v.launched = 0;
  v.heldClass = 0;
  // Two vCPUs may share a number when it has wrapped around: translations are tagged by EPT root as well.
  lastVpid = (lastVpid % 0xffff) + 1;
  v.tag = lastVpid;
  // The frame of the root may have been another domain's.
  v.flushPending = 1;

  store32(v.controlPa, vmcsRevision);
  clearVmcs(v);
  writeControls(v);
  writeHostState(v);
  vmxWrite(v, VMCS.LINK_POINTER, NO_LINK);
  vmxWrite(v, VMCS.GUEST_DEBUGCTL, 0);
  vmxWrite(v, VMCS.GUEST_INTERRUPTIBILITY, 0);
  vmxWrite(v, VMCS.GUEST_ACTIVITY, 0);
  vmxWrite(v, VMCS.GUEST_PENDING_DEBUG, 0);
  vmxWrite(v, VMCS.GUEST_SYSENTER_CS, 0);
  vmxWrite(v, VMCS.GUEST_SYSENTER_ESP, 0);
  vmxWrite(v, VMCS.GUEST_SYSENTER_EIP, 0);
  resetState(v);
  fpuReset(v);
  guestMsrReset(v);
  return 0;
}

function writeControls(v: HvmVcpu): void {
  vmxWrite(v, VMCS.PIN_CONTROLS, pinControls);
  vmxResetCpuControls(v);
  vmxWrite(v, VMCS.CPU_CONTROLS2, cpuControls2);
  vmxWrite(v, VMCS.EXIT_CONTROLS, exitControls);
  vmxWrite(v, VMCS.EXIT_MSR_STORE_COUNT, 0);
  vmxWrite(v, VMCS.EXIT_MSR_LOAD_COUNT, 0);
  vmxWrite(v, VMCS.ENTRY_MSR_LOAD_COUNT, 0);
  vmxWrite(v, VMCS.ENTRY_EVENT, 0);
  vmxWrite(v, VMCS.EXCEPTION_BITMAP, INTERCEPTED_EXCEPTIONS);
  vmxWrite(v, VMCS.PF_ERROR_MASK, 0);
  vmxWrite(v, VMCS.PF_ERROR_MATCH, 0);
  vmxWrite(v, VMCS.CR3_TARGET_COUNT, 0);
  vmxWrite(v, VMCS.MSR_BITMAP, bitmapPa);
  vmxWrite(v, VMCS.TSC_OFFSET, v.tscOffset);
  vmxWrite(v, VMCS.EPT_POINTER, eptPointer(v.p2m.rootPa));
  if ((cpuControls2 & CPU2_VPID) != 0) vmxWrite(v, VMCS.VPID, v.tag);
  if ((cpuControls2 & CPU2_PAUSE_LOOP) != 0) {
    vmxWrite(v, VMCS.PLE_GAP, PAUSE_GAP);
    vmxWrite(v, VMCS.PLE_WINDOW, PAUSE_WINDOW);
  }
  if (hasTprShadow) {
    vmxWrite(v, VMCS.VIRTUAL_APIC_ADDRESS, v.statePa);
    vmxWrite(v, VMCS.TPR_THRESHOLD, 0);
  }
  vmxWrite(v, VMCS.CR0_MASK, vmxCr0Mask());
  vmxWrite(v, VMCS.CR4_MASK, ~guestCr4Mask());
  vmxWrite(v, VMCS.CR4_SHADOW, 0);
}

/** What the CPU becomes at an exit. The shim writes HOST_RSP and HOST_RIP at each entry. */
function writeHostState(v: HvmVcpu): void {
  vmxWrite(v, VMCS.HOST_CR0, readCr0());
  vmxWrite(v, VMCS.HOST_CR3, readCr3());
  vmxWrite(v, VMCS.HOST_CR4, readCr4());
  vmxWrite(v, VMCS.HOST_EFER, rdmsr(MSR_EFER));
  vmxWrite(v, VMCS.HOST_PAT, rdmsr(MSR_PAT));
  vmxWrite(v, VMCS.HOST_CS_SELECTOR, hostState(HOST_STATE_CS));
  vmxWrite(v, VMCS.HOST_SS_SELECTOR, hostState(HOST_STATE_SS));
  vmxWrite(v, VMCS.HOST_DS_SELECTOR, hostState(HOST_STATE_SS));
  vmxWrite(v, VMCS.HOST_ES_SELECTOR, hostState(HOST_STATE_SS));
  vmxWrite(v, VMCS.HOST_FS_SELECTOR, 0);
  vmxWrite(v, VMCS.HOST_GS_SELECTOR, 0);
  vmxWrite(v, VMCS.HOST_TR_SELECTOR, hostState(HOST_STATE_TR));
  vmxWrite(v, VMCS.HOST_FS_BASE, 0);
  vmxWrite(v, VMCS.HOST_GS_BASE, 0);
  vmxWrite(v, VMCS.HOST_TR_BASE, hostState(HOST_STATE_TR_BASE));
  vmxWrite(v, VMCS.HOST_GDTR_BASE, hostState(HOST_STATE_GDT_BASE));
  vmxWrite(v, VMCS.HOST_IDTR_BASE, hostState(HOST_STATE_IDT_BASE));
  vmxWrite(v, VMCS.HOST_SYSENTER_CS, 0);
  vmxWrite(v, VMCS.HOST_SYSENTER_ESP, 0);
  vmxWrite(v, VMCS.HOST_SYSENTER_EIP, 0);
}

/** See hvmVcpuFree. */
export function vmxVcpuFree(v: HvmVcpu): void {
  clearVmcs(v);
  freeFrame(v.controlPa >> 12);
  freeFrame(v.statePa >> 12);
  v.controlPa = 0;
  v.statePa = 0;
}

/** See hvmSkipInstruction: exits caused by an instruction report its length. Always true. */
export function vmxSkip(v: HvmVcpu): bool {
  makeCurrent(v);
  vmxSkipBytes(v, <u32>vmread(VMCS.EXIT_INSTRUCTION_LENGTH));
  return true;
}

/** Moves past an instruction of known length: no shadow, no resume flag, and a trap if the guest is single-stepping. */
export function vmxSkipBytes(v: HvmVcpu, length: u32): void {
  makeCurrent(v);
  const rip = vmread(VMCS.GUEST_RIP);
  let next = rip + length;
  if ((rip ^ next) >> 32 != 0 && !is64(v)) next &= 0xffffffff;
  vmwrite(VMCS.GUEST_RIP, next);
  vmxClearInterruptShadow(v);
  const flags = vmread(VMCS.GUEST_RFLAGS);
  if ((flags & (RFLAGS_TF | RFLAGS_RF)) == 0) return;
  vmwrite(VMCS.GUEST_RFLAGS, flags & ~RFLAGS_RF);
  if ((flags & RFLAGS_TF) != 0) {
    vmwrite(VMCS.GUEST_PENDING_DEBUG, vmread(VMCS.GUEST_PENDING_DEBUG) | PENDING_STEP);
  }
}
