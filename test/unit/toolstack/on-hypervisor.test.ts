/** hypervisor.wasm and control.js together on the simulated machine: what a user types, and what the guests get. */
import test from "ava";
import { ENODATA } from "../../../abi/errno.ts";
import { __HYPERVISOR_devctl, Devctl, XEN_DEVCTL_get, XEN_DEVCTL_VERSION } from "../../../abi/io/noxs.ts";
import {
  CONSOLEIO_write,
  DOMID_SELF,
  __HYPERVISOR_console_io,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_xen_version,
  StartInfo,
  VcpuInfo,
} from "../../../abi/xen.ts";
import { XENVER_guest_handle } from "../../../abi/version.ts";
import { SCHEDOP_shutdown, SHUTDOWN_crash, SHUTDOWN_poweroff } from "../../../abi/sched.ts";
import {
  XS_READ,
  XS_SET_PERMS,
  XS_TRANSACTION_END,
  XS_TRANSACTION_START,
  XS_WATCH,
  XS_WRITE,
  XENSTORE_ERROR_RINGIDX,
  XenstoreDomainInterface,
} from "../../../abi/xs-wire.ts";
import { hypercall, structured, type Steps } from "../../sim/call.ts";
import { Machine } from "../../sim/machine.ts";
import { hypervisorModule } from "../../sim/module.ts";
import { guestCode, type GuestCpu, type GuestProgram } from "../../sim/svm-cpu.ts";
import { makeElf } from "./make-elf.ts";
import { boot, exec, forever, mapFirst2Mib, prints, runToEnd, typed } from "./guests-on-hypervisor.ts";
import { ControlPlane } from "./on-hypervisor.ts";
import { StoreGuest } from "./store-guest.ts";

const module = hypervisorModule();

test("create --wait: the guest runs, ends, and every frame is back", async (t) => {
  const machine = await boot(
    exec(
      // The first creation also touches domain 0's own buffers for good.
      "create --kernel hello --memory 2 --wait; js before = sysctl.physicalInfo().freePages;" +
        "create --kernel hello --memory 3 --wait; create --kernel bad --memory 2 --wait;" +
        "js ({ missing: before - sysctl.physicalInfo().freePages }); info; list",
    ),
    { hello: prints("Hello\n", SHUTDOWN_poweroff), bad: prints("Oh\n", SHUTDOWN_crash) },
  );
  const output = runToEnd(machine);
  t.regex(output, /1\n\(d1\) Hello\ndomain 1 \(hello\) has ended: poweroff\n/);
  t.regex(output, /create: domain 3 \(bad\) has ended: crash\n\{ missing: 0 \}/);
  t.regex(output, /^virtualisation {2}AMD-V: nested paging$/m);
  t.regex(output, /Time\(s\)\nDomain-0 .*\nTYPEVISOR-EXEC: 6 ok, 1 failed/);
});

test("an uploaded image takes memory, and gives all of it back; what is made of it runs", async (t) => {
  const upload = (digit: string, bytes: string, piece: string) =>
    `js up = images.begin("sha256:".padEnd(71, "${digit}"), "uploaded", ${bytes}); ` +
    `for (let at = 0; at < ${bytes}; at += 4096) up.add(${piece}); it = up.finish();`;
  const machine = await boot(
    exec(
      upload("1", "modules[0].size", "memory.read(modules[0].address + at, Math.min(4096, modules[0].size - at))") +
        `create --kernel ${"sha256:".padEnd(71, "1")} --memory 2 --wait; js before = sysctl.physicalInfo().freePages;` +
        upload("2", "1000000", "new Uint8Array(Math.min(4096, 1000000 - at))") +
        "js ({ taken: before - sysctl.physicalInfo().freePages, pages: Math.ceil(it.size / 4096) });" +
        "js images.remove(it); js await sleep(100); js ({ missing: before - sysctl.physicalInfo().freePages }); image list",
    ),
    { hello: prints("Hello\n", SHUTDOWN_poweroff) },
  );
  const output = runToEnd(machine);
  t.regex(output, /\n1\n\(d1\) Hello\ndomain 1 \(uploaded\) has ended: poweroff\n/);
  const [, taken, pages] = /\{ taken: (\d+), pages: (\d+) \}/.exec(output)!.map(Number) as [number, number, number];
  t.is(pages, 245);
  t.true(taken >= pages && taken <= pages + 2, "and tables for them");
  t.regex(output, /\{ missing: [012] \}\n/);
  t.regex(output, /^sha256:1+ .* uploaded$/m);
  t.regex(output, /, 0 failed\n/);
});

