/*
 * Between the files of the block device's test.
 */
#ifndef BLKTEST_H
#define BLKTEST_H

#include "../lib/data/pattern.h"
#include "../lib/devices/blkfront.h"
#include "../lib/devices/loop.h"
#include "../lib/guest.h"

/* The device is written and read in units of a page. */
#define UNIT_SECTORS BLK_PAGE_SECTORS
#define UNIT_BYTES 4096

extern struct blkfront *disk;
/* Units of the device that are used: all, or sectors=N of them. */
extern uint64_t units;

/* A request of its own, with pages for the largest one. */
struct slot {
  struct blk_page pages[BLK_PAGES];
  struct blk_request request;
  bool busy;
  uint64_t unit;
  unsigned count;
};

#define SLOTS 8
extern struct slot slots[SLOTS];

/* Waits for a slot that is not busy. */
struct slot *slot_take(void);
/* Waits until none is busy. */
void slots_wait(void);
/*
 * Submits a read or write of `count` units from `unit`; `done` is called when it has succeeded. The test fails when it does not,
 * unless `may_fail`.
 */
void slot_submit(struct slot *slot, enum blk_operation operation, uint64_t unit, unsigned count, void (*done)(struct slot *));
/* Makes one request and waits for it; BLKIF_RSP_*. */
int operate(enum blk_operation operation, uint64_t sector, uint64_t sectors);
/* Flushes; the test fails when that fails. Nothing where the device has no flush. */
void flush(void);
/* The longest time, in us, that nothing was answered while the guest waited, and that a flush took. */
uint64_t wait_us(void);
uint64_t flush_us(void);
void note_wait(uint64_t since_ns);
void print_waits(void);
/* Whether the operator has asked the domain to end, in the modes that go on until then. */
bool asked_to_end(void);

/* log.c: a log that is written until the domain is killed, and the check of what is left of it. */
void log_write(void);
void log_check(void);
/* Tells a device's contents by a checksum. */
void sum(void);

/* bench.c: what requests cost. */
void bench(void);
void pulse(void);

#endif
