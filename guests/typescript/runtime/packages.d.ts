/** Packages without types of their own. */
declare module "path-browserify" {
  const path: typeof import("node:path");
  export default path;
}
