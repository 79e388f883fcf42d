/*
 * Tests the domain's first block device, whose contents it overwrites. Options: sectors=N (all), seed=N (1), operations=N (400),
 * mode=check: only reads what an earlier run with this seed has left; mode=log, mode=log-check, mode=sum: see log.c; mode=bench,
 * mode=pulse: see bench.c. A device that may only be read must refuse to be written. With `repeat` the operations go on until the
 * operator asks the domain to end; what they have left is compared then. Waits are measured by Xen's system time: from when the guest has
 * nothing else to do until anything is answered, flushes apart; for a flush, from its begin to its answer.
 */
#include "../lib/devices/sysctl.h"
#include "blktest.h"

const char guest_name[] = "blktest";

struct blkfront *disk;
uint64_t units;
struct slot slots[SLOTS];

static uint64_t seed, random_state;
/* Which writing of each unit is on the device; the pattern tells them apart. Busy ones are being read or written. */
static uint8_t *generations;
static bool *busy;

/* --- Requests ------------------------------------------------------------------------------------------------------ */

static bool repeats, asked;
static uint64_t waiting_ns, longest_wait, longest_flush;

static void note_longest(uint64_t *longest, uint64_t since_ns) {
  uint64_t ns = clock_ns() - since_ns;
  if (ns > *longest)
    *longest = ns;
}

uint64_t wait_us(void) { return longest_wait / MICROSECOND; }
uint64_t flush_us(void) { return longest_flush / MICROSECOND; }
void note_wait(uint64_t since_ns) { note_longest(&longest_wait, since_ns); }
void print_waits(void) { print("blktest waited %lu us at most, %lu us for a flush\n", wait_us(), flush_us()); }

/* What the operator asks; with `repeat` it only ends the repetition. */
static void obey(void) {
  if (!repeats)
    loop_obey();
  else if (sysctl_take() == SYSCTL_POWEROFF)
    asked = true;
}

bool asked_to_end(void) {
  obey();
  return asked;
}

static void wait_some(void) {
  if (!waiting_ns)
    waiting_ns = clock_ns();
  obey();
  blkfront_flush(disk);
  if (blkfront_poll(disk) > 0) {
    note_longest(&longest_wait, waiting_ns);
    waiting_ns = 0;
  } else if (blkfront_may_sleep(disk)) {
    event_idle(0);
  }
  if (disk->broken)
    guest_fail("the block device is gone");
}

struct slot *slot_take(void) {
  for (;;) {
    for (unsigned i = 0; i < SLOTS; i++)
      if (!slots[i].busy)
        return &slots[i];
    wait_some();
  }
}

void slots_wait(void) {
  for (unsigned i = 0; i < SLOTS; i++)
    while (slots[i].busy)
      wait_some();
}

static void finished(struct blk_request *request, int status) {
  struct slot *slot = request->context;
  void (*done)(struct slot *) = (void (*)(struct slot *))slot->request.user;
  if (status != BLKIF_RSP_OKAY)
    guest_fail("operation %u at unit %lu: status %d", request->operation, slot->unit, status);
  slot->busy = false;
  if (done)
    done(slot);
}

void slot_submit(struct slot *slot, enum blk_operation operation, uint64_t unit, unsigned count,
                 void (*done)(struct slot *)) {
  slot->busy = true;
  slot->unit = unit;
  slot->count = count;
  slot->request = (struct blk_request){
      .operation = operation,
      .sector = unit * UNIT_SECTORS,
      .sectors = (uint64_t)count * UNIT_SECTORS,
      .pages = slot->pages,
      .done = finished,
      .context = slot,
      .user = (void *)done,
  };
  while (!blkfront_submit(disk, &slot->request))
    wait_some();
}

int operate(enum blk_operation operation, uint64_t sector, uint64_t sectors) {
  struct slot *slot = slot_take();
  slot->request =
      (struct blk_request){.operation = operation, .sector = sector, .sectors = sectors, .pages = slot->pages};
  return blkfront_wait(disk, &slot->request);
}

