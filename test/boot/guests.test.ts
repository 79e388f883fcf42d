/** Our guests that check themselves, on AMD-V and on VT-x: they report their results on the console. */
import test from "ava";
import { bootToPrompt, COMMAND_MS, GUEST_MS, MACHINES, powerOff } from "./support/boot.ts";
import { expectFrames, framesWarm } from "./support/frames.ts";
import { spinnersLeaveDomain0Time } from "./support/spinners.ts";
import { expectRefusedEntries } from "./support/refused-entries.ts";

/** Minimum number of tests in selftest: a table that lost its entries must not pass. */
const SELFTESTS = 200;
const SEEDS = [1, 2, 3];
/** How guest `timer` waits: STI; HLT, STI; SCHEDOP_block, SCHEDOP_poll with a timeout, and of its timer's port. */
const SLEEPS = ["halt", "block", "poll", "ports"];

for (const kind of MACHINES) {
  test.serial(`selftest passes on ${kind}`, async (t) => {
    t.timeout(GUEST_MS * 2);
    const machine = await bootToPrompt(t, { kind });
    t.regex(machine.output, /^\(TV\) Machine: 1 of 1 CPU used.*\. `check` tells more\.$/m);
    const check = await machine.command("check", COMMAND_MS);
    t.notRegex(check, /^required +no/m);
    t.regex(check, kind === "qemu-svm" ? /^required +yes +NPT/m : /^required +yes +unrestricted guest/m);
    t.regex(check, /^used +yes +CPUs: 1 found, 1 used[^]*^Guests can run here\./m);
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
    const timer = "--kernel timer --cmdline 'count=100000 limit=1000000'";
    const bystander = await machine.createDomain(timer, COMMAND_MS);
    for (const seed of SEEDS) {
      const printed = await machine.command(`create --kernel hostile --cmdline 'seed=${seed}' --wait`, GUEST_MS);
      t.regex(printed, /TYPEVISOR-GUEST: PASS hostile/, `seed ${seed}`);
      t.regex(printed, /has ended: poweroff/, `seed ${seed}`);
    }
    const triple = await machine.command("create --kernel hostile --cmdline 'rounds=2000 end=triple' --wait", GUEST_MS);
    t.regex(triple, /TYPEVISOR-GUEST: PASS hostile/);
    t.regex(triple, /has ended: crash/);
    const unpetted = await machine.command(
      "create --kernel hostile --cmdline 'rounds=1 end=watchdog' --wait",
      GUEST_MS,
    );
    t.regex(unpetted, /TYPEVISOR-GUEST: PASS hostile[^]*has ended: watchdog/);
    await expectRefusedEntries(t, machine, kind);
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

  test.serial(`the first megabyte is the guest's own on ${kind}`, async (t) => {
    const machine = await bootToPrompt(t, { kind });
    for (const role of ["scratch", "unmapped"]) {
      const printed = await machine.command(`create --kernel low --memory 4 --cmdline role=${role} --wait`, GUEST_MS);
      t.regex(printed, /low: round 5 of low\S*\n[^]*TYPEVISOR-GUEST: PASS low/, role);
    }
    await powerOff(t, machine);
  });

  test.serial(`guests on ${kind} sleep in every way with timers as near as 100 us, and all wake`, async (t) => {
    t.timeout(GUEST_MS * 2);
    const machine = await bootToPrompt(t, { kind });
    const options = (sleep: string, period: number) =>
      `create --kernel timer --memory 2 --cmdline 'quiet sleep=${sleep} period-us=${period} count=300 limit=1000000'`;
    for (const sleep of SLEEPS)
      for (const period of [100, 200, 300, 400, 500]) await machine.command(options(sleep, period), COMMAND_MS);
    for (const sleep of SLEEPS) {
      const printed = await machine.command(`${options(sleep, 200)} --wait`, GUEST_MS);
      t.regex(printed, /TYPEVISOR-GUEST: PASS timer/, sleep);
    }
    // Those that missed their own wake-up sleep for good. How long the others take is a matter of the computer's load.
    const until = Date.now() + GUEST_MS;
    let list = "";
    do list = await machine.command("list", COMMAND_MS);
    while (/^timer/m.test(list) && Date.now() < until);
    t.notRegex(list, /^timer/m);
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
    // What each of them does: in its own words, from its image's symbols, and in exits.
    const dump = await machine.command(`xenctx ${ids[0]}`, COMMAND_MS);
    t.regex(dump, /vCPU 0: waiting for a CPU, 64-bit code, ring 0, 4-level paging$/m);
    t.regex(dump, /^ +cs 0008 {2}base 0{16} {2}limit ffffffff {2}attributes a9b$/m);
    t.regex(dump, /call trace:\n {4}[0-9a-f]{16} guest_main\+0x[0-9a-f]+\n[^]* guest_start\+0x[0-9a-f]+\n/);
    const registers = await machine.command("debug-keys d; dmesg", COMMAND_MS);
    const rip = /^ +rip ([0-9a-f]{16})/m.exec(dump)![1]!.replace(/^0+/, "");
    t.regex(registers, new RegExp(`d${ids[0]}v0 exit=[^]*? rip=0x${rip} `));
    const top = await machine.command("top --delay 2 --iterations 1", COMMAND_MS);
    t.regex(top, new RegExp(`^spin +${ids[0]} +[-rb]+ .* (interrupt|deadline) \\d+`, "m"));
    await machine.command(ids.map((id) => `destroy ${id}`).join("; "), COMMAND_MS);
    await expectFrames(t, machine, before, "after all of them");
    await powerOff(t, machine);
  });
}

test.serial("300 guests spin, and domain 0 answers within a second of the machine's time", (t) =>
  spinnersLeaveDomain0Time(t, 300, 1024),
);
