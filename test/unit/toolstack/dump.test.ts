/** `xenctx`: page tables good and hostile, stacks with and without frame pointers, symbols of both kinds, damaged ones. */
import test from "ava";
import {
  HVM_SAVE_CODE_CPU,
  HVM_SAVE_CODE_END,
  HVM_SAVE_CODE_HEADER,
  HVM_SAVE_CODE_LAPIC_REGS,
  HvmHwCpu,
  HvmHwLapicRegs,
} from "../../../abi/hvm.ts";
import type { Image } from "../../../toolstack/control/builder/image.ts";
import { readStack } from "../../../toolstack/control/dump/backtrace.ts";
import { GuestMemory } from "../../../toolstack/control/dump/guest-memory.ts";
import { decodeVcpus, type VcpuState } from "../../../toolstack/control/dump/registers.ts";
import { openSymbols } from "../../../toolstack/control/dump/symbols.ts";

const PAGE = 4096;
const CR0_PAGED = 0x80000011n;
const LONG = { cr0: CR0_PAGED, cr4: 0x20n, msr_efer: 0x500n, cs_arbytes: 0xa9bn };
const PAE = { cr0: CR0_PAGED, cr4: 0x20n, cs_arbytes: 0xc9bn };
const OLD = { cr0: CR0_PAGED, cr4: 0x10n, cs_arbytes: 0xc9bn };

type Values = Partial<Record<Exclude<keyof typeof HvmHwCpu, "SIZE" | "prototype">, bigint>>;

function record(code: number, instance: number, body: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16LE(code, 0);
  head.writeUInt16LE(instance, 2);
  head.writeUInt32LE(body.length, 4);
  return Buffer.concat([head, body]);
}

function cpuRecord(id: number, values: Values): Buffer {
  const body = Buffer.alloc(HvmHwCpu.SIZE);
  for (const [name, value] of Object.entries(values)) {
    const at = HvmHwCpu[name as keyof Values];
    if (/_(sel|limit|arbytes)$|^pending|^error/.test(name)) body.writeUInt32LE(Number(value), at);
    else body.writeBigUInt64LE(value, at);
  }
  return record(HVM_SAVE_CODE_CPU, id, body);
}

function vcpu(values: Values): VcpuState {
  return decodeVcpus(Buffer.concat([cpuRecord(0, values), record(HVM_SAVE_CODE_END, 0, Buffer.alloc(0))]))[0]!;
}

/** Guest frames by number. */
class Ram {
  readonly frames = new Map<number, Buffer>();
  /** Frames read by GuestMemory. */
  reads = 0;

  frame(gfn: number): Buffer {
    if (!this.frames.has(gfn)) this.frames.set(gfn, Buffer.alloc(PAGE));
    return this.frames.get(gfn)!;
  }
  entry(table: number, index: number, value: bigint): void {
    this.frame(table).writeBigUInt64LE(value, index * 8);
  }
  memory(most = 64): GuestMemory {
    return new GuestMemory((gfn) => {
      this.reads++;
      return this.frames.get(Number(gfn)) ?? null;
    }, most);
  }
}

