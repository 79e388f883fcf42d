/** 100,000 random frames of clients that have the key: test/boot has the same with fewer. `FRAMES` and `SEED` in the environment. */
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "ava";
import { randomFramesHarmNobody } from "../boot/support/hostile.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-frames-"));
process.env.XDG_RUNTIME_DIR = folder;
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

const FRAMES = Number(process.env.FRAMES ?? 100_000);

test.serial(`${FRAMES} random frames of clients with the key leave nothing`, async (t) => {
  t.timeout(6 * 3600 * 1000);
  await randomFramesHarmNobody(t, FRAMES);
});
