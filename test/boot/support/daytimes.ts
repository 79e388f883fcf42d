/** Many `daytime` unikernels at once, each of which this computer asks for the time. */
import type { ExecutionContext } from "ava";
import { freePorts } from "../../../scripts/devices.ts";
import type { Machine } from "../../../scripts/machine.ts";
import { bootToPrompt, COMMAND_MS, GUEST_MS, powerOff } from "./boot.ts";
import { frames } from "./frames.ts";
import { said } from "./tcp.ts";

/** What RFC 867 shows, as the guest has it. */
const DAYTIME = /^\w+, \w+ \d+, 20\d\d \d\d:\d\d:\d\d-UTC\r\n$/;
const DAYTIME_PORT = 13;
const GUEST_MIB = 2;
/** Connections that are open at once. */
const AT_ONCE = 16;
/** Page tables that domain 0 may have more after the second time: each maps 2 MiB. */
const TABLES_MOST = 2;
/** Ids in one `destroy`. */
const BATCH = 50;
/** The emulated network: room for more hosts than the one of `npm start` has. */
const NETWORK = "10.77.0.0/16";
const HOSTS = 200;
/** The emulator itself has 10.77.2.2 and 10.77.2.3. */
const FIRST_NET = 3;

function address(i: number): string {
  return `10.77.${FIRST_NET + Math.floor(i / HOSTS)}.${1 + (i % HOSTS)}`;
}

/** Event channels and grants of all domains, without what changes from moment to moment. */
async function channelsAndGrants(machine: Machine): Promise<string> {
  const text = await machine.command("debug-keys e; debug-keys g", COMMAND_MS);
  return text.replace(/, (pending|masked)/g, "");
}

interface VifRow {
  domain: number;
  ip: string;
  state: string;
  rxFrames: number;
  txFrames: number;
}

async function vifs(machine: Machine, ms: number): Promise<VifRow[]> {
  return JSON.parse((await machine.command("vif list --json", ms)).trim()) as VifRow[];
}

/**
 * Makes `count` of them, asks each, destroys all; twice, after which everything is as it was after the first time: frames, vifs,
 * event channels, grants. The first time leaves tables that have grown.
 */
export async function daytimesAnswer(t: ExecutionContext, count: number, memoryMib: number): Promise<void> {
  const longest = GUEST_MS + count * 2000;
  t.timeout(longest * 8);
  const ports = await freePorts(count);
  const rules = ports.map((port, i) => `,hostfwd=tcp:127.0.0.1:${port}-${address(i)}:${DAYTIME_PORT}`).join("");
  const machine = await bootToPrompt(t, {
    memoryMib,
    devices: ["-netdev", `user,id=net0,net=${NETWORK}${rules}`, "-device", "virtio-net-pci,netdev=net0"],
  });
  const command = (line: string) => machine.command(line, longest);
  await command("create --kernel hello --wait");
  const channels = await channelsAndGrants(machine);

  // As `create --kernel daytime --memory 2 --cmdline ip=.../16 --vif ip=...` does it, without as many lines to type.
  const make =
    `js (async () => { const kernel = modules.find((m) => m.name === "daytime"); ` +
    `for (let i = 0; i < ${count}; i++) { ` +
    `const ip = "10.77." + (${FIRST_NET} + Math.floor(i / ${HOSTS})) + "." + (1 + (i % ${HOSTS})); ` +
    `const guest = await domains.create({ kernel, commandLine: "ip=" + ip + "/16", memoryMib: ${GUEST_MIB}, vcpus: 1, vifs: ["ip=" + ip] }); ` +
    `domains.unpause(guest); await sleep(0); } return "made " + domains.all().length; })()`;
  const connected =
    `js (async () => { for (;;) { const all = await domains.devices.vifs.list(); ` +
    `if (all.filter((vif) => vif.state === 1).length === ${count}) return "all connected"; await sleep(200); } })()`;
  const round = async (): Promise<Record<string, number>> => {
    t.regex(await command(make), new RegExp(`made ${count}`));
    t.regex(await command(connected), /all connected/);

    const answers = new Map<number, string>();
    const queue = [...ports.entries()];
    const ask = async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift())
        answers.set(next[0], await said(next[1]).catch((error: Error) => error.message));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, ask));
    t.deepEqual(
      [...answers].filter(([, text]) => !DAYTIME.test(text)),
      [],
      "each has answered",
    );
    t.is(answers.size, count);

    const list = await command("list");
    t.is([...list.matchAll(/^daytime\S* +\d+ +2 /gm)].length, count);
    const rows = await vifs(machine, longest);
    t.deepEqual(rows.map(({ ip }) => ip).sort(), ports.map((_, i) => address(i)).sort());
    t.true(rows.every(({ state, rxFrames, txFrames }) => state === "connected" && rxFrames >= 4 && txFrames >= 4));
    t.regex(await command("bridge list"), new RegExp(`^xenbr0 +0 +up +${count} `, "m"));

    const ids = rows.map(({ domain }) => domain);
    for (let i = 0; i < count; i += BATCH) await command(`destroy ${ids.slice(i, i + BATCH).join(" ")}`);
    t.deepEqual(await vifs(machine, longest), []);
    t.notRegex(await command("list"), /daytime/);
    return await frames(machine);
  };
  const first = await round();
  // As before but for the grant tables' own size.
  const sizes = (text: string) => text.replace(/grant table of \d+ frames/g, "grant table");
  t.is(sizes(await channelsAndGrants(machine)), sizes(channels));
  const second = await round();
  // Domain 0 may have touched a little more of its window, which takes a page table.
  const tables = second["tables"]! - first["tables"]!;
  t.true(tables >= 0 && tables <= TABLES_MOST, `${tables} page tables more`);
  const free = "free or domain 0's";
  t.deepEqual(
    { ...second, tables: first["tables"]!, [free]: second[free]! + tables },
    first,
    "frames after as many again",
  );
  t.is(sizes(await channelsAndGrants(machine)), sizes(channels));
  t.regex(await command("debug-keys a"), /0 violations/);
  t.notRegex(machine.output, /PANIC|uncaught|watchdog/i);
  await powerOff(t, machine);
}
