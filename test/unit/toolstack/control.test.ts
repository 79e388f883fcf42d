/** The whole control plane on the fake machine: sessions, domains, consoles, failures, restarts. */
import test from "ava";
import { XEN_DOMCTL_sethvmcontext } from "../../../abi/domctl.ts";
import { EINVAL, ENOMEM, ENOSPC } from "../../../abi/errno.ts";
import {
  HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_STORE_PFN,
  HvmHwCpu,
  HvmMemmapTableEntry,
  HvmModlistEntry,
  HvmStartInfo,
  XEN_HVM_MEMMAP_TYPE_ACPI,
  XEN_HVM_MEMMAP_TYPE_RAM,
  XEN_HVM_MEMMAP_TYPE_RESERVED,
  XEN_HVM_START_MAGIC_VALUE,
} from "../../../abi/hvm.ts";
import {
  SHUTDOWN_crash,
  SHUTDOWN_poweroff,
  SHUTDOWN_reboot,
  SHUTDOWN_suspend,
  SHUTDOWN_watchdog,
} from "../../../abi/sched.ts";
import { __HYPERVISOR_domctl } from "../../../abi/xen.ts";
import { planGuest } from "../../../toolstack/control/builder/layout.ts";
import type { FakeDomain } from "./fake-domain.ts";
import { BEYOND_RAM, exec, guestPrints, guestRing, machine, machineWith, runExec } from "./fake-session.ts";
import { makeElf } from "./make-elf.ts";

test("the prompt comes at once, and lines end as a terminal needs them", async (t) => {
  const m = machine();
  await m.boot();
  const output = m.takeOutput();
  t.regex(output, /Typevisor.*\r\ntypevisor> $/s);
  t.true(m.hypercalls < 24, `${m.hypercalls} hypercalls`);
});

test("create --wait shows the guest's console and the reason, and returns its memory", async (t) => {
  const m = machineWith(exec("create --kernel hello --wait"), "Hello, world\n", SHUTDOWN_poweroff);
  const free = m.freePages;
  t.is(await runExec(m), "1\nHello, world\ndomain 1 (hello) has ended: poweroff\nTYPEVISOR-EXEC: 1 ok, 0 failed\n");
  t.is(m.ended, SHUTDOWN_poweroff);
  t.is(m.domains.size, 0);
  t.is(m.freePages, free);
  t.is(m.mappedPages, 0);
});

for (const [code, reason, ok] of [
  [SHUTDOWN_reboot, "reboot", true],
  [SHUTDOWN_suspend, "suspend", true],
  [SHUTDOWN_crash, "crash", false],
  [SHUTDOWN_watchdog, "watchdog", false],
] as const) {
  test(`create --wait and ${reason}: the command ${ok ? "succeeds" : "fails"}`, async (t) => {
    const m = machineWith(exec("create --kernel hello --wait --on-reboot destroy; list"), "x", code);
    const output = await runExec(m);
    t.regex(output, new RegExp(`domain 1 \\(hello\\) has ended: ${reason}\n`));
    t.regex(output, ok ? /TYPEVISOR-EXEC: 2 ok, 0 failed/ : /TYPEVISOR-EXEC: 1 ok, 1 failed/);
    t.is(m.domains.size, 0);
  });
}

/** Where EBX points when the guest starts. */
function startInfoOf(domain: FakeDomain): number {
  return new DataView(domain.context!.buffer, domain.context!.byteOffset + 40).getUint32(HvmHwCpu.rbx, true);
}

