/*
 * Declarations shared by the shim's C files. Everything runs on the boot CPU with interrupts off, except the inside of a
 * software-isolated domain (software.h). All but engine-module.c is compiled without SSE, so that a guest's FPU state stays in
 * the registers while the hypervisor handles its exit.
 */
#ifndef TYPEVISOR_SHIM_H
#define TYPEVISOR_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

/* The names wasm2c uses; its generated headers skip their own definitions. */
#define WASM_RT_CORE_TYPES_DEFINED
typedef uint8_t u8;
typedef int8_t s8;
typedef uint16_t u16;
typedef int16_t s16;
typedef uint32_t u32;
typedef int32_t s32;
typedef uint64_t u64;
typedef int64_t s64;
typedef float f32;
typedef double f64;

#define NORETURN __attribute__((noreturn, cold, noinline))
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* --- boot-info.c: abi/boot-info.ts -------------------------------------------------------------------------- */

#define MEMORY_MAX 128
#define MODULE_MAX 32
#define E820_RAM 1
#define E820_RESERVED 2
#define E820_ACPI 3
#define E820_NVS 4
#define BOOTED_BY_PVH 1
#define BOOTED_BY_MULTIBOOT2 2
#define BOOTED_ON_UEFI 4

struct memory_range {
  u64 base, length, type;
};
struct boot_module {
  u64 base, size;
  char name[112];
};
struct boot_info {
  u64 tsc_entry, shim_base, shim_size, rsdp, flags, memory_count, module_count, shim_used, image_bytes;
  u8 unused[128 - 72];
  char command_line[4096 - 128];
  struct memory_range memory[MEMORY_MAX];
  u8 unused2[4096 - MEMORY_MAX * sizeof(struct memory_range)];
  struct boot_module modules[MODULE_MAX];
};
_Static_assert(sizeof(struct boot_info) == 12288, "abi/boot-info.ts");

extern struct boot_info boot_info;
extern u64 entry_tsc;

/* Copies the loader's information at physical address `info` to boot_info; needs the first 4 GiB identity-mapped. */
void read_loader_info(u64 info, u32 entered_by);
/* Replaces every module that is a container of modules (README.md) by its parts; needs the physmap. */
void split_modules(void);
/* True when the command line has the word `word`, or a word that starts with it if it ends in '='. */
bool command_line_has(const char *word);

/* --- memory.c ----------------------------------------------------------------------------------------------- */

/* Linker script. */
extern u8 shim_start[], text_end[], constants_end[], pages_start[], shim_end[];
/* entry.S: stacks and their ends; the page below each is never mapped. */
extern u8 stack_guard[], stack[], stack_end[], double_fault_stack_end[], page_fault_stack_end[], nmi_stack_end[];
extern u8 machine_check_stack_end[], engine_stack_guard[], engine_stack[], engine_stack_end[];
extern u8 io_stack_guard[], io_stack[], io_stack_end[];
extern u8 double_fault_stack_guard[], page_fault_stack_guard[], nmi_stack_guard[], machine_check_stack_guard[];
extern u8 pool[];

/* First physical address beyond everything the physmap may hold. */
extern u64 physical_end;
/* Pages of `pool` allocated. */
extern u32 pool_used;

/*
 * Takes `count` consecutive zeroed pages from the pool; NULL if fewer are left. They are never freed.
 */
void *pool_take(u32 count);
/* Builds the final page tables from boot_info's memory map and switches to them. */
void page_tables_init(void);
/* Backs a page of the hypervisor's linear memory with one of the shim's own. */
void space_map_own(u32 page, u64 frame);
/* A register at `pa` outside the MMIO window, mapped until the next call. Not for RAM. */
volatile u32 *device_register(u64 pa);
/* hw.spaceMap and hw.spaceUnmap. */
u32 space_map(u32 space, u32 page, u64 mfn, u32 flags);
u32 space_unmap(u32 space, u32 page);

/* --- cpu.c -------------------------------------------------------------------------------------------------- */

/* Loads GDT, IDT, TSS; sets up CR0, CR4, XCR0. */
void cpu_init(void);
u64 host_state(u32 which);
extern bool has_xsave;
extern u32 fpu_size;
/* Page for the host's VMLOAD/VMSAVE state; valid once svm_host_saved. */
extern u8 svm_host_area[PAGE_SIZE];
extern bool svm_host_saved;

static inline void read_cpuid(u32 leaf, u32 subleaf, u32 out[4]) {
  __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(subleaf));
}

/* --- ports -------------------------------------------------------------------------------------------------- */

static inline u8 in8(u16 port) {
  u8 value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
static inline u16 in16(u16 port) {
  u16 value;
  __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
static inline u32 in32(u16 port) {
  u32 value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
static inline void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void out16(u16 port, u16 value) { __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
static inline void out32(u16 port, u32 value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }

/* --- print.c: polled output to the first serial port; newlines become CR LF --------------------------------- */

void print_char(char c);
void print_bytes(const u8 *text, u64 length);
void print(const char *text);
void print_dec(u64 value);
/* `digits` hexadecimal digits with leading zeroes; 0: as many as needed. */
void print_hex(u64 value, u32 digits);

/* --- symbols.c ---------------------------------------------------------------------------------------------- */

/* Prints the function that `address` lies in, as "name+0x12", or the bare number. */
void print_symbol(u64 address);
/* Prints the chain of return addresses that starts at frame pointer `rbp`. */
void print_trace(u64 rbp);

/* --- power.c, panic.c --------------------------------------------------------------------------------------- */

/* Powers off (0) or resets (1). */
NORETURN void machine_off(u32 how);
/* A condition at boot that a user can mend: prints "Typevisor cannot start: <text>" and stops. */
NORETURN void refuse(const char *text);
/* Ends the machine after the report of a broken invariant: see README.md. */
NORETURN void panic_stop(void);
/* Prints "PANIC: <text>" with a stack trace and stops. */
NORETURN void panic(const char *text);
NORETURN void panic_bytes(const u8 *text, u64 length);
/* Physical address `pa` is not RAM the hypervisor may touch. */
NORETURN void panic_physical(u64 pa);

/* --- lib.c -------------------------------------------------------------------------------------------------- */

void *memcpy(void *to, const void *from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int value, size_t length);
int memcmp(const void *a, const void *b, size_t length);
size_t strlen(const char *text);
/* Copies at most size - 1 bytes and ends `to` with a NUL. */
void copy_string(char *to, const char *from, size_t size);

/* --- hypervisor.c ------------------------------------------------------------------------------------------- */

/* Starts the hypervisor module and runs its loop forever. */
NORETURN void hypervisor_run(void);

#endif
