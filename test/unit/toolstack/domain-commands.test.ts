/** Names, times, limits, vCPUs and shares of domains, and how they are made again, at the prompt of the fake machine. */
import test, { type ExecutionContext } from "ava";
import { ENOMEM } from "../../../abi/errno.ts";
import { XEN_DOMCTL_max_mem, XEN_DOMCTL_setvcpuaffinity } from "../../../abi/domctl.ts";
import { SHUTDOWN_reboot } from "../../../abi/sched.ts";
import { __HYPERVISOR_domctl } from "../../../abi/xen.ts";
import type { FakeMachine } from "./fake-machine.ts";
import type { Params } from "../../../toolstack/api/request.ts";
import { createRequest } from "../../../toolstack/api/requests/domains.ts";
import { connect, settled } from "./api/clients.ts";
import { BEYOND_RAM, machine } from "./fake-session.ts";

/** A machine at its prompt, started at that system time, and what one line prints there. */
async function start(cpus = 1, ns = 1e9): Promise<{ m: FakeMachine; typed(line: string): Promise<string> }> {
  const m = machine();
  m.cpus = cpus;
  m.now = ns;
  await m.boot();
  m.takeOutput();
  const typed = async (line: string) => {
    await m.type(`${line}\r`);
    const output = m.takeOutput().replaceAll("\r\n", "\n");
    return output.slice(output.indexOf("\n") + 1).replace(/typevisor> $/, "");
  };
  return { m, typed };
}

/** Domain 0 has died and is there again. */
async function restarted(m: FakeMachine): Promise<void> {
  await m.pass(1000); // what is kept is kept
  await m.boot();
  m.takeOutput();
}

async function reboots(t: ExecutionContext, m: FakeMachine, id: number): Promise<void> {
  m.shutdownGuest(m.domains.get(id)!, SHUTDOWN_reboot);
  await m.pass(2000);
  t.regex(m.takeOutput(), /was restarted: it is domain/);
}

test("rename: a domain's name is another from then on, in the store, behind a restart of domain 0, and of the guest", async (t) => {
  const { m, typed } = await start();
  await typed("create --kernel hello --memory 2 --name one");
  await typed("create --kernel hello --memory 2 --name two");
  await typed("xenstore-ls /local/domain/2"); // its nodes are there; the other's are not yet
  t.is(await typed("rename one first; rename 2 secönd"), "");
  t.regex(await typed("list"), /^first +1 [^]*^secönd +2 /m);
  for (const [id, name] of [
    [1, "first"],
    [2, "sec\\xc3\\xb6nd"], // as xenstore-read shows it
  ]) {
    t.is(await typed(`xenstore-read /local/domain/${id}/name`), `${name}\n`);
    const vm = (await typed(`xenstore-read /local/domain/${id}/vm`)).trim();
    t.is(await typed(`xenstore-read ${vm}/name`), `${name}\n`);
  }
  t.regex(await typed("destroy one"), /no domain "one"/);
  t.is(await typed("rename first first"), "", "its own");
  for (const [name, said] of [
    ["secönd", 'a domain named "secönd" exists already'],
    ["Domain-0", 'a domain named "Domain-0" exists already'],
    ["17", 'the name "17" is a number: domains could be confused'],
    ["''", "a domain's name must not be empty"],
    ["'a b'", 'the name "a b" has blanks or control characters in it'],
    ["x".repeat(65), `the name "${"x".repeat(65)}" is too long: 65 bytes, 64 at most`],
  ]) {
    t.is(await typed(`rename first ${name}`), `rename: ${said}\n`);
  }
  t.is(await typed("rename nobody x"), 'rename: no domain "nobody"; `list` shows them\n');
  t.is(await typed("rename 0 x"), "rename: domain 0 is the control plane itself\n");
  await restarted(m);
  t.regex(await typed("list"), /^first +1 [^]*^secönd +2 /m);
  await reboots(t, m, 1);
  t.regex(await typed("list"), /^first +3 /m);
  t.is(await typed("create --kernel hello --memory 2 --name one"), "4\n", "the old name is free");
});