const KERNEL = 0x100000;

/** A guest that prints the address of its device page, or the error it gets at devctl's number. */
function* printsDevicePage(cpu: GuestCpu): ReturnType<GuestProgram> {
  yield { kind: "spin", ns: 1000 };
  mapFirst2Mib(cpu);
  const request = new DataView(new ArrayBuffer(Devctl.SIZE));
  request.setUint32(Devctl.version, XEN_DEVCTL_VERSION, true);
  request.setUint32(Devctl.cmd, XEN_DEVCTL_get, true);
  request.setUint16(Devctl.domain, DOMID_SELF, true);
  cpu.poke(0x9000, new Uint8Array(request.buffer));
  const result = yield* hypercall(cpu, __HYPERVISOR_devctl, 0x9000);
  const page = cpu.view(0x9000, Devctl.SIZE).getUint32(Devctl.get_mfn, true);
  const text = result === 0 ? `device page 0x${page.toString(16)}` : `error ${-result}`;
  yield* prints(`${text}\n`, SHUTDOWN_poweroff)(cpu);
}

test("create --noxs: the guest has a device page; another has none", async (t) => {
  const machine = await boot(
    exec(
      "create --kernel a --memory 2 --wait; js before = sysctl.physicalInfo().freePages;" +
        "create --kernel a --memory 2 --noxs --wait; create --kernel a --memory 2 --noxs --paused;" +
        "js ({ used: before - sysctl.physicalInfo().freePages }); destroy 3; create --kernel a --memory 2 --paused;" +
        "js ({ used: before - sysctl.physicalInfo().freePages }); destroy 4",
    ),
    { a: printsDevicePage },
  );
  const output = runToEnd(machine);
  t.regex(output, new RegExp(`\\(d1\\) error ${ENODATA}\\n`), "dm_op without buffers");
  t.regex(output, /\(d2\) device page 0xfeffa000\n/);
  const used = [...output.matchAll(/\{ used: (\d+) \}/g)].map(([, frames]) => Number(frames));
  t.is(used[0]! - used[1]!, 1, "a device page is one frame");
  t.regex(output, /TYPEVISOR-EXEC: 9 ok, 0 failed/);
});