test("what a guest finds: image, boot data, ramdisk, context", async (t) => {
  const m = machine(
    exec("create --kernel hello --ramdisk initrd --cmdline 'a=1 \"b\"' --memory 5 --vcpus 2 --name x --paused; list"),
  );
  const output = await runExec(m);
  t.regex(output, /^x {20} {3}1 {6}5 {5}2 {3}--p--- {7}1\.5$/m);
  const domain = m.domains.get(1)!;
  t.is(domain.frames.size, 5 * 256 + BEYOND_RAM);
  t.is(domain.memoryMap.length, 3);
  const text = (at: number, length: number) => Buffer.from(domain.read(at, length)).toString("latin1");
  t.is(text(0x100000, 17), "code of the guest");
  t.true(domain.read(0x102345, 5000).every((byte) => byte === 0x5a));
  t.is(domain.read(0x102345 + 5000, 1)[0], 0);

  const cpu = new DataView(domain.context!.buffer, domain.context!.byteOffset + 40);
  t.is(cpu.getUint32(HvmHwCpu.rip, true), 0x100000);
  t.is(cpu.getUint32(HvmHwCpu.cr0, true), 0x11);
  t.is(cpu.getUint32(HvmHwCpu.cs_arbytes, true), 0xc9b);
  const at = cpu.getUint32(HvmHwCpu.rbx, true);
  const info = new DataView(domain.read(at, HvmStartInfo.SIZE).buffer);
  t.is(info.getUint32(HvmStartInfo.magic, true), XEN_HVM_START_MAGIC_VALUE);
  t.is(info.getUint32(HvmStartInfo.version, true), 1);
  t.is(text(info.getUint32(HvmStartInfo.cmdline_paddr, true), 8), 'a=1 "b"\0');
  t.is(text(info.getUint32(HvmStartInfo.rsdp_paddr, true), 8), "RSD PTR ");
  t.is(info.getUint32(HvmStartInfo.nr_modules, true), 1);
  const module = new DataView(
    domain.read(info.getUint32(HvmStartInfo.modlist_paddr, true), HvmModlistEntry.SIZE).buffer,
  );
  t.is(module.getUint32(HvmModlistEntry.size, true), 10000);
  const ramdisk = module.getUint32(HvmModlistEntry.paddr, true);
  t.true(ramdisk >= 0x102345 + 9000);
  t.true(domain.read(ramdisk, 10000).every((byte) => byte === 0x77));
  t.is(m.mappedPages, 0, "no page stays mapped: the guest has neither printed nor called the store");
});

const KERNEL_END = 0x180000;
const RAMDISK_SIZE = 5000;
const VCPUS = [1, 2, 64];

for (const vcpus of VCPUS) {
  test(`memory is laid out as Xen's toolstack does it: ${vcpus} vCPUs`, async (t) => {
    const line = `create --kernel plain --ramdisk disk --memory 4 --vcpus ${vcpus} --paused`;
    const m = machine(exec(line));
    m.addModule(
      "plain",
      makeElf({ segments: [{ address: 0x100000, data: Buffer.alloc(9), memorySize: 0x7fff0 }] }).bytes,
    );
    m.addModule("disk", Buffer.alloc(RAMDISK_SIZE, 7));
    t.regex(await runExec(m), /1 ok, 0 failed/);
    const domain = m.domains.get(1)!;
    t.is(domain.params.get(HVM_PARAM_CONSOLE_PFN), 0xfefff);
    t.is(domain.params.get(HVM_PARAM_STORE_PFN), 0xfeffc);
    const startInfo = startInfoOf(domain);
    t.is(startInfo, KERNEL_END + 2 * 4096, "behind kernel and ramdisk");
    const info = new DataView(domain.read(startInfo, HvmStartInfo.SIZE).buffer);
    const end = startInfo + 4096;
    for (const pointer of [HvmStartInfo.cmdline_paddr, HvmStartInfo.memmap_paddr, HvmStartInfo.modlist_paddr]) {
      const at = info.getUint32(pointer, true);
      t.true(at >= startInfo && at < end);
    }
    // Nothing of ours below 1 MiB, which is all RAM.
    t.true(domain.read(0, 0x100000).every((byte) => byte === 0));
    const acpiPages = 1;
    const acpi = 0xfeff8000 - acpiPages * 4096;
    t.is(info.getUint32(HvmStartInfo.rsdp_paddr, true), acpi);
    const map = new DataView(
      domain.read(info.getUint32(HvmStartInfo.memmap_paddr, true), 4 * HvmMemmapTableEntry.SIZE).buffer,
    );
    const entries = Array.from({ length: info.getUint32(HvmStartInfo.memmap_entries, true) }, (_, i) => {
      const at = i * HvmMemmapTableEntry.SIZE;
      return [
        Number(map.getBigUint64(at + HvmMemmapTableEntry.addr, true)),
        Number(map.getBigUint64(at + HvmMemmapTableEntry.size, true)),
        map.getUint32(at + HvmMemmapTableEntry.type, true),
      ];
    });
    t.deepEqual(entries, [
      [0, 4 << 20, XEN_HVM_MEMMAP_TYPE_RAM],
      [acpi, acpiPages * 4096, XEN_HVM_MEMMAP_TYPE_ACPI],
      [0xfeff8000, 0x8000, XEN_HVM_MEMMAP_TYPE_RESERVED],
    ]);
    t.deepEqual(domain.memoryMap, entries, "XENMEM_memory_map says the same");
    // Whatever is beyond the RAM is within one nested page table.
    const beyond = [...domain.frames.keys()].filter((gfn) => gfn >= 1024);
    t.is(beyond.length, acpiPages + 2);
    t.true(beyond.every((gfn) => gfn >> 9 === 0xfeff8 >> 9));
    t.is(domain.maxPages, 1024 + beyond.length);
  });
}

