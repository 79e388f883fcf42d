/** Random frames of clients that have the key, on a machine in QEMU: nothing stays, a client that works meanwhile is served. */
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "ava";
import { randomFramesHarmNobody } from "./support/hostile.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-hostile-"));
process.env.XDG_RUNTIME_DIR = folder;
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

/** 100,000 of them: test/long/random-frames.test.ts. */
const FRAMES = 10_000;

test.serial(`${FRAMES} random frames of clients with the key leave nothing`, (t) => randomFramesHarmNobody(t, FRAMES));
