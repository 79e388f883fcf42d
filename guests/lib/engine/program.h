/*
 * A program: what the engine starts from. toolstack/cli/app/program.ts writes it. Numbers are little-endian, places are
 * in bytes from the program's start, which is page aligned, as all of its parts are:
 *
 *   header, a page; table of the heap's pages; those that are not all zero; files, one behind the other
 */
#ifndef GUEST_ENGINE_PROGRAM_H
#define GUEST_ENGINE_PROGRAM_H

#include <stdint.h>

#define PROGRAM_MAGIC 0x31474f5250565400 /* "\0TVPROG1" */
#define PROGRAM_PAGE 4096
#define PROGRAM_SCRATCH 64 /* bytes at `scratch` for the guest */

struct program {
  uint64_t magic;
  uint64_t size;         /* of all of it; a multiple of PROGRAM_PAGE */
  uint32_t memory_pages; /* linear memory in units of 64 KiB */
  uint32_t heap_pages;   /* entries of the table; the pages of linear memory behind them are zero */
  uint32_t table;        /* place of the table: a u32 for each page of linear memory: 0, or the number of its page in the program */
  uint32_t files;        /* place of the files */
  uint32_t files_size;
  /* Linear addresses in the snapshot, as in build/gen/snapshot-meta.h. */
  uint32_t runtime, context, turn, scratch;
  uint32_t stack_pointer; /* must be the module's initial one */
};

/*
 * The layout of linear addresses above the heap. The window is one ArrayBuffer to the program (`machine`): a page for calls, room
 * for the bytes that go with them, then the files.
 */
#define PROGRAM_WINDOW 0xc0000000u
#define PROGRAM_CALL_PAGE PROGRAM_WINDOW
#define PROGRAM_TRANSFER (PROGRAM_WINDOW + 0x1000)
#define PROGRAM_TRANSFER_SIZE 0xf000u
#define PROGRAM_FILES (PROGRAM_WINDOW + 0x10000)
#define PROGRAM_FILES_MOST 0x3ff00000u

#endif
