/** xenstore on the machine: guests' nodes, permissions, requests to guests, and a domain 0 that crashes meanwhile. */
import test from "ava";
import {
  bootToPrompt,
  COMMAND_MS,
  consoleSays,
  GUEST_MS,
  hangDomain0,
  MACHINES,
  powerOff,
  settle,
} from "./support/boot.ts";
import { expectFrames, framesWarm } from "./support/frames.ts";

for (const kind of MACHINES) {
  test.serial(`a guest and its store on ${kind}; one domain attacks another's`, async (t) => {
    t.timeout(GUEST_MS * 8);
    const machine = await bootToPrompt(t, { kind });
    const before = await framesWarm(machine);
    const alone = await machine.command("create --kernel store --wait", GUEST_MS);
    t.regex(alone, /domain \d+ broke the xenstore protocol \(error 3\): disconnected/);
    t.regex(alone, /TYPEVISOR-GUEST: PASS store/);
    const victim = Number(alone.match(/^\d+/m)![0]) + 1;
    const create = (role: string, remote: number) =>
      `create --kernel store --name ${role} --cmdline 'role=${role} remote=${remote}'`;
    await machine.command(create("victim", victim + 1), COMMAND_MS);
    // In Bochs domain 0 works through the attack's thousands of requests for minutes.
    const attack = await machine.command(`${create("attacker", victim)} --wait`, GUEST_MS * 4);
    t.regex(attack, /quotas: 9\d\d nodes, 127 watches, 10 transactions/);
    t.regex(attack, /TYPEVISOR-GUEST: PASS store/);
    // Its end may be reported at any moment, also between two lines of a command: so it is queried.
    await machine.command("js (async () => { while (domains.find('victim')) await sleep(20); })()", GUEST_MS);
    t.regex(await machine.command(`console ${victim}`, COMMAND_MS), /TYPEVISOR-GUEST: PASS store/);
    await expectFrames(t, machine, before, "after the attack");
    await powerOff(t, machine);
  });

  test.serial(`a guest does what it is asked on ${kind}, also by the next domain 0`, async (t) => {
    t.timeout(GUEST_MS * 4);
    const machine = await bootToPrompt(t, { kind });
    await machine.command("create --kernel store --name g --cmdline role=obey --on-crash preserve", COMMAND_MS);
    await consoleSays(machine, "g", /obeying/, GUEST_MS);
    t.is(await machine.command("mem-set g 24; vcpu-set g 1; sysrq g h", COMMAND_MS), "");
    await consoleSays(machine, "g", /memory\/target is 24576[^]*sysrq h/, GUEST_MS);
    // What a guest says is kept a little later, what its operator says at once.
    await machine.command("js sleep(200)", COMMAND_MS);

    await hangDomain0(machine, "mem-set g 20; ");
    const nodes = await machine.command("xenstore-ls -f /local/domain/1", COMMAND_MS);
    t.regex(nodes, /memory\/static-max = "32768"/);
    t.regex(nodes, /memory\/target = "20480"/);
    t.regex(nodes, /control\/feature-poweroff = "1"/);

    const rebooted = await machine.command("reboot g", GUEST_MS);
    t.regex(rebooted, /waiting for domain 1 \(g\) to reboot/);
    if (!rebooted.includes("g was restarted")) {
      await machine.waitFor(/g was restarted: it is domain 2 now/, GUEST_MS, "the guest's next life");
    }
    await settle(machine);
    await consoleSays(machine, "g", /obeying/, GUEST_MS);
    t.regex(await machine.command("shutdown g", GUEST_MS), /domain 2 \(g\) has ended: poweroff/);
    await powerOff(t, machine);
  });
}
