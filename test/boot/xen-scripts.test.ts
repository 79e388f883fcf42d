/** Scripts and files of Debian's packages that were written for Xen's `xl`, unchanged, with ours and a machine in QEMU behind it. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { unpackedPackage } from "../../scripts/packages.ts";
import { readXlConfig } from "../../toolstack/cli/config/xl-cfg.ts";
import { faultsOf } from "../unit/cli/refused.ts";
import { powerOff } from "./support/boot.ts";
import { Domain0Files } from "./support/domain0-files.ts";
import { XlMachine } from "./support/xl-machine.ts";

interface Packages {
  /** xendomains, the examples of xl.cfg, the shell's completion. */
  xenUtils: string;
  /** xen-list-images, and the module of Perl that asks whether a guest runs. */
  xenTools: string;
  fileWhich: string;
}

function fetched(): Packages | string {
  try {
    return {
      xenUtils: unpackedPackage("xen-utils-common"),
      xenTools: unpackedPackage("xen-tools"),
      fileWhich: unpackedPackage("libfile-which-perl"),
    };
  } catch (error) {
    return (error as Error).message.split("\n").at(-1)!;
  }
}

const packages = fetched();
const missing = typeof packages === "string" ? packages : "";
const noFiles = typeof packages === "string" ? packages : Domain0Files.whyNot(packages.xenUtils);
/** With the reason in its title where it cannot be run. */
const titled = (title: string, why: string) => (why === "" ? title : `${title} (${why})`);
const withPackages = missing === "" ? test.serial : (test.serial.skip as typeof test.serial);
const withDomain0Files = noFiles === "" ? test.serial : (test.serial.skip as typeof test.serial);

withPackages(titled("Xen's example configurations are taken, or refused by name of the key", missing), (t) => {
  const example = (name: string) => {
    const text = readFileSync(path.join((packages as Packages).xenUtils, "etc/xen", name), "utf8");
    const lineOf = (key: string) => text.split("\n").findIndex((line) => line.startsWith(`${key} `)) + 1;
    return { text, lineOf };
  };
  const notAFile = (name: string) => `"${name}" is a path, and disks are no files here: write the name of a volume`;

  const pvh = example("xlexample.pvhlinux");
  const [fault, ...more] = faultsOf(t, () => readXlConfig(pvh.text, "pvhlinux"));
  t.deepEqual(more, []);
  t.true(
    fault!.startsWith(`pvhlinux:${pvh.lineOf("disk")}: disk[0].target: ${notAFile("/dev/zvol/tank/guest-volume")}`),
    fault,
  );
  // With a disk that there can be, all of it is taken, without a note.
  const { description, notes } = readXlConfig(pvh.text, "pvhlinux", ["disk=['guest-volume,raw,xvda,rw']"]);
  t.deepEqual(notes, []);
  t.like(description, { name: "example.pvhlinux", memoryMib: 512, vcpus: 4, cmdline: "root=/dev/xvda1" });
  t.is(description.vifs.length, 1);

  const pv = example("xlexample.pvlinux");
  t.true(
    faultsOf(t, () => readXlConfig(pv.text, "pvlinux"))[0]!.startsWith(
      `pvlinux:${pv.lineOf("disk")}: disk[0].target: `,
    ),
  );
  const asPvh = readXlConfig(pv.text, "pvlinux", ["disk=['guest-volume,raw,xvda,rw']"]);
  t.regex(
    asPvh.notes.map(({ key, text }) => `${key}: ${text}`).join("\n"),
    /^type: is not given: xl would make a PV domain/,
  );

  const hvm = example("xlexample.hvm");
  const faults = faultsOf(t, () => readXlConfig(hvm.text, "hvm"));
  const kinds = 'type: "hvm" is not supported: there are no HVM guests here; accepted: "pvh"';
  t.is(faults.length, 3, "its display is accepted without effect");
  t.regex(faults[0]!, /^hvm: kernel: is missing/);
  t.is(faults[1], `hvm:${hvm.lineOf("type")}: ${kinds}`);
  t.true(faults[2]!.startsWith(`hvm:${hvm.lineOf("disk")}: disk[0].target: `), faults[2]);
});

