/*
 * The other domain for bench_ping() on a hypervisor whose domain 0 we are ourselves, as on real Xen in the oracle: builds
 * a PVH domain from a boot module by domctl hypercalls, the way Xen's toolstack does, and takes it down again.
 */
#define __XEN_TOOLS__
#include "bench.h"

#include <elf.h>
#include <xen/domctl.h>
#include <xen/hvm/save.h>

#define CHILD_MIB 16
#define CHILD_PAGES (CHILD_MIB << 8)
/* What is written of it: start info, then the image. Mapped into free guest-physical space of our own. */
#define START_INFO 0xff000ull
#define FIRST_PAGE (START_INFO >> 12)
#define MAPPED_PAGES 160
#define WINDOW (0x80000000ull + START_INFO)
#define CODE32 0xc9b
#define DATA32 0xc93
#define TSS32 0x8b

static domid_t child;
static uint64_t hypercall_ticks;

static long timed(unsigned number, uint64_t first, uint64_t second) {
  uint64_t start = rdtsc();
  long result = hypercall(number, first, second, 0, 0, 0);
  hypercall_ticks += rdtsc() - start - tick_overhead;
  return result;
}

static void domctl(const char *what, uint32_t command, struct xen_domctl *request) {
  request->cmd = command;
  request->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
  request->domain = child;
  long error = timed(__HYPERVISOR_domctl, (uint64_t)request, 0);
  if (error)
    guest_fail("%s: error %ld", what, error);
}

static void create(void) {
  struct xen_domctl request = {0};
  request.u.createdomain = (struct xen_domctl_createdomain){
      .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
      .max_vcpus = 1,
      .max_evtchn_port = 1023,
      .max_grant_frames = 4,
      .max_maptrack_frames = 4,
      .grant_opts = XEN_DOMCTL_GRANT_version(1),
      .arch = {.emulation_flags = XEN_X86_EMU_LAPIC},
  };
  domctl("createdomain", XEN_DOMCTL_createdomain, &request);
  child = request.domain;

  request = (struct xen_domctl){0};
  request.u.max_mem.max_memkb = CHILD_MIB * 1024 + 1024;
  domctl("max_mem", XEN_DOMCTL_max_mem, &request);

  request = (struct xen_domctl){0};
  request.u.max_vcpus.max = 1;
  domctl("max_vcpus", XEN_DOMCTL_max_vcpus, &request);

  /* The pool that its page tables come from. */
  request = (struct xen_domctl){0};
  request.u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION;
  request.u.shadow_op.mb = 2;
  domctl("shadow_op", XEN_DOMCTL_shadow_op, &request);
}

static void populate(void) {
  xen_pfn_t frames[CHILD_PAGES >> 9];
  for (unsigned i = 0; i < CHILD_PAGES >> 9; i++)
    frames[i] = i << 9;
  struct xen_memory_reservation request = {.nr_extents = CHILD_PAGES >> 9, .extent_order = 9, .domid = child};
  set_xen_guest_handle(request.extent_start, frames);
  long done = timed(__HYPERVISOR_memory_op, XENMEM_populate_physmap, (uint64_t)&request);
  if (done != CHILD_PAGES >> 9)
    guest_fail("populate_physmap: %ld of %u extents", done, CHILD_PAGES >> 9);
}

static void map_window(void) {
  static xen_ulong_t indexes[MAPPED_PAGES];
  static xen_pfn_t frames[MAPPED_PAGES];
  static int errors[MAPPED_PAGES];
  struct xen_add_to_physmap_batch request = {
      .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = MAPPED_PAGES, .u.foreign_domid = child};
  for (unsigned i = 0; i < MAPPED_PAGES; i++) {
    indexes[i] = FIRST_PAGE + i;
    frames[i] = (WINDOW >> 12) + i;
  }
  set_xen_guest_handle(request.idxs, indexes);
  set_xen_guest_handle(request.gpfns, frames);
  set_xen_guest_handle(request.errs, errors);
  long error = timed(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, (uint64_t)&request);
  for (unsigned i = 0; i < MAPPED_PAGES; i++)
    if (error || errors[i])
      guest_fail("mapping page %u: errors %ld, %d", i, error, errors[i]);
}

static void unmap_window(void) {
  for (unsigned i = 0; i < MAPPED_PAGES; i++) {
    struct xen_remove_from_physmap request = {.domid = DOMID_SELF, .gpfn = (WINDOW >> 12) + i};
    timed(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, (uint64_t)&request);
  }
}

