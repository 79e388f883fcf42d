/**
 * Delivering interrupts and exceptions: EVENT_INJECT carries one event into the next entry; the interrupt window is a
 * virtual interrupt (V_IRQ) that is intercepted before it is taken. APM 2, 15.20 and 15.21.
 */
import { load32, load64, store32, store64 } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { RFLAGS_IF } from "../state";
import { svmInShadow, svmLookAgain } from "./shadow";
import { svmWatchCr8, WATCH_WINDOW } from "./task-priority";
import {
  EVENT_EXCEPTION,
  EVENT_EXTERNAL,
  EVENT_HAS_ERROR,
  EVENT_NMI,
  EVENT_SOFTWARE,
  EVENT_TYPE,
  EVENT_VALID,
  INTERCEPT1_IRET,
  INTERCEPT1_VINTR,
  V_IGNORE_TPR,
  V_IRQ,
  V_PRIORITY,
  VMCB,
} from "./vmcb";
import { VECTOR_PF, VECTOR_DF, VECTOR_NMI, VECTOR_BP, VECTOR_OF } from "../vectors";
import { combineExceptions, Combined } from "../double-fault";

/** A virtual interrupt of any vector, above any task priority. */
const WINDOW: u64 = V_IRQ | V_PRIORITY | V_IGNORE_TPR;

/** HvmVcpu.iretRip while an NMI's handler has not reached its IRET: a non-canonical address. */
const NO_IRET: u64 = 1 << 63;

/** Error code and vector of EVENT_INJECT and EXIT_INT_INFO that may be written back as they are. */
const EVENT_KEEP: u64 = 0xffffffff80000fff;

/** HvmVcpu.injectedEvent remembers the event: when the processor refuses the entry, some leave nothing of it in the VMCB. */
function put(v: HvmVcpu, event: u64): void {
  v.injectedEvent = event | EVENT_VALID;
  store64(v.controlPa + VMCB.EVENT_INJECT, event | EVENT_VALID);
  v.eventPending = 1;
}

/** See hvmCanTakeInterrupt. */
export function svmCanTakeInterrupt(v: HvmVcpu): bool {
  if ((v.eventPending | (v.nmiPending & ~v.nmiBlocked)) != 0) return false;
  if ((load64(v.controlPa + VMCB.RFLAGS) & RFLAGS_IF) == 0) return false;
  return !svmInShadow(v);
}

/** See hvmOfferInterrupt. */
export function svmOfferInterrupt(v: HvmVcpu, vector: u32): bool {
  if (svmCanTakeInterrupt(v)) {
    put(v, EVENT_EXTERNAL | vector);
    if (v.windowOpen != 0) svmCancelOffer(v);
    return true;
  }
  openWindow(v);
  return false;
}

function openWindow(v: HvmVcpu): void {
  if (v.windowOpen != 0) return;
  if (svmInShadow(v)) {
    svmLookAgain();
    return;
  }
  const vmcb = v.controlPa;
  store64(vmcb + VMCB.INTERRUPT_CONTROL, load64(vmcb + VMCB.INTERRUPT_CONTROL) | WINDOW);
  store32(vmcb + VMCB.INTERCEPT_MISC1, load32(vmcb + VMCB.INTERCEPT_MISC1) | INTERCEPT1_VINTR);
  v.windowOpen = 1;
  svmWatchCr8(v, WATCH_WINDOW, true);
}

/** See hvmCancelOffer. */
export function svmCancelOffer(v: HvmVcpu): void {
  if (v.windowOpen == 0) return;
  const vmcb = v.controlPa;
  store64(vmcb + VMCB.INTERRUPT_CONTROL, load64(vmcb + VMCB.INTERRUPT_CONTROL) & ~WINDOW);
  store32(vmcb + VMCB.INTERCEPT_MISC1, load32(vmcb + VMCB.INTERCEPT_MISC1) & ~INTERCEPT1_VINTR);
  v.windowOpen = 0;
  svmWatchCr8(v, WATCH_WINDOW, false);
}