test("addresses are translated as each mode's page tables say", (t) => {
  const ram = new Ram();
  const memory = () => ram.memory();
  t.is(memory().translate(vcpu({ cr0: 0x11n }), 0x1_2345_6789n), 0x2345_6789n, "no paging: 32 bits");

  // Four levels: ffff800000000000 -> 4 KiB at 0x77000, the next 2 MiB at 0x40000000, the next 1 GiB at 0x80000000.
  ram.entry(1, 256, 0x2003n);
  ram.entry(2, 0, 0x3003n);
  ram.entry(2, 1, 0x8000_0083n);
  ram.entry(3, 0, 0x4003n);
  ram.entry(3, 1, 0x8000_0000_4000_0083n); // no-execute
  ram.entry(4, 0, 0x7_7003n);
  const long = vcpu({ ...LONG, cr3: 0x1018n });
  t.is(memory().translate(long, 0xffff_8000_0000_0123n), 0x7_7123n);
  t.is(memory().translate(long, 0xffff_8000_0020_0456n), 0x4000_0456n);
  t.is(memory().translate(long, 0xffff_8000_7654_3210n), 0xb654_3210n);
  t.is(memory().translate(long, 0xffff_8000_0000_1000n), null, "not present");
  t.is(memory().translate(long, 0x0000_8000_0000_0123n), null, "not canonical");

  // PAE: 0xc0000000 -> 0x77000, the next 2 MiB.
  ram.entry(5, 4 + 3, 0x3001n); // the table of four is at 0x5020
  const pae = vcpu({ ...PAE, cr3: 0x5020n });
  t.is(memory().translate(pae, 0xc000_0010n), 0x7_7010n);
  t.is(memory().translate(pae, 0xc020_0010n), 0x4000_0010n);
  t.is(memory().translate(pae, 0x1_c000_0010n), null);

  // Two levels of 32 bits: 0x400000 -> 0x77000, 0x800000 -> 4 MiB above 4 GiB.
  ram.frame(6).writeUInt32LE(0x7003, 4);
  ram.frame(6).writeUInt32LE(0x0040_2083, 8);
  ram.frame(7).writeUInt32LE(0x7_7003, 0);
  const old = vcpu({ ...OLD, cr3: 0x6000n });
  t.is(memory().translate(old, 0x40_0abcn), 0x7_7abcn);
  t.is(memory().translate(old, 0x81_2345n), 0x1_0041_2345n);
  t.is(memory().translate(old, 0xc0_0000n), null);
});

test("hostile page tables lead nowhere and cost a bounded number of frames", (t) => {
  const ram = new Ram();
  // A table that is its own child at every level, with rights and reserved bits all set.
  for (let i = 0; i < 512; i++) ram.entry(1, i, 0xfff0_0000_0000_1fffn & ~0x80n);
  const looped = vcpu({ ...LONG, cr3: 0x1000n });
  t.is(ram.memory().translate(looped, 0n), 0x1000n, "four levels, no more");
  // Tables beyond every frame of the guest, and CR3 as well.
  for (let i = 0; i < 512; i++) ram.entry(2, i, 0x000f_ffff_ffff_f003n);
  t.is(ram.memory().translate(vcpu({ ...LONG, cr3: 0x2000n }), 0n), null);
  t.is(ram.memory().translate(vcpu({ ...LONG, cr3: ~0n & 0xffff_ffff_ffff_ffffn }), 0n), null);
  // A large page where there are none.
  ram.entry(3, 0, 0x83n);
  t.is(ram.memory().translate(vcpu({ ...LONG, cr3: 0x3000n }), 0n), null);
  // The stack is the top table itself, and each of its words the address of another frame of code.
  const wide = new Ram();
  for (let i = 0; i < 512; i++) wide.entry(1, i, BigInt(i + 2) * 0x1000n + 3n);
  for (let table = 2; table < 514; table++) for (let i = 0; i < 512; i++) wide.entry(table, i, 0x1003n);
  wide.entry(1, 0, 0x1003n);
  const memory = wide.memory(40);
  readStack(memory, vcpu({ ...LONG, cr3: 0x1000n, rsp: 0n, rbp: 0n, rip: 0x1000n }));
  t.true(memory.exhausted);
  t.true(wide.reads <= 40, String(wide.reads));
});

test("reading stops at the first page that is not there", (t) => {
  const ram = new Ram();
  ram.frame(1).fill(1);
  ram.frame(2).fill(2);
  const flat = vcpu({ cr0: 0x11n, cs_arbytes: 0xc9bn });
  t.deepEqual([...ram.memory().read(flat, 0x1ffen, 4)], [1, 1, 2, 2]);
  t.is(ram.memory().read(flat, 0x2ffen, 4).length, 2);
  t.is(ram.memory().read(flat, 0x5000n, 4).length, 0);
  t.is(ram.memory().read(flat, 0xffff_fffen, 4).length, 0);
});

