/** Requests about domains' vCPUs: where they may run, and what share of the CPUs they get. */
import * as v from "valibot";
import { countOption, naming, optionalWord, optionalWords, word } from "../argument.ts";
import { defineRequest } from "../request.ts";

/** Neutral, and xl's default. */
export const DEFAULT_WEIGHT = 256;
/** What Xen's structure has room for. */
export const MAX_WEIGHT = 65_535;

const number = v.pipe(v.number(), v.integer());

const vcpuRow = v.object({
  name: v.string(),
  id: number,
  vcpu: number,
  /** The CPU that it is on, or was on last; null while it is down. */
  cpu: v.nullable(number),
  /** r running, b blocked, p down, each or - as `xl vcpu-list` has them. */
  state: v.string(),
  cpuSeconds: v.number(),
  /** CPUs that it may run on, and those that it would rather run on, as in `vcpu-pin`. */
  hard: v.string(),
  soft: v.string(),
});

export const vcpuListRequest = defineRequest({
  name: "vcpu-list",
  summary: "list domains' vCPUs, and the CPUs that they may run on",
  details: [
    "State: r running, b blocked, p down; Time(s): CPU time used; Hard: CPUs it may run on; Soft: it would rather.",
  ],
  arguments: { ids: naming("domain", optionalWords("ID", "")) },
  result: v.array(vcpuRow),
  columns: [
    { key: "name", title: "Name" },
    { key: "id", title: "ID", right: true },
    { key: "vcpu", title: "VCPU", right: true },
    { key: "cpu", title: "CPU", right: true },
    { key: "state", title: "State" },
    { key: "cpuSeconds", title: "Time(s)", right: true, decimals: 1 },
    { key: "hard", title: "Hard" },
    { key: "soft", title: "Soft" },
  ],
});

export const vcpuPinRequest = defineRequest({
  name: "vcpu-pin",
  summary: "say on which CPUs a vCPU may run",
  details: [
    "VCPU is a number, or all.",
    "HARD and SOFT: all, 0-3, 1,4, all,^2, nodes:0; - leaves it as it is. HARD is obeyed. SOFT is kept and shown; it has no effect",
    "while Typevisor uses one CPU. Both are the domain's again when it is restarted.",
  ],
  arguments: {
    id: naming("domain", word("ID", "")),
    vcpu: word("VCPU", ""),
    hard: word("HARD", ""),
    soft: optionalWord("SOFT", ""),
  },
});

const schedRow = v.object({ name: v.string(), id: number, weight: number, cap: number });

export const schedRequest = defineRequest({
  name: "sched",
  summary: "show domains' shares of the CPU, or change one's",
  details: [
    `--weight  1 to ${MAX_WEIGHT}, ${DEFAULT_WEIGHT} if never set. Of vCPUs that all want the CPU, each gets time in proportion to its domain's weight;`,
    "          a domain with two such vCPUs gets twice as much as one with one. What the others leave is anyone's.",
    "--cap     0 only: no domain is held below what is free",
    "A weight is the domain's again when it is restarted. Domain 0 and the I/O domain have budgets instead.",
  ],
  arguments: {
    id: naming("domain", optionalWord("ID", "")),
    weight: countOption("W", "", 1, MAX_WEIGHT),
    cap: countOption("PERCENT", "", 0, MAX_WEIGHT),
  },
  result: v.array(schedRow),
  columns: [
    { key: "name", title: "Name" },
    { key: "id", title: "ID", right: true },
    { key: "weight", title: "Weight", right: true },
    { key: "cap", title: "Cap", right: true },
  ],
});
