/** Debian's packages for an initramfs: what programs need, and where it is found. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { elfNeeds } from "../../../scripts/linux/elf.ts";
import { mergedPath, packageFiles } from "../../../scripts/linux/package-files.ts";

/** A 64-bit ELF file with an interpreter and a dynamic section, loaded at an address of its own. */
function makeElf(libraries: string[], interpreter?: string, folders = ""): Buffer {
  const ADDRESS = 0x400000;
  const headers = [1, 2, ...(interpreter === undefined ? [] : [3])];
  const names = Buffer.from(`\0${[...libraries, folders].join("\0")}\0`, "latin1");
  const namesAt = 64 + 56 * headers.length;
  const interpAt = namesAt + names.length;
  const interp = Buffer.from(interpreter === undefined ? "" : `${interpreter}\0`, "latin1");
  const dynamicAt = Math.ceil((interpAt + interp.length) / 8) * 8;
  let offset = 1;
  const entries: [number, number][] = libraries.map((name) => {
    offset += name.length + 1;
    return [1, offset - name.length - 1];
  });
  if (folders !== "") entries.push([29, offset]);
  entries.push([5, ADDRESS + namesAt], [0, 0]);
  const file = Buffer.alloc(dynamicAt + 16 * entries.length);
  file.write("\x7fELF\x02\x01\x01", 0, "latin1");
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(headers.length, 56);
  const places = { 1: [0, file.length], 2: [dynamicAt, 16 * entries.length], 3: [interpAt, interp.length] };
  headers.forEach((type, i) => {
    const [start, size] = places[type as keyof typeof places] as [number, number];
    file.writeUInt32LE(type, 64 + 56 * i);
    file.writeBigUInt64LE(BigInt(start), 64 + 56 * i + 8);
    file.writeBigUInt64LE(BigInt(ADDRESS + start), 64 + 56 * i + 16);
    file.writeBigUInt64LE(BigInt(size), 64 + 56 * i + 32);
  });
  names.copy(file, namesAt);
  interp.copy(file, interpAt);
  entries.forEach(([tag, value], i) => {
    file.writeBigUInt64LE(BigInt(tag), dynamicAt + 16 * i);
    file.writeBigUInt64LE(BigInt(value), dynamicAt + 16 * i + 8);
  });
  return file;
}

test("an ELF file names its dynamic linker and its libraries", (t) => {
  const program = makeElf(["libm.so.6", "libc.so.6"], "/lib64/ld-linux-x86-64.so.2");
  t.deepEqual(elfNeeds(program), {
    interpreter: "/lib64/ld-linux-x86-64.so.2",
    libraries: ["libm.so.6", "libc.so.6"],
    folders: [],
  });
  t.deepEqual(elfNeeds(makeElf([])), { interpreter: undefined, libraries: [], folders: [] });
  t.deepEqual(elfNeeds(makeElf(["libx.so"], undefined, "/usr/lib/x:$ORIGIN/y")).folders, ["/usr/lib/x", "$ORIGIN/y"]);
  t.throws(() => elfNeeds(program.subarray(0, program.length - 60)), { instanceOf: RangeError });
});

/** A program as tests have it, with the dynamic linker of libc6. */
const LINKER = "/lib64/ld-linux-x86-64.so.2";

/** Unpacked packages in a folder of their own: files by path, links as `-> target`. */
function packages(
  t: ExecutionContext,
  content: Record<string, { depends: string[]; files: Record<string, string | Buffer> }>,
) {
  const root = mkdtempSync(path.join(os.tmpdir(), "typevisor-packages-"));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const asked: string[] = [];
  for (const [name, { files }] of Object.entries(content)) {
    for (const [file, data] of Object.entries(files)) {
      const real = path.join(root, name, file);
      mkdirSync(path.dirname(real), { recursive: true });
      if (typeof data === "string" && data.startsWith("-> ")) symlinkSync(data.slice(3), real);
      else writeFileSync(real, data, { mode: 0o755 });
    }
  }
  const unpacked = (name: string) => {
    asked.push(name);
    return path.join(root, name);
  };
  return { asked, source: { unpacked, dependencies: (name: string) => content[name]!.depends } };
}

const LIBC = {
  depends: ["libgcc-s1"],
  files: {
    "lib/x86_64-linux-gnu/libc.so.6": makeElf(["ld-linux-x86-64.so.2"]),
    "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2": makeElf([]),
    "lib/x86_64-linux-gnu/libm.so.6": makeElf(["libc.so.6"]),
    "lib64/ld-linux-x86-64.so.2": "-> /lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    "usr/share/doc/libc6/copyright": "words",
  },
};
/** libc loads it by name: nothing says so in its headers. */
const LIBGCC = { depends: ["libc6"], files: { "lib/x86_64-linux-gnu/libgcc_s.so.1": makeElf(["libc.so.6"]) } };

