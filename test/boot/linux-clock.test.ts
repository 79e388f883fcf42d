/** The clock of a Linux guest: as fast as the machine's, and correct without being set. */
import { linuxModules } from "../../scripts/linux/guest.ts";
import { bootToPrompt, evaluate, powerOff } from "./support/boot.ts";
import { LINUX_MS, startLinux } from "./support/linux.ts";
import { packageTests } from "./support/packages.ts";

/** How far apart the clocks may run: 0.1 %, over a minute. */
const PARTS = 1e-3;
const MINUTE_S = 60;
/** A reading that is under way for longer is made again, so many times; the shortest counts. */
const SHORT_S = 0.02;
const READINGS = 100;
/** What /proc/uptime leaves out. */
const HUNDREDTH_S = 0.01;
/** Readings may be too long for a verdict on a busy computer: then the clocks are compared over more minutes. */
const MINUTES = 8;
/** The machine's clock chip counts seconds. */
const DATE_S = 30;

const { modules, test, why } = packageTests(() => linuxModules());

test(`a Linux guest's clock stays within 0.1 % of the machine's over a minute, and has the date${why}`, async (t) => {
  t.timeout(LINUX_MS * 3 + MINUTES * MINUTE_S * 1000);
  const machine = await bootToPrompt(t, { memoryMib: 640, modules });
  const { shell } = await startLinux(machine, "linux");
  await shell.enter();

  const date = Number((await shell.run("date +%s")).trim());
  t.true(Math.abs(date - Date.now() / 1000) < DATE_S, `the guest's date is ${new Date(date * 1000).toISOString()}`);

  /** One clock's reading with the host's time at its middle, and how long it was under way. */
  const read = async (clock: () => Promise<number>) => {
    let best = { value: 0, host: 0, took: Infinity };
    for (let i = 0; i < READINGS && best.took > SHORT_S; i++) {
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
  /** How much faster a clock runs than this computer's, and how far that may be wrong. */
  const compare = async () => {
    const after = await both();
    return (["guest", "own"] as const).map((clock) => {
      const passed = after[clock].host - before[clock].host;
      const faster = (after[clock].value - before[clock].value) / passed - 1;
      return { clock, faster, doubt: ((before[clock].took + after[clock].took) / 2 + HUNDREDTH_S) / passed };
    });
  };
  const within = ({ faster, doubt }: { faster: number; doubt: number }) => Math.abs(faster) + doubt < PARTS;
  let compared;
  let minutes = 0;
  do {
    await shell.run(`sleep ${MINUTE_S}`);
    compared = await compare();
  } while (++minutes < MINUTES && !compared.every(within));

  const millionths = (value: number) => (value * 1e6).toFixed(0);
  for (const { clock, faster, doubt } of compared) {
    const words = `${clock}: ${millionths(faster)} parts in a million faster, give or take ${millionths(doubt)}`;
    t.log(`against this computer's clock over ${minutes} min, ${words}`);
    t.true(within({ faster, doubt }), words);
  }
  await shell.leave();
  await powerOff(t, machine);
});
