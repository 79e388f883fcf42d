/*
 * The first instructions: Multiboot 2 header, PVH note, and the way from 32-bit protected mode to 64-bit C.
 *
 * Both loaders arrive in 32-bit protected mode, paging off, interrupts off, flat segments (Multiboot 2 specification
 * 3.3; Xen's PVH boot ABI): EBX points at the loader's information. With Multiboot 2 EAX has its magic; PVH has a
 * separate entry point.
 */
#include "layout.h"

#define MULTIBOOT2_HEADER_MAGIC 0xe85250d6
#define MULTIBOOT2_BOOTLOADER_MAGIC 0x36d76289
#define XEN_ELFNOTE_PHYS32_ENTRY 18

#define CR0_PE_MP_ET_NE_WP_PG 0x80010033
#define CR4_PAE_PGE_OSFXSR_OSXMMEXCPT 0x6a0
#define MSR_EFER 0xc0000080
#define EFER_LME_NXE 0x900

#define CPUID1_EDX_NEEDED 0x07002078 /* PSE TSC MSR PAE, PGE, FXSR SSE SSE2 */
#define CPUID1_ECX_NEEDED 0x00080201 /* SSE3, SSSE3, SSE4.1 */
#define CPUID81_EDX_NEEDED 0x20100000 /* long mode, NX */

  .section .multiboot, "a"
  .balign 8
header:
  .long MULTIBOOT2_HEADER_MAGIC
  .long 0
  .long header_end - header
  .long -(MULTIBOOT2_HEADER_MAGIC + (header_end - header))
  .short 6, 0 /* module alignment: page-aligned modules */
  .long 8
  .short 0, 0
  .long 8
header_end:

  .section .note.Xen, "a", @note
  .balign 4
  .long 4, 8, XEN_ELFNOTE_PHYS32_ENTRY
  .asciz "Xen"
  .quad pvh_entry

  .section .text.entry, "ax"
  .code32
  .global multiboot2_entry, pvh_entry
multiboot2_entry:
  mov $ENTERED_BY_MULTIBOOT2, %esi
  cmp $MULTIBOOT2_BOOTLOADER_MAGIC, %eax
  je 1f
  xor %esi, %esi
  jmp 1f
pvh_entry:
  mov $ENTERED_BY_PVH, %esi
1:
  cld
  mov $boot_stack_end, %esp
  rdtsc
  mov %eax, entry_tsc
  mov %edx, entry_tsc + 4
  call serial_setup
  mov $text_loader, %edi
  test %esi, %esi
  jz refuse

  mov %ebx, loader_info
  mov $text_old, %edi
  mov $0x80000000, %eax
  cpuid
  cmp $0x80000001, %eax
  jb refuse
  mov $0x80000001, %eax
  cpuid
  and $CPUID81_EDX_NEEDED, %edx
  cmp $CPUID81_EDX_NEEDED, %edx
  jne refuse
  mov $text_sse, %edi
  mov $1, %eax
  cpuid
  and $CPUID1_EDX_NEEDED, %edx
  cmp $CPUID1_EDX_NEEDED, %edx
  jne refuse
  and $CPUID1_ECX_NEEDED, %ecx
  cmp $CPUID1_ECX_NEEDED, %ecx
  jne refuse

  /* Temporary page tables on the engine's stack, which is not in use yet: the first 4 GiB, identity, 2 MiB pages. */
  mov $boot_tables, %edi
  xor %eax, %eax
  mov $(2 * PAGE_SIZE / 4), %ecx
  rep stosl
  movl $(boot_tables + PAGE_SIZE + 3), boot_tables
  mov $boot_tables + 2 * PAGE_SIZE + 3, %eax
  mov $boot_tables + PAGE_SIZE, %edi
  mov $4, %ecx
2:
  mov %eax, (%edi)
  add $PAGE_SIZE, %eax
  add $8, %edi
  loop 2b
  mov $boot_tables + 2 * PAGE_SIZE, %edi
  mov $0x83, %eax
  mov $2048, %ecx
