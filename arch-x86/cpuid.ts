/**
 * CPUID as a guest sees it: the processor's leaves under cpuid-policy.ts, and Xen's own (xen/arch-x86/cpuid.h).
 *
 * Xen's leaves begin at 0x4000_0000, also when this hypervisor itself runs on another one with leaves there, which are hidden
 * from guests. Xen moves its leaves up by 0x100 only for domains with the Hyper-V (viridian) interface; many guests
 * search nowhere else.
 */
import { cpuidEax, cpuidEbx, cpuidEcx, cpuidEdx, readXcr0 } from "./hw";
import {
  CAPACITY_EBX,
  CR4_OSXSAVE,
  EXTENDED_ECX,
  EXTENDED_EDX,
  LEAF1_ECX,
  LEAF1_ECX_HYPERVISOR,
  LEAF1_ECX_OSXSAVE,
  LEAF1_ECX_TSC_DEADLINE,
  LEAF1_ECX_X2APIC,
  LEAF1_EDX,
  LEAF1_EDX_APIC,
  LEAF7_EBX,
  LEAF7_ECX,
  LEAF7_EDX,
  LEAFD1_EAX,
  POWER_EDX,
} from "./cpuid-policy";
import { hostXcr0, XCR0_AVX } from "./fpu";
import { HvmVcpu } from "./hvm-vcpu";
import { MSR_XEN_HYPERCALL_PAGE } from "./msr";
import { getCr4 } from "./state";
import { tscInvariant, tscKhz, tscMul, tscShift } from "./host/tsc";
import { vendor, VENDOR_SVM } from "./vendor";
import { APIC_BASE_ENABLE, vlapicId, vlapicOf } from "./vlapic/state";

const LAST_BASIC: u32 = 0xd;
const LAST_EXTENDED: u32 = 0x80000008;
/** Where the leaves of hypervisors begin and end, and Xen's first. */
const HYPERVISOR_BASE: u32 = 0x40000000;
const HYPERVISOR_END: u32 = 0x40000200;

const XEN_VERSION: u32 = (4 << 16) | 17;
const XEN_LEAVES: u32 = 5; // XEN_CPUID_MAX_NUM_LEAVES; Xen reports base + 5 although the last one is for PV guests
const SIGNATURE_EBX: u32 = 0x566e6558; // "XenV"
const SIGNATURE_ECX: u32 = 0x65584d4d; // "MMXe"
const SIGNATURE_EDX: u32 = 0x4d4d566e; // "nVMM"
const HVM_IOMMU_MAPPINGS: u32 = 1 << 2; // DMA to a page that a grant maps needs no copy: Xen always says so
const HVM_VCPU_ID_PRESENT: u32 = 1 << 3;
const HVM_DOMID_PRESENT: u32 = 1 << 4;
const HVM_UPCALL_VECTOR: u32 = 1 << 6;
const TIME_HOST_SAFE: u32 = 1 << 1; // the TSC runs at one rate, always: the host's is invariant
const TIME_RDTSCP: u32 = 1 << 2; // there is RDTSCP, for the guest too
const EXTENDED_RDTSCP: u32 = 1 << 27;

const XSAVE_LEGACY_BYTES: u32 = 576; // x87 and SSE image, and header

/** Puts a CPUID result into the guest's registers: upper halves are cleared. */
function answer(v: HvmVcpu, a: u32, b: u32, c: u32, d: u32): void {
  v.rax = a;
  v.rbx = b;
  v.rcx = c;
  v.rdx = d;
}

/** Executes CPUID for the guest: results in RAX, RBX, RCX, RDX. A leaf the guest does not have reads as zeroes. */
export function guestCpuid(v: HvmVcpu, leaf: u32, subleaf: u32): void {
  if (leaf >= HYPERVISOR_BASE && leaf < HYPERVISOR_END) hypervisorLeaf(v, leaf, subleaf);
  else if (leaf >= 0x80000000) extendedLeaf(v, leaf);
  else basicLeaf(v, leaf, subleaf);
}

function basicLeaf(v: HvmVcpu, leaf: u32, subleaf: u32): void {
  if (leaf > lastBasic()) {
    answer(v, 0, 0, 0, 0);
    return;
  }
  switch (leaf) {
    case 0:
      answer(v, lastBasic(), cpuidEbx(0, 0), cpuidEcx(0, 0), cpuidEdx(0, 0));
      return;
    case 1: {
      // Initial APIC id: two ids per vCPU, as Xen numbers them. One logical processor per package.
      const misc = (cpuidEbx(1, 0) & 0xffff) | (1 << 16) | (vlapicId(v) << 24);
      let features = (cpuidEcx(1, 0) & LEAF1_ECX) | LEAF1_ECX_HYPERVISOR;
      if ((getCr4(v) & CR4_OSXSAVE) != 0) features |= LEAF1_ECX_OSXSAVE;
      if (v.vlapic != 0) features |= LEAF1_ECX_X2APIC | LEAF1_ECX_TSC_DEADLINE;
      answer(v, cpuidEax(1, 0), misc, features, (cpuidEdx(1, 0) & LEAF1_EDX) | apicBit(v));
      return;
    }
    case 2:
      answer(v, cpuidEax(2, 0), cpuidEbx(2, 0), cpuidEcx(2, 0), cpuidEdx(2, 0));
      return;
    case 4:
      // The host's caches, not shared between vCPUs: the numbers of threads and cores are zero.
      answer(v, cpuidEax(4, subleaf) & 0x3fff, cpuidEbx(4, subleaf), cpuidEcx(4, subleaf), cpuidEdx(4, subleaf));
      return;
    case 7:
      if (subleaf != 0) break;
      answer(v, 0, cpuidEbx(7, 0) & LEAF7_EBX, cpuidEcx(7, 0) & LEAF7_ECX, cpuidEdx(7, 0) & LEAF7_EDX);
      return;
    case 0xb:
      // No topology, but the id that goes with x2APIC mode: as Xen's.
      if (v.vlapic == 0) break;
      answer(v, 0, 0, subleaf & 0xff, vlapicId(v));
      return;
    case 0xd:
      xsaveLeaf(v, subleaf);
      return;
  }
  answer(v, 0, 0, 0, 0);
}

