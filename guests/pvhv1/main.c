/*
 * What a PVHv1 guest is started with: processor, start_info, shared_info, features; its console and its clock.
 */
#include "pvhv1.h"

const char guest_name[] = "pvhv1";

struct start_info *pv_info;

void pv_start(void);

#define CR0_VALUE 0x80050033 /* PG AM WP NE ET MP PE */
#define CR4_VALUE 0x00000620 /* OSXMMEXCPT OSFXSR PAE */
#define CR0_PG_PE 0x80000001
#define CR4_PAE 0x20
#define EFER_LME_LMA 0x500

static uint64_t first_cr0, first_cr4;

/* The hypercall page is there already, and shared_info is mapped: this guest asks for neither. */
void pv_start(void) {
  first_cr0 = read_cr0();
  first_cr4 = read_cr4();
  write_cr0(CR0_VALUE);
  write_cr4(CR4_VALUE);
  traps_init();
  cpus[0] = (struct cpu){.self = &cpus[0]};
  traps_load(0);
  pv_info = (struct start_info *)first_rsi;
  events_use((struct shared_info *)pv_info->shared_info);
  console_init();
  guest_main();
  guest_pass();
}

static void check_processor(void) {
  CHECK((first_cr0 & CR0_PG_PE) == CR0_PG_PE);
  CHECK((first_cr4 & CR4_PAE) == CR4_PAE);
  CHECK((rdmsr(MSR_EFER) & EFER_LME_LMA) == EFER_LME_LMA);
  CHECK(read_cr3() == pv_info->pt_base);
  CHECK(first_cs == 0 && first_ss == 0);
  CHECK(first_flags & RFLAGS_IF);
  /* The stack is the page behind the page tables. */
  CHECK(first_rsp == pv_info->pt_base + ((pv_info->nr_pt_frames + 1) << 12));
}

static void check_start_info(void) {
  domid_t self = DOMID_SELF;
  CHECK(text_equal(pv_info->magic, "xen-3.0-x86_64"));
  CHECK(pv_info->flags == 0);
  /* One of them is not its memory: shared_info is in its place. */
  CHECK((long)pv_info->nr_pages == memory_op(XENMEM_current_reservation, &self) + 1);
  /* All in the page each, between image and page tables, in the order of Xen's builder. */
  CHECK(pv_info->mfn_list >= (uint64_t)image_end);
  CHECK(first_rsi == ((pv_info->mfn_list + pv_info->nr_pages * 8 + 0xfff) & ~0xfffull));
  CHECK(pv_info->store_mfn == (first_rsi >> 12) + 1);
  CHECK(pv_info->console.domU.mfn == (first_rsi >> 12) + 2);
  CHECK(pv_info->shared_info >> 12 == (first_rsi >> 12) + 3);
  CHECK(pv_info->pt_base >> 12 == (first_rsi >> 12) + 4);
  CHECK(pv_info->store_evtchn != 0 && pv_info->console.domU.evtchn != 0);
  const uint64_t *frames = (const uint64_t *)pv_info->mfn_list;
  for (uint64_t n = 0; n < pv_info->nr_pages; n++)
    CHECK(frames[n] == n);
  if (pv_info->mod_len) {
    /* The test's ramdisk: each byte is its place. */
    const uint8_t *module = (const uint8_t *)pv_info->mod_start;
    CHECK(pv_info->mod_start == (uint64_t)image_end);
    for (uint64_t at = 0; at < pv_info->mod_len; at++)
      CHECK(module[at] == (uint8_t)at);
  }
}

static void check_shared_info(void) {
  const struct vcpu_info *info = &shared_info->vcpu_info[0];
  CHECK(info->evtchn_upcall_mask == 1);
  CHECK(info->time.version != 0 && (info->time.version & 1) == 0 && info->time.tsc_to_system_mul != 0);
  CHECK(shared_info->wc_sec > 1000000000);
}

static void check_features(void) {
  struct xen_feature_info info = {.submap_idx = 0};
  CHECK(xen_version(XENVER_get_features, &info) == 0);
  unsigned wanted = 1u << XENFEAT_writable_page_tables | 1u << XENFEAT_auto_translated_physmap |
                    1u << XENFEAT_supervisor_mode_kernel | 1u << XENFEAT_hvm_callback_vector;
  CHECK((info.submap & wanted) == wanted);
  print("Features: %x\n", info.submap);
}

static void check_clock(void) {
  uint64_t before = cpus[0].upcalls, start = clock_ns();
  sleep_ns(10 * MILLISECOND);
  uint64_t slept = clock_ns() - start;
  CHECK(cpus[0].upcalls > before && slept >= 10 * MILLISECOND);
  print("Events: an upcall by the callback vector ended a sleep of %lu us\n", slept / 1000);
}

void guest_main(void) {
  print("PVHv1 guest at virtual address 0, entered with start_info at %lx\n", first_rsi);
  print("  %lu pages, shared_info %lx, page tables %lx (%lu), frames %lx, module %lx (%lu bytes)\n", pv_info->nr_pages,
        pv_info->shared_info, pv_info->pt_base, pv_info->nr_pt_frames, pv_info->mfn_list, pv_info->mod_start,
        pv_info->mod_len);
  print("  command line: %s\n", (const char *)pv_info->cmd_line);
  check_processor();
  check_start_info();
  check_shared_info();
  check_features();
  check_tables();
  check_calls();
  check_devices();
  check_grants();
  check_clock();
}