/** Code at 0x1000, a stack at 0x2000, one to one below 2 MiB. */
function program(values: Values): { ram: Ram; state: VcpuState } {
  const ram = new Ram();
  ram.entry(16, 0, 0x1_1003n);
  ram.entry(17, 0, 0x1_2003n);
  ram.entry(18, 0, 0x83n);
  const code = ram.frame(1);
  code.fill(0x90);
  code.set([0xe8, 0, 0, 0, 0], 0x100 - 5); // CALL rel32, returns to 0x1100
  code.set([0xff, 0xd0], 0x200 - 2); // CALL RAX
  code.set([0x41, 0xff, 0x54, 0x24, 0x08], 0x300 - 5); // CALL [R12 + 8]
  code.set([0xff, 0x15, 0, 0, 0, 0], 0x400 - 6); // CALL [RIP + 0]
  code.set([0xff, 0xe0], 0x500 - 2); // JMP RAX: no call
  ram.frame(2);
  return { ram, state: vcpu({ ...LONG, cr3: 0x1_0000n, rsp: 0x2000n, rip: 0x1010n, ...values }) };
}

test("callers come from frame pointers, and from words that follow a call", (t) => {
  const { ram, state } = program({ rbp: 0x2020n });
  const put = (at: number, value: bigint) => ram.frame(2).writeBigUInt64LE(value, at);
  put(0x08, 0x1500n); // behind a JMP
  put(0x10, 0x1300n); // a leftover
  put(0x20, 0x2060n); // frame: the next one
  put(0x28, 0x1100n);
  put(0x40, 0x1400n);
  put(0x60, 0n); // the last frame
  put(0x68, 0x1200n);
  put(0x70, 0xdead_beef_dead_beefn);
  const { callers, top, words } = readStack(ram.memory(), state);
  t.deepEqual(callers, [
    { address: 0x1300n, sure: false },
    { address: 0x1100n, sure: true },
    { address: 0x1400n, sure: false },
    { address: 0x1200n, sure: true },
  ]);
  t.is(top, 0x2000n);
  t.is(words.length, 512);
  // 32-bit code: words of four bytes, addresses with their segments' bases.
  const small = program({ cr0: 0x11n, msr_efer: 0n, cr4: 0n, cs_arbytes: 0xc9bn, cs_base: 0x800n, ss_base: 0x1000n });
  const flat = vcpu({ cr0: 0x11n, cs_arbytes: 0xc9bn, cs_base: 0x800n, ss_base: 0x1000n, rsp: 0x1000n, rbp: 0x1008n });
  small.ram.frame(2).writeUInt32LE(0x900, 0x0c);
  const stack = readStack(small.ram.memory(), flat);
  t.is(stack.width, 4);
  t.deepEqual(stack.callers, [{ address: 0x900n, sure: true }]);
});

test("frame pointers that make no sense end the chain", (t) => {
  for (const [rbp, next] of [
    [0x2020n, 0x2020n], // itself
    [0x2040n, 0x2020n], // backwards
    [0x2021n, 0n], // not aligned
    [0x1f00n, 0n], // below the stack
    [0x100_0000n, 0n], // far away
    [0xffff_ffff_ffff_fff8n, 0n],
  ] as const) {
    const { ram, state } = program({ rbp });
    for (let at = 0x20; at < 0x80; at += 16) {
      ram.frame(2).writeBigUInt64LE(next, at);
      ram.frame(2).writeBigUInt64LE(0x1100n, at + 8);
    }
    const { callers } = readStack(ram.memory(), state);
    t.true(callers.filter(({ sure }) => sure).length <= 1, rbp.toString(16));
    t.true(callers.length <= 32);
  }
  const { ram, state } = program({ rsp: 0x50_0000n });
  t.deepEqual(readStack(ram.memory(), state).words, [], "no stack at all");
});

