/** The part of the package that packages.ts uses: it has no types of its own. */
declare module "mustache" {
  const Mustache: { render(template: string, view: unknown): string };
  export default Mustache;
}
