/** Pacemaker's agent for Xen and its tester, unchanged from Debian's package, drive our `xl`, and a machine in QEMU behind it. */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { PROMPT } from "../../scripts/machine.ts";
import { guestsFolder } from "../../scripts/paths.ts";
import { listMachines } from "../../toolstack/cli/connection/machines.ts";
import { COMMAND_MS, powerOff, settle, WATCHDOG_MS } from "./support/boot.ts";
import { hypervisorMib, readInfo, readList, readUptime } from "./support/ganeti.ts";
import { XlMachine, type Said } from "./support/xl-machine.ts";

/** Package resource-agents: scripts/setup.ts. */
const AGENT = "/usr/lib/ocf/resource.d/heartbeat/Xen";
const TESTER = "/usr/sbin/ocf-tester";

/** What an agent's action ends with (OCF resource agent API). */
const SUCCESS = 0;
const ERR_GENERIC = 1;
const ERR_INSTALLED = 5;
const NOT_RUNNING = 7;

/** The whole sequence of the tester: five stopped resources are each looked at for five seconds before they are believed. */
async function passesOcfTester(t: ExecutionContext, host: XlMachine): Promise<void> {
  const options = [
    `xmfile=${host.config("tested")}`,
    "shutdown_timeout=60",
    // The tester asks for a migration of the stopped guest, which the agent waits for: for this time, ms, and not for 20 s.
    "CRM_meta_timeout=1500",
  ];
  const { status, out, err } = await host.run(TESTER, ["-n", "vm", ...options.flatMap((one) => ["-o", one]), AGENT]);
  t.is(status, 0, `${out}${err}`);
  t.true(out.endsWith(`${AGENT} passed all tests\n`), out);
  t.notRegex(out, /\* rc=/);
}

/** Runs the agent as Pacemaker does. Looks at a guest are the first ones (probes), which believe what they see. */
function agent(
  host: XlMachine,
  action: string,
  xmfile: string,
  parameters: Record<string, string> = {},
): Promise<Said> {
  const given = { xmfile, CRM_meta_interval: "0", CRM_meta_timeout: "60000", ...parameters };
  return host.run(AGENT, [action], {
    OCF_ROOT: "/usr/lib/ocf",
    OCF_RESOURCE_INSTANCE: "vm",
    OCF_RESOURCE_TYPE: "Xen",
    __OCF_ACTION: action,
    ...Object.fromEntries(Object.entries(given).map(([name, value]) => [`OCF_RESKEY_${name}`, value])),
  });
}

/** A guest that crashes when it is told to, or does not end when it is asked to. */
function obeying(host: XlMachine, name: string, word: "crash" | "deaf"): string {
  const file = path.join(host.folder, `${name}.cfg`);
  const kernel = path.join(guestsFolder, "store.elf");
  writeFileSync(file, `name="${name}"\ntype="pvh"\nkernel="${kernel}"\nmemory=8\nextra="role=obey ${word}"\n`);
  return file;
}

async function meetsFailures(t: ExecutionContext, host: XlMachine): Promise<void> {
  const does = async (action: string, file: string, status: number, parameters?: Record<string, string>) => {
    const said = await agent(host, action, file, parameters);
    t.is(said.status, status, `${action} ${file}: ${said.out}${said.err}`);
    return said;
  };

  // It crashes, and it is destroyed, behind the agent's back.
  const crashing = obeying(host, "crashing", "crash");
  await does("start", crashing, SUCCESS);
  await does("monitor", crashing, SUCCESS);
  t.is((await host.xl("sysrq", "crashing", "c")).status, 0);
  await host.machine.waitFor(/\(crashing\) has ended: crash/, 120_000, "the guest's crash");
  await does("monitor", crashing, NOT_RUNNING);
  await does("start", crashing, SUCCESS);
  t.is((await host.xl("destroy", "crashing")).status, 0);
  await does("monitor", crashing, NOT_RUNNING);
  await does("stop", crashing, SUCCESS);

  // One that does not obey is destroyed when its time is over.
  const deaf = obeying(host, "deaf", "deaf");
  await does("start", deaf, SUCCESS);
  const stopped = await does("stop", deaf, SUCCESS, { shutdown_timeout: "1" });
  t.regex(stopped.err, /deaf will be destroyed/);
  t.is((await host.xl("domid", "deaf")).status, 1);

  // Files that are wrong, or not there.
  const bad = path.join(host.folder, "bad.cfg");
  writeFileSync(bad, 'name = "bad"\ntype = "pvh"\nkernel = "/boot/vmlinuz"\nmemory = "much"\n');
  t.regex((await does("start", bad, ERR_GENERIC)).err, /bad\.cfg:4: memory: "much" is not a whole number/);
  writeFileSync(bad, 'name = "bad"\ntype = "pvh"\nkernel = "/nowhere/vmlinuz"\n');
  t.regex((await does("start", bad, ERR_GENERIC)).err, /there is no file \/nowhere\/vmlinuz/);
  t.regex((await does("start", path.join(host.folder, "none.cfg"), ERR_INSTALLED)).err, /does not exist/);
  t.regex((await does("migrate_to", crashing, ERR_GENERIC)).err, /Not active locally/);
}

