/** The control plane's bundle, as it boots, compiled once for all machines of a test file. */
import { Script } from "node:vm";
import { build } from "esbuild";

export const controlBundle = build({
  entryPoints: [new URL("../../../toolstack/control/main.ts", import.meta.url).pathname],
  bundle: true,
  format: "iife",
  target: "es2020",
  write: false,
  logLevel: "error",
}).then((result) => new Script(result.outputFiles[0]!.text, { filename: "control.js" }));
