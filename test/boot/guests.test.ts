/** Our guests that check themselves, on AMD-V and on VT-x: what they find out is in their own words on the console. */
import test from "ava";
import { HvmHwCpu, HvmSaveDescriptor, HvmSaveHeader } from "../../abi/hvm.ts";
import { bootToPrompt, COMMAND_MS, GUEST_MS, MACHINES, powerOff } from "./support/boot.ts";
import { expectFrames, framesWarm } from "./support/frames.ts";

/** Tests that selftest has at least: a table that lost its entries must not pass. */
const SELFTESTS = 200;
const SEEDS = [1, 2, 3];

/** Where a vCPU's registers begin among the records of gethvmcontext: behind HEADER, in the first CPU. */
const REGISTERS = 2 * HvmSaveDescriptor.SIZE + HvmSaveHeader.SIZE;
/** States that a toolstack may load when the hypervisor does not check them, and what is said when they are entered. */
const REFUSED = {
  "qemu-svm": [
    [
      HvmHwCpu.pending_event,
      0x80000106,
      /: VM entry failed: VMCB EVENTINJ = 0x80000106: the event's type is reserved\./,
    ],
    [
      HvmHwCpu.pending_event,
      0x80000320,
      /: VM entry failed: VMCB EVENTINJ = 0x80000320: an exception has a vector above/,
    ],
    [HvmHwCpu.cr3 + 4, 0x8000, /: VM entry failed: guest CR3 = 0x800000000000: it has bits beyond/],
  ],
  "bochs-vmx": [
    [
      HvmHwCpu.ss_arbytes,
      0xc9b,
      /: VM entry failed: guest SS access rights = 0xc09b: it is no accessed, writable data/,
    ],
    [HvmHwCpu.tr_arbytes, 0x89, /: VM entry failed: guest TR access rights = 0x89: it is no busy task state segment\./],
    [HvmHwCpu.rip + 4, 1, /: VM entry failed: guest RIP = 0x1[0-9a-f]{8}: it has bits above 31 outside 64-bit code\./],
    [HvmHwCpu.pending_event, 0x80000106, /: VM entry failed: VM-entry .* = 0x80000106: the event's type is reserved\./],
    [HvmHwCpu.cr3 + 4, 0x8000, /: VM entry failed: guest CR3 = 0x800000000000: it has bits beyond/],
  ],
} as const;

for (const kind of MACHINES) {
  test.serial(`selftest passes on ${kind}`, async (t) => {
    t.timeout(GUEST_MS * 2);
    const machine = await bootToPrompt(t, { kind });
    const before = await framesWarm(machine);
    const printed = await machine.command("create --kernel selftest --vcpus 2 --memory 64 --wait", GUEST_MS);
    t.deepEqual(printed.match(/^(\(d\d+\) )?not ok .*/gm) ?? [], []);
    t.true((printed.match(/^(\(d\d+\) )?ok /gm) ?? []).length >= SELFTESTS, printed);
    t.regex(printed, /TYPEVISOR-GUEST: PASS selftest/);
    await expectFrames(t, machine, before, "after selftest");
    await powerOff(t, machine);
  });

  test.serial(`hostile guests on ${kind} harm only themselves`, async (t) => {
    t.timeout(GUEST_MS * (SEEDS.length + 2));
    const machine = await bootToPrompt(t, { kind, commandLine: "unchecked-entry" });
    const before = await framesWarm(machine);
    // A guest beside them, whose timers must come. How late is a matter of the computer's load, not of this test.
    const bystander = (
      await machine.command("create --kernel timer --cmdline 'count=100000 limit=1000000'", COMMAND_MS)
    ).trim();
    for (const seed of SEEDS) {
      const printed = await machine.command(`create --kernel hostile --cmdline 'seed=${seed}' --wait`, GUEST_MS);
      t.regex(printed, /TYPEVISOR-GUEST: PASS hostile/, `seed ${seed}`);
      t.regex(printed, /has ended: poweroff/, `seed ${seed}`);
    }
    const triple = await machine.command("create --kernel hostile --cmdline 'rounds=2000 end=triple' --wait", GUEST_MS);
    t.regex(triple, /TYPEVISOR-GUEST: PASS hostile/);
    t.regex(triple, /has ended: crash/);
    for (const [offset, value, report] of REFUSED[kind]) {
      const id = (await machine.command("create --kernel hello --paused", COMMAND_MS)).trim();
      const spoil = `new DataView(all.buffer).setUint32(${REGISTERS + offset}, ${value}, true)`;
      const load = `js (() => { const all = domctl.getHvmContext(${id}); ${spoil}; domctl.loadHvmContext(${id}, all) })()`;
      await machine.command(load, COMMAND_MS);
      machine.send(`unpause ${id}\r`);
      await machine.waitFor(report, COMMAND_MS, `the refusal of a state with ${value.toString(16)} at ${offset}`);
      await machine.waitFor(/domain \d+ \(hello\) has ended: crash/, COMMAND_MS, "the end of that guest");
    }
    const log = await machine.command("dmesg", COMMAND_MS);
    for (const [, , report] of REFUSED[kind]) t.regex(log, report);
    machine.send(`console ${bystander}\r`);
    const ticks = await machine.waitFor(/timer (\d+): \d+ us late/, COMMAND_MS, "the bystander's timer");
    await machine.waitFor(`timer ${Number(ticks.match[1]) + 50}:`, GUEST_MS, "the bystander's next timers");
    machine.send("\x1d");
    await machine.waitFor("\ntypevisor> ", COMMAND_MS, "the prompt after Ctrl-]");
    await machine.command(`destroy ${bystander}`, COMMAND_MS);
    await expectFrames(t, machine, before, "after the attacks");
    t.regex(await machine.command("create --kernel hello --wait", GUEST_MS), /PASS hello/);
    await powerOff(t, machine);
  });

  test.serial(`three guests spin on ${kind}: a fourth gets its timers, and all frames come back`, async (t) => {
    const machine = await bootToPrompt(t, { kind });
    const before = await framesWarm(machine);
    const spinners = ["", "--cmdline interrupts", ""];
    for (const options of spinners) await machine.command(`create --kernel spin ${options}`, COMMAND_MS);
    const printed = await machine.command("create --kernel timer --cmdline 'limit=1000000' --wait", GUEST_MS);
    t.regex(printed, /TYPEVISOR-GUEST: PASS timer/);
    t.log(`${kind}: ${/^worst: .*/m.exec(printed)?.[0]}`);
    const list = await machine.command("list", COMMAND_MS);
    const ids = [...list.matchAll(/^spin\S* +(\d+)/gm)].map((match) => match[1]);
    t.is(ids.length, spinners.length, list);
    await machine.command(ids.map((id) => `destroy ${id}`).join("; "), COMMAND_MS);
    await expectFrames(t, machine, before, "after all of them");
    await powerOff(t, machine);
  });
}
