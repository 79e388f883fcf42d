/** The command `top`, which is many requests: what it takes, at the prompt and outside. */
import { countOption, short, switchOption } from "./argument.ts";
import { defineRequest } from "./request.ts";

/** xentop's. */
const DEFAULT_DELAY_S = 3;
const MOST_DELAY_S = 3600;
const MOST_ITERATIONS = 1_000_000;
/** What the command `top` takes: it is many requests. */
export const topForm = defineRequest({
  name: "top",
  summary: "show what the domains use, again and again, in place",
  details: [
    "CPU(%) is of one CPU, within the interval. Rx and Tx are what the domain's vifs have received and sent, in bytes a second;",
    "Disk is requests of its vbds a second.",
    "An exit is when a vCPU leaves its guest for the hypervisor.",
  ],
  arguments: {
    delay: short(
      "d",
      countOption("SECONDS", `between two tables, ${DEFAULT_DELAY_S} seconds if not given`, 1, MOST_DELAY_S),
    ),
    iterations: short("i", countOption("N", "end after so many tables", 1, MOST_ITERATIONS)),
    batch: short("b", switchOption("one table below the other, also on a terminal")),
  },
});

export function delaySeconds({ delay }: { delay?: number }): number {
  return delay ?? DEFAULT_DELAY_S;
}