/** xen-tools asks for the tool stack and for guests; the shell's completion for the commands. */
async function asksOthers(t: ExecutionContext, host: XlMachine, auto: string): Promise<void> {
  const { xenTools, xenUtils, fileWhich } = packages as Packages;
  const perl = { PERL5LIB: [xenTools, fileWhich].map((folder) => path.join(folder, "usr/share/perl5")).join(":") };
  const images = await host.run(path.join(xenTools, "usr/bin/xen-list-images"), [`--test=${auto}`], perl);
  t.is(images.status, 0, images.err);
  t.regex(images.out, /^Name: one\nMemory: 4 MB/m);
  const asks = "my %c = (xm => findXenToolstack()); print join(' ', map { xenRunning($_, \\%c) } @ARGV), qq(\\n)";
  const running = await host.run("perl", ["-MXen::Tools::Common", "-e", asks, "one", "nobody"], perl);
  t.deepEqual([running.out, running.status], ["1 0\n", 0], running.err);

  const file = path.join(xenUtils, "usr/share/bash-completion/completions/xl");
  const complete = `. ${file}; COMP_WORDS=(xl de); COMP_CWORD=1; _xl; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const words = (await host.run("bash", ["-c", complete])).out.split("\n").map((word) => word.trim());
  t.deepEqual(words.filter((word) => word !== "").sort(), ["debug-keys", "destroy"]);
}

withDomain0Files(
  titled("Debian's xendomains starts, keeps and stops the guests of a folder; xen-tools finds them", noFiles),
  async (t) => {
    t.timeout(900_000);
    const host = await XlMachine.start(t);
    const auto = path.join(host.folder, "auto");
    mkdirSync(auto);
    for (const name of ["one", "two"]) renameSync(host.config(name), path.join(auto, `${name}.cfg`));
    const settings = {
      SAVE: path.join(host.folder, "save"),
      RESTORE: "true",
      MIGRATE: "",
      AUTO: auto,
      STOP_MAXWAIT: "120",
    };
    const text = Object.entries(settings).map(([name, value]) => `XENDOMAINS_${name}="${value}"\n`);
    const files = Domain0Files.make((packages as Packages).xenUtils, { "default/xendomains": text.join("") });
    t.teardown(() => files.remove());
    const xendomains = async (action: string) => {
      const { program, words } = files.command("/etc/init.d/xendomains", [action]);
      const { status, out, err } = await host.run(program, words);
      t.is(status, 0, `${action}: ${out}${err}`);
      return out;
    };

    const started = await xendomains("start");
    for (const name of ["one", "two"])
      t.regex(started, new RegExp(`Starting Xen domain ${name} \\(from .*\\)\\.\\.\\.done\\.`));
    t.is((await host.xl("domid", "one")).status, 0);
    await asksOthers(t, host, auto);

    // A file that is wrong is told; those that run stay.
    writeFileSync(path.join(auto, "bad.cfg"), 'name = "bad"\ntype = "hvm"\nkernel = "/boot/vmlinuz"\n');
    const again = await xendomains("start");
    t.regex(again, /bad\.cfg\)\.\.\.failed\.\n[^]*bad\.cfg:2: type: "hvm" is not supported/);
    t.regex(again, /Xen domain one already running/);

    const stopped = await xendomains("stop");
    t.regex(stopped, /Saving Xen domain one \(\d+\)[^]*guests cannot be saved or moved/);
    t.regex(stopped, /Shutting down Xen domain two \(\d+\)[^]*done\./);
    t.notRegex((await host.xl("list")).out, /one|two/);
    await powerOff(t, host.machine);
  },
);
