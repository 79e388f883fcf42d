/** What is wrong with a guest's image or configuration, in words for the user. */
export class BuildError extends Error {
  override name = "BuildError";
}
