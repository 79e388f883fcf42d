/** `xl` with the control plane on the fake machine: its columns, messages, exit statuses and requests. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "ava";
import {
  SHUTDOWN_crash,
  SHUTDOWN_poweroff,
  SHUTDOWN_reboot,
  SHUTDOWN_suspend,
  SHUTDOWN_watchdog,
} from "../../../../abi/sched.ts";
import { XL_COMMANDS } from "../../../../toolstack/cli/config/xl-commands.ts";
import { HELP } from "../../../../toolstack/cli/xl/help.ts";
import { runWords, xlCommand, xlCommandNames, type XlSession } from "../../../../toolstack/cli/xl/program.ts";
import { readInfo, readList, readUptime } from "../../../boot/support/ganeti.ts";
import type { FakeMachine } from "../fake-machine.ts";
import { booted, connect, settled } from "./clients.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-xl-"));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

interface Said {
  status: number;
  out: string;
  err: string;
}

class Xl {
  private constructor(
    readonly m: FakeMachine,
    private readonly session: XlSession,
  ) {}

  static async start(): Promise<Xl> {
    const m = await booted();
    const { client } = await connect(m);
    return new Xl(m, {
      signal: new AbortController().signal,
      start: (request, params) => {
        const { result, stream } = client.request(request, params);
        return Promise.resolve({ result: settled(m, result, 100_000), stream });
      },
      ask: (request, params) => {
        const { result, stream } = client.request(request, params);
        stream.resume();
        return settled(m, result, 100_000);
      },
    });
  }

  /** Runs `xl` with these words. Kernels are boot modules; a console is only entered. */
  async say(...words: string[]): Promise<Said> {
    let [out, err] = ["", ""];
    const output = {
      out: (text: string | Uint8Array) => void (out += Buffer.from(text).toString()),
      err: (text: string) => void (err += text),
    };
    const host = {
      provide: (_what: string, file: string) => Promise.resolve(path.basename(file)),
      talk: (id: string) => Promise.resolve(output.out(`console of ${id}\n`)),
    };
    const status = await runWords(words, output, this.session, host);
    return { status, out, err };
  }

  /** As `say`, of what must succeed. */
  async run(...words: string[]): Promise<Said> {
    const said = await this.say(...words);
    if (said.status !== 0) throw new Error(`xl ${words.join(" ")}: ${said.err}`);
    return said;
  }
}

/** A file in the tests' folder. */
function file(name: string, text: string): string {
  const at = path.join(folder, name);
  writeFileSync(at, text);
  return at;
}

const rows = Object.values(XL_COMMANDS).flat();

test("every command that is there is one of xl's, marked so, and explained", (t) => {
  const marked = rows.filter(({ implemented }) => implemented).map(({ command }) => command);
  t.deepEqual([...marked].sort(), xlCommandNames().sort());
  t.deepEqual(Object.keys(HELP).sort(), xlCommandNames().sort());
});

test("xl help COMMAND and xl COMMAND -h say the same, in xl's form; xl help lists the commands", async (t) => {
  const xl = await Xl.start();
  for (const command of xlCommandNames().filter((name) => name !== "help")) {
    const asked = await xl.say("help", command);
    t.is(asked.status, 0);
    t.regex(
      asked.out,
      new RegExp(`^Usage: xl \\[-vf?N?\\] ${command} .*\\n\\n\\S.*\\.\\n\\n(?:Options:\\n\\n[^]*\\n)?$`),
    );
    for (const option of ["-h", "--help"]) t.deepEqual(await xl.say(command, option), asked, command);
  }
  const listed = await xl.say("help");
  t.deepEqual(await xl.say("--help"), listed);
  t.regex(
    listed.out,
    /^Usage xl \[-vfNtT\] <subcommand> \[args\]\n\nxl full list of subcommands:\n\n create {14}Make a domain/,
  );
  t.deepEqual(await xl.say(), { ...listed, status: 1 });
  t.is((await xl.say("help", "nonsense")).out, 'command "nonsense" not implemented\n');
  t.regex((await xl.say("help", "migrate")).out, /^xl migrate is refused: /);
});

