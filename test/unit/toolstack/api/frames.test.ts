/** The control protocol's frames: whole ones come out however the bytes are cut; what is none is refused. */
import test from "ava";
import fc from "fast-check";
import { BODY_MOST, encodeFrame, FrameReader, ProtocolError } from "../../../../toolstack/api/protocol.ts";

const frames = fc.array(
  fc.record({
    type: fc.integer({ min: 0, max: 255 }),
    id: fc.integer({ min: 0, max: 0xffffffff }),
    body: fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.integer({ min: 0, max: BODY_MOST }).map((length) => new Uint8Array(length).fill(length)),
    ),
  }),
  { maxLength: 5 },
);

/** Pushes `bytes` in pieces whose lengths are `cuts`, over and over; in memory that is used again for each. */
function readInPieces(bytes: Uint8Array, cuts: readonly number[]): { type: number; id: number; body: number[] }[] {
  const reader = new FrameReader();
  const memory = new Uint8Array(Math.max(...cuts));
  const got: { type: number; id: number; body: number[] }[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const piece = bytes.subarray(at, at + cuts[i % cuts.length]!);
    memory.set(piece);
    reader.push(memory.subarray(0, piece.length), ({ type, id, body }) => got.push({ type, id, body: [...body] }));
    at += piece.length;
  }
  return got;
}

const cuts = fc.array(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 70_000 })), {
  minLength: 1,
  maxLength: 6,
});

test("frames come out whole, in whatever pieces their bytes come", (t) => {
  fc.assert(
    fc.property(frames, cuts, (sent, pieces) => {
      const bytes = Buffer.concat(sent.map(({ type, id, body }) => encodeFrame(type, id, body)));
      t.deepEqual(
        readInPieces(bytes, pieces),
        sent.map(({ type, id, body }) => ({ type, id, body: [...body] })),
      );
    }),
    { numRuns: 150 },
  );
});

test("a length that no frame has is refused, in whatever pieces it comes", (t) => {
  for (const length of [0, 4, BODY_MOST + 6, 0x80000000, 0xffffffff]) {
    const wrong = Buffer.alloc(40);
    wrong.writeUInt32LE(length);
    const bytes = Buffer.concat([encodeFrame(1, 2, Uint8Array.of(3)), wrong]);
    for (const cut of [1, 3, 11, 100]) t.throws(() => readInPieces(bytes, [cut]), { instanceOf: ProtocolError });
  }
});