test("a PVHv1 guest: its start_info, its page tables as it is entered, and its device page", async (t) => {
  const program: GuestProgram = function* (cpu) {
    // Its code is one page long; start_info is behind the list of its 1536 frames, which has three.
    const info = cpu.view(KERNEL + 4 * 4096, 4096);
    const u64 = (at: number): number => Number(info.getBigUint64(at, true));
    const text = Buffer.from(info.buffer, info.byteOffset + StartInfo.cmd_line, 16)
      .toString()
      .split("\0")[0];
    t.is(u64(StartInfo.nr_pages), 1536);
    t.is(u64(StartInfo.mfn_list), KERNEL + 4096);
    t.is(u64(StartInfo.pt_base), KERNEL + 8 * 4096);
    t.is(u64(StartInfo.nr_pt_frames), 5);
    const table = cpu.view(u64(StartInfo.pt_base), 4096);
    t.is(Number(table.getBigUint64(0, true)) & ~0xfff, u64(StartInfo.pt_base) + 4096);
    yield { kind: "spin", ns: 1000 };
    // The frame that start_info names is mapped and is the domain's shared_info: every event is masked as it starts.
    const shared = cpu.view(u64(StartInfo.shared_info), 4096);
    t.is(shared.getUint8(VcpuInfo.evtchn_upcall_mask), 1);
    t.is(text, "a=b c");
    yield* printsDevicePage(cpu);
  };
  const machine = new Machine(await module, {
    memory: 32,
    modules: [
      {
        name: "old",
        data: makeElf({
          entry: null,
          elfEntry: BigInt(KERNEL),
          segments: [{ address: KERNEL, data: guestCode(0) }],
          guestSection:
            "XEN_VER=xen-3.0,LOADER=generic,VIRT_BASE=0x0,ELF_PADDR_OFFSET=0x0," +
            "FEATURES=hvm_callback_vector|auto_translated_physmap|supervisor_mode_kernel",
        }).bytes,
      },
    ],
    commandLine: exec(
      'create --kernel old --memory 6 --cmdline "a=b c" --wait; js before = sysctl.physicalInfo().freePages;' +
        "create --kernel old --memory 6 --vcpus 2; create --kernel old --memory 3;" +
        'create --kernel old --memory 6 --cmdline "a=b c" --wait; js ({ missing: before - sysctl.physicalInfo().freePages })',
    ),
  });
  machine.svm.programs.push(program);
  await ControlPlane.on(machine);
  const output = runToEnd(machine);
  t.regex(output, /\(d1\) device page 0xfeffa000\ndomain 1 \(old\) has ended: poweroff\n/);
  t.regex(output, /create: old: a PVHv1 guest has one virtual CPU, not 2/);
  t.regex(output, /create: old: not enough memory/);
  t.regex(output, /\{ missing: 0 \}/);
});

/** A guest that prints what XENVER_guest_handle gives it, as hexadecimal digits. */
function* printsHandle(cpu: GuestCpu): ReturnType<GuestProgram> {
  yield { kind: "spin", ns: 1000 };
  mapFirst2Mib(cpu);
  yield* hypercall(cpu, __HYPERVISOR_xen_version, XENVER_guest_handle, 0x9000);
  const { buffer, byteOffset } = cpu.view(0x9000, 16);
  const digits = Buffer.from(buffer, byteOffset, 16).toString("hex");
  cpu.poke(0x9000, Buffer.from(`handle ${digits}\n`));
  yield* hypercall(cpu, __HYPERVISOR_console_io, CONSOLEIO_write, 40, 0x9000);
  yield* forever();
}

test("a guest's handle is its UUID; two machines that start in different years make different ones", async (t) => {
  const uuids: string[] = [];
  for (const year of [26, 27]) {
    const machine = await boot("", { g: printsHandle }, year);
    machine.runUntil(() => machine.output.endsWith("typevisor> "), "the prompt");
    typed(machine, "create --kernel g --memory 2 --name g");
    machine.runUntil(() => /handle [0-9a-f]{32}\r?\n/.test(machine.output), "the guest's handle");
    const handle = /handle ([0-9a-f]{32})/.exec(machine.output)![1]!;
    const uuid = /\/vm\/([-0-9a-f]{36})/.exec(typed(machine, "xenstore-read /local/domain/1/vm"))![1]!;
    t.is(uuid.replaceAll("-", ""), handle);
    t.is(uuid[14], "4");
    uuids.push(uuid);
  }
  t.not(uuids[0], uuids[1]);
});

