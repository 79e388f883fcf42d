/** A thousand guests with network at once, in 8 GiB. In the environment: MANY_NETWORKS (1000). */
import test from "ava";
import { daytimesAnswer } from "../boot/support/daytimes.ts";

const GUESTS = Number(process.env["MANY_NETWORKS"] ?? 1000);
const MEMORY_MIB = 8192;

test(`${GUESTS} daytime unikernels at once: each answers, and all of them leave nothing behind`, (t) =>
  daytimesAnswer(t, GUESTS, MEMORY_MIB));
