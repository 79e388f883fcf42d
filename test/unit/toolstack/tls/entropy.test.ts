/** Where the random numbers of TLS come from, and that there is no TLS without any. */
import { randomBytes } from "node:crypto";
import test from "ava";
import { DOM0_CALL_PAGE, DOM0_MODULES } from "../../../../abi/domain0-layout.ts";
import { CallPage, RANDOM_NONE, RANDOM_RDRAND, RANDOM_RDSEED } from "../../../../abi/software.ts";
import { TLS_SEED_BYTES } from "../../../../abi/tls.ts";
import { openHost } from "../../../../toolstack/control/host.ts";
import { describeEntropy, foldedSeed, freshSeed, stirring } from "../../../../toolstack/control/tls/entropy.ts";
import { writeStartInfo } from "../fake-start-info.ts";
import { PagedWindow } from "../paged-window.ts";
import { NO_HOST } from "../no-host.ts";

/** A machine whose processor gives `word` from `source`, with a boot module `seed` of these bytes. */
function machine(source: number, word: (i: number) => Buffer, seed?: Buffer): void {
  const window = new PagedWindow((page) => {
    const bytes = new Uint8Array(4096);
    window.map(page, bytes);
    return bytes;
  });
  writeStartInfo(window, "", seed === undefined ? [] : [{ name: "seed", address: DOM0_MODULES, size: seed.length }]);
  if (seed !== undefined) window.write(DOM0_MODULES, seed);
  let calls = 0;
  openHost({
    ...NO_HOST,
    random: () => {
      window.store32(DOM0_CALL_PAGE + CallPage.randomSource, source);
      window.write(DOM0_CALL_PAGE + CallPage.random, word(calls));
      window.store32(DOM0_CALL_PAGE + CallPage.randomTsc, ++calls * 1000);
    },
    machineWindow: window,
  });
}

const good = () => randomBytes(8);
const NOTHING = Buffer.alloc(8);

test.serial("a processor with RDSEED or RDRAND is enough", (t) => {
  for (const [source, name] of [
    [RANDOM_RDSEED, "RDSEED"],
    [RANDOM_RDRAND, "RDRAND"],
  ] as const) {
    const words: Buffer[] = [];
    machine(source, () => {
      words.push(randomBytes(8));
      return words.at(-1)!;
    });
    t.is(describeEntropy(), name);
    words.length = 0;
    const seed = freshSeed();
    t.true(words.length >= 16);
    t.true(
      words.every((word, i) => word.equals(seed.subarray(16 * i, 16 * i + 8))),
      "a word is not in the seed",
    );
    t.true(stirring().length > 0);
  }
});

test.serial("without one there is no seed, and the error says what to do", (t) => {
  machine(RANDOM_NONE, () => NOTHING);
  t.is(describeEntropy(), "nothing");
  t.throws(freshSeed, {
    message:
      'TLS: there are no random numbers for it: the processor has neither RDSEED nor RDRAND, and there is no boot module "seed" of ' +
      "32 bytes or more",
  });
});

test.serial("an instruction that is broken is not trusted", (t) => {
  const stuck = randomBytes(8);
  machine(RANDOM_RDRAND, () => stuck);
  t.throws(freshSeed, { message: /the processor's RDRAND repeats itself/ });
  machine(RANDOM_RDSEED, (i) => (i % 16 === 15 ? Buffer.alloc(8, 0xff) : good()));
  t.throws(freshSeed, { message: /RDSEED repeats itself/ });
  machine(RANDOM_RDSEED, (i) => (i % 16 === 3 ? NOTHING : good()));
  t.throws(freshSeed);
});

test.serial("a boot module is enough, and starts the seed where the processor gives nothing", (t) => {
  const bytes = randomBytes(64);
  machine(RANDOM_NONE, () => NOTHING, bytes);
  t.is(describeEntropy(), "the boot module seed");
  t.true(bytes.equals(freshSeed().subarray(0, 64)));
  // The same module, a later start: another seed.
  const first = Buffer.from(freshSeed());
  t.false(first.equals(freshSeed()));
  machine(RANDOM_NONE, () => NOTHING, bytes.subarray(0, 31));
  t.throws(freshSeed);
  machine(RANDOM_RDSEED, good, bytes);
  t.is(describeEntropy(), "RDSEED and the boot module seed");
  t.true(Buffer.from(freshSeed()).includes(bytes));
});

test.serial("any seed is long enough for the generator", (t) => {
  machine(RANDOM_NONE, () => NOTHING, randomBytes(32));
  t.true(freshSeed().length >= TLS_SEED_BYTES);
});

test.serial("a folded seed has every source in it, and differs each time as far as there is one", (t) => {
  const words: Buffer[] = [];
  machine(RANDOM_RDRAND, () => {
    words.push(randomBytes(8));
    return words.at(-1)!;
  });
  const seed = foldedSeed(64);
  t.is(seed.length, 64);
  t.is(words.length, 16);
  // Each of the processor's words lies in its place, with others on top: without the rest nothing of it can be told.
  const folded = Buffer.alloc(64);
  words.forEach((word, i) => word.forEach((byte, k) => (folded[((i % 4) * 16 + k) % 64]! ^= byte)));
  for (const i of [1, 2, 3]) t.true(folded.subarray(16 * i, 16 * i + 8).equals(seed.subarray(16 * i, 16 * i + 8)));
  t.notDeepEqual(foldedSeed(64), seed);
  // A module alone: another one gives another seed.
  const bytes = randomBytes(64);
  machine(RANDOM_NONE, () => NOTHING, bytes);
  const first = foldedSeed(64);
  machine(RANDOM_NONE, () => NOTHING, randomBytes(64));
  t.notDeepEqual(foldedSeed(64), first);
  // Nothing at all: still a seed, for there are the clocks.
  machine(RANDOM_NONE, () => NOTHING);
  t.is(foldedSeed(64).length, 64);
});