/** As on a cluster's node: the machine is named by its address and its key, and nothing else is known. */
async function isFoundByAddress(t: ExecutionContext, host: XlMachine): Promise<void> {
  const known = listMachines()[0]!;
  if (!("address" in known)) return t.fail("the machine has no address");
  const named = {
    CHAOS_HOST: `${known.address}:${known.port}`,
    CHAOS_KEY: known.keyFile,
    XDG_RUNTIME_DIR: "/nonexistent",
  };
  t.regex((await host.run("xl", ["list", "Domain-0"], named)).out, /\nDomain-0 /);
  const keyless = await host.run("xl", ["list"], { ...named, CHAOS_KEY: path.join(host.folder, "no.key") });
  t.is(keyless.status, 1);
  t.regex(keyless.err, /no\.key cannot be read/);
}

/** The agent shares memory out among its guests: it gives xl plain numbers, which are MiB. */
async function managesMemory(t: ExecutionContext, host: XlMachine): Promise<void> {
  const file = host.config("shared");
  writeFileSync(file, readFileSync(file, "utf8").replace("memory = 4", "memory=4"));
  const total = readInfo((await host.xl("info")).out).total_memory;
  const parameters = { allow_mem_management: "1", reserved_Dom0_memory: String(total - 6) };
  const started = await agent(host, "start", file, parameters);
  t.is(started.status, SUCCESS, `${started.out}${started.err}`);
  t.regex(readFileSync(file, "utf8"), /^memory=6$/m, "all that is not reserved is one guest's");
  const listed = await host.xl("list", "shared");
  t.regex(listed.out, /^shared +\d+ +6 +1 /m, `${listed.err}${started.out}${started.err}`);
  t.is((await agent(host, "stop", file, parameters)).status, SUCCESS);
}

/** Domain 0 hangs, and is restarted by its watchdog: its guests run on, and the agent does not take them for ended ones. */
async function survivesDomain0(t: ExecutionContext, host: XlMachine): Promise<void> {
  const { machine } = host;
  const file = host.config("steady");
  t.is((await agent(host, "start", file)).status, SUCCESS);
  machine.send("js while (true) {}\r");
  await machine.waitFor("while (true) {}", COMMAND_MS, "what was typed");
  const looked = await agent(host, "monitor", file);
  t.is(looked.status, SUCCESS, `${looked.out}${looked.err}`);
  await machine.waitFor(/domain 0 .*watchdog/i, WATCHDOG_MS, "the watchdog's report");
  await machine.waitFor(PROMPT, COMMAND_MS, "the new domain 0's prompt");
  await settle(machine);
  t.is((await agent(host, "stop", file)).status, SUCCESS);
}

async function isReadByGaneti(t: ExecutionContext, host: XlMachine): Promise<void> {
  const names = ["server01.example.com", "paused"];
  t.is((await host.xl("create", host.config(names[0]!))).status, 0);
  t.is((await host.xl("create", "-p", host.config(names[1]!))).status, 0);
  // It is kept when it has ended, as Ganeti has it of all of its instances.
  const ended = host.config("ended", "on_poweroff = 'preserve'\non_reboot = 'restart'\non_crash = 'restart'\n");
  t.is((await host.xl("create", ended)).status, 0);
  const waited = await host.xl("shutdown", "-w", "ended");
  t.is(waited.status, 0, waited.err);
  const instances = readList((await host.xl("list")).out);
  t.like(Object.fromEntries(instances.map(({ name, state }) => [name, state])), {
    "Domain-0": "running",
    [names[0]!]: "running",
    paused: "running",
    ended: "shutdown",
  });
  t.false(
    instances.some(({ name }) => name === "Domain-IO"),
    "an instance that Ganeti did not make",
  );
  t.regex((await host.xl("list", "Domain-IO")).out, /\nDomain-IO +32751 /);
  const node = readInfo((await host.xl("info")).out);
  t.like(node, { nr_cpus: 1, nr_nodes: 1, cpu_sockets: 1, xen_major: 4, xen_minor: 17 });
  t.true(hypervisorMib(node, instances) >= 0);
  const uptimes = readUptime((await host.xl("uptime")).out);
  for (const { id } of instances) t.regex(uptimes.get(id) ?? "", /^(\d+ days?, +)?\d+:\d\d:\d\d$/);
  // Its check whether xl is there at all.
  t.is((await host.xl("help")).status, 0);
  for (const name of ["ended", ...names]) t.is((await host.xl("destroy", name)).status, 0);
}

test("ocf-tester passes; Pacemaker's agent notices what ends, ends what does not obey, outlasts domain 0; Ganeti reads it", async (t) => {
  t.timeout(900_000);
  const host = await XlMachine.start(t);
  // The agent and the tester mostly sleep.
  await Promise.all([
    passesOcfTester(t, host),
    meetsFailures(t, host),
    isReadByGaneti(t, host),
    isFoundByAddress(t, host),
  ]);
  await survivesDomain0(t, host);
  // It changes the memory of every guest that there is.
  await managesMemory(t, host);
  t.deepEqual(
    readList((await host.xl("list")).out).map(({ name }) => name),
    ["Domain-0"],
  );
  await powerOff(t, host.machine);
  t.is((await agent(host, "monitor", host.config("tested"))).status, NOT_RUNNING, "the machine is off");
});
