/** The I/O domain is killed many times under load. In the environment: IO_KILLS (100), SEED (another one each time), IO_KILLS_ICOUNT (time is counted in instructions). */
import test from "ava";
import { killsAreSurvived, MODELS } from "../boot/support/io-kills.ts";

const KILLS = Number(process.env["IO_KILLS"] ?? 100);
const SEED = Number(process.env["SEED"] ?? Date.now() >>> 0);
const ICOUNT = process.env["IO_KILLS_ICOUNT"] !== undefined;

for (const model of MODELS) {
  test.serial(
    `the I/O domain is killed ${KILLS} times under load over ${model}: nothing is lost, guests notice a pause`,
    (t) => killsAreSurvived(t, model, KILLS, SEED, { icount: ICOUNT }),
  );
}
