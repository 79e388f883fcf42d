/** Sysctl devices: domain 0 and the hypervisor together, with guests that follow LightVM's handshake, or do not. */
import test from "ava";
import {
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_send,
  EvtchnBindInterdomain,
  EvtchnSend,
} from "../../../../abi/event-channel.ts";
import { GNTMAP_host_map, GnttabMapGrantRef, GNTTABOP_map_grant_ref } from "../../../../abi/grant-table.ts";
import {
  __HYPERVISOR_devctl,
  Devctl,
  NOXS_SYSCTL_poweroff,
  NOXS_SYSCTL_reboot,
  noxs_watch_none,
  noxs_watch_updated,
  NoxsCtrlHdr,
  NoxsDevPage,
  NoxsDevPageEntry,
  NoxsSysctlCtrlPage,
  XEN_DEVCTL_get,
  XEN_DEVCTL_VERSION,
} from "../../../../abi/io/noxs.ts";
import { SCHEDOP_shutdown, SHUTDOWN_poweroff, SHUTDOWN_reboot } from "../../../../abi/sched.ts";
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_grant_table_op,
  __HYPERVISOR_sched_op,
  DOMID_SELF,
} from "../../../../abi/xen.ts";
import { hypercall, structured, type Steps } from "../../../sim/call.ts";
import type { Machine } from "../../../sim/machine.ts";
import type { GuestCpu, GuestProgram } from "../../../sim/svm-cpu.ts";
import { boot, forever, mapFirst2Mib, typed } from "../guests-on-hypervisor.ts";

/** Where the guest maps the control page. */
const CONTROL = 0x40000;
const REQUEST = 0x9000;
const [INIT_WAIT, CONNECTED, CLOSING, CLOSED, INITIALISING] = [2, 4, 5, 6, 1];

/** The guest's half of the device. */
class Frontend {
  private port = 0;

  constructor(private readonly cpu: GuestCpu) {}

  /** The device's entry in the device page, as LightVM's guests find it. */
  *find(): Steps<{ backend: number; grant: number; port: number }> {
    const { cpu } = this;
    const request = new DataView(new ArrayBuffer(Devctl.SIZE));
    request.setUint32(Devctl.version, XEN_DEVCTL_VERSION, true);
    request.setUint32(Devctl.cmd, XEN_DEVCTL_get, true);
    request.setUint16(Devctl.domain, DOMID_SELF, true);
    cpu.poke(REQUEST, new Uint8Array(request.buffer));
    const result = yield* hypercall(cpu, __HYPERVISOR_devctl, REQUEST);
    if (result !== 0) throw new Error(`devctl: ${result}`);
    const page = cpu.view(cpu.view(REQUEST, Devctl.SIZE).getUint32(Devctl.get_mfn, true), NoxsDevPage.SIZE);
    if (page.getUint32(NoxsDevPage.dev_count, true) !== 1) throw new Error("not one device");
    const word = (at: number) => page.getUint32(NoxsDevPage.devs + at, true);
    if (word(NoxsDevPageEntry.type) !== 1 || word(NoxsDevPageEntry.id) !== 0) throw new Error("not sysctl 0");
    const { be_id, grant, evtchn } = NoxsDevPageEntry;
    return { backend: word(be_id), grant: word(grant), port: word(evtchn) };
  }

  *attach(): Steps<void> {
    const { cpu } = this;
    const entry = yield* this.find();
    const map = yield* structured(
      cpu,
      __HYPERVISOR_grant_table_op,
      GNTTABOP_map_grant_ref,
      GnttabMapGrantRef.SIZE,
      (view) => {
        view.setBigUint64(GnttabMapGrantRef.host_addr, BigInt(CONTROL), true);
        view.setUint32(GnttabMapGrantRef.flags, GNTMAP_host_map, true);
        view.setUint32(GnttabMapGrantRef.ref, entry.grant, true);
        view.setUint16(GnttabMapGrantRef.dom, entry.backend, true);
      },
      1,
    );
    if (map.view.getInt16(GnttabMapGrantRef.status, true) !== 0) throw new Error("the control page cannot be mapped");
    const bind = yield* structured(
      cpu,
      __HYPERVISOR_event_channel_op,
      EVTCHNOP_bind_interdomain,
      EvtchnBindInterdomain.SIZE,
      (view) => {
        view.setUint16(EvtchnBindInterdomain.remote_dom, entry.backend, true);
        view.setUint32(EvtchnBindInterdomain.remote_port, entry.port, true);
      },
    );
    if (bind.result !== 0) throw new Error(`bind: ${bind.result}`);
    this.port = bind.view.getUint32(EvtchnBindInterdomain.local_port, true);
  }

  private get page(): DataView {
    return this.cpu.view(CONTROL, NoxsSysctlCtrlPage.SIZE);
  }

  get request(): number {
    return this.page.getUint8(NoxsSysctlCtrlPage.status);
  }

  take(): void {
    this.page.setUint8(NoxsSysctlCtrlPage.status, 0);
  }

