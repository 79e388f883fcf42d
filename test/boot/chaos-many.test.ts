/** 1,000 domains made and destroyed by `chaos`, of which 200 have a vif: everything that they had is given back. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "ava";
import { guestsFolder } from "../../scripts/paths.ts";
import { evaluate, powerOff } from "./support/boot.ts";
import { engineFrames, expectHoldings, holdings, startControlled, startTool } from "./support/control.ts";
import { awaitValue } from "./support/control-network.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-many-"));
process.env.XDG_RUNTIME_DIR = folder;
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

/** Domains that there are at once, of 2 MiB each. */
const AT_ONCE = 180;
/** How many have a vif, twice. */
const WITH_VIF = 100;
/** Pages by which domain 0's heap may grow: what waits for its next garbage collection is some 200. */
const GROWN_MOST = 512;

test.serial("1,000 domains made and destroyed by chaos give everything back", async (t) => {
  const { machine } = await startControlled(t);
  const chaos = async (...words: string[]) => {
    const { status, out, err } = await startTool("chaos", words).said;
    t.is(status, 0, err);
    return out;
  };
  const config = path.join(folder, "many.json");
  const kernel = path.join(guestsFolder, "idle.elf");
  writeFileSync(
    config,
    JSON.stringify({ name: "many", kernel, memory: 2, vcpus: 1, paused: false, xen: { pvh: true } }),
  );
  /** Makes so many with these words, and destroys them. */
  const round = async (count: number, ...words: string[]) => {
    const made = (await chaos("create", "-n", String(count), ...words)).trim().split("\n");
    t.is(new Set(made).size, count);
    t.is(await evaluate<number>(machine, "domains.all().length"), count);
    await chaos("destroy", ...Array.from({ length: count }, (_, i) => `many-${i + 1}`));
    await awaitValue(machine, "net.count()", 0);
    return made.length;
  };
  const vifs = ["--kernel", "idle", "--memory", "2", "--name", "many", "--vif", "bridge=xenbr0"];

  // Everything once, as many at once as there will be: tables and heap pages for so many stay.
  let made = await round(AT_ONCE, config);
  made += await round(WITH_VIF, ...vifs);
  const before = await holdings(machine);
  const engine = await engineFrames(machine);
  const stable = await evaluate<{ used: number; touched: number }>(machine, "stablePages()");
  while (made < 1000 - WITH_VIF) made += await round(Math.min(AT_ONCE, 1000 - WITH_VIF - made), config);
  made += await round(WITH_VIF, ...vifs);
  t.is(made, 1000);
  await expectHoldings(t, machine, before, "1,000 domains");
  t.deepEqual(await evaluate(machine, "stablePages()"), stable);
  const grown = (await engineFrames(machine)) - engine;
  t.log(`domain 0's heap has grown by ${grown} pages in the last 720; ${JSON.stringify(stable)} of stable memory`);
  t.true(grown < GROWN_MOST, `domain 0 has grown by ${grown} pages`);
  await powerOff(t, machine);
});
