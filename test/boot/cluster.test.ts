/** Pacemaker's agent for Xen and its tester, unchanged from Debian's package, drive our `xl`, and a machine in QEMU behind it. */
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { listMachines } from "../../toolstack/cli/connection/machines.ts";
import { powerOff } from "./support/boot.ts";
import { hypervisorMib, readInfo, readList, readUptime } from "./support/ganeti.ts";
import { agent, AGENT, does, NOT_RUNNING, obeying, SUCCESS } from "./support/pacemaker.ts";
import { XlMachine } from "./support/xl-machine.ts";

/** Package resource-agents: scripts/setup.ts. */
const TESTER = "/usr/sbin/ocf-tester";

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

/** A guest crashes behind the agent's back. */
async function noticesCrash(t: ExecutionContext, host: XlMachine): Promise<void> {
  const crashing = obeying(host, "crashing", "crash");
  await does(t, host, "start", crashing, SUCCESS);
  t.is((await host.xl("sysrq", "crashing", "c")).status, 0);
  await host.machine.waitFor(/\(crashing\) has ended: crash/, 120_000, "the guest's crash");
  await does(t, host, "monitor", crashing, NOT_RUNNING);
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
  // The one that has crashed may have been on its way out when they were listed.
  for (const { id, name } of instances.filter((each) => each.name !== "crashing")) {
    t.regex(uptimes.get(id) ?? "", /^(\d+ days?, +)?\d+:\d\d:\d\d$/, name);
  }
  // Its check whether xl is there at all.
  t.is((await host.xl("help")).status, 0);
  for (const name of ["ended", ...names]) t.is((await host.xl("destroy", name)).status, 0);
}

test("ocf-tester passes; Pacemaker's agent notices a guest that has crashed; Ganeti reads what xl prints", async (t) => {
  t.timeout(900_000);
  const host = await XlMachine.start(t);
  // The agent and the tester mostly sleep.
  await Promise.all([
    passesOcfTester(t, host),
    noticesCrash(t, host).then(() => isFoundByAddress(t, host)),
    isReadByGaneti(t, host),
  ]);
  t.deepEqual(
    readList((await host.xl("list")).out).map(({ name }) => name),
    ["Domain-0"],
  );
  await powerOff(t, host.machine);
  t.is((await agent(host, "monitor", host.config("tested"))).status, NOT_RUNNING, "the machine is off");
});
