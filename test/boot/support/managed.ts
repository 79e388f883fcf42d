/** A machine as `npm start` makes it for `chaos` and `xl`: with a key of its own, and a port of this computer's. */
import type { ExecutionContext } from "ava";
import { prepareControl, type Control } from "../../../scripts/control.ts";
import type { Machine } from "../../../scripts/machine.ts";
import { listMachines, removeMachine } from "../../../toolstack/cli/connection/machines.ts";
import { bootToPrompt, COMMAND_MS, type BootOptions } from "./boot.ts";

const ADDRESS = /domain 0's network: 10\.0\.2\.4\/24/;

/** Starts one, the only one that is recorded in this process' runtime folder. */
export async function startManaged(
  t: ExecutionContext,
  options: BootOptions = {},
): Promise<{ machine: Machine; control: Control }> {
  for (const { name } of listMachines()) removeMachine(name); // the test's before
  const control = await prepareControl(undefined);
  const machine = await bootToPrompt(t, {
    nic: "virtio-net",
    commandLine: control.word,
    ...options,
    modules: [...control.modules, ...(options.modules ?? [])],
    forwards: [control.forward],
  });
  await machine.waitFor(ADDRESS, COMMAND_MS, "domain 0's address");
  control.record();
  return { machine, control };
}

/** Lets domain 0 crash, and waits until the new one can be reached. */
export async function crashDomain0(machine: Machine): Promise<void> {
  machine.send("js memory.store32(0xc01ff000, 3), hypercall(29, 2, 0xc01ff000)\r"); // SCHEDOP_shutdown, SHUTDOWN_crash
  await machine.waitFor(/Domain 0 is restarted: /, COMMAND_MS, "domain 0's restart");
  await machine.waitFor(ADDRESS, COMMAND_MS, "domain 0's address again");
}
