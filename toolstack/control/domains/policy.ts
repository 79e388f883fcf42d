/**
 * What happens after a domain has shut down: xl's on_poweroff, on_reboot, on_crash and on_soft_reset, with its
 * defaults. A domain that repeatedly ends soon after its start is restarted with increasing delays, and finally not at all.
 */
import { SOFT_RESET, type EndAction, type EndPolicy } from "../../api/policy.ts";
import { isFailure, type EndReason } from "./shutdown.ts";

/** Whether the domain is to be reset. */
export function resets(policy: EndPolicy, reason: EndReason): boolean {
  return reason === "soft reset" && policy.softReset === SOFT_RESET;
}

/** What the policy says when the domain is not reset, or could not be; "suspended" for a domain that waits to be resumed or destroyed. */
export function actionFor(policy: EndPolicy, reason: EndReason): EndAction | "suspended" {
  if (reason === "suspend") return "suspended";
  if (reason === "poweroff") return policy.poweroff;
  if (reason === "reboot") return policy.reboot;
  if (isFailure(reason)) return policy.crash;
  if (reason === "soft reset" && policy.softReset !== SOFT_RESET) return policy.softReset;
  return "destroy";
}

/** A domain that ran for less than this ended quickly. */
const QUICK_NS = 5e9;
const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 60_000;
/** Consecutive quick ends after which it is not restarted. */
const QUICK_MAX = 10;

/** Quick ends in a row, this one included. @param ranNs how long the domain ran */
export function quickEnds(before: number, ranNs: number): number {
  return ranNs < QUICK_NS ? before + 1 : 0;
}

/** Milliseconds to wait before the restart; null: no more restarts. */
export function restartDelay(quick: number): number | null {
  if (quick >= QUICK_MAX) return null;
  return quick <= 1 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** (quick - 2), LONGEST_DELAY_MS);
}
