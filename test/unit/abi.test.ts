/**
 * Every offset, size and number in abi/ against Xen 4.17's public headers (Debian's libxen-dev): a C program made from the
 * declarations prints what the compiler says of each.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";

const ABI = new URL("../../abi/", import.meta.url);
/** Ours, or a later Xen's: no header to hold them against. */
const OURS = new Set([
  "acpi-sleep.ts",
  "boot-info.ts",
  "software.ts",
  "domain0-layout.ts",
  "host-state.ts",
  "codec.ts",
  "tls.ts",
  "net.ts",
  "domain-state.ts",
]);
/** Of abi/io/, the files of Xen's headers; the others are the I/O domain's own, or devices'. io/blkif.ts, which has 32-bit layouts too,
 * has a test of its own. */
const XENS_IO = new Set(["io/ring.ts", "io/netif.ts", "io/xenbus.ts"]);
const HEADERS = [
  "xen.h",
  "errno.h",
  "version.h",
  "features.h",
  "sched.h",
  "vcpu.h",
  "event_channel.h",
  "grant_table.h",
  "memory.h",
  "physdev.h",
  "domctl.h",
  "sysctl.h",
  "hvm/hvm_op.h",
  "hvm/params.h",
  "hvm/save.h",
  "hvm/hvm_vcpu.h",
  "hvm/dm_op.h",
  "platform.h",
  "arch-x86/hvm/start_info.h",
  "elfnote.h",
  "io/console.h",
  "io/xs_wire.h",
  "io/netif.h",
  "io/xenbus.h",
];

interface Item {
  file: string;
  name: string;
  ours: number;
  c: string;
}

/** `export const NAME: type = number; // C: expression` at top level, and in namespaces preceded by `// C: struct x`. */
function declarations(file: string): Item[] {
  const items: Item[] = [];
  let structure: { name: string; c: string } | null = null;
  let pending = "";
  for (const line of readFileSync(new URL(file, ABI), "utf8").split("\n")) {
    const comment = /^\/\/ C: (.+)$/.exec(line);
    if (comment) pending = comment[1]!;
    const open = /^export namespace (\w+)/.exec(line);
    if (open) {
      structure = { name: open[1]!, c: pending };
      pending = "";
    } else if (line.startsWith("}")) {
      structure = null;
    }
    const constant =
      /^\s*export const (\w+): [ui]\d+ = (-?(?:0x)?[0-9a-fA-F_]+);(?:.*\/\/ C: ([^;]+?))?\s*(?:\/\/.*)?$/.exec(line);
    if (!constant) continue;
    const [, name, value, expression] = constant as unknown as [string, string, string, string | undefined];
    const ours = Number(value.replaceAll("_", ""));
    if (!structure) {
      const c = expression ?? (file === "errno.ts" ? `XEN_${name}` : name);
      items.push({ file, name, ours, c });
    } else if (structure.c) {
      const c = name === "SIZE" ? `sizeof(${structure.c})` : `offsetof(${structure.c}, ${expression ?? name})`;
      items.push({ file, name: `${structure.name}.${name}`, ours, c });
    }
  }
  return items;
}

/** What a C compiler says otherwise of the items than ours. */
function disagreements(items: Item[], headers: string[], flags: string[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), "abi-"));
  try {
    const source = [
      "#include <stddef.h>",
      "#include <stdint.h>",
      "#include <stdio.h>",
      "#define __XEN_TOOLS__ 1",
      "#define __XEN_INTERFACE_VERSION__ 0x00041100",
      ...headers.map((header) => `#include <${header}>`),
      "int main(void) {",
      ...items.map((item, i) => `  printf("${i} %llu\\n", (unsigned long long)(${item.c}));`),
      "}",
    ].join("\n");
    writeFileSync(join(folder, "abi.c"), source);
    execFileSync("gcc", ["-w", ...flags, "-o", join(folder, "abi"), join(folder, "abi.c")], { stdio: "pipe" });
    const lines = execFileSync(join(folder, "abi"), { encoding: "utf8" }).trim().split("\n");
    return lines
      .map((line) => line.split(" ").map(BigInt) as [bigint, bigint])
      .filter(([i, value]) => {
        const ours = BigInt(items[Number(i)]!.ours);
        return BigInt.asUintN(64, ours) !== value && BigInt.asUintN(32, ours) !== BigInt.asUintN(32, value);
      })
      .map(
        ([i, value]) =>
          `${items[Number(i)]!.file} ${items[Number(i)]!.name}: ${items[Number(i)]!.ours}, the header says ${value}`,
      );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("abi/ agrees with Xen 4.17's public headers", (t) => {
  t.true(existsSync("/usr/include/xen/xen.h"), "install libxen-dev: apt-get install libxen-dev");
  const items = readdirSync(ABI, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts") && !OURS.has(file))
    .filter((file) => !file.startsWith("io/") || XENS_IO.has(file))
    .flatMap(declarations);
  t.true(items.some(({ file }) => file === "io/netif.ts"));
  t.true(items.length > 400, `only ${items.length} declarations were found: the parser of this test no longer fits`);
  const headers = HEADERS.map((header) => `xen/${header}`);
  t.deepEqual(disagreements(items, headers, []), []);
});

test("abi/io/noxs.ts agrees with the header that guests are built with", (t) => {
  // The header names no bits, and no address of ours.
  const items = declarations("io/noxs.ts").filter(
    (item) => !/^NOXS_(VIF|VBD|SYSCTL)_|^NOXS_DEVICE_PAGE$/.test(item.name),
  );
  t.true(items.length > 60, `only ${items.length} declarations were found: the parser of this test no longer fits`);
  t.deepEqual(disagreements(items, ["noxs.h"], ["-I", new URL("../../guests/lib", import.meta.url).pathname]), []);
});