test("a spinning guest is listed, paused and destroyed from the prompt", async (t) => {
  const machine = await boot("", { spin: forever });
  machine.runUntil(() => machine.output.endsWith("typevisor> "), "the prompt");
  t.regex(typed(machine, "create --kernel spin --memory 2 --name s"), /\n1\r\n/);
  t.regex(typed(machine, "list"), /^s .* 1 +2 +1 +-----/m);
  const check = typed(machine, "check");
  t.regex(check, /^required {2}yes {2}VT-x or AMD-V: AMD-V\r$/m);
  t.regex(check, /^required {2}yes {2}ASIDs \(address space identifiers\): 64\r$/m);
  t.regex(check, /^used {6}no {3}next RIP \(instructions that make exits are fetched and decoded: slower exits\)\r$/m);
  t.regex(check, /^used {6}yes {2}CPUs: 1 found, 1 used\r$/m);
  t.regex(check, /^Guests can run here\. They would run better with: .*next RIP/m);
  t.regex(machine.output, /^\(TV\) Machine: 1 of 1 CPU used; lacks next RIP\. `check` tells more\.\r$/m);
  typed(machine, "xenctx s --vcpu 0"); // domain 0 has page tables for what it maps from then on
  const before = typed(machine, "js sysctl.physicalInfo().freePages");
  const dump = typed(machine, "xenctx s --vcpu 0");
  t.regex(dump, /^domain 1 \(s\), vCPU 0: waiting for a CPU, /m);
  t.regex(dump, /^ +rip [0-9a-f]{16} +rflags/m);
  t.regex(dump, /^ {2}call trace:\r\n {4}[0-9a-f]{16}\r$/m, "no symbols, no callers");
  t.regex(typed(machine, "list"), /^s .* -----/m, "it goes on");
  t.is(typed(machine, "js sysctl.physicalInfo().freePages"), before, "nothing stays mapped");
  t.regex(typed(machine, "xenctx s --vcpu 1"), /^xenctx: --vcpu: "1" is not a whole number from 0 to 0\r$/m);
  t.regex(typed(machine, "xenctx s --symbols nowhere"), /^xenctx: no boot module "nowhere"\r$/m);
  t.regex(typed(machine, "xenctx s --symbols spin"), /^xenctx: spin has no symbols that can be read\r$/m);
  t.regex(typed(machine, "xenctx 7"), /^xenctx: no domain "7"/m);
  t.regex(typed(machine, "debug-keys ad"), /^\(TV\) Audit: 0 violations\.\r$[^]*^\(TV\) {3}d1v0 exit=/m);
  t.regex(typed(machine, "debug-keys h"), /^\(TV\) Debug keys: a audits/m);
  t.regex(typed(machine, "debug-keys '!'"), /^debug-keys: "!" is not 1 to 64 letters or digits\r$/m);
  const top = typed(machine, "top --delay 1 --iterations 1");
  t.regex(top, /^s +1 {2}-----.* interrupt [1-9][0-9]*\r$/m);
  t.regex(top, /^Domain-0 [^a-z]*r-----[ 0-9.-]*\r$/m, "domain 0 is in no guest that it could leave");
  typed(machine, "pause 1");
  t.regex(typed(machine, "list"), / --p---/, "nor running");
  typed(machine, "unpause s");
  typed(machine, "destroy s");
  t.notRegex(typed(machine, "list"), /^s /m);
  t.is(machine.exports.audit(), 0);
});

test("domain 0 dies and comes back while its guest runs on; nothing leaks", async (t) => {
  const machine = await boot("", { spin: forever });
  machine.runUntil(() => machine.output.endsWith("typevisor> "), "the prompt");
  typed(machine, "create --kernel spin --memory 2 --name s");
  const die = () => {
    const from = machine.output.length;
    machine.devices.type("js memory.store32(0xc01ff000, 3), hypercall(29, 2, 0xc01ff000)\r");
    const restarted = /Domain 0 is restarted: [^]*domain 0 was restarted[^]*\ntypevisor> $/;
    machine.runUntil(() => restarted.test(machine.output.slice(from)), "domain 0's restart");
  };
  for (let i = 0; i < 3; i++) {
    die();
    t.is(machine.exports.audit(), 0);
  }
  t.regex(typed(machine, "list"), /^s .* 1 +2 +1 +-----/m);
  const free = Number(/\n(\d+)\r/.exec(typed(machine, "js sysctl.physicalInfo().freePages"))![1]);
  die();
  t.is(Number(/\n(\d+)\r/.exec(typed(machine, "js sysctl.physicalInfo().freePages"))![1]), free);
  typed(machine, "destroy s");
  t.is(machine.exports.audit(), 0);
});

test("the clock's two digits are a year of this century or the last", async (t) => {
  for (const [digits, year] of [
    [26, 2026],
    [69, 2069],
    [70, 1970],
    [99, 1999],
  ] as const) {
    t.regex(runToEnd(await boot(exec("info"), {}, digits)), new RegExp(`^time +${year}-11-20T12:00:0`, "m"));
  }
});

