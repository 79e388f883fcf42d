/** What is said of a configuration that is refused. */
import type { ExecutionContext } from "ava";
import { ConfigError, formatProblem } from "../../../toolstack/cli/config/problems.ts";
import type { ReadConfig } from "../../../toolstack/cli/config/read-config.ts";

/** The lines of the error that `read` must throw. */
export function faultsOf(t: ExecutionContext, read: () => unknown): string[] {
  const error = t.throws(read, { instanceOf: ConfigError });
  return error!.message.split("\n");
}

export function notesOf(config: ReadConfig): string[] {
  return config.notes.map(formatProblem);
}
