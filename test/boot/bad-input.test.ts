/**
 * Bad input: each gives a specific error, the domain is removed, its memory is freed, and the prompt works.
 */
import test from "ava";
import type { Machine } from "../../scripts/machine.ts";
import { BOOT_MS, bootToPrompt, COMMAND_MS, GUEST_MS, powerOff, startMachine } from "./support/boot.ts";
import { asModules, E_MACHINE, Kernel, P_FILESZ, P_MEMSZ, P_OFFSET, P_PADDR } from "./support/damaged.ts";
import { expectFrames, framesWarm } from "./support/frames.ts";

const GIB = 2 ** 30;
const EM_AARCH64 = 183;

/** Images, and what `create` must say about each. */
function badImages(): { name: string; bytes: Uint8Array; says: RegExp }[] {
  const good = new Kernel();
  const secondSegment = good.segmentField(1, P_OFFSET);
  const foreign = new Kernel();
  foreign.bytes.writeUInt16LE(EM_AARCH64, E_MACHINE);
  const bigEndian = new Kernel();
  bigEndian.bytes[5] = 2;
  return [
    { name: "empty", bytes: new Uint8Array(0), says: /the boot module "empty" is empty/ },
    { name: "text", bytes: Buffer.from("#!/bin/sh\necho I am no kernel\n"), says: /text: not an ELF file/ },
    {
      name: "cut-header",
      bytes: good.bytes.subarray(0, 40),
      says: /cut-header: truncated: it ends inside its ELF header/,
    },
    {
      name: "cut-table",
      bytes: good.bytes.subarray(0, 100),
      says: /cut-table: truncated or damaged: its program headers/,
    },
    {
      name: "cut-segment",
      bytes: good.bytes.subarray(0, secondSegment + 100),
      says: /cut-segment: truncated: the file ends inside the segment at 0x[0-9a-f]+/,
    },
    { name: "arm", bytes: foreign.bytes, says: /arm: made for another architecture: 64-bit ARM; x86 is needed/ },
    { name: "big-endian", bytes: bigEndian.bytes, says: /big-endian: made for another architecture: a big-endian one/ },
    {
      name: "overlap",
      bytes: new Kernel().setSegmentField(1, P_PADDR, good.segmentField(0, P_PADDR) + 0x1000).bytes,
      says: /overlap: segments overlap: 0x100000-0x[0-9a-f]+ and 0x101000-0x[0-9a-f]+/,
    },
    {
      name: "shrunk",
      bytes: new Kernel().setSegmentField(1, P_MEMSZ, good.segmentField(1, P_FILESZ) - 1).bytes,
      says: /shrunk: damaged: the segment at 0x[0-9a-f]+ has more bytes in the file than in memory/,
    },
    { name: "no-note", bytes: new Kernel().setNoteType(99).bytes, says: /no-note: .*no XEN_ELFNOTE_PHYS32_ENTRY note/ },
    {
      name: "no-entry",
      bytes: new Kernel().setEntry(0xdead0000).bytes,
      says: /no-entry: its PVH entry point 0xdead0000 is outside its segments/,
    },
    {
      name: "large",
      bytes: new Kernel().setSegmentField(1, P_MEMSZ, 64 * 2 ** 20).bytes,
      says: /large: the image is larger than the guest's memory: it needs memory up to .* \(6[45].* MiB\), the guest has 32.* MiB/,
    },
    { name: "huge", bytes: new Kernel().setSegmentField(1, P_MEMSZ, 8 * GIB).bytes, says: /huge: .*memory/ },
  ];
}

/** Runs a command that must fail with these words, in one or few lines, and leave no domain but domain 0 and the I/O domain. */
async function refused(machine: Machine, command: string, says: RegExp): Promise<string | undefined> {
  const printed = await machine.command(command, COMMAND_MS);
  if (!says.test(printed)) return `${command} said: ${printed}`;
  // A user's mistake gives a message; a stack would indicate an unexpected error.
  if (!command.startsWith("js") && /^\s+at /m.test(printed)) return `${command} failed unexpectedly: ${printed}`;
  const domains = (await machine.command("list", COMMAND_MS)).split("\n").filter((line) => line.trim() !== "");
  return domains.length === 3 ? undefined : `after ${command}, domains: ${domains.join(", ")}`;
}

