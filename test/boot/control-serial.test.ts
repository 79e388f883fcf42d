/** The control connection over a virtio console: a machine without a network, as `npm start -- --nic none` makes it; and keys set at its console. */
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { prepareSerialControl, type SerialControl } from "../../scripts/control.ts";
import { freePorts } from "../../scripts/devices.ts";
import type { Machine } from "../../scripts/machine.ts";
import { fromRoot, guestsFolder } from "../../scripts/paths.ts";
import { formatKey } from "../../toolstack/api/key.ts";
import { listRequest } from "../../toolstack/api/requests/domains.ts";
import { imagePutRequest } from "../../toolstack/api/requests/images.ts";
import { connect, findTarget } from "../../toolstack/cli/connection/connect.ts";
import { makeKey, writeKey } from "../../toolstack/cli/connection/key.ts";
import { listMachines, removeMachine } from "../../toolstack/cli/connection/machines.ts";
import { connectSerial } from "../../toolstack/cli/connection/serial.ts";
import { BOOT_MS, bootToPrompt, COMMAND_MS, evaluate, hangDomain0, powerOff } from "./support/boot.ts";
import { awaitValue } from "./support/control-network.ts";
import { startTool } from "./support/control.ts";
import { Start } from "./support/start.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-serial-"));
process.env.XDG_RUNTIME_DIR = folder;
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

const tool = (name: "chaos" | "xl", words: string[]) => startTool(name, words).said;
const chaos = (...words: string[]) => tool("chaos", words);

async function good(t: ExecutionContext, ...words: string[]): Promise<string> {
  const said = await chaos(...words);
  t.is(said.status, 0, `${words.join(" ")}: ${said.err}`);
  return said.out;
}

async function start(t: ExecutionContext): Promise<{ machine: Machine; control: SerialControl }> {
  for (const { name } of listMachines()) removeMachine(name); // the test's before
  const control = prepareSerialControl(undefined);
  const machine = await bootToPrompt(t, { modules: control.modules, controlSockets: control.sockets });
  control.record();
  return { machine, control };
}

const hello = path.join(guestsFolder, "hello.elf");

