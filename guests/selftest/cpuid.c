/*
 * CPUID as a PVH guest must see it: Xen's leaves, and nothing of the virtualisation below.
 */
#include "suite.h"

/* Where guests look for them: only Hyper-V's interface moves Xen's leaves up. */
static void cpuid_base(void) {
  EXPECT(xen_leaf, 0x40000000);
  struct cpuid_result leaf = cpuid(xen_leaf + 0x100, 0);
  EXPECT(leaf.eax | leaf.ebx | leaf.ecx | leaf.edx, 0);
}

static void cpuid_signature(void) {
  struct cpuid_result leaf = cpuid(xen_leaf, 0);
  EXPECT(leaf.ebx, XEN_CPUID_SIGNATURE_EBX);
  EXPECT(leaf.ecx, XEN_CPUID_SIGNATURE_ECX);
  EXPECT(leaf.edx, XEN_CPUID_SIGNATURE_EDX);
  CHECK(leaf.eax >= xen_leaf + 4);
  CHECK(cpuid(1, 0).ecx >> 31);
}

static void cpuid_version(void) {
  EXPECT(cpuid(xen_leaf + 1, 0).eax, xen_version(XENVER_version, NULL));
}

static void cpuid_hypercall_page(void) {
  struct cpuid_result leaf = cpuid(xen_leaf + 2, 0);
  EXPECT(leaf.eax, 1);
  EXPECT(leaf.ebx, hypercall_msr);
  /* MMU_PT_UPDATE_PRESERVE_AD is for PV guests. */
  EXPECT(leaf.ecx & XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD, 0);
}

static void cpuid_time(void) {
  struct cpuid_result scale = cpuid(xen_leaf + 3, 1);
  const struct vcpu_time_info *time = &this_cpu()->info->time;
  EXPECT(scale.ecx, time->tsc_to_system_mul);
  EXPECT((int8_t)scale.edx, time->tsc_shift);
  EXPECT((int32_t)scale.edx, time->tsc_shift);
  /* Flags: emulated, safe, RDTSCP; then the mode, the rate in kHz and the incarnation. */
  struct cpuid_result mode = cpuid(xen_leaf + 3, 0);
  EXPECT(mode.eax & ~3u, (cpuid(0x80000001, 0).edx >> 27 & 1) << 2);
  EXPECT(mode.ebx, 0);
  CHECK(mode.ecx > 10000); /* 10 MHz: an emulator's processor may be slow */
  CHECK(cpuid(xen_leaf + 3, 2).eax > 10000);
  struct cpuid_result beyond = cpuid(xen_leaf + 3, 3);
  EXPECT(beyond.eax | beyond.ebx | beyond.ecx | beyond.edx, 0);
}

static void cpuid_hvm(void) {
  struct cpuid_result leaf = cpuid(xen_leaf + 4, 0);
  CHECK(leaf.eax & XEN_HVM_CPUID_VCPU_ID_PRESENT);
  EXPECT(leaf.ebx, 0);
  CHECK(leaf.eax & XEN_HVM_CPUID_DOMID_PRESENT);
  CHECK(leaf.ecx < DOMID_FIRST_RESERVED);
  /* What else it may say is of the local APIC: bits 0 and 1. */
  EXPECT(leaf.eax & ~3u, XEN_HVM_CPUID_IOMMU_MAPPINGS | XEN_HVM_CPUID_VCPU_ID_PRESENT | XEN_HVM_CPUID_DOMID_PRESENT |
                             XEN_HVM_CPUID_UPCALL_VECTOR);
  leaf = cpuid(xen_leaf + 4, 1);
  EXPECT(leaf.eax | leaf.ebx | leaf.ecx | leaf.edx, 0);
}

/* The last leaf is of PV guests: all zero, and nothing behind it. */
static void cpuid_last_leaves(void) {
  EXPECT(cpuid(xen_leaf, 0).eax, xen_leaf + 5);
  struct cpuid_result leaf = cpuid(xen_leaf + 5, 0);
  EXPECT(leaf.eax | leaf.ebx | leaf.ecx | leaf.edx, 0);
  leaf = cpuid(xen_leaf + 6, 0);
  EXPECT(leaf.eax | leaf.ebx | leaf.ecx | leaf.edx, 0);
}

/* No nested virtualisation: neither VMX nor SVM. */
static void cpuid_no_nesting(void) {
  EXPECT(cpuid(1, 0).ecx >> 5 & 1, 0);
  EXPECT(cpuid(0x80000001, 0).ecx >> 2 & 1, 0);
}

/* What the guest relies on. */
static void cpuid_features(void) {
  struct cpuid_result leaf = cpuid(1, 0), extended = cpuid(0x80000001, 0);
  static const uint8_t wanted[] = {0 /* FPU */, 4 /* TSC */, 5 /* MSR */, 6 /* PAE */, 8 /* CX8 */, 15 /* CMOV */,
                                   23 /* MMX */, 24 /* FXSR */, 25 /* SSE */, 26 /* SSE2 */};
  for (unsigned i = 0; i < sizeof wanted; i++)
    if (!(leaf.edx >> wanted[i] & 1))
      FAIL("leaf 1 EDX bit %u is 0", wanted[i]);
  CHECK(extended.edx >> 29 & 1); /* long mode */
  CHECK(cpuid(0x80000000, 0).eax >= 0x80000008);
  CHECK((cpuid(0x80000008, 0).eax & 0xff) >= 36);
}

/* CR4.OSXSAVE shows in CPUID. */
static void cpuid_osxsave(void) {
  if (!(cpuid(1, 0).ecx >> 26 & 1))
    SKIP("no XSAVE");
  uint64_t cr4 = read_cr4();
  EXPECT(cpuid(1, 0).ecx >> 27 & 1, 0);
  write_cr4(cr4 | 1 << 18);
  unsigned on = cpuid(1, 0).ecx >> 27 & 1;
  write_cr4(cr4);
  EXPECT(on, 1);
  EXPECT(cpuid(1, 0).ecx >> 27 & 1, 0);
}

/* All four registers are written whole: upper halves become 0. */
static void cpuid_upper_halves(void) {
  uint64_t rax = 0xffffffff00000000, rbx = ~0ull, rcx = 0xffffffff00000000, rdx = ~0ull;
  __asm__ volatile("cpuid" : "+a"(rax), "+b"(rbx), "+c"(rcx), "+d"(rdx));
  EXPECT(rax >> 32, 0);
  EXPECT(rbx >> 32, 0);
  EXPECT(rcx >> 32, 0);
  EXPECT(rdx >> 32, 0);
}

const struct test cpuid_tests[] = {
    {"cpuid-base", cpuid_base},
    {"cpuid-signature", cpuid_signature},
    {"cpuid-version", cpuid_version},
    {"cpuid-hypercall-page", cpuid_hypercall_page},
    {"cpuid-time", cpuid_time},
    {"cpuid-hvm", cpuid_hvm},
    {"cpuid-last-leaves", cpuid_last_leaves},
    {"cpuid-no-nesting", cpuid_no_nesting},
    {"cpuid-features", cpuid_features},
    {"cpuid-osxsave", cpuid_osxsave},
    {"cpuid-upper-halves", cpuid_upper_halves},
    {NULL, NULL},
};
