/** PVHv1 kernels: how they describe themselves, where they are put, and the page tables and start_info they get. */
import test from "ava";
import fc from "fast-check";
import { StartInfo } from "../../../abi/xen.ts";
import { BuildError } from "../../../toolstack/control/builder/build-error.ts";
import { type Kernel, parseKernel, type PvKernel } from "../../../toolstack/control/builder/elf.ts";
import type { Image } from "../../../toolstack/control/builder/image.ts";
import { planPvGuest, tableCount } from "../../../toolstack/control/builder/pv-layout.ts";
import {
  checkPvCommandLine,
  makeFrameList,
  makePageTables,
  makePvStartInfo,
  virtualWords,
} from "../../../toolstack/control/builder/pv-start.ts";
import { type ElfOptions, makeElf } from "./make-elf.ts";

const PAGE = 4096;
const MIB = 1024 * 1024;
/** As LightVM's Mini-OS has it: what is behind the first NUL is not read. */
const MINI_OS =
  "GUEST_OS=Mini-OS,XEN_VER=xen-3.0,VIRT_BASE=0x0,ELF_PADDR_OFFSET=0x0,HYPERCALL_PAGE=0x2,LOADER=generic," +
  "FEATURES=!writable_descriptor_tables|hvm_callback_vector|auto_translated_physmap|supervisor_mode_kernel\0" +
  ",SUPPORTED_FEATURES=0x10d\0";
const CONTAINER = "auto_translated_physmap|supervisor_mode_kernel|hvm_callback_vector";
const code = new Uint8Array(0x3000).fill(0x90);
const mini: ElfOptions = {
  entry: null,
  segments: [{ address: 0, data: code, memorySize: 0x9000 }],
  guestSection: MINI_OS,
};

function image(options: ElfOptions): Image {
  const { bytes } = makeElf(options);
  return {
    name: "k",
    size: bytes.length,
    address: 0,
    read(offset, length) {
      if (offset < 0 || offset + length > bytes.length) throw new RangeError("read beyond the image");
      return bytes.slice(offset, offset + length);
    },
  };
}

function pv(options: ElfOptions): PvKernel {
  const kernel: Kernel = parseKernel(image(options));
  if (kernel.kind !== "pvhv1") throw new Error("not a PVHv1 kernel");
  return kernel;
}

test("the section of LightVM's Mini-OS", (t) => {
  t.like(pv(mini), { virtBase: 0n, entry: 0, hypercallPage: 0x2000 });
  t.is(pv({ ...mini, elfEntry: 0x123n }).entry, 0x123);
  t.is(pv({ ...mini, guestSection: `VIRT_ENTRY=0x40,${MINI_OS}` }).entry, 0x40);
});

test("a section without a physical offset: physical addresses are the virtual ones", (t) => {
  const section = `GUEST_OS=linux,XEN_VER=xen-3.0,VIRT_BASE=4194304,FEATURES=${CONTAINER}`;
  const kernel = pv({
    entry: null,
    elfEntry: 0x401010n,
    segments: [{ address: 0x401000, data: code }],
    guestSection: section,
  });
  t.like(kernel, { virtBase: 0x400000n, entry: 0x1010, hypercallPage: null });
  t.deepEqual(
    kernel.segments.map((s) => s.address),
    [0x1000],
  );
});

test("notes, as Linux had them, at a high virtual address", (t) => {
  const base = 0xffffffff80000000n;
  const kernel = pv({
    entry: null,
    segments: [{ address: 0x1000000, data: code, memorySize: 0x5000 }],
    notes: [
      [5, "xen-3.0"],
      [6, "linux"],
      [3, base],
      [1, base + 0x1000200n],
      [2, base + 0x1001000n],
      [10, "!writable_page_tables|pae_pgdir_above_4gb"],
      [17, 0x10d],
    ],
    // Not read where there are notes.
    guestSection: "VIRT_BASE=0x1",
  });
  t.like(kernel, { virtBase: base, entry: 0x1000200, hypercallPage: 0x1001000 });
  t.deepEqual(virtualWords(kernel, 0x1000200), [0x81000200, 0xffffffff]);
});

test("a PVH entry decides, whatever else an image says", (t) => {
  t.is(parseKernel(image({ guestSection: MINI_OS })).kind, "pvh");
});