/* Copies the image's segments; returns the entry of its PHYS32_ENTRY note. The image is our own, so no doubts about it. */
static uint32_t load(const uint8_t *image) {
  const Elf64_Ehdr *header = (const void *)image;
  const Elf64_Phdr *segments = (const void *)(image + header->e_phoff);
  memset((void *)WINDOW, 0, MAPPED_PAGES << 12);
  for (unsigned i = 0; i < header->e_phnum; i++) {
    if (segments[i].p_type != PT_LOAD)
      continue;
    if (segments[i].p_paddr + segments[i].p_memsz > START_INFO + (MAPPED_PAGES << 12))
      guest_fail("the module is larger than %u pages", MAPPED_PAGES);
    memcpy((void *)(WINDOW + segments[i].p_paddr - START_INFO), image + segments[i].p_offset, segments[i].p_filesz);
  }
  return header->e_entry;
}

static void write_start_info(const char *command_line) {
  struct hvm_start_info *info = (struct hvm_start_info *)WINDOW;
  struct hvm_memmap_table_entry *map = (struct hvm_memmap_table_entry *)(info + 1);
  char *text = (char *)(map + 1);
  *info = (struct hvm_start_info){
      .magic = XEN_HVM_START_MAGIC_VALUE,
      .version = 1,
      .cmdline_paddr = (uint64_t)text - WINDOW + START_INFO,
      .memmap_paddr = (uint64_t)map - WINDOW + START_INFO,
      .memmap_entries = 1,
  };
  *map = (struct hvm_memmap_table_entry){.size = CHILD_MIB << 20, .type = XEN_HVM_MEMMAP_TYPE_RAM};
  memcpy(text, command_line, text_length(command_line) + 1);
}

/* Registers as PVH wants them: a header record as the hypervisor itself gives it, one CPU record, the end. */
static void set_registers(uint32_t entry) {
  static uint8_t present[32768];
  static struct {
    struct hvm_save_descriptor header_descriptor;
    HVM_SAVE_TYPE(HEADER) header;
    struct hvm_save_descriptor cpu_descriptor;
    HVM_SAVE_TYPE(CPU) cpu;
    struct hvm_save_descriptor end_descriptor;
    HVM_SAVE_TYPE(END) end;
  } __attribute__((packed)) context;
  struct xen_domctl request = {0};
  request.u.hvmcontext.size = sizeof present;
  set_xen_guest_handle(request.u.hvmcontext.buffer, present);
  domctl("gethvmcontext", XEN_DOMCTL_gethvmcontext, &request);
  memcpy(&context, present, sizeof context.header_descriptor + sizeof context.header);
  context.cpu_descriptor = (struct hvm_save_descriptor){.typecode = HVM_SAVE_CODE(CPU), .length = HVM_SAVE_LENGTH(CPU)};
  context.cpu.cr0 = 0x11; /* PE, ET */
  context.cpu.rip = entry;
  context.cpu.rbx = START_INFO;
  context.cpu.rflags = 2;
  context.cpu.cs_limit = context.cpu.ds_limit = context.cpu.es_limit = context.cpu.ss_limit = ~0u;
  context.cpu.cs_arbytes = CODE32;
  context.cpu.ds_arbytes = context.cpu.es_arbytes = context.cpu.ss_arbytes = DATA32;
  context.cpu.tr_limit = 0x67;
  context.cpu.tr_arbytes = TSS32;
  context.cpu.dr6 = 0xffff0ff0;
  context.cpu.dr7 = 0x400;
  context.end_descriptor = (struct hvm_save_descriptor){.typecode = HVM_SAVE_CODE(END), .length = HVM_SAVE_LENGTH(END)};

  request = (struct xen_domctl){0};
  request.u.hvmcontext.size = sizeof context;
  set_xen_guest_handle(request.u.hvmcontext.buffer, (uint8_t *)&context);
  domctl("sethvmcontext", XEN_DOMCTL_sethvmcontext, &request);
}

void bench_parent(void) {
  if (start_info->nr_modules < 1)
    guest_fail("role=parent needs the child's image as a boot module");
  const struct hvm_modlist_entry *modules = (const void *)start_info->modlist_paddr;
  struct xen_domctl request = {0};

  create();
  populate();
  map_window();
  uint32_t entry = load((const uint8_t *)modules[0].paddr);
  write_start_info("role=pong remote=0");
  set_registers(entry);
  domctl("unpausedomain", XEN_DOMCTL_unpausedomain, &request);
  print("bench child-create-hypercalls %lu ticks\n", hypercall_ticks);

  bench_ping(child);
  sleep_ns(100 * MILLISECOND);

  hypercall_ticks = 0;
  unmap_window();
  request = (struct xen_domctl){0};
  domctl("destroydomain", XEN_DOMCTL_destroydomain, &request);
  print("bench child-destroy-hypercalls %lu ticks\n", hypercall_ticks);
}