test("a kernel in the first megabyte is loaded there, and nothing else", async (t) => {
  const m = machine(exec("create --kernel low --memory 2 --paused"));
  const data = Buffer.alloc(0x20000, 1);
  m.addModule("low", makeElf({ segments: [{ address: 0xc0000, data }] }).bytes);
  t.regex(await runExec(m), /1 ok, 0 failed/);
  const domain = m.domains.get(1)!;
  t.deepEqual(Buffer.from(domain.read(0xc0000, data.length)), data);
  t.is(startInfoOf(domain), 0x100000);
});

test("a guest of 5 GiB has its RAM on both sides of the hole", (t) => {
  const segments = [{ address: 0x100000, fileOffset: 0, fileSize: 1, memorySize: 1 }];
  const { lowRam, highRam, memoryMap } = planGuest(
    "big",
    { kind: "pvh", entry: 0x100000, segments },
    0,
    5 * 2 ** 30,
    200,
    300,
  );
  t.deepEqual([lowRam, highRam], [3 * 2 ** 30, 2 * 2 ** 30]);
  t.deepEqual(memoryMap.at(-1), { start: 2 ** 32, size: 2 * 2 ** 30, type: XEN_HVM_MEMMAP_TYPE_RAM });
  t.true(memoryMap.every(({ start }, i) => i === 0 || start >= memoryMap[i - 1]!.start + memoryMap[i - 1]!.size));
});

