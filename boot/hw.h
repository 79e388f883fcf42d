/*
 * The imports of arch-x86/hw.ts, which documents them, as inline functions: included before the generated code of the
 * hypervisor module, so that gcc turns each into an instruction or two. `ptr` is an offset in linear memory, `pa` a
 * physical address in bytes.
 */
#ifndef TYPEVISOR_HW_H
#define TYPEVISOR_HW_H

#include "software.h"

struct Z_hw_instance_t;
struct Z_env_instance_t;

#define HW(type, name, ...) static inline type Z_hwZ_##name(struct Z_hw_instance_t *hw __VA_OPT__(, ) __VA_ARGS__)
#define HW_UNUSED (void)hw

extern u32 enter_vmx(u64 *regs, u32 launched);
extern void enter_svm(u64 vmcb, u64 *regs, u64 host_area);
extern u32 hypervisor_first_free_page(void);

/* A linear address as a pointer: whatever lies outside the mapped pages faults. */
static inline u8 *linear(u64 ptr) { return (u8 *)(HYPERVISOR_BASE + ptr); }

/*
 * A physical address as a pointer. The physmap has holes where the hypervisor must not go (memory.c), so that one
 * comparison, which keeps the sum inside the physmap, is all the checking there is.
 */
static inline u8 *physical(u64 pa) {
  if (__builtin_expect(pa >= physical_end, 0)) panic_physical(pa);
  return (u8 *)(PHYSMAP_BASE + pa);
}
/*
 * The same for structures that an instruction reaches by their physical address: the load faults if they are not RAM.
 */
static inline u64 physical_operand(u64 pa) {
  *(volatile u8 *)physical(pa);
  return pa;
}
static inline volatile u32 *mmio(u64 pa) {
  if (__builtin_expect(pa - MMIO_PHYSICAL >= MMIO_SIZE, 0)) return device_register(pa);
  return (volatile u32 *)(MMIO_VIRTUAL + (pa - MMIO_PHYSICAL));
}

/* --- Physical memory ---------------------------------------------------------------------------------------- */

typedef u16 __attribute__((may_alias, aligned(1))) any16;
typedef u32 __attribute__((may_alias, aligned(1))) any32;
typedef u64 __attribute__((may_alias, aligned(1))) any64;

HW(u32, load8, u64 pa) { HW_UNUSED; return *(volatile u8 *)physical(pa); }
HW(u32, load16, u64 pa) { HW_UNUSED; return *(volatile any16 *)physical(pa); }
HW(u32, load32, u64 pa) { HW_UNUSED; return *(volatile any32 *)physical(pa); }
HW(u64, load64, u64 pa) { HW_UNUSED; return *(volatile any64 *)physical(pa); }
HW(void, store8, u64 pa, u32 value) { HW_UNUSED; *(volatile u8 *)physical(pa) = (u8)value; }
HW(void, store16, u64 pa, u32 value) { HW_UNUSED; *(volatile any16 *)physical(pa) = (u16)value; }
HW(void, store32, u64 pa, u32 value) { HW_UNUSED; *(volatile any32 *)physical(pa) = value; }
HW(void, store64, u64 pa, u64 value) { HW_UNUSED; *(volatile any64 *)physical(pa) = value; }

