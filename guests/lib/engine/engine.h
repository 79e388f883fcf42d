/*
 * A JavaScript engine in a guest, which starts from the program in the guest's own image. The program has a function `turn`; its
 * calls go to the guest by words in the call page.
 */
#ifndef GUEST_ENGINE_H
#define GUEST_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "program.h"

/* The call page, as guests/typescript/runtime/guest/host.ts has it. */
struct engine_call_page {
  uint32_t operation;
  uint32_t arguments[6]; /* also further results */
  int32_t result;
  /* Written by the program before a turn ends. */
  uint32_t turn;        /* enum engine_turn_end */
  uint32_t deadline[2]; /* system time, ns, low word first; 0: none */
};

/* Operations that are the engine's own; the guest's have other numbers. */
enum engine_operation { ENGINE_DECODE = 0, ENGINE_TAKE_REJECTION = 19 };
enum engine_turn_end { ENGINE_IDLE, ENGINE_MORE };

/* Takes the program in the image into use; guest_fail when there is none, or a damaged one. */
void engine_open(void);
/* Runs a turn of the program, and promise jobs until none is left. What the program leaves uncaught ends the guest as a crash. */
void engine_turn(void);
/* Whether a promise was rejected that nobody handles: the program is to have another turn, and asks for it. */
bool engine_has_rejections(void);
extern struct engine_call_page *const engine_calls;
extern uint8_t *const engine_transfer; /* PROGRAM_TRANSFER_SIZE bytes */
/* Pages of RAM that the heap may still grow by. */
uint64_t engine_pages_left(void);

/* What the guest provides: performs the operation in the call page. Runs on the engine's stack. */
void engine_operation(void);

/* Ends the domain as crashed (SHUTDOWN_crash) after a line that says why. */
void engine_crash(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
