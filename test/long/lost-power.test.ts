/** The machine loses its power many times on one disk. In the environment: LIVES (200), SEED (another one each time). */
import test from "ava";
import { powerIsLost } from "../boot/support/lost-power.ts";

const LIVES = Number(process.env["LIVES"] ?? 200);

test(`the machine loses its power ${LIVES} times: nothing that was flushed is lost, no volume harmed`, (t) =>
  powerIsLost(t, { lives: LIVES, seed: Number(process.env["SEED"] ?? Date.now() >>> 0) }));
