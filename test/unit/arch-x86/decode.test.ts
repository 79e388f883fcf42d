/** Lengths of instructions, and accesses to absent memory done in software: against what processors do. */
import test from "ava";
import { Arch, VENDOR_SVM } from "./arch.ts";

const CODE_GFN = 0x60;
const CODE = CODE_GFN << 12;
/** Where the tests' instructions access memory that is not there. */
const HOLE = 0x7000_0000n;
const READ = 1;
const WRITE = 2;

const arch = await Arch.open();
arch.call("begin", VENDOR_SVM, 1n << 20n);
arch.call("vcpuInit");
const frames = [arch.newFrame(), arch.newFrame()];
frames.forEach((mfn, i) => arch.call("map", BigInt(CODE_GFN + i), BigInt(mfn), 1, 0));

/** Puts code at an offset from CODE and RIP on it. */
function place(hex: string, bits: number, offset = 0): number {
  const bytes = Buffer.from(hex.replaceAll(" ", ""), "hex");
  for (let i = 0; i < 16; i++) {
    const at = offset + i;
    arch.frames.get(frames[at >> 12]!)!.setUint8(at & 4095, bytes[i] ?? 0x90);
  }
  arch.call("code", bits, BigInt(CODE + offset));
  return bytes.length;
}

const LENGTHS: Record<number, string[]> = {
  64: [
    "0fa2", // cpuid
    "0f01d9", // vmmcall
    "0f01c1", // vmcall
    "0f01d1", // xsetbv
    "0f22e0", // mov %rax, %cr4
    "0f2205", // a memory form of ModRM does not make it one
    "440f22c0", // mov %rax, %cr8
    "0f30",
    "f4",
    "f36c", // rep insb
    "6690",
    "e410",
    "48b81122334455667788", // movabs
    "66b81234",
    "b811223344",
    "48c7c0fffffff7",
    "c7842411223344aabbccdd", // movl $, disp32(%rsp)
    "668b05aabbccdd", // mov disp(%rip), %ax
    "8b4424f8",
    "8b048500000000", // no base
    "a01122334455667788", // moffs
    "67a011223344",
    "f6050011223344", // test $imm8, disp(%rip)
    "f7d8", // neg: no immediate
    "f7c011223344",
    "4881ec11223344",
    "666781ec1122",
    "c8112233",
    "e811223344",
    "0f8411223344",
    "c4e2f9f7c1", // shlx
    "c5f877", // vzeroupper
    "c5f96ec0",
    "c4e37d19c001", // vextractf128: an immediate
    "62f1fd486f01", // EVEX
    "62f3fd4825c1ff",
    "660f3a0fc108", // palignr
    "0f3800c1", // pshufb
    "0f0f0190", // 3DNow!
    "f0480fb10f", // lock cmpxchg
    "2e3e6590",
    "4d8b7f10",
  ],
  32: [
    "40", // inc, no REX
    "c511", // lds
    "c5f877", // vzeroupper
    "9a112233445566",
    "669a11223344",
    "ea112233445566",
    "a111223344",
    "67a11122",
    "678b4610", // 16-bit addressing
    "678b0e1122",
    "8b0c8d11223344",
    "0fb605aabbccdd",
    "6bc010",
  ],
  16: [
    "a11122",
    "66a11122",
    "678b8011223344",
    "8b4710",
    "8b8711ff",
    "b8ffff",
    "66b811223344",
    "e81122",
    "ea11223344",
    "c7061122aabb",
  ],
};

for (const [bits, codes] of Object.entries(LENGTHS)) {
  test(`lengths of ${bits}-bit code`, (t) => {
    for (const code of codes) {
      for (const offset of [0, 4095]) {
        const length = place(code, Number(bits), offset);
        t.is(arch.call("length"), length, `${code} at ${offset}`);
      }
    }
  });
}

test("what is no instruction, or not there to the end, has no length", (t) => {
  for (const code of ["9a1122334455", "06", "0f04", "0f24c0", "0f3fc0"]) {
    place(code, 64);
    t.is(arch.call("length"), 0, code);
  }
  // The last byte of memory begins an instruction of two.
  place("0f", 64, 2 * 4096 - 17);
  arch.call("code", 64, BigInt(CODE + 2 * 4096 - 1));
  arch.frames.get(frames[1]!)!.setUint8(4095, 0x0f);
  t.is(arch.call("length"), 0);
  // Sixteen prefixes are too many.
  place("66".repeat(16), 64);
  t.is(arch.call("length"), 0);
});

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const RSI = 6;
const RDI = 7;
const R9 = 9;
const START = 0x1122_3344_5566_7788n;

