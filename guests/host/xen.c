/*
 * The hypercalls that the guests' library makes, and the guest-physical memory that it finds at fixed addresses: the grant table,
 * the device page and the pages it maps are at the same addresses in this process.
 */
#define _GNU_SOURCE
#include "host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/io/xenbus.h>

/* Grant table, mappings, and the pages below. */
#define HOLE GRANT_TABLE_AT
#define HOLE_END 0xff000000ull
#define DEVICE_PAGE 0xfeff0000ull

static int memory;
static uint8_t *pages;
static bool has_noxs;
static unsigned table_frames;

long host_hypercall(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, unsigned number);

void host_fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fflush(stdout);
  fprintf(stderr, "HOST: ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  va_end(arguments);
  _exit(4);
}

static void map_hole(void) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  if (mmap((void *)HOLE, HOLE_END - HOLE, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED)
    host_fail("no memory at %llx: %s", HOLE, strerror(errno));
}

void host_begin(void) {
  memory = memfd_create("pages", 0);
  if (memory < 0 || ftruncate(memory, HOST_PAGES * 4096))
    host_fail("memfd: %s", strerror(errno));
  pages = mmap(NULL, HOST_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  map_hole();
}

void host_new_domain(void) {
  struct noxs_page devices;
  memcpy(&devices, (void *)DEVICE_PAGE, sizeof devices);
  map_hole();
  memcpy((void *)DEVICE_PAGE, &devices, sizeof devices);
  table_frames = 0;
  netback_forget();
  blkback_forget();
}

void *host_page(unsigned page) { return pages + page * 4096; }

void *host_grant(grant_ref_t ref, bool write) {
  const volatile grant_entry_v1_t *entry = (const volatile grant_entry_v1_t *)GRANT_TABLE_AT + ref;
  if (ref < GNTTAB_NR_RESERVED_ENTRIES || ref >= table_frames * 512)
    host_fail("grant %u is not in the table", ref);
  if ((entry->flags & GTF_type_mask) != GTF_permit_access || entry->domid != BACKEND)
    host_fail("grant %u is not given to the backend: flags %x, domain %u", ref, entry->flags, entry->domid);
  if (write && entry->flags & GTF_readonly)
    host_fail("grant %u is read-only", ref);
  return (void *)((uint64_t)entry->frame << 12);
}

void host_add_device(enum device_type type, uint32_t id, unsigned page, evtchn_port_t port) {
  struct noxs_page *devices = (void *)DEVICE_PAGE;
  devices->version = 1;
  devices->entries[devices->count++] = (struct noxs_entry){type, id, BACKEND, HOST_GRANT + page, port};
  has_noxs = true;
}

static long add_to_physmap(const struct xen_add_to_physmap *map) {
  if (map->space != XENMAPSPACE_grant_table || map->idx >= GRANT_TABLE_FRAMES ||
      map->gpfn != (GRANT_TABLE_AT >> 12) + map->idx)
    return -XEN_EINVAL;
  if (map->idx >= table_frames)
    table_frames = map->idx + 1;
  return 0;
}

static long map_grant(struct gnttab_map_grant_ref *map) {
  unsigned page = map->ref - HOST_GRANT;
  if (page >= HOST_PAGES || map->dom != BACKEND || map->host_addr < GRANT_MAP_AT || map->host_addr >= DEVICE_PAGE) {
    map->status = GNTST_bad_gntref;
    return 0;
  }
  void *at = mmap((void *)map->host_addr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory, page * 4096);
  map->status = at == MAP_FAILED ? GNTST_general_error : GNTST_okay;
  map->handle = page;
  return 0;
}

static long get_param(struct xen_hvm_param *parameter) {
  parameter->value = parameter->index == HVM_PARAM_STORE_PFN      ? hoststore_frame()
                     : parameter->index == HVM_PARAM_STORE_EVTCHN ? hoststore_port()
                                                                  : 0;
  return 0;
}

static long devctl(struct devctl *op) {
  if (op->version != DEVCTL_VERSION)
    return -XEN_EACCES;
  if (op->command != DEVCTL_GET || !has_noxs)
    return -XEN_ENOSYS;
  op->page = DEVICE_PAGE;
  return 0;
}

static long shut_down(unsigned reason) {
  fflush(stdout);
  if (reason == SHUTDOWN_suspend) {
    host_new_domain();
    return 0;
  }
  if (host_restarts > 0)
    fprintf(stderr, "HOST: %u restarts\n", host_restarts);
  _exit(reason == SHUTDOWN_poweroff ? 0 : reason == SHUTDOWN_reboot ? 10 : 11);
}

long host_hypercall(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, unsigned number) {
  (void)a4;
  (void)a5;
  if (number == __HYPERVISOR_memory_op && a1 == XENMEM_add_to_physmap)
    return add_to_physmap((void *)a2);
  if (number == __HYPERVISOR_grant_table_op && a1 == GNTTABOP_map_grant_ref && a3 == 1)
    return map_grant((void *)a2);
  if (number == __HYPERVISOR_hvm_op && a1 == HVMOP_get_param)
    return get_param((void *)a2);
  if (number == __HYPERVISOR_sched_op && a1 == SCHEDOP_shutdown)
    return shut_down(((struct sched_shutdown *)a2)->reason);
  if (number == __HYPERVISOR_console_io && a1 == CONSOLEIO_write)
    return write(2, (void *)a3, a2) == (ssize_t)a2 ? 0 : -XEN_EIO;
  if (number == HYPERVISOR_devctl)
    return devctl((void *)a1);
  host_fail("hypercall %u, operation %lu", number, a1);
}
