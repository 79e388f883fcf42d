#include "survive.h"

#include "guest.h"

/* The last of the code, a page of it. */
extern const uint8_t trap_stubs[];

/* A copy of all code, to see what was overwritten. */
static uint8_t *code_copy;

static uint64_t code_size(void) { return (uint64_t)trap_stubs + 4096 - (uint64_t)image_start; }

void code_keep(void) {
  code_copy = pages_take((code_size() + 4095) >> 12);
  memcpy(code_copy, image_start, code_size());
}

void code_check(void) {
  for (uint64_t i = 0; i < code_size(); i++)
    if ((uint8_t)image_start[i] != code_copy[i])
      guest_fail("code at %p changed from %x to %x", image_start + i, code_copy[i], (uint8_t)image_start[i]);
}

uint64_t hypervisor_time(void) {
  struct xen_hvm_get_time time = {0};
  long error = hvm_op(HVMOP_get_time, &time);
  if (error)
    guest_fail("get_time: error %ld", error);
  return time.now;
}

void hypervisor_check(void) {
  if (xen_version(XENVER_version, NULL) >> 16 != 4)
    guest_fail("xen_version returns %lx", xen_version(XENVER_version, NULL));
  uint64_t start = hypervisor_time();
  struct sched_poll poll = {.nr_ports = 0, .timeout = start + 2 * MILLISECOND};
  long error = sched_op(SCHEDOP_poll, &poll);
  if (error)
    guest_fail("poll: error %ld", error);
  if (hypervisor_time() <= start)
    guest_fail("time stands still");
}

/** abi/acpi-sleep.ts */
#define SLEEP_CONTROL_PORT 0xb004
#define SLEEP_ENABLE 0x20u

void port_access(uint16_t port, uint32_t value, unsigned kind) {
  switch (kind) {
    case 0:
      in8(port);
      break;
    case 1:
      in16(port);
      break;
    case 2:
      in32(port);
      break;
    case 3:
      if (port == SLEEP_CONTROL_PORT)
        value &= ~SLEEP_ENABLE; // asleep it would wait for an operator
      out8(port, value);
      break;
    case 4:
      out16(port, value);
      break;
    default:
      out32(port, value);
  }
}
