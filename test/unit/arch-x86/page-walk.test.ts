/** The guest page walk against a second one, written from the same manuals, over random tables in every paging mode. */
import test from "ava";
import { Arch, PHYSICAL_BITS, VENDOR_SVM } from "./arch.ts";
import { Random } from "../../sim/random.ts";

const FRAMES = 16;
const PRESENT = 1n;
const WRITE = 2n;
const USER = 4n;
const LARGE = 1n << 7n;
const NO_EXECUTE = 1n << 63n;
const ALL = (1n << 64n) - 1n;

type Mode = "32-bit" | "PAE" | "long";
interface Setting {
  mode: Mode;
  cr0: bigint;
  cr3: bigint;
  cr4: bigint;
  noExecute: boolean;
  user: boolean;
}
/** The address, or the page fault's error code. */
type Result = { gpa: bigint } | { error: number };

/** Bits high..low. */
const bits = (high: bigint, low: bigint) => ((1n << (high + 1n)) - 1n) & ~((1n << low) - 1n);

class Reference {
  constructor(private readonly memory: DataView[]) {}

  /** A table entry of 8 or 4 bytes; memory that is not there reads as ones. */
  private read(gpa: bigint, size: number): bigint {
    const frame = this.memory[Number(gpa >> 12n)];
    if (frame === undefined) return size === 8 ? ALL : 0xffffffffn;
    const offset = Number(gpa & 0xfffn);
    return size === 8 ? frame.getBigUint64(offset, true) : BigInt(frame.getUint32(offset, true));
  }

  walk(s: Setting, gva: bigint, access: number): Result {
    const writes = (access & 2) !== 0;
    const fetches = (access & 4) !== 0;
    const code = (s.user ? 4 : 0) | (writes ? 2 : 0) | (fetches && s.noExecute ? 16 : 0);
    const absent = { error: code };
    const reserved = { error: code | 9 };
    const top = gva >> 47n;
    if (s.mode === "long" ? top !== 0n && top !== 0x1ffffn : gva >> 32n !== 0n) return absent;
    let rights = WRITE | USER;
    let forbidden = false;
    let entry: bigint;
    let shift = 12n;
    if (s.mode === "32-bit") {
      entry = this.read((s.cr3 & 0xfffff000n) + ((gva >> 22n) << 2n), 4);
      if (!(entry & PRESENT)) return absent;
      rights &= entry;
      if ((s.cr4 & 16n) !== 0n && (entry & LARGE) !== 0n) {
        if (entry & (1n << 21n)) return reserved;
        shift = 22n;
        entry = ((entry & bits(20n, 13n)) << 19n) | (entry & 0xffc00000n);
      } else {
        entry = this.read((entry & 0xfffff000n) + (((gva >> 12n) & 1023n) << 2n), 4);
        if (!(entry & PRESENT)) return absent;
        rights &= entry;
        entry &= 0xfffff000n;
      }
    } else {
      let table = s.cr3 & bits(51n, 12n);
      let level = 4n;
      if (s.mode === "PAE") {
        const directory = this.read((s.cr3 & 0xffffffe0n) + ((gva >> 30n) << 3n), 8);
        if (!(directory & PRESENT)) return absent;
        table = directory & bits(51n, 12n);
        level = 2n;
      }
      for (; ; level--) {
        shift = 12n + 9n * (level - 1n);
        entry = this.read(table + (((gva >> shift) & 511n) << 3n), 8);
        if (!(entry & PRESENT)) return absent;
        rights &= entry;
        if (entry & NO_EXECUTE) forbidden = true;
        const leaf = level === 1n || (level <= 3n && (entry & LARGE) !== 0n);
        let zero = bits(51n, PHYSICAL_BITS) | (s.noExecute ? 0n : NO_EXECUTE);
        if (s.mode === "PAE") zero |= bits(62n, 52n);
        if (level === 4n) zero |= LARGE;
        if (leaf && level > 1n) zero |= bits(shift - 1n, 13n);
        if (entry & zero) return reserved;
        if (leaf) break;
        table = entry & bits(51n, 12n);
      }
    }
    const refused =
      (forbidden && fetches) ||
      (s.user && !(rights & USER)) ||
      (writes && !(rights & WRITE) && (s.user || (s.cr0 & 0x10000n) !== 0n));
    if (refused) return { error: code | 1 };
    const within = (1n << shift) - 1n;
    return { gpa: (entry & bits(51n, 12n) & ~within) | (gva & within) };
  }
}

