/*
 * Xen's shared rings (public/io/ring.h), with the barriers that its macros leave to their user.
 */
#ifndef GUEST_RING_H
#define GUEST_RING_H

#include "../bytes.h"
#include "../xen.h"

#define xen_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define xen_rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define xen_wmb() __atomic_thread_fence(__ATOMIC_RELEASE)

#include <xen/io/ring.h>

/* The other side's index, read once. What it published before is visible after. */
static inline RING_IDX ring_index(const RING_IDX *index) { return __atomic_load_n(index, __ATOMIC_ACQUIRE); }

#endif
