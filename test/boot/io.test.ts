/** The I/O domain on a whole machine: it is there, answers domain 0, dies and comes back. */
import test from "ava";
import type { Machine } from "../../scripts/machine.ts";
import { bootToPrompt, COMMAND_MS, evaluate, GUEST_MS, hangDomain0, MACHINES, powerOff } from "./support/boot.ts";
import { frames } from "./support/frames.ts";

/** How often it is killed. */
const KILLS = 20;
/** Crashes of its own within a minute that it comes back from. */
const RESTARTS = 5;

async function ping(machine: Machine, text: string): Promise<string> {
  return await machine.command(`js await io.ping(${JSON.stringify(text)})`, COMMAND_MS);
}

for (const kind of MACHINES) {
  test.serial(`the I/O domain answers, is killed ${KILLS} times, and answers again, on ${kind}`, async (t) => {
    t.timeout(GUEST_MS * 2);
    const machine = await bootToPrompt(t, { kind });
    t.regex(await machine.command("list", COMMAND_MS), /^Domain-IO +32751 +\d+ +1 +-b---- /m);
    t.regex(await ping(machine, "hello"), /"hello"/);
    t.is(await evaluate<number>(machine, "io.generation"), 1);
    for (const command of ["destroy 32751", "pause Domain-IO", "shutdown 32751"]) {
      t.regex(await machine.command(command, COMMAND_MS), /the I\/O domain serves devices to the guests: `io-restart`/);
    }
    const before = await frames(machine);
    for (let kill = 1; kill <= KILLS; kill++) {
      await machine.command("io-restart", COMMAND_MS);
      t.regex(await ping(machine, `after ${kill}`), new RegExp(`"after ${kill}"`));
    }
    t.is(await evaluate<number>(machine, "io.generation"), 1 + KILLS, "its stable memory counts them");
    t.deepEqual(await frames(machine), before, "nothing is left behind");
    t.regex(await machine.command("debug-keys a", COMMAND_MS), /0 violations/);

    // Another domain 0: it finds the channel that the one before had opened.
    await hangDomain0(machine);
    t.regex(await ping(machine, "a new domain 0"), /"a new domain 0"/);
    t.is(await evaluate<number>(machine, "io.generation"), 1 + KILLS);

    // Crashes are counted; too many, and it stays down until it is asked for.
    const crash = "js hypercall(29, 4, (memory.store32(0xc01ff000, 32751), memory.store32(0xc01ff004, 3), 0xc01ff000))";
    for (let n = 0; n <= RESTARTS; n++) await machine.command(crash, COMMAND_MS);
    t.regex(await machine.command("list", COMMAND_MS), /^Domain-IO +32751 +\d+ +1 +-b-sc- /m);
    t.regex(await ping(machine, "nobody"), /ENODEV/);
    await machine.command("io-restart", COMMAND_MS);
    t.regex(await ping(machine, "back"), /"back"/);
    await powerOff(t, machine);
  });
}

test.serial("io=off: a machine without devices", async (t) => {
  t.timeout(GUEST_MS);
  const machine = await bootToPrompt(t, { commandLine: "io=off" });
  t.notRegex(await machine.command("list", COMMAND_MS), /Domain-IO/);
  t.regex(await ping(machine, "nobody"), /ENODEV/);
  await powerOff(t, machine);
});