const refused: [string, ElfOptions, RegExp][] = [
  [
    "features that a container needs are missing",
    { ...mini, guestSection: "XEN_VER=xen-3.0,LOADER=generic,FEATURES=auto_translated_physmap" },
    /PV kernel without a PVH entry .* does not support supervisor_mode_kernel, hvm_callback_vector/,
  ],
  ["no features", { ...mini, guestSection: "XEN_VER=xen-3.0,LOADER=generic" }, /PV kernel without a PVH entry/],
  ["an empty section", { ...mini, guestSection: "" }, /PV kernel without a PVH entry/],
  [
    "it requires what no guest has",
    { ...mini, guestSection: MINI_OS.replace("FEATURES=", "FEATURES=!dom0|!time_travel|") },
    /requires dom0, time_travel, which no guest has here/,
  ],
  [
    "another loader",
    { ...mini, guestSection: MINI_OS.replace("generic", "special") },
    /loader "special"; Xen's is "generic"/,
  ],
  ["another interface", { ...mini, guestSection: MINI_OS.replace("xen-3.0", "xen-2.0") }, /"xen-2.0"; "xen-3.0" is/],
  [
    "a number that is none",
    { ...mini, guestSection: MINI_OS.replace("VIRT_BASE=0x0", "VIRT_BASE=zero") },
    /VIRT_BASE="zero", which is no number/,
  ],
  [
    "an offset without a base",
    { ...mini, guestSection: MINI_OS.replace("VIRT_BASE=0x0,", "") },
    /a physical offset without a virtual base/,
  ],
  [
    "a base within a page",
    { ...mini, guestSection: MINI_OS.replace("VIRT_BASE=0x0", "VIRT_BASE=0x10") },
    /virtual base 0x10 is no address of a page/,
  ],
  [
    "a base that is not canonical",
    { ...mini, guestSection: MINI_OS.replace("VIRT_BASE=0x0", "VIRT_BASE=0x800000000000") },
    /virtual base 0x800000000000 is no address of a page/,
  ],
  [
    "an offset beyond all memory",
    { ...mini, guestSection: MINI_OS.replace("ELF_PADDR_OFFSET=0x0", "ELF_PADDR_OFFSET=0xffffffff80000000") },
    /physical addresses, from 0xffffffff80000000 on, are none of memory/,
  ],
  [
    "a segment below the offset",
    { ...mini, guestSection: MINI_OS.replace("ELF_PADDR_OFFSET=0x0", "ELF_PADDR_OFFSET=0x1000") },
    /segment at 0x0 is below its physical offset 0x1000/,
  ],
  ["an entry outside", { ...mini, elfEntry: 0x9000n }, /entry point 0x9000 is outside the image/],
  ["an entry without bytes", { ...mini, elfEntry: 0x8000n }, /entry point 0x8000 is outside its segments/],
  [
    "an entry below the base",
    { ...mini, guestSection: MINI_OS.replace("VIRT_BASE=0x0", "VIRT_BASE=0x100000") },
    /entry point 0x0 is outside the image/,
  ],
  [
    "a hypercall page outside",
    { ...mini, guestSection: MINI_OS.replace("HYPERCALL_PAGE=0x2", "HYPERCALL_PAGE=0x9") },
    /hypercall page 0x9000 is outside the image/,
  ],
  [
    "a hypercall page within two",
    {
      entry: null,
      segments: [{ address: 0, data: code }],
      notes: [
        [8, "generic"],
        [5, "xen-3.0"],
        [10, CONTAINER],
        [3, 0n],
        [2, 0x1800n],
      ],
    },
    /hypercall page is at 0x1800, which is no page/,
  ],
  ["a 32-bit kernel", { ...mini, wide: false }, /a 32-bit PV kernel: PVHv1 guests are 64-bit/],
  [
    "nothing for Xen at all",
    { ...mini, guestSection: undefined },
    /no XEN_ELFNOTE_PHYS32_ENTRY note: not a PVH kernel/,
  ],
];
for (const [what, options, message] of refused) {
  test(`refused with reason: ${what}`, (t) => {
    t.regex(t.throws(() => parseKernel(image(options)), { instanceOf: BuildError })!.message, message);
  });
}