HW(u32, cmpxchg32, u64 pa, u32 expected, u32 value) {
  HW_UNUSED;
  __atomic_compare_exchange_n((u32 *)physical(pa), &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return expected;
}
HW(u64, fetchOr64, u64 pa, u64 bits) {
  HW_UNUSED;
  return __atomic_fetch_or((u64 *)physical(pa), bits, __ATOMIC_SEQ_CST);
}
HW(u64, fetchAnd64, u64 pa, u64 bits) {
  HW_UNUSED;
  return __atomic_fetch_and((u64 *)physical(pa), bits, __ATOMIC_SEQ_CST);
}

HW(void, copyFromPhys, u32 ptr, u64 pa, u32 length) { HW_UNUSED; memcpy(linear(ptr), physical(pa), length); }
HW(void, copyToPhys, u64 pa, u32 ptr, u32 length) { HW_UNUSED; memcpy(physical(pa), linear(ptr), length); }
HW(void, copyPhys, u64 to, u64 from, u32 length) { HW_UNUSED; memcpy(physical(to), physical(from), length); }
HW(void, zeroFrame, u64 mfn) {
  HW_UNUSED;
  u8 *frame = physical(mfn << 12);
  u64 words = PAGE_SIZE / 8;
  __asm__ volatile("rep stosq" : "+D"(frame), "+c"(words) : "a"(0ul) : "memory");
}

HW(u32, mmioRead32, u64 pa) { HW_UNUSED; return *mmio(pa); }
HW(void, mmioWrite32, u64 pa, u32 value) { HW_UNUSED; *mmio(pa) = value; }

HW(void, cacheFlush, u64 pa, u32 length) {
  HW_UNUSED;
  for (u64 at = pa & -64ul; at < pa + length; at += 64) __asm__ volatile("clflush (%0)" : : "r"(physical(at)) : "memory");
  __asm__ volatile("mfence" : : : "memory");
}

/* --- Linear memories, software-isolated domains ------------------------------------------------------------- */

HW(u32, spaceMap, u32 space, u32 page, u64 mfn, u32 flags) { HW_UNUSED; return space_map(space, page, mfn, flags); }
HW(u32, spaceUnmap, u32 space, u32 page) { HW_UNUSED; return space_unmap(space, page); }
HW(u32, firstFreePage) { HW_UNUSED; return hypervisor_first_free_page(); }

/* build/snapshot.bin: u32 count, u32 size in pages, two zeroes, the page numbers, and page-aligned the pages. */
static inline u32 image_index(const u32 *image, u32 index) {
  if (index >= image[0]) panic("hw.imagePage*: no such page");
  return index;
}
HW(u32, imagePages, u32 space) { HW_UNUSED; return software_domain(space)->image[0]; }
HW(u32, imageSize, u32 space) { HW_UNUSED; return software_domain(space)->image[1]; }
HW(u32, imagePageNumber, u32 space, u32 index) {
  HW_UNUSED;
  const u32 *image = software_domain(space)->image;
  return image[4 + image_index(image, index)];
}
HW(void, imagePageCopy, u32 space, u32 index, u64 mfn) {
  HW_UNUSED;
  const u32 *image = software_domain(space)->image;
  u64 pages = (16 + 4ul * image[0] + PAGE_SIZE - 1) / PAGE_SIZE;
  memcpy(physical(mfn << 12), (const u8 *)image + (pages + image_index(image, index)) * PAGE_SIZE, PAGE_SIZE);
}
HW(void, softwareReset, u32 space) { HW_UNUSED; software_reset(space); }
HW(u32, enterSoftware, u32 space, u32 info) {
  HW_UNUSED;
  return software_enter(space, (struct software_exit *)linear(info));
}

/* --- CPU ---------------------------------------------------------------------------------------------------- */

#define HW_CPUID(name, index)                    \
  HW(u32, name, u32 leaf, u32 subleaf) {         \
    HW_UNUSED;                                   \
    u32 out[4];                                  \
    read_cpuid(leaf, subleaf, out);              \
    return out[index];                           \
  }
HW_CPUID(cpuidA, 0)
HW_CPUID(cpuidB, 1)
HW_CPUID(cpuidC, 2)
HW_CPUID(cpuidD, 3)

/* A #GP at label 1 continues at label 2 with RAX = RDX = 0 and msr_faulted set (trap.c). */
#define HW_FIXUP ".pushsection .fixups, \"a\"\n.quad 1b, 2b\n.popsection"

HW(u64, rdmsr, u32 msr) {
  HW_UNUSED;
  u32 low, high;
  msr_faulted = 0;
  __asm__ volatile("1: rdmsr\n2:\n" HW_FIXUP : "=a"(low), "=d"(high) : "c"(msr) : "memory");
  return low | (u64)high << 32;
}
HW(void, wrmsr, u32 msr, u64 value) {
  HW_UNUSED;
  u32 low = (u32)value, high = (u32)(value >> 32);
  msr_faulted = 0;
  __asm__ volatile("1: wrmsr\n2:\n" HW_FIXUP : "+a"(low), "+d"(high) : "c"(msr) : "memory");
}
HW(u32, msrFaulted) { HW_UNUSED; return *(volatile u32 *)&msr_faulted; }

#define HW_READ_CR(name, cr)                                     \
  HW(u64, name) {                                                \
    HW_UNUSED;                                                   \
    u64 value;                                                   \
    __asm__ volatile("mov %%" cr ", %0" : "=r"(value));          \
    return value;                                                \
  }
HW_READ_CR(readCr0, "cr0")
HW_READ_CR(readCr3, "cr3")
HW_READ_CR(readCr4, "cr4")
HW(void, writeCr0, u64 value) { HW_UNUSED; __asm__ volatile("mov %0, %%cr0" : : "r"(value) : "memory"); }
HW(void, writeCr4, u64 value) { HW_UNUSED; __asm__ volatile("mov %0, %%cr4" : : "r"(value) : "memory"); }
HW(u64, readXcr0) {
  HW_UNUSED;
  u32 low, high;
  if (!has_xsave) return 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | (u64)high << 32;
}
HW(void, writeXcr0, u64 value) {
  HW_UNUSED;
  __asm__ volatile("xsetbv" : : "a"((u32)value), "d"((u32)(value >> 32)), "c"(0) : "memory");
}
HW(u64, rdtsc) {
  HW_UNUSED;
  u32 low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return low | (u64)high << 32;
}
HW(void, pause) { HW_UNUSED; __asm__ volatile("pause" : : : "memory"); }
HW(u64, readDr, u32 n) {
  HW_UNUSED;
  u64 value;
  switch (n) {
  case 0: __asm__ volatile("mov %%dr0, %0" : "=r"(value)); break;
  case 1: __asm__ volatile("mov %%dr1, %0" : "=r"(value)); break;
  case 2: __asm__ volatile("mov %%dr2, %0" : "=r"(value)); break;
  case 3: __asm__ volatile("mov %%dr3, %0" : "=r"(value)); break;
  default: __asm__ volatile("mov %%dr6, %0" : "=r"(value)); break;
  }
  return value;
}
HW(void, writeDr, u32 n, u64 value) {
  HW_UNUSED;
  switch (n) {
  case 0: __asm__ volatile("mov %0, %%dr0" : : "r"(value)); break;
  case 1: __asm__ volatile("mov %0, %%dr1" : : "r"(value)); break;
  case 2: __asm__ volatile("mov %0, %%dr2" : : "r"(value)); break;
  case 3: __asm__ volatile("mov %0, %%dr3" : : "r"(value)); break;
  default: __asm__ volatile("mov %0, %%dr6" : : "r"(value)); break;
  }
}
HW(u64, hostState, u32 which) { HW_UNUSED; return host_state(which); }

HW(u32, in8, u32 port) { HW_UNUSED; return in8((u16)port); }
HW(u32, in16, u32 port) { HW_UNUSED; return in16((u16)port); }
HW(u32, in32, u32 port) { HW_UNUSED; return in32((u16)port); }
HW(void, out8, u32 port, u32 value) { HW_UNUSED; out8((u16)port, (u8)value); }
HW(void, out16, u32 port, u32 value) { HW_UNUSED; out16((u16)port, (u16)value); }
HW(void, out32, u32 port, u32 value) { HW_UNUSED; out32((u16)port, value); }

HW(u32, takeInterrupt) {
  HW_UNUSED;
  interrupt_taken = -1;
  __asm__ volatile("sti; nop; cli" : : : "memory", "cc");
  return (u32)interrupt_taken;
}
HW(u32, idle) {
  HW_UNUSED;
  interrupt_taken = -1;
  __asm__ volatile("sti; hlt; cli" : : : "memory", "cc");
  return (u32)interrupt_taken;
}

/* --- Virtualisation ----------------------------------------------------------------------------------------- */

/* VMX instructions report by CF (VMfailInvalid) and ZF (VMfailValid): SDM 3C 31.2. */
#define HW_VMX(instruction, ...)                                                                            \
  HW_UNUSED;                                                                                                \
  u8 invalid, valid;                                                                                        \
  __asm__ volatile(instruction : "=@ccc"(invalid), "=@ccz"(valid) : __VA_ARGS__ : "memory");                \
  return invalid ? 1 : valid ? 2 : 0;

struct vmx_descriptor {
  u64 first, second;
};
HW(u32, vmxon, u64 pa) { u64 operand = physical_operand(pa); HW_VMX("vmxon %2", "m"(operand)) }
HW(u32, vmxoff) { HW_VMX("vmxoff") }
HW(u32, vmclear, u64 pa) { u64 operand = physical_operand(pa); HW_VMX("vmclear %2", "m"(operand)) }
HW(u32, vmptrld, u64 pa) { u64 operand = physical_operand(pa); HW_VMX("vmptrld %2", "m"(operand)) }
HW(u32, invept, u64 type, u64 eptp) {
  struct vmx_descriptor operand = {eptp, 0};
  HW_VMX("invept %2, %3", "m"(operand), "r"(type))
}
HW(u32, invvpid, u64 type, u64 vpid, u64 address) {
  struct vmx_descriptor operand = {vpid, address};
  HW_VMX("invvpid %2, %3", "m"(operand), "r"(type))
}
HW(u64, vmread, u32 field) {
  HW_UNUSED;
  u64 value = 0;
  u8 failed;
  __asm__ volatile("vmread %2, %0" : "+r"(value), "=@ccbe"(failed) : "r"((u64)field) : "memory");
  return failed ? 0 : value;
}
HW(u32, vmwrite, u32 field, u64 value) { HW_VMX("vmwrite %2, %3", "rm"(value), "r"((u64)field)) }
HW(u32, enterVmx, u32 regs, u32 launched) { HW_UNUSED; return enter_vmx((u64 *)linear(regs), launched); }
HW(void, enterSvm, u64 vmcb, u32 regs) {
  HW_UNUSED;
  u64 host = (u64)svm_host_area;
  if (__builtin_expect(!svm_host_saved, 0)) {
    __asm__ volatile("vmsave" : : "a"(host) : "memory");
    svm_host_saved = true;
  }
  enter_svm(physical_operand(vmcb), (u64 *)linear(regs), host);
}

HW(void, fpuSave, u64 pa) {
  HW_UNUSED;
  u8 *area = physical(pa);
  if (has_xsave) __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(-1), "d"(-1) : "memory");
  else __asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}
