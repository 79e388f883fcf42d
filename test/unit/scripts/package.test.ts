/** The package that `npm pack` makes: what its bundles contain of others, and what it needs installed. */
import { readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import test from "ava";
import { bundleCommands, bundlesInside } from "../../../scripts/package/bundles.ts";
import { packagesIn } from "../../../scripts/package/licences.ts";
import { fromRoot } from "../../../scripts/paths.ts";

const manifest = JSON.parse(readFileSync(fromRoot("package.json"), "utf8")) as { dependencies: Record<string, string> };

test("NOTICE names every npm package that is in the package's bundles", async (t) => {
  const notice = readFileSync(fromRoot("NOTICE"), "utf8");
  const names = packagesIn([await bundleCommands(), ...(await bundlesInside())]).map((folder) =>
    folder.replace(/.*node_modules\//, ""),
  );
  t.true(
    ["commander", "valibot", "buffer"].every((name) => names.includes(name)),
    names.join(" "),
  );
  const named = new Set(notice.split(/[\s,:;]+/));
  t.deepEqual(
    names.filter((name) => !named.has(name)),
    [],
    "to be added to NOTICE",
  );
});

test("the commands import what Node has and what the package depends on, nothing else", async (t) => {
  const { outputs } = await bundleCommands();
  const outside = Object.values(outputs).flatMap(({ imports }) =>
    imports.filter(({ external }) => external).map(({ path: name }) => name),
  );
  const packages = [...new Set(outside.filter((name) => !isBuiltin(name)))];
  t.deepEqual(packages.sort(), Object.keys(manifest.dependencies).sort());
});
