/** A thousand guests that spin: test/boot has the same with 300. */
import test from "ava";
import { spinnersLeaveDomain0Time } from "../boot/support/spinners.ts";

test.serial("1,000 guests spin, and domain 0 answers within a second of the machine's time", (t) =>
  spinnersLeaveDomain0Time(t, 1000, 3072),
);
