/** Shutdown policies, requests to guests through the store, and their display: by whole sessions. */
import test from "ava";
import { XEN_DOMCTL_sethvmcontext } from "../../../abi/domctl.ts";
import { EINVAL } from "../../../abi/errno.ts";
import { HVM_PARAM_STORE_EVTCHN, HVM_PARAM_STORE_PFN } from "../../../abi/hvm.ts";
import { SHUTDOWN_crash, SHUTDOWN_poweroff, SHUTDOWN_reboot, SHUTDOWN_watchdog } from "../../../abi/sched.ts";
import { __HYPERVISOR_domctl } from "../../../abi/xen.ts";
import type { FakeMachine } from "./fake-machine.ts";
import { BEYOND_RAM, exec, machine, runExec } from "./fake-session.ts";

/** A machine whose guests end at once with these codes in turn, and then run on. */
function endsWith(m: FakeMachine, codes: number[]): FakeMachine {
  m.guest = (domain) => {
    const code = codes.shift();
    if (code !== undefined) m.shutdownGuest(domain, code);
  };
  return m;
}

test("a domain that reboots is made again from the same modules, with a new id and the same name", async (t) => {
  const m = endsWith(machine(), [SHUTDOWN_reboot]);
  await m.boot();
  await m.type("create --kernel hello --ramdisk initrd --cmdline a=b --memory 7 --name web --vcpus 2\r");
  await m.pass(100);
  t.regex(m.takeOutput(), /domain 1 \(web\) has ended: reboot\r\n[^]*web was restarted: it is domain 2 now/);
  t.deepEqual([...m.domains.keys()], [2]);
  const domain = m.domains.get(2)!;
  t.is(domain.frames.size, 7 * 256 + BEYOND_RAM);
  t.is(domain.vcpus, 2);
  t.is(domain.pauses, 0);
  await m.type("list\r");
  t.regex(m.takeOutput(), /^web +2 /m);
});

for (const [option, code, action, kept] of [
  ["on-poweroff", SHUTDOWN_poweroff, "restart", 2],
  ["on-poweroff", SHUTDOWN_poweroff, "preserve", 1],
  ["on-reboot", SHUTDOWN_reboot, "destroy", null],
  ["on-reboot", SHUTDOWN_reboot, "preserve", 1],
  ["on-crash", SHUTDOWN_crash, "restart", 2],
  ["on-crash", SHUTDOWN_crash, "preserve", 1],
  ["on-crash", SHUTDOWN_watchdog, "restart", 2],
] as const) {
  test(`--${option} ${action}, code ${code}: what is left`, async (t) => {
    const m = endsWith(machine(), [code]);
    await m.boot();
    await m.type(`create --kernel hello --${option} ${action}\r`);
    await m.pass(100);
    t.deepEqual([...m.domains.keys()], kept === null ? [] : [kept]);
    const output = m.takeOutput();
    t.regex(output, /domain 1 \(hello\) has ended: /);
    if (action === "preserve") t.regex(output, /it is kept until `destroy 1`/);
    await m.type("destroy hello\r");
    t.is(m.domains.size, 0);
  });
}

test("create --wait and --on-crash preserve: it is there to be looked at", async (t) => {
  const m = endsWith(machine(exec("create --kernel hello --wait --on-crash preserve; list; destroy hello")), [
    SHUTDOWN_crash,
  ]);
  const output = await runExec(m);
  t.regex(output, /create: domain 1 \(hello\) has ended: crash; it is kept until `destroy 1`/);
  t.regex(output, /^hello +1 .* ---sc- /m);
  t.is(m.domains.size, 0);
});

