/** Guests on one bridge: who sees a frame, what a forged address comes to, what a rate and a flood cost whom. */
import test, { type ExecutionContext } from "ava";
import type { Machine } from "../../scripts/machine.ts";
import { bootToPrompt, COMMAND_MS, consoleSays, GUEST_MS, powerOff, settle } from "./support/boot.ts";

const WATCHER_MAC = "00:16:3e:00:00:01";
const RECEIVER_MAC = "00:16:3e:00:00:02";
/** A sender says its end by so many frames. */
const ENDS = 3;

/** Looks so often for what is awaited, every 50 ms of the machine's. */
const LOOKS = 400;

interface Vif {
  domain: number;
  txFrames: number;
  txBytes: number;
  rxFrames: number;
  drops: Record<string, number>;
}

/** The only vif of a domain. */
async function vifOf(machine: Machine, domain: string): Promise<Vif> {
  // A notice that a guest has ended may come in between, with a prompt behind it.
  let line: string | undefined;
  for (let looks = 0; line === undefined && looks < LOOKS; looks++) {
    line = (await machine.command("vif list --json", COMMAND_MS)).split("\n").find((text) => text.startsWith("["));
  }
  const all = JSON.parse(line ?? "[]") as Vif[];
  const found = all.find((vif) => vif.domain === Number(domain));
  if (found === undefined) throw new Error(`domain ${domain} has no vif`);
  return found;
}

/** Creates a guest `nettest` on bridge inner. */
function create(machine: Machine, name: string, vif: string, cmdline: string): Promise<string> {
  const options = `--kernel nettest --memory 4 --name ${name} --on-poweroff preserve`;
  return machine.createDomain(`${options} --vif bridge=inner,${vif} --cmdline "${cmdline}"`, COMMAND_MS);
}

/** Waits until a guest has sent all it had to, and stays there with its vif's counters. */
async function sent(machine: Machine, domain: string): Promise<RegExpExecArray> {
  return await consoleSays(machine, domain, /nettest send (\d+) frames (\d+) bytes (\d+) ticks/, GUEST_MS);
}

/** Waits until a domain's vif has received so many frames; there must not be more. */
async function heard(
  t: ExecutionContext,
  machine: Machine,
  domain: string,
  frames: number,
  what: string,
): Promise<void> {
  for (let i = 0; i < LOOKS && (await vifOf(machine, domain)).rxFrames < frames; i++)
    await machine.command("js await sleep(50)", COMMAND_MS);
  t.is((await vifOf(machine, domain)).rxFrames, frames, what);
}

test.serial("a guest sees what is for it or for all; forged addresses are dropped and counted", async (t) => {
  t.timeout(GUEST_MS * 4);
  const machine = await bootToPrompt(t);
  await machine.command("bridge create inner", COMMAND_MS);
  const watcher = await create(machine, "watcher", `mac=${WATCHER_MAC}`, "role=watch");
  await consoleSays(machine, watcher, /nettest: watching/, GUEST_MS);
  const receiver = await create(machine, "receiver", `mac=${RECEIVER_MAC}`, "role=receive all");
  await consoleSays(machine, receiver, /nettest: receiving/, GUEST_MS);
  await heard(t, machine, watcher, 1, "the receiver's announcement, to all");

  const sender = await create(machine, "sender", "mac=00:16:3e:00:00:03", `role=send frames=500 mac=${RECEIVER_MAC}`);
  t.is((await sent(machine, sender))[1], "500");
  await consoleSays(machine, receiver, /nettest receive 500 frames [^]*PASS nettest/, GUEST_MS);
  t.is((await vifOf(machine, watcher)).rxFrames, 1, "nothing of what was for the receiver");
  t.is((await vifOf(machine, sender)).txFrames, 500 + ENDS);

  // A broadcast is for all.
  const loud = await create(machine, "loud", "mac=00:16:3e:00:00:04", "role=send frames=50");
  await sent(machine, loud);
  await settle(machine);
  await heard(t, machine, watcher, 1 + 50 + ENDS, "all that was for all");

  // The same vif may send from its own address only.
  const cases = [
    ["mac=00:16:3e:00:00:05", "source=00:16:3e:00:00:66", "forged-mac"],
    ["mac=00:16:3e:00:00:06", `source=${WATCHER_MAC}`, "forged-mac"],
    ["mac=00:16:3e:00:00:07,ip=10.9.0.7", "from=10.9.0.66", "forged-ip"],
    ["mac=00:16:3e:00:00:08,ip=10.9.0.8", "from=10.9.0.8", null],
  ] as const;
  let frames = 1 + 50 + ENDS;
  for (const [i, [vif, forged, reason]] of cases.entries()) {
    const id = await create(machine, `liar-${i}`, vif, `role=send frames=20 mac=${WATCHER_MAC} ${forged}`);
    await sent(machine, id);
    const { drops, txFrames } = await vifOf(machine, id);
    t.deepEqual(drops, reason === null ? {} : { [reason]: 20 + ENDS }, forged);
    t.is(txFrames, reason === null ? 20 + ENDS : 0, forged);
    if (reason === null) frames += 20 + ENDS;
    await heard(t, machine, watcher, frames, forged);
  }
  t.regex(await machine.command("vif list", COMMAND_MS), /10\.9\.0\.7 .* forged-ip=23$/m);
  // The watcher fails at the first frame that is not for it.
  t.regex(await machine.command("list", COMMAND_MS), /^watcher +\d+ .*(-b----|r-----)/m);
  t.notRegex(machine.output, /FAIL nettest/);
  await powerOff(t, machine);
});