/** A guest that uses its store; its progress is reported by `said`. */
function storeGuest(
  work: (store: StoreGuest, say: (text: string) => void) => Steps<void>,
  said: string[],
): GuestProgram {
  return function* (cpu) {
    yield { kind: "spin", ns: 1000 };
    mapFirst2Mib(cpu);
    const store = new StoreGuest(cpu);
    yield* store.open();
    yield* work(store, (text) => said.push(text));
    yield* structured(cpu, __HYPERVISOR_sched_op, SCHEDOP_shutdown, 4, (view) =>
      view.setUint32(0, SHUTDOWN_poweroff, true),
    );
  };
}

test("two guests and their store: each its own, nothing of the other's; what they leave goes with them", async (t) => {
  const first: string[] = [];
  const second: string[] = [];
  const machine = await boot("", {
    first: storeGuest(function* (store, say) {
      say(yield* store.ask(XS_WRITE, "data/private\0secret"));
      say(yield* store.ask(XS_READ, "domid\0"));
      say(yield* store.ask(XS_WATCH, "data\0token\0"));
      say(yield* store.event());
      say(yield* store.event());
    }, first),
    second: storeGuest(function* (store, say) {
      for (const path of ["/local/domain/1/data/private", "/local/domain/1", "/vm", "/"]) {
        say(yield* store.ask(XS_READ, `${path}\0`));
        say(yield* store.ask(XS_WRITE, `${path}\0x`));
      }
      say(yield* store.ask(XS_WATCH, "/local/domain/1\0t\0"));
      say(yield* store.event());
      // Nonsense in the ring costs this connection.
      store.set(XenstoreDomainInterface.req_prod, store.get(XenstoreDomainInterface.req_cons) + 5000);
      yield* store.notify();
      while (store.get(XenstoreDomainInterface.error) === 0) yield { kind: "spin", ns: 100_000 };
      say(`error ${store.get(XenstoreDomainInterface.error)}`);
    }, second),
  });
  machine.runUntil(() => machine.output.endsWith("typevisor> "), "the prompt");
  typed(machine, "create --kernel first --memory 2");
  machine.runUntil(() => first.length === 4, "the first guest's requests");
  typed(machine, "create --kernel second --memory 2");
  machine.runUntil(() => machine.output.includes("domain 2 (second) has ended: poweroff"), "the second guest's end");
  t.deepEqual(second, [
    ...new Array<string>(8).fill("!EACCES"),
    "OK\0",
    "/local/domain/1 t",
    `error ${XENSTORE_ERROR_RINGIDX}`,
  ]);
  t.regex(typed(machine, "xenstore-read /local/domain/1/data/private"), /\nsecret\r\n/);
  t.regex(typed(machine, "xenstore-ls /local/domain/1 -p"), /^ private = "secret" {2}\(n1\)/m);
  typed(machine, "xenstore-write /local/domain/1/data/asked 1");
  machine.runUntil(() => machine.output.includes("domain 1 (first) has ended: poweroff"), "the first guest's end");
  t.deepEqual(first, ["OK\0", "1", "OK\0", "data token", "data/asked token"]);
  t.notRegex(typed(machine, "xenstore-ls -f"), /first|second|domain\/[12]/);
  t.regex(typed(machine, "js domains.store.store.tree.domain(1)"), /undefined/);
  t.is(machine.exports.audit(), 0);
});