void flush(void) {
  if (!disk->flush)
    return;
  uint64_t start_ns = clock_ns();
  int status = operate(BLK_FLUSH, 0, 0);
  note_longest(&longest_flush, start_ns);
  if (status != BLKIF_RSP_OKAY)
    guest_fail("flush: status %d", status);
}

/* --- What is in a unit --------------------------------------------------------------------------------------------- */

/* Generations are 256 patterns far from each other. */
static uint64_t place(uint64_t unit, uint8_t generation) { return unit * UNIT_BYTES + ((uint64_t)generation << 48); }

static void fill(struct slot *slot, uint64_t unit, unsigned count, bool next) {
  for (unsigned i = 0; i < count; i++) {
    if (next)
      generations[unit + i]++;
    pattern_fill(seed, place(unit + i, generations[unit + i]), slot->pages[i].data, UNIT_BYTES);
  }
}

static void check(struct slot *slot) {
  for (unsigned i = 0; i < slot->count; i++) {
    uint64_t unit = slot->unit + i;
    size_t good = pattern_match(seed, place(unit, generations[unit]), slot->pages[i].data, UNIT_BYTES);
    if (good != UNIT_BYTES)
      guest_fail("byte %lu of sector %lu is wrong (generation %u)", good % BLK_SECTOR,
                 unit * UNIT_SECTORS + good / BLK_SECTOR, generations[unit]);
  }
}

static void release(struct slot *slot) {
  for (unsigned i = 0; i < slot->count; i++)
    busy[slot->unit + i] = false;
}

static void check_and_release(struct slot *slot) {
  check(slot);
  release(slot);
}

/* --- The tests ----------------------------------------------------------------------------------------------------- */

/* All units in order, as long requests. */
static void sweep(enum blk_operation operation) {
  for (uint64_t unit = 0; unit < units; unit += BLK_PAGES) {
    unsigned count = units - unit < BLK_PAGES ? units - unit : BLK_PAGES;
    struct slot *slot = slot_take();
    if (operation == BLK_WRITE)
      fill(slot, unit, count, false);
    else
      memset(slot->pages[0].data, 0xee, (size_t)count * UNIT_BYTES);
    slot_submit(slot, operation, unit, count, operation == BLK_READ ? check : NULL);
  }
  slots_wait();
}

static uint64_t random_below(uint64_t limit) { return pattern_word(seed ^ 0x72616e64, random_state++) % limit; }

/* Several at a time, of any length, anywhere; none touches units that another is at. */
static void mixture(uint64_t operations) {
  for (uint64_t i = 0; repeats ? !asked : i < operations; i++) {
    uint64_t unit = random_below(units);
    unsigned count = 1 + random_below(BLK_PAGES), kind = random_below(8);
    count = units - unit < count ? units - unit : count;
    bool taken = false;
    for (unsigned j = 0; j < count; j++)
      taken |= busy[unit + j];
    if (taken || kind == 7) {
      slots_wait();
      if (kind == 7)
        flush();
    }
    struct slot *slot = slot_take();
    for (unsigned j = 0; j < count; j++)
      busy[unit + j] = true;
    if (kind < 4)
      fill(slot, unit, count, true);
    slot_submit(slot, kind < 4 ? BLK_WRITE : BLK_READ, unit, count, kind < 4 ? release : check_and_release);
  }
  slots_wait();
}

/* Single sectors within a unit, where the device has such. */
static void small(void) {
  if (disk->sector_size != BLK_SECTOR)
    return;
  uint64_t unit = units - 1;
  struct slot *slot = slot_take();
  fill(slot, unit, 1, true);
  for (unsigned i = 0; i < UNIT_SECTORS; i++) {
    memmove(slot->pages[0].data, slot->pages[0].data + (i ? BLK_SECTOR : 0), UNIT_BYTES - (i ? BLK_SECTOR : 0));
    slot->request = (struct blk_request){
        .operation = BLK_WRITE, .sector = unit * UNIT_SECTORS + i, .sectors = 1, .pages = slot->pages};
    int status = blkfront_wait(disk, &slot->request);
    if (status != BLKIF_RSP_OKAY)
      guest_fail("writing one sector: status %d", status);
  }
  slot_submit(slot, BLK_READ, unit, 1, check);
  slots_wait();
}

