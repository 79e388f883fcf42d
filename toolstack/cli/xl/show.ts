/** What xl shows, in its columns. */
import { vbdListRequest, vifListRequest } from "../../api/requests/devices.ts";
import { listRequest, uptimeRequest } from "../../api/requests/domains.ts";
import { infoRequest } from "../../api/requests/machine.ts";
import { schedRequest } from "../../api/requests/scheduling.ts";
import { uptimeText } from "../../api/uptime.ts";
import { findDomain, isGuest, readArguments, XlError, type Asker, type XlDomain, type XlOutput } from "./arguments.ts";
import type { XlCommandName } from "./help.ts";
import { libxlConfig } from "./libxl-json.ts";

const MIB = 1024 * 1024;
const KIB_PER_MIB = 1024;
/** Of domains that are no guests, as Xen has it for its domain 0. */
const NO_UUID = "00000000-0000-0000-0000-000000000000";
/** The letters of `list` behind an s, by SHUTDOWN_*. */
const SHUTDOWN_LETTERS = "-rscwS";

/** Columns by their option's letter, and the value of all domains: there are no labels, one pool of CPUs, one node. */
const MORE_COLUMNS = [
  ["Z", "   Security Label", ` ${"-".padStart(16)}`],
  ["c", "         Cpupool", "Pool-0".padStart(16)],
  ["n", " NODE Affinity", " all"],
] as const;

type Row = Awaited<ReturnType<typeof rowsOf>>[number];

/** The rows of one domain, or of domain 0 and the guests. Throws XlError as `xl list` does: of an id it is another text than of a name. */
async function rowsOf(asker: Asker, which: string | undefined) {
  const rows = await asker.ask(listRequest, {});
  if (which === undefined) return rows.filter((row) => row.id === 0 || isGuest(row));
  if (/^[0-9]+$/.test(which) && !rows.some(({ id }) => id === Number(which))) {
    throw new XlError(`Error: Domain '${which}' does not exist.`);
  }
  const one = await findDomain(asker, which);
  return rows.filter(({ id }) => id === one.id);
}

/**
 * `xl list`. The I/O domain is listed only when it is asked for: scripts take each row but domain 0's for a guest, which they may
 * save, move or shut down.
 */
export async function list(asker: Asker, words: string[], { out }: XlOutput): Promise<void> {
  const options = {
    l: { long: "long" },
    v: { long: "verbose" },
    Z: { long: "context" },
    c: { long: "cpupool" },
    n: { long: "numa" },
  };
  const { rest, given } = readArguments("list", words, options, 0, 1);
  const rows = await rowsOf(asker, rest[0]);
  if (given.has("l")) {
    const details = [];
    for (const row of rows.filter((row) => row.id === 0 || isGuest(row))) details.push(await detailsOf(asker, row));
    out(`${JSON.stringify(details, null, 4)}\n`);
    return;
  }
  const verbose = given.has("v");
  // Labels are among the details of -v already.
  const more = MORE_COLUMNS.filter(([letter]) => given.has(letter) && !(letter === "Z" && verbose));
  const titles = verbose ? "   UUID                            Reason-Code\tSecurity Label" : "";
  const values = more.map(([, , value]) => value).join("");
  out(
    `Name                                        ID   Mem VCPUs\tState\tTime(s)${titles}${more.map(([, title]) => title).join("")}\n`,
  );
  for (const row of rows) {
    const { id, name, memoryMib, vcpus, state, cpuSeconds } = row;
    const numbers = `${String(id).padStart(5)} ${String(memoryMib).padStart(5)} ${String(vcpus).padStart(5)}`;
    const details = verbose ? await verboseColumns(asker, row) : "";
    out(`${name.padEnd(40)} ${numbers}     ${state}  ${cpuSeconds.toFixed(1).padStart(8)}${details}${values}\n`);
  }
}

