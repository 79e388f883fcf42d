/**
 * Sets of physical CPUs as xl writes them (xl(1), vcpu-pin; xl.cfg(5), cpus): "all", "3", "0-3", "nodes:0", each with "^" in front to take
 * CPUs out again, one behind another with commas between. A set is a mask, a bit for each CPU.
 */
import { CommandError } from "./command-error.ts";

/** CPUs that a mask has room for. */
const CPUS_MOST = 64;
/** All CPUs, those too that are not used yet. */
export const ALL_CPUS = 2n ** 64n - 1n;

/** CPUs `first` to `last`. */
const range = (first: number, last: number) => (2n << BigInt(last)) - (1n << BigInt(first));

/**
 * The CPUs of a list.
 * @param what names it in errors
 * @param cpus CPUs that the machine uses, from 0 on
 * @throws CommandError for what is no list, names a CPU that is not used, or leaves none
 */
export function parseCpuList(what: string, text: string, cpus: number): bigint {
  const used = range(0, cpus - 1);
  let mask = 0n;
  /** CPUs that were named, rather than meant by "all". */
  let named = 0n;
  for (const part of text.split(",")) {
    const [, not, nodes, all, first, last = first] =
      /^(\^?)(nodes?:)?(?:(all)|([0-9]{1,4})(?:-([0-9]{1,4}))?)$/.exec(part) ?? [];
    if (all === undefined && first === undefined) {
      throw new CommandError(
        `${what}: "${part}" is none of all, N, N-M, nodes:N and nodes:all, nor one of them to be left out, such as ^N`,
      );
    }
    if (all !== undefined) {
      if (not !== "") throw new CommandError(`${what}: "^" cannot leave out "all"`);
      mask = ALL_CPUS;
      continue;
    }
    const [from, to] = [Number(first), Number(last)];
    if (from > to) throw new CommandError(`${what}: "${part}" goes from ${from} down to ${to}`);
    if (nodes !== undefined && to > 0)
      throw new CommandError(`${what}: there is no node ${to}: all CPUs are on node 0`);
    if (nodes === undefined && to >= CPUS_MOST) throw unused(what, to, cpus);
    const some = nodes === undefined ? range(from, to) : ALL_CPUS;
    mask = not === "" ? mask | some : mask & ~some;
    if (nodes === undefined) named = not === "" ? named | some : named & ~some;
  }
  const beyond = named & ~used;
  if (beyond !== 0n) throw unused(what, beyond.toString(2).length - 1, cpus);
  if ((mask & used) === 0n) throw new CommandError(`${what}: "${text}" leaves no CPU`);
  return mask;
}

function unused(what: string, cpu: number, cpus: number): CommandError {
  const there = cpus === 1 ? "only CPU 0 is used" : `CPUs 0 to ${cpus - 1} are used`;
  return new CommandError(`${what}: CPU ${cpu} is not there: ${there}`);
}

/** A mask as xl shows it: "all", "none", or "0,2-3". @param cpus CPUs that the machine uses, from 0 on */
export function formatCpuList(mask: bigint, cpus: number): string {
  const used = range(0, cpus - 1);
  if ((mask & used) === used) return "all";
  const runs: string[] = [];
  for (let cpu = 0; cpu < cpus; cpu++) {
    if (((mask >> BigInt(cpu)) & 1n) === 0n) continue;
    const first = cpu;
    while (cpu + 1 < cpus && ((mask >> BigInt(cpu + 1)) & 1n) !== 0n) cpu++;
    runs.push(first === cpu ? String(first) : `${first}-${cpu}`);
  }
  return runs.length === 0 ? "none" : runs.join(",");
}
