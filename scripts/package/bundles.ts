/** The package's JavaScript: each command with what it imports, of ours and of npm, as bundles that share what they have in common. */
import { build, type BuildOptions, type Metafile } from "esbuild";
import { fromRoot } from "../paths.ts";

/** The commands, and the files they begin in. */
const ENTRIES = {
  chaos: "toolstack/cli/chaos.ts",
  xl: "toolstack/cli/xl.ts",
  typevisor: "scripts/package/typevisor.ts",
};

const COMMON = { bundle: true, metafile: true, logLevel: "silent", legalComments: "none" } satisfies BuildOptions;

/** @param outdir where they are written; undefined: nowhere */
export async function bundleCommands(outdir?: string): Promise<Metafile> {
  const { metafile } = await build({
    ...COMMON,
    entryPoints: Object.entries(ENTRIES).map(([out, file]) => ({ in: fromRoot(file), out })),
    absWorkingDir: fromRoot("."),
    outdir: outdir ?? fromRoot("dist"),
    write: outdir !== undefined,
    format: "esm",
    platform: "node",
    target: "node20",
    splitting: true,
    // It is a program of its own, for the computer that it runs on: the package depends on it.
    external: ["esbuild"],
    // Packages that are CommonJS ask for Node's modules by it.
    banner: { js: 'import { createRequire } from "node:module";\nconst require = createRequire(import.meta.url);' },
  });
  return metafile;
}

/** What else is JavaScript in the package: domain 0 in the image, and the runtime of TypeScript guests. */
export async function bundlesInside(): Promise<Metafile[]> {
  const entries = ["toolstack/control/main.ts", "guests/typescript/runtime/main.ts"];
  const options = { ...COMMON, absWorkingDir: fromRoot("."), write: false, platform: "neutral" } as const;
  const made = entries.map((file) =>
    build({ ...options, entryPoints: [fromRoot(file)], outfile: "out.js", mainFields: ["module", "main"] }),
  );
  return (await Promise.all(made)).map(({ metafile }) => metafile);
}
