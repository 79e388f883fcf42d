/*
 * Where everything is: physical, virtual, and the processor's selectors. Included by C and by assembly.
 *
 *   virtual                         what                                                     access
 *   SHIM_BASE ..                    the shim's image, stacks and page tables (identity)      text RX, data RW
 *   HYPERVISOR_BASE + 4 GiB         linear memory of the hypervisor module (space 0)         RW, mapped page by page
 *   ENGINE_BASE + 4 GiB             linear memory of domain 0's engine (space 1)             RW, mapped page by page
 *   CODEC_BASE + CODEC_SIZE         the end of that one: linear memory of the codec          as the engine's
 *   SANDBOX_BASE(n) + SANDBOX_SIZE  parts of that one, again: memories of other sandboxes    as the engine's
 *   IO_BASE + 4 GiB                 linear memory of the I/O domain (space 2)                RW, mapped page by page
 *   PHYSMAP_BASE + pa               RAM and firmware tables, the shim's own range left out   RW, cached
 *   MMIO_VIRTUAL + (pa - MMIO_PHYSICAL)  local APIC, I/O APIC, HPET                          RW, uncached
 *   DEVICE_VIRTUAL                  the page of a device's registers used last               RW, uncached
 *
 * Everything else faults. WebAssembly addresses are 32 bits plus a constant offset of 32 bits, so 8 GiB from each
 * linear memory's base must fault where nothing is mapped; no bounds are checked in software.
 */
#ifndef TYPEVISOR_LAYOUT_H
#define TYPEVISOR_LAYOUT_H

/* 16 MiB: UEFI firmware (OVMF) uses ranges between 8 and 9 MiB, and Linux has loaded at 16 MiB for decades. */
#define SHIM_BASE 0x1000000

#define PAGE_SIZE 4096
/* Below 2 GiB, so that an instruction can hold it and a field's offset as its displacement. The shim ends below it. */
#define HYPERVISOR_BASE 0x40000000
#define ENGINE_BASE 0x2000000000
/* The codec cannot access anything below its base or above its own memory, whose end is that of the engine's. */
#define CODEC_BASE (ENGINE_BASE + 0xe2000000) /* abi/domain0-layout.ts, DOM0_CODEC */
#define CODEC_SIZE 0x1df00000
/* The other sandboxes in domain 0's: pages of the window from DOM0_SANDBOXES on, at addresses with a guard behind each. */
#define SANDBOX_WINDOW 0xe0000000
#define SANDBOX_COUNT 2
#define SANDBOX_SIZE 0x1000000
#define SANDBOX_BASE(number) (0x4000000000 + (number) * 0x400000000)
#define IO_BASE 0x3000000000 /* abi/io/layout.ts says what is where in it */
#define LINEAR_SIZE 0x100000000
#define LINEAR_GUARDED 0x200000000
#define PHYSMAP_BASE 0xffff800000000000
#define PHYSMAP_LIMIT 0x400000000000 /* 64 TiB: RAM above it is not used */
#define MMIO_VIRTUAL 0xffffff0000000000
#define MMIO_PHYSICAL 0xfec00000
#define MMIO_SIZE 0x400000
#define DEVICE_VIRTUAL (MMIO_VIRTUAL + 0x40000000)

/* `size` of a linear memory for bulk operations: all of it, rounded to what fits wasm_rt_memory_t's u32. */
#define LINEAR_BULK_SIZE 0xffff0000

/* Stacks; below each lies one page that is never mapped. */
#define STACK_SIZE 0x10000
#define FAULT_STACK_SIZE 0x4000
#define ENGINE_STACK_SIZE 0x100000
#define IO_STACK_SIZE 0x20000
/* What a fault in a software-isolated domain needs to keep on its own stack: trap frame, FXSAVE area, a few C frames. */
#define STACK_RESERVE 0x1000

/*
 * Reserve of pages for page tables and the hypervisor module's static data; RAM and modules are never taken from it. The
 * last part is every table that the I/O domain's linear memory can need.
 */
#define POOL_PAGES (640 + 458)
/* Below this much RAM Typevisor refuses to start. */
#define MINIMUM_RAM_MIB 48

#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TSS 0x18

/* Interrupt stack table slots (1-based as in the IDT). */
#define IST_DOUBLE_FAULT 1
#define IST_PAGE_FAULT 2
#define IST_NMI 3
#define IST_MACHINE_CHECK 4

#define COM1 0x3f8

/* How control arrived, second argument of shim_main. */
#define ENTERED_BY_PVH 1
#define ENTERED_BY_MULTIBOOT2 2

#endif