/** A domain as libxl describes it in JSON, as far as it is known: of domain 0 its name and its size. */
async function detailsOf(asker: Asker, { id, name, memoryMib, vcpus }: Row) {
  if (id === 0) {
    const memory = memoryMib * KIB_PER_MIB;
    const built = { max_vcpus: vcpus, max_memkb: memory, target_memkb: memory };
    return { domid: 0, config: { c_info: { type: "pv", name, uuid: NO_UUID }, b_info: built } };
  }
  const info = await asker.ask(infoRequest, { id: String(id) });
  if (!("uuid" in info)) throw new XlError(`${id} is no guest`);
  const [share] = await asker.ask(schedRequest, { id: String(id), weight: undefined, cap: undefined });
  return { domid: id, config: libxlConfig({ ...info, share: share && { weight: share.weight, cap: share.cap } }) };
}

/** UUID, why it is shut down (SHUTDOWN_*, in hexadecimal), and the label that FLASK would have given it. */
async function verboseColumns(asker: Asker, row: Row): Promise<string> {
  const uuid = isGuest(row) ? (await detailsOf(asker, row)).config.c_info.uuid : NO_UUID;
  const reason = row.state[3] === "s" ? SHUTDOWN_LETTERS.indexOf(row.state[4]!).toString(16) : "-";
  return ` ${uuid} ${reason.padStart(8)} ${"-".padStart(16)}`;
}

export async function domid(asker: Asker, words: string[], { out }: XlOutput): Promise<void> {
  const { rest } = readArguments("domid", words, {}, 1);
  const found = (await asker.ask(listRequest, {})).find(({ name }) => name === rest[0]);
  if (found === undefined)
    throw new XlError(`Can't get domid of domain name '${rest[0]}', maybe this domain does not exist.`);
  out(`${found.id}\n`);
}

export async function domname(asker: Asker, words: string[], { out }: XlOutput): Promise<void> {
  const { rest } = readArguments("domname", words, {}, 1);
  if (!/^[0-9]+$/.test(rest[0]!)) throw new XlError(`Invalid domain id.`);
  const found = (await asker.ask(listRequest, {})).find(({ id }) => id === Number(rest[0]));
  if (found === undefined)
    throw new XlError(`Can't get domain name of domain id '${rest[0]}', maybe this domain does not exist.`);
  out(`${found.name}\n`);
}

export async function info(asker: Asker, words: string[], { out }: XlOutput): Promise<void> {
  const { rest, given } = readArguments("info", words, { n: { long: "numa" } }, 0, 1);
  const machine = await asker.ask(infoRequest, { id: undefined });
  if (!("memoryBytes" in machine)) throw new XlError("the machine's information is not there");
  const [, major, minor, extra] = /^(\d+)\.(\d+)(.*)$/.exec(machine.xen) ?? ["", "", "", ""];
  const rows: [string, string | number][] = [
    ["release", machine.version],
    ["machine", "x86_64"],
    ["nr_cpus", machine.cpus],
    ["max_cpu_id", machine.cpus - 1],
    ["nr_nodes", 1],
    ["cores_per_socket", machine.cpus],
    ["threads_per_core", 1],
    ["cpu_mhz", (machine.cpuKhz / 1000).toFixed(3)],
    ["virt_caps", machine.guestTypes === "" ? "" : "hvm hap"],
    ["total_memory", Math.floor(machine.memoryBytes / MIB)],
    ["free_memory", Math.floor(machine.freeBytes / MIB)],
    ["sharing_freed_memory", 0],
    ["sharing_used_memory", 0],
    ["outstanding_claims", 0],
    ["free_cpus", 0],
    ["xen_major", major!],
    ["xen_minor", minor!],
    ["xen_extra", extra!],
    ["xen_version", machine.xen],
    ["xen_caps", machine.guestTypes],
    ["xen_scheduler", machine.scheduler],
    ["xen_pagesize", 4096],
    ["xend_config_format", 4],
  ];
  if (rest[0] !== undefined && !given.has("n")) {
    // As xl: of one that there is not, nothing.
    for (const [name, value] of rows) if (name.startsWith(rest[0])) out(`${value}\n`);
    return;
  }
  for (const [name, value] of rows) {
    if (given.has("n") && name === "xen_major") out(numaLines(machine));
    out(`${name.padEnd(22)} : ${value}\n`);
  }
}