test("domain 0 dies: a guest's nodes, watches and permissions are there again, its transaction is to be tried again", async (t) => {
  const said: string[] = [];
  let neighbour = false;
  let restarted = false;
  const machine = await boot("", {
    user: storeGuest(function* (store, say) {
      say(yield* store.ask(XS_WRITE, "data/kept\0value"));
      say(yield* store.ask(XS_WATCH, "data/asked\0relative\0"));
      say(yield* store.event());
      const transaction = Number.parseInt(yield* store.ask(XS_TRANSACTION_START, "\0"));
      say(yield* store.ask(XS_WRITE, "data/never\0x", transaction));
      while (!neighbour) yield { kind: "spin", ns: 1_000_000 };
      say(yield* store.ask(XS_SET_PERMS, "data/kept\0n1\0r2\0"));
      while (!restarted) yield { kind: "spin", ns: 1_000_000 };
      say(yield* store.ask(XS_READ, "data/kept\0"));
      say(yield* store.ask(XS_TRANSACTION_END, "T\0", transaction));
      say(yield* store.ask(XS_READ, "data/never\0"));
      say(yield* store.ask(XS_WRITE, "name\0x"));
      say(yield* store.event());
      say(yield* store.event());
    }, said),
    spin: forever,
  });
  machine.runUntil(() => machine.output.endsWith("typevisor> "), "the prompt");
  typed(machine, "create --kernel user --memory 2 --on-poweroff restart");
  machine.runUntil(() => said.length === 4, "the guest's requests");
  typed(machine, "create --kernel spin --memory 2");
  neighbour = true;
  machine.runUntil(() => said.length === 5, "the guest's gift to its neighbour");
  typed(machine, "mem-set user 1");
  // What has changed is kept within 50 ms.
  typed(machine, "js sleep(200)");
  const from = machine.output.length;
  machine.devices.type("js memory.store32(0xc01ff000, 3), hypercall(29, 2, 0xc01ff000)\r");
  const again = /Domain 0 is restarted: [^]*domain 0 was restarted[^]*\ntypevisor> $/;
  machine.runUntil(() => again.test(machine.output.slice(from)), "domain 0's restart");
  t.is(machine.exports.audit(), 0);
  t.regex(typed(machine, "xenstore-ls /local/domain/1/memory"), /static-max = "2048"\r\ntarget = "1024"/);
  t.regex(typed(machine, "xenstore-ls -p /local/domain/1/data"), /^kept = "value" {2}\(n1,r2\)/m);
  restarted = true;
  machine.runUntil(() => said.length === 10, "the guest's requests to the new domain 0");
  typed(machine, "xenstore-write /local/domain/1/data/asked please");
  machine.runUntil(() => machine.output.includes("user was restarted: it is domain 3 now"), "the guest's next life");
  t.deepEqual(said.slice(0, 11), [
    "OK\0",
    "OK\0",
    "data/asked relative",
    "OK\0",
    "OK\0",
    "value",
    "!EAGAIN",
    "!ENOENT",
    "!EACCES",
    "data/asked relative",
    "data/asked relative",
  ]);
  t.is(machine.exports.audit(), 0);
});

test("pasted input arrives whole: 60 lines, a line of 8 kB; a longer one is refused in words", async (t) => {
  const machine = await boot("", {});
  machine.runUntil(() => machine.output.endsWith("typevisor> "), "the prompt");
  const from = machine.output.length;
  const numbers = Array.from({ length: 60 }, (_, i) => i);
  machine.devices.type(numbers.map((i) => `js '<${i}>' + '${"-".repeat(60)}'\r`).join(""));
  machine.runUntil(() => /"<59>-+"\r\ntypevisor> $/.test(machine.output.slice(from)), "the last line's value");
  const values = [...machine.output.slice(from).matchAll(/^"<(\d+)>-{60}"\r$/gm)].map((match) => Number(match[1]));
  t.deepEqual(values, numbers);
  t.regex(typed(machine, `js '${"y".repeat(8180)}'.length`), /^8180\r$/m);
  machine.devices.type(`js '${"y".repeat(20_000)}'.length\r`);
  const refused = () =>
    /a line of 20012 characters was not run: 8192 are the most\r\ntypevisor> $/.test(machine.output);
  machine.runUntil(refused, "the refusal");
  t.regex(typed(machine, "js 6*7"), /^42\r$/m);
  t.is(machine.devices.unsent, 0);
});

