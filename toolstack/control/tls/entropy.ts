/**
 * Randomness for TLS. Two sources are good enough alone, and are used together where both are there:
 *
 * - the processor's RDSEED or RDRAND (`hostRandom`), if what it gives passes a test that finds broken ones: all words differ, none is all
 *   zeroes or ones;
 * - a boot module named `seed`, 32 bytes or more, which whoever starts the machine has made from good random numbers, for this start alone.
 *
 * Mixed in, and not counted on: the TSC around each word and the time, which make the seeds of two starts of domain 0 differ where the
 * module's bytes are the same. Without a good source there is no TLS; TCP's numbers (`../net`) have the same sources, and what there is.
 */
import { DOM0_CALL_PAGE } from "../../../abi/domain0-layout.ts";
import { CallPage, RANDOM_NONE, RANDOM_RDRAND, RANDOM_RDSEED } from "../../../abi/software.ts";
import { SEED_MODULE } from "../../api/key.ts";
import { ownModule } from "../boot-info.ts";
import { clockWords } from "../clock.ts";
import { hostRandom, memory } from "../host.ts";
import { sha256 } from "./sha256.ts";

/** Words of 64 bits of a seed that come from the processor: four times what a key has, should they be worth less than they claim. */
const SEED_WORDS = 16;
/** The same for what is stirred in. */
const STIR_WORDS = 4;
const WORD_BYTES = 16; // of the number and the TSC

const SEED_LEAST = 32;
const SEED_MOST = 4096;

/** What the processor has given. */
interface Words {
  /** RANDOM_*: the worst of all words. */
  source: number;
  /** Each with the TSC behind it. */
  bytes: Uint8Array;
  /** Whether they may be random. */
  good: boolean;
}

function processorWords(count: number): Words {
  const bytes = new Uint8Array(count * WORD_BYTES);
  const seen = new Set<string>();
  let source = RANDOM_RDSEED as number;
  for (let i = 0; i < count; i++) {
    hostRandom();
    source = Math.min(source, memory.load32(DOM0_CALL_PAGE + CallPage.randomSource));
    const word = memory.read(DOM0_CALL_PAGE + CallPage.random, WORD_BYTES);
    bytes.set(word, i * WORD_BYTES);
    const value = word.subarray(0, 8);
    if (value.some((byte) => byte !== 0) && value.some((byte) => byte !== 0xff)) seen.add(value.join());
  }
  return { source, bytes, good: source !== RANDOM_NONE && seen.size === count };
}

/** The boot module's bytes; empty when there is none that is long enough. */
function moduleBytes(): Uint8Array {
  const module = ownModule(SEED_MODULE);
  if (module === undefined || module.size < SEED_LEAST) return new Uint8Array(0);
  return memory.read(module.address, Math.min(module.size, SEED_MOST));
}

function join(...parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function time(): Uint8Array {
  return new Uint8Array(Uint32Array.from(clockWords()).buffer);
}

/**
 * A key that nobody can guess, of what the processor gives: a boot module's bytes may be those of another start.
 * @throws Error that says why there is none
 */
export function randomKey(): Uint8Array {
  const { source, bytes, good } = processorWords(SEED_WORDS);
  if (!good)
    throw new Error(`no key can be made here: ${processorLacks(source)}; \`chaos key FILE\` makes one elsewhere`);
  return sha256(join(bytes, time()));
}

function processorLacks(source: number): string {
  return source === RANDOM_NONE
    ? "the processor has neither RDSEED nor RDRAND"
    : `the processor's ${source === RANDOM_RDSEED ? "RDSEED" : "RDRAND"} repeats itself`;
}

/** In words: where this machine's random numbers come from. */
export function describeEntropy(): string {
  const { source, good } = processorWords(SEED_WORDS);
  const instruction = source === RANDOM_RDSEED ? "RDSEED" : source === RANDOM_RDRAND ? "RDRAND" : "";
  const names = [
    ...(good ? [instruction] : []),
    ...(moduleBytes().length > 0 ? [`the boot module ${SEED_MODULE}`] : []),
  ];
  return names.join(" and ") || "nothing";
}

/**
 * A seed that nobody can predict: `TLS_SEED_BYTES` or more.
 * @throws Error that says what is missing
 */
export function freshSeed(): Uint8Array {
  const { source, bytes, good } = processorWords(SEED_WORDS);
  const module = moduleBytes();
  if (!good && module.length === 0) {
    throw new Error(
      `TLS: there are no random numbers for it: ${processorLacks(source)}, and there is no boot module "${SEED_MODULE}" of ${SEED_LEAST} bytes or more`,
    );
  }
  // What is worth most first: the generator starts with TLS_SEED_BYTES of it.
  return good ? join(bytes, module, time()) : join(module, bytes, time());
}

/** What is stirred in for a session: never harmful, and as good as the processor. */
export function stirring(): Uint8Array {
  return join(processorWords(STIR_WORDS).bytes, time());
}

/**
 * A seed of `length` bytes for what goes on without a good source too: all there is, folded, so that it is as good as the best of it.
 * The processor's words and the time are new each time.
 */
export function foldedSeed(length: number): Uint8Array {
  const seed = new Uint8Array(length);
  join(processorWords(SEED_WORDS).bytes, moduleBytes(), time()).forEach((byte, i) => {
    seed[i % length]! ^= byte;
  });
  return seed;
}
