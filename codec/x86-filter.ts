/**
 * The x86 filter of xz: compressors turn the relative targets of CALL and JMP (E8, E9) into absolute ones, which repeat;
 * this converts them back. Only targets whose highest byte is 00 or FF are converted, and after an opcode that was not, the
 * three bytes behind it decide by a rule of their own, for they may be part of its operand.
 *
 * Source: the format of xz filter 04, as described in xz's and 7-Zip's documentation and behaviour.
 */
import { STEP_BYTES } from "./state";

const OPERAND: u32 = 4;

/** Position of the next byte to look at, the end, and the first byte of the filtered data. */
let at: u32 = 0;
let end: u32 = 0;
let start: u32 = 0;
/** Unconverted opcodes just before: bit k is set when there is one k + 1 bytes before `historyAt`. */
let history: u32 = 0;
let historyAt: u32 = 0;

export function x86Begin(from: u32, to: u32): void {
  at = start = historyAt = from;
  end = to;
  history = 0;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function extreme(byte: u32): bool {
  return byte == 0 || byte == 0xff;
}

/** Position within the operand, from its end, of the byte that the nearest unconverted opcode's operand ends with. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function overlap(recent: u32): u32 {
  return recent == 0 ? 0 : recent == 1 ? 1 : recent < 4 ? 2 : 3;
}

/** Filters a step's worth; false when it is all done. */
export function x86Step(): bool {
  const limit = end - start > OPERAND ? end - OPERAND : start;
  const stop = limit - at > STEP_BYTES ? at + STEP_BYTES : limit;
  while (at < stop) {
    if ((load<u8>(at) & 0xfe) != 0xe8) {
      at++;
      continue;
    }
    const gone = at - historyAt;
    let recent = gone > 2 ? 0 : (history << gone) & 7;
    historyAt = at + 1;
    if (recent != 0) {
      // Of the eight patterns, these leave the operand's bytes apart from what an earlier operand may hold.
      const apart = recent == 1 || recent == 2 || recent == 4;
      if (!apart || extreme(load<u8>(at + OPERAND - overlap(recent)))) {
        history = (recent << 1) | 1;
        at++;
        continue;
      }
    }
    if (!extreme(load<u8>(at + OPERAND))) {
      history = (recent << 1) | 1;
      at++;
      continue;
    }
    const behind = at - start + 1 + OPERAND;
    let target = load<u32>(at + 1) - behind;
    if (recent != 0) {
      const shift = overlap(recent) << 3;
      // The compressor converts a second time where the byte shared with that operand has come out as 00 or FF.
      if (extreme((target >> (24 - shift)) & 0xff)) {
        target = (target ^ ((1 << (32 - shift)) - 1)) - behind;
      }
    }
    // 25 bits, the highest one extended.
    store<u32>(at + 1, <u32>((<i32>(target << 7)) >> 7));
    at += 1 + OPERAND;
    history = 0;
    historyAt = at;
  }
  return at < limit;
}
