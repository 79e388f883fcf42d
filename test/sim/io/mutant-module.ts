/**
 * One test build of the I/O domain's module with all deliberate mistakes in it, of which a run has one or none: they are compiled
 * once, and chosen by number.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { ascCommand, IO } from "../../../scripts/build/assembly.ts";
import { runTool } from "../../../scripts/build/task.ts";
import { buildFolder, fromRoot } from "../../../scripts/paths.ts";

/** In `file`, the single occurrence of `find` becomes `replace`, in which MUTANT is whether this mistake is the run's. */
export interface IoMutation {
  name: string;
  file: string;
  find: string;
  replace: string;
}

const CHOICE = "drivers/host/mutant";

/** The module's exports beyond those of the one that boots. */
export interface MutantExports {
  /** The mistake with this index is the run's, from 1; 0: none. */
  setMutant(index: number): void;
}

/** Compiles it. Throws if a text to break is not there exactly once. */
export async function mutantModule(mutations: IoMutation[]): Promise<WebAssembly.Module> {
  mkdirSync(buildFolder, { recursive: true });
  const folder = mkdtempSync(path.join(buildFolder, "mutant-"));
  try {
    for (const part of ["abi", "drivers", "noxs"]) cpSync(fromRoot(part), path.join(folder, part), { recursive: true });
    writeFileSync(
      path.join(folder, `${CHOICE}.ts`),
      "export let mutant: u32 = 0;\nexport function setMutant(index: u32): void {\n  mutant = index;\n}\n",
    );
    const edit = (name: string, change: (text: string) => string): void => {
      const file = path.join(folder, name);
      writeFileSync(file, change(readFileSync(file, "utf8")));
    };
    edit(IO.entry, (text) => `${text}\nexport { setMutant } from "../${CHOICE}";\n`);
    const changed = new Set<string>();
    mutations.forEach(({ name, file, find, replace }, i) => {
      edit(file, (text) => {
        const parts = text.split(find);
        if (parts.length !== 2) throw new Error(`"${name}": its text occurs ${parts.length - 1} times in ${file}`);
        return parts.join(replace.replaceAll("MUTANT", `(mutant == ${i + 1})`));
      });
      changed.add(file);
    });
    for (const file of changed) {
      const to = path.posix.relative(path.posix.dirname(file), CHOICE);
      edit(file, (text) => `import { mutant } from "${to.startsWith(".") ? to : `./${to}`}";\n${text}`);
    }
    const [command, args] = ascCommand(IO, ["--baseDir", folder, "-o", "io.wasm"]);
    await runTool(command, args);
    return new WebAssembly.Module(readFileSync(path.join(folder, "io.wasm")));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