test.serial("kernel images with something wrong are refused in words", async (t) => {
  const images = badImages();
  const modules = asModules(t, Object.fromEntries(images.map(({ name, bytes }) => [name, bytes])));
  const machine = await bootToPrompt(t, { modules });
  const before = await framesWarm(machine);
  for (const { name, says } of images) {
    t.is(await refused(machine, `create --kernel ${name} --wait`, says), undefined);
  }
  await expectFrames(t, machine, before, "after the refusals");
  await powerOff(t, machine);
});

test.serial("a kernel whose code is damaged ends alone", async (t) => {
  const zeroes = new Kernel();
  zeroes.bytes.fill(0, zeroes.offsetOf(zeroes.entry), zeroes.offsetOf(zeroes.entry) + 256);
  const undefinedOpcodes = new Kernel();
  for (let i = 0; i < 256; i += 2) undefinedOpcodes.bytes.writeUInt16BE(0x0f0b, zeroes.offsetOf(zeroes.entry) + i);
  const machine = await bootToPrompt(t, {
    modules: asModules(t, { zeroes: zeroes.bytes, ud2: undefinedOpcodes.bytes }),
  });
  const before = await framesWarm(machine);
  for (const name of ["zeroes", "ud2"]) {
    const printed = await machine.command(`create --kernel ${name} --wait`, GUEST_MS);
    t.regex(printed, new RegExp(`domain \\d+ \\(${name}\\) has ended: crash`), name);
  }
  await expectFrames(t, machine, before, "after the crashes");
  t.regex(await machine.command("create --kernel hello --wait", GUEST_MS), /TYPEVISOR-GUEST: PASS hello/);
  await powerOff(t, machine);
});

