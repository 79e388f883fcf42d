/**
 * Interprocessor interrupts of hardware guests: what a write to ICR sends, to which vCPUs of the domain, and what INIT and
 * SIPI do there (SDM 3A 9.4 and 11.6; Xen where hardware leaves room). Unknown kinds, SMI among them, are dropped.
 */
import { hvmInjectNmi, hvmStartup } from "../arch-x86/hvm";
import {
  ESR_SEND_ILLEGAL,
  FIRST_VECTOR,
  vlapicEnabled,
  vlapicError,
  vlapicOf,
  vlapicPpr,
  APIC_EFFECT_ENABLED,
  APIC_EFFECT_TIMER,
  APIC_EFFECT_IPI,
} from "../arch-x86/vlapic/state";
import {
  DELIVERY_FIXED,
  DELIVERY_INIT,
  DELIVERY_LOWEST,
  DELIVERY_NMI,
  DELIVERY_STARTUP,
  ICR_ASSERT,
  ICR_DELIVERY,
  ICR_LEVEL,
  ICR_VECTOR,
  ipiDestination,
  ipiMatches,
} from "../arch-x86/vlapic/destination";
import { vlapicInit } from "../arch-x86/vlapic/reset";
import { vcpuOf } from "./records/domain-access";
import { fpuToMemory } from "./scheduling/fpu-owner";
import { vcpuUp, vcpuWake } from "./scheduling/scheduler";
import { Timer, timerStop } from "./scheduling/timer";
import { Vcpu, VcpuRun } from "./records/vcpu";
import { vlapicInterrupt, vlapicTimerArm, vlapicUpcall } from "./events/vlapic-delivery";
import { setTscOffset } from "../arch-x86/state";
import { vcpuDownOrShutdown } from "./domains/domain-shutdown";
import { upcallPending } from "./events/event-notify";

/** Sends the interrupt described by the ICR of `v`. */
function ipiSend(v: Vcpu): void {
  const l = vlapicOf(v);
  const icr = l.icr;
  const destination = ipiDestination(l);
  const delivery = icr & ICR_DELIVERY;
  const illegal = (icr & ICR_VECTOR) < FIRST_VECTOR;
  if (illegal && (delivery == DELIVERY_FIXED || delivery == DELIVERY_LOWEST)) {
    vlapicError(v, ESR_SEND_ILLEGAL);
    return;
  }
  // An INIT level de-assert has no effect on current processors.
  if (delivery == DELIVERY_INIT && (icr & (ICR_LEVEL | ICR_ASSERT)) == ICR_LEVEL) return;
  const d = v.domain;
  const first: u32 = delivery == DELIVERY_LOWEST ? d.lowestPriorityVcpu + 1 : 0;
  let least: Vcpu | null = null;
  for (let n: u32 = 0; n < d.vcpuCount; n++) {
    const target = vcpuOf(d, (first + n) % d.vcpuCount);
    if (target == null || !ipiMatches(target, v, icr, destination)) continue;
    if (delivery != DELIVERY_LOWEST) {
      deliver(target, delivery, icr & ICR_VECTOR);
    } else if (vlapicEnabled(vlapicOf(target))) {
      // Round robin among those of equal priority.
      if (least == null || vlapicPpr(target) < vlapicPpr(least)) least = target;
    }
  }
  if (least == null) return;
  d.lowestPriorityVcpu = least.id;
  vlapicInterrupt(least, icr & ICR_VECTOR);
}

function deliver(target: Vcpu, delivery: u32, vector: u32): void {
  switch (delivery) {
    case DELIVERY_FIXED:
      vlapicInterrupt(target, vector);
      return;
    case DELIVERY_NMI:
      hvmInjectNmi(target);
      // It brings back a vCPU that went down by halting with interrupts off, as on Xen.
      if (target.run != VcpuRun.Down) vcpuWake(target);
      else if (target.initialised) vcpuUp(target);
      return;
    case DELIVERY_INIT:
      init(target);
      return;
    case DELIVERY_STARTUP:
      startup(target, vector);
  }
}

/** Down, to wait for a SIPI. The last one of a domain takes the domain with it, as VCPUOP_down would. */
function init(v: Vcpu): void {
  if (!v.initialised) return;
  vcpuDownOrShutdown(v);
  v.initialised = 0;
  v.polling = 0;
  timerStop(changetype<Timer>(v.pollTimer));
  vlapicInit(v);
  v.apicEffects = 0;
  vlapicTimerArm(v);
}

/** Starts a vCPU that waits for a SIPI; no effect on others. */
function startup(v: Vcpu, vector: u32): void {
  if (v.initialised) return;
  fpuToMemory(v);
  hvmStartup(v, vector);
  const first = vcpuOf(v.domain, 0);
  if (first != null) setTscOffset(v, first.tscOffset);
  v.initialised = 1;
  vcpuUp(v);
}

/** After a guest's access to its APIC: does what was left in apicEffects. */
export function vlapicDoEffects(v: Vcpu): void {
  const effects = v.apicEffects;
  v.apicEffects = 0;
  // An upcall by the vCPU's own vector that came while the APIC was disabled was not recorded in it.
  if (effects & APIC_EFFECT_ENABLED && upcallPending(v)) vlapicUpcall(v);
  if (effects & APIC_EFFECT_TIMER) vlapicTimerArm(v);
  if (effects & APIC_EFFECT_IPI) ipiSend(v);
}
