/** The physmap agrees with a plain map from gfn to frame and type, after any operations, and failed operations change nothing. */
import test from "ava";
import fc from "fast-check";
import { EEXIST, ENOENT, ENOMEM } from "../../../abi/errno.ts";
import { ALL_ONES, Arch, VENDOR_SVM, VENDOR_VMX } from "./arch.ts";

const MAX_GFN = 1 << 20;
/** Both sides of every boundary between tables. */
const EDGES = [0, 1, 511, 512, 513, 1023, 262_143, 262_144, 262_145, 524_288, 700_000, MAX_GFN - 1];

type Operation =
  | { kind: "map"; gfn: number; mfn: number; type: number; order: number }
  | { kind: "unmap" | "lookup" | "next"; gfn: number }
  | { kind: "type"; gfn: number; type: number };

const gfn = fc.oneof(fc.constantFrom(...EDGES), fc.nat(MAX_GFN - 1));
const type = fc.integer({ min: 1, max: 10 });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc
    .record({ gfn, mfn: fc.nat(1000), type, order: fc.constantFrom(0, 0, 0, 9, 18) })
    .map(({ gfn, mfn, type, order }): Operation => {
      const span = 2 ** order;
      return { kind: "map", gfn: gfn - (gfn % span), mfn: mfn * span, type, order };
    }),
  fc.record({ kind: fc.constantFrom("unmap" as const, "lookup" as const, "next" as const), gfn }),
  fc.record({ kind: fc.constant("type" as const), gfn, type }),
);

/** What should be mapped: pieces of 2^order frames, later entries over earlier ones; type 0 is a hole. */
class Model {
  private readonly pieces: { gfn: number; span: number; mfn: number; type: number }[] = [];

  entry(gfn: number): bigint {
    for (let i = this.pieces.length - 1; i >= 0; i--) {
      const piece = this.pieces[i]!;
      if (gfn < piece.gfn || gfn >= piece.gfn + piece.span) continue;
      return piece.type === 0 ? 0n : (BigInt(piece.mfn + gfn - piece.gfn) << 12n) | BigInt(piece.type);
    }
    return 0n;
  }
  /** First mapped gfn in [from, to), or -1. Boundaries of pieces are the only places where that can change. */
  next(from: number, to: number): number {
    const places = [from, ...this.pieces.flatMap((p) => [p.gfn, p.gfn + p.span])].filter((g) => g >= from && g < to);
    return places.sort((a, b) => a - b).find((g) => this.entry(g) !== 0n) ?? -1;
  }
  put(gfn: number, span: number, mfn: number, type: number): void {
    this.pieces.push({ gfn, span, mfn, type });
  }
}

const arch = await Arch.open();

function play(vendor: number, gib: boolean, steps: { operation: Operation; frames: number }[]): void {
  arch.budget = Infinity;
  const before = arch.frames.size;
  if (arch.call("begin", vendor, BigInt(MAX_GFN)) !== 0) throw new Error("no root");
  arch.call("gibPages", gib);
  const model = new Model();
  for (const { operation: op, frames } of steps) {
    arch.budget = frames;
    const used = arch.frames.size;
    const expected = model.entry(op.gfn);
    const check = (what: string, good: boolean) => {
      if (!good) throw new Error(`${what}: ${JSON.stringify(op)}`);
    };
    if (op.kind === "map") {
      const span = 2 ** op.order;
      const result = arch.call("map", BigInt(op.gfn), BigInt(op.mfn), op.type, op.order);
      check("exists", (result === -EEXIST) === model.next(op.gfn, op.gfn + span) >= 0);
      check("result", result === 0 || result === -EEXIST || (result === -ENOMEM && frames < 3));
      if (result === 0) model.put(op.gfn, span, op.mfn, op.type);
      else check("frames kept after a failure", arch.frames.size === used);
    } else if (op.kind === "unmap") {
      const result = arch.big("unmap", BigInt(op.gfn));
      check("old entry", result === expected || (result === ALL_ONES && expected !== 0n && frames < 2));
      if (result !== ALL_ONES) model.put(op.gfn, 1, 0, 0);
    } else if (op.kind === "type") {
      const result = arch.call("setType", BigInt(op.gfn), op.type);
      if (expected === 0n) check("nothing there", result === -ENOENT);
      else check("result", result === 0 || (result === -ENOMEM && frames < 2));
      if (result === 0) model.put(op.gfn, 1, Number(expected >> 12n), op.type);
    } else if (op.kind === "next") {
      const next = model.next(op.gfn, MAX_GFN);
      check("next", arch.big("next", BigInt(op.gfn)) === (next < 0 ? ALL_ONES : BigInt(next)));
    }
    check("lookup", arch.big("lookup", BigInt(op.gfn)) === model.entry(op.gfn));
    check("count of tables", arch.call("tables") === arch.frames.size - before);
  }
  arch.call("end");
  if (arch.frames.size !== before) throw new Error(`${arch.frames.size - before} tables were not given back`);
}

for (const [name, vendor] of [
  ["EPT", VENDOR_VMX],
  ["AMD's nested tables", VENDOR_SVM],
] as const) {
  test.serial(`${name} map what the model maps`, (t) => {
    const step = fc.record({ operation, frames: fc.constantFrom(100, 100, 100, 0, 1, 2) });
    fc.assert(
      fc.property(fc.boolean(), fc.array(step, { maxLength: 60 }), (gib, steps) => play(vendor, gib, steps)),
      { numRuns: 150 },
    );
    t.pass();
  });
}

test.serial("rights are those of the type", (t) => {
  arch.budget = Infinity;
  const leaf = (vendor: number, type: number): bigint => {
    arch.call("begin", vendor, 1n << 20n);
    arch.call("map", 5n, 7n, type, 0);
    const found = [...arch.frames.values()].map((f) => f.getBigUint64(40, true)).find((e) => (e >> 12n) % 256n === 7n)!;
    arch.call("end");
    return found;
  };
  // RAM, read-only RAM, foreign, grant, read-only grant, Xen's own, module, registers, read-only registers, Xen's own read-only
  const ept = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((type) => Number(leaf(VENDOR_VMX, type) & 0x7fn));
  t.deepEqual(ept, [0x77, 0x75, 0x73, 0x73, 0x71, 0x73, 0x71, 0x73, 0x71, 0x71]);
  const npt = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((type) => leaf(VENDOR_SVM, type));
  t.deepEqual(
    npt.map((entry) => [Number(entry & 0xfffn), Number(entry >> 63n)]),
    [
      [7, 0],
      [5, 0],
      [7, 1],
      [7, 1],
      [5, 1],
      [7, 1],
      [5, 1],
      [7, 1],
      [5, 1],
      [5, 1],
    ],
  );
});

test.serial("arguments out of range change nothing", (t) => {
  arch.call("begin", VENDOR_VMX, 1024n);
  const used = arch.frames.size;
  const refused: [bigint, bigint, number, number][] = [
    [1024n, 0n, 1, 0],
    [1n << 60n, 0n, 1, 0],
    [1n, 0n, 1, 9],
    [0n, 1n, 1, 9],
    [512n, 0n, 1, 18],
    [0n, 0n, 0, 0],
    [0n, 0n, 11, 0],
    [0n, 0n, 1, 3],
  ];
  for (const args of refused) t.is(arch.call("map", ...args), -22, args.join(" "));
  t.is(arch.big("lookup", 1n << 60n), 0n);
  t.is(arch.frames.size, used);
  arch.call("end");
});
