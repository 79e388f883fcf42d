/**
 * More guests than 2-level event channels and 1 MiB of stable memory had room for: 3,000, paused; domain 0 is then restarted,
 * knows them all, runs one, and destroys them. In the environment: MANY_GUESTS (3000).
 */
import test from "ava";
import { bootToPrompt, COMMAND_MS, evaluate, hangDomain0, settle } from "../boot/support/boot.ts";

const GUESTS = Number(process.env["MANY_GUESTS"] ?? 3000);
const GUEST_MIB = 2;
const LONG_MS = 1_800_000;

test(`${GUESTS} guests: made, kept over a restart of domain 0, one of them runs, all destroyed`, async (t) => {
  t.timeout(2 * LONG_MS);
  // A guest's RAM and what it takes beyond it, for twice as many megabytes at most; and Typevisor's own.
  const memoryMib = 512 + Math.ceil(GUESTS * GUEST_MIB * 1.15);
  const machine = await bootToPrompt(t, { memoryMib });
  const command = (line: string) => machine.command(line, LONG_MS);
  const count = async () =>
    (await evaluate<{ id: number }[]>(machine, "domains.all().map(({ id }) => ({ id }))")).length;

  const make =
    `js (async () => { const kernel = modules.find((m) => m.name === "hello"); ` +
    `for (let i = 0; i < ${GUESTS}; i++) { ` +
    `await domains.create({ kernel, commandLine: "", memoryMib: ${GUEST_MIB}, vcpus: 1 }); await sleep(0); } ` +
    `return "made " + domains.all().length; })()`;
  t.regex(await command(make), new RegExp(`made ${GUESTS}`));
  t.is(await count(), GUESTS);

  await hangDomain0(machine);
  t.is(await count(), GUESTS, "the next domain 0 knows them all");
  t.is(
    await evaluate<number>(machine, "domains.all().filter((d) => d.request !== null && d.console !== null).length"),
    GUESTS,
    "how to make them again, and their consoles",
  );
  const last = await evaluate<number>(machine, "domains.all().at(-1).id");
  machine.send(`unpause ${last}\r`);
  await machine.waitFor(new RegExp(`domain ${last} .* has ended: poweroff`), COMMAND_MS, "the last guest's end");
  await settle(machine);
  t.is(await count(), GUESTS - 1);

  const destroy =
    `js (async () => { for (const d of domains.all()) { domains.destroy(d); await domains.gone(d); } ` +
    `return "left " + domains.all().length; })()`;
  t.regex(await command(destroy), /left 0/);
  t.notRegex(machine.output, /PANIC|uncaught|restarted:(?!.*watchdog)/);
});
