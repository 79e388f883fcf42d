/**
 * `npm run typecheck`: every TypeScript project of the repository.
 *
 * AssemblyScript sources are checked twice: by tsc with AssemblyScript's own types (so that editors and this command
 * agree), and by the AssemblyScript compiler, which knows the rules tsc does not (integer widths, nullability of
 * pointers, no closures).
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import ts from "typescript";
import { root } from "./paths.ts";
import { type AssemblyModule, ascCommand, CODEC, HYPERVISOR, IO } from "./build/assembly.ts";

/** TS1206 "Decorators are not valid here": AssemblyScript allows them on functions (`@inline`, `@external`). */
const ASSEMBLYSCRIPT_ALLOWS = new Set([1206]);

interface Project {
  config: string;
  allowed: Set<number>;
}

const PROJECTS: Project[] = [
  { config: "tsconfig.json", allowed: new Set() },
  { config: "toolstack/control/tsconfig.json", allowed: new Set() },
  { config: "tsconfig.assembly.json", allowed: ASSEMBLYSCRIPT_ALLOWS },
];

/** Checks one project with tsc; prints its errors and returns their number. */
function checkProject(project: Project): number {
  const host: ts.ParseConfigFileHost = {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: (diagnostic) => {
      throw new Error(ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n"));
    },
  };
  const config = ts.getParsedCommandLineOfConfigFile(path.join(root, project.config), { noEmit: true }, host);
  if (config === undefined) throw new Error(`cannot read ${project.config}`);
  const program = ts.createProgram(config.fileNames, config.options);
  const errors = [
    ...config.errors.filter((error) => error.code !== 18003),
    ...ts.getPreEmitDiagnostics(program),
  ].filter((diagnostic) => !project.allowed.has(diagnostic.code));
  if (errors.length > 0) {
    process.stderr.write(
      ts.formatDiagnosticsWithColorAndContext(errors, {
        getCanonicalFileName: (name) => name,
        getCurrentDirectory: () => root,
        getNewLine: () => "\n",
      }),
    );
  }
  console.log(`tsc ${project.config}: ${config.fileNames.length} files, ${errors.length} errors`);
  return errors.length;
}

/** Compiles a module without writing anything; returns 1 if the compiler found errors. */
function checkAssembly(module: AssemblyModule): number {
  if (!existsSync(path.join(root, module.entry))) throw new Error(`${module.entry} is missing`);
  const [command, args] = ascCommand(module, ["--noEmit"]);
  const result = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  console.log(`asc ${module.entry}: ${result.status === 0 ? "no errors" : "errors"}`);
  return result.status === 0 ? 0 : 1;
}

const failures = [...PROJECTS.map(checkProject), ...[HYPERVISOR, CODEC, IO].map(checkAssembly)].reduce(
  (a, b) => a + b,
  0,
);
process.exitCode = failures === 0 ? 0 : 1;