static void refuse(const char *what, enum blk_operation operation, uint64_t sector, uint64_t sectors) {
  int status = operate(operation, sector, sectors);
  if (status == BLKIF_RSP_OKAY)
    guest_fail("%s was not refused", what);
  print("blktest: %s is refused: status %d\n", what, status);
}

static void discard(void) {
  if (!disk->discard)
    return;
  uint64_t count = units < 64 ? units : 64;
  int status = operate(BLK_DISCARD, 0, count * UNIT_SECTORS);
  if (status != BLKIF_RSP_OKAY)
    guest_fail("discard: status %d", status);
  /* What was there is anything now: it is written again. */
  for (uint64_t unit = 0; unit < count; unit++) {
    struct slot *slot = slot_take();
    fill(slot, unit, 1, true);
    slot_submit(slot, BLK_WRITE, unit, 1, NULL);
  }
  slots_wait();
}

static void open_disk(void) {
  disk = blkfront_open(0);
  if (!disk)
    guest_fail("the domain has no block device");
  print("blktest: %lu sectors of %u bytes%s%s%s\n", disk->sectors, disk->sector_size, disk->read_only ? ", read-only" : "",
        disk->flush ? ", flush" : "", disk->discard ? ", discard" : "");
  uint64_t sectors = option_number("sectors", disk->sectors);
  units = (sectors < disk->sectors ? sectors : disk->sectors) / UNIT_SECTORS;
  if (units == 0)
    guest_fail("a device of %lu sectors", disk->sectors);
  for (unsigned i = 0; i < SLOTS; i++)
    blkfront_pages(disk, slots[i].pages, BLK_PAGES);
}

static void all(void) {
  uint64_t start_ns = clock_ns(), start_tsc = rdtsc();
  sweep(BLK_WRITE);
  flush();
  print("blktest: wrote %lu units\n", units);
  sweep(BLK_READ);
  mixture(option_number("operations", 400));
  small();
  discard();
  flush();
  sweep(BLK_READ);
  uint64_t ticks = rdtsc() - start_tsc, ns = clock_ns() - start_ns;
  /* So that a run with mode=check finds generation 0. */
  memset(generations, 0, units);
  sweep(BLK_WRITE);
  flush();
  print("blktest all %lu units %lu ms %lu ticks\n", units, ns / 1000000, ticks);
  print_waits();
}

void guest_main(void) {
  char mode[16] = "";
  if (option_text("mode"))
    format_text(mode, sizeof mode, "%s", option_text("mode"));
  seed = option_number("seed", 1);
  repeats = text_equal(mode, "pulse") || (option_present("repeat") && !mode[0]);
  sysctl_open();
  open_disk();
  if (text_equal(mode, "log")) {
    log_write();
    return;
  }
  if (text_equal(mode, "log-check")) {
    log_check();
    return;
  }
  if (text_equal(mode, "sum")) {
    sum();
    return;
  }
  if (text_equal(mode, "pulse")) {
    pulse();
    return;
  }
  if (text_equal(mode, "bench")) {
    bench();
    return;
  }
  generations = pages_take(units / 4096 + 1);
  busy = pages_take(units * sizeof *busy / 4096 + 1);
  refuse("a read behind the end", BLK_READ, disk->sectors, UNIT_SECTORS);
  if (disk->read_only) {
    refuse("a write", BLK_WRITE, 0, UNIT_SECTORS);
    refuse("a discard", BLK_DISCARD, 0, UNIT_SECTORS);
  }
  if (text_equal(mode, "check"))
    sweep(BLK_READ);
  else if (mode[0])
    guest_fail("no mode %s", mode);
  else if (!disk->read_only)
    all();
}
