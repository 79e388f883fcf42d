/** Domain 0 fails: an uncaught exception, an endless loop, out of memory. The machine and the guests keep running. */
import test from "ava";
import type { Machine } from "../../scripts/machine.ts";
import {
  bootToPrompt,
  COMMAND_MS,
  consoleSays,
  GUEST_MS,
  hangDomain0,
  MACHINES,
  powerOff,
  settle,
  WATCHDOG_MS,
} from "./support/boot.ts";
import { frames } from "./support/frames.ts";

/** How many timers the guest `timer` has seen, by its console. */
async function timersSeen(machine: Machine, id: string): Promise<number> {
  return Number((await consoleSays(machine, id, /[^]*\btimer (\d+): \d+ us late[^]*$/, COMMAND_MS))[1]);
}

for (const kind of MACHINES) {
  test.serial(`domain 0 dies and comes back on ${kind} while a guest runs on`, async (t) => {
    t.timeout(GUEST_MS * 2);
    const machine = await bootToPrompt(t, { kind });
    const clock = "--kernel timer --name clock --cmdline 'count=100000 limit=1000000'";
    const id = await machine.createDomain(clock, COMMAND_MS);
    const seen = await timersSeen(machine, id);

    // An exception in a callback: reported with its stack, the same domain 0 continues.
    machine.send("js kept = 'still here', setTimeout(function later() { undefinedName() }, 1)\r");
    await machine.waitFor(/ReferenceError: .*undefinedName[^]*at later/, COMMAND_MS, "the report of the exception");
    await settle(machine);
    t.regex(await machine.command("js kept", COMMAND_MS), /still here/);

    // No memory left: the command fails, what it held is collected.
    const grow = "js (() => { const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1)); })()";
    t.regex(await machine.command(grow, WATCHDOG_MS), /InternalError: out of memory/);
    t.regex(await machine.command("js kept", COMMAND_MS), /still here/);

    // An endless loop: the watchdog ends this domain 0, another starts from the image.
    await hangDomain0(machine);
    t.regex(await machine.command("js typeof kept", COMMAND_MS), /undefined/);
    t.regex(await machine.command("list", COMMAND_MS), new RegExp(`^clock +${id} `, "m"));
    t.true((await timersSeen(machine, id)) > seen, "the guest's timers went on");

    // Dying once more costs nothing that stays.
    const before = await frames(machine);
    await hangDomain0(machine);
    t.deepEqual(await frames(machine), before);
    await machine.command(`destroy ${id}`, COMMAND_MS);
    t.regex(await machine.command("create --kernel hello --wait", GUEST_MS), /PASS hello/);
    await powerOff(t, machine);
  });
}