test("records: vCPUs by number, with their local APICs; what is cut off is left out", (t) => {
  const apic = Buffer.alloc(HvmHwLapicRegs.SIZE);
  apic.writeUInt32LE(1 << 3, 0x200 + 0x70); // vector 227 waits
  apic.writeUInt32LE(1, 0x100 + 0x20); // vector 64 is in service
  const all = Buffer.concat([
    record(HVM_SAVE_CODE_HEADER, 0, Buffer.alloc(24)),
    cpuRecord(1, { rip: 1n }),
    cpuRecord(0, { ...LONG, rip: 2n, ss_arbytes: 0xcf3n, rflags: 0x246n }),
    record(HVM_SAVE_CODE_LAPIC_REGS, 1, apic),
    record(HVM_SAVE_CODE_END, 0, Buffer.alloc(0)),
  ]);
  const [first, second] = decodeVcpus(all);
  t.is(first!.register("rip"), 2n);
  t.deepEqual([first!.bits, first!.ring, first!.paging, first!.flags], [64, 3, "4-level", "PF ZF IF"]);
  t.deepEqual([second!.requested, second!.inService], [[227], [64]]);
  t.deepEqual([second!.bits, second!.paging], [16, "off"]);
  for (let length = 0; length < all.length; length += 7) t.true(decodeVcpus(all.subarray(0, length)).length <= 2);
});

function image(bytes: Buffer): Image {
  return {
    name: "kernel",
    size: bytes.length,
    address: 0,
    read(offset, length) {
      if (offset < 0 || length < 0 || offset + length > bytes.length) throw new RangeError("beyond the image");
      return new Uint8Array(bytes.subarray(offset, offset + length));
    },
  };
}

/** An ELF image with nothing but sections: null, .text, .data, .symtab, .strtab. */
function elfWithSymbols(wide: boolean, symbols: [string, bigint, number, number, number][]): Buffer {
  const names = Buffer.from(`\0${symbols.map(([name]) => name).join("\0")}\0`);
  const entry = wide ? 24 : 16;
  const table = Buffer.alloc(entry * (symbols.length + 1));
  symbols.forEach(([name, value, size, type, section], i) => {
    const at = (i + 1) * entry;
    table.writeUInt32LE(names.indexOf(`\0${name}\0`) + 1, at);
    table.writeUInt8(type, at + (wide ? 4 : 12));
    table.writeUInt16LE(section, at + (wide ? 6 : 14));
    if (wide) {
      table.writeBigUInt64LE(value, at + 8);
      table.writeBigUInt64LE(BigInt(size), at + 16);
    } else {
      table.writeUInt32LE(Number(value), at + 4);
      table.writeUInt32LE(size, at + 8);
    }
  });
  const head = Buffer.alloc(wide ? 64 : 52);
  head.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  const headerSize = wide ? 64 : 40;
  const sections: [number, number, number, number, number][] = [
    [0, 0, 0, 0, 0],
    [1, 6, 0, 0, 0],
    [1, 3, 0, 0, 0],
    [2, 0, head.length, table.length, 4],
    [3, 0, head.length + table.length, names.length, 0],
  ];
  const headers = Buffer.alloc(headerSize * sections.length);
  sections.forEach(([type, flags, offset, size, link], i) => {
    const at = i * headerSize;
    headers.writeUInt32LE(type, at + 4);
    headers.writeUInt32LE(flags, at + 8);
    headers.writeUInt32LE(offset, at + (wide ? 24 : 16));
    headers.writeUInt32LE(size, at + (wide ? 32 : 20));
    headers.writeUInt32LE(link, at + (wide ? 40 : 24));
  });
  head.writeUInt32LE(head.length + table.length + names.length, wide ? 40 : 32);
  head.writeUInt16LE(headerSize, wide ? 58 : 46);
  head.writeUInt16LE(sections.length, wide ? 60 : 48);
  return Buffer.concat([head, table, names, headers]);
}

const FUNC = 2;
const OBJECT = 1;
const BASE = 0xffff_ffff_8100_0000n;