test("any text in the section is refused or harmless", (t) => {
  const keys = ["VIRT_BASE", "ELF_PADDR_OFFSET", "HYPERCALL_PAGE", "VIRT_ENTRY", "LOADER", "XEN_VER", "FEATURES"];
  const pair = fc.tuple(
    fc.constantFrom(...keys),
    fc.oneof(
      fc.string(),
      fc.nat().map((n) => `0x${n.toString(16)}`),
      fc.nat().map(String),
    ),
  );
  const text = fc.oneof(
    fc.string({ maxLength: 200 }),
    fc.array(pair).map((pairs) => `${MINI_OS.split("\0")[0]},${pairs.map(([k, v]) => `${k}=${v}`).join(",")}`),
  );
  fc.assert(
    fc.property(text, (guestSection) => {
      try {
        const kernel = parseKernel(image({ ...mini, guestSection }));
        return kernel.entry >= 0 && kernel.entry < 0x9000;
      } catch (error) {
        return error instanceof BuildError;
      }
    }),
    { numRuns: 300 },
  );
  t.pass();
});

test("any single damaged byte of a file with a section is refused or harmless", (t) => {
  const { bytes } = makeElf({ ...mini, segments: [{ address: 0, data: code.subarray(0, 0x30), memorySize: 0x9000 }] });
  for (let at = 0; at < bytes.length; at++) {
    for (const value of [0x00, 0x2c, 0x80, 0xff]) {
      const damaged = Buffer.from(bytes);
      damaged[at] = value;
      try {
        parseKernel({
          name: "k",
          size: damaged.length,
          address: 0,
          read(offset, length) {
            if (offset < 0 || offset + length > damaged.length) throw new RangeError("read beyond the image");
            return damaged.subarray(offset, offset + length);
          },
        });
      } catch (error) {
        if (!(error instanceof BuildError)) t.fail(`byte ${at} = ${value}: ${String(error)}`);
      }
    }
  }
  t.pass();
});

// --- Layout --------------------------------------------------------------------------------------------------------------

const kernelAt = (virtBase: bigint): PvKernel => ({ ...pv(mini), virtBase });

test("what is where, in the order of Xen's builder", (t) => {
  const layout = planPvGuest("k", kernelAt(0n), 5000, 32 * MIB);
  t.like(layout, {
    ramdisk: 0x9000,
    frameList: 0xb000,
    startInfo: 0x1b000,
    storePage: 0x1c000,
    consolePage: 0x1d000,
    sharedInfo: 0x1e000,
    pageTables: 0x1f000,
    bootStack: 0x24000,
    lowRam: 32 * MIB,
    extraGfns: [],
  });
  // 4 MiB: one table of each upper level, two of the lowest.
  t.is(layout.tables.pages, 1024);
  t.is(tableCount(layout.tables), 5);
});

