/**
 * Destinations of interprocessor interrupts (SDM 3A 11.6.2, 11.12.9), and the fields of ICR.
 */
import { HvmVcpu } from "../hvm-vcpu";
import { isX2apic, Vlapic, vlapicOf } from "./state";

// ICR.
export const ICR_VECTOR: u32 = 0xff;
export const ICR_DELIVERY: u32 = 7 << 8;
export const DELIVERY_FIXED: u32 = 0 << 8;
export const DELIVERY_LOWEST: u32 = 1 << 8;
export const DELIVERY_NMI: u32 = 4 << 8;
export const DELIVERY_INIT: u32 = 5 << 8;
export const DELIVERY_STARTUP: u32 = 6 << 8;
export const ICR_ASSERT: u32 = 1 << 14;
export const ICR_LEVEL: u32 = 1 << 15;
const ICR_LOGICAL: u32 = 1 << 11;
const ICR_SHORTHAND: u32 = 3 << 18;
const SHORTHAND_SELF: u32 = 1 << 18;
const SHORTHAND_ALL: u32 = 2 << 18;
const SHORTHAND_OTHERS: u32 = 3 << 18;

const DFR_MODEL_SHIFT: u32 = 28;
const MODEL_FLAT: u32 = 0xf;
const MODEL_CLUSTER: u32 = 0;

/** The destination that the sender's ICR names, as wide as its mode makes it. */
export function ipiDestination(sender: Vlapic): u32 {
  return isX2apic(sender) ? sender.icrHigh : sender.icrHigh >> 24;
}

/**
 * Whether `target` is meant.
 * @param icr low half of the sender's ICR
 * @param destination ipiDestination of the sender; one that was written in xAPIC mode is 8 bits wide
 */
export function ipiMatches(target: HvmVcpu, sender: HvmVcpu, icr: u32, destination: u32): bool {
  const self = changetype<usize>(target) == changetype<usize>(sender);
  switch (icr & ICR_SHORTHAND) {
    case SHORTHAND_SELF:
      return self;
    case SHORTHAND_ALL:
      return true;
    case SHORTHAND_OTHERS:
      return !self;
  }
  const l = vlapicOf(target);
  if ((icr & ICR_LOGICAL) != 0) return matchesLogical(l, destination);
  return isX2apic(l)
    ? destination == l.id || destination == u32.MAX_VALUE
    : destination == l.id >> 24 || destination == 0xff;
}

function matchesLogical(l: Vlapic, destination: u32): bool {
  // In x2APIC mode all ones in the cluster means every cluster.
  if (isX2apic(l)) {
    if (destination == u32.MAX_VALUE) return true;
    return l.ldr >> 16 == destination >> 16 && (l.ldr & destination & 0xffff) != 0;
  }
  const logical = l.ldr >> 24;
  destination &= 0xff;
  switch (l.dfr >> DFR_MODEL_SHIFT) {
    case MODEL_FLAT:
      return (logical & destination) != 0;
    case MODEL_CLUSTER:
      // Cluster 15 is all of them.
      return (logical >> 4 == destination >> 4 || destination >> 4 == 15) && (logical & destination & 0xf) != 0;
    default:
      return false;
  }
}
