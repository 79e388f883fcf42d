/** `xl` with the control plane on the fake machine: its columns, messages and requests. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "ava";
import { XL_COMMANDS } from "../../../../toolstack/cli/config/xl-commands.ts";
import type { Client } from "../../../../toolstack/cli/connection/client.ts";
import type { Asker, XlOutput } from "../../../../toolstack/cli/xl/arguments.ts";
import { create } from "../../../../toolstack/cli/xl/create.ts";
import { COMMANDS, xlCommandNames } from "../../../../toolstack/cli/xl/program.ts";
import type { FakeMachine } from "../fake-machine.ts";
import { booted, connect, settled } from "./clients.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-xl-"));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

interface Said {
  out: string;
  err: string;
}

class Xl {
  private constructor(
    readonly m: FakeMachine,
    private readonly asker: Asker,
  ) {}

  static async start(): Promise<Xl> {
    const m = await booted();
    const { client } = await connect(m);
    return new Xl(m, {
      ask: (request, params) => {
        const { result, stream } = (client as Client).request(request, params);
        stream.resume();
        return settled(m, result, 100_000);
      },
    });
  }

  /** Runs one command; rejects with its error. */
  async run(...words: string[]): Promise<Said> {
    const said = { out: "", err: "" };
    const output: XlOutput = { out: (text) => (said.out += text), err: (text) => (said.err += text) };
    const [name, ...rest] = words as [string, ...string[]];
    if (name === "create") {
      const host = {
        provide: (_what: string, file: string) => Promise.resolve(path.basename(file)),
        talk: async () => {},
      };
      await create(this.asker, rest, output, host);
    } else {
      await COMMANDS[name]!(this.asker, rest, output);
    }
    return said;
  }
}

test("every command that is there is one of xl's, and marked so", (t) => {
  const marked = Object.values(XL_COMMANDS)
    .flat()
    .filter(({ implemented }) => implemented)
    .map(({ command }) => command);
  t.deepEqual([...marked].sort(), xlCommandNames().sort());
});

test("create, list in xl's columns, domid, domname, pause, unpause, destroy", async (t) => {
  const xl = await Xl.start();
  const file = path.join(folder, "one.cfg");
  writeFileSync(file, 'type = "pvh"\nname = "one"\nkernel = "hello"\nmemory = 16\nvcpus = 1\non_reboot = "destroy"\n');
  t.is((await xl.run("create", file)).out, `Parsing config from ${file}\n`);
  await xl.run("create", "-p", "-q", 'name="two"', 'kernel="hello"', "memory=8");
  const { out } = await xl.run("list");
  t.is(out.split("\n")[0], "Name                                        ID   Mem VCPUs\tState\tTime(s)");
  t.regex(out, /^one {38} {4}1 {4}16 {5}1 {5}[r-][b-][p-]--- +\d+\.\d$/m);
  t.regex((await xl.run("list", "two")).out, /\ntwo +2 +8 +1 +--p--- +\d+\.\d\n$/);
  t.is((await xl.run("domid", "one")).out, "1\n");
  t.is((await xl.run("domname", "2")).out, "two\n");
  await xl.run("unpause", "two");
  await xl.run("pause", "1");
  t.is(xl.m.domains.get(1)!.pauses, 1);
  const long = JSON.parse((await xl.run("list", "-l")).out) as {
    domid: number;
    config: { c_info: { name: string } };
  }[];
  t.deepEqual(
    long.map(({ domid, config }) => [domid, config.c_info.name]),
    [
      [1, "one"],
      [2, "two"],
    ],
  );
  t.like(long[0], { config: { b_info: { max_memkb: 16384, max_vcpus: 1 }, on_reboot: "destroy" } });
  t.regex((await xl.run("list", "-v", "one")).out, /UUID\n.* [0-9a-f]{8}-[0-9a-f-]{27}\n$/);
  await xl.run("destroy", "one");
  t.deepEqual([...xl.m.domains.keys()], [2]);
});

test("create -n shows and makes nothing; what a file says that is not possible is told with its line", async (t) => {
  const xl = await Xl.start();
  const { out } = await xl.run("create", "-n", 'name="x"', 'kernel="hello"');
  t.like(JSON.parse(out), { name: "x" });
  t.is(xl.m.domains.size, 0);
  const file = path.join(folder, "bad.cfg");
  writeFileSync(file, 'name = "bad"\nkernel = "hello"\nbootloader = "pygrub"\nmemory = "much"\n');
  const error = await t.throwsAsync(xl.run("create", file));
  t.regex(error.message, /bad\.cfg:3: bootloader/);
  t.regex(error.message, /bad\.cfg:4: memory/);
  await t.throwsAsync(xl.run("create"), { message: /^Usage: xl create/ });
  await t.throwsAsync(xl.run("create", "a", "b"), { message: /^Usage: xl create/ });
  t.is(xl.m.domains.size, 0);
});

test("what is wrong is said as xl says it, and changes nothing", async (t) => {
  const xl = await Xl.start();
  await xl.run("create", "-q", 'name="one"', 'kernel="hello"');
  const wrong = async (words: string[], message: RegExp) => {
    await t.throwsAsync(xl.run(...words), { message }, words.join(" "));
  };
  await wrong(["destroy", "nobody"], /^nobody is an invalid domain identifier \(rc=-6\)$/);
  await wrong(["destroy", "7"], /^7 is an invalid domain identifier \(rc=-6\)$/);
  await wrong(["destroy", "0"], /^Not destroying domain 0/);
  await wrong(["destroy"], /^Usage: xl destroy/);
  await wrong(["list", "--colour"], /^Unknown option '--colour'/);
  await wrong(["domid", "nobody"], /^Can't get domid of domain name 'nobody', maybe this domain does not exist\.$/);
  await wrong(["domname", "9"], /^Can't get domain name of domain id '9'/);
  await wrong(["shutdown"], /^Usage: xl shutdown/);
  await wrong(["shutdown", "-a", "one"], /^Usage: xl shutdown/);
  await wrong(["unpause", "one"], /is not paused/);
  await wrong(["mem-set", "one", "1000"], /^invalid memory size: 1000 \(whole MiB/);
  await wrong(["mem-set", "one", "5000m"], /SIZE: "5000" is not a whole number of MiB from 1 to 32/);
  await wrong(["vcpu-set", "one", "2"], /N: "2" is not a whole number from 1 to 1/);
  await wrong(["trigger", "one", "power"], /these guests have no line for "power"/);
  await wrong(["sysrq", "one", "ab"], /"ab" is not one letter or digit/);
  await wrong(["block-attach", "one", "nfs:x,xvda,w"], /disk\[0\]\.target/);
  await wrong(["network-attach", "one", "mac=nonsense"], /vif\[0\]\.mac/);
  await wrong(["debug-keys", "?"], /is not 1 to 64 letters or digits/);
  t.is(xl.m.domains.size, 1);
  await xl.run("mem-set", "one", "16m");
  await xl.run("vcpu-set", "one", "1");
});

test("info and shutdown -a", async (t) => {
  const xl = await Xl.start();
  await xl.run("create", "-q", 'name="one"', 'kernel="hello"');
  await xl.run("create", "-q", 'name="two"', 'kernel="hello"');
  const { out } = await xl.run("info");
  t.regex(out, /^nr_cpus {16}: 1$/m);
  t.regex(out, /^total_memory {11}: 512$/m);
  t.regex(out, /^xen_major {14}: 4\nxen_minor {14}: 17$/m);
  const said = await xl.run("shutdown", "-a");
  t.is(said.err, "Shutting down domain 1\nShutting down domain 2\n");
  t.is(said.out, "");
});
