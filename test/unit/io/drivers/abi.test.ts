/**
 * Numbers and layouts of abi/io that Linux's public headers have too (Debian's linux-libc-dev, which every C compiler brings): a C
 * program made from the declarations prints what the compiler says of each.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { fromRoot } from "../../../../scripts/paths.ts";

const FILES: Record<string, string[]> = {
  "pci.ts": ["pci_regs.h"],
  "virtio.ts": ["virtio_ids.h", "virtio_config.h", "virtio_ring.h", "virtio_pci.h"],
  "virtio-net.ts": ["virtio_net.h"],
  "virtio-blk.ts": ["virtio_blk.h"],
  "virtio-console.ts": ["virtio_console.h"],
};

interface Item {
  name: string;
  ours: number;
  c: string;
}

/** As in test/unit/abi.test.ts: `export const NAME: type = number; // C: expression`, and namespaces below `// C: struct x`. */
function declarations(file: string): Item[] {
  const items: Item[] = [];
  let structure: { name: string; c: string } | null = null;
  let pending = "";
  for (const line of readFileSync(fromRoot(`abi/io/${file}`), "utf8").split("\n")) {
    const comment = /^\/\/ C: (.+)$/.exec(line);
    if (comment) pending = comment[1]!;
    const open = /^export namespace (\w+)/.exec(line);
    if (open) {
      structure = { name: open[1]!, c: pending };
      pending = "";
    } else if (line.startsWith("}")) structure = null;
    const constant = /^\s*export const (\w+): u32 = (\w+);(?:.*\/\/ C: ([^;]+?))?\s*(?:\/\/.*)?$/.exec(line);
    if (!constant) continue;
    const [, name, value, expression] = constant as unknown as [string, string, string, string | undefined];
    if (!structure) items.push({ name, ours: Number(value), c: expression ?? name });
    else {
      const plain = expression !== undefined && /^\d+$/.test(expression);
      const size = name === "SIZE" ? `sizeof(${structure.c})` : `offsetof(${structure.c}, ${expression ?? name})`;
      items.push({ name: `${structure.name}.${name}`, ours: Number(value), c: plain ? expression : size });
    }
  }
  return items;
}

test("abi/io agrees with Linux's public headers", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "abi-io-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  for (const [file, headers] of Object.entries(FILES)) {
    for (const header of headers) t.true(existsSync(`/usr/include/linux/${header}`), "install linux-libc-dev");
    const items = declarations(file);
    t.true(items.length > 15, `only ${items.length} declarations in ${file}: this test's parser no longer fits`);
    const source = [
      "#include <stddef.h>",
      "#include <stdint.h>",
      "#include <stdio.h>",
      ...headers.map((header) => `#include <linux/${header}>`),
      "int main(void) {",
      ...items.map(({ c }) => `  printf("%llu\\n", (unsigned long long)(${c}));`),
      "}",
    ].join("\n");
    writeFileSync(join(folder, "abi.c"), source);
    execFileSync("gcc", ["-w", "-o", join(folder, "abi"), join(folder, "abi.c")], { stdio: "pipe" });
    const theirs = execFileSync(join(folder, "abi"), { encoding: "utf8" }).trim().split("\n").map(Number);
    const wrong = items
      .filter(({ ours }, i) => ours !== theirs[i])
      .map(({ name, ours }, i) => `${name}: ${ours}, not ${theirs[i]}`);
    t.deepEqual(wrong, [], file);
  }
});
