/**
 * Pacemaker's agent for Xen, unchanged from Debian's package, with our `xl`: guests that are destroyed, do not obey or cannot be made; a domain 0
 * that hangs meanwhile; memory that is shared out.
 */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { PROMPT } from "../../scripts/machine.ts";
import { COMMAND_MS, powerOff, settle, WATCHDOG_MS } from "../boot/support/boot.ts";
import { readInfo, readList } from "../boot/support/ganeti.ts";
import { agent, does, ERR_GENERIC, ERR_INSTALLED, obeying, SUCCESS, NOT_RUNNING } from "../boot/support/pacemaker.ts";
import { XlMachine } from "../boot/support/xl-machine.ts";

async function meetsFailures(t: ExecutionContext, host: XlMachine): Promise<void> {
  // It is destroyed behind the agent's back.
  const gone = obeying(host, "gone", "crash");
  await does(t, host, "start", gone, SUCCESS);
  await does(t, host, "monitor", gone, SUCCESS);
  t.is((await host.xl("destroy", "gone")).status, 0);
  await does(t, host, "monitor", gone, NOT_RUNNING);
  await does(t, host, "stop", gone, SUCCESS);

  // One that does not obey is destroyed when its time is over.
  const deaf = obeying(host, "deaf", "deaf");
  await does(t, host, "start", deaf, SUCCESS);
  const stopped = await does(t, host, "stop", deaf, SUCCESS, { shutdown_timeout: "1" });
  t.regex(stopped.err, /deaf will be destroyed/);
  t.is((await host.xl("domid", "deaf")).status, 1);

  // Files that are wrong, or not there.
  const bad = path.join(host.folder, "bad.cfg");
  writeFileSync(bad, 'name = "bad"\ntype = "pvh"\nkernel = "/boot/vmlinuz"\nmemory = "much"\n');
  t.regex((await does(t, host, "start", bad, ERR_GENERIC)).err, /bad\.cfg:4: memory: "much" is not a whole number/);
  writeFileSync(bad, 'name = "bad"\ntype = "pvh"\nkernel = "/nowhere/vmlinuz"\n');
  t.regex((await does(t, host, "start", bad, ERR_GENERIC)).err, /there is no file \/nowhere\/vmlinuz/);
  t.regex((await does(t, host, "start", path.join(host.folder, "none.cfg"), ERR_INSTALLED)).err, /does not exist/);
  t.regex((await does(t, host, "migrate_to", gone, ERR_GENERIC)).err, /Not active locally/);
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

test("Pacemaker's agent ends what does not obey, tells what is wrong, outlasts domain 0, shares memory out", async (t) => {
  t.timeout(900_000);
  const host = await XlMachine.start(t);
  await meetsFailures(t, host);
  await survivesDomain0(t, host);
  // It changes the memory of every guest that there is.
  await managesMemory(t, host);
  t.deepEqual(
    readList((await host.xl("list")).out).map(({ name }) => name),
    ["Domain-0"],
  );
  await powerOff(t, host.machine);
});
