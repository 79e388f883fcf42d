/** Static libraries: sources compiled one by one, two at a time, and packed with ar. */
import { mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import { buildFolder, root } from "../paths.ts";
import { compilers, runStep, runTool } from "./task.ts";

export interface Library {
  /** Short unique name: `NAME` becomes build/obj/NAME/libNAME.a. */
  name: string;
  title: string;
  /** Files and folders that its objects depend on. */
  inputs: () => string[];
  sources: string[];
  /** Flags of gcc. */
  flags: string[];
}

/** Brings the library up to date; returns its file. */
export async function buildLibrary(library: Library): Promise<string> {
  const folder = path.join(buildFolder, "obj", library.name);
  const archive = path.join(folder, `lib${library.name}.a`);
  const names = library.sources.map((source) => path.relative(root, source));
  await runStep({
    name: `library-${library.name}`,
    title: library.title,
    inputs: library.inputs,
    key: [...library.flags, ...names].join(" "),
    outputs: [archive],
    run: async () => {
      // Made anew: an object whose source is gone must not stay in it.
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
      const objects = names.map((name) => path.join(folder, `${name.replace(/[^\w.-]/g, "_")}.o`));
      await Promise.all(
        names.map((name, index) =>
          compilers.run(() => runTool("gcc", [...library.flags, "-c", name, "-o", objects[index]])),
        ),
      );
      await runTool("ar", ["rcsD", archive, ...objects]);
    },
  });
  return archive;
}
