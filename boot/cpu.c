/* Descriptor tables, interrupt stacks and control registers of the boot CPU. */
#include "trap.h"

#define CR0_MONITOR_COPROCESSOR (1u << 1)
#define CR0_EMULATION (1u << 2)
#define CR0_TASK_SWITCHED (1u << 3)
#define CR4_OSXSAVE (1u << 18)
#define CPUID1_ECX_XSAVE (1u << 26)
#define XCR0_X87_SSE_AVX 7
#define FXSAVE_SIZE 512

#define GATE_INTERRUPT 0x8e /* present, ring 0, interrupts off on entry */
#define DESCRIPTOR_TSS 0x89

/* hw.hostState's numbers, abi/host-state.ts. */
enum { HOST_CS, HOST_SS, HOST_TR, HOST_GDT_BASE, HOST_IDT_BASE, HOST_TR_BASE, HOST_FPU_SIZE };

struct gate {
  u16 offset_low, selector;
  u8 stack, type;
  u16 offset_middle;
  u32 offset_high, reserved;
};
struct __attribute__((packed)) tss {
  u32 reserved;
  u64 rsp[3], reserved2, stacks[8]; /* stacks[0] is reserved */
  u16 reserved3, io_bitmap;
};
struct __attribute__((packed)) table_pointer {
  u16 limit;
  u64 base;
};

extern const u8 interrupt_stubs[256][16];
extern const u64 boot_gdt[3];

static u64 gdt[5];
static struct gate idt[256] __attribute__((aligned(16)));
static struct tss tss __attribute__((aligned(16)));

bool has_xsave;
u32 fpu_size = FXSAVE_SIZE;
u8 svm_host_area[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
bool svm_host_saved;

static void set_gate(u32 vector, u8 interrupt_stack) {
  u64 stub = (u64)interrupt_stubs[vector];
  idt[vector] = (struct gate){.offset_low = (u16)stub,
                              .selector = SELECTOR_CODE,
                              .stack = interrupt_stack,
                              .type = GATE_INTERRUPT,
                              .offset_middle = (u16)(stub >> 16),
                              .offset_high = (u32)(stub >> 32)};
}

static void load_descriptors(void) {
  u64 base = (u64)&tss;
  memcpy(gdt, boot_gdt, sizeof(boot_gdt));
  gdt[3] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | (u64)DESCRIPTOR_TSS << 40 | (base >> 24 & 0xff) << 56;
  gdt[4] = base >> 32;
  tss.io_bitmap = sizeof(tss);
  tss.stacks[IST_DOUBLE_FAULT] = (u64)double_fault_stack_end;
  tss.stacks[IST_PAGE_FAULT] = (u64)page_fault_stack_end;
  tss.stacks[IST_NMI] = (u64)nmi_stack_end;
  tss.stacks[IST_MACHINE_CHECK] = (u64)machine_check_stack_end;
  for (u32 vector = 0; vector < 256; vector++) set_gate(vector, 0);
  set_gate(TRAP_DOUBLE_FAULT, IST_DOUBLE_FAULT);
  set_gate(TRAP_PAGE_FAULT, IST_PAGE_FAULT);
  set_gate(TRAP_NMI, IST_NMI);
  set_gate(TRAP_MACHINE_CHECK, IST_MACHINE_CHECK);
  struct table_pointer gdt_pointer = {sizeof(gdt) - 1, (u64)gdt}, idt_pointer = {sizeof(idt) - 1, (u64)idt};
  __asm__ volatile("lgdt %0; lidt %1; ltr %w2" : : "m"(gdt_pointer), "m"(idt_pointer), "r"(SELECTOR_TSS) : "memory");
}

static void enable_fpu(void) {
  u32 id[4];
  u64 cr0, cr4;
  __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
  cr0 = (cr0 | CR0_MONITOR_COPROCESSOR) & ~(u64)(CR0_EMULATION | CR0_TASK_SWITCHED);
  __asm__ volatile("mov %0, %%cr0" : : "r"(cr0));
  read_cpuid(1, 0, id);
  has_xsave = id[2] & CPUID1_ECX_XSAVE;
  if (has_xsave) {
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | CR4_OSXSAVE));
    read_cpuid(0xd, 0, id);
    __asm__ volatile("xsetbv" : : "a"(id[0] & XCR0_X87_SSE_AVX), "d"(0), "c"(0));
    read_cpuid(0xd, 0, id);
    fpu_size = id[1]; /* for the features now in XCR0 */
  }
  static const u32 default_mxcsr = 0x1f80;
  __asm__ volatile("fninit; ldmxcsr %0" : : "m"(default_mxcsr));
}

void cpu_init(void) {
  load_descriptors();
  enable_fpu();
}

u64 host_state(u32 which) {
  const u64 values[] = {
    [HOST_CS] = SELECTOR_CODE,   [HOST_SS] = SELECTOR_DATA,  [HOST_TR] = SELECTOR_TSS,
    [HOST_GDT_BASE] = (u64)gdt,  [HOST_IDT_BASE] = (u64)idt, [HOST_TR_BASE] = (u64)&tss,
    [HOST_FPU_SIZE] = fpu_size,
  };
  if (which >= LENGTH(values)) panic("hw.hostState: no such value");
  return values[which];
}
