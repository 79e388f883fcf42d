/** What the domains use: one sample of counters that only grow. Rates are differences of two (../results/top.ts). */
import { defineRequest } from "../request.ts";
import { topLines, topSample } from "../results/top.ts";

export const topRequest = defineRequest({
  name: "top",
  summary: "what the domains have used so far: processor, memory, network, disks, exits",
  details: [
    "Counters since each domain's start: two samples make a rate. Which two is up to who asks: domain 0 keeps nothing for it,",
    "and clients with intervals of their own do not disturb each other.",
  ],
  arguments: {},
  result: topSample,
  waits: { for: "the I/O domain", cancelled: "there is no sample", goesOn: true },
  lines: (only) => topLines(null, only),
});
