/** A command that failed for a reason the user understands: shown without a stack. */
export class CommandError extends Error {
  override name = "CommandError";
}