test("it must fit, and be mapped in one piece", (t) => {
  const plan = (memory: number, base = 0n, ramdisk = 0) => planPvGuest("k", kernelAt(base), ramdisk, memory);
  const message = (...args: Parameters<typeof plan>) =>
    t.throws(() => plan(...args), { instanceOf: BuildError })!.message;
  t.notThrows(() => plan(4 * MIB));
  t.regex(message(3 * MIB), /not enough memory: its first page tables map 4 MiB .* the guest has 3 MiB/);
  t.notThrows(() => plan(8 * MIB, 0n, 4 * MIB));
  t.regex(message(8 * MIB, 0n, 7.5 * MIB), /first page tables map 12 MiB .* the guest has 8 MiB/);
  t.regex(message(3073 * MIB), /at most/);
  t.regex(message(0), /larger than the guest's memory/);
  t.regex(message(16 * MIB, 0xfffffffffffff000n), /no room for it behind its virtual base/);
  t.regex(message(16 * MIB, 0x7ffffffff000n), /no room/);
});

/** Walks page tables as the processor does: the physical address, or -1. */
function walk(tables: Uint8Array, base: number, va: bigint): number {
  const view = new DataView(tables.buffer, tables.byteOffset, tables.byteLength);
  let table = 0;
  for (let shift = 39n; shift >= 12n; shift -= 9n) {
    const entry = Number(view.getBigUint64(table + 8 * Number((va >> shift) & 511n), true));
    if ((entry & 3) !== 3) return -1;
    const address = Math.floor(entry / PAGE) * PAGE;
    if (shift === 12n) return address + Number(va & 0xfffn);
    table = address - base;
    if (table < 0 || table >= tables.length) throw new Error(`a table at 0x${address.toString(16)}`);
  }
  return -1;
}

test("the page tables map guest-physical 0 up at the virtual base, and nothing else", (t) => {
  const bases = [
    0n,
    0x1000n,
    0x100000n,
    0x3ff000n,
    0x3fffe000n,
    0x7fc0000000n,
    0xffffffff80000000n,
    0xffff880000000000n,
  ];
  for (const base of bases) {
    const kernel = kernelAt(base);
    const layout = planPvGuest("k", kernel, 9 * MIB, 64 * MIB);
    const tables = makePageTables(layout.tables, layout.pageTables);
    t.is(tables.length, tableCount(layout.tables) * PAGE);
    const mapped = layout.tables.pages * PAGE;
    t.is((Number(base % BigInt(4 * MIB)) + mapped) % (4 * MIB), 0);
    t.true(mapped >= layout.bootStack + PAGE + 512 * 1024 && mapped < layout.bootStack + 5 * MIB);
    const asked = [0, 1, PAGE, layout.startInfo, layout.pageTables, mapped - PAGE, mapped - 1];
    for (const address of asked) t.is(walk(tables, layout.pageTables, base + BigInt(address)), address, `${base}`);
    t.is(walk(tables, layout.pageTables, base + BigInt(mapped)), -1);
    if (base > 0n) t.is(walk(tables, layout.pageTables, base - 1n), -1);
    let entries = 0;
    for (let at = 0; at < tables.length; at += 8) if (tables[at]! & 1) entries++;
    t.is(entries, layout.tables.pages + tableCount(layout.tables) - 1, "each page and each table once");
  }
});

test("start_info", (t) => {
  const kernel = kernelAt(0xffffffff80000000n);
  const layout = planPvGuest("k", kernel, 5000, 32 * MIB);
  const rings = { id: 1, consoleGfn: 29, consolePort: 3, storeGfn: 28, storePort: 4 };
  const bytes = makePvStartInfo(kernel, layout, rings, Buffer.from("a=b"), 5000);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (at: number): string => Buffer.from(bytes.subarray(at, bytes.indexOf(0, at))).toString();
  const u64 = (at: number): bigint => view.getBigUint64(at, true);
  t.is(text(StartInfo.magic), "xen-3.0-x86_64");
  t.is(u64(StartInfo.nr_pages), 8192n);
  t.is(u64(StartInfo.shared_info), BigInt(layout.sharedInfo), "guest-physical");
  t.is(u64(StartInfo.store_mfn), 28n);
  t.is(view.getUint32(StartInfo.store_evtchn, true), 4);
  t.is(u64(StartInfo.console_mfn), 29n);
  t.is(view.getUint32(StartInfo.console_evtchn, true), 3);
  t.is(u64(StartInfo.pt_base), 0xffffffff80000000n + BigInt(layout.pageTables));
  t.is(u64(StartInfo.nr_pt_frames), 5n);
  t.is(u64(StartInfo.mfn_list), 0xffffffff80000000n + BigInt(layout.frameList));
  t.is(u64(StartInfo.mod_start), 0xffffffff80000000n + BigInt(layout.ramdisk));
  t.is(u64(StartInfo.mod_len), 5000n);
  t.is(text(StartInfo.cmd_line), "a=b");
  const without = makePvStartInfo(kernel, layout, rings, new Uint8Array(0), 0);
  t.is(new DataView(without.buffer).getBigUint64(StartInfo.mod_start, true), 0n);
  t.notThrows(() => checkPvCommandLine("k", new Uint8Array(1023)));
  t.throws(() => checkPvCommandLine("k", new Uint8Array(1024)), { message: /1024 bytes; a PVHv1 kernel takes 1023/ });
});

test("the list of frames, of any length, is the numbers in order", (t) => {
  for (const count of [8192, 100, 8192, 200 * 1024, 300]) {
    const list = makeFrameList(count);
    t.is(list.length, count * 8);
    const view = new DataView(list.buffer, list.byteOffset, list.byteLength);
    for (const n of [0, 1, Math.floor(count / 2), count - 1]) t.is(view.getBigUint64(8 * n, true), BigInt(n));
  }
});
