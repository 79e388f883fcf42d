/** An error in a guest's image or configuration, with a message for the user. */
export class BuildError extends Error {
  override name = "BuildError";
}
