/** NoXS guests are asked to end by their sysctl devices, whose back end is domain 0, on AMD-V and on VT-x. */
import test from "ava";
import { bootToPrompt, COMMAND_MS, MACHINES, powerOff, settle } from "./support/boot.ts";
import { expectFrames, frames } from "./support/frames.ts";

for (const kind of MACHINES) {
  test.serial(`shutdown and reboot over NoXS, also behind a restart of domain 0, on ${kind}`, async (t) => {
    const machine = await bootToPrompt(t, { kind });
    await machine.command("bridge create inner", COMMAND_MS);
    const create = (name: string, last: number) =>
      machine.command(
        `create --kernel ${name} --noxs --memory 8 --vif bridge=inner,ip=10.1.0.${last} --cmdline ip=10.1.0.${last}`,
        COMMAND_MS,
      );
    const asked = async (command: string, ended: RegExp) => t.regex(await machine.command(command, COMMAND_MS), ended);
    const round = async () => {
      await create("daytime", 3);
      await asked("shutdown daytime", /waiting for domain \d+ \(daytime\) to shut down/);
      t.notRegex(await machine.command("list", COMMAND_MS), /daytime/);
    };
    // What domain 0 and the I/O domain touch for the first guest they keep.
    await round();
    const before = await frames(machine);
    await round();
    await expectFrames(t, machine, before, "after a second guest");

    await create("idle", 4);
    await create("daytime", 5);
    // Domain 0 ends as crashed: SCHEDOP_shutdown.
    machine.send("js memory.store32(0xc01ff000, 3), hypercall(29, 2, 0xc01ff000)\r");
    await machine.waitFor("domain 0 was restarted", COMMAND_MS, "the new domain 0");
    await machine.waitFor("\ntypevisor> ", COMMAND_MS, "its prompt");
    await asked("reboot idle", /waiting for domain \d+ \(idle\) to reboot/);
    await machine.waitFor(/idle was restarted: it is domain \d+ now/, COMMAND_MS, "idle to be made again");
    await settle(machine);
    for (const name of ["idle", "daytime"]) await asked(`shutdown ${name}`, /to shut down/);
    t.notRegex(await machine.command("list", COMMAND_MS), /daytime|idle/);
    await powerOff(t, machine);
  });
}
