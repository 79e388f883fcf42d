/** Many guests with network at once; a thousand of them are in test/long/many-networks.test.ts. */
import test from "ava";
import { daytimesAnswer } from "./support/daytimes.ts";

test("100 daytime unikernels at once: each answers, and all of them leave nothing behind", (t) =>
  daytimesAnswer(t, 100, 1024));
