/** The console's commands, on the fake machine: what they accept, refuse and print. */
import test from "ava";
import { ENOSPC } from "../../../abi/errno.ts";
import { EVTCHNOP_bind_interdomain } from "../../../abi/event-channel.ts";
import { SHUTDOWN_poweroff } from "../../../abi/sched.ts";
import { __HYPERVISOR_event_channel_op } from "../../../abi/xen.ts";
import { exec, machine, runExec } from "./fake-session.ts";

test("ids are decimal digits: a domain whose name looks like another number is itself", async (t) => {
  const m = machine(
    exec(
      "create --kernel hello; create --kernel hello --name 0x1; create --kernel hello --name 1e0;" +
        "destroy 0x1; destroy 1e0; destroy 0x1; destroy 1.0; list",
    ),
  );
  const output = await runExec(m);
  t.deepEqual([...m.domains.keys()], [1]);
  t.regex(output, /destroy: no domain "0x1"; `list` shows them\ndestroy: no domain "1\.0"/);
});

test("destroy, pause and unpause take several ids, and do nothing when one of them is wrong", async (t) => {
  const m = machine(
    exec(
      "create --kernel hello; create --kernel hello; create --kernel hello; destroy 1 nowhere; pause 1 2; unpause 1 2 3;" +
        "unpause 2 1; destroy 1 hello-3 1",
    ),
  );
  const output = await runExec(m);
  t.regex(output, /destroy: no domain "nowhere".*\nunpause: domain 3 \(hello-3\) is not paused\n/);
  t.deepEqual([...m.domains.keys()], [2]);
  t.is(m.domains.get(2)!.pauses, 0);
});

test("modules, exit, COMMAND --help and units", async (t) => {
  const m = machine(
    exec(
      "modules; create --help; js --help; list --help; create --kernel hello --memory 0.015625G --paused; list; exit; list",
    ),
  );
  const output = await runExec(m);
  t.regex(output, /^hello +5\.2 KiB\ninitrd +9\.8 KiB$/m);
  t.regex(output, /^create --kernel NAME .*\n {2}create a domain/m);
  t.regex(output, /^js SCRIPT\n/m);
  t.regex(output, /^list \[--json\]\n {2}list the domains\n/m);
  t.regex(output, /^hello +1 +16 /m);
  t.regex(output, /TYPEVISOR-EXEC: 7 ok, 0 failed\n$/);
});

test("exit and Ctrl-D on an empty line: at once without domains, else when given twice", async (t) => {
  const m = machine();
  await m.boot();
  await m.type("create --kernel hello\r");
  await m.type("\x04");
  t.regex(m.takeOutput(), /exit: domain 1 \(hello\): `exit` again ends what is there and switches the machine off\r\n/);
  await m.type("list\rexit\r");
  t.is(m.ended, null, "something else came between");
  await m.type("\x04");
  t.is(m.ended, SHUTDOWN_poweroff);

  const alone = machine();
  await alone.boot();
  await alone.type("exit\r");
  t.is(alone.ended, SHUTDOWN_poweroff);
});

test("completion knows options with hyphens, --help and ids after ids", async (t) => {
  const m = machine();
  await m.boot();
  await m.type("create --kernel hello; create --kernel hello --name other\r");
  for (const [typed, shown] of [
    ["create --on-p", "create --on-poweroff "],
    ["create --he", "create --help "],
    ["destroy 1 ot", "destroy 1 other "],
    ["uptime 1 ot", "uptime 1 other "],
    ["volume snap", "volume snapshot "],
    ["volume create --if", "volume create --if-absent "],
    ["vif attach ot", "vif attach other "],
    ["modu", "modules "],
    ["create --on-crash pr", "create --on-crash preserve "],
    ["create --kernel init", "create --kernel initrd "],
    ["xenctx 1 --symbols he", "xenctx 1 --symbols hello "],
    ["xenctx --vcpu 0 ot", "xenctx --vcpu 0 other "],
    ["mem-set ot", "mem-set other "],
    ["xenstore-ls --f", "xenstore-ls --full "],
    ["top --it", "top --iterations "],
  ] as const) {
    m.takeOutput();
    for (const key of `${typed}\t`) await m.type(key);
    const drawn = m.takeOutput().split("\r").at(-1)!.replaceAll("\x1b[K", "");
    t.is(drawn, `typevisor> ${shown}`);
    await m.type("\x03");
  }
});

test("js: several statements, lasting declarations, await in brackets, console.log, errors without our frames", async (t) => {
  const m = machine(
    exec(
      "js let x = 20; const y = 22; x + y; js x; js await (sleep(1)), y; js console.log('said', { a: [1] }); js nowhere;" +
        "js const z = await Promise.resolve(5); z * 2; js z; js new Error('a value'); list",
    ),
  );
  const output = await runExec(m);
  t.regex(output, /^42\n20\n22\nsaid \{ a: \[ 1 \] \}\nundefined\njs: ReferenceError: nowhere is not defined\n10\n5\n/);
  t.regex(output, /^Error: a value\nName /m);
  t.regex(output, /8 ok, 1 failed/);
});

test("a create that cannot have its memory is refused before it takes any", async (t) => {
  const m = machine(exec("create --kernel hello --memory 100000"));
  t.regex(await runExec(m), /create: not enough memory: the guest is to have 97\.7 GiB, 256 MiB are free/);
  t.is(m.populations, 0);
});

test("no event channel left for another domain: said in words, and nothing of it stays", async (t) => {
  const m = machine(exec("create --kernel hello; create --kernel hello"));
  m.guest = () => {
    m.failNext = { op: __HYPERVISOR_event_channel_op, command: EVTCHNOP_bind_interdomain, errno: ENOSPC };
  };
  const output = await runExec(m);
  t.regex(output, /create: domain 0 has no event channel left for one more domain: there are 1; destroy some first/);
  t.deepEqual([...m.domains.keys()], [1]);
});

test("xenstore-read and -ls print what a guest wrote as Xen's clients do", async (t) => {
  const m = machine(
    exec(
      String.raw`js store.write('/tool/x', 'a\x1b[2J\x07\n\t\r\\"\x7f\u00e9'); xenstore-read /tool/x; xenstore-ls /tool; list`,
    ),
  );
  const output = await runExec(m);
  const shown = String.raw`a\x1b[2J\007\n\t\r\\"\x7f\xc3\xa9`;
  t.true(output.includes(`\n${shown}\n`), output);
  t.true(output.includes(`x = "${shown}"\n`), output);
});

test("top draws its tables in place at the prompt, and as far as the terminal goes", async (t) => {
  const m = machine("terminal=60x5");
  await m.boot();
  await m.type("create --kernel hello; create --kernel hello; create --kernel hello\r");
  m.takeOutput();
  await m.type("top --iterations 2 --delay 1\r");
  await m.pass(1100);
  const first = m.takeOutput();
  t.regex(first, /\x1b\[H\x1b\[J512 MiB of memory/);
  await m.pass(1100);
  const second = m.takeOutput();
  t.regex(second, /^\x1b\[H512 MiB of memory[^]*\x1b\[J\r\ntypevisor> $/);
  const lines = second.slice(3).split("\x1b[J")[0]!.replaceAll("\x1b[K", "").split("\r\n");
  t.is(lines.length, 4);
  t.true(lines.every((line) => line.length <= 59));
  await m.type("top --iterations 1 --delay 1\r");
  await m.pass(1100);
  t.notRegex(m.takeOutput(), /\x1b\[H/);
});
