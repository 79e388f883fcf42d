/** Powers off or reboots the machine, by domain 0's own shutdown. */
import { flushAll } from "./console/output.ts";
import { shutdownMachine } from "./hypercalls/sched.ts";

/** Ends the machine: SHUTDOWN_poweroff or SHUTDOWN_reboot; queued output is printed first. */
export function endMachine(reason: number): void {
  flushAll();
  shutdownMachine(reason);
}