/** The one node, which has all CPUs and all memory. */
function numaLines({ cpus, memoryBytes, freeBytes }: { cpus: number; memoryBytes: number; freeBytes: number }): string {
  const columns = (...numbers: number[]) => numbers.map((number) => String(number).padStart(4)).join("     ");
  const topology = Array.from({ length: cpus }, (_, cpu) => `${String(cpu).padStart(3)}:    ${columns(cpu, 0, 0)}\n`);
  const mib = (bytes: number) => String(Math.floor(bytes / MIB)).padStart(6);
  return (
    `cpu_topology           :\ncpu:    core    socket     node\n${topology.join("")}` +
    "device topology        :\ndevice           node\nNo device topology data available\n" +
    "numa_info              :\nnode:    memsize    memfree    distances\n" +
    `   0:    ${mib(memoryBytes)}     ${mib(freeBytes)}      10\n`
  );
}

/** xl's -s: a line each, with the time of day here. */
function shortUptime(name: string, id: number, seconds: number): string {
  const [clock] = new Date().toTimeString().split(" ");
  return ` ${clock} up ${uptimeText(seconds, true)}, ${name} (${id})\n`;
}

export async function uptime(asker: Asker, words: string[], { out }: XlOutput): Promise<void> {
  const { rest, given } = readArguments("uptime", words, { s: {} }, 0, 1024);
  const ids: string[] = [];
  for (const which of rest) ids.push(String((await findDomain(asker, which)).id));
  const rows = await asker.ask(uptimeRequest, { ids: ids.length === 0 ? undefined : ids });
  if (!given.has("s")) out(`${"Name".padEnd(33)} ${"ID".padStart(4)} Uptime\n`);
  for (const { name, id, seconds } of rows) {
    // As xl: of a domain whose start is not known, nothing.
    if (seconds === null) continue;
    out(
      given.has("s")
        ? shortUptime(name, id, seconds)
        : `${name.padEnd(33)} ${String(id).padStart(4)} ${uptimeText(seconds)}\n`,
    );
  }
}

/** The domains that a list of devices is wanted of. */
async function named(asker: Asker, words: string[], name: XlCommandName): Promise<XlDomain[]> {
  const { rest } = readArguments(name, words, {}, 1, 1024);
  const domains: XlDomain[] = [];
  for (const which of rest) domains.push(await findDomain(asker, which));
  return domains;
}

/** XenbusState of a connected device, and of one that waits: xl's `state` column. */
const XENBUS: Readonly<Record<string, number>> = { waiting: 2, connected: 4, going: 5, failed: 6, lost: 6 };

export async function networkList(asker: Asker, words: string[], { out }: XlOutput): Promise<void> {
  const domains = await named(asker, words, "network-list");
  out("Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path\n");
  const vifs = await asker.ask(vifListRequest, {});
  for (const { id } of domains) {
    for (const { vif, mac, state } of vifs.filter(({ domain }) => domain === id)) {
      out(
        `${String(vif).padEnd(3)} ${"0".padEnd(2)} ${mac.padEnd(17)} ${String(vif).padStart(6)} ` +
          `${String(XENBUS[state] ?? 0).padStart(5)} ${"-1".padStart(6)} ${"-1".padStart(8)}/${"-1".padEnd(11)} ` +
          `/local/domain/0/backend/vif/${id}/${vif}\n`,
      );
    }
  }
}

export async function blockList(asker: Asker, words: string[], { out }: XlOutput): Promise<void> {
  const domains = await named(asker, words, "block-list");
  out("Vdev  BE  handle state evt-ch ring-ref BE-path\n");
  const vbds = await asker.ask(vbdListRequest, {});
  for (const { id } of domains) {
    for (const { vdev, state } of vbds.filter(({ domain }) => domain === id)) {
      out(
        `${vdev.padEnd(5)} ${"0".padEnd(3)} ${String(id).padEnd(6)} ${String(XENBUS[state] ?? 0).padEnd(5)} ` +
          `${"-1".padEnd(6)} ${"-1".padEnd(8)} /local/domain/0/backend/vbd/${id}/${vdev}\n`,
      );
    }
  }
}
