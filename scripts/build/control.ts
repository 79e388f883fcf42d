/** esbuild: toolstack/control becomes build/control.js, one classic script for QuickJS. */
import path from "node:path";
import { build, version } from "esbuild";
import { buildFolder, fromRoot } from "../paths.ts";
import { BuildError, runStep } from "./task.ts";

export const controlBundle = path.join(buildFolder, "control.js");

/** Bundles the control plane. Names are kept: they are what a stack trace on the machine shows. */
export async function buildControl(): Promise<void> {
  await runStep({
    name: "control",
    title: "bundled domain 0's TypeScript",
    inputs: () => [
      fromRoot("toolstack/control"),
      fromRoot("toolstack/api"),
      fromRoot("abi"),
      fromRoot("package-lock.json"),
    ],
    key: version,
    outputs: [controlBundle],
    run: async () => {
      await build({
        entryPoints: [fromRoot("toolstack/control/main.ts")],
        outfile: controlBundle,
        bundle: true,
        format: "iife",
        target: "es2020",
        platform: "neutral",
        charset: "utf8",
        legalComments: "none",
        logLevel: "silent",
      }).catch((error: Error) => {
        throw new BuildError(error.message);
      });
    },
  });
}
