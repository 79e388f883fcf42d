/** Domains' names and UUIDs: what they are, how they differ, and that both outlive a reboot and domain 0. */
import test from "ava";
import { XEN_DOMCTL_setdomainhandle, XEN_DOMCTL_soft_reset, XEN_DOMCTL_unpausedomain } from "../../../abi/domctl.ts";
import { DOM0_SHARED_INFO, DOM0_STABLE, DOM0_STABLE_END } from "../../../abi/domain0-layout.ts";
import { EINVAL } from "../../../abi/errno.ts";
import { SHUTDOWN_reboot, SHUTDOWN_soft_reset } from "../../../abi/sched.ts";
import { __HYPERVISOR_domctl, SharedInfo, VcpuInfo, VcpuTimeInfo, VIRQ_CONSOLE } from "../../../abi/xen.ts";
import { checkName, freeName } from "../../../toolstack/control/domains/name.ts";
import type { FakeMachine } from "./fake-machine.ts";
import { guestPrints, machine } from "./fake-session.ts";

const PAGE = 4096;
/** RFC 9562: version 4, and the variant of that document. */
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** What XENVER_guest_handle tells the domain, written as a UUID. */
function uuidOf(m: FakeMachine, id: number): string {
  const hex = Buffer.from(m.domains.get(id)!.handle).toString("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** The addresses of the domain's records in stable memory: header words magic, domain, ... */
function recordsOf(m: FakeMachine, id: number): number[] {
  const found: number[] = [];
  for (let page = 1; page < m.window.load32(DOM0_STABLE); page++) {
    const at = DOM0_STABLE + page * PAGE;
    if (m.window.load32(at) !== 0 && m.window.load32(at + 4) === id) found.push(at);
  }
  return found;
}

/** Types a line and returns what it shows. */
async function typed(m: FakeMachine, line: string): Promise<string> {
  m.takeOutput();
  await m.type(`${line}\r`);
  await m.pass(100);
  return m.takeOutput();
}

async function booted(): Promise<FakeMachine> {
  const m = machine();
  await m.boot();
  return m;
}

/** The UUID of the first domain of a machine that differs from all others of this function in `differs` only. */
async function firstUuid(differs: (m: FakeMachine) => void): Promise<string> {
  const m = machine();
  differs(m);
  await m.boot();
  await m.type("create --kernel hello --name g --paused\r");
  return uuidOf(m, 1);
}

test("a domain's handle is its UUID, and so is its place in the store", async (t) => {
  const m = await booted();
  await m.type("create --kernel hello --name g --paused\r");
  const uuid = uuidOf(m, 1);
  t.regex(uuid, UUID);
  t.regex(await typed(m, "xenstore-read /local/domain/1/vm"), new RegExp(`\n/vm/${uuid}\r`));
  t.regex(await typed(m, `xenstore-read /vm/${uuid}/uuid`), new RegExp(`\n${uuid}\r`));
  t.regex(await typed(m, `xenstore-read /vm/${uuid}/name`), /\ng\r/);
  await m.type("mem-set g 8\r");
  t.regex(await typed(m, `xenstore-read /vm/${uuid}/memory`), /\n8\r/);
  t.notRegex(await typed(m, "destroy g; xenstore-ls /vm"), new RegExp(uuid));
});

test("domains of one name, one after the other, have UUIDs of their own; also those of two domains 0", async (t) => {
  const m = await booted();
  const seen = new Set<string>();
  for (let id = 1; id <= 20; id++) {
    if (id === 11) await m.boot();
    await m.type("create --kernel hello --name g --paused\r");
    seen.add(uuidOf(m, id));
    await m.type("destroy g\r");
  }
  t.is(seen.size, 20);
  for (const uuid of seen) t.regex(uuid, UUID);
  const numbers = [...seen].map((uuid) => BigInt(`0x${uuid.replaceAll("-", "")}`));
  const distances = numbers.slice(1).map((number, i) => (number ^ numbers[i]!).toString(2).replaceAll("0", "").length);
  // Of 122 bits half are expected to change; the chance of fewer than 25 is below 1e-10.
  t.true(Math.min(...distances) >= 25, distances.join());
});

test("machines that differ in one of their clocks only make other UUIDs", async (t) => {
  const time = DOM0_SHARED_INFO + SharedInfo.vcpu_info + VcpuInfo.time;
  const put = (address: number) => (m: FakeMachine) => m.window.store32(address, 12345);
  const uuids = [
    await firstUuid(() => {}),
    await firstUuid(put(DOM0_SHARED_INFO + SharedInfo.wc_sec)),
    await firstUuid(put(time + VcpuTimeInfo.tsc_timestamp)),
    await firstUuid(put(time + VcpuTimeInfo.tsc_to_system_mul)),
    await firstUuid((m) => (m.freePages -= 1)),
  ];
  t.is(new Set(uuids).size, uuids.length);
  t.is(await firstUuid(() => {}), uuids[0], "the test's machines have nothing else that differs");
});

test("a domain that is made again keeps its UUID, also when domain 0 is restarted before", async (t) => {
  const m = await booted();
  await m.type("create --kernel hello --name again\r");
  const uuid = uuidOf(m, 1);
  for (let id = 1; id <= 2; id++) {
    m.shutdownGuest(m.domains.get(id)!, SHUTDOWN_reboot);
    await m.settle();
    if (id === 1) t.is(uuidOf(m, 2), uuid);
  }
  t.is(m.domains.size, 0, "it waits");
  await m.boot();
  await m.pass(5000);
  t.deepEqual([...m.domains.keys()], [3]);
  t.is(uuidOf(m, 3), uuid);
});

test("a long name and the UUID outlive domain 0", async (t) => {
  const m = await booted();
  const name = "ü".repeat(32);
  await m.type(`create --kernel hello --name ${name} --paused\r`);
  const uuid = uuidOf(m, 1);
  await m.boot();
  t.regex(await typed(m, "list"), new RegExp(`^${name} +1 `, "m"));
  t.is(uuidOf(m, 1), uuid);
  t.regex(await typed(m, "xenstore-read /local/domain/1/vm"), new RegExp(`\n/vm/${uuid}\r`));
  t.regex(await typed(m, `destroy ${name}; xenstore-ls /local/domain`), /0 = ""/);
  t.is(m.mappedPages, 0);
});

test("a domain whose record is lost gets a name from its id, which is told, and keeps it and its UUID", async (t) => {
  const m = await booted();
  await m.type("create --kernel hello --name lost; create --kernel hello --name domain-1\r");
  const uuid = uuidOf(m, 1);
  const [record, ...others] = recordsOf(m, 1);
  t.deepEqual(others, []);
  m.window.store32(record!, 0);
  m.takeOutput();
  await m.boot();
  t.regex(m.takeOutput(), /domain 1: what was kept of it is lost; it is named domain-1-1 now\r\n/);
  t.regex(await typed(m, "list"), /^domain-1-1 +1 [^]*^domain-1 +2 /m);
  t.is(uuidOf(m, 1), uuid);
  await m.pass(1000);
  await m.boot();
  t.notRegex(m.takeOutput(), /is lost/);
  guestPrints(m, m.domains.get(1)!, "still here\n");
  t.regex(await typed(m, "console domain-1-1"), /still here/);
});

test("a record of a domain with another UUID is none of this one's", async (t) => {
  const m = await booted();
  await m.type("create --kernel hello --name g --paused\r");
  m.domains.get(1)!.handle[0]! ^= 1;
  m.takeOutput();
  await m.boot();
  t.regex(m.takeOutput(), /domain 1: what was kept of it is lost; it is named domain-1 now/);
});

for (const [when, command, left] of [
  ["before it has its handle", XEN_DOMCTL_setdomainhandle, 0],
  ["before it runs", XEN_DOMCTL_unpausedomain, 1],
] as const) {
  test(`a domain 0 that fails when a new domain is complete but for one step, ${when}`, async (t) => {
    const m = await booted();
    let kept: Uint8Array | null = null;
    m.duringDomctl = (each) => {
      if (each !== command) return;
      m.dead = true;
      m.duringDomctl = () => {};
      t.is(recordsOf(m, 1).length, 1, "its record is there");
      kept = m.window.read(DOM0_STABLE, DOM0_STABLE_END - DOM0_STABLE);
    };
    await m.type("create --kernel hello --name new\r");
    t.true(m.dead);
    // What the dead one went on to do in its own memory has not happened.
    m.window.write(DOM0_STABLE, kept!);
    m.takeOutput();
    await m.boot();
    t.is(m.domains.size, left);
    if (left === 0) t.regex(m.takeOutput(), /domain 1 was being built when domain 0 was restarted: destroyed/);
    else t.regex(await typed(m, "list"), /^new +1 .* --p---/m);
    t.is(recordsOf(m, 1).length, left);
  });
}

/** Bytes of stable memory that were ever written. */
function usedStable(m: FakeMachine): number {
  return m.window.load32(DOM0_STABLE) * PAGE;
}

for (const [what, command, begin] of [
  ["a soft reset", XEN_DOMCTL_soft_reset, (m: FakeMachine) => m.shutdownGuest(m.domains.get(1)!, SHUTDOWN_soft_reset)],
  ["a destruction", null, (m: FakeMachine) => void m.input.push(...Buffer.from("destroy g\r"))],
] as const) {
  test(`a domain 0 that fails at any hypercall of ${what}: the domain has its name, or is gone`, async (t) => {
    let deaths = 0;
    let kept: Uint8Array | null = null;
    do {
      const m = await booted();
      await m.type("create --kernel hello --name g\r");
      await m.pass(100);
      const uuid = uuidOf(m, 1);
      let left = deaths;
      let begun = command === null;
      m.duringDomctl = (each) => (begun ||= each === command);
      kept = null;
      m.duringCall = () => {
        if (!begun || left-- > 0) return;
        m.dead = true;
        kept = m.window.read(DOM0_STABLE, usedStable(m));
      };
      begin(m);
      m.raiseVirq(VIRQ_CONSOLE);
      await m.settle();
      m.duringCall = () => {};
      m.duringDomctl = () => {};
      if (kept !== null) m.window.write(DOM0_STABLE, kept);
      m.takeOutput();
      await m.boot();
      t.notRegex(m.takeOutput(), /is lost/, `death at hypercall ${deaths}`);
      if (m.domains.size > 0) {
        t.is(uuidOf(m, 1), uuid);
        t.regex(await typed(m, "list"), /^g +1 /m, `death at hypercall ${deaths}`);
      }
    } while (kept !== null && ++deaths < 60);
    t.true(deaths > 8, `${deaths} deaths`);
  });
}

test("a domain that cannot be given its handle is not there at all, nor is its record", async (t) => {
  const m = await booted();
  m.failNext = { op: __HYPERVISOR_domctl, command: XEN_DOMCTL_setdomainhandle, errno: EINVAL };
  t.regex(await typed(m, "create --kernel hello --name g"), /create: .*XEN_DOMCTL_setdomainhandle: EINVAL/);
  t.is(m.domains.size, 0);
  t.is(m.mappedPages, 0);
  t.deepEqual(recordsOf(m, 1), []);
  t.regex(await typed(m, "xenstore-ls /local/domain; create --kernel hello --name g --paused"), /\n2\r/);
});

test("names: up to 64 bytes, no blanks, control characters or numbers", (t) => {
  checkName("x".repeat(64));
  checkName("0x1");
  for (const [name, message] of [
    ["", /must not be empty/],
    ["x".repeat(65), /65 bytes, 64 at most/],
    ["ü".repeat(33), /66 bytes, 64 at most/],
    ["a b", /blanks or control/],
    ["a\x7f", /blanks or control/],
    ["12", /is a number/],
  ] as const) {
    t.throws(() => checkName(name), { message });
  }
  const long = "ü".repeat(40);
  t.is(
    freeName(long, 7, () => false),
    "ü".repeat(32),
  );
  t.is(
    freeName(long, 7, (name) => !name.endsWith("-7x")),
    `${"ü".repeat(30)}-7x`,
  );
});
