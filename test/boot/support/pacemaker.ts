/** Pacemaker's agent for Xen, unchanged from Debian's package, with our `xl` and a machine in QEMU behind it. */
import { writeFileSync } from "node:fs";
import path from "node:path";
import type { ExecutionContext } from "ava";
import { guestsFolder } from "../../../scripts/paths.ts";
import type { Said, XlMachine } from "./xl-machine.ts";

/** Package resource-agents: scripts/setup.ts. */
export const AGENT = "/usr/lib/ocf/resource.d/heartbeat/Xen";

/** What an agent's action ends with (OCF resource agent API). */
export const SUCCESS = 0;
export const ERR_GENERIC = 1;
export const ERR_INSTALLED = 5;
export const NOT_RUNNING = 7;

/** Runs the agent as Pacemaker does. Looks at a guest are the first ones (probes), which believe what they see. */
export function agent(
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

/** An action that must end with this status. */
export async function does(
  t: ExecutionContext,
  host: XlMachine,
  action: string,
  file: string,
  status: number,
  parameters?: Record<string, string>,
): Promise<Said> {
  const said = await agent(host, action, file, parameters);
  t.is(said.status, status, `${action} ${file}: ${said.out}${said.err}`);
  return said;
}

/** A guest that crashes when it is told to, or does not end when it is asked to. */
export function obeying(host: XlMachine, name: string, word: "crash" | "deaf"): string {
  const file = path.join(host.folder, `${name}.cfg`);
  const kernel = path.join(guestsFolder, "store.elf");
  writeFileSync(file, `name="${name}"\ntype="pvh"\nkernel="${kernel}"\nmemory=8\nextra="role=obey ${word}"\n`);
  return file;
}
