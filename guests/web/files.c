/*
 * Files come from memory as they are. From a volume they are read in chunks, a few for each connection, from a pool that is a
 * part of the domain's memory: a file may be larger than that.
 */
#include "web.h"

#define CHUNKS_MOST 64
/* Of the memory that is left when the network has its buffers. */
#define CHUNKS_SHARE 4

struct archive files_archive;
const uint8_t *files_memory;

static struct blkfront *volume;
static struct chunk chunks[CHUNKS_MOST];
static struct chunk *free_chunks;

static void open_or_fail(const char *place, const char *wrong) {
  if (wrong)
    guest_fail("%s: %s", place, wrong);
}

static void begin_memory(void) {
  const struct hvm_modlist_entry *module = (const void *)start_info->modlist_paddr;
  files_memory = (const uint8_t *)module->paddr;
  open_or_fail("ramdisk", archive_header(&files_archive, files_memory, module->size));
  open_or_fail("ramdisk", archive_open(&files_archive, files_memory));
}

/* Reads from the volume while nothing else goes on. */
static void read_now(uint64_t sector, const struct blk_page *pages, unsigned count) {
  struct blk_request request = {
      .operation = BLK_READ, .sector = sector, .sectors = count * BLK_PAGE_SECTORS, .pages = pages};
  int status = blkfront_wait(volume, &request);
  if (status != BLKIF_RSP_OKAY)
    guest_fail("volume: reading at sector %lu: status %d", sector, status);
}

static void finished(struct blk_request *request, int status) {
  struct chunk *chunk = request->context;
  if (!chunk->owner) {
    chunk->ready = true;
    files_release(chunk);
    return;
  }
  chunk->ready = true;
  connection_chunk_ready(chunk->owner, chunk, status == BLKIF_RSP_OKAY);
}

struct chunk *files_read(struct connection *owner, uint64_t offset, uint32_t length) {
  struct chunk *chunk = free_chunks;
  if (!chunk)
    return NULL;
  uint32_t skip = offset % BLK_SECTOR;
  if (length > CHUNK_BYTES - skip)
    length = CHUNK_BYTES - skip;
  chunk->request = (struct blk_request){
      .operation = BLK_READ,
      .sector = offset / BLK_SECTOR,
      .sectors = (skip + length + BLK_SECTOR - 1) / BLK_SECTOR,
      .pages = chunk->pages,
      .done = finished,
      .context = chunk,
  };
  if (!blkfront_submit(volume, &chunk->request))
    return NULL; /* the ring is full: one that is there will end */
  free_chunks = chunk->next;
  chunk->owner = owner;
  chunk->next = NULL;
  chunk->skip = skip;
  chunk->length = length;
  chunk->written = 0;
  chunk->ready = false;
  return chunk;
}

void files_release(struct chunk *chunk) {
  chunk->owner = NULL;
  if (!chunk->ready)
    return;
  chunk->next = free_chunks;
  free_chunks = chunk;
}

static bool work(void *context) {
  (void)context;
  bool worked = blkfront_poll(volume) > 0;
  if (volume->broken)
    guest_fail("the volume is gone");
  if (free_chunks)
    connections_chunk_free();
  blkfront_flush(volume);
  return worked;
}

static bool may_sleep(void *context) {
  (void)context;
  blkfront_flush(volume);
  return blkfront_may_sleep(volume);
}

static void restore(void *context) {
  (void)context;
  blkfront_restore(volume);
}

static struct loop_source source = {.work = work, .may_sleep = may_sleep, .restore = restore};

static void begin_volume(void) {
  static struct blk_page first[1], index[CHUNK_PAGES];
  uint64_t size = volume->sectors * BLK_SECTOR;
  blkfront_pages(volume, first, 1);
  if (size < ARCHIVE_BLOCK)
    guest_fail("volume: it has only %lu bytes", size);
  read_now(0, first, 1);
  open_or_fail("volume", archive_header(&files_archive, first[0].data, size));
  if (files_archive.index_bytes > memory_bytes() / 4)
    guest_fail("volume: the archive's index has %u bytes, too many for this domain's memory", files_archive.index_bytes);

  /* Read by a chunk at a time into its place: the pages read into are not those that the index stays in. */
  uint8_t *bytes = pages_take_raw(files_archive.index_bytes / 4096);
  blkfront_pages(volume, index, CHUNK_PAGES);
  for (uint32_t at = 0; at < files_archive.index_bytes; at += CHUNK_BYTES) {
    uint32_t length = files_archive.index_bytes - at < CHUNK_BYTES ? files_archive.index_bytes - at : CHUNK_BYTES;
    read_now(at / BLK_SECTOR, index, length / 4096);
    memcpy(bytes + at, index[0].data, length);
  }
  open_or_fail("volume", archive_open(&files_archive, bytes));

  unsigned count = memory_bytes() / CHUNKS_SHARE / CHUNK_BYTES;
  count = count < 4 ? 4 : count > CHUNKS_MOST ? CHUNKS_MOST : count;
  for (unsigned i = 0; i < count; i++) {
    blkfront_pages(volume, chunks[i].pages, CHUNK_PAGES);
    chunks[i].ready = true;
    files_release(&chunks[i]);
  }
  loop_add(&source);
}

void files_begin(void) {
  if (start_info->nr_modules > 0) {
    begin_memory();
  } else {
    volume = blkfront_open(0);
    if (!volume)
      guest_fail("there are no files: give the domain a ramdisk or a disk with an archive (npm run volume)");
    begin_volume();
  }
  print("web: %u files, %lu KiB, in %s\n", files_archive.files, files_archive.size / 1024,
        files_memory ? "memory" : "a volume");
}
