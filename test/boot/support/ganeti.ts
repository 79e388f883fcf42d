/**
 * What Ganeti's hypervisor module (hv_xen.py of Ganeti 3.0) and its data collectors expect of xl's output: how many columns, which of
 * them are numbers, the names of the rows, which states there are. It gives up on what it cannot read; so do these.
 */

export interface GanetiInstance {
  name: string;
  id: number;
  memoryMib: number;
  vcpus: number;
  state: "running" | "shutdown" | "crashed";
  seconds: number;
}

const COLUMNS = 6;
/** Python's int() and float(), of what xl prints. */
const INTEGER = /^[0-9]+$/;
const DECIMAL = /^[0-9]+(\.[0-9]+)?$/;

/** The states that it knows, paused or not; others are an error. */
function stateOf(letters: string): GanetiInstance["state"] {
  const state = letters.replace("p", "-");
  if (state.includes("c")) return "crashed";
  // Suspended and rebooting ones count as running, and so do those that are about to be removed.
  if (/^(r--|rb-|-b-|---)(---|ss-|sr-)$/.test(state) || state === "-----d") return "running";
  if (state === "---s--" || state === "---s-d") return "shutdown";
  throw new Error(`Ganeti does not know the state ${letters}`);
}

/** `xl list` after its heading: exactly six words a line. Crashed domains are there, but Ganeti leaves them out. */
export function readList(text: string): GanetiInstance[] {
  return text
    .trimEnd()
    .split("\n")
    .slice(1)
    .map((line) => {
      const words = line.trim().split(/\s+/);
      const [name, id, memory, vcpus, state, seconds] = words as [string, string, string, string, string, string];
      if (
        words.length !== COLUMNS ||
        ![id, memory, vcpus].every((word) => INTEGER.test(word)) ||
        !DECIMAL.test(seconds)
      ) {
        throw new Error(`Ganeti cannot parse the line "${line}"`);
      }
      return {
        name,
        id: Number(id),
        memoryMib: Number(memory),
        vcpus: Number(vcpus),
        state: stateOf(state),
        seconds: Number(seconds),
      };
    });
}

/** Rows of `xl info` that it takes as whole numbers. */
const INFO_ROWS = [
  ...["total_memory", "free_memory", "nr_cpus", "nr_nodes"],
  ...["cores_per_socket", "threads_per_core", "xen_major", "xen_minor"],
] as const;
export type GanetiNode = Record<(typeof INFO_ROWS)[number] | "cpu_sockets", number>;

/** `xl info`: `name : value` lines. All rows that it looks for must be there, whole numbers. */
export function readInfo(text: string): GanetiNode {
  const values = new Map<string, string>();
  for (const line of text.split("\n").filter((one) => one.includes(":"))) {
    values.set(line.slice(0, line.indexOf(":")).trim(), line.slice(line.indexOf(":") + 1).trim());
  }
  const numbers = INFO_ROWS.map((row) => {
    const value = values.get(row) ?? "";
    if (!INTEGER.test(value)) throw new Error(`Ganeti wants a whole number of ${row}, not "${value}"`);
    return [row, Number(value)] as const;
  });
  const node = Object.fromEntries(numbers) as Omit<GanetiNode, "cpu_sockets">;
  return { ...node, cpu_sockets: Math.floor(node.nr_cpus / (node.cores_per_socket * node.threads_per_core)) };
}

/** What is left for the hypervisor itself, MiB, as Ganeti computes it: no less than nothing. */
export function hypervisorMib(node: GanetiNode, instances: readonly GanetiInstance[]): number {
  return node.total_memory - node.free_memory - instances.reduce((sum, { memoryMib }) => sum + memoryMib, 0);
}

/** `xl uptime`: three titles, and lines of a name, an id, and what it takes as it is; by id. */
export function readUptime(text: string): Map<number, string> {
  const [heading, ...lines] = text.trimEnd().split("\n") as [string, ...string[]];
  if (!/^Name\s+ID\s+Uptime\s*$/.test(heading)) throw new Error(`Ganeti does not know the heading "${heading}"`);
  return new Map(
    lines.map((line) => {
      const [, id, uptime] = /^\S+\s+([0-9]+)\s+(.*)$/.exec(line) ?? [];
      if (id === undefined || uptime === undefined) throw new Error(`Ganeti cannot parse the line "${line}"`);
      return [Number(id), uptime];
    }),
  );
}