test("mem-max: no less than the target; mem-set goes by what the domain was made with, and sets it anew", async (t) => {
  const { m, typed } = await start();
  await typed("create --kernel hello --memory 8 --name one");
  const limit = () => m.domains.get(1)!.maxPages / 256 - BEYOND_RAM / 256;
  t.is(limit(), 8);
  t.is(await typed("mem-max one 16"), "");
  t.is(limit(), 16);
  t.is(await typed("xenstore-read /local/domain/1/memory/static-max"), "8192\n");
  t.regex(await typed("mem-set one 9"), /"9" is not a whole number of MiB from 1 to 8/);
  t.is(await typed("mem-set one 4"), "");
  t.is(limit(), 4);
  t.regex(
    await typed("mem-max one 3"),
    /^mem-max: SIZE: 3 MiB are less than the 4 MiB that domain 1 \(one\) is to have/,
  );
  t.regex(await typed("mem-max one 0"), /is not a whole number of MiB from 1/);
  t.regex(await typed("mem-max one 1.5"), /is not a whole number of MiB from 1/);
  m.failNext = { op: __HYPERVISOR_domctl, command: XEN_DOMCTL_max_mem, errno: ENOMEM };
  t.regex(await typed("mem-max one 1000000"), /^mem-max: no memory is left for the page tables of 976\.6 GiB/);
  t.is(limit(), 4);
  t.is(await typed("mem-max one 6"), "");
  await restarted(m);
  t.is(await typed("mem-set one 5"), "");
  t.is(limit(), 5, "what its builder took beyond is kept");
});

test("vcpu-pin and vcpu-list: by xl's sets of CPUs; a domain that is made again has them", async (t) => {
  const { m, typed } = await start(4);
  await typed("create --kernel hello --memory 2 --vcpus 2 --name one");
  t.is(
    await typed("vcpu-list"),
    "Name      ID  VCPU  CPU  State  Time(s)  Hard  Soft\n" +
      "Domain-0   0     0    0  r--        1.5  all   all\n" +
      "one        1     0    0  -b-        1.5  all   all\n" +
      "one        1     1    0  -b-        1.5  all   all\n",
  );
  t.is(await typed("vcpu-pin one 1 0-3,^2 1"), "");
  t.is(await typed("vcpu-pin one all - 2-3"), "");
  const rows = async () =>
    (JSON.parse(await typed("vcpu-list one --json")) as { hard: string; soft: string }[]).map(({ hard, soft }) => [
      hard,
      soft,
    ]);
  const pinned = [
    ["all", "2-3"],
    ["0-1,3", "2-3"],
  ];
  t.deepEqual(await rows(), pinned);
  for (const [words, said] of [
    ["one 1 4", /^vcpu-pin: HARD: CPU 4 is not there: CPUs 0 to 3 are used\n$/],
    ["one 1 0 4", /^vcpu-pin: SOFT: CPU 4 is not there/],
    ["one 1 ^all", /cannot leave out "all"/],
    ["one 1 0,^0", /leaves no CPU/],
    ["one 2 0", /VCPU: "2" is not a whole number from 0 to 1/],
    ["one x 0", /VCPU: "x" is not a whole number from 0 to 1/],
    ["one 1 -", /neither HARD nor SOFT is given/],
    ["one 1 - -", /neither HARD nor SOFT is given/],
    ["one 1", /HARD is missing/],
    ["0 0 0", /Domain-0 runs on all CPUs: its vCPU is not pinned/],
    ["0 1 all", /VCPU: "1" is not a whole number from 0 to 0/],
    ["nobody 0 0", /no domain "nobody"/],
  ] as const) {
    t.regex(await typed(`vcpu-pin ${words}`), said);
  }
  t.is(await typed("vcpu-pin Domain-0 all 0-3"), "", "as it is anyway");
  t.regex(await typed("vcpu-list nobody"), /^vcpu-list: no domain "nobody"/);
  t.deepEqual(await rows(), pinned, "nothing has changed");
  m.failNext = { op: __HYPERVISOR_domctl, command: XEN_DOMCTL_setvcpuaffinity, errno: ENOMEM };
  t.regex(await typed("vcpu-pin one 0 1"), /XEN_DOMCTL_setvcpuaffinity/);
  await restarted(m);
  t.deepEqual(await rows(), pinned);
  await reboots(t, m, 1);
  t.deepEqual(await rows(), pinned);
});

test("sched: weights are the domain's, behind a restart too; caps are refused", async (t) => {
  const { m, typed } = await start();
  await typed("create --kernel hello --memory 2 --name one");
  t.is(await typed("sched"), "Name      ID  Weight  Cap\nDomain-0   0     256    0\none        1     256    0\n");
  t.is(await typed("sched one --weight 512"), "Name  ID  Weight  Cap\none    1     512    0\n");
  t.is(await typed("sched one --cap 0"), "Name  ID  Weight  Cap\none    1     512    0\n");
  t.regex(await typed("sched one --cap 50"), /^sched: --cap: there are no caps/);
  t.regex(await typed("sched one --weight 0"), /"0" is not a whole number from 1 to 65535/);
  t.regex(await typed("sched one --weight 65536"), /"65536" is not a whole number from 1 to 65535/);
  t.regex(await typed("sched --weight 5"), /^sched: ID is missing/);
  t.regex(await typed("sched 0 --weight 5"), /^sched: Domain-0 has a budget instead of a share/);
  t.regex(await typed("sched nobody"), /^sched: no domain "nobody"/);
  t.is(m.domains.get(1)!.weight, 512);
  await restarted(m);
  await reboots(t, m, 1);
  t.is(m.domains.get(2)!.weight, 512);
});