/*
 * AMD's processors before Zen save and load where the last x87 instruction and its operand were only while an exception
 * is pending, so the next guest would read it of the last one: the load of a constant of ours takes its place.
 */
HW(void, fpuLoad, u64 pa) {
  HW_UNUSED;
  static const u32 constant = 0;
  u8 *area = physical(pa);
  __asm__ volatile("fnclex; emms; fildl %0" : : "m"(constant));
  if (has_xsave) __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(-1), "d"(-1) : "memory");
  else __asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}
/* FXSAVE image (SDM 1 10.5.1): FCW at 0, MXCSR at 24; an XSAVE header of zeroes means every component initial. */
HW(void, fpuInit, u64 pa) {
  HW_UNUSED;
  u8 *area = physical(pa);
  memset(area, 0, fpu_size);
  *(any16 *)area = 0x37f;
  *(any32 *)(area + 24) = 0x1f80;
}

/* --- The machine -------------------------------------------------------------------------------------------- */

HW(void, bootInfo, u32 ptr) {
  HW_UNUSED;
  boot_info.shim_used = boot_info.shim_size - (u64)(POOL_PAGES - pool_used) * PAGE_SIZE;
  memcpy(linear(ptr), &boot_info, sizeof(boot_info));
}
HW(void, serialWrite, u32 ptr, u32 length) { HW_UNUSED; print_bytes(linear(ptr), length); }
HW(void, panic, u32 ptr, u32 length) { HW_UNUSED; panic_bytes(linear(ptr), length); }
HW(void, machineOff, u32 how) { HW_UNUSED; machine_off(how); }
HW(void, lock, u32 ptr) {
  HW_UNUSED;
  u32 *word = (u32 *)linear(ptr);
  while (__atomic_exchange_n(word, 1, __ATOMIC_ACQUIRE)) __asm__ volatile("pause" : : : "memory");
  __asm__ volatile("" : : : "memory");
}
HW(void, unlock, u32 ptr) {
  HW_UNUSED;
  __asm__ volatile("" : : : "memory");
  __atomic_store_n((u32 *)linear(ptr), 0, __ATOMIC_RELEASE);
}

#endif
