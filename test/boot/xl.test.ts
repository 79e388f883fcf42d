/** `xl` against a machine in QEMU: every row of its command table, with good and bad words. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "ava";
import { guestsFolder } from "../../scripts/paths.ts";
import { ToolSession } from "../../toolstack/cli/chaos/session.ts";
import { XL_COMMANDS } from "../../toolstack/cli/config/xl-commands.ts";
import { hostOf, runWords } from "../../toolstack/cli/xl/program.ts";
import { COMMAND_MS, powerOff } from "./support/boot.ts";
import { crashDomain0, startControlled, startTool } from "./support/control.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-xl-"));
process.env.XDG_RUNTIME_DIR = folder;
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

const guest = (name: string) => path.join(guestsFolder, `${name}.elf`);

/** An xl.cfg in the tests' folder. */
function config(name: string, lines: string): string {
  const file = path.join(folder, `${name}.cfg`);
  writeFileSync(file, `type = "pvh"\nname = "${name}"\n${lines}\n`);
  return file;
}

/** `xl` as a process of its own. */
const separate = (...words: string[]) => startTool("xl", words).said;

/** The program without a process: many commands over one connection. */
class Xl {
  private session = new ToolSession({});
  /** Commands that did what they are for, and commands that were refused. */
  readonly good = new Set<string>();
  readonly bad = new Set<string>();

  async run(words: readonly string[]): Promise<{ status: number; out: string; err: string }> {
    let [out, err] = ["", ""];
    const output = {
      out: (text: string | Uint8Array) => void (out += Buffer.from(text).toString()),
      err: (text: string) => void (err += text),
    };
    const status = await runWords([...words], output, this.session, hostOf(this.session));
    const [name] = words.filter((word) => !word.startsWith("-"));
    (status === 0 ? this.good : this.bad).add(name!);
    return { status, out, err };
  }

  /** Of a connection that is lost, a new one. */
  async again(): Promise<void> {
    await this.session.close();
    this.session = new ToolSession({});
  }

  async close(): Promise<void> {
    await this.session.close();
  }
}

