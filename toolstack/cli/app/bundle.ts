/** esbuild: a program and what it imports, as one script; and the runtime that it finds in the guest. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { build, type Message, type Plugin } from "esbuild";
import { BuildError } from "../../../scripts/build/task.ts";
import { buildFolder, fromRoot, inClone } from "../../../scripts/paths.ts";

/** Names under which the scripts are evaluated, and which their stacks show. */
export const BUNDLE_NAME = "app.js";
export const RUNTIME_NAME = "runtime.js";

/** What the engine understands (QuickJS 2025-09). */
const TARGET = "es2023";

const runtimeFolder = fromRoot("guests/typescript/runtime");

export interface Bundle {
  code: string;
  /** JSON text of its source map, whose sources are named as in stacks; without their contents. */
  map: string;
}

/** In the package: the runtime as `bundleRuntime` has made it, and the names of its modules. */
export const PACKED_RUNTIME = { code: "guest-runtime.js", modules: "guest-runtime.json" };

const packed = (name: string) => readFileSync(path.join(buildFolder, name), "utf8");

/** Names of Node's modules that the runtime has, as in its table: guests/typescript/runtime/modules.ts. */
export function builtinModules(): string[] {
  if (!inClone) return JSON.parse(packed(PACKED_RUNTIME.modules)) as string[];
  const source = readFileSync(path.join(runtimeFolder, "modules.ts"), "utf8");
  return [...source.matchAll(/^ {2}"?([a-z_/]+)"?(?::|,$)/gm)].map((match) => match[1]!);
}

/** Node's modules, with or without "node:", are the runtime's. */
function builtins(): Plugin {
  const names = new Set(builtinModules());
  return {
    name: "builtins",
    setup({ onResolve, onLoad, resolve }) {
      onResolve(
        { filter: /^(node:)?[a-z_]+(\/[a-z_]+)?$/ },
        async ({ path: given, importer, resolveDir, kind, pluginData }) => {
          if (pluginData === "asked") return undefined;
          const name = given.replace(/^node:/, "");
          if (names.has(name)) return { path: name, namespace: "builtin" };
          if (!given.startsWith("node:")) {
            const found = await resolve(given, { importer, resolveDir, kind, pluginData: "asked" });
            if (found.errors.length === 0) return found;
          }
          return {
            errors: [
              { text: `"${given}" is neither installed nor a module of a guest's: it has ${[...names].join(", ")}` },
            ],
          };
        },
      );
      onLoad({ filter: /.*/, namespace: "builtin" }, ({ path: name }) => ({
        contents: `module.exports = globalThis[Symbol.for("typevisor.module")](${JSON.stringify(name)});`,
        loader: "js",
      }));
    },
  };
}

function explain(messages: Message[]): BuildError {
  const lines = messages.map(({ text, location }) =>
    location === null ? text : `${location.file}:${location.line}:${location.column + 1}: ${text}`,
  );
  return new BuildError(lines.join("\n"));
}

const COMMON = {
  bundle: true,
  write: false,
  target: TARGET,
  platform: "neutral",
  charset: "utf8",
  legalComments: "none",
  logLevel: "silent",
  // The engine keeps the text of every function.
  minifyWhitespace: true,
  minifySyntax: true,
} as const;

/** Removes what leads from the folder of the sources to where esbuild was started, so that stacks show the program's own paths. */
function nameSources(map: string, folder: string): string {
  const parsed = JSON.parse(map) as { sources: string[]; mappings: string };
  const sources = parsed.sources.map((source) => {
    const name = path.relative(folder, path.resolve(source));
    return name.replace(/^(\.\.\/)+(?=node_modules\/)/, "");
  });
  return JSON.stringify({ version: 3, sources, mappings: parsed.mappings });
}

/**
 * Bundles a program into a script that defines `globalThis.main`, an async function: nothing of the program runs before it is called.
 * @throws BuildError with the places of what esbuild refuses
 */
export async function bundleProgram(file: string): Promise<Bundle> {
  const folder = path.dirname(path.resolve(file));
  try {
    const { outputFiles } = await build({
      ...COMMON,
      stdin: {
        contents: `import ${JSON.stringify(`./${path.basename(file)}`)};`,
        resolveDir: folder,
        sourcefile: "start",
      },
      outfile: path.resolve(BUNDLE_NAME),
      format: "esm",
      mainFields: ["module", "main"],
      conditions: ["node", "module"],
      define: {
        global: "globalThis",
        __dirname: '"/"',
        __filename: '"/app.js"',
        "import.meta.url": '"file:///app.js"',
        "import.meta.dirname": '"/"',
        "import.meta.filename": '"/app.js"',
        "process.env.NODE_ENV": '"production"',
      },
      sourcemap: "external",
      sourcesContent: false,
      banner: { js: 'globalThis.main = async () => { "use strict";' },
      footer: { js: "};" },
      plugins: [builtins()],
    });
    const text = (end: string) => outputFiles.find(({ path: name }) => name.endsWith(end))!.text;
    return { code: text(".js"), map: nameSources(text(".map"), folder) };
  } catch (error) {
    throw explain((error as { errors: Message[] }).errors ?? []);
  }
}

/** The runtime as a script. */
export async function bundleRuntime(): Promise<string> {
  if (!inClone) return packed(PACKED_RUNTIME.code);
  try {
    const { outputFiles } = await build({
      ...COMMON,
      entryPoints: [path.join(runtimeFolder, "main.ts")],
      outfile: path.resolve(RUNTIME_NAME),
      format: "iife",
      mainFields: ["module", "main"],
      define: { global: "globalThis" },
    });
    return outputFiles[0]!.text;
  } catch (error) {
    throw explain((error as { errors: Message[] }).errors ?? []);
  }
}