test("uptime: since a domain was made, whatever happened to domain 0", async (t) => {
  const { m, typed } = await start();
  await m.pass(5000);
  await typed("create --kernel hello --memory 2 --name one");
  await m.pass(61_000);
  const seconds = async (words = "") =>
    new Map(
      (JSON.parse(await typed(`uptime ${words} --json`)) as { id: number; seconds: number }[]).map((row) => [
        row.id,
        row.seconds,
      ]),
    );
  const before = await seconds();
  t.true(before.get(1)! >= 61 && before.get(1)! < 65);
  t.true(before.get(0)! >= before.get(1)! + 5);
  await restarted(m);
  await m.pass(9000);
  const behind = await seconds("one");
  t.deepEqual([...behind.keys()], [1]);
  t.true(behind.get(1)! >= before.get(1)! + 9 && behind.get(1)! < before.get(1)! + 15);
  t.regex(await typed("uptime one"), /^Name {32}ID Uptime\none {34}1 {2}0:01:\d\d\n$/);
  t.regex(await typed("uptime nobody"), /^uptime: no domain "nobody"/);
  await reboots(t, m, 1);
  t.true((await seconds()).get(2)! < 5, "a new one");
});

test("uptime: of a domain that was made in the machine's first second, behind a restart of domain 0", async (t) => {
  const { m, typed } = await start(1, 1e6);
  t.is(await typed("create --kernel hello --memory 2 --name early"), "1\n");
  t.regex(await typed("uptime 0"), / 0:00:00$/m);
  await restarted(m);
  t.regex(await typed("uptime early"), /^early +1 +0:00:0\d$/m);
});

test("create: a UUID that another has is refused; vCPUs, weight and CPUs are as asked for", async (t) => {
  const { m, typed } = await start(4);
  const uuid = "5f0c1c3a-9c3f-4f43-9a6f-8c1b6a1f0d2e";
  t.is(await typed(`create --kernel hello --memory 2 --name one --uuid ${uuid.toUpperCase()}`), "1\n");
  t.regex(await typed("info one"), new RegExp(`UUID +${uuid}\n`));
  t.is(
    await typed(`create --kernel hello --memory 2 --uuid ${uuid}`),
    "create: domain 1 (one) has that UUID already\n",
  );
  for (const bad of ["x", uuid.slice(1), "00000000-0000-0000-0000-000000000000", `${uuid}0`]) {
    t.regex(await typed(`create --kernel hello --memory 2 --uuid ${bad}`), /^create: --uuid: ".*" is no UUID/);
  }
  await restarted(m);
  t.is(
    await typed(`create --kernel hello --memory 2 --uuid ${uuid}`),
    "create: domain 1 (one) has that UUID already\n",
  );
  await typed("destroy one");
  t.is(await typed(`create --kernel hello --memory 2 --uuid ${uuid}`), "2\n", "it is free again");
  t.deepEqual([...m.domains.keys()], [2]);

  const making = "create --kernel hello --memory 2 --name big --vcpus 2 --max-vcpus 3 --weight 100";
  t.is(await typed(`${making} --cpus 1-3 --cpus 2=0 --cpus-soft 1=2`), "3\n");
  const big = m.domains.get(3)!;
  t.is(big.vcpus, 3);
  t.is(big.weight, 100);
  t.deepEqual(
    [0, 1, 2].map((vcpu) => big.affinity.get(vcpu)!.hard),
    [14n, 14n, 1n],
  );
  t.is(big.affinity.get(1)!.soft, 4n);
  t.is(await typed("xenstore-read /local/domain/3/cpu/1/availability"), "online\n");
  t.is(await typed("xenstore-read /local/domain/3/cpu/2/availability"), "offline\n");
  t.is(await typed("vcpu-set big 3"), "");
  for (const [words, said] of [
    ["--vcpus 4 --max-vcpus 3", /--vcpus: "4" is not a whole number from 1 to 3/],
    ["--cpus 4", /--cpus: CPU 4 is not there/],
    ["--cpus 1=0", /--cpus: "1" is not a whole number from 0 to 0/],
    ["--cpus-soft x", /--cpus-soft: "x" is none of all/],
    ["--weight 0", /--weight: "0" is not a whole number from 1/],
  ] as const) {
    t.regex(await typed(`create --kernel hello --memory 2 ${words}`), said);
  }
  m.failNext = { op: __HYPERVISOR_domctl, command: XEN_DOMCTL_setvcpuaffinity, errno: ENOMEM };
  t.regex(await typed("create --kernel hello --memory 2 --cpus 0"), /XEN_DOMCTL_setvcpuaffinity/);
  t.deepEqual([...m.domains.keys()], [2, 3], "nothing of it stays");
});

