/*
 * What requests cost: mode=bench op=read|write size=BYTES (4096, a multiple of it, up to 128 KiB) depth=N (1, up to 32: requests under way)
 * requests=N (1000) warm=N (0: requests before those that count) settle=MS (0: before the first, when the toolstack has done what it does for
 * a new domain) spinner=ID (counts what time nobody needs: lib/devices/idle-time.h).
 * The requests go through the device in order, again from its beginning. With `checked` a pattern is written, or what is read is compared
 * with it; else the pages stay as they are. At the end:
 *   blktest bench OP REQUESTS requests BYTES bytes TICKS ticks IDLE idle
 * mode=pulse: how long a guest that does little else waits for its disk. It writes its device, then reads one unit each millisecond, or
 * when the one before was answered, until the operator asks it to end; waits are those of the reads alone.
 */
#include "../lib/devices/idle-time.h"
#include "blktest.h"

#define DEPTH_MAX 32
#define PULSE MILLISECOND

static struct {
  struct blk_page pages[BLK_LARGE_PAGES];
  struct blk_request request;
} works[DEPTH_MAX];

static uint64_t next, place, finished, warm, requests, sectors;
static uint64_t start_tsc, start_idle, end_tsc, end_idle;

static bool checked;

#define SEED 0x62656e63

static void submit(struct blk_request *request) {
  request->sector = place;
  if (checked && request->operation == BLK_WRITE)
    for (unsigned i = 0; i < sectors / UNIT_SECTORS; i++)
      pattern_fill(SEED, place * BLK_SECTOR + i * UNIT_BYTES, request->pages[i].data, UNIT_BYTES);
  place += sectors;
  if (place + sectors > disk->sectors)
    place = 0;
  next++;
  if (!blkfront_submit(disk, request))
    guest_fail("the ring has no room for a request");
}

static void done(struct blk_request *request, int status) {
  if (status != BLKIF_RSP_OKAY)
    guest_fail("a request at sector %lu: status %d", request->sector, status);
  if (checked && request->operation == BLK_READ)
    for (unsigned i = 0; i < sectors / UNIT_SECTORS; i++)
      if (pattern_match(SEED, request->sector * BLK_SECTOR + i * UNIT_BYTES, request->pages[i].data, UNIT_BYTES) != UNIT_BYTES)
        guest_fail("page %u of the request at sector %lu is wrong", i, request->sector);
  finished++;
  if (finished == warm) {
    start_idle = idle_time();
    start_tsc = rdtsc();
  } else if (finished == warm + requests) {
    end_tsc = rdtsc();
    end_idle = idle_time();
  }
  if (next < warm + requests)
    submit(request);
}

void bench(void) {
  char operation[8] = "read";
  if (option_text("op"))
    format_text(operation, sizeof operation, "%s", option_text("op"));
  bool writes = text_equal(operation, "write");
  if (!writes && !text_equal(operation, "read"))
    guest_fail("op=%s: read and write are known", operation);
  uint64_t size = option_number("size", UNIT_BYTES), depth = option_number("depth", 1);
  if (size == 0 || size % UNIT_BYTES || size > BLK_LARGE_PAGES * UNIT_BYTES)
    guest_fail("size=%lu: a multiple of %u, up to %u", size, UNIT_BYTES, BLK_LARGE_PAGES * UNIT_BYTES);
  if (depth == 0 || depth > DEPTH_MAX || depth > disk->slots)
    guest_fail("depth=%lu: from 1 to %u", depth, DEPTH_MAX);
  if (size > BLK_PAGES * UNIT_BYTES && !blkfront_large(disk))
    guest_fail("the backend takes no requests of %lu bytes", size);
  requests = option_number("requests", 1000);
  warm = option_number("warm", 0);
  checked = option_present("checked");
  sectors = size / BLK_SECTOR;
  if (sectors > disk->sectors)
    guest_fail("a device of %lu sectors", disk->sectors);
  if (option_present("spinner"))
    idle_time_open(option_number("spinner", 0));
  sleep_ns(option_number("settle", 0) * MILLISECOND);
  start_tsc = rdtsc();
  for (unsigned i = 0; i < depth && next < warm + requests; i++) {
    blkfront_pages(disk, works[i].pages, size / UNIT_BYTES);
    works[i].request = (struct blk_request){
        .operation = writes ? BLK_WRITE : BLK_READ, .sectors = sectors, .pages = works[i].pages, .done = done};
    submit(&works[i].request);
  }
  while (finished < warm + requests) {
    loop_obey();
    blkfront_flush(disk);
    if (blkfront_poll(disk) == 0 && blkfront_may_sleep(disk))
      event_idle(0);
    if (disk->broken)
      guest_fail("the block device is gone");
  }
  print("blktest bench %s %lu requests %lu bytes %lu ticks %lu idle\n", operation, requests, size, end_tsc - start_tsc,
        end_idle - start_idle);
}

void pulse(void) {
  uint64_t reads = 0, units_bytes = units * UNIT_BYTES;
  struct slot *slot = slot_take();
  for (uint64_t at = 0; at < units_bytes; at += UNIT_BYTES) {
    pattern_fill(SEED, at, slot->pages[0].data, UNIT_BYTES);
    if (operate(BLK_WRITE, at / BLK_SECTOR, UNIT_SECTORS) != BLKIF_RSP_OKAY)
      guest_fail("a write at byte %lu failed", at);
  }
  flush();
  print("blktest: reading\n");
  for (; !asked_to_end(); reads++) {
    uint64_t start_ns = clock_ns(), at = reads % units * UNIT_BYTES;
    int status = operate(BLK_READ, at / BLK_SECTOR, UNIT_SECTORS);
    note_wait(start_ns);
    if (status != BLKIF_RSP_OKAY || pattern_match(SEED, at, slot->pages[0].data, UNIT_BYTES) != UNIT_BYTES)
      guest_fail("a read at byte %lu: status %d, or another content", at, status);
    while (clock_ns() < start_ns + PULSE)
      event_idle(start_ns + PULSE);
  }
  print("blktest pulse %lu reads\n", reads);
  print_waits();
}