  obeys(bits: number): void {
    this.page.setUint8(NoxsSysctlCtrlPage.fe_feat, bits);
  }

  get state(): number {
    return this.page.getUint32(NoxsCtrlHdr.be_state, true);
  }

  *await(what: string, done: () => boolean): Steps<void> {
    for (let i = 0; !done(); i++) {
      if (i === 5000) throw new Error(`awaited in vain: ${what}`);
      yield { kind: "spin", ns: 100_000 };
    }
  }

  /** Changes its state, without asking for a watch, and waits to be told that the backend's is `wanted`. */
  *change(state: number, wanted: number): Steps<void> {
    this.page.setUint32(NoxsCtrlHdr.fe_watch_state, noxs_watch_none, true);
    this.page.setUint32(NoxsCtrlHdr.fe_state, state, true);
    yield* structured(this.cpu, __HYPERVISOR_event_channel_op, EVTCHNOP_send, EvtchnSend.SIZE, (view) =>
      view.setUint32(EvtchnSend.port, this.port, true),
    );
    const told = () => this.page.getUint32(NoxsCtrlHdr.fe_watch_state, true) === noxs_watch_updated;
    yield* this.await(`state ${wanted}`, () => told() && this.state === wanted);
  }

  *end(reason: number): Steps<void> {
    yield* structured(this.cpu, __HYPERVISOR_sched_op, SCHEDOP_shutdown, 4, (view) => view.setUint32(0, reason, true));
  }
}

/** A guest with a sysctl device and a body of its own. */
function guest(body: (front: Frontend) => Steps<void>): GuestProgram {
  return function* (cpu) {
    yield { kind: "spin", ns: 1000 };
    mapFirst2Mib(cpu);
    const front = new Frontend(cpu);
    yield* body(front);
  };
}

/** Connects as LightVM's Mini-OS does, which first clears the request. */
function* connect(front: Frontend): Steps<void> {
  if (front.state !== INIT_WAIT) throw new Error(`the backend's first state is ${front.state}`);
  front.take();
  yield* front.change(CONNECTED!, CONNECTED!);
}

/** Connects, waits for what it is asked, and does it. */
function* obey(front: Frontend): Steps<void> {
  yield* front.attach();
  yield* serve(front);
}

function* serve(front: Frontend): Steps<void> {
  yield* connect(front);
  for (;;) {
    yield* front.await("a request", () => front.request !== 0);
    const { request } = front;
    front.take();
    yield* front.end(request === NOXS_SYSCTL_reboot ? SHUTDOWN_reboot : SHUTDOWN_poweroff);
  }
}

async function prompt(programs: Record<string, GuestProgram>): Promise<Machine> {
  const machine = await boot("", programs);
  machine.runUntil(() => machine.output.endsWith("typevisor> "), "the prompt");
  return machine;
}

function freePages(machine: Machine): number {
  return Number(/\n(\d+)\r/.exec(typed(machine, "js sysctl.physicalInfo().freePages"))![1]);
}

/** Ends domain 0 as crashed; it is there again. */
function die(machine: Machine): void {
  const from = machine.output.length;
  machine.devices.type("js memory.store32(0xc01ff000, 3), hypercall(29, 2, 0xc01ff000)\r");
  const restarted = /Domain 0 is restarted: [^]*domain 0 was restarted[^]*\ntypevisor> $/;
  machine.runUntil(() => restarted.test(machine.output.slice(from)), "domain 0's restart");
}

test("shutdown and reboot reach a NoXS guest; everything is back when it is gone", async (t) => {
  const machine = await prompt({ g: guest(obey) });
  let free = 0;
  for (let id = 1; id <= 3; id++) {
    typed(machine, "create --kernel g --memory 2 --noxs --name g");
    t.regex(typed(machine, "shutdown g"), /waiting for domain \d \(g\) to shut down\r\n/);
    t.regex(machine.output, new RegExp(`domain ${id} \\(g\\) has ended: poweroff\r\n`));
    typed(machine, "list"); // the domain is gone by then
    if (id === 2) free = freePages(machine);
    if (id === 3) t.is(freePages(machine), free);
    t.is(machine.exports.audit(), 0);
  }
  typed(machine, "create --kernel g --memory 2 --noxs --name g --on-reboot destroy");
  typed(machine, "reboot g");
  t.regex(machine.output, /domain 4 \(g\) has ended: reboot\r\n/);
  t.is(machine.exports.audit(), 0);
});

test("a request made before the guest has connected is kept until it has", async (t) => {
  let go = false;
  const slow = guest(function* (front) {
    yield* front.await("the test", () => go);
    yield* obey(front);
  });
  const machine = await prompt({ slow });
  typed(machine, "create --kernel slow --memory 2 --noxs");
  typed(machine, "shutdown slow --no-wait");
  go = true;
  machine.runUntil(() => machine.output.includes("domain 1 (slow) has ended: poweroff"), "the guest's end");
  t.pass();
});

