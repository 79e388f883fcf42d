/*
 * A log for tests that kill the domain, its backend or the machine. mode=log writes record after record, one unit each, going
 * round on the device, with a flush after each `flush=N` (16) of them, for `records=N` (for ever), from record `from=N` (1) on;
 * after a flush it prints
 *   blktest flushed RECORD, waited US us at most, US us for a flush
 * mode=log-check flushed=RECORD then finds every record up to that one, or a later one in its place: all sectors of a unit are
 * records of that unit that were written with this seed, and none is older than what was flushed; where nothing was, they are such
 * records or zeroes.
 * mode=sum front=N (all) tells the checksum (CRC-32) of what is in front of sector N, a whole unit's, and whether anything is behind:
 *   blktest sum N sectors CRC32, behind them zeroes|data
 */
#include "blktest.h"

/* A sector: the number of its record, then the pattern. */
#define HEAD 8

static uint64_t log_seed(void) { return option_number("seed", 1) ^ 0x6c6f67; }

static void fill_record(uint8_t *unit, uint64_t record) {
  for (unsigned sector = 0; sector < UNIT_SECTORS; sector++) {
    uint8_t *at = unit + sector * BLK_SECTOR;
    memcpy(at, &record, HEAD);
    pattern_fill(log_seed(), record * UNIT_BYTES + sector * BLK_SECTOR, at + HEAD, BLK_SECTOR - HEAD);
  }
}

void log_write(void) {
  uint64_t every = option_number("flush", 16), from = option_number("from", 1), count = option_number("records", ~0ull);
  if (!disk->flush)
    guest_fail("the device cannot be flushed");
  for (uint64_t record = from; record - from < count; record++) {
    /* The record before it in its place is on the device by then: of two at once, either might come last. */
    if (record % units == 0)
      slots_wait();
    struct slot *slot = slot_take();
    fill_record(slot->pages[0].data, record);
    slot_submit(slot, BLK_WRITE, record % units, 1, NULL);
    if (record % every)
      continue;
    slots_wait();
    flush();
    print("blktest flushed %lu, waited %lu us at most, %lu us for a flush\n", record, wait_us(), flush_us());
  }
  slots_wait();
}

static uint64_t flushed, newer, untouched;

static bool is_zero(const uint8_t *sector) {
  for (unsigned i = 0; i < BLK_SECTOR; i++)
    if (sector[i])
      return false;
  return true;
}

static void check_sector(uint64_t unit, unsigned sector, const uint8_t *at) {
  /* The last record that was flushed into this unit; 0: none was. */
  uint64_t round = flushed >= unit ? (flushed - unit) / units : 0;
  uint64_t least = flushed >= unit ? round * units + unit : 0, record;
  memcpy(&record, at, HEAD);
  if (least == 0 && is_zero(at)) {
    untouched++;
    return;
  }
  if (record < least || record % units != unit)
    guest_fail("unit %lu, sector %u: record %lu, but %lu was flushed", unit, sector, record, least);
  size_t good = pattern_match(log_seed(), record * UNIT_BYTES + sector * BLK_SECTOR, at + HEAD, BLK_SECTOR - HEAD);
  if (good != BLK_SECTOR - HEAD)
    guest_fail("unit %lu, sector %u: byte %lu of record %lu is wrong", unit, sector, HEAD + good, record);
  if (record > least)
    newer++;
}

static void check_units(struct slot *slot) {
  for (unsigned i = 0; i < slot->count; i++)
    for (unsigned sector = 0; sector < UNIT_SECTORS; sector++)
      check_sector(slot->unit + i, sector, slot->pages[i].data + sector * BLK_SECTOR);
}

void log_check(void) {
  flushed = option_number("flushed", 0);
  for (uint64_t unit = 0; unit < units; unit += BLK_PAGES) {
    unsigned count = units - unit < BLK_PAGES ? units - unit : BLK_PAGES;
    slot_submit(slot_take(), BLK_READ, unit, count, check_units);
  }
  slots_wait();
  print("blktest: all records up to %lu are there; %lu sectors have a later one, %lu had none\n", flushed, newer, untouched);
}

static uint32_t crc;
static uint64_t front; /* units */
static bool behind;

static void add_units(struct slot *slot) {
  for (unsigned i = 0; i < slot->count; i++)
    for (unsigned sector = 0; sector < UNIT_SECTORS; sector++) {
      const uint8_t *at = slot->pages[i].data + sector * BLK_SECTOR;
      if (slot->unit + i < front)
        crc = crc32(crc, at, BLK_SECTOR);
      else
        behind |= !is_zero(at);
    }
}

void sum(void) {
  front = option_number("front", disk->sectors) / UNIT_SECTORS;
  /* One at a time: the checksum goes by their order. */
  for (uint64_t unit = 0; unit < units; unit += BLK_PAGES) {
    slot_submit(slot_take(), BLK_READ, unit, units - unit < BLK_PAGES ? units - unit : BLK_PAGES, add_units);
    slots_wait();
  }
  print("blktest sum %lu sectors %08x, behind them %s\n", front * UNIT_SECTORS, crc, behind ? "data" : "zeroes");
}
