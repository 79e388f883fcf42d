/** TypeScript programs as guests: what they find, how they end, and their sockets. */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { freePorts } from "../../scripts/devices.ts";
import { fromRoot } from "../../scripts/paths.ts";
import type { BootModule } from "../../scripts/modules.ts";
import { type AppOptions, buildApp } from "../../toolstack/cli/app/build.ts";
import { findXen, runOnXen } from "../../scripts/oracle/xen.ts";
import { diskFile } from "./support/disk-file.ts";
import { bootToPrompt, COMMAND_MS, consoleSays, GUEST_MS, powerOff } from "./support/boot.ts";

const program = (name: string) => fromRoot(`test/boot/support/typescript/${name}.ts`);

/** Where a text is in the program `basics`: what a stack must name. */
function place(text: string): string {
  const lines = readFileSync(program("basics"), "utf8").split("\n");
  return `basics\\.ts:${lines.findIndex((line) => line.includes(text)) + 1}:\\d+`;
}

/** An exception's text, then a stack that names `places` in this order, then the domain's end. */
function crashed(error: string, ...places: string[]): RegExp {
  return new RegExp([`Uncaught ${error}`, ...places, "has ended: crash"].join("[^]*"));
}

/** A folder for this test. */
function folder(t: ExecutionContext): string {
  const made = mkdtempSync(path.join(os.tmpdir(), "typevisor-typescript-"));
  t.teardown(() => rmSync(made, { recursive: true }));
  return made;
}

async function module(t: ExecutionContext, name: string, options: AppOptions): Promise<BootModule> {
  const file = path.join(folder(t), `${name}.elf`);
  writeFileSync(file, await buildApp(options));
  return { name, file };
}

test.serial("a TypeScript program finds console, arguments, files, timers, and ends as it says", async (t) => {
  const files = folder(t);
  writeFileSync(path.join(files, "note.txt"), "packed in\n");
  mkdirSync(path.join(files, "more"));
  writeFileSync(path.join(files, "more", "deep.txt"), "");
  const basics = await module(t, "basics", {
    file: program("basics"),
    files,
    arguments: ["one"],
    environment: { MOOD: "good" },
  });
  const machine = await bootToPrompt(t, { modules: [basics] });
  const run = (how: string) =>
    machine.command(`create --kernel basics --memory 16 --wait --cmdline "-- two ${how}"`, GUEST_MS);

  const well = await run("end");
  t.regex(well, /arguments one,two,end good\n/);
  t.regex(well, /files more,note\.txt packed in\n/);
  t.regex(well, /text Grüße ☃ 😀\n/);
  t.regex(well, /random 16 true true\n/);
  t.regex(well, /url http:\/\/host:8080\/c\?d=e\n/);
  t.regex(well, /order now,job,(timer,immediate|immediate,timer) true\n/);
  t.regex(well, /has ended: poweroff/);

  t.regex(
    await run("throw"),
    crashed(
      "TypeError: cannot read property 'value' of undefined\\n",
      `at open \\(${place("box.inside!")}`,
      place('"throw"'),
    ),
  );
  t.regex(await run("reject"), crashed("RangeError: as asked\\n", place('"reject"')));
  t.regex(await run("forgotten"), crashed("RangeError: nobody hears\\n", place("nobody hears")));
  t.regex(await run("handled"), /heard late\nunhandled a reason\ndomain \d+ \(basics\) has ended: poweroff/);
  t.regex(await run("status"), /exited with status 3\n[^]*has ended: crash/);
  t.regex(await run("memory"), crashed("InternalError: out of memory"));
  t.regex(await run("stack"), crashed("(Internal|Range)Error: ", `at deeper \\(${place("deeper(n + 1)")}`));
  await powerOff(t, machine);
});

const xen = findXen();

("image" in xen ? test.serial : test.skip)(
  `a TypeScript program runs on real Xen${"image" in xen ? "" : ` (${xen.missing})`}`,
  async (t) => {
    const files = folder(t);
    writeFileSync(path.join(files, "note.txt"), "packed in\n");
    const basics = await module(t, "basics", { file: program("basics"), files });
    const image = "image" in xen ? xen.image : "";
    // One of QEMU's lost interrupts of Xen's would be a timeout.
    const said = (await runOnXen(image, { guest: basics.file, commandLine: "-- throw" })).join("\n");
    t.regex(said, /arguments throw undefined\nfiles note\.txt packed in\n/);
    t.regex(said, /order now,job,(timer,immediate|immediate,timer) true\n/);
    t.regex(said, new RegExp(`Uncaught TypeError: [^]*at open \\(${place("box.inside!")}[^]*Dom0 c`));
  },
);