test("closing and connecting again; the frontend is told of each state without having asked", async (t) => {
  const states: number[] = [];
  const closer = guest(function* (front) {
    yield* front.attach();
    yield* connect(front);
    for (const [state, wanted] of [
      [CLOSING, CLOSING],
      [CLOSED, CLOSED],
      [INITIALISING, INIT_WAIT],
      [CONNECTED, CONNECTED],
      // A kernel that starts over without a word.
      [INITIALISING, INIT_WAIT],
      [CONNECTED, CONNECTED],
    ]) {
      yield* front.change(state!, wanted!);
      states.push(front.state);
    }
    yield* front.await("a request", () => front.request === NOXS_SYSCTL_poweroff);
    yield* front.end(SHUTDOWN_poweroff);
  });
  const machine = await prompt({ closer });
  typed(machine, "create --kernel closer --memory 2 --noxs");
  t.regex(typed(machine, "shutdown closer"), /has ended: poweroff|waiting/);
  t.deepEqual(states, [CLOSING, CLOSED, INIT_WAIT, CONNECTED, INIT_WAIT, CONNECTED]);
});

test("a guest that says what it obeys is not asked for anything else; one without a driver is reported in words", async (t) => {
  const polite = guest(function* (front) {
    yield* front.attach();
    front.obeys(NOXS_SYSCTL_poweroff);
    yield* connect(front);
    yield* forever();
  });
  const machine = await prompt({ polite, deaf: forever });
  typed(machine, "create --kernel polite --memory 2 --noxs");
  typed(machine, "create --kernel deaf --memory 2 --noxs");
  // Asked before it has connected.
  t.regex(
    typed(machine, "reboot polite --timeout 2"),
    /after 2 s: domain 1 \(polite\) does not obey a request to reboot; /,
  );
  t.regex(
    typed(machine, "reboot polite"),
    /reboot: domain 1 \(polite\) does not obey a request to reboot; `destroy 1` ends it\r\n/,
  );
  t.regex(
    typed(machine, "shutdown polite --timeout 2"),
    /after 2 s: domain 1 \(polite\) has been asked by its sysctl device and is still running; `destroy 1`/,
  );
  t.regex(
    typed(machine, "shutdown deaf --timeout 2"),
    /after 2 s: domain 2 \(deaf\) has connected neither its sysctl device nor a driver of the store's that listens; /,
  );
});

test("a guest that closes its device when it is asked, and goes on, is reported so", async (t) => {
  const closer = guest(function* (front) {
    yield* front.attach();
    yield* connect(front);
    yield* front.await("a request", () => front.request !== 0);
    yield* front.change(CLOSING!, CLOSING!);
    yield* front.change(CLOSED!, CLOSED!);
    yield* front.change(INITIALISING!, INIT_WAIT!);
    yield* forever();
  });
  const machine = await prompt({ closer });
  typed(machine, "create --kernel closer --memory 2 --noxs");
  t.regex(
    typed(machine, "shutdown closer --timeout 2"),
    /after 2 s: domain 1 \(closer\) was asked by its sysctl device, has closed it and is still running; `destroy 1`/,
  );
  // The next request waits: there is no device that it was made by.
  t.regex(typed(machine, "shutdown closer --timeout 2"), /after 2 s: domain 1 \(closer\) has connected neither /);
});

test("domain 0 dies after a guest has bound its port, before it was told anything: they find each other", async (t) => {
  let bound = false;
  let go = false;
  const program = guest(function* (front) {
    yield* front.attach();
    bound = true;
    while (!go) yield { kind: "spin", ns: 1_000_000 };
    yield* serve(front);
  });
  const machine = await prompt({ program });
  typed(machine, "create --kernel program --memory 2 --noxs --name slow");
  machine.runUntil(() => bound, "the guest's port");
  for (let i = 0; i < 2; i++) die(machine);
  go = true;
  typed(machine, "shutdown slow");
  t.regex(machine.output, /\(slow\) has ended: poweroff\r\n/);
  t.is(machine.exports.audit(), 0);
});

test("domain 0 dies: connected guests are asked by the same device, others find the new port in their page", async (t) => {
  let go = false;
  const late = guest(function* (front) {
    const before = yield* front.find();
    yield* front.await("the test", () => go);
    const after = yield* front.find();
    t.is(after.grant, before.grant);
    yield* obey(front);
  });
  const machine = await prompt({ early: guest(obey), late });
  typed(machine, "create --kernel early --memory 2 --noxs");
  typed(machine, "create --kernel late --memory 2 --noxs");
  typed(machine, "create --kernel early --memory 2 --noxs --name third");
  for (let i = 0; i < 2; i++) {
    die(machine);
    t.is(machine.exports.audit(), 0);
  }
  // A domain that is destroyed by the next domain 0 leaves its page to another.
  typed(machine, "destroy third");
  typed(machine, "create --kernel early --memory 2 --noxs --name fourth");
  go = true;
  for (const name of ["fourth", "late", "early"]) {
    typed(machine, `shutdown ${name}`);
    t.regex(machine.output, new RegExp(`\\(${name}\\) has ended: poweroff\r\n`));
  }
  t.is(machine.exports.audit(), 0);
});