test("packages come with the libraries that their programs need, and no more", (t) => {
  const { source, asked } = packages(t, {
    tool: {
      depends: ["libc6", "libunused1", "libfoo1"],
      files: {
        "usr/bin/tool": makeElf(["libfoo.so.1", "libc.so.6"], LINKER),
        "usr/bin/other-name": "-> tool",
        "usr/bin/dangling": "-> ../lib/elsewhere",
        "usr/share/man/man1/tool.1.gz": "words",
        "etc/tool.conf": "a = b",
      },
    },
    libfoo1: {
      depends: ["libc6", "libbar2"],
      files: {
        "usr/lib/x86_64-linux-gnu/libfoo.so.1": "-> libfoo.so.1.2.3",
        "usr/lib/x86_64-linux-gnu/libfoo.so.1.2.3": makeElf(["libbar.so.2", "libc.so.6"]),
        "usr/lib/x86_64-linux-gnu/libfoo-extra.so.1": makeElf(["libgone.so.1"]),
      },
    },
    libbar2: { depends: ["libc6"], files: { "lib/libbar.so.2": makeElf(["libc.so.6"]) } },
    libunused1: { depends: [], files: { "usr/lib/x86_64-linux-gnu/libunused.so.1": makeElf([]) } },
    libc6: LIBC,
    "libgcc-s1": LIBGCC,
  });
  const entries = packageFiles(source, ["tool"]);
  t.deepEqual(
    entries.map((entry) => (entry.kind === "link" ? `${entry.path} -> ${entry.target}` : entry.path)),
    [
      "etc/tool.conf",
      "usr/bin/dangling -> ../lib/elsewhere",
      "usr/bin/other-name -> tool",
      "usr/bin/tool",
      "usr/lib/libbar.so.2",
      "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
      "usr/lib/x86_64-linux-gnu/libc.so.6",
      "usr/lib/x86_64-linux-gnu/libfoo.so.1 -> libfoo.so.1.2.3",
      "usr/lib/x86_64-linux-gnu/libfoo.so.1.2.3",
      "usr/lib/x86_64-linux-gnu/libgcc_s.so.1",
      "usr/lib64/ld-linux-x86-64.so.2 -> /lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    ],
  );
  t.deepEqual(
    asked.toSorted(),
    ["libbar2", "libc6", "libfoo1", "libgcc-s1", "tool"],
    "what is not needed is not fetched",
  );
});

test("of a package some files can be chosen, which come with their libraries; none at all is an error", (t) => {
  const { source } = packages(t, {
    tool: {
      depends: ["libc6"],
      files: {
        "usr/bin/tool": makeElf(["libc.so.6"], LINKER),
        "usr/bin/plugin": makeElf(["libgone.so.1"]),
        "etc/tool.conf": "a = b",
      },
    },
    libc6: LIBC,
    "libgcc-s1": LIBGCC,
  });
  const entries = packageFiles(source, [{ name: "tool", files: /^usr\/bin\/tool$/ }]);
  t.deepEqual(
    entries.map((entry) => entry.path),
    [
      "usr/bin/tool",
      "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
      "usr/lib/x86_64-linux-gnu/libc.so.6",
      "usr/lib/x86_64-linux-gnu/libgcc_s.so.1",
      "usr/lib64/ld-linux-x86-64.so.2",
    ],
  );
  t.throws(() => packageFiles(source, [{ name: "tool", files: /^usr\/sbin\// }]), {
    message: "tool has none of the files wanted of it",
  });
});

test("libraries are also found in the folders that a program or a library names", (t) => {
  const { source } = packages(t, {
    tool: {
      depends: ["libc6", "libfoo1"],
      files: {
        "bin/tool": makeElf(["libfoo.so.1", "libown.so"], LINKER, "$ORIGIN/../lib/tool:$LIB/x"),
        "lib/tool/libown.so": makeElf([]),
      },
    },
    libfoo1: {
      depends: ["libc6", "libbar2"],
      files: { "usr/lib/libfoo.so.1": makeElf(["libbar.so.2"], undefined, "/lib/x86_64-linux-gnu/bar/") },
    },
    libbar2: { depends: ["libc6"], files: { "usr/lib/x86_64-linux-gnu/bar/libbar.so.2": makeElf([]) } },
    libc6: LIBC,
    "libgcc-s1": LIBGCC,
  });
  const found = packageFiles(source, ["tool"]).map((entry) => entry.path);
  t.true(found.includes("usr/lib/tool/libown.so"));
  t.true(found.includes("usr/lib/x86_64-linux-gnu/bar/libbar.so.2"));
});

test("a library in none of the packages that a package depends on is an error that names it", (t) => {
  const { source } = packages(t, {
    tool: { depends: ["libc6"], files: { "usr/bin/tool": makeElf(["libfoo.so.1"], LINKER) } },
    libc6: LIBC,
    "libgcc-s1": LIBGCC,
  });
  t.throws(() => packageFiles(source, ["tool"]), {
    message: "usr/bin/tool of tool needs libfoo.so.1, which is in no package that it depends on",
  });
});

test("paths are those of a merged /usr", (t) => {
  const paths = ["/lib64/ld.so", "bin/sh", "usr/bin/sh", "etc/bin/x", "library/x"];
  t.deepEqual(paths.map(mergedPath), ["usr/lib64/ld.so", "usr/bin/sh", "usr/bin/sh", "etc/bin/x", "library/x"]);
});
