/*
 * The demo: greets, prints what it runs on and its resources, and measures its clock.
 */
#include "lib/guest.h"

const char guest_name[] = "hello";

static void print_hypervisor(void) {
  struct cpuid_result leaf = cpuid(xen_leaf, 0);
  char signature[13];
  memcpy(signature, &leaf.ebx, 4);
  memcpy(signature + 4, &leaf.ecx, 4);
  memcpy(signature + 8, &leaf.edx, 4);
  signature[12] = 0;
  xen_extraversion_t extra = "";
  long version = xen_version(XENVER_version, NULL);
  xen_version(XENVER_extraversion, extra);
  print("Hypervisor: %s, version %ld.%ld%s, CPUID leaves at %x\n", signature, version >> 16, version & 0xffff, extra,
        xen_leaf);
}

/* TSC ticks in 20 ms of system time, counted while asleep: TSC and timer must agree. */
static void print_clock(void) {
  uint64_t start_ns = clock_ns(), start_tsc = rdtsc();
  sleep_ns(20 * MILLISECOND);
  uint64_t ticks = rdtsc() - start_tsc, elapsed = clock_ns() - start_ns;
  print("Clock: slept %lu.%03lu ms, %lu million TSC ticks per second, stated %lu\n", elapsed / 1000000,
        elapsed / 1000 % 1000, ticks * 1000 / elapsed, clock_tsc_khz() / 1000);
}

void guest_main(void) {
  print("Hello from a Xen PVH guest, domain %d!\n", own_domid());
  print_hypervisor();
  print("Memory: %lu MiB, %u virtual CPU%s\n", memory_bytes() >> 20, smp_count(), smp_count() == 1 ? "" : "s");
  if (start_info->cmdline_paddr && *(const char *)start_info->cmdline_paddr)
    print("Command line: %s\n", (const char *)start_info->cmdline_paddr);
  print_clock();
  print("System time at the first instruction: %lu us\n", clock_ns_at(first_tsc) / 1000);
}
