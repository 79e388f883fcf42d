/*
 * Xen's shared rings (public/io/ring.h), with the barriers that its macros leave to their user.
 */
#ifndef GUEST_RING_H
#define GUEST_RING_H

#include "../bytes.h"
#include "../xen.h"

#ifdef __wasm__
/* WebAssembly without threads has no fences: what runs the sandbox provides one. */
void sandbox_barrier(void) __attribute__((import_module("env"), import_name("barrier")));
#define xen_mb() sandbox_barrier()
#define xen_rmb() sandbox_barrier()
#define xen_wmb() sandbox_barrier()
#else
#define xen_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define xen_rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define xen_wmb() __atomic_thread_fence(__ATOMIC_RELEASE)
#endif

#include <xen/io/ring.h>

/* The other side's index, read once. What it published before is visible after. */
static inline RING_IDX ring_index(const RING_IDX *index) {
  RING_IDX value = __atomic_load_n(index, __ATOMIC_ACQUIRE);
#ifdef __wasm__
  xen_rmb();
#endif
  return value;
}

#endif