test("each command of xl's that is not there says why; the beginning of one alone stands for it", async (t) => {
  const xl = await Xl.start();
  for (const { command, verdict, implemented, note } of rows) {
    if (implemented) continue;
    const { status, out, err } = await xl.say(command, "x", "y");
    t.deepEqual([status, out], [1, ""], command);
    t.is(err, verdict === "refused" ? `xl ${command} is refused: ${note}\n` : `xl ${command} comes later\n`);
  }
  t.deepEqual(await xl.say("nonsense"), { status: 1, out: "", err: "command not implemented\n" });
  t.is(xlCommand("li"), "list");
  t.is(xlCommand("shut"), "shutdown");
  t.is(xlCommand("vcpu-"), "vcpu-", "several begin so");
  t.is(xlCommand("sched-credit"), "sched-credit", "a name, though another begins with it");
  t.regex((await xl.say("li")).out, /^Name .*\nDomain-0 /);
});

test("words that are no command: xl's messages, its help, its exit statuses", async (t) => {
  const xl = await Xl.start();
  for (const [command, { usage }] of Object.entries(HELP)) {
    const least =
      { create: 1, "config-update": 1 }[command] ?? usage.split(" ").filter((w) => /^<[^>]*>/.test(w)).length;
    if (command === "help" || least === 0 || /^(?:list|shutdown|reboot|sched-credit2)$/.test(command)) continue;
    const { status, out } = await xl.say(command);
    t.is(status, command === "config-update" ? 1 : 2, command);
    t.regex(out, new RegExp(`^Usage: xl \\S+ ${command} `), command);
  }
  t.deepEqual(await xl.say("destroy"), {
    status: 2,
    out: (await xl.say("help", "destroy")).out,
    err: "'xl destroy' requires at least 1 argument.\n\n",
  });
  t.is((await xl.say("rename", "one")).err, "'xl rename' requires at least 2 arguments.\n\n");
  t.deepEqual(await xl.say("list", "-x"), { status: 2, out: "", err: "option `x' not supported.\n" });
  t.deepEqual(await xl.say("list", "--colour"), { status: 2, out: "", err: "option `--colour' not supported.\n" });
  t.is((await xl.say("sched-credit2", "-d")).status, 2);
  t.is((await xl.say("pause", "1", "2")).err, "'xl pause': one word too many: 2\n\n");
  t.deepEqual(await xl.say("-z", "list"), { status: 1, out: "", err: "unknown global option\n" });
  t.is((await xl.say("-vvv", "-f", "list")).status, 0);
  const dry = "command does not implement -N (dryrun) option\n";
  t.deepEqual(await xl.say("-N", "list"), { status: 1, out: "", err: dry });
});

