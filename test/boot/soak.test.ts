/** A short form of `npm run soak`: the same guests and the same questions, for seconds instead of minutes. */
import { runSoak, soakModules, UNIKERNELS } from "../../scripts/soak/run.ts";
import { packageTests } from "./support/packages.ts";

const SECONDS = 15;
const LIMIT_MS = 600_000;

const { modules, test, why } = packageTests(soakModules);

test(`stress-ng beside another Linux and three unikernels on qemu-svm: no error, no timer lost${why}`, async (t) => {
  t.timeout(LIMIT_MS);
  const progress = (text: string) => t.log(text);
  const result = await runSoak({ kind: "qemu-svm", seconds: SECONDS, modules, progress });
  t.deepEqual([...result.trouble], []);
  t.deepEqual([...result.timers.keys()], [...UNIKERNELS.keys()]);
  for (const [name, { worstUs, usualUs }] of result.timers) {
    t.log(`${name}: 99 in 100 less than ${usualUs} us late, worst ${worstUs} us`);
  }
});
