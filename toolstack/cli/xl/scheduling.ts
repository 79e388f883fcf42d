/** vCPUs, where they may run, and domains' shares of the CPU, with xl's words and columns. */
import { formatCpuList, parseCpuList } from "../../api/cpu-list.ts";
import { infoRequest } from "../../api/requests/machine.ts";
import { MAX_WEIGHT, schedRequest, vcpuListRequest, vcpuPinRequest } from "../../api/requests/scheduling.ts";
import { findDomain, readArguments, telling, XlError, type Asker, type XlOutput } from "./arguments.ts";

const MOST_DOMAINS = 1024;

/** CPUs that Typevisor uses. */
export async function usedCpus(asker: Asker): Promise<number> {
  const info = await asker.ask(infoRequest, { id: undefined });
  if (!("cpus" in info)) throw new XlError("the machine's information is not there");
  return info.cpus;
}

export async function vcpuList(asker: Asker, words: string[], { out }: XlOutput): Promise<void> {
  const { rest } = readArguments("vcpu-list", words, {}, 0, MOST_DOMAINS);
  const ids: string[] = [];
  for (const which of rest) ids.push(String((await findDomain(asker, which)).id));
  out(
    `${"Name".padEnd(32)} ${"ID".padStart(5)} ${"VCPU".padStart(5)} ${"CPU".padStart(5)} ${"State".padStart(5)} ` +
      `${"Time(s)".padStart(9)} Affinity (Hard / Soft)\n`,
  );
  for (const row of await asker.ask(vcpuListRequest, { ids: rest.length === 0 ? undefined : ids })) {
    const { name, id, vcpu, cpu, state, cpuSeconds, hard, soft } = row;
    const numbers = [id, vcpu, cpu ?? "-"].map((number) => String(number).padStart(5)).join(" ");
    out(`${name.padEnd(32)} ${numbers}   ${state} ${cpuSeconds.toFixed(1).padStart(9)}  ${hard} / ${soft}\n`);
  }
}

export async function vcpuPin(asker: Asker, words: string[], { out, dryRun }: XlOutput): Promise<void> {
  const { rest, given } = readArguments("vcpu-pin", words, { f: { long: "force" } }, 3, 4);
  const [which, vcpu, hard, soft] = rest as [string, string, string, string | undefined];
  const { id } = await findDomain(asker, which);
  if (!/^[0-9]+$/.test(vcpu)) {
    if (vcpu !== "all") throw new XlError(`Error: Invalid argument ${vcpu} as VCPU.`);
    if (given.has("f")) throw new XlError("Error: --force and 'all' as VCPU not allowed.");
  }
  if (dryRun) {
    const cpus = await usedCpus(asker);
    const shown = (text: string) => (text === "-" ? "-" : formatCpuList(parseCpuList("CPUs", text, cpus), cpus));
    out(`cpumap: ${shown(hard)}${soft === undefined || soft === "-" ? "" : ` ${shown(soft)}`}\n`);
    return;
  }
  const failed = vcpu === "all" ? "Could not set affinity." : `Could not set affinity for vcpu \`${vcpu}'.`;
  await telling(failed, () => asker.ask(vcpuPinRequest, { id: String(id), vcpu, hard, soft }));
}

/** xl's name of the pool that has all CPUs, and its number. */
const POOLS = ["Pool-0", "0"];

export async function schedCredit2(asker: Asker, words: string[], { out }: XlOutput): Promise<void> {
  const options = {
    d: { long: "domain", value: true },
    w: { long: "weight", value: true },
    c: { long: "cap", value: true },
    s: { long: "schedparam" },
    r: { long: "ratelimit_us", value: true },
    p: { long: "cpupool", value: true },
  };
  const { given, values } = readArguments("sched-credit2", words, options, 0);
  const [domain, weight, cap, pool] = ["d", "w", "c", "p"].map((letter) => values.get(letter));
  const sets = weight !== undefined || cap !== undefined;
  if (pool !== undefined && (domain !== undefined || sets)) {
    throw new XlError("Specifying a cpupool is not allowed with other options.");
  }
  if (domain === undefined && sets) throw new XlError("Must specify a domain.");
  if (pool !== undefined && !POOLS.includes(pool)) throw new XlError(`unknown cpupool '${pool}'`);
  if (given.has("s")) {
    if (values.has("r")) throw new XlError("the rate limit is fixed\nlibxl_sched_credit2_params_set failed.");
    out(await poolLine(asker));
    return;
  }
  if (domain === undefined) {
    out(await poolLine(asker));
    await showShares(asker, undefined, out);
    return;
  }
  const id = String((await findDomain(asker, domain)).id);
  if (!sets) return await showShares(asker, id, out);
  await telling("libxl_domain_sched_params_set failed.", () =>
    asker.ask(schedRequest, { id, weight: numberOf("weight", weight), cap: numberOf("cap", cap) }),
  );
}

/** What an option's word says. */
function numberOf(what: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const number = /^[0-9]{1,5}$/.test(text) ? Number(text) : NaN;
  if (number <= MAX_WEIGHT && (what === "cap" || number >= 1)) return number;
  const bounds = what === "cap" ? `0 to ${MAX_WEIGHT}` : `1 to ${MAX_WEIGHT}`;
  throw new Error(`${what}: "${text}" is not a whole number from ${bounds}`);
}

async function poolLine(asker: Asker): Promise<string> {
  const info = await asker.ask(infoRequest, { id: undefined });
  return `Cpupool ${POOLS[0]}: ratelimit=${"rateLimitUs" in info ? info.rateLimitUs : 0}us\n`;
}

async function showShares(asker: Asker, id: string | undefined, out: XlOutput["out"]): Promise<void> {
  const line = (name: string, ...[domain, weight, cap]: (string | number)[]) =>
    `${name.padEnd(33)} ${String(domain).padStart(4)} ${String(weight).padStart(6)} ${String(cap).padStart(4)}\n`;
  out(line("Name", "ID", "Weight", "Cap"));
  for (const row of await asker.ask(schedRequest, { id, weight: undefined, cap: undefined })) {
    out(line(row.name, row.id, row.weight, row.cap));
  }
}
