/** abi/io/blkif.ts against xen/io/blkif.h, for 64-bit code and for 32-bit x86 code: as assertions that the C compiler checks. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import * as blkif from "../../../../abi/io/blkif.ts";

type Offsets = Record<string, number>;

function asserts(struct: string, offsets: Offsets): string[] {
  return Object.entries(offsets).map(([field, offset]) =>
    field === "SIZE"
      ? `_Static_assert(sizeof(struct ${struct}) == ${offset}, "${struct}");`
      : `_Static_assert(__builtin_offsetof(struct ${struct}, ${field}) == ${offset}, "${struct}.${field}");`,
  );
}

function compile(options: string[], lines: string[]): void {
  const folder = mkdtempSync(join(tmpdir(), "blkif-"));
  try {
    const file = join(folder, "blkif.c");
    const head = ["#include <stdint.h>", "#include <stddef.h>", "#include <xen/io/blkif.h>"];
    writeFileSync(file, [...head, ...lines].join("\n"));
    execFileSync("gcc", [...options, "-ffreestanding", "-fsyntax-only", "-w", file], { stdio: "pipe" });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("layouts of 64-bit frontends, and numbers", (t) => {
  const numbers = Object.entries(blkif)
    .filter(
      ([name, value]) => typeof value === "number" && /^(BLKIF_OP|BLKIF_MAX|BLKIF_DISCARD|BLKIF_RSP|VDISK)/.test(name),
    )
    .map(([name, value]) => `_Static_assert(${name} == ${value as unknown as number}, "${name}");`);
  t.true(numbers.length >= 15);
  compile(
    [],
    [
      ...numbers,
      ...asserts("blkif_request_segment", blkif.BlkifSegment),
      ...asserts("blkif_request", blkif.BlkifRequest),
      ...asserts("blkif_request_discard", blkif.BlkifRequestDiscard),
      ...asserts("blkif_request_indirect", blkif.BlkifRequestIndirect),
      ...asserts("blkif_response", blkif.BlkifResponse),
      `_Static_assert(sizeof(union blkif_sring_entry) == ${blkif.BLKIF_SLOT}, "slot");`,
    ],
  );
  t.throws(() => compile([], asserts("blkif_request", { id: 4 })));
});

test("layouts of 32-bit frontends", (t) => {
  const lines = [
    ...asserts("blkif_request", blkif.BlkifRequest32),
    ...asserts("blkif_request_discard", blkif.BlkifRequestDiscard32),
    ...asserts("blkif_request_indirect", blkif.BlkifRequestIndirect32),
    ...asserts("blkif_response", { id: 0, operation: 8, status: 10 }),
    `_Static_assert(sizeof(union blkif_sring_entry) == ${blkif.BLKIF_SLOT_32}, "slot");`,
  ];
  t.notThrows(() => compile(["-m32"], lines));
});
