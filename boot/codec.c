/*
 * The codec module (codec/), compiled by wasm2c: a sandbox inside domain 0's. It runs on domain 0's stack and CPU time; its
 * linear memory is the end of domain 0's window, and its failures are returned to domain 0 as a status.
 */
#include "software.h"

#include "gen/codec.c"

#define CODEC_CONTINUE 0 /* abi/codec.ts */
#define CODEC_TRAPPED 10

static wasm_rt_memory_t memory = {.data = (u8 *)CODEC_BASE, .size = CODEC_SIZE};
static Z_codec_instance_t codec;

wasm_rt_memory_t *Z_envZ_memory(struct Z_env_instance_t *env) {
  (void)env;
  return &memory;
}

/* Every run begins with a new instance. */
static u32 run(const u32 *arguments) {
  if (arguments[0] == CODEC_CONTINUE) return codec.Z_envZ_memory ? Z_codecZ_step(&codec) : CODEC_TRAPPED;
  if (!codec.Z_envZ_memory) Z_codec_init_module();
  Z_codec_instantiate(&codec, NULL);
  return Z_codecZ_begin(&codec, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4]);
}

u32 codec_call(const u32 *arguments) { return software_nest(run, arguments, CODEC_TRAPPED); }
