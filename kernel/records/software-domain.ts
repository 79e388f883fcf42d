/**
 * The record of a software-isolated domain in addition to its Domain record: one heap object each, charged to
 * the domain, reached through Domain.software.
 */
import { Domain } from "./domain";

/** Restarts tolerated within CRASH_WINDOW_NS (software-restart.ts). */
export const RESTARTS_MAX: u32 = 5;

@unmanaged
export class SoftwareDomain {
  /** Physical address of its call page (abi/software.ts, CallPage). */
  callPagePa: u64;
  /** Number of its linear memory (a space of hw). */
  space: u32;
  /** Current size of its engine's memory, and its maximum, in 4 KiB pages. */
  enginePages: u32;
  enginePagesMax: u32;
  /** Pages of the engine's memory that are allocated or claimed, enginePages or more. */
  enginePagesClaimed: u32;
  /** Times it was restarted. */
  restarts: u32;
  /** System times of the latest RESTARTS_MAX restarts, ns: a ring, indexed by `restarts`. */
  restartTime0: u64;
  restartTime1: u64;
  restartTime2: u64;
  restartTime3: u64;
  restartTime4: u64;
  /** 1 from softwareRestartLater until it is restarted; and the next Domain on its CPU's list (Cpu.restarts). */
  restartWanted: u32;
  nextRestart: usize;
  /** 1: that restart is not counted as a crash. */
  restartForgiven: u32;
}

/** The record of a domain of kind Software. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function softwareOf(d: Domain): SoftwareDomain {
  return changetype<SoftwareDomain>(d.software);
}