test.serial("every command of xl's, with good and bad words", async (t) => {
  const { machine } = await startControlled(t);
  const xl = new Xl();
  t.teardown(() => xl.close());
  const good = async (...words: string[]) => {
    const { status, out, err } = await xl.run(words);
    t.is(status, 0, `${words.join(" ")}: ${err}`);
    return out;
  };
  const bad = async (status: number, message: RegExp, ...words: string[]) => {
    const said = await xl.run(words);
    t.is(said.status, status, words.join(" "));
    t.regex(said.err, message, words.join(" "));
  };
  const nobody = (...words: string[]) => bad(1, /^nobody is an invalid domain identifier \(rc=-6\)\n/, ...words);

  // As processes: the exit status, and which stream is which.
  const hello = config("hello", `kernel = "${guest("hello")}"\nmemory = 16`);
  const first = await separate("create", "-c", hello);
  t.is(first.status, 0, first.err);
  t.is(first.err, `Parsing config from ${hello}\n`);
  t.regex(first.out, /TYPEVISOR-GUEST: PASS hello/);
  const none = await separate("destroy", "nobody");
  t.deepEqual([none.status, none.out, none.err], [1, "", "nobody is an invalid domain identifier (rc=-6)\n"]);
  const unused = await separate("pause");
  t.deepEqual([unused.status, unused.err], [2, "'xl pause' requires at least 1 argument.\n\n"]);
  t.regex(unused.out, /^Usage: xl \[-vf\] pause <Domain>\n/);

  // Domains that are there for the rest: one asleep, one that waits to be started.
  const UUID = "5f0c1c3a-9c3f-4f43-9a6f-8c1b6a1f0d2e";
  const idle = config(
    "idle",
    `kernel = "${guest("idle")}"\nmemory = 4\nuuid = "${UUID}"\ncpu_weight = 300\ncpus = "all,^1"\nvif = ["model=noxs"]`,
  );
  await good("create", "-q", idle);
  await bad(1, /a domain named "idle" exists already/, "create", idle);
  await bad(1, /domain \d+ \(idle\) has that UUID already/, "create", idle, 'name="other"');
  await bad(1, /cpus: "\^" cannot leave out "all"/, "create", hello, 'cpus="^all"');
  await bad(1, /--cpus: CPU 1 is not there: only CPU 0 is used/, "create", hello, "cpus=1");
  await good("create", "-p", "-q", hello, 'name="paused"', "vcpus=1", "maxvcpus=2", "memory=8");
  const id = (await good("domid", "idle")).trim();

  t.regex(await good("list"), /^Name {40}ID {3}Mem VCPUs\tState\tTime\(s\)\nDomain-0 [^]*\nidle [^]*\npaused +\d+ +8 /);
  t.like(JSON.parse(await good("list", "-l", "idle"))[0], {
    config: { c_info: { uuid: UUID }, b_info: { max_memkb: 4096, sched_params: { weight: 300 } } },
  });
  await nobody("list", "nobody");
  await bad(1, /^Can't get domid of domain name 'nobody'/, "domid", "nobody");
  t.is(await good("domname", id), "idle\n");
  await bad(1, /^Can't get domain name of domain id '999'/, "domname", "999");
  t.regex(await good("info"), /^nr_cpus {16}: 1\n[^]*^xen_scheduler {10}: credit2\n/m);
  await bad(2, /^option `x' not supported\.\n$/, "info", "-x");
  t.regex(await good("uptime"), /^Name {32}ID Uptime\nDomain-0 +0 +0:\d\d:\d\d\n[^]*^idle +\d+ +0:\d\d:\d\d$/m);
  t.regex(await good("uptime", "-s", "idle"), /^ \d\d:\d\d:\d\d up +0:\d\d, idle \(\d+\)\n$/);
  await nobody("uptime", "nobody");
  t.regex(
    await good("top", "-b", "-i", "1", "-f"),
    /^ +NAME +STATE +CPU\(sec\) [^\n]* SSID\n[^]*^ +Domain-0 -----r [^]*^ +idle --[b-]--[r-] +\d+ +0\.0 +4\d{3} /m,
  );
  await bad(1, /^delay/, "top", "-d", "0");
  t.regex(await good("help", "uptime"), /^Usage: xl \[-v\] uptime \[-s\] \[Domain\]\n/);
  t.is((await xl.run([])).status, 1);
  xl.bad.add("help");

  t.regex(
    await good("vcpu-list", "idle"),
    /Affinity \(Hard \/ Soft\)\nidle +\d+ +0 +0 +[r-][b-]- +\d+\.\d {2}all \/ all\n$/,
  );
  t.regex(await good("vcpu-list"), /\nDomain-0 +0 +0 +0 +r-- [^]*\npaused +\d+ +1 /);
  await nobody("vcpu-list", "nobody");
  await good("vcpu-pin", "idle", "all", "0", "nodes:0");
  t.is(await good("-N", "vcpu-pin", "idle", "all", "0-0,^0,all"), "cpumap: all\n");
  await bad(
    1,
    /CPU 1 is not there: only CPU 0 is used\nCould not set affinity for vcpu `0'\.\n$/,
    "vcpu-pin",
    "idle",
    "0",
    "0-1",
  );
  await bad(1, /leaves no CPU/, "vcpu-pin", "idle", "0", "^0");
  await bad(1, /Could not set affinity for vcpu `4'/, "vcpu-pin", "idle", "4", "0");
  t.regex(await good("sched-credit2"), /^Cpupool Pool-0: ratelimit=0us\nName +ID Weight {2}Cap\nDomain-0 +0 +256 +0\n/);
  await good("sched-credit2", "-d", "idle", "-w", "512");
  t.regex(await good("sched-credit2", "-d", "idle"), /\nidle +\d+ +512 +0\n$/);
  await bad(1, /there are no caps/, "sched-credit2", "-d", "idle", "-c", "50");
  await bad(1, /^Must specify a domain\.\n$/, "sched-credit2", "-w", "1");
  await good("vcpu-set", "-i", "paused", "2");
  await bad(1, /^You are overcommmitting! You have 1 physical CPUs and want 3 vCPUs/, "vcpu-set", "paused", "3");
  await good("mem-set", "idle", "4");
  await bad(1, /cannot set domid \d+ dynamic max memory to : 5\n$/, "mem-set", "idle", "5");
  await good("mem-max", "idle", "64");
  await bad(1, /cannot set domid \d+ static max memory to : 3\n$/, "mem-max", "idle", "3");
  await good("sysrq", "idle", "h");
  await bad(1, /"hh" is not one letter or digit/, "sysrq", "idle", "hh");
  await good("trigger", "paused", "nmi");
  await bad(1, /these guests have no line for "power"/, "trigger", "paused", "power");
  await good("debug-keys", "q");
  await bad(1, /is not 1 to 64 letters or digits/, "debug-keys", "?");
  t.regex(await good("dmesg", "-c"), /\(TV\) Typevisor 0\.1\.0/);
  t.notRegex(await good("dmesg"), /\(TV\) Typevisor 0\.1\.0/);
  await bad(2, /^option `z' not supported/, "dmesg", "-z");

  await good("pause", "idle");
  t.regex(await good("list", "idle"), / -[b-]p--- /);
  await good("unpause", "idle");
  await bad(1, /is not paused/, "unpause", "idle");
  await nobody("pause", "nobody");

  await good("network-attach", "idle", "mac=00:16:3e:00:00:42", "model=noxs");
  t.regex(await good("network-list", "idle"), /^Idx BE [^]*\n0 [^]*\n1 +0 +00:16:3e:00:00:42 /);
  await bad(1, /vif\[0\]\.mac/, "network-attach", "idle", "mac=nonsense");
  await good("network-detach", "idle", "00:16:3e:00:00:42");
  await bad(1, /^Unknown device 00:16:3e:00:00:42\.\n$/, "network-detach", "idle", "00:16:3e:00:00:42");
  await nobody("network-list", "nobody");
  await good("block-attach", "idle", "ram:1M,raw,xvdb,w");
  t.regex(await good("block-list", "idle"), /^Vdev [^]*\nxvdb +0 /);
  await bad(1, /disk\[0\]\.target/, "block-attach", "idle", "/dev/sda,raw,xvdc,w");
  await good("block-detach", "idle", "xvdb");
  await bad(1, /xvdb/, "block-detach", "idle", "xvdb");
  await nobody("block-list", "nobody");

  // What outlives a guest's restart, and domain 0's.
  await good("rename", "idle", "asleep");
  await bad(
    1,
    /a domain named "paused" exists already\nCan't rename domain 'asleep'\.\n$/,
    "rename",
    "asleep",
    "paused",
  );
  await bad(1, /called "asleep": xl rename/, "config-update", "asleep", idle);
  const later = config("asleep", `kernel = "${guest("idle")}"\nmemory = 6\ncpu_weight = 700\nvif = ["model=noxs"]`);
  await crashDomain0(machine);
  await xl.again();
  t.regex(await good("sched-credit2", "-d", "asleep"), /\nasleep +\d+ +512 /);
  t.regex(await good("uptime", "asleep"), /\nasleep +\d+ +0:\d\d:\d\d\n$/);
  await good("reboot", "-w", "asleep");
  await machine.waitFor(/asleep was restarted: it is domain \d+ now/, COMMAND_MS, "the guest's restart");
  t.regex(await good("sched-credit2", "-d", "asleep"), /\nasleep +\d+ +512 /);
  t.like(JSON.parse(await good("list", "-l", "asleep"))[0], { config: { c_info: { uuid: UUID } } });
  await nobody("reboot", "nobody");
  const updated = await xl.run(["config-update", "asleep", later]);
  t.regex(updated.err, /^setting dom\d+ configuration\n$/);
  await good("reboot", "-w", "asleep");
  await machine.waitFor(/asleep was restarted: it is domain \d+ now/, COMMAND_MS, "the guest's restart");
  t.like(JSON.parse(await good("list", "-l", "asleep"))[0], {
    config: { c_info: { uuid: UUID }, b_info: { max_memkb: 6144, sched_params: { weight: 700 } } },
  });

  await nobody("console", "nobody");
  await good("create", "-q", hello, 'name="ended"', 'on_poweroff="preserve"');
  await machine.waitFor(/\(ended\) has ended: poweroff; it is kept/, COMMAND_MS, "the guest's end");
  t.regex((await separate("console", "ended")).out, /TYPEVISOR-GUEST: PASS hello/);
  xl.good.add("console");
  await nobody("shutdown", "nobody");
  await good("destroy", "paused");
  await good("destroy", "ended");
  await bad(1, /^Not destroying domain 0/, "destroy", "0");
  await good("shutdown", "-w", "-a");
  await machine.waitFor(/\(asleep\) has ended: poweroff/, COMMAND_MS, "the guest's end");
  t.notRegex(await good("list"), /asleep|paused|ended|idle|hello/);

  // Those that are not there.
  for (const { command, implemented } of Object.values(XL_COMMANDS).flat()) {
    if (!implemented) await bad(1, /./, command, "x");
    else t.true(xl.good.has(command) && xl.bad.has(command), `${command} was not tried with good and bad words`);
  }
  await powerOff(t, machine);
});