const refused: [string, RegExp][] = [
  ["create", /^create: --kernel NAME is missing$/m],
  ["create --kernel nothere", /--kernel: no boot module "nothere"; boot modules: hello initrd/],
  ["create --kernel initrd", /^create: initrd: not an ELF file$/m],
  ["create --kernel hello --ramdisk nothere", /--ramdisk: no boot module/],
  ["create --kernel hello --memory 1", /image is larger than the guest's memory: .*the guest has 1 MiB/],
  ["create --kernel hello --memory 3000", /not enough memory: the guest is to have 2.9 GiB, 256 MiB are free/],
  ["create --kernel hello --memory 0", /--memory: "0" is not a whole number of MiB from 1/],
  ["create --kernel hello --vcpus 65", /--vcpus: "65"/],
  [`create --kernel hello --name ${"x".repeat(65)}`, /too long: 65 bytes, 64 at most/],
  ["create --kernel hello --name 12", /is a number/],
  ["create --kernel hello --paused --wait", /--wait would wait for ever/],
  ["pause 7", /^pause: no domain "7"; `list` shows them$/m],
  ["destroy 0", /domain 0 is the control plane/],
  ["unpause", /^unpause: ID is missing$/m],
  ["frobnicate 1", /^frobnicate: unknown command; `help` lists them$/m],
  ["list extra", /one word too many: "extra"/],
  ["list 'x", /quote ' is not closed/],
];
for (const [command, message] of refused) {
  test(`refused with nothing left behind: ${command}`, async (t) => {
    const m = machine(exec(`${command}`));
    const free = m.freePages;
    const output = await runExec(m);
    t.regex(output, message);
    t.regex(output, /TYPEVISOR-EXEC: 0 ok, 1 failed/);
    t.is(m.domains.size, 0);
    t.is(m.freePages, free);
    t.is(m.mappedPages, 0);
  });
}

test("a hypercall that fails in the middle of building: the domain is gone, the next one works", async (t) => {
  const m = machine(exec("create --kernel hello --paused; create --kernel hello --paused; list"));
  m.failNext = { op: __HYPERVISOR_domctl, command: XEN_DOMCTL_sethvmcontext, errno: EINVAL };
  const output = await runExec(m);
  t.regex(output, /create: the hypervisor refused XEN_DOMCTL_sethvmcontext: EINVAL \(invalid argument\)/);
  t.regex(output, /TYPEVISOR-EXEC: 2 ok, 1 failed/);
  t.deepEqual([...m.domains.keys()], [2]);
});

for (const errno of [ENOMEM, ENOSPC]) {
  test(`create failing with errno ${errno} at each of its hypercalls leaves nothing behind`, async (t) => {
    const m = machine();
    await m.boot();
    await m.type("create --kernel hello --name before --paused\r");
    const state = () => ({ domains: m.domains.size, mapped: m.mappedPages, ports: m.ports, free: m.freePages });
    const before = state();
    let failed = 0;
    for (let passing = 0; ; passing++) {
      m.takeOutput();
      m.failAfter = { passing, errno };
      await m.type("create --kernel hello --paused\r");
      if (m.failAfter !== null) break;
      failed++;
      t.regex(m.takeOutput(), /create: .*\r\n.*typevisor> $/s);
      t.deepEqual(state(), before, `hypercall ${passing}`);
    }
    m.failAfter = null;
    t.true(failed > 12, `${failed} hypercalls were made to fail`);
    t.is(m.domains.size, 2, "and with none failing it is made");
    await m.type("destroy before\r");
    await m.type("destroy hello\r");
    t.is(m.domains.size, 0);
    t.is(m.mappedPages, 0);
  });
}

test("a machine without virtualisation says why it cannot run guests", async (t) => {
  const m = machine(exec("create --kernel hello; info"));
  m.virtualisation = false;
  m.log = "(XEN) hello\n(XEN) No guests can run here: VT-x is disabled by the firmware.\n(XEN) more\n";
  const output = await runExec(m);
  t.regex(output, /^create: No guests can run here: VT-x is disabled by the firmware\.$/m);
  t.regex(output, /^virtualisation {2}none\. No guests can run here/m);
});

test("names: made up from the kernel's, given ones are unique", async (t) => {
  const m = machine(
    exec(
      "create --kernel hello; create --kernel hello; create --kernel hello --name hello-2; pause hello-2; unpause 2; list",
    ),
  );
  const output = await runExec(m);
  t.regex(output, /a domain named "hello-2" exists already/);
  t.regex(output, /5 ok, 1 failed/);
  t.regex(output, /^hello +1 .*\nhello-2 +2 /m);
});

test("pause counts; unpausing what runs is an error; destroy returns everything", async (t) => {
  const m = machine(exec("create --kernel hello; pause 1; unpause 1; unpause 1; destroy 1; list"));
  const free = m.freePages;
  const output = await runExec(m);
  t.regex(output, /unpause: domain 1 \(hello\) is not paused/);
  t.regex(output, /5 ok, 1 failed/);
  t.is(m.freePages, free);
  t.is(m.mappedPages, 0);
});

test("help, info, dmesg and js", async (t) => {
  const m = machine(
    exec(
      "help; help create; info; check; dmesg; js 6*7; js await sleep(5), 'late'; js domains.all(); js nowhere.x; js x = {a: 1n}; js x;" +
        "js {b: [1, 'c']}; js Promise.reject(new Error('no')); js hypercall(17, 0); js uptimeNs() > 0",
    ),
  );
  const output = await runExec(m);
  t.regex(output, /^ {2}create {10}create a domain and print its id$/m);
  t.regex(output, /create --kernel NAME \[--ramdisk NAME\]/);
  t.regex(output, /^memory {10}512 MiB, 256 MiB free$/m);
  t.regex(output, /^required {2}no {3}VT-x or AMD-V \(no guest can run; a hypervisor below may hide it\)$/m);
  t.regex(output, /^used {6}yes {2}memory: 512 MiB, 256 MiB free for guests$/m);
  t.regex(output, /^Guests can run here\. They would run better with: invariant TSC, /m);
  t.regex(output, /\(XEN\) fake log\n/);
  t.regex(output, /^42$/m);
  t.regex(output, /^"late"$/m);
  t.regex(output, /^\[\]$/m);
  t.regex(output, /js: ReferenceError: nowhere is not defined/);
  t.regex(output, /^\{ a: 1n \}\n\{ a: 1n \}$/m);
  t.regex(output, /^\{ b: \[ 1, "c" \] \}$/m);
  t.regex(output, /js: Error: no/);
  t.regex(output, /^262161$/m);
  t.regex(output, /^true\nTYPEVISOR-EXEC: 13 ok, 2 failed$/m);
});

test("js has setTimeout and its kin", async (t) => {
  const m = machine(
    exec(
      "js seen = []; js never = setTimeout(() => seen.push('never'), 1); js clearTimeout(never);" +
        "js setTimeout((...words) => seen.push(...words), 2, 'a', 'b'); js every = setInterval(() => seen.push('tick'), 4);" +
        "js await sleep(3); js seen.join(); js (async () => { while (seen.length < 5) await sleep(1); clearInterval(every); })();" +
        "js await sleep(20); js seen.join(); js setTimeout(1)",
    ),
  );
  const output = await runExec(m);
  t.regex(output, /^"a,b"$/m);
  t.regex(output, /^"a,b,tick,tick,tick"$/m);
  t.regex(output, /js: TypeError: the first argument is not a function/);
});

test("poweroff and reboot in exec mode come after the verdict", async (t) => {
  const m = machine(exec("list; reboot; list"));
  t.regex(await runExec(m), /TYPEVISOR-EXEC: 2 ok, 0 failed\n$/);
  t.is(m.ended, SHUTDOWN_reboot);
});

test("exec= that is not percent-encoded or has an open quote fails as a whole", async (t) => {
  t.regex(await runExec(machine("exec=%zz")), /not percent-encoded\nTYPEVISOR-EXEC: 0 ok, 1 failed/);
  t.regex(await runExec(machine(exec("list; list 'x"))), /TYPEVISOR-EXEC: 0 ok, 1 failed/);
});

test("start=: the commands first, then the prompt", async (t) => {
  const m = machineWith("quiet start=create%20--kernel%20hello%20--wait", "Hello\n", SHUTDOWN_poweroff);
  await m.boot();
  t.regex(
    m.takeOutput().replaceAll("\r\n", "\n"),
    /typevisor> create --kernel hello --wait\n1\nHello\ndomain 1 \(hello\) has ended: poweroff\ntypevisor> $/,
  );
  await m.boot();
  t.regex(m.takeOutput(), /restarted.*typevisor> $/s, "a restarted domain 0 does not run it again");
});

test("a timer that fires while events are drained is not lost", async (t) => {
  const m = machine();
  await m.boot();
  await m.type("js setTimeout(() => print('rung\\n'), 500), 'set'\r");
  m.takeOutput();
  // Its event is taken by the turn that handles this key, whose clock was read before.
  m.duringRead = () => {
    m.duringRead = () => {};
    m.fireTimer();
  };
  await m.type("x");
  await m.pass(1000);
  t.regex(m.takeOutput(), /rung/);
});

test("a session at the prompt: typing, errors, Ctrl-C while waiting, type-ahead", async (t) => {
  const m = machine();
  await m.boot();
  m.takeOutput();
  for (const key of "js 1+1\r") await m.type(key);
  t.is(m.takeOutput(), "js 1+1\r\n2\r\ntypevisor> ");
  await m.type("create --kernel hello --wait\rlist\r");
  t.regex(m.takeOutput(), /1\r\n$/);
  await m.type("\x03");
  t.regex(m.takeOutput(), /\^C\r\ncreate: no longer waiting for domain 1 \(hello\): it runs on\r\ntypevisor> $/);
  guestPrints(m, m.domains.get(1)!, "still here\n");
  m.shutdownGuest(m.domains.get(1)!, SHUTDOWN_crash);
  await m.type("typed");
  t.regex(
    m.takeOutput(),
    /\r\x1b\[Kdomain 1 \(hello\) has ended: crash \(its last output: console 1\)\r\n\rtypevisor> .*typed(\x1b\[K)?$/s,
  );
  await m.type("\x15console 1\r");
  t.regex(m.takeOutput(), /still here\r\ndomain 1 \(hello\) has ended: crash\r\ntypevisor> $/);
});

test("Ctrl-C interrupts what runs, also when it was typed with it, and drops what was typed before", async (t) => {
  const m = machine();
  await m.boot();
  for (const command of ["top", "js new Promise(() => {})", "create --kernel hello --wait", "shutdown 1"]) {
    m.takeOutput();
    await m.type(`${command}\r`);
    await m.type("js 'not wan");
    await m.type("ted'\r\x03");
    t.regex(m.takeOutput(), /\^C\r\n[^]*typevisor> $/, command);
    await m.type("js 6*7\r");
    t.regex(m.takeOutput(), /^42\r\ntypevisor> $/m, command);
  }
  await m.type("top\rlist\r\x03js 6*7\r");
  t.regex(m.takeOutput(), /top(\x1b\[K)?\r\n\^C\r\ntypevisor> [^]*\n42\r\ntypevisor> $/);
  await m.type("half a line\x03");
  t.regex(m.takeOutput(), /half a line(\x1b\[K)?\^C\r\ntypevisor> $/);
});

test("a restarted domain 0 finds its domains again by name, with their consoles, and drops half-built ones", async (t) => {
  const m = machine();
  await m.boot();
  await m.type("create --kernel hello --name first; create --kernel hello --name second --paused\r");
  const [first, second] = [...m.domains.values()] as [FakeDomain, FakeDomain];
  second.handle.fill(0);
  m.takeOutput();
  await m.boot();
  const output = m.takeOutput();
  t.regex(output, /domain 2 was being built when domain 0 was restarted: destroyed\r\n.*domain 0 was restarted/s);
  t.deepEqual([...m.domains.keys()], [1]);
  guestPrints(m, first, "after\n");
  await m.type("console first\r");
  t.regex(m.takeOutput(), /after\r\n$/);
  await m.type("\x1ddestroy first\r");
  t.is(m.domains.size, 0);
  t.is(m.mappedPages, 0);
});

test("exec mode goes on behind the command during which domain 0 was restarted", async (t) => {
  const m = machine(exec("list; create --kernel hello --wait; js 7*6"));
  await m.boot();
  t.is(m.ended, null);
  const output = await runExec(m);
  t.regex(
    output,
    /exec: domain 0 was restarted during: create --kernel hello --wait\n42\nTYPEVISOR-EXEC: 2 ok, 1 failed/,
  );
});

test("an exception in a command or in what an event caused is shown with its stack, and domain 0 goes on", async (t) => {
  const m = machine();
  await m.boot();
  await m.type("create --kernel hello\r");
  await m.type("js domains.create = domains.hasShutDown = () => { throw new Error('broken on purpose') }\r");
  m.takeOutput();
  await m.type("create --kernel hello\r");
  t.regex(m.takeOutput(), /create: .*Error: broken on purpose\r\n.*at .*typevisor> $/s);
  m.shutdownGuest(m.domains.get(1)!, SHUTDOWN_crash);
  await m.settle();
  t.regex(
    m.takeOutput(),
    /domain 0: uncaught exception in domains that have ended: .*Error: broken on purpose\r\n.*at .*typevisor> (\x1b\[K)?$/s,
  );
  await m.type("js 1\r");
  t.regex(m.takeOutput(), /1\r\ntypevisor> $/);
});

test("the watchdog is armed before domain 0 takes domains over or runs a command", async (t) => {
  const m = machine();
  const armed: number[] = [];
  m.duringRead = () => armed.push(m.watchdogs);
  await m.boot();
  m.duringRead = () => {};
  await m.type("create --kernel hello --paused\r");
  m.duringList = () => armed.push(m.watchdogs);
  await m.boot();
  t.true(armed.length >= 2);
  t.true(armed.every((watchdogs) => watchdogs === 1));
});

test("domains are taken over in pieces, and commands come when all are there", async (t) => {
  const m = machine("", 1024);
  await m.boot();
  for (let i = 0; i < 10; i++) await m.type(`${"create --kernel hello --memory 2 --paused;".repeat(20)}\r`);
  t.is(m.domains.size, 200);
  m.takeOutput();
  m.busiestTurn = 0;
  await m.type("");
  await m.boot();
  t.regex(m.takeOutput(), /domain 0 was restarted\r\n[^]*typevisor> $/);
  t.true(m.busiestTurn < 1000, `${m.busiestTurn} hypercalls in one turn`);
  m.busiestTurn = 0;
  await m.type("list\r");
  t.is(m.takeOutput().match(/ 2 +1 +--p---/g)!.length, 200);
});

test("a restart that a guest has coming is not forgotten when domain 0 is restarted before it", async (t) => {
  const m = machine();
  await m.boot();
  await m.type("create --kernel hello --name again --cmdline 'a=1'\r");
  for (let id = 1; id <= 2; id++) {
    m.shutdownGuest(m.domains.get(id)!, SHUTDOWN_reboot);
    await m.settle();
  }
  t.regex(m.takeOutput(), /domain 2 \(again\) ended soon after its start, again: it is restarted in 1 s/);
  t.is(m.domains.size, 0, "it waits");
  await m.boot();
  await m.pass(5000);
  t.regex(m.takeOutput(), /again was restarted: it is domain 3 now/);
  t.deepEqual([...m.domains.keys()], [3]);
  await m.boot();
  await m.pass(60_000);
  t.deepEqual([...m.domains.keys()], [3], "done once is done");
  t.notRegex(m.takeOutput(), /was restarted: it is/);
});

test("records that find no room are told of, once", async (t) => {
  const m = machine("", 1024);
  m.stablePages = 256;
  await m.boot();
  for (let i = 0; i < 14; i++) await m.type(`${"create --kernel hello --memory 2 --paused;".repeat(20)}\r`);
  const output = m.takeOutput();
  t.is(output.match(/domain 256 \(\S+\): no room is left to keep what is known of it/g)?.length, 1);
  t.is(output.match(/no room is left/g)?.length, 1);
});

test("long output on a slow line goes out in pieces: turns stay short, the watchdog is petted, keys are heard", async (t) => {
  const m = machine();
  await m.boot();
  // 115200 baud.
  m.lineNs = 87_000;
  await m.type("js 'x'.repeat(2e5)\r");
  t.is(m.takeOutput().match(/x/g)!.length, 2e5 + 1);
  t.true(m.longestTurn < 50e6, `the longest turn took ${m.longestTurn / 1e6} ms`);
  t.true(m.longestNeglect < 5e9, `no life for ${m.longestNeglect / 1e9} s`);
});

test("Ctrl-C ends a long output", async (t) => {
  const m = machine();
  await m.boot();
  m.lineNs = 87_000;
  await m.type("list\r");
  m.duringWrite = () => {
    if (!m.output.endsWith("x".repeat(20_000))) return;
    m.duringWrite = () => {};
    void m.type("\x03");
  };
  await m.type("js 'x'.repeat(5e6)\r");
  const shown = m.takeOutput();
  t.true(shown.length < 50_000, `${shown.length} characters were shown`);
  t.true(shown.endsWith("typevisor> "));
});

test("what a guest prints faster than the line takes it stays in its ring, not in domain 0's heap", async (t) => {
  const m = machine();
  await m.boot();
  await m.type("create --kernel hello --paused\rconsole 1\r");
  const domain = m.domains.get(1)!;
  m.lineNs = 87_000;
  m.takeOutput();
  let text = "";
  const ring = guestRing(domain);
  for (let i = 0; i < 400; i++) {
    const piece = `${i} `.repeat(Math.min(200, Math.floor((2048 - ring.used()) / 4)));
    text += piece;
    guestPrints(m, domain, piece);
    if (i % 4 === 3) await m.pass(1);
  }
  for (let i = 0; i < 1000 && ring.used() > 0; i++) await m.pass(10);
  await m.pass(3000);
  t.is(m.takeOutput(), text);
  t.true(m.longestTurn < 60e6, `the longest turn took ${m.longestTurn / 1e6} ms`);
});

test("an idle domain 0 wakes to pet its watchdog", async (t) => {
  const m = machine();
  await m.boot();
  const before = m.hypercalls;
  await m.pass(60000);
  t.true(m.hypercalls - before > 10 && m.hypercalls - before < 200);
});

test("a create on a slow machine: turns stay short, life is shown, and the console tells how far it is", async (t) => {
  const m = machine(
    exec("create --kernel hello --memory 64 --paused; create --kernel hello --memory 2 --paused; list"),
  );
  m.frameNs = 100_000; // 51 ms for a superpage, 1.6 s for it all
  const output = await runExec(m);
  t.regex(output, /creating: \d+ of 64 MiB\n1\n2\n/);
  t.is([...output.matchAll(/creating:/g)].length, 1, "a line a second, none for a short one");
  t.regex(output, /TYPEVISOR-EXEC: 3 ok, 0 failed/);
  t.true(m.longestTurn < 110e6, `a turn of ${m.longestTurn / 1e6} ms`);
});
