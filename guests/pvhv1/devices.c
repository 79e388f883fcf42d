/*
 * The device page, got and mapped as LightVM's Mini-OS does it.
 */
#include "pvhv1.h"

static long devctl(struct xen_devctl *op) { return hypercall(__HYPERVISOR_devctl, (uint64_t)op, 0, 0, 0, 0); }

void check_devices(void) {
  struct xen_devctl op = {.version = XEN_DEVCTL_VERSION, .cmd = XEN_DEVCTL_get, .domain = DOMID_SELF};
  volatile struct noxs_dev_page *page = (volatile struct noxs_dev_page *)device_page;
  CHECK(devctl(&op) == 0);
  uint64_t address = op.u.get.mfn;
  CHECK((address & 0xfff) == 0 && address >= pv_info->nr_pages << 12);
  CHECK(update_va_mapping((uint64_t)device_page, address | PTE_PRESENT | PTE_USER, UVMF_INVLPG) == 0);
  CHECK(page->version == 0 && page->dev_count <= NOXS_DEV_COUNT_MAX);
  print("Device page at %lx: %u devices\n", address, page->dev_count);
  for (uint32_t i = 0; i < page->dev_count; i++)
    print("  type %u, id %u, backend %u, grant %u, event channel %u\n", page->devs[i].type, page->devs[i].id,
          page->devs[i].be_id, page->devs[i].comm.grant, page->devs[i].comm.evtchn);
  uint32_t count = page->dev_count;
  CHECK(TRAP_OF(page->dev_count = 99) == VECTOR_PF);
  /* Its own tables may say that it can be written; the hypervisor's do not. */
  CHECK(update_va_mapping((uint64_t)device_page, address | PTE_PRESENT | PTE_WRITE, UVMF_INVLPG) == 0);
  page->dev_count = 99;
  CHECK(page->dev_count == count);
  CHECK(update_va_mapping((uint64_t)device_page, address | PTE_PRESENT, UVMF_INVLPG) == 0);

  op.version = 2;
  CHECK(devctl(&op) == -XEN_EACCES);
  op = (struct xen_devctl){.version = XEN_DEVCTL_VERSION, .cmd = XEN_DEVCTL_get, .domain = 0};
  CHECK(devctl(&op) == -XEN_EPERM);
  op = (struct xen_devctl){.version = XEN_DEVCTL_VERSION, .cmd = XEN_DEVCTL_dev_enum, .domain = DOMID_SELF};
  CHECK(devctl(&op) == -XEN_EPERM);
}
