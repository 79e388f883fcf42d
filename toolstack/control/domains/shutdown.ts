/** The reason of a domain's shutdown, as text. */
import {
  SHUTDOWN_crash,
  SHUTDOWN_poweroff,
  SHUTDOWN_reboot,
  SHUTDOWN_soft_reset,
  SHUTDOWN_suspend,
  SHUTDOWN_watchdog,
} from "../../../abi/sched.ts";

/** A reason by SHUTDOWN_*, or "destroyed" for a domain that was ended from outside. */
export type EndReason = "poweroff" | "reboot" | "suspend" | "crash" | "watchdog" | "soft reset" | "destroyed" | string;

const REASONS: Record<number, EndReason> = {
  [SHUTDOWN_poweroff]: "poweroff",
  [SHUTDOWN_reboot]: "reboot",
  [SHUTDOWN_suspend]: "suspend",
  [SHUTDOWN_crash]: "crash",
  [SHUTDOWN_watchdog]: "watchdog",
  [SHUTDOWN_soft_reset]: "soft reset",
};

export function shutdownReason(code: number): EndReason {
  return REASONS[code] ?? `shutdown reason ${code}`;
}

/** True for an abnormal end. */
export function isFailure(reason: EndReason): boolean {
  return reason === "crash" || reason === "watchdog" || reason === "destroyed";
}
