/** What may happen after a domain has shut down: xl's on_poweroff, on_reboot, on_crash and on_soft_reset, with its defaults. */

export const END_ACTIONS = ["destroy", "restart", "preserve"] as const;
export type EndAction = (typeof END_ACTIONS)[number];

/** A domain that has started another kernel (Linux's kexec) goes on with that, in its memory. */
export const SOFT_RESET = "soft-reset";
export const RESET_ACTIONS = [SOFT_RESET, ...END_ACTIONS] as const;
export type ResetAction = (typeof RESET_ACTIONS)[number];

export interface EndPolicy {
  poweroff: EndAction;
  reboot: EndAction;
  /** For a watchdog that ran out too. */
  crash: EndAction;
  softReset: ResetAction;
}

export const DEFAULT_POLICY: Readonly<EndPolicy> = {
  poweroff: "destroy",
  reboot: "restart",
  crash: "destroy",
  softReset: SOFT_RESET,
};