test.serial("the demo's HTTP server answers this computer; two programs talk by TCP, UDP and fetch", async (t) => {
  const demo = await module(t, "demo", {
    file: fromRoot("guests/typescript/demo/server.ts"),
    files: fromRoot("guests/typescript/demo/files"),
    arguments: ["from", "the", "test"],
  });
  const sockets = await module(t, "sockets", { file: program("sockets") });
  const [port] = (await freePorts(1)) as [number];
  const machine = await bootToPrompt(t, {
    nic: "virtio-net",
    modules: [demo, sockets],
    forwards: [{ protocol: "tcp", hostPort: port, address: "10.0.2.40", port: 80 }],
  });
  await machine.command("create --kernel demo --memory 16 --vif ip=10.0.2.40", COMMAND_MS);
  await consoleSays(machine, "demo", /the server listens on port 80/, COMMAND_MS);
  const at = `http://127.0.0.1:${port}`;
  t.regex(await (await fetch(at)).text(), /<h1>A TypeScript program as a guest<\/h1>/);
  const status = (await (await fetch(`${at}/status`)).json()) as { requests: number; arguments: string[] };
  t.deepEqual(status.arguments, ["from", "the", "test"]);
  t.is(status.requests, 2);
  const bytes = randomBytes(400_000);
  const echo = await fetch(`${at}/echo`, { method: "POST", body: bytes });
  t.true(Buffer.from(await echo.arrayBuffer()).equals(bytes));
  t.regex(await (await fetch(`${at}/files/README.md`)).text(), /What the demo finds/);
  t.is((await fetch(`${at}/files/absent`)).status, 404);

  await machine.command("bridge create inner", COMMAND_MS);
  await machine.command("create --kernel sockets --name server --memory 16 --vif bridge=inner,ip=10.1.0.2", COMMAND_MS);
  await consoleSays(machine, "server", /serving/, COMMAND_MS);
  const client = await machine.command(
    'create --kernel sockets --memory 16 --vif bridge=inner,ip=10.1.0.3 --cmdline "-- 10.1.0.2" --wait',
    GUEST_MS,
  );
  t.regex(client, /sockets are as expected\n[^]*has ended: poweroff/);
  await machine.command("destroy demo server", COMMAND_MS);
  await powerOff(t, machine);
});

test.serial(
  "files on a volume: what was answered is there after the guest was destroyed, again and again",
  async (t) => {
    const store = await module(t, "store", { file: program("store") });
    const machine = await bootToPrompt(t, { modules: [store], disks: [{ file: diskFile(t, 64 * 1024 * 1024) }] });
    await machine.command("volume format 0", COMMAND_MS);
    await machine.command("volume create data 16M", COMMAND_MS);
    const create = (words: string, cmdline: string, model = "noxs") =>
      machine.command(
        `create --kernel store --memory 8 --vbd target=data,vdev=xvda,model=${model} ${words} --cmdline "-- ${cmdline}"`,
        GUEST_MS,
      );
    let last = 0;
    for (let round = 0; round < 4; round++) {
      const id = (await create("", "write", round % 2 ? "xenbus" : "noxs")).trim();
      const wanted = last + 3 + round;
      await consoleSays(machine, id, new RegExp(`answered ${wanted}\\D`), COMMAND_MS);
      await machine.command(`destroy ${id}`, COMMAND_MS);
      const said = await create("--wait", "check");
      const [, found, lines, line] =
        /found (\d+), log (\d+) lines ending with line (\d+), files whole/.exec(said) ?? [];
      t.true(Number(found) >= wanted, said);
      // The line is written before the count.
      t.true([Number(found), Number(found) + 1].includes(Number(lines)) && lines === line, said);
      last = Number(found);
    }
    await powerOff(t, machine);
  },
);

test.serial("names are looked up: the server is said by the command line or by DHCP, or there is none", async (t) => {
  const names = await module(t, "names", { file: program("names") });
  const machine = await bootToPrompt(t, { modules: [names] });
  await machine.command("bridge create inner --dhcp 10.1.0.1/24 --dns 10.1.0.2", COMMAND_MS);
  const create = (name: string, ip: string, cmdline: string, more = "") =>
    machine.command(
      `create --kernel names --name ${name} --memory 16 --vif bridge=inner,ip=${ip} --cmdline "${cmdline}" ${more}`,
      GUEST_MS,
    );
  for (const how of ["dns=10.1.0.2", "ip=dhcp"]) {
    await create("server", "10.1.0.2", "ip=10.1.0.2/24 -- serve 10.1.0.2");
    await consoleSays(machine, "server", /names are served/, COMMAND_MS);
    const said = await create("client", "10.1.0.3", `${how} -- check 10.1.0.2`, "--wait");
    t.regex(said, /names are as expected\n[^]*has ended: poweroff/, how);
    await machine.command("destroy server", COMMAND_MS);
  }
  t.regex(await create("alone", "10.1.0.4", "-- alone", "--wait"), /without a server EAI_FAIL\n/);
  await powerOff(t, machine);
});

test.serial("five packages from npm run in a program", async (t) => {
  const packages = await module(t, "packages", { file: program("packages") });
  const [port] = (await freePorts(1)) as [number];
  const machine = await bootToPrompt(t, {
    nic: "virtio-net",
    modules: [packages],
    forwards: [{ protocol: "tcp", hostPort: port, address: "10.0.2.41", port: 80 }],
  });
  await machine.command("create --kernel packages --memory 16 --vif ip=10.0.2.41", COMMAND_MS);
  await consoleSays(machine, "packages", /five packages serve/, COMMAND_MS);
  const at = `http://127.0.0.1:${port}`;
  const good = await fetch(`${at}/orders/hammer/3`);
  t.is(
    await good.text(),
    "<h1>hammer</h1>\n<p><em>3</em> of them, due <strong>Saturday, 5 December 2026</strong></p>\n",
  );
  const bad = await fetch(`${at}/orders/x/many`);
  t.is(bad.status, 400);
  t.deepEqual(await bad.json(), [
    ["name", "too_small"],
    ["count", "invalid_type"],
  ]);
  t.is((await fetch(`${at}/else`)).status, 404);
  await machine.command("destroy packages", COMMAND_MS);
  await powerOff(t, machine);
});
