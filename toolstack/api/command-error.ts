/** An expected failure of a command: shown without a stack. */
export class CommandError extends Error {
  override name = "CommandError";
}