test.serial("wrong words, unknown modules and too much memory are refused", async (t) => {
  const large = Buffer.alloc(40 * 2 ** 20, 1);
  const machine = await bootToPrompt(t, { modules: asModules(t, { large }) });
  const before = await framesWarm(machine);
  const cases: [string, RegExp][] = [
    ["create", /create: --kernel NAME is missing/],
    ["create --kernel nobody", /--kernel: no boot module "nobody"; boot modules: .*\bhello\b/],
    ["create --kernel hello --ramdisk nobody", /--ramdisk: no boot module "nobody"/],
    ["create --kernel hello --ramdisk large", /kernel and ramdisk \(40.* MiB\) do not fit into 32.* MiB of memory/],
    ["create --kernel hello --memory 0", /--memory: "0" is not a whole number of MiB from 1 to/],
    ["create --kernel hello --memory lots", /--memory: "lots" is not a whole number/],
    ["create --kernel hello --memory 1", /hello: the image is larger than the guest's memory/],
    ["create --kernel hello --memory 600", /not enough memory: the guest is to have 600.* MiB, 4\d\d.* MiB are free/],
    ["create --kernel hello --memory 1000000", /not enough memory/],
    ["create --kernel hello --vcpus 0", /--vcpus: "0" is not a whole number from 1 to/],
    ["create --kernel hello --vcpus 9999", /--vcpus: "9999" is not a whole number from 1 to/],
    ["create --kernel hello --nmae x", /unknown option --nmae; known: --kernel/],
    ["create --kernel hello --name Domain-0", /a domain named "Domain-0" exists already/],
    [`create --kernel hello --name ${"x".repeat(65)}`, /the name "x{65}" is too long: 65 bytes, 64 at most/],
    ['create --kernel "hello', /the quote " is not closed/],
    ["create --kernel hello --paused --wait", /--wait would wait for ever/],
    ["destroy 77", /no domain "77"; `list` shows them/],
    ["destroy 0", /domain 0 is the control plane itself/],
    ["pause", /ID is missing/],
    ["frobnicate", /frobnicate: unknown command; `help` lists them/],
    ["js (", /SyntaxError/],
  ];
  for (const [command, says] of cases) t.is(await refused(machine, command, says), undefined);
  await expectFrames(t, machine, before, "after the refusals");
  await powerOff(t, machine);
});

test.serial("guests that together want more than there is: those that fit run", async (t) => {
  const machine = await bootToPrompt(t, { memoryMib: 136 });
  const before = await framesWarm(machine);
  const printed = await machine.command(
    "create --kernel spin --memory 40 --paused; create --kernel spin --memory 40 --paused; create --kernel spin --memory 40 --paused",
    COMMAND_MS,
  );
  t.regex(printed, /^2\s+3\s+create: not enough memory: the guest is to have 40.* MiB, 1\d.* MiB are free/);
  t.regex(await machine.command("create --kernel hello --memory 8 --wait", GUEST_MS), /PASS hello/);
  await machine.command("destroy 2; destroy 3", COMMAND_MS);
  await expectFrames(t, machine, before, "after all of them");
  await powerOff(t, machine);
});

test.serial("a processor without virtualisation: the prompt comes, and says why no guest can run", async (t) => {
  const machine = await bootToPrompt(t, { cpuModel: "max,svm=off" });
  const why = /No guests can run here: this processor has neither VT-x nor AMD-V, or the hypervisor below hides them/;
  t.regex(machine.output, why);
  t.regex(await machine.command("info", COMMAND_MS), /virtualisation +none\. No guests can run here/);
  t.is(await refused(machine, "create --kernel hello --wait", why), undefined);
  const check = await machine.command("check", COMMAND_MS);
  t.regex(check, /^required +no +VT-x or AMD-V \(no guest can run/m);
  t.regex(check, /^check: No guests can run here: this processor has neither/m);
  await powerOff(t, machine);
});

test.serial("AMD-V without nested paging, and VT-x without EPT, are refused by name", async (t) => {
  const amd = await bootToPrompt(t, { cpuModel: "max,npt=off" });
  t.is(await refused(amd, "create --kernel hello", /No guests can run here: .*nested paging/), undefined);
  const lacking = await amd.command("check", COMMAND_MS);
  t.regex(
    lacking,
    /^required +yes +VT-x or AMD-V: AMD-V[^]*^required +no +NPT \(nested paging\) \(no guest can run\)/m,
  );
  t.regex(lacking, /^check: No guests can run here/m);
  await powerOff(t, amd);
  const intel = await bootToPrompt(t, { kind: "bochs-vmx", cpuModel: "core2_penryn_t9600" });
  t.is(await refused(intel, "create --kernel hello", /No guests can run here: .*\(EPT\)/), undefined);
  const old = await intel.command("check", COMMAND_MS);
  t.regex(old, /^required +yes +VT-x or AMD-V: VT-x[^]*^required +no +EPT \(nested paging\) \(no guest can run\)/m);
  t.regex(old, /^check: No guests can run here/m);
  await powerOff(t, intel);
});

test.serial("too old a processor is refused before anything needs what it lacks", async (t) => {
  const machine = await startMachine(t, { cpuModel: "qemu64" });
  await machine.waitFor(/Typevisor cannot start: the processor lacks SSE4\.1/, BOOT_MS);
  t.pass();
});

test.serial("too little memory is refused with how much is needed", async (t) => {
  const machine = await startMachine(t, { memoryMib: 32 });
  await machine.waitFor(/Typevisor cannot start: the machine has 31 MiB of RAM, it takes 48 MiB or more\./, BOOT_MS);
  await machine.stop();
  const enough = await bootToPrompt(t, { memoryMib: 64 });
  t.regex(await enough.command("create --kernel hello --memory 16 --wait", GUEST_MS), /PASS hello/);
  await powerOff(t, enough);
});