test("while domain 0 takes no input the sender waits, with RTS down; what one without flow control loses is reported once", async (t) => {
  const machine = await boot("", {});
  machine.runUntil(() => machine.output.endsWith("typevisor> "), "the prompt");
  t.true(machine.devices.rts);
  // Domain 0 reads 64 KiB ahead while a command runs, the hypervisor keeps 4 KiB, the port 16 bytes.
  machine.devices.type("js sleep(60000)\r");
  machine.runUntil(() => /\)(\x1b\[K)?\r\n$/.test(machine.output), "the running command");
  machine.devices.type("x".repeat(80_000));
  const left = 80_000 - 65_536 - 4096 - 16;
  machine.runUntil(() => machine.devices.unsent === left, "everything full");
  machine.step(100);
  t.is(machine.devices.unsent, left);
  t.false(machine.devices.rts);
  const from = machine.output.length;
  machine.devices.typeAtOnce("lost");
  machine.devices.type("\rjs 6*7\r");
  const ended = () => /^42\r\ntypevisor> $/m.test(machine.output.slice(from));
  machine.runUntil(ended, "the prompt after the command's end", 100_000);
  t.true(machine.devices.rts);
  t.regex(machine.output.slice(from), /a line of 80000 characters was not run/, "all of it came");
  t.is(machine.output.split("Console input was lost").length, 2);
});

test("what was typed before Typevisor looked at the port is not lost", async (t) => {
  const machine = new Machine(await module, { memory: 32, modules: [], commandLine: "", typed: "js 6*7\r" });
  await ControlPlane.on(machine);
  machine.runUntil(() => /^42\r\ntypevisor> $/m.test(machine.output), "the value");
  t.pass();
});

test("xenctx shows the vCPU of a guest that has crashed, and says so", async (t) => {
  const machine = await boot("", { bad: prints("Oh\n", SHUTDOWN_crash) });
  machine.runUntil(() => machine.output.endsWith("typevisor> "), "the prompt");
  typed(machine, "create --kernel bad --memory 2 --on-crash preserve");
  machine.runUntil(() => /has ended: crash; it is kept[^]*typevisor> (\x1b\[K)?$/.test(machine.output), "its end");
  const dump = typed(machine, "xenctx 1");
  t.regex(dump, /^domain 1 \(bad\), vCPU 0: shut down \(crash\), /m);
  t.regex(dump, /^ +rip [0-9a-f]{16} +rflags/m);
  t.regex(dump, /^ {2}call trace:\r\n {4}[0-9a-f]{16}/m);
  t.is(machine.exports.audit(), 0);
});

/** Makes domain 0 die whenever the store is asked for a node with "poison" in its path. */
const POISON = `Object.defineProperty(globalThis, "domains", { configurable: true, set(domains) {
  Object.defineProperty(globalThis, "domains", { value: domains, writable: true });
  const { tree } = domains.store.store;
  const look = tree.look;
  tree.look = (path) => {
    if (path.includes("poison")) { memory.store32(0xc01ff000, 3); hypercall(29, 2, 0xc01ff000); throw new Error("dead"); }
    return look.call(tree, path);
  };
} });`;

test("a request that ends domain 0 is tried twice, then refused; the guest and everybody else go on", async (t) => {
  const said: string[] = [];
  const machine = await boot("", {
    bad: storeGuest(function* (store, say) {
      say(yield* store.ask(XS_WRITE, "data/good\0x"));
      // What it has written is kept within 50 ms.
      for (let i = 0; i < 100; i++) yield { kind: "spin", ns: 2_000_000 };
      say(yield* store.ask(XS_READ, "data/poison\0"));
      say(yield* store.ask(XS_READ, "data/good\0"));
    }, said),
  });
  const plane = await ControlPlane.on(machine);
  plane.prelude = POISON;
  machine.runUntil(() => machine.output.endsWith("typevisor> "), "the prompt");
  machine.devices.type("create --kernel bad --memory 2 --on-poweroff preserve\r");
  machine.runUntil(() => machine.output.includes("domain 1 (bad) has ended: poweroff"), "the guest's end");
  t.deepEqual(said, ["OK\0", "!EIO", "x"]);
  t.is(machine.output.match(/Domain 0 is restarted/g)!.length, 2);
  t.regex(machine.output, /domain 1: a request to the store \(type 2\) ended domain 0 twice: refused with EIO/);
  t.is(machine.exports.audit(), 0);
});