test("create, list in xl's columns, domid, domname, pause, unpause, console, destroy", async (t) => {
  const xl = await Xl.start();
  const one = file(
    "one.cfg",
    'type = "pvh"\nname = "one"\nkernel = "hello"\nmemory = 16\nvcpus = 1\non_reboot = "destroy"\n',
  );
  t.deepEqual(await xl.run("create", one), { status: 0, out: "", err: `Parsing config from ${one}\n` });
  await xl.run("create", "-p", "-q", 'name="two"', 'kernel="hello"', "memory=8");
  const { out } = await xl.run("list");
  t.is(out.split("\n")[0], "Name                                        ID   Mem VCPUs\tState\tTime(s)");
  t.regex(out, /^one {38} {4}1 {4}16 {5}1 {5}[r-][b-][p-]--- +\d+\.\d$/m);
  t.regex((await xl.run("list", "two")).out, /\ntwo +2 +8 +1 +--p--- +\d+\.\d\n$/);
  t.is((await xl.run("domid", "one")).out, "1\n");
  t.is((await xl.run("domname", "2")).out, "two\n");
  t.is((await xl.run("console", "one")).out, "console of 1\n");
  t.is((await xl.run("console", "-t", "pv", "-n", "0", "1")).out, "console of 1\n");
  t.regex((await xl.say("console", "-t", "serial", "1")).err, /^-t: pv is the only console/);
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
      [0, "Domain-0"],
      [1, "one"],
      [2, "two"],
    ],
  );
  t.like(long[1], { config: { b_info: { max_memkb: 16384, max_vcpus: 1 }, on_reboot: "destroy" } });
  t.like(long[1], { config: { b_info: { sched_params: { weight: 256, cap: 0 } } } });
  const verbose = (await xl.run("list", "-v", "one")).out;
  t.regex(verbose, /Security Label\n.* [0-9a-f]{8}-[0-9a-f-]{27} {8}- {16}-\n$/);
  t.is((await xl.run("list", "-v", "-Z", "one")).out, verbose);
  t.regex(
    (await xl.run("list", "-Z", "-c", "-n", "one")).out,
    /Time\(s\) {3}Security Label {9}Cpupool NODE Affinity\n.* {16}- {10}Pool-0 all\n$/,
  );
  await xl.run("destroy", "one");
  t.deepEqual([...xl.m.domains.keys()], [2]);
});

test("create -n and xl -N show and make nothing; what a file says that is not possible is told with its line", async (t) => {
  const xl = await Xl.start();
  const settings = [
    ...['name="x"', 'type="pvh"', 'kernel="hello"', 'ramdisk="module:files"', 'extra="a b"', "memory=64", "vcpus=2"],
    ...['vif=["mac=00:16:3e:01:02:03,ip=10.0.2.9", ""]', 'disk=["data,raw,xvda,r"]', 'on_poweroff="preserve"'],
    ...["maxvcpus=3", "cpu_weight=300"],
  ];
  const { out, err } = await xl.run("create", "--dryrun", "--quiet", ...settings);
  t.is(err, "");
  t.is((await xl.run("-N", "create", ...settings)).out, out);
  t.deepEqual(JSON.parse(out), {
    c_info: { type: "pvh", name: "x" },
    b_info: {
      max_vcpus: 3,
      avail_vcpus: [0, 1],
      max_memkb: 65536,
      target_memkb: 65536,
      kernel: "hello",
      ramdisk: "module:files",
      cmdline: "a b",
      sched_params: { weight: 300 },
      "type.pvh": {},
    },
    disks: [{ pdev_path: "volume:data", vdev: "xvda", backend: "phy", format: "raw", readwrite: 0 }],
    nics: [
      { devid: 0, mac: "00:16:3e:01:02:03", bridge: "xenbr0", ip: "10.0.2.9", nictype: "vif" },
      { devid: 1, bridge: "xenbr0", nictype: "vif" },
    ],
    on_poweroff: "preserve",
    on_reboot: "restart",
    on_crash: "destroy",
  });
  t.is(xl.m.domains.size, 0);
  const bad = file("bad.cfg", 'name = "bad"\nkernel = "hello"\nbootloader = "pygrub"\nmemory = "much"\n');
  const said = await xl.say("create", bad);
  t.is(said.status, 1);
  t.true(said.err.startsWith(`Parsing config from ${bad}\n`));
  t.regex(said.err, /bad\.cfg:3: bootloader/);
  t.regex(said.err, /bad\.cfg:4: memory/);
  t.is((await xl.say("create", "a", "b")).status, 2);
  t.is(xl.m.domains.size, 0);
});

