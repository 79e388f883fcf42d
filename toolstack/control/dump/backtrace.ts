/**
 * Call stack of a guest: by the chain of frame pointers as far as it is consistent, and by scanning the stack for
 * addresses after a CALL in the guest's code, which also finds stale return addresses of earlier calls.
 */
import type { GuestMemory } from "./guest-memory.ts";
import type { VcpuState } from "./registers.ts";

/** Bytes of the stack that are scanned. */
const SCAN_BYTES = 4096;
const FRAMES_MAX = 32;
/** Most distance between frames; the chain ends at a larger one. */
const FRAME_BYTES_MAX = 65536n;
const LONGEST_CALL = 7;

export interface Caller {
  address: bigint;
  /** Found by frame pointers; otherwise it may be a leftover. */
  sure: boolean;
}

export interface Stack {
  /** Linear address of the stack's top. */
  top: bigint;
  /** Bytes of a word. */
  width: 2 | 4 | 8;
  words: bigint[];
  callers: Caller[];
}

/** The stack of `vcpu` and the callers found on it, the latest first. */
export function readStack(memory: GuestMemory, vcpu: VcpuState): Stack {
  const width = (vcpu.bits / 8) as 2 | 4 | 8;
  const offset = vcpu.register("rsp");
  const top = vcpu.linear("ss", width === 8 ? offset : width === 4 ? offset & 0xffffffffn : offset & 0xffffn);
  const bytes = memory.read(vcpu, top, SCAN_BYTES);
  const words: bigint[] = [];
  for (let at = 0; at + width <= bytes.length; at += width) words.push(word(bytes, at, width));
  if (width === 2) return { top, width, words, callers: [] };

  const chain = framePointers(memory, vcpu, top, width);
  const callers: Caller[] = [];
  words.forEach((value, i) => {
    if (callers.length >= FRAMES_MAX) return;
    const place = top + BigInt(i * width);
    const sure = chain.has(place);
    if (sure) chain.delete(place);
    if (sure || followsCall(memory, vcpu, value)) callers.push({ address: value, sure });
  });
  // Frames beyond what was looked through.
  for (const address of chain.values()) if (callers.length < FRAMES_MAX) callers.push({ address, sure: true });
  return { top, width, words, callers };
}

function word(bytes: Uint8Array, at: number, width: number): bigint {
  let value = 0n;
  for (let i = width - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i]!);
  return value;
}

/** Return addresses by where they lie on the stack, as the chain from RBP on gives them. */
function framePointers(memory: GuestMemory, vcpu: VcpuState, top: bigint, width: 4 | 8): Map<bigint, bigint> {
  const found = new Map<bigint, bigint>();
  const mask = width === 8 ? ~0n : 0xffffffffn;
  let frame = vcpu.linear("ss", vcpu.register("rbp") & (width === 8 ? BigInt.asUintN(64, mask) : mask));
  let below = top;
  while (found.size < FRAMES_MAX) {
    if (frame < below || frame - below > FRAME_BYTES_MAX || frame % BigInt(width) !== 0n) break;
    const pair = memory.read(vcpu, frame, 2 * width);
    if (pair.length < 2 * width) break;
    const address = word(pair, width, width);
    if (!followsCall(memory, vcpu, address)) break;
    found.set(frame + BigInt(width), address);
    below = frame + BigInt(2 * width);
    frame = vcpu.linear("ss", word(pair, 0, width));
  }
  return found;
}

/** Whether the instruction before a code address may be a CALL: near, relative or through memory or a register. */
function followsCall(memory: GuestMemory, vcpu: VcpuState, address: bigint): boolean {
  if (address < BigInt(LONGEST_CALL)) return false;
  const code = memory.read(vcpu, vcpu.linear("cs", address - BigInt(LONGEST_CALL)), LONGEST_CALL);
  if (code.length < LONGEST_CALL) return false;
  if (code[LONGEST_CALL - 5] === 0xe8) return true;
  for (let length = 2; length <= LONGEST_CALL; length++) {
    if (code[LONGEST_CALL - length] === 0xff && indirectCallLength(code, LONGEST_CALL - length) === length) return true;
  }
  return false;
}

/** Length of the `FF /2` at `at` by its ModRM byte; 0 if it is no CALL. */
function indirectCallLength(code: Uint8Array, at: number): number {
  const modrm = code[at + 1]!;
  if (((modrm >> 3) & 7) !== 2) return 0;
  const mod = modrm >> 6;
  const rm = modrm & 7;
  if (mod === 3) return 2;
  const sib = rm === 4 ? 1 : 0;
  if (mod === 1) return 3 + sib;
  if (mod === 2) return 6 + sib;
  const wide = rm === 5 || (sib === 1 && (code[at + 2]! & 7) === 5);
  return 2 + sib + (wide ? 4 : 0);
}
