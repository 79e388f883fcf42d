/** Why a command or request failed, in words. */
import { CommandError } from "../../api/command-error.ts";
import { BuildError } from "../builder/build-error.ts";
import { describeError } from "../failures.ts";
import { HypercallError } from "../hypercall.ts";
import { IoError } from "../noxs/io-requests.ts";

/** Whether an error is what can happen to a request; others are faults of domain 0's. */
export function isExpected(error: unknown): boolean {
  return [CommandError, BuildError, HypercallError, IoError].some((kind) => error instanceof kind);
}

/** Text of an error: expected ones on one line, others with their stack. */
export function errorText(error: unknown): string {
  if (error instanceof CommandError || error instanceof BuildError) return error.message;
  if (error instanceof HypercallError) return `the hypervisor refused ${error.message}`;
  if (error instanceof IoError && error.lost) {
    return `the I/O domain was restarted before it had answered ${error.message}: whether it was done is not known`;
  }
  if (error instanceof IoError) return `the I/O domain refused ${error.message}`;
  return describeError(error);
}
