/** Guests that start another kernel (kexec): they keep their memory and console, everything else is reset. */
import test from "ava";
import { XEN_DOMCTL_pausedomain, XEN_DOMCTL_soft_reset, XEN_DOMCTL_unpausedomain } from "../../../abi/domctl.ts";
import { ENOMEM } from "../../../abi/errno.ts";
import { HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_STORE_EVTCHN } from "../../../abi/hvm.ts";
import { SHUTDOWN_poweroff, SHUTDOWN_soft_reset } from "../../../abi/sched.ts";
import { DOM0_STABLE, DOM0_STABLE_END } from "../../../abi/domain0-layout.ts";
import { __HYPERVISOR_domctl } from "../../../abi/xen.ts";
import type { FakeMachine } from "./fake-machine.ts";
import { exec, guestPrints, machine, runExec } from "./fake-session.ts";

const MARK = 0x90;

/** A machine with a running guest that has left a mark in its memory. */
async function started(options = ""): Promise<FakeMachine> {
  const m = machine();
  await m.boot();
  await m.type(`create --kernel hello --name g ${options}\r`);
  m.domains.get(1)!.frames.get(1)![0] = MARK;
  await m.type("xenstore-write /local/domain/1/data/old 1\r");
  m.takeOutput();
  return m;
}

async function reset(m: FakeMachine): Promise<void> {
  m.shutdownGuest(m.domains.get(1)!, SHUTDOWN_soft_reset);
  await m.pass(100);
}

test("a guest that starts another kernel keeps memory, id and console, and has ports of its own again", async (t) => {
  const m = await started();
  guestPrints(m, m.domains.get(1)!, "the old kernel\n");
  const ports = m.domain0.ports.size;
  await reset(m);
  t.regex(m.takeOutput(), /domain 1 \(g\) has started another kernel/);
  const domain = m.domains.get(1)!;
  t.is(domain.frames.get(1)![0], MARK);
  t.is(domain.pauses, 0);
  t.is(domain.shutdown, null);
  for (const which of [HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_STORE_EVTCHN]) {
    t.is(domain.ports.get(domain.params.get(which)!)!.state, "interdomain");
  }
  t.is(domain.ports.size, 2);
  t.is(m.domain0.ports.size, ports, "none of domain 0's old ones is left");
  guestPrints(m, domain, "the new kernel\n");
  await m.pass(100);
  await m.type("console g\r");
  t.regex(m.takeOutput(), /the old kernel\r\n[^]*the new kernel\r\n/);
  await m.type("\x1d");
  await m.type("xenstore-read /local/domain/1/data/old; xenstore-read /local/domain/1/store/port\r");
  const said = m.takeOutput();
  t.regex(said, /data\/old: ENOENT/);
  t.regex(said, new RegExp(`\r\n${domain.params.get(HVM_PARAM_STORE_EVTCHN)}\r\n`));
  // And again, and then it ends as ever.
  await reset(m);
  t.regex(m.takeOutput(), /has started another kernel/);
  m.shutdownGuest(domain, SHUTDOWN_poweroff);
  await m.pass(100);
  t.regex(m.takeOutput(), /domain 1 \(g\) has ended: poweroff/);
  t.is(m.domains.size, 0);
  t.is(m.mappedPages, 0);
});

test("create --wait waits for the end of the last kernel", async (t) => {
  const m = machine(exec("create --kernel hello --wait"));
  const ends = [SHUTDOWN_soft_reset, SHUTDOWN_soft_reset, SHUTDOWN_poweroff];
  m.guest = (domain) => {
    guestPrints(m, domain, `kernel ${4 - ends.length}\n`);
    m.shutdownGuest(domain, ends.shift()!);
  };
  const output = await runExec(m);
  t.regex(output, /kernel 1\n[^]*kernel 2\n[^]*kernel 3\n[^]*has ended: poweroff\nTYPEVISOR-EXEC: 1 ok/);
  t.is(m.domains.size, 0);
});

for (const [action, left] of [
  ["destroy", 0],
  ["preserve", 1],
] as const) {
  test(`--on-soft-reset ${action}`, async (t) => {
    const m = await started(`--on-soft-reset ${action}`);
    await reset(m);
    t.regex(m.takeOutput(), /domain 1 \(g\) has ended: soft reset/);
    t.is(m.domains.size, left);
  });
}

test("--on-soft-reset restart makes it again", async (t) => {
  const m = await started("--on-soft-reset restart");
  await reset(m);
  t.regex(m.takeOutput(), /g was restarted: it is domain 2 now/);
});

test("a reset that the hypervisor refuses is told of, and the domain is destroyed", async (t) => {
  const m = await started();
  m.failNext = { op: __HYPERVISOR_domctl, command: XEN_DOMCTL_soft_reset, errno: ENOMEM };
  await reset(m);
  t.regex(m.takeOutput(), /could not be reset: XEN_DOMCTL_soft_reset: ENOMEM[^]*has ended: soft reset/);
  t.is(m.domains.size, 0);
  t.is(m.mappedPages, 0);
});

for (const [name, command] of [
  ["before the pause", XEN_DOMCTL_pausedomain],
  ["before the reset", XEN_DOMCTL_soft_reset],
  ["before it runs again", XEN_DOMCTL_unpausedomain],
] as const) {
  test(`a domain 0 that fails ${name}: the next one goes on with the reset`, async (t) => {
    const m = await started();
    let kept: Uint8Array = new Uint8Array(0);
    m.duringDomctl = (each) => {
      if (each !== command) return;
      m.dead = true;
      m.duringDomctl = () => {};
      kept = m.window.read(DOM0_STABLE, DOM0_STABLE_END - DOM0_STABLE);
    };
    await reset(m);
    t.true(m.dead);
    // What the dead one went on to do in its own memory has not happened.
    m.window.write(DOM0_STABLE, kept);
    await m.boot();
    await m.pass(100);
    const domain = m.domains.get(1)!;
    t.is(domain.pauses, 0);
    t.is(domain.shutdown, null);
    t.is(domain.frames.get(1)![0], MARK);
    m.takeOutput();
    guestPrints(m, domain, "the new kernel\n");
    await m.pass(100);
    await m.type("console g\r");
    t.regex(m.takeOutput(), /the new kernel/);
  });
}