test("config-update with an image that is removed: that it is lost is told", async (t) => {
  const { m, typed } = await start();
  await typed("create --kernel hello --memory 2 --name one");
  await typed(
    'js up = images.begin("sha256:" + "1".repeat(64), "rd", 5); up.add(new Uint8Array(5)); it = up.finish(); 0',
  );
  t.is(await typed(`config-update one --kernel hello --ramdisk sha256:${"1".repeat(64)}`), "");
  await typed("js images.remove(it)");
  m.shutdownGuest(m.domains.get(1)!, SHUTDOWN_reboot);
  await m.pass(1000);
  t.regex(m.takeOutput(), /domain 1 \(one\) could not be restarted: the image rd \(sha256:1+\) was removed/);
  await typed("create --kernel hello --memory 2 --name two");
  await typed(
    'js up = images.begin("sha256:" + "2".repeat(64), "rd", 5); up.add(new Uint8Array(5)); it = up.finish(); 0',
  );
  await typed(`config-update two --kernel hello --ramdisk sha256:${"2".repeat(64)}`);
  await typed("js images.remove(it)");
  await m.pass(1000);
  await m.boot();
  t.regex(m.takeOutput(), /domain 2 \(two\): what `config-update` said of it is lost: an image is no longer there/);
});

test("two clients create a domain with one UUID, at once: one of them is refused", async (t) => {
  const m = machine("", 1024);
  m.frameNs = 5000; // it is built in steps
  await m.boot();
  const { client } = await connect(m);
  const uuid = "5f0c1c3a-9c3f-4f43-9a6f-8c1b6a1f0d2e";
  const create = () => {
    const params = { kernel: "hello", memory: 100, uuid } as Params<typeof createRequest.arguments>;
    const { result, stream } = client.request(createRequest, params);
    stream.resume();
    return result;
  };
  const results = await settled(m, Promise.allSettled([create(), create()]));
  t.is(results.filter(({ status }) => status === "fulfilled").length, 1);
  const refused = results.find((result) => result.status === "rejected") as PromiseRejectedResult;
  t.regex((refused.reason as Error).message, /^a domain with that UUID is being created$/);
  t.is(m.domains.size, 1);
});

test("config-update: as it says from the next restart on, also when domain 0 has died meanwhile", async (t) => {
  const { m, typed } = await start();
  await typed("create --kernel hello --memory 2 --name one");
  const uuid = /UUID +(\S+)/.exec(await typed("info one"))![1]!;
  t.is(await typed("config-update one --kernel hello --ramdisk initrd --memory 3 --weight 77 --on-reboot destroy"), "");
  t.is(m.domains.get(1)!.frames.size, 2 * 256 + BEYOND_RAM, "it goes on as it is");
  t.regex(await typed("config-update one --kernel nothing"), /--kernel: no boot module "nothing"/);
  t.regex(await typed("config-update one --kernel hello --memory 100000"), /--memory: the machine has 512 MiB/);
  t.regex(await typed("config-update one --kernel hello --name x"), /unknown option --name/);
  t.regex(await typed("config-update one"), /--kernel NAME is missing/);
  t.regex(await typed("config-update nobody --kernel hello"), /no domain "nobody"/);
  t.regex(await typed("info one"), /^restarted as +hello, 3 MiB, 1 vCPU, by config-update$/m);
  await typed("rename one other");
  await restarted(m);
  await reboots(t, m, 1);
  const again = m.domains.get(2)!;
  t.is(again.frames.size, 3 * 256 + BEYOND_RAM);
  t.is(again.weight, 77);
  t.regex(await typed("info other"), new RegExp(`UUID +${uuid}\n[^]*reboot: destroy[^]*ramdisk initrd`));
  m.shutdownGuest(again, SHUTDOWN_reboot);
  await m.pass(100);
  t.deepEqual([...m.domains.keys()], [], "the new policy");
});
