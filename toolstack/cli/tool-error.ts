/** Errors of commands that are told in their own words; others are faults of ours, and shown with their stack. */
import { BuildError } from "../../scripts/build/task.ts";
import { CommandError } from "../api/command-error.ts";
import { ConfigError } from "./config/problems.ts";
import { ConnectionLost, RequestFailed } from "./connection/client.ts";

const KINDS = [BuildError, CommandError, ConfigError, ConnectionLost, RequestFailed];

/** Also what is a plain Error: our own code and Node's systems throw those with a text for the user. */
export function isToolError(error: unknown): error is Error {
  if (KINDS.some((kind) => error instanceof kind)) return true;
  return error instanceof Error && error.constructor === Error;
}