test.serial("a rate is an upper bound in the guest's own time, and costs no frames", async (t) => {
  t.timeout(GUEST_MS * 2);
  const machine = await bootToPrompt(t);
  await machine.command("bridge create inner", COMMAND_MS);
  const watcher = await create(machine, "watcher", `mac=${WATCHER_MAC}`, "role=watch");
  await consoleSays(machine, watcher, /nettest: watching/, GUEST_MS);
  const limited = await create(
    machine,
    "limited",
    "mac=00:16:3e:00:00:03,rate=200KB/s@50ms",
    `role=send frames=300 mac=${WATCHER_MAC}`,
  );
  const [, , bytes, ticks] = await sent(machine, limited);
  const [, kilohertz] = /Time stamp counter: (\d+) kHz/.exec(machine.output)!;
  const seconds = Number(ticks) / Number(kilohertz) / 1000;
  t.log(`${bytes} bytes in ${seconds.toFixed(3)} s of the guest's`);
  // It waits for its last frame's answer: all but a burst has had its time, however slow the computer is.
  t.true(seconds >= ((Number(bytes) - 10_000) / 200_000) * 0.98, `${bytes} bytes in ${seconds} s`);
  t.deepEqual((await vifOf(machine, limited)).drops, {});
  await heard(t, machine, watcher, 300 + ENDS, "all of them");
  await powerOff(t, machine);
});

test.serial("a flood leaves a good sender its share, by frames; top shows both", async (t) => {
  t.timeout(GUEST_MS * 4);
  // Time is instructions: the shares are the same in every run.
  const machine = await bootToPrompt(t, { icount: true });
  await machine.command("bridge create inner", COMMAND_MS);
  for (const [name, mac] of [
    ["watcher", WATCHER_MAC],
    ["sink", RECEIVER_MAC],
  ] as const) {
    await consoleSays(machine, await create(machine, name, `mac=${mac}`, "role=watch"), /nettest: watching/, GUEST_MS);
  }
  const endless = (mac: string) => `role=send frames=1000000000 mac=${mac}`;
  const good = await create(machine, "good", "mac=00:16:3e:00:00:04", endless(WATCHER_MAC));
  const frames = async () => (await vifOf(machine, good)).txFrames;
  /** Frames of the good one's in 300 ms of the machine's. */
  const pass = async () => {
    await machine.command("js await sleep(100)", GUEST_MS);
    const before = await frames();
    await machine.command("js await sleep(300)", GUEST_MS);
    return (await frames()) - before;
  };
  const alone = await pass();
  const flood = await create(machine, "flood", "mac=00:16:3e:00:00:03", endless(RECEIVER_MAC));
  const before = await vifOf(machine, flood);
  const shared = await pass();
  const flooded = (await vifOf(machine, flood)).txFrames - before.txFrames;
  t.log({ alone, shared, flooded });
  t.true(flooded > 0, "it floods");
  t.true(shared > alone / 3, "a half, less what it costs that there are more of them");
  t.deepEqual((await vifOf(machine, good)).drops, {});
  const top = await machine.command("top --iterations 1 --delay 1", GUEST_MS);
  t.regex(top, /Rx\(B\/s\) +Tx\(B\/s\) +Disk\(r\/s\)/);
  t.regex(top, /^flood +\d+ .* +0 +[1-9]\d+ +- /m);
  t.regex(top, /^sink +\d+ .* +[1-9]\d+ +0 +- /m);
  t.regex(top, /^Domain-0 +0 .* +- +- +-/m);
  await powerOff(t, machine);
});
