/** The control bundle in the engine that boots, as the build evaluates it for the snapshot. */
import test from "ava";
import { build } from "esbuild";
import { encodeSnapshot, evaluateControl } from "../../../scripts/build/snapshot.ts";

test("the bundle evaluates in QuickJS, touches no machine meanwhile, and leaves a small heap", async (t) => {
  const result = await build({
    entryPoints: [new URL("../../../toolstack/control/main.ts", import.meta.url).pathname],
    bundle: true,
    format: "iife",
    target: "es2020",
    write: false,
    logLevel: "error",
  });
  const { engine, meta } = evaluateControl(result.outputFiles[0]!.text);
  t.true(meta.turn > 0);
  const size = encodeSnapshot(engine.memory.buffer as ArrayBuffer).length;
  t.true(size < 5.5 * 1024 * 1024, `${size} bytes of snapshot`);
});
