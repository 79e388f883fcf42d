/** A short form of test/long/io-kills.test.ts. */
import test from "ava";
import { killsAreSurvived, MODELS } from "./support/io-kills.ts";

const KILLS = 20;

for (const model of MODELS) {
  test.serial(
    `the I/O domain is killed ${KILLS} times under load over ${model}: nothing is lost, guests notice a pause`,
    (t) => killsAreSurvived(t, model, KILLS, Date.now() >>> 0),
  );
}