test("what is wrong is said as xl says it, and changes nothing", async (t) => {
  const xl = await Xl.start();
  await xl.run("create", "-q", 'name="one"', 'kernel="hello"');
  const wrong = async (words: string[], message: RegExp) => {
    const { status, err } = await xl.say(...words);
    t.is(status, 1, words.join(" "));
    t.regex(err, message, words.join(" "));
  };
  const nobody = /^nobody is an invalid domain identifier \(rc=-6\)\n$/;
  for (const command of [
    "destroy",
    "list",
    "pause",
    "unpause",
    "shutdown",
    "reboot",
    "console",
    "uptime",
    "vcpu-list",
  ]) {
    await wrong([command, "nobody"], nobody);
  }
  for (const command of ["network-list", "block-list", "network-attach"]) await wrong([command, "nobody"], nobody);
  for (const command of ["mem-max", "mem-set", "vcpu-set", "rename", "trigger", "sysrq", "config-update"]) {
    await wrong([command, "nobody", "1"], nobody);
  }
  for (const command of ["network-detach", "block-attach", "block-detach"])
    await wrong([command, "nobody", "0"], nobody);
  await wrong(["vcpu-pin", "nobody", "0", "0"], nobody);
  await wrong(["sched-credit2", "-d", "nobody"], nobody);
  await wrong(["destroy", "7"], /^7 is an invalid domain identifier \(rc=-6\)\n$/);
  await wrong(["list", "7"], /^Error: Domain '7' does not exist\.\n$/);
  await wrong(["destroy", "0"], /^Not destroying domain 0/);
  await wrong(["domid", "nobody"], /^Can't get domid of domain name 'nobody', maybe this domain does not exist\.\n$/);
  await wrong(["domname", "9"], /^Can't get domain name of domain id '9'/);
  await wrong(["domname", "x"], /^Invalid domain id\.\n/);
  await wrong(["shutdown"], /^You must specify -a or a domain id\.\n/);
  await wrong(["shutdown", "-a", "one"], /^You can't specify a domain with -a\n/);
  await wrong(["unpause", "one"], /is not paused/);
  await wrong(["mem-set", "one", "1000k"], /^invalid memory size: 1000k \(whole MiB are possible here\)\n/);
  await wrong(["mem-set", "one", "much"], /^invalid memory size: much\n/);
  await wrong(
    ["mem-set", "one", "5000"],
    /SIZE: "5000" is not a whole number of MiB from 1 to 32.*\ncannot set domid 1 dynamic max memory to : 5000\n$/,
  );
  await wrong(["mem-max", "one", "16"], /less than the 32 MiB .*\ncannot set domid 1 static max memory to : 16\n$/);
  await wrong(["vcpu-set", "one", "-i", "2"], /N: "2" is not a whole number from 1 to 1\nlibxl_set_vcpuonline failed/);
  await wrong(["vcpu-set", "one", "2"], /^You are overcommmitting! You have 1 physical CPUs and want 2 vCPUs!/);
  await wrong(["vcpu-set", "one", "x"], /^Error: Invalid argument\.\n/);
  await wrong(["trigger", "one", "power"], /these guests have no line for "power"/);
  await wrong(["sysrq", "one", "ab"], /"ab" is not one letter or digit/);
  await wrong(["block-attach", "one", "nfs:x,xvda,w"], /disk\[0\]\.target/);
  await wrong(["network-attach", "one", "mac=nonsense"], /vif\[0\]\.mac/);
  await wrong(["debug-keys", "?"], /is not 1 to 64 letters or digits/);
  t.is(xl.m.domains.size, 1);
  await xl.run("mem-set", "one", "16");
  await xl.run("mem-set", "one", "16384k");
  await xl.run("mem-max", "one", "1g");
  t.true(xl.m.domains.get(1)!.maxPages >= 262_144);
  await xl.run("vcpu-set", "one", "1");
});

test("rename, and a name that is taken", async (t) => {
  const xl = await Xl.start();
  await xl.run("create", "-q", 'name="one"', 'kernel="hello"');
  await xl.run("create", "-q", 'name="two"', 'kernel="hello"');
  t.deepEqual(await xl.say("rename", "one", "two"), {
    status: 1,
    out: "",
    err: "a domain named \"two\" exists already\nCan't rename domain 'one'.\n",
  });
  t.regex((await xl.say("rename", "one", "7")).err, /is a number[^]*Can't rename domain 'one'\.\n$/);
  t.deepEqual(await xl.say("rename", "one", "first"), { status: 0, out: "", err: "" });
  t.is((await xl.run("domid", "first")).out, "1\n");
});

test("vcpu-list in xl's columns, and vcpu-pin with its sets of CPUs", async (t) => {
  const xl = await Xl.start();
  xl.m.cpus = 4;
  await xl.run("create", "-q", 'name="one"', 'kernel="hello"', "vcpus=2", 'cpus=["1","all"]', "cpus_soft=3");
  const HEAD = "Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)\n";
  const line = (name: string, id: number, vcpu: number, state: string, both: string) =>
    `${name.padEnd(32)} ${String(id).padStart(5)} ${String(vcpu).padStart(5)}     0   ${state}       1.5  ${both}\n`;
  const first = line("Domain-0", 0, 0, "r--", "all / all");
  const listed = [first, line("one", 1, 0, "-b-", "1 / 3"), line("one", 1, 1, "-b-", "all / 3")];
  t.is((await xl.run("vcpu-list")).out, HEAD + listed.join(""));
  t.is((await xl.run("vcpu-list", "0")).out, HEAD + first);
  t.is((await xl.run("-N", "vcpu-pin", "one", "all", "0-3,^2")).out, "cpumap: 0-1,3\n");
  t.is((await xl.run("-N", "vcpu-pin", "one", "0", "-", "nodes:all")).out, "cpumap: - all\n");
  t.is((await xl.run("vcpu-list")).out, HEAD + listed.join(""), "nothing was done");
  t.deepEqual(await xl.say("vcpu-pin", "one", "1", "2-3", "-"), { status: 0, out: "", err: "" });
  await xl.run("vcpu-pin", "-f", "one", "0", "-", "all");
  t.is(
    (await xl.run("vcpu-list", "one")).out,
    HEAD + line("one", 1, 0, "-b-", "1 / all") + line("one", 1, 1, "-b-", "2-3 / 3"),
  );
  const wrong = async (words: string[], err: RegExp) => {
    const said = await xl.say("vcpu-pin", ...words);
    t.is(said.status, 1);
    t.regex(said.err, err);
  };
  await wrong(["one", "x", "0"], /^Error: Invalid argument x as VCPU\.\n$/);
  await wrong(["-f", "one", "all", "0"], /^Error: --force and 'all' as VCPU not allowed\.\n$/);
  await wrong(
    ["one", "1", "9"],
    /^HARD: CPU 9 is not there: CPUs 0 to 3 are used\nCould not set affinity for vcpu `1'\.\n$/,
  );
  await wrong(["one", "7", "0"], /Could not set affinity for vcpu `7'\.\n$/);
  await wrong(["one", "all", "^0"], /"\^0" leaves no CPU\nCould not set affinity\.\n$/);
});

test("sched-credit2: its columns, its options, and what they exclude", async (t) => {
  const xl = await Xl.start();
  await xl.run("create", "-q", 'name="one"', 'kernel="hello"', "cpu_weight=300");
  const line = (name: string, ...[id, weight, cap]: unknown[]) =>
    `${name.padEnd(33)} ${String(id).padStart(4)} ${String(weight).padStart(6)} ${String(cap).padStart(4)}\n`;
  const head = line("Name", "ID", "Weight", "Cap");
  const pool = "Cpupool Pool-0: ratelimit=0us\n";
  const all = pool + head + line("Domain-0", 0, 256, 0) + line("one", 1, 300, 0);
  t.is((await xl.run("sched-credit2")).out, all);
  t.is((await xl.run("sched-credit2", "-p", "Pool-0")).out, all);
  t.is((await xl.run("sched-credit2", "-s")).out, pool);
  t.is((await xl.run("sched-credit2", "-s", "--cpupool=Pool-0")).out, pool);
  t.is((await xl.run("sched-credit2", "-d", "one")).out, head + line("one", 1, 300, 0));
  t.deepEqual(await xl.say("sched-credit2", "-d", "one", "-w", "512"), { status: 0, out: "", err: "" });
  await xl.run("sched-credit2", "--domain=one", "--cap=0");
  t.is(xl.m.domains.get(1)!.weight, 512);
  for (const [words, err] of [
    [["-w", "512"], /^Must specify a domain\.\n$/],
    [["-c", "0"], /^Must specify a domain\.\n$/],
    [["-p", "Pool-0", "-d", "one"], /^Specifying a cpupool is not allowed with other options\.\n$/],
    [["-p", "Pool-1"], /^unknown cpupool 'Pool-1'\n$/],
    [["-s", "-r", "1000"], /^the rate limit is fixed\nlibxl_sched_credit2_params_set failed\.\n$/],
    [["-d", "one", "-w", "0"], /"0" is not a whole number from 1 to 65535\nlibxl_domain_sched_params_set failed\.\n$/],
    [["-d", "one", "-w", "x"], /"x" is not a whole number/],
    [["-d", "one", "-c", "50"], /there are no caps.*\nlibxl_domain_sched_params_set failed\.\n$/],
    [["-d", "0", "-w", "512"], /Domain-0 has a budget instead of a share/],
  ] as const) {
    const said = await xl.say("sched-credit2", ...words);
    t.deepEqual([said.status, said.out], [1, ""], words.join(" "));
    t.regex(said.err, err);
  }
  t.is(xl.m.domains.get(1)!.weight, 512);
});

test("uptime in both forms", async (t) => {
  const xl = await Xl.start();
  await xl.run("create", "-q", 'name="one"', 'kernel="hello"');
  await xl.m.pass(3_725_000);
  const { out } = await xl.run("uptime");
  t.regex(out, /^Name {32}ID Uptime\nDomain-0 {29}0 {2}1:02:\d\d\none {34}1 {2}1:02:0\d\n$/);
  t.regex((await xl.run("uptime", "-s", "one")).out, /^ \d\d:\d\d:\d\d up {2}1:02, one \(1\)\n$/);
  t.regex((await xl.run("uptime", "one", "0")).out, /\none .*\nDomain-0 .*\n$/);
});

test("config-update: in effect when the domain is restarted; its name and UUID stay", async (t) => {
  const xl = await Xl.start();
  await xl.run("create", "-q", 'name="one"', 'kernel="hello"', "memory=2");
  const uuid = /[0-9a-f]{8}-[0-9a-f-]{27}/.exec((await xl.run("list", "-v", "one")).out)![0];
  const next = file("next.cfg", `type = "pvh"\nname = "one"\nuuid = "${uuid}"\nkernel = "hello"\nmemory = 4\n`);
  for (const [words, status, err] of [
    [[], 1, /^xl config-update requires a domain argument\n/],
    [["one"], 1, /^Config file not specified\n/],
    [["one", "memory=3"], 1, /^Config file not specified\n/],
    [["one", "a", "b"], 2, /^$/],
    [["one", path.join(folder, "none")], 1, /none: there is no such file/],
    [["one", next, 'memory="much"'], 1, /memory: "much" is not a whole number/],
    [["one", next, 'name="two"'], 1, /next\.cfg: name: domain 1 is called "one": xl rename/],
    [["one", next, 'uuid="5f0c1c3a-9c3f-4f43-9a6f-8c1b6a1f0d2e"'], 1, /next\.cfg: uuid: it stays what it is/],
    [["one", next, 'kernel="nothing"'], 1, /no boot module "nothing"[^]*failed to update configuration\n$/],
  ] as const) {
    const said = await xl.say("config-update", ...words);
    t.is(said.status, status, words.join(" "));
    t.regex(said.err, err);
  }
  t.like(JSON.parse((await xl.run("-N", "config-update", "one", next)).out), { b_info: { max_memkb: 4096 } });
  xl.m.shutdownGuest(xl.m.domains.get(1)!, SHUTDOWN_reboot);
  await xl.m.pass(1000);
  t.like(JSON.parse((await xl.run("list", "-l", "one")).out)[0], { domid: 2, config: { b_info: { max_memkb: 2048 } } });
  t.deepEqual(await xl.say("config-update", "one", next, "cpu_weight=77"), {
    status: 0,
    out: "",
    err: "setting dom2 configuration\n",
  });
  t.is((await xl.run("config-update", "2", "-f", next, "-q", "cpu_weight=78")).status, 0);
  xl.m.shutdownGuest(xl.m.domains.get(2)!, SHUTDOWN_reboot);
  await xl.m.pass(2000);
  t.like(JSON.parse((await xl.run("list", "-l", "one")).out)[0], {
    config: { c_info: { uuid }, b_info: { max_memkb: 4096, sched_params: { weight: 78 } } },
  });
});

test("Ganeti reads info, and list in every state that a domain may have", async (t) => {
  const xl = await Xl.start();
  await xl.run("create", "-q", "-p", 'name="one.example.com"', 'kernel="hello"');
  const info = readInfo((await xl.run("info")).out);
  t.like(info, { total_memory: 512, nr_cpus: 1, nr_nodes: 1, cores_per_socket: 1, cpu_sockets: 1, xen_minor: 17 });
  const { out } = await xl.run("list");
  const [, guest] = readList(out);
  t.like(guest, { name: "one.example.com", id: 1, memoryMib: 32, vcpus: 1, state: "running" });
  // Also of domains that have ended and are kept; it gives up on those of a watchdog, on real Xen too.
  const domain = xl.m.domains.get(1)!;
  domain.shutdown = SHUTDOWN_poweroff;
  const states = [
    [SHUTDOWN_poweroff, "shutdown"],
    [SHUTDOWN_reboot, "running"],
    [SHUTDOWN_suspend, "running"],
    [SHUTDOWN_crash, "crashed"],
  ] as const;
  for (const [reason, state] of states) {
    domain.shutdown = reason;
    t.is(readList((await xl.run("list")).out)[1]!.state, state, String(reason));
  }
  domain.shutdown = SHUTDOWN_watchdog;
  const watchdog = (await xl.run("list")).out;
  t.regex(watchdog, /^one.* --psw- /m);
  t.throws(() => readList(watchdog), { message: /does not know the state/ });
  t.throws(() => readList(out.replace("one.example.com", "one two")), { message: /cannot parse/ });
  t.true(readUptime((await xl.run("uptime")).out).has(1));
  const uptimes =
    "Name                                ID Uptime\nDomain-0                             0 98 days,  2:27:44\n";
  t.deepEqual([...readUptime(uptimes)], [[0, "98 days,  2:27:44"]]);
  t.throws(() => readUptime("Name ID Time\n"), { message: /heading/ });
  t.throws(() => readInfo("nr_cpus : many\n"), { message: /whole number of total_memory/ });
});

test("info, whole and by name; dmesg; shutdown -a", async (t) => {
  const xl = await Xl.start();
  await xl.run("create", "-q", 'name="one"', 'kernel="hello"');
  await xl.run("create", "-q", 'name="two"', 'kernel="hello"');
  const { out } = await xl.run("info");
  t.regex(out, /^nr_cpus {16}: 1$/m);
  t.regex(out, /^total_memory {11}: 512$/m);
  t.regex(out, /^xen_major {14}: 4\nxen_minor {14}: 17$/m);
  t.regex(out, /^xen_scheduler {10}: credit2$/m);
  t.is((await xl.run("info", "nr_cpus")).out, "1\n");
  t.is((await xl.run("info", "nothing")).out, "");
  t.regex((await xl.run("info", "-n")).out, /^node: {4}memsize {4}memfree {4}distances\n {3}0: {7}512 {8}\d+ {6}10$/m);
  t.is((await xl.run("dmesg")).out, "(XEN) fake log\n");
  const said = await xl.run("shutdown", "-a");
  t.is(said.err, "Shutting down domain 1\nShutting down domain 2\n");
  t.is(said.out, "");
});
