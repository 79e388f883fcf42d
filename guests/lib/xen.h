/*
 * Xen's public headers (Debian's libxen-dev) and the hypercalls, each as a function that returns Xen's value: 0 or more,
 * or a negative errno (enum xen_errno, XEN_E*).
 */
#ifndef GUEST_XEN_H
#define GUEST_XEN_H

#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/arch-x86/cpuid.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/errno.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/hvm_vcpu.h>
#include <xen/hvm/params.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#ifndef __wasm__ /* a sandbox makes none */
/* The page that the hypervisor filled through the MSR named in its CPUID leaves (start.c). */
extern char hypercall_page[4096];

/* Any hypercall. Arguments not used are 0. Xen may clobber the argument registers, so all are outputs too. */
static inline long hypercall(unsigned number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5) {
  register uint64_t r10 __asm__("r10") = a4;
  register uint64_t r8 __asm__("r8") = a5;
  uint64_t target = (uint64_t)hypercall_page + number * 32;
  long result;
  __asm__ volatile("call *%[target]"
                   : "=a"(result), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10), "+r"(r8)
                   : [target] "0"(target)
                   : "rcx", "r9", "r11", "memory", "cc");
  return result;
}

static inline long xen_version(unsigned command, void *argument) {
  return hypercall(__HYPERVISOR_xen_version, command, (uint64_t)argument, 0, 0, 0);
}

static inline long console_io(unsigned command, unsigned count, const void *text) {
  return hypercall(__HYPERVISOR_console_io, command, count, (uint64_t)text, 0, 0);
}

static inline long sched_op(unsigned command, void *argument) {
  return hypercall(__HYPERVISOR_sched_op, command, (uint64_t)argument, 0, 0, 0);
}

static inline long event_channel_op(unsigned command, void *argument) {
  return hypercall(__HYPERVISOR_event_channel_op, command, (uint64_t)argument, 0, 0, 0);
}

static inline long grant_table_op(unsigned command, void *argument, unsigned count) {
  return hypercall(__HYPERVISOR_grant_table_op, command, (uint64_t)argument, count, 0, 0);
}

static inline long memory_op(unsigned command, void *argument) {
  return hypercall(__HYPERVISOR_memory_op, command, (uint64_t)argument, 0, 0, 0);
}

static inline long hvm_op(unsigned command, void *argument) {
  return hypercall(__HYPERVISOR_hvm_op, command, (uint64_t)argument, 0, 0, 0);
}

static inline long vcpu_op(unsigned command, unsigned vcpu, void *argument) {
  return hypercall(__HYPERVISOR_vcpu_op, command, vcpu, (uint64_t)argument, 0, 0);
}

static inline long set_timer_op(uint64_t deadline_ns) {
  return hypercall(__HYPERVISOR_set_timer_op, deadline_ns, 0, 0, 0, 0);
}

static inline long physdev_op(unsigned command, void *argument) {
  return hypercall(__HYPERVISOR_physdev_op, command, (uint64_t)argument, 0, 0, 0);
}

static inline long multicall(void *calls, unsigned count) {
  return hypercall(__HYPERVISOR_multicall, (uint64_t)calls, count, 0, 0, 0);
}

#endif /* __wasm__ */

#endif
