/*
 * A guest as a process. Arguments: the guest's command line, then
 *   --memory MIB      of the guest (32)
 *   --ramdisk FILE    its boot module
 *   --net             a network device; frames go by standard input and output (host.h)
 *   --disk FILE       a block device over a file; --read-only
 *   --sysctl          the NoXS sysctl device
 *   --restart-every N the backends restart at every N-th turn in which they have something to do
 *   --at-once         the network backend answers before the guest's notification returns
 *   --store           devices and shutdown requests by xenstore instead of NoXS
 */
#define _GNU_SOURCE
#include "host.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/guest.h"

/* Where the guest's memory is, beyond where a heap of this process may be; the linker puts image_start and image_end there, too. */
#define RAM 0x60000000ull

struct hvm_start_info *start_info;
struct shared_info *shared_info;
uint32_t start_info_address;
uint64_t first_tsc;

static struct noxs_sysctl *sysctl_page;
static evtchn_port_t sysctl_port;
static uint64_t memory = 32 << 20;
unsigned host_restart_every, host_restarts;
bool host_answers_at_once;

uint64_t memory_bytes(void) { return memory; }

int own_domid(void) { return 1; }

void guest_pass(void) {
  print("TYPEVISOR-GUEST: PASS %s\n", guest_name);
  sched_op(SCHEDOP_shutdown, &(struct sched_shutdown){.reason = SHUTDOWN_poweroff});
  abort();
}

void guest_reboot(void) {
  print("TYPEVISOR-GUEST: PASS %s\n", guest_name);
  sched_op(SCHEDOP_shutdown, &(struct sched_shutdown){.reason = SHUTDOWN_reboot});
  abort();
}

void guest_fail(const char *format, ...) {
  va_list arguments;
  print("\nTYPEVISOR-GUEST: FAIL %s ", guest_name);
  va_start(arguments, format);
  print_list(format, arguments);
  va_end(arguments);
  print("\n");
  _exit(1);
}

static void sysctl_event(void *context) { (void)context; }

void sysctlback_begin(unsigned page) {
  sysctl_page = host_page(page);
  sysctl_page->control.backend_state = XenbusStateInitWait;
  sysctl_port = host_offer(sysctl_event, NULL);
  host_add_device(DEVICE_SYSCTL, 0, page, sysctl_port);
}

void sysctlback_request(uint8_t bits) {
  if (!sysctl_page) {
    hoststore_set("control/shutdown", bits & NOXS_SYSCTL_REBOOT ? "reboot" : bits & NOXS_SYSCTL_SUSPEND ? "suspend" : "poweroff");
    return;
  }
  if (!(sysctl_page->features & bits))
    host_fail("the guest does not obey %x", bits);
  sysctl_page->request |= bits;
  sysctl_page->control.frontend_watch = NOXS_WATCH_UPDATED;
  host_notify_offered(sysctl_port);
}

/* The module's bytes behind the image, as a domain builder puts them. */
static void load(const char *file, uint64_t at, struct hvm_modlist_entry *module) {
  struct stat status;
  int opened = open(file, O_RDONLY);
  if (opened < 0 || fstat(opened, &status) || at + status.st_size > RAM + memory ||
      read(opened, (void *)at, status.st_size) != status.st_size)
    host_fail("%s cannot be loaded", file);
  *module = (struct hvm_modlist_entry){.paddr = at, .size = status.st_size};
}

static const char *value_of(int count, char **words, const char *name) {
  for (int i = 2; i < count; i++)
    if (strcmp(words[i], name) == 0)
      return i + 1 < count ? words[i + 1] : "";
  return NULL;
}

int main(int count, char **words) {
  if (value_of(count, words, "--memory"))
    memory = strtoul(value_of(count, words, "--memory"), NULL, 10) << 20;
  if (mmap((void *)RAM, memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
    host_fail("no memory");
  first_tsc = rdtsc();
  host_begin();
  events_init();

  /* Start information in the page behind the image, the module behind that. */
  uint64_t at = ((uint64_t)image_end + 4095) & ~4095ull;
  struct hvm_memmap_table_entry *map = (void *)(at + 512);
  struct hvm_modlist_entry *module = (void *)(at + 1024);
  start_info = (void *)at;
  start_info_address = at;
  *map = (struct hvm_memmap_table_entry){.addr = RAM, .size = memory, .type = XEN_HVM_MEMMAP_TYPE_RAM};
  *start_info = (struct hvm_start_info){
      .magic = XEN_HVM_START_MAGIC_VALUE, .version = 1, .memmap_paddr = at + 512, .memmap_entries = 1};
  if (value_of(count, words, "--ramdisk")) {
    load(value_of(count, words, "--ramdisk"), at + 4096, module);
    start_info->nr_modules = 1;
    start_info->modlist_paddr = (uint64_t)module;
  }
  options_init(count > 1 ? words[1] : "");

  if (value_of(count, words, "--restart-every"))
    host_restart_every = strtoul(value_of(count, words, "--restart-every"), NULL, 10);
  host_answers_at_once = value_of(count, words, "--at-once");
  bool store = value_of(count, words, "--store");
  if (store)
    store_begin_host();
  else if (value_of(count, words, "--sysctl"))
    sysctlback_begin(0);
  if (value_of(count, words, "--net"))
    netback_begin(1, store);
  if (value_of(count, words, "--disk"))
    blkback_begin(2, value_of(count, words, "--disk"), value_of(count, words, "--read-only"), store);
  console_init();
  guest_main();
  guest_pass();
}