/** See injectException. */
export function svmInjectException(v: HvmVcpu, vector: u32, errorCode: i32, cr2: u64): void {
  if (vector == VECTOR_PF) store64(v.controlPa + VMCB.CR2, cr2);
  if (v.eventPending != 0) {
    const pending = load64(v.controlPa + VMCB.EVENT_INJECT);
    if ((pending & EVENT_TYPE) == EVENT_EXCEPTION) {
      const combined = combineExceptions((<u32>pending) & 0xff, vector);
      if (combined == Combined.Shutdown) {
        v.shutdownPending = 1;
        return;
      }
      if (combined == Combined.DoubleFault) {
        put(v, EVENT_EXCEPTION | EVENT_HAS_ERROR | VECTOR_DF);
        return;
      }
    } else if ((pending & EVENT_TYPE) == EVENT_NMI) {
      // The exception comes first; the NMI is not lost.
      v.nmiPending = 1;
      v.nmiBlocked = 0;
    }
  }
  let event = EVENT_EXCEPTION | vector;
  if (errorCode != -1) event |= EVENT_HAS_ERROR | ((<u64>(<u32>errorCode)) << 32);
  put(v, event);
}

/** See hvmInjectNmi. */
export function svmInjectNmi(v: HvmVcpu): void {
  v.nmiPending = 1;
}

/**
 * Before an entry with nmiPending: injects the NMI if nothing else is pending, and watches for the end of its handler. One
 * that waits for an IRET comes with the first exit behind it: AMD-V has no window for NMIs.
 */
export function svmPrepareNmi(v: HvmVcpu): void {
  if (v.eventPending != 0 || (v.nmiBlocked != 0 && !iretDone(v))) return;
  if (svmInShadow(v)) {
    svmLookAgain();
    return;
  }
  put(v, EVENT_NMI | VECTOR_NMI);
  v.nmiPending = 0;
  v.nmiBlocked = 1;
  v.iretRip = NO_IRET;
  const at = v.controlPa + VMCB.INTERCEPT_MISC1;
  store32(at, load32(at) | INTERCEPT1_IRET);
}

/**
 * Whether the guest has executed the IRET that ends its NMI handler. Where that turns interrupts on, the window makes the
 * exit for the next NMI; with them on already it would come before the IRET, again and again.
 */
function iretDone(v: HvmVcpu): bool {
  if (v.iretRip == NO_IRET) return false;
  const vmcb = v.controlPa;
  if (load64(vmcb + VMCB.RIP) != v.iretRip) return true;
  if ((load64(vmcb + VMCB.RFLAGS) & RFLAGS_IF) == 0) openWindow(v);
  return false;
}

/**
 * The guest is about to execute the IRET that ends its NMI handler: the next NMI may come only after it. An NMI
 * with its own stack (IST) would overwrite the frame that this IRET returns by. An interrupt shadow would prevent that,
 * but QEMU's TCG does not load it from the VMCB.
 */
export function svmNmiDone(v: HvmVcpu): void {
  const vmcb = v.controlPa;
  store32(vmcb + VMCB.INTERCEPT_MISC1, load32(vmcb + VMCB.INTERCEPT_MISC1) & ~INTERCEPT1_IRET);
  v.iretRip = load64(vmcb + VMCB.RIP);
}

/**
 * The exit cut short the delivery of an event (EXIT_INT_INFO, valid bit set): it is injected again at the next entry.
 * Not so INT n, INT3 and INTO: RIP is still at the instruction, which will run again.
 */
export function svmRedeliver(v: HvmVcpu, cut: u64): void {
  const type = cut & EVENT_TYPE;
  const vector = cut & 0xff;
  if (type == EVENT_SOFTWARE) return;
  if (type == EVENT_EXCEPTION && (vector == VECTOR_BP || vector == VECTOR_OF)) return;
  put(v, cut & EVENT_KEEP);
}

/** See getPendingEvent of inject.ts. */
export function svmGetPendingEvent(v: HvmVcpu): u64 {
  return load64(v.controlPa + VMCB.EVENT_INJECT);
}

/** See setPendingEvent of inject.ts. */
export function svmSetPendingEvent(v: HvmVcpu, event: u64): void {
  put(v, event & EVENT_KEEP);
}

/** See resetEvents of inject.ts. */
export function svmResetEvents(v: HvmVcpu): void {
  store64(v.controlPa + VMCB.EVENT_INJECT, 0);
  store64(v.controlPa + VMCB.INTERRUPT_SHADOW, 0);
  const at = v.controlPa + VMCB.INTERCEPT_MISC1;
  store32(at, load32(at) & ~INTERCEPT1_IRET);
  svmCancelOffer(v);
}
