/** The clock of a Linux guest: as fast as the machine's, and right without anybody setting it. */
import { linuxModules } from "../../scripts/linux/guest.ts";
import { bootToPrompt, evaluate, powerOff } from "./support/boot.ts";
import { LINUX_MS, startLinux } from "./support/linux.ts";
import { packageTests } from "./support/packages.ts";

/** How far apart the clocks may run: 0.1 %, over a minute. */
const PARTS = 1e-3;
const MINUTE_S = 60;
/** Readings at either end; the one that was under way for the shortest time counts. */
const READINGS = 8;
/** The machine's clock chip counts seconds. */
const DATE_S = 30;

const { modules, test, why } = packageTests(() => linuxModules());

test(`a Linux guest's clock stays within 0.1 % of the machine's over a minute, and has the date${why}`, async (t) => {
  t.timeout(LINUX_MS * 3);
  const machine = await bootToPrompt(t, { memoryMib: 640, modules });
  const { shell } = await startLinux(machine, "linux");
  await shell.enter();

  const date = Number((await shell.run("date +%s")).trim());
  t.true(Math.abs(date - Date.now() / 1000) < DATE_S, `the guest's date is ${new Date(date * 1000).toISOString()}`);

  /** One clock's reading with the host's time at its middle, and how long it was under way. */
  const read = async (clock: () => Promise<number>) => {
    let best = { value: 0, host: 0, took: Infinity };
    for (let i = 0; i < READINGS; i++) {
      const start = performance.now() / 1000;
      const value = await clock();
      const took = performance.now() / 1000 - start;
      if (took < best.took) best = { value, host: start + took / 2, took };
    }
    return best;
  };
  const both = async () => {
    const guest = await read(async () => Number((await shell.run("cat /proc/uptime")).split(" ")[0]));
    await shell.leave();
    const own = await read(async () => (await evaluate<number>(machine, "uptimeNs()")) / 1e9);
    await shell.enter();
    return { guest, own };
  };
  const before = await both();
  await shell.run(`sleep ${MINUTE_S}`);
  const after = await both();

  const rate = (clock: "guest" | "own") =>
    (after[clock].value - before[clock].value) / (after[clock].host - before[clock].host);
  const parts = (value: number) => `${((value - 1) * 1e6).toFixed(0)} parts in a million`;
  t.log(`against this computer's clock: the guest's ${parts(rate("guest"))}, Typevisor's ${parts(rate("own"))}`);
  t.true(Math.abs(rate("guest") - 1) < PARTS);
  t.true(Math.abs(rate("own") - 1) < PARTS);
  await shell.leave();
  await powerOff(t, machine);
});