/** The APIC bit follows the enable bit of IA32_APIC_BASE (SDM 3A 11.4.3). */
function apicBit(v: HvmVcpu): u32 {
  return v.vlapic != 0 && (vlapicOf(v).base & APIC_BASE_ENABLE) != 0 ? LEAF1_EDX_APIC : 0;
}

function lastBasic(): u32 {
  return min<u32>(cpuidEax(0, 0), LAST_BASIC);
}

/** Leaf 0xD: what XSAVE saves and how large the area is. */
function xsaveLeaf(v: HvmVcpu, subleaf: u32): void {
  if (hostXcr0 != 0) {
    switch (subleaf) {
      case 0:
        answer(v, <u32>hostXcr0, xsaveBytes(readXcr0()), xsaveBytes(hostXcr0), 0);
        return;
      case 1:
        answer(v, cpuidEax(0xd, 1) & LEAFD1_EAX, xsaveBytes(readXcr0()), 0, 0);
        return;
      case 2:
        if ((hostXcr0 & XCR0_AVX) == 0) break;
        answer(v, cpuidEax(0xd, 2), cpuidEbx(0xd, 2), 0, 0);
        return;
    }
  }
  answer(v, 0, 0, 0, 0);
}

/** Size of an XSAVE area for these components. */
function xsaveBytes(xcr0: u64): u32 {
  return (xcr0 & XCR0_AVX) != 0 ? cpuidEbx(0xd, 2) + cpuidEax(0xd, 2) : XSAVE_LEGACY_BYTES;
}

function extendedLeaf(v: HvmVcpu, leaf: u32): void {
  const last = min<u32>(cpuidEax(0x80000000, 0), LAST_EXTENDED);
  if (leaf > last) {
    answer(v, 0, 0, 0, 0);
    return;
  }
  const a = cpuidEax(leaf, 0);
  const b = cpuidEbx(leaf, 0);
  const c = cpuidEcx(leaf, 0);
  const d = cpuidEdx(leaf, 0);
  switch (leaf) {
    case 0x80000000:
      answer(v, last, b, c, d);
      return;
    case 0x80000001:
      // AMD repeats the APIC bit.
      answer(v, a, b, c & EXTENDED_ECX, (d & EXTENDED_EDX) | (vendor == VENDOR_SVM ? apicBit(v) : 0));
      return;
    case 0x80000007:
      answer(v, 0, 0, 0, d & POWER_EDX);
      return;
    case 0x80000008:
      answer(v, a, b & CAPACITY_EBX, 0, 0);
      return;
    default: // brand string, cache descriptions
      answer(v, a, b, c, d);
  }
}

function hypervisorLeaf(v: HvmVcpu, leaf: u32, subleaf: u32): void {
  switch (leaf - HYPERVISOR_BASE) {
    case 0:
      answer(v, HYPERVISOR_BASE + XEN_LEAVES, SIGNATURE_EBX, SIGNATURE_ECX, SIGNATURE_EDX);
      return;
    case 1:
      answer(v, XEN_VERSION, 0, 0, 0);
      return;
    case 2: // one hypercall page, the MSR that names it, no features (those are of paravirtual page tables)
      answer(v, 1, MSR_XEN_HYPERCALL_PAGE, 0, 0);
      return;
    case 3:
      timeLeaf(v, subleaf);
      return;
    case 4:
      hvmLeaf(v, subleaf);
      return;
    default:
      answer(v, 0, 0, 0, 0);
  }
}

/** Leaf 4: what an HVM guest may rely on, and who it is. */
function hvmLeaf(v: HvmVcpu, subleaf: u32): void {
  const flags = HVM_IOMMU_MAPPINGS | HVM_VCPU_ID_PRESENT | HVM_DOMID_PRESENT | HVM_UPCALL_VECTOR;
  if (subleaf) answer(v, 0, 0, 0, 0);
  else answer(v, flags, v.guestVcpuId, v.guestDomainId, 0);
}

/** Leaf 3: how the guest's TSC relates to the host's and to system time. */
function timeLeaf(v: HvmVcpu, subleaf: u32): void {
  switch (subleaf) {
    case 0: {
      // tsc_mode 0, never emulated, incarnation 0
      const safe = tscInvariant() ? TIME_HOST_SAFE : 0;
      const rdtscp = (cpuidEdx(0x80000001, 0) & EXTENDED_EDX & EXTENDED_RDTSCP) != 0 ? TIME_RDTSCP : 0;
      answer(v, safe | rdtscp, 0, tscKhz(), 0);
      return;
    }
    case 1:
      answer(v, <u32>v.tscOffset, <u32>(v.tscOffset >> 32), tscMul(), <u32>tscShift());
      return;
    case 2:
      answer(v, tscKhz(), 0, 0, 0);
      return;
    default:
      answer(v, 0, 0, 0, 0);
  }
}
