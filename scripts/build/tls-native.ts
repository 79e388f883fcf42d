/** The TLS module of the image as a process of this computer: guests/sandboxes/tls/native. */
import path from "node:path";
import { buildFolder, fromRoot, generatedFolder } from "../paths.ts";
import { sandboxFlags } from "./native.ts";
import { SANDBOXES } from "./sandboxes.ts";
import { runStep, runTool } from "./task.ts";
import { translateSandbox } from "./wasm2c.ts";

/** What only code without a C library is compiled with. */
const FREESTANDING = new Set(["-ffreestanding", "-mno-red-zone"]);

const source = fromRoot("guests/sandboxes/tls/native/replay.c");
const program = path.join(buildFolder, "host/tls-replay");

/** Brings it up to date; returns the program, or why mbedTLS cannot be had. */
export async function buildTlsReplay(): Promise<{ program: string } | { missing: string }> {
  const sandbox = SANDBOXES.find(({ name }) => name === "tls")!;
  const without = await sandbox.build();
  if (without !== undefined) return without;
  await translateSandbox(sandbox);
  const flags = [...sandboxFlags().filter((flag) => !FREESTANDING.has(flag)), "-no-pie", "-I", buildFolder];
  await runStep({
    name: "tls-replay",
    title: "compiled the TLS module for this computer",
    inputs: () => [source, fromRoot("guests/sandboxes/tls/tls.h"), path.join(generatedFolder, "tls.c")],
    key: flags.join(" "),
    outputs: [program],
    heavy: true,
    run: async () => {
      await runTool("gcc", [...flags, source, "-o", program]);
    },
  });
  return { program };
}
