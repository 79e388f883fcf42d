/*
 * The domain's first disk, for a program's volume. Each operation is waited for; meanwhile nothing else of the guest runs.
 */
#include "typescript.h"

#include "../lib/devices/blkfront.h"

/* Pages of one operation: runtime/files/host-disk.ts. */
#define PIECE_PAGES 8
#define PIECE_SECTORS (PIECE_PAGES * BLK_PAGE_SECTORS)

_Static_assert(PIECE_PAGES <= BLK_PAGES, "one request");
_Static_assert(PIECE_PAGES * 4096 <= PROGRAM_TRANSFER_SIZE, "the bytes have room");

static struct blkfront *disk;
static struct blk_page pages[PIECE_PAGES];

static bool work(void *context) {
  (void)context;
  return false;
}

static void restore(void *context) {
  (void)context;
  blkfront_restore(disk);
}

static struct loop_source source = {.work = work, .restore = restore};

/* 1 when the domain has a disk; words: its sectors of 512 bytes (low, high), bytes of its own sectors, 1 if it is read-only. */
int32_t disk_open(uint32_t *words) {
  if (!disk) {
    disk = blkfront_open(0);
    if (!disk)
      return 0;
    blkfront_pages(disk, pages, PIECE_PAGES);
    loop_add(&source);
  }
  words[0] = (uint32_t)disk->sectors;
  words[1] = (uint32_t)(disk->sectors >> 32);
  words[2] = disk->sector_size;
  words[3] = disk->read_only;
  return 1;
}

/* words: first sector (low, high), sectors. 0, or -1: the disk has refused it. */
static int32_t transfer(uint32_t *words, enum blk_operation operation) {
  uint32_t sectors = words[2];
  if (!disk || sectors == 0 || sectors > PIECE_SECTORS)
    return -1;
  for (unsigned i = 0; operation == BLK_WRITE && i * BLK_PAGE_SECTORS < sectors; i++)
    memcpy(pages[i].data, engine_transfer + i * 4096, 4096);
  struct blk_request request = {
      .operation = operation,
      .sector = words[0] | (uint64_t)words[1] << 32,
      .sectors = sectors,
      .pages = pages,
  };
  if (blkfront_wait(disk, &request) != BLKIF_RSP_OKAY)
    return -1;
  for (unsigned i = 0; operation == BLK_READ && i * BLK_PAGE_SECTORS < sectors; i++)
    memcpy(engine_transfer + i * 4096, pages[i].data, 4096);
  return 0;
}

int32_t disk_read(uint32_t *words) { return transfer(words, BLK_READ); }

int32_t disk_write(uint32_t *words) { return transfer(words, BLK_WRITE); }

/* What was written stays. A disk without such a request keeps what it has answered. */
int32_t disk_flush(uint32_t *words) {
  (void)words;
  struct blk_request request = {.operation = BLK_FLUSH};
  if (!disk)
    return -1;
  return !disk->flush || blkfront_wait(disk, &request) == BLKIF_RSP_OKAY ? 0 : -1;
}
