/*
 * What the parts of the TLS module know of each other.
 */
#ifndef TLS_INTERNAL_H
#define TLS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A heap in a fixed piece of memory. What is allocated in it goes when it is begun anew. */
struct arena {
  uint8_t *memory;
  uint32_t size;
  /* The most that was ever in use at once since it was begun, bytes. */
  uint32_t peak;
  uint32_t used;
  /* Set by an allocation that failed. */
  bool exhausted;
};

/* Zeroes `memory` (aligned to 16, as is `size`) and makes it one free block. */
void arena_begin(struct arena *arena, void *memory, uint32_t size);

/* The arena that calloc takes from, and free gives to. */
extern struct arena *arena_current;

#endif
