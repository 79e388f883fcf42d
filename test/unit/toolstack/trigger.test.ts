/** Guests that sleep (ACPI S3) in the control plane, and `trigger`, which wakes them and sends NMIs. */
import test from "ava";
import { XEN_DOMCTL_SENDTRIGGER_NMI } from "../../../abi/domctl.ts";
import { HVM_PARAM_ACPI_S_STATE } from "../../../abi/hvm.ts";
import { SHUTDOWN_poweroff, SHUTDOWN_suspend } from "../../../abi/sched.ts";
import type { FakeMachine } from "./fake-machine.ts";
import { guestPrints, machine } from "./fake-session.ts";

async function started(options = ""): Promise<FakeMachine> {
  const m = machine();
  await m.boot();
  await m.type(`create --kernel hello --name g ${options}\r`);
  m.takeOutput();
  return m;
}

/** The guest writes its sleep control register. */
async function fallAsleep(m: FakeMachine): Promise<void> {
  const domain = m.domains.get(1)!;
  domain.params.set(HVM_PARAM_ACPI_S_STATE, 3);
  m.shutdownGuest(domain, SHUTDOWN_suspend);
  await m.pass(100);
}

async function said(m: FakeMachine, command: string): Promise<string> {
  await m.type(`${command}\r`);
  return m.takeOutput();
}

test("a guest that sleeps is announced, shown by list, and goes on with its console when it is woken", async (t) => {
  const m = await started();
  const domain = m.domains.get(1)!;
  for (let i = 0; i < 2; i++) {
    await fallAsleep(m);
    t.regex(m.takeOutput(), /domain 1 \(g\) sleeps \(ACPI S3\): `trigger 1 s3resume` wakes it/);
    t.regex(await said(m, "list"), /^g +1 .* ---ss- /m);
    t.regex(await said(m, "shutdown g"), /shutdown: domain 1 \(g\) sleeps: .*`trigger 1 s3resume` wakes it/);
    t.is(await said(m, "trigger g s3resume").then((text) => /trigger: /.test(text)), false);
    t.is(domain.shutdown, null);
    t.regex(await said(m, "trigger g s3resume"), /trigger: domain 1 \(g\) does not sleep/);
    guestPrints(m, domain, `awake ${i}\n`);
    await m.pass(100);
    await m.type("console g\r");
    t.regex(m.takeOutput(), new RegExp(`awake ${i}`));
    await m.type("\x1d");
    m.takeOutput();
  }
  // It ends as ever.
  m.shutdownGuest(domain, SHUTDOWN_poweroff);
  await m.pass(100);
  t.regex(m.takeOutput(), /domain 1 \(g\) has ended: poweroff/);
  t.is(m.domains.size, 0);
});

test("who waits for the end of a guest goes on waiting while it sleeps", async (t) => {
  const m = machine();
  await m.boot();
  await m.type("create --kernel hello --name g --wait\r");
  await fallAsleep(m);
  t.regex(m.takeOutput(), /domain 1 \(g\) sleeps/);
  t.is(m.domains.size, 1);
  m.domains.get(1)!.setParam(HVM_PARAM_ACPI_S_STATE, 0);
  m.shutdownGuest(m.domains.get(1)!, SHUTDOWN_poweroff);
  await m.pass(100);
  t.regex(m.takeOutput(), /has ended: poweroff/);
  t.is(m.domains.size, 0);
});

test("a domain 0 that comes after the one that saw it fall asleep wakes it; a sleeping guest can be destroyed", async (t) => {
  const m = await started();
  await fallAsleep(m);
  await m.boot();
  m.takeOutput();
  t.regex(await said(m, "reboot g"), /reboot: domain 1 \(g\) sleeps/);
  await said(m, "trigger 1 s3resume");
  t.is(m.domains.get(1)!.shutdown, null);
  await fallAsleep(m);
  t.regex(m.takeOutput(), /domain 1 \(g\) sleeps/);
  await said(m, "destroy g");
  t.is(m.domains.size, 0);
  t.is(m.mappedPages, 0);
});

test("trigger nmi names the vCPU; what these guests have no line for is refused with what does the same", async (t) => {
  const m = await started("--vcpus 2");
  const domain = m.domains.get(1)!;
  t.notRegex(await said(m, "trigger g nmi; trigger 1 nmi 1"), /trigger: /);
  t.deepEqual(domain.triggers, [
    [XEN_DOMCTL_SENDTRIGGER_NMI, 0],
    [XEN_DOMCTL_SENDTRIGGER_NMI, 1],
  ]);
  t.regex(await said(m, "trigger g nmi 2"), /VCPU: "2" is not a whole number from 0 to 1/);
  t.regex(await said(m, "trigger g power"), /these guests have no line for "power": `shutdown` asks the guest/);
  t.regex(await said(m, "trigger g reset"), /no line for "reset"/);
  t.regex(await said(m, "trigger g wake"), /"wake" is neither s3resume nor nmi/);
  t.regex(await said(m, "trigger g s3resume 0"), /s3resume takes no vCPU/);
  t.regex(await said(m, "trigger g"), /TRIGGER is missing/);
  t.is(domain.triggers.length, 2);
});
