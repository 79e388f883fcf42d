/** `npm pack`: the package, installed in an empty folder, used without a compiler. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { fromRoot } from "../../scripts/paths.ts";
import { BOOT_MS, COMMAND_MS, GUEST_MS } from "./support/boot.ts";
import { Start } from "./support/start.ts";

/** More than images and bundles have, and less than sources, tests or npm packages would add. */
const PACKED_MOST = 8 * 1024 * 1024;

/** What the package needs beside Node. */
const PROGRAMS = ["sh", "env", "qemu-system-x86_64"];

interface Said {
  status: number | null;
  out: string;
  err: string;
}

/** A command's end; one that does not come within `GUEST_MS` is made. */
async function command(words: string[], cwd: string, env: NodeJS.ProcessEnv): Promise<Said> {
  const child = spawn(words[0]!, words.slice(1), { cwd, env, timeout: GUEST_MS });
  let [out, err] = ["", ""];
  child.stdout.on("data", (bytes: Buffer) => (out += bytes.toString()));
  child.stderr.on("data", (bytes: Buffer) => (err += bytes.toString()));
  child.stdin.end();
  const [status] = (await once(child, "close")) as [number | null];
  return { status, out, err };
}

/** The environment without what npm has told this process. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_|^NODE_OPTIONS$|^CHAOS_/i.test(name)),
  );
}

/** A folder of programs: Node with npm, and QEMU; no compiler. */
function programs(folder: string): string {
  mkdirSync(folder);
  symlinkSync(process.execPath, path.join(folder, "node"));
  const folders = [path.dirname(process.execPath), ...(process.env.PATH ?? "").split(path.delimiter)];
  for (const name of [...PROGRAMS, "npm", "npx"]) {
    const found = folders.map((one) => path.join(one, name)).find((file) => statSync(file, { throwIfNoEntry: false }));
    if (found === undefined) throw new Error(`${name} is not on PATH`);
    symlinkSync(found, path.join(folder, name));
  }
  return folder;
}

/** Every file below a folder, and when it was written. */
function stateOf(folder: string): string[] {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
  return files.map((name) => `${name} ${statSync(path.join(folder, name)).mtimeMs}`);
}

/** Packs, and installs the package in an empty folder. */
async function install(t: ExecutionContext, folder: string): Promise<string> {
  const env = plainEnvironment();
  const packed = await command(["npm", "pack", "--json", "--pack-destination", folder], fromRoot("."), env);
  t.is(packed.status, 0, packed.err);
  const file = readdirSync(folder).find((name) => name.endsWith(".tgz"))!;
  const { size } = statSync(path.join(folder, file));
  t.log(`${file}: ${(size / 1024 / 1024).toFixed(1)} MiB`);
  t.true(size < PACKED_MOST, `${size} bytes`);
  const home = path.join(folder, "empty");
  mkdirSync(home);
  const words = ["npm", "install", "--prefer-offline", "--no-audit", "--no-fund", path.join("..", file)];
  const installed = await command(words, home, env);
  t.is(installed.status, 0, installed.err);
  return home;
}

test.serial(
  "npm pack: installed in an empty folder, it boots a machine and runs programs, without a compiler",
  async (t) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-package-"));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const cwd = await install(t, folder);
    const installed = path.join(cwd, "node_modules/typevisor");
    const before = stateOf(installed);
    t.regex(readFileSync(path.join(installed, "dist/LICENSES.txt"), "utf8"), /^lwip_[^]*^mbedtls_[^]*^commander /m);
    t.regex(readFileSync(path.join(installed, "NOTICE"), "utf8"), /^Typevisor\n/);

    const [runtime, data] = [path.join(folder, "run"), path.join(folder, "data")];
    mkdirSync(runtime);
    const env = {
      ...plainEnvironment(),
      PATH: programs(path.join(folder, "bin")),
      XDG_RUNTIME_DIR: runtime,
      XDG_DATA_HOME: data,
    };
    const npx = (...words: string[]) => command(["npx", "--no-install", ...words], cwd, env);
    const good = async (...words: string[]) => {
      const said = await npx(...words);
      t.is(said.status, 0, `${words.join(" ")}: ${said.err}`);
      return said.out;
    };

    t.regex(await good("chaos", "--help"), /^Usage: chaos [^]*\n {2}run /);
    t.regex(await good("typevisor", "--help"), /^Usage: typevisor [^]*--forward[^]*--iso/);
    const nobody = await npx("xl", "list");
    t.is(nobody.status, 1);
    t.regex(nobody.err, /no machine runs here: `npx typevisor` starts one/);
    writeFileSync(
      path.join(cwd, "app.ts"),
      [
        'import { readFileSync } from "node:fs";',
        "const greeting: string = `from ${process.argv[2]} of the package`;",
        'console.log(greeting, readFileSync("/note.txt", "utf8"));',
        "",
      ].join("\n"),
    );
    mkdirSync(path.join(cwd, "files"));
    writeFileSync(path.join(cwd, "files/note.txt"), "packed in");
    await good("chaos", "build", "app.ts", "--files", "files", "--", "an", "image");
    t.is(readFileSync(path.join(cwd, "app.elf")).toString("latin1", 0, 4), "\x7fELF");
    writeFileSync(path.join(cwd, "wrong.ts"), 'import "node:cluster";\n');
    const wrong = await npx("chaos", "build", "wrong.ts");
    t.is(wrong.status, 1);
    t.regex(wrong.err, /wrong\.ts:1:8: "node:cluster" is neither installed nor a module of a guest's: it has .*http/);

    const machine = Start.command(t, ["npx", "--no-install", "typevisor"], false, { cwd, env });
    await machine.waitFor(/PASS hello[^]*In another terminal: npx chaos list[^]*\ntypevisor> $/, BOOT_MS);
    t.is(
      await good("chaos", "run", "app.ts", "--files", "files", "--", "inside"),
      "from inside of the package packed in\n",
    );
    const id = (
      await good("chaos", "create", "--kernel", "app.elf", "--memory", "16", "--on-poweroff", "preserve")
    ).trim();
    await machine.waitFor(new RegExp(`domain ${id} \\(app\\.elf\\) has ended: poweroff; it is kept`), COMMAND_MS);
    t.is(await good("chaos", "logs", id), "from an of the package packed in\n");
    t.regex(await good("xl", "list"), /^Name +ID +Mem VCPUs\tState\tTime\(s\)\nDomain-0 [^]*\nweb /);
    machine.type("poweroff\n");
    t.is(await machine.end(COMMAND_MS), 0, machine.text);
    t.deepEqual(readdirSync(path.join(data, "typevisor")), ["disk.img"]);
    t.deepEqual(stateOf(installed), before, "nothing is written into the package");
  },
);