3:
  mov %eax, (%edi)
  movl $0, 4(%edi)
  add $0x200000, %eax
  add $8, %edi
  loop 3b

  mov $CR4_PAE_PGE_OSFXSR_OSXMMEXCPT, %eax
  mov %eax, %cr4
  mov $boot_tables, %eax
  mov %eax, %cr3
  mov $MSR_EFER, %ecx
  rdmsr
  or $EFER_LME_NXE, %eax
  wrmsr
  mov $CR0_PE_MP_ET_NE_WP_PG, %eax
  mov %eax, %cr0
  lgdt boot_gdt_pointer
  ljmp $SELECTOR_CODE, $long_mode

/* The first serial port to 115200 baud, 8n1, FIFO on: text must be readable before anything else can go wrong. */
serial_setup:
  mov $serial_values, %edi
4:
  movzwl (%edi), %edx
  mov 2(%edi), %al
  outb %al, %dx
  add $3, %edi
  cmp $serial_values_end, %edi
  jne 4b
  ret

/* Prints the NUL-terminated text at EDI and stops for good. */
refuse:
  mov $text_prefix, %ebx
  call print
  mov %edi, %ebx
  call print
  mov $1, %al
  outb %al, $0xf4 /* QEMU's isa-debug-exit, for scripts */
5:
  cli
  hlt
  jmp 5b
print:
  mov (%ebx), %cl
  inc %ebx
  test %cl, %cl
  jz 8f
  mov $100000, %ebp
6:
  mov $COM1 + 5, %edx
  inb %dx, %al
  test $0x20, %al
  jnz 7f
  dec %ebp
  jnz 6b
7:
  mov $COM1, %edx
  mov %cl, %al
  outb %al, %dx
  jmp print
8:
  ret

  .code64
long_mode:
  mov $SELECTOR_DATA, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  xor %eax, %eax
  mov %eax, %fs
  mov %eax, %gs
  mov loader_info, %edi
  mov %esi, %esi
  mov $stack_end, %esp
  xor %ebp, %ebp
  call shim_main
9:
  cli
  hlt
  jmp 9b

  .section .rodata.entry, "a"
serial_values: /* port, value: interrupts off, divisor latch, divisor 1, 8n1, FIFO, DTR RTS OUT2 */
  .short COM1 + 1
  .byte 0
  .short COM1 + 3
  .byte 0x80
  .short COM1
  .byte 1
  .short COM1 + 1
  .byte 0
  .short COM1 + 3
  .byte 3
  .short COM1 + 4
  .byte 0x0b
serial_values_end:
text_prefix: .asciz "Typevisor cannot start: "
text_loader: .asciz "the boot loader is neither Multiboot 2 nor PVH.\r\n"
text_old: .asciz "the processor has no 64-bit mode or no execute-disable (CPUID 80000001h).\r\n"
text_sse: .asciz "the processor lacks SSE4.1 or an older feature (CPUID 1); QEMU has them with -cpu max.\r\n"
  .balign 8
boot_gdt:
  .quad 0
  .quad 0x00af9b000000ffff /* 64-bit code */
  .quad 0x00cf93000000ffff /* data */
boot_gdt_pointer:
  .short boot_gdt_pointer - boot_gdt - 1
  .long boot_gdt
  .global boot_gdt

  .section .bss.entry, "aw", @nobits
  .global entry_tsc
  .balign 16
entry_tsc: .skip 8
loader_info: .skip 8
  .skip 256
boot_stack_end:

/* Stacks, each above an unmapped page, and the page pool. memory.c maps all but the guard pages. */
  .section .pages, "aw", @nobits
  .macro stack name, size
  .global \name\()_guard, \name, \name\()_end
\name\()_guard: .skip PAGE_SIZE
\name: .skip \size
\name\()_end:
  .endm
  .balign PAGE_SIZE
  stack stack, STACK_SIZE
  stack double_fault_stack, FAULT_STACK_SIZE
  stack page_fault_stack, FAULT_STACK_SIZE
  stack nmi_stack, FAULT_STACK_SIZE
  stack machine_check_stack, FAULT_STACK_SIZE
  stack engine_stack, ENGINE_STACK_SIZE
  stack io_stack, IO_STACK_SIZE
  .global pool
pool: .skip POOL_PAGES * PAGE_SIZE
  .set boot_tables, engine_stack