/** An entry that mostly leads on, with all that can be wrong with one. */
function randomEntry(random: Random, mode: Mode): bigint {
  const half = () => {
    let entry = (BigInt(random.below(FRAMES + 1)) << 12n) | PRESENT;
    if (random.below(8)) entry |= WRITE;
    if (random.below(8)) entry |= USER;
    if (!random.below(5)) entry |= LARGE;
    if (!random.below(10)) entry &= ~PRESENT;
    if (!random.below(10)) entry |= 1n << BigInt(random.below(mode === "32-bit" ? 32 : 64));
    if ((entry & LARGE) !== 0n && random.below(2)) entry &= ~bits(20n, 13n);
    return entry;
  };
  return mode === "32-bit" ? half() | (half() << 32n) : half();
}

const arch = await Arch.open();

test("every mode, every right, every fault", (t) => {
  const random = new Random(1);
  arch.call("begin", VENDOR_SVM, 1n << 20n);
  arch.call("vcpuInit");
  const memory: DataView[] = [];
  for (let gfn = 0; gfn < FRAMES; gfn++) {
    const mfn = arch.newFrame();
    memory.push(arch.frames.get(mfn)!);
    arch.call("map", BigInt(gfn), BigInt(mfn), 1, 0);
  }
  const reference = new Reference(memory);
  const seen = new Map<string, number>();
  for (let round = 0; round < 200; round++) {
    const mode = (["32-bit", "PAE", "long"] as const)[random.below(3)]!;
    const noExecute = random.below(3) !== 0;
    for (const frame of memory) {
      for (let i = 0; i < 4096; i += 8) frame.setBigUint64(i, randomEntry(random, mode), true);
    }
    const cr0 = 0x80000001n | (random.below(2) ? 0x10000n : 0n);
    const cr3 = (BigInt(random.below(FRAMES)) << 12n) | (mode === "PAE" ? BigInt(random.below(128) << 5) : 0n);
    const cr4 = (mode === "32-bit" ? 0n : 0x20n) | (random.below(2) ? 0x10n : 0n);
    arch.call("paging", cr0, cr3, cr4, (mode === "long" ? 0x500n : 0n) | (noExecute ? 0x800n : 0n));
    for (let n = 0; n < 200; n++) {
      const user = random.below(2) === 0;
      arch.call("privilege", user ? 3 : 0);
      const access = [1, 2, 4, 3][random.below(4)]!;
      const wide =
        (BigInt(random.below(2 ** 31)) << 33n) ^ (BigInt(random.below(2 ** 31)) << 10n) ^ BigInt(random.below(4096));
      const canonical = mode === "long" ? BigInt.asUintN(64, BigInt.asIntN(48, wide)) : wide & 0xffffffffn;
      const gva = random.below(30) ? canonical : BigInt.asUintN(64, wide);
      const expected = reference.walk({ mode, cr0, cr3, cr4, noExecute, user }, gva, access);
      const failed = arch.call("walk", gva, access) !== 0;
      const got: Result = failed
        ? { error: arch.call("walkError") }
        : { gpa: arch.linear.getBigUint64(arch.constant("out"), true) };
      t.deepEqual(got, expected, `${mode} ${gva.toString(16)} access ${access}`);
      const kind = `${mode} ${failed ? arch.call("walkError") & 9 : "ok"}`;
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
    }
  }
  // Each mode has translated, and has refused for absence, for rights and for reserved bits.
  t.is(seen.size, 12, JSON.stringify([...seen]));
});

test("without paging addresses are physical and 32 bits wide", (t) => {
  arch.call("paging", 1n, 0n, 0n, 0n);
  t.is(arch.call("walk", 0x1_2345_6789n, 2), 0);
  t.is(arch.linear.getBigUint64(arch.constant("out"), true), 0x2345_6789n);
});
