/** A short form of test/long/lost-power.test.ts. */
import test from "ava";
import { powerIsLost } from "./support/lost-power.ts";

const LIVES = 10;

test(`the machine loses its power ${LIVES} times: nothing that was flushed is lost, no volume harmed`, (t) =>
  powerIsLost(t, { lives: LIVES, seed: Date.now() >>> 0 }));
