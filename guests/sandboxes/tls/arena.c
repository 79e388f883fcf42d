/*
 * calloc and free for mbedTLS: each session has an arena, so that no session can use up another's memory, and what a session
 * has allocated is gone when its arena is begun anew, freed or not. First fit; free neighbours are joined while searching.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct block {
  uint32_t size; /* with this header; a multiple of 16 */
  uint32_t taken;
  uint32_t unused[2];
};

struct arena *arena_current;

void arena_begin(struct arena *arena, void *memory, uint32_t size) {
  memset(memory, 0, size);
  *arena = (struct arena){.memory = memory, .size = size};
  ((struct block *)memory)->size = size;
}

static struct block *after(struct block *block) { return (struct block *)((uint8_t *)block + block->size); }

void *calloc(size_t count, size_t size) {
  struct arena *arena = arena_current;
  struct block *end = (struct block *)(arena->memory + arena->size);
  uint64_t bytes = (uint64_t)count * size;
  if (bytes < arena->size) {
    uint32_t wanted = (uint32_t)(bytes + sizeof(struct block) + 15) & ~15u;
    for (struct block *block = (struct block *)arena->memory; block < end; block = after(block)) {
      if (block->taken)
        continue;
      for (struct block *next = after(block); next < end && !next->taken; next = after(block))
        block->size += next->size;
      if (block->size < wanted)
        continue;
      if (block->size > wanted) {
        struct block *rest = (struct block *)((uint8_t *)block + wanted);
        *rest = (struct block){.size = block->size - wanted};
        block->size = wanted;
      }
      block->taken = 1;
      arena->used += wanted;
      if (arena->used > arena->peak)
        arena->peak = arena->used;
      return memset(block + 1, 0, wanted - sizeof(struct block));
    }
  }
  arena->exhausted = true;
  return NULL;
}

void free(void *memory) {
  if (!memory)
    return;
  struct block *block = (struct block *)memory - 1;
  block->taken = 0;
  arena_current->used -= block->size;
}
