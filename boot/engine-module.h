/*
 * The JavaScript engine: QuickJS as wasm2c made it, with what all who run it have in common. Domain 0 (engine.c) and guests with a
 * TypeScript program (guests/lib/engine/) link the same object; a program has one engine, with its linear memory at ENGINE_BASE.
 *
 * The module's names are minified; build/gen/engine-exports.h maps readable ones to them (scripts/build/engine-names.ts).
 */
#ifndef TYPEVISOR_ENGINE_MODULE_H
#define TYPEVISOR_ENGINE_MODULE_H

#include <stdbool.h>

#include "gen/engine.h"
#include "gen/engine-exports.h"

#define ENGINE_PAGE 65536
#define ENGINE_PAGES_MAXIMUM 0xc000 /* of ENGINE_PAGE: above them lies what the host maps there */

extern Z_engine_instance_t engine;

/* Prepares the engine, again after an earlier run: its memory has `pages` of ENGINE_PAGE and contains a snapshot. */
void engine_init(u32 pages);
/* A byte of linear memory. */
void *engine_at(u32 address);
/* Calls the function value `function` without arguments; then runs promise jobs until none is left. */
void engine_call(u32 runtime, u32 context, u32 function, u32 scratch);

/* --- What the host provides --------------------------------------------------------------------------------- */

/* The engine has failed: it cannot continue. `text` may be NULL. */
void engine_abort(const char *what, const char *text) __attribute__((noreturn));
/* What the engine writes to its standard output or error. */
void engine_print(const void *text, u32 length);
/* An uncaught exception, as JSON of name, message and stack. */
void engine_uncaught(const char *text);
/* Memory is to have `pages` of ENGINE_PAGE; false if it cannot. */
bool engine_grow(u32 pages);
/* Wall clock, ms since 1970. */
u64 engine_wall_ms(void);
/* A host function was called: QTS_NewFunction's number, and its arguments; returns a value, 0 for `undefined`. */
u32 engine_host_call(u32 context, u32 argc, u32 argv, u32 function);

#endif