/** Runs one instruction with RBX at the hole and every other register at START; the registers that changed. */
function emulate(
  t: { true: (b: boolean, m?: string) => void },
  hex: string,
  access: number,
  set: [number, bigint][] = [],
) {
  const length = place(hex, 64);
  for (let n = 0; n < 16; n++) if (n !== 4) arch.setRegister(n, n === RBX ? HOLE : START);
  for (const [n, value] of set) arch.setRegister(n, value);
  arch.call("setFlags", 2n);
  const before = Array.from({ length: 16 }, (_, n) => arch.register(n));
  t.true(arch.call("emulate", access) === 1, hex);
  const changed: Record<number, bigint> = {};
  for (let n = 0; n < 16; n++) if (n !== 4 && arch.register(n) !== before[n]) changed[n] = arch.register(n);
  return { changed, flags: arch.big("flags") & 0x8d5n, moved: Number(arch.big("rip")) - CODE === length };
}

test("absent memory reads as ones, in every width", (t) => {
  const cases: [string, number, bigint][] = [
    ["8a03", RAX, 0x1122_3344_5566_77ffn],
    ["8a23", RAX, 0x1122_3344_5566_ff88n], // AH
    ["408a33", RSI, 0x1122_3344_5566_77ffn], // SIL
    ["668b0b", RCX, 0x1122_3344_5566_ffffn],
    ["8b0b", RCX, 0xffff_ffffn],
    ["488b4b10", RCX, 0xffff_ffff_ffff_ffffn],
    ["0fb603", RAX, 0xffn],
    ["0fb70b", RCX, 0xffffn],
    ["0fbe03", RAX, 0xffff_ffffn],
    ["480fbf03", RAX, 0xffff_ffff_ffff_ffffn],
  ];
  for (const [hex, register, value] of cases) {
    const { changed, moved } = emulate(t, hex, READ);
    t.deepEqual(changed, { [register]: value }, hex);
    t.true(moved, hex);
  }
  const { changed } = emulate(t, "4c634b10", READ);
  t.deepEqual(changed, { [R9]: 0xffff_ffff_ffff_ffffn });
});

test("writes vanish", (t) => {
  for (const hex of [
    "8803",
    "668903",
    "8903",
    "48894310",
    "c60312",
    "66c7031234",
    "c70311223344",
    "0fc303",
    "a20000007000000000",
  ]) {
    const { changed, moved } = emulate(t, hex, WRITE);
    t.deepEqual(changed, {}, hex);
    t.true(moved, hex);
  }
});

test("arithmetic sees ones and sets flags", (t) => {
  const CARRY = 1n;
  const PARITY = 4n;
  const ADJUST = 16n;
  const ZERO = 64n;
  const SIGN = 128n;
  t.is(emulate(t, "833bff", READ).flags, ZERO | PARITY); // cmpl $-1
  t.is(emulate(t, "803b00", READ).flags, SIGN | PARITY);
  t.is(emulate(t, "f60301", READ).flags, 0n); // testb $1
  t.deepEqual(emulate(t, "0303", READ).changed, { [RAX]: 0x5566_7787n }); // add to a register
  t.is(emulate(t, "830301", WRITE).flags, ZERO | PARITY | CARRY | ADJUST);
  t.deepEqual(emulate(t, "488713", WRITE).changed, { [RDX]: 0xffff_ffff_ffff_ffffn }); // xchg
});

test("string moves go one element at a time", (t) => {
  const rep = emulate(t, "f3ab", WRITE, [
    [RDI, HOLE],
    [RCX, 3n],
  ]);
  t.deepEqual(rep.changed, { [RDI]: HOLE + 4n, [RCX]: 2n });
  t.false(rep.moved);
  const last = emulate(t, "f348a5", READ, [
    [RSI, HOLE],
    [RDI, HOLE + 0x1000n],
    [RCX, 1n],
  ]);
  t.deepEqual(last.changed, { [RSI]: HOLE + 8n, [RDI]: HOLE + 0x1008n, [RCX]: 0n });
  t.true(last.moved);
  // From nowhere into memory: the ones arrive.
  const into = BigInt(CODE + 4096 + 256);
  emulate(t, "a5", READ, [
    [RSI, HOLE],
    [RDI, into],
  ]);
  t.is(arch.frames.get(frames[1]!)!.getUint32(256, true), 0xffffffff);
  t.deepEqual(emulate(t, "ac", READ, [[RSI, HOLE]]).changed, { [RSI]: HOLE + 1n, [RAX]: 0x1122_3344_5566_77ffn });
});

test("what cannot be done in software is refused, and nothing moves", (t) => {
  // movups, push, call, cmpxchg, register form, VEX
  for (const hex of ["0f1003", "ff33", "ff13", "0fb10b", "4c63c3", "c5f81003"]) {
    place(hex, 64);
    arch.setRegister(RBX, HOLE);
    t.is(arch.call("emulate", READ), 0, hex);
    t.is(Number(arch.big("rip")), CODE, hex);
  }
  place("8b03", 64);
  t.is(arch.call("emulate", 4), 0, "a fetch from absent memory");
});
