/** UTF-8 without the engine's help: as Node has it, whatever the length. */
import test from "ava";
import fc from "fast-check";
import { decodeUtf8, encodeUtf8 } from "../../../toolstack/control/text.ts";

const pieces = fc.array(
  fc.constantFrom("a", "\0", "\x7f", "\x80", "\u00e9", "\u20ac", "\ufffd", "\u{1f600}", "x".repeat(5000)),
  { maxLength: 20 },
);

test("text that is well-formed goes there and back, as Node has it", (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: "binary" }),
        pieces.map((all) => all.join("")),
      ),
      (text) => {
        const bytes = encodeUtf8(text);
        t.deepEqual(Buffer.from(bytes), Buffer.from(text));
        t.is(decodeUtf8(bytes), Buffer.from(text).toString());
      },
    ),
  );
});

test("every byte that is no part of a character is U+FFFD, and lone surrogates are", (t) => {
  t.is(decodeUtf8(Uint8Array.of(0x61, 0xc3, 0x62, 0xe2, 0x82, 0xff)), "a\ufffdb\ufffd\ufffd\ufffd");
  t.is(decodeUtf8(Uint8Array.of(0xc0, 0x80, 0xed, 0xa0, 0x80)), "\ufffd".repeat(5)); // too long; a surrogate
  t.is(decodeUtf8(Uint8Array.of(0xf4, 0x90, 0x80, 0x80, 0xc3, 0xa9)), "\ufffd\ufffd\ufffd\ufffd\u00e9"); // beyond Unicode
  t.deepEqual([...encodeUtf8("\ud800x\udc00")], [0xef, 0xbf, 0xbd, 0x78, 0xef, 0xbf, 0xbd]);
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      const text = decodeUtf8(bytes);
      t.is(decodeUtf8(encodeUtf8(text)), text);
    }),
  );
});
