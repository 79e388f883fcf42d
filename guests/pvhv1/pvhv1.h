/* A PVHv1 guest that checks what it was started with. */
#ifndef PVHV1_H
#define PVHV1_H

#include "../lib/guest.h"
#include "../lib/noxs.h"

/* What start.S found. */
extern uint64_t first_rsp, first_rsi, first_flags;
extern uint32_t first_cs, first_ss;
extern struct start_info *pv_info;
extern char device_page[4096];

/* Fails the guest with the place where a check did not hold. */
#define CHECK(condition)                                             \
  do {                                                               \
    if (!(condition))                                                \
      guest_fail("%s:%d %s", __FILE_NAME__, __LINE__, #condition);   \
  } while (0)

/* The lowest-level page-table entry of an address, null where there is none. */
uint64_t *entry_of(uint64_t address);
/* The first address behind what the builder's page tables map. */
uint64_t mapped_end(void);

static inline long update_va_mapping(uint64_t address, uint64_t value, uint64_t flags) {
  return hypercall(__HYPERVISOR_update_va_mapping, address, value, flags, 0, 0);
}

static inline long mmu_update(const struct mmu_update *updates, unsigned count, unsigned *done) {
  return hypercall(__HYPERVISOR_mmu_update, (uint64_t)updates, count, (uint64_t)done, DOMID_SELF, 0);
}

static inline long mmuext_op(const struct mmuext_op *operations, unsigned count, unsigned *done) {
  return hypercall(__HYPERVISOR_mmuext_op, (uint64_t)operations, count, (uint64_t)done, DOMID_SELF, 0);
}

void check_tables(void);
void check_calls(void);
void check_devices(void);
void check_grants(void);

#endif