test("a domain that ends at once again and again is restarted more and more slowly, and at last no more", async (t) => {
  const m = endsWith(machine(), new Array<number>(50).fill(SHUTDOWN_reboot));
  await m.boot();
  await m.type("create --kernel hello --name loop\r");
  await m.pass(1000);
  const early = [...m.domains.keys()];
  t.deepEqual(early, [], "it waits between two lives");
  await m.pass(300_000);
  const output = m.takeOutput();
  const delays = [...output.matchAll(/it is restarted in ([0-9]+) s/g)].map((found) => Number(found[1]));
  t.deepEqual(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
  t.regex(output, /\(loop\) is not restarted: it has ended 10 times in a row soon after its start/);
  t.is(m.domains.size, 0);
});

test("a domain that could not be made again says why", async (t) => {
  const m = endsWith(machine(), [SHUTDOWN_reboot]);
  await m.boot();
  const { guest } = m;
  m.guest = (domain) => {
    guest(domain);
    m.failNext = { op: __HYPERVISOR_domctl, command: XEN_DOMCTL_sethvmcontext, errno: EINVAL };
  };
  await m.type("create --kernel hello\r");
  await m.pass(100);
  t.regex(m.takeOutput(), /domain 1 \(hello\) could not be restarted: XEN_DOMCTL_sethvmcontext: EINVAL/);
  t.is(m.domains.size, 0);
});

test("what a domain's end means is still known after a restart of domain 0", async (t) => {
  const m = machine();
  await m.boot();
  await m.type(
    "create --kernel hello --name a --memory 9 --on-poweroff restart; create --kernel hello --name b --paused\r",
  );
  await m.pass(200);
  await m.boot();
  m.takeOutput();
  m.shutdownGuest(m.domains.get(1)!, SHUTDOWN_poweroff);
  await m.pass(100);
  t.regex(m.takeOutput(), /a was restarted: it is domain 3 now/);
  t.is(m.domains.get(3)!.frames.size, 9 * 256 + BEYOND_RAM);
  await m.type("xenstore-read /local/domain/2/name; destroy a; destroy b; xenstore-ls /local/domain\r");
  t.regex(m.takeOutput(), /\r\nb\r\n[^]*0 = ""/);
  t.is(m.mappedPages, 0);
});

test("shutdown: the request, the guest that takes it, the one that does not, and who stops waiting", async (t) => {
  const m = machine();
  await m.boot();
  await m.type("create --kernel hello --name g\r");
  m.takeOutput();
  await m.type("shutdown g --timeout 30\r");
  t.regex(m.takeOutput(), /waiting for domain 1 \(g\) to shut down\r\n$/);
  await m.pass(16_000);
  t.regex(
    m.takeOutput(),
    /has not taken the request \(it may have no driver that listens\); `destroy 1` ends it at once/,
  );
  await m.type("\x03");
  t.regex(m.takeOutput(), /shutdown: no longer waiting for domain 1 \(g\): the request stands/);
  await m.type("xenstore-read /local/domain/1/control/shutdown\r");
  t.regex(m.takeOutput(), /\r\npoweroff\r\n/);
  await m.type("xenstore-write /local/domain/1/control/feature-reboot 1; reboot g --timeout 1\r");
  await m.pass(1100);
  t.regex(m.takeOutput(), /reboot: after 1 s: domain 1 \(g\) has not taken the request \(its kernel says it obeys\)/);
  await m.type("shutdown g --timeout 5\r");
  await m.type("");
  m.shutdownGuest(m.domains.get(1)!, SHUTDOWN_poweroff);
  await m.pass(100);
  t.regex(m.takeOutput(), /domain 1 \(g\) has ended: poweroff\r\n[^]*typevisor> /);
  await m.type(
    "create --kernel hello --name p --paused; shutdown p; shutdown nobody; shutdown; sysrq p xx; vcpu-set p 2\r",
  );
  const output = m.takeOutput();
  t.regex(output, /shutdown: domain 2 \(p\) is paused: it would not notice/);
  t.regex(output, /shutdown: no domain "nobody"/);
  t.regex(output, /shutdown: ID is missing/);
  t.regex(output, /sysrq: "xx" is not one letter or digit/);
  t.regex(output, /vcpu-set: N: "2" is not a whole number from 1 to 1/);
});

test("sysrq, vcpu-set and mem-set write what the guest watches", async (t) => {
  const m = machine();
  await m.boot();
  await m.type("create --kernel hello --name g --vcpus 3 --memory 16\r");
  await m.type("sysrq g h; vcpu-set g 2; mem-set g 10; mem-set g 17; xenstore-ls -f /local/domain/1\r");
  const output = m.takeOutput();
  t.regex(output, /control\/sysrq = "h"/);
  t.regex(output, /cpu\/1\/availability = "online"[^]*cpu\/2\/availability = "offline"/);
  t.regex(output, /memory\/target = "10240"/);
  t.regex(output, /mem-set: SIZE: "17" is not a whole number of MiB from 1 to 16/);
  t.is(m.domains.get(1)!.maxPages, 10 * 256 + BEYOND_RAM);
  await m.type("mem-set g 16\r");
  t.is(m.domains.get(1)!.maxPages, 16 * 256 + BEYOND_RAM);
});

test("the xenstore commands: what is wrong is said in words", async (t) => {
  const m = machine(
    exec(
      "xenstore-write /a/b 'x \\'; xenstore-ls; xenstore-ls /a -f -p; xenstore-read /a/none; xenstore-rm /a/none;" +
        "xenstore-rm /a; xenstore-read /a; xenstore-ls /none; xenstore-read 'a b'; xenstore-write name zero; xenstore-read name",
    ),
  );
  const output = await runExec(m);
  t.regex(output, /^a = ""\n b = "x \\\\"$/m);
  t.regex(output, /^\/a\/b = .* {2}\(n0\)$/m);
  t.regex(output, /^xenstore-read: \/a\/none: ENOENT$/m);
  t.regex(output, /^xenstore-rm: \/a\/none: ENOENT$/m);
  t.regex(output, /^xenstore-read: \/a: ENOENT$/m);
  t.regex(output, /^xenstore-ls: \/none: ENOENT$/m);
  t.regex(output, /^xenstore-read: "a b" is no path/m);
  t.regex(output, /^zero$/m);
  t.regex(output, /6 ok, 5 failed/);
});

test("top: a table per interval until its count, or Ctrl-C", async (t) => {
  const m = machine();
  await m.boot();
  await m.type("create --kernel hello --name g; top --delay 1 --iterations 2\r");
  await m.pass(2100);
  const output = m.takeOutput();
  t.is([...output.matchAll(/^Name +ID +State +CPU\(%\)/gm)].length, 2);
  t.regex(output, /^g +1 {2}-b---- +0\.0 +1\.5 +32 +-[^\r]*\x1b\[J\r$/m);
  await m.type("top\r");
  await m.pass(3100);
  await m.type("\x03");
  t.regex(m.takeOutput(), /32 +-[^\r]*\x1b\[J\r\n\^C\r\ntypevisor> $/);
  await m.type("top --delay 0\r");
  t.regex(m.takeOutput(), /--delay: "0" is not a whole number from 1/);
});

test("a guest that takes its xenstore ring's page away is told of once, and costs nothing", async (t) => {
  const m = machine();
  await m.boot();
  await m.type("create --kernel hello\r");
  const domain = m.domains.get(1)!;
  domain.frames.delete(domain.params.get(HVM_PARAM_STORE_PFN)!);
  m.takeOutput();
  for (let i = 0; i < 5; i++) {
    m.notifyFrom(domain, domain.params.get(HVM_PARAM_STORE_EVTCHN)!);
    await m.settle();
  }
  t.is([...m.takeOutput().matchAll(/domain 1 broke the xenstore protocol \(error 1\): disconnected/g)].length, 1);
  await m.type("destroy 1\r");
  t.is(m.mappedPages, 0);
});
