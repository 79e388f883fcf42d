/**
 * `npm run build`: everything that boots. Incremental: see build/task.ts.
 *
 *   abi, arch-x86, kernel --asc--> hypervisor.wasm --wasm2c--> C --gcc--+
 *   abi, codec --asc--> codec.wasm -----------------wasm2c--> C --gcc--+
 *   guests/sandboxes, lwIP --clang--> net.wasm -----wasm2c--> C --gcc--+
 *   guests/sandboxes, mbedTLS --clang--> tls.wasm --wasm2c--> C --gcc--+
 *   abi, drivers, noxs --asc--> io.wasm ------------wasm2c--> C --gcc--+
 *                                  +--its memory--> io.bin ------------+
 *   quickjs-emscripten's engine .wasm --------------wasm2c--> C --gcc--+--> typevisor.elf
 *   abi, toolstack/control --esbuild--> control.js --> snapshot.bin ----+
 *   guests/ --gcc--> build/guests/*.elf
 */
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { buildGuests } from "./build/guests.ts";
import { buildHypervisorWasm, buildIoWasm } from "./build/assembly.ts";
import { buildControl } from "./build/control.ts";
import { buildIoImage } from "./build/io-image.ts";
import { withBuildLock } from "./build/lock.ts";
import { compileHypervisor, compileIo, compileSandbox, compileShim, engineObject, linkImage } from "./build/native.ts";
import { type Sandbox, SANDBOXES } from "./build/sandboxes.ts";
import { buildSnapshot } from "./build/snapshot.ts";
import { BuildError, countStepsRun, orExplain, progress } from "./build/task.ts";
import { translateEngine, translateHypervisor, translateIo, translateSandbox } from "./build/wasm2c.ts";
import { buildFolder, guestsFolder } from "./paths.ts";
import { installPackages } from "./setup.ts";

/** Brings everything in build/ up to date; throws BuildError with the failing tool's output. */
export async function build(): Promise<void> {
  mkdirSync(buildFolder, { recursive: true });
  await withBuildLock(async () => {
    const started = Date.now();
    const snapshot = buildControl().then(buildSnapshot);
    const engine = engineObject();
    const hypervisor = buildHypervisorWasm().then(translateHypervisor).then(compileHypervisor);
    const sandboxes = Promise.all(SANDBOXES.map(buildSandbox));
    const ioWasm = buildIoWasm();
    const io = ioWasm.then(translateIo).then(compileIo);
    // Domain 0's loop has the engine's names, and addresses within the snapshot, compiled in; these stay when the bundle changes.
    const shim = Promise.all([translateEngine(), snapshot, ioWasm.then(buildIoImage)]).then(compileShim);
    const guests = buildGuests(guestsFolder, progress);
    // Wait for all of them even if one fails: nothing may write into build/ once the lock is given back.
    const results = await Promise.allSettled([engine, hypervisor, sandboxes, io, shim, guests]);
    const errors = results.filter((result) => result.status === "rejected").map((result) => result.reason as Error);
    if (errors.length > 0) throw errors.find((error) => !(error instanceof BuildError)) ?? combine(errors);
    const inside = (await sandboxes).filter((built) => built !== null);
    await linkImage([await engine, await hypervisor, await io, ...(await shim)], inside);
    if (countStepsRun() > 0) progress(`built in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  });
}

/** A sandbox and its object file; null when it cannot be built here, and the image is to be without it. */
async function buildSandbox(sandbox: Sandbox): Promise<{ sandbox: Sandbox; object: string } | null> {
  const without = await sandbox.build();
  if (without !== undefined) {
    progress(`the image has no ${sandbox.name} sandbox: ${without.missing}`);
    return null;
  }
  await translateSandbox(sandbox);
  return { sandbox, object: await compileSandbox(sandbox) };
}

/** Two steps that waited for the same failed one have the same error. */
function combine(errors: Error[]): BuildError {
  return new BuildError([...new Set(errors.map((error) => error.message))].join("\n"));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await orExplain(async () => {
    installPackages(["build"]);
    await build();
    if (countStepsRun() === 0) progress("everything is up to date");
  });
}