test.serial("without a network: listed, created, uploaded to, restarted, by several clients", async (t) => {
  const { machine } = await start(t);
  t.regex(machine.output, /virtio-console 0:1\.0 port 1: org\.typevisor\.control\.0/);
  t.regex(await good(t, "machines"), /^typevisor +unix:.*typevisor\.0\.sock\n$/);
  t.regex(await good(t, "list"), /^Name .*\nDomain-0 /);
  t.is(await good(t, "create", "--kernel", hello, "--name", "one", "--on-poweroff", "preserve"), "1\n");
  await machine.waitFor(/domain 1 \(one\) has ended: poweroff; it is kept/, COMMAND_MS, "the guest's end");
  t.regex(await good(t, "logs", "one"), /Hello from a Xen PVH guest, domain 1![^]*TYPEVISOR-GUEST: PASS hello/);
  t.regex((await tool("xl", ["list", "one"])).out, /^Name .*\none +1 /);
  // More than there are ports, at once: each has its turn.
  for (const said of await Promise.all(Array.from({ length: 6 }, () => chaos("list")))) {
    t.is(said.status, 0, said.err);
    t.regex(said.out, /one +1 /);
  }
  await awaitValue(machine, "control.count", 0);

  // A large upload, and what is said of its speed; then the same cut off in the middle.
  const target = findTarget(undefined, undefined);
  const bytes = randomBytes(16 << 20);
  const hash = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const { client } = await connect(target);
  const begun = process.hrtime.bigint();
  const upload = client.request(imagePutRequest, { hash, name: "random", bytes: bytes.length });
  upload.stream.resume();
  upload.stream.end(bytes);
  t.deepEqual(await upload.result, { hash, uploaded: true });
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  t.log(`an upload of 16 MiB over the virtio console: ${(bytes.length / 1e6 / seconds).toFixed(1)} MB/s`);
  await good(t, "image", "rm", hash);

  const script = path.join(folder, "uploads.mts");
  writeFileSync(
    script,
    `import { connect, findTarget } from ${JSON.stringify(fromRoot("toolstack/cli/connection/connect.ts"))};
import { imagePutRequest } from ${JSON.stringify(fromRoot("toolstack/api/requests/images.ts"))};
const { client } = await connect(findTarget(undefined, undefined));
const put = client.request(imagePutRequest, { hash: "sha256:${"0".repeat(64)}", name: "never", bytes: 64 << 20 });
put.stream.write(Buffer.alloc(4 << 20), () => console.log("uploading"));
`,
  );
  const child = spawn(process.execPath, ["--import=tsx", script], {
    cwd: fromRoot("."),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const uploading = once(child.stdout!, "data").then(() => true);
  t.true(await Promise.race([uploading, once(child, "exit").then(() => false)]), "it uploads");
  t.is(await evaluate<number>(machine, "control.count"), 2);
  child.kill("SIGKILL");
  await awaitValue(machine, "control.count", 1);
  t.notRegex(await good(t, "image", "list"), /never|random/);
  // The client that was there all the time.
  const list = client.request(listRequest, {});
  list.stream.resume();
  t.is((await list.result).length, 3);

  // Restarts of either side: who was connected is told, who comes later is served.
  await machine.command("io-restart", COMMAND_MS);
  t.regex(await good(t, "list"), /one +1 /);
  await awaitValue(machine, "control.count", 0);
  await t.throwsAsync(client.request(listRequest, {}).result, { message: /typevisor/ });
  const second = await connect(target);
  await hangDomain0(machine);
  t.regex(await good(t, "image", "list"), /hello\.elf/);
  await t.throwsAsync(second.client.request(listRequest, {}).result, { message: /typevisor/ });
  await awaitValue(machine, "control.count", 0);
  await powerOff(t, machine);
});

test.serial("wrong keys, garbage, cut and silent clients: refused, logged, and the ports are free again", async (t) => {
  const { machine, control } = await start(t);
  for (const name of [control.name, "somebody"]) {
    const file = path.join(folder, `${name}-wrong.key`);
    writeKey(file, makeKey(name));
    const said = await chaos("--key", file, "list");
    t.is(said.status, 1);
    t.regex(said.err, /^chaos: typevisor \(unix:.*\) cannot be reached: it refused the key/);
  }
  await machine.waitFor(/control: virtio-console:1 is refused: /, COMMAND_MS, "the log's line");

  // Garbage before the answer to the greeting is skipped, behind it refused; both leave a port that works.
  for (const file of control.sockets) {
    const socket = net.connect(file).on("error", () => {});
    socket.write(randomBytes(100_000));
    await once(socket, "data"); // the greeting
    socket.destroy();
    const answered = await connectSerial([file], COMMAND_MS);
    const greeted = once(answered.resume(), "data"); // an alert, or another greeting when it goes on
    const more = setInterval(() => answered.write(randomBytes(100)), 100);
    await greeted;
    clearInterval(more);
    answered.destroy();
  }
  await awaitValue(machine, "control.count", 0);
  t.regex(await good(t, "list"), /^Name /);

  // Clients that say nothing have every port: the error tells.
  const silent = await Promise.all(control.sockets.map((file) => connectSerial([file], COMMAND_MS)));
  const said = await chaos("list");
  t.is(said.status, 1);
  t.regex(
    said.err,
    /cannot be reached: no answer within 15 s: all of its 4 ports are in use, which take one client each/,
  );
  for (const socket of silent) socket.destroy();
  t.regex(await good(t, "list"), /^Name /);
  await powerOff(t, machine);
  control.sockets.forEach((file) => t.false(readdirSync(path.dirname(file)).includes(path.basename(file))));
});

test.serial("a key that is made or typed at the console, and an address that is given there", async (t) => {
  const socket = path.join(folder, "own.sock");
  const [hostPort] = (await freePorts(1)) as [number];
  const machine = await bootToPrompt(t, {
    controlSockets: [socket],
    nic: "virtio-net",
    forwards: [{ protocol: "tcp", hostPort, address: "10.0.2.4", port: 4170 }],
  });
  const command = (line: string) => machine.command(line, COMMAND_MS);
  const bare = await command("control");
  t.regex(bare, /^key +none$/m);
  t.regex(bare, /^serial ports +1, /m);
  t.regex(bare, /^closed +no key: /m);
  t.regex(await command("control nothing"), /usage: control \[key/);

  // Made here.
  machine.send("control key set boss\r");
  await machine.waitFor(/Enter alone makes a key: $/, COMMAND_MS, "the question");
  machine.send("\r");
  const { match } = await machine.waitFor(/\r?\n(boss [0-9a-f]{64})\r?\n/, COMMAND_MS, "the key");
  await machine.waitFor(/cut off\.\r?\n[^]*typevisor> /, COMMAND_MS, "the prompt");
  const line = `${match[1]!}\n`;
  const file = path.join(folder, "boss.key");
  writeFileSync(file, line, { mode: 0o600 });
  const through = ["--host", `unix:${socket}`, "--key", file];
  t.regex(await good(t, ...through, "list"), /^Name /);
  const shown = await command("control key");
  t.true(shown.includes(`boss, set at the console; \`sha256sum FILE\` of it begins with ${digest(line)}`), shown);
  t.false(shown.includes(line.slice(5, 30)));

  // An address: with it the same key over TCP.
  t.regex(await command("control network 10.0.2.4/99"), /prefix has 1 to 30 bits/);
  t.regex(await command("control network 10.0.2.4/24,10.0.2.2"), /network: 10\.0\.2\.4\/24, gateway 10\.0\.2\.2/);
  const overTcp = ["--host", `127.0.0.1:${hostPort}`, "--key", file];
  t.regex(await good(t, ...overTcp, "list"), /^Name /);

  // All of it is kept over a restart of domain 0.
  await hangDomain0(machine);
  await awaitValue(machine, "Number(net.describe().startsWith('10.0.2.4/24'))", 1);
  t.regex(await good(t, ...overTcp, "list"), /^Name /);
  t.regex(await good(t, ...through, "list"), /^Name /);
  t.regex(await command("control network off"), /network: no address: control=off/);

  // Typed in, and not shown; the one before is none any more.
  const other = makeKey("other");
  for (const [words, wanted] of [
    ["12345\r", /that is no key: 64 hexadecimal digits/],
    ["abc\x03", /cancelled: nothing was changed/],
    [`xyz\x7f\x15${formatKey(other).trim()}\r`, /key: other, set at the console/],
  ] as const) {
    const before = machine.output.length;
    machine.send("control key set\r");
    await machine.waitFor(/Enter alone makes a key: $/, COMMAND_MS, "the question");
    machine.send(words);
    await machine.waitFor(wanted, COMMAND_MS, String(wanted));
    t.false(machine.output.slice(before).includes(formatKey(other).slice(6, 40)));
  }
  const refused = await chaos(...through, "list");
  t.is(refused.status, 1);
  t.regex(refused.err, /it refused the key/);
  const otherFile = path.join(folder, "other.key");
  writeKey(otherFile, other);
  t.regex(await good(t, "--host", `unix:${socket}`, "--key", otherFile, "list"), /^Name /);
  await powerOff(t, machine);
});

test.serial("npm start without a network card: `chaos` finds it by its sockets; nothing is left of it", async (t) => {
  const begun = Start.run(t, ["--nic", "none", "--disk", "none", "--name", "lonely"]);
  await begun.waitFor(/^In another terminal: npx chaos --host lonely list$/m, BOOT_MS);
  t.regex(await good(t, "--host", "lonely", "list"), /^Name .*\nDomain-0 /);
  begun.child.kill("SIGTERM");
  t.is(await begun.end(COMMAND_MS), 143);
  t.deepEqual(
    readdirSync(path.join(folder, "typevisor")).filter((name) => name.startsWith("lonely")),
    [],
  );
  for (const [args, wanted] of [
    [["--control", "network", "--nic", "none"], /--control network: the machine has no network card/],
    [["--control", "virtio-console", "--exec", "list"], /--control is for a machine with a prompt/],
    [["--control", "virtio-console", "--machine", "bochs-vmx"], /Bochs has no virtio devices/],
  ] as const) {
    const refused = Start.run(t, [...args]);
    t.is(await refused.end(BOOT_MS), 1);
    t.regex(refused.text, wanted);
  }
});

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