test("symbols of an ELF image: the nearest function at or below, within its size", (t) => {
  const file = elfWithSymbols(true, [
    ["late", BASE + 0x400n, 0x10, FUNC, 1],
    ["early", BASE, 0x100, FUNC, 1],
    ["label", BASE + 0x200n, 0, 0, 1],
    ["table", BASE + 0x250n, 0x100, OBJECT, 1],
    ["data", BASE + 0x260n, 0x100, FUNC, 2],
    ["alias", BASE + 0x400n, 0, 0, 1],
    ["user", 0x1000n, 0x1000, FUNC, 1],
  ]);
  const symbols = openSymbols(image(file))!;
  const name = (address: bigint) => symbols([address])[0];
  t.deepEqual(name(BASE), { name: "early", offset: 0n });
  t.deepEqual(name(BASE + 0xffn), { name: "early", offset: 0xffn });
  t.is(name(BASE + 0x100n), undefined, "behind its end");
  t.deepEqual(name(BASE + 0x300n), { name: "label", offset: 0x100n }, "a label without a size; data is no code");
  t.deepEqual(name(BASE + 0x404n), { name: "late", offset: 4n }, "the one of two that has a size");
  t.deepEqual(name(0x1800n), { name: "user", offset: 0x800n });
  t.is(name(0n), undefined);
  t.is(name(BASE - 1n), undefined);
  const many = [BASE + 4n, 0x1000n, BASE + 0x404n, BASE + 4n, 1n];
  t.deepEqual(
    symbols(many).map((symbol) => symbol?.name),
    ["early", "user", "late", "early", undefined],
  );
  const narrow = openSymbols(image(elfWithSymbols(false, [["main", 0x10_0000n, 0x20, FUNC, 1]])))!;
  t.deepEqual(narrow([0x10_0010n]), [{ name: "main", offset: 0x10n }]);
  t.deepEqual(narrow([0x1_0010_0010n]), [undefined]);
});

test("damaged ELF images have no symbols, or some, and never fail", (t) => {
  const good = elfWithSymbols(true, [["main", BASE, 0x100, FUNC, 1]]);
  for (let length = 0; length < good.length; length++) {
    const symbols = openSymbols(image(good.subarray(0, length)));
    if (symbols !== null) t.notThrows(() => symbols([BASE]));
  }
  for (let at = 4; at < good.length; at++) {
    const bad = Buffer.from(good);
    bad[at] = 0xff;
    const symbols = openSymbols(image(bad));
    if (symbols !== null) t.notThrows(() => symbols([BASE, BASE + 0x50n, 0n]), `byte ${at}`);
  }
  t.is(openSymbols(image(Buffer.from("not a kernel"))), null);
  t.is(openSymbols(image(Buffer.alloc(0))), null);
});

test("symbols of a System.map, found by halving it", (t) => {
  const lines = ["0000000000000000 D __per_cpu_start"];
  for (let i = 0; i < 5000; i++)
    lines.push(`${(BASE + BigInt(i * 64)).toString(16)} ${i % 7 === 3 ? "d" : "T"} symbol_${i}`);
  const symbols = openSymbols(image(Buffer.from(`${lines.join("\n")}\n`)))!;
  for (const i of [0, 1, 2, 499, 2500, 4998]) {
    const text = i % 7 === 3 ? i - 1 : i;
    const offset = BigInt((i - text) * 64 + 5);
    t.deepEqual(symbols([BASE + BigInt(i * 64) + 5n]), [{ name: `symbol_${text}`, offset }], String(i));
  }
  t.deepEqual(symbols([BASE - 1n, BASE + 0x1000_0000n, 5n]), [undefined, undefined, undefined]);
  const cut = openSymbols(image(Buffer.from("ffffffff81000000 T _text\ngarbage\nffffffff81000100 T more")))!;
  t.deepEqual(cut([BASE + 0x200n]), [{ name: "_text", offset: 0x200n }]);
});
