/** Many domains: found by id, listed in order, and their shutdowns reported one by one without a walk over all of them. */
import test from "ava";
import { Domctl, XEN_DOMCTL_createdomain, XEN_DOMCTL_getdomaininfo } from "../../../abi/domctl.ts";
import * as domctl from "../../../abi/domctl.ts";
import {
  DomctlGetDomainState,
  XEN_DOMCTL_get_domain_state,
  XEN_DOMCTL_GETDOMSTATE_STATE_DEAD,
  XEN_DOMCTL_GETDOMSTATE_STATE_DYING,
  XEN_DOMCTL_GETDOMSTATE_STATE_EXIST,
  XEN_DOMCTL_GETDOMSTATE_STATE_SHUTDOWN,
} from "../../../abi/domain-state.ts";
import { EACCES, EINVAL, ENOENT, EPERM, ESRCH } from "../../../abi/errno.ts";
import { EVTCHNOP_bind_virq, EvtchnBindVirq } from "../../../abi/event-channel.ts";
import { SCHEDOP_shutdown, SHUTDOWN_poweroff, SchedShutdown } from "../../../abi/sched.ts";
import { Sysctl, SysctlGetdomaininfolist, XEN_SYSCTL_getdomaininfolist } from "../../../abi/sysctl.ts";
import { DOM0_SCRATCH } from "../../../abi/domain0-layout.ts";
import {
  __HYPERVISOR_domctl,
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_sched_op,
  DOMID_FIRST_RESERVED,
  DOMID_INVALID,
  VIRQ_DOM_EXC,
} from "../../../abi/xen.ts";
import { structured } from "../../sim/call.ts";
import { Random } from "../../sim/random.ts";
import { GUEST_FRAMES, Lab, put } from "./lab.ts";

let lab: Lab;
test.beforeEach(async () => {
  lab = await Lab.open();
});

/** An empty domain of that id; 0 for the next free one. Its id, or a negative errno. */
function create(wanted = 0): number {
  const { result, view } = lab.dom0.domctl(XEN_DOMCTL_createdomain, wanted, (v, u) =>
    put(
      v,
      domctl.DomctlCreatedomain,
      {
        flags: domctl.XEN_DOMCTL_CDF_hvm | domctl.XEN_DOMCTL_CDF_hap,
        max_vcpus: 1,
        max_evtchn_port: 1023,
        max_grant_frames: 4,
        max_maptrack_frames: 4,
        grant_opts: 1,
      },
      u,
    ),
  );
  return result < 0 ? result : view.getUint16(Domctl.domain, true);
}

/** Ids of all domains from `first` on, as getdomaininfolist tells them: `room` at most. */
function listed(first = 0, room = 100): number[] {
  const at = DOM0_SCRATCH + 0x20000;
  const { result, view } = lab.sysctl(XEN_SYSCTL_getdomaininfolist, (v, u) =>
    put(v, SysctlGetdomaininfolist, { first_domain: first, max_domains: room, buffer: at }, u),
  );
  if (result !== 0) throw new Error(`getdomaininfolist returned ${result}`);
  const count = view.getUint32(Sysctl.u + SysctlGetdomaininfolist.num_domains, true);
  return Array.from({ length: count }, (_, i) => {
    const { SIZE, domain } = domctl.DomctlGetdomaininfo;
    const bytes = lab.dom0.read(at + i * SIZE, SIZE);
    return new DataView(bytes.buffer).getUint16(domain, true);
  });
}

interface Told {
  result: number;
  id: number;
  state: number;
  unique: bigint;
}

function state(domain: number, change: (view: DataView) => void = () => {}): Told {
  const { result, view } = lab.dom0.structured(__HYPERVISOR_domctl, null, Domctl.SIZE, (v) => {
    put(v, Domctl, { cmd: XEN_DOMCTL_get_domain_state, domain });
    change(v);
  });
  return {
    result,
    id: view.getUint16(Domctl.domain, true),
    state: view.getUint16(Domctl.u + DomctlGetDomainState.state, true),
    unique: view.getBigUint64(Domctl.u + DomctlGetDomainState.unique_id, true),
  };
}

/** All domains changed since the last call, ids in the order they are reported. */
function changes(): { id: number; state: number }[] {
  const all: { id: number; state: number }[] = [];
  for (;;) {
    const { result, id, state: found } = state(DOMID_INVALID);
    if (result === -ENOENT) return all;
    if (result !== 0) throw new Error(`get_domain_state returned ${result}`);
    all.push({ id, state: found });
  }
}

test.serial("ids at every edge of the tables: in order, found, and found from below", (t) => {
  const ids = [1, 2, 63, 64, 65, 127, 128, 4095, 4096, 4097, 8191, 8192, 12345, 28671, 28672, 32750, 32751];
  listed(); // domain 0's buffer comes at first use
  const before = lab.free;
  const random = new Random(7);
  const there = new Set<number>([0]);
  const check = (): void => {
    const sorted = [...there].sort((a, b) => a - b);
    t.deepEqual(listed(), sorted);
    for (const from of [...ids, 3, 66, 5000, 20000].flatMap((id) => [id, id + 1])) {
      const above = sorted.filter((id) => id >= from);
      if (from >= DOMID_FIRST_RESERVED) continue;
      t.deepEqual(listed(from, 3), above.slice(0, 3), `from ${from}`);
      const { result, view } = lab.dom0.domctl(XEN_DOMCTL_getdomaininfo, from);
      t.is(result, above.length > 0 ? 0 : -ESRCH);
      if (above.length > 0) t.is(view.getUint16(Domctl.domain, true), above[0]);
    }
  };
  for (let round = 0; round < 120; round++) {
    const id = random.pick(ids);
    if (there.has(id)) {
      t.is(lab.dom0.destroy(id), 0);
      lab.machine.step(1);
      there.delete(id);
    } else {
      t.is(create(id), id);
      there.add(id);
    }
    if (round % 10 === 0) check();
  }
  for (const id of there) if (id !== 0) lab.dom0.destroy(id);
  lab.machine.step(1);
  t.deepEqual(listed(), [0]);
  lab.audit(t);
  t.is(lab.free, before, "every frame is back");
});

test.serial("ids are given out in turn, past those in use, and begin again behind the last", (t) => {
  const first = create();
  t.is(create(), first + 1);
  t.is(create(first + 3), first + 3);
  t.is(create(), first + 2);
  t.is(create(), first + 4, "the next one is in use");
  t.is(lab.dom0.destroy(first), 0);
  lab.machine.step(1);
  t.is(create(), first + 5, "the one given back is not given out at once");
  // As if thousands had been made since: the last id is free, then the lowest that is.
  t.is(create(DOMID_FIRST_RESERVED - 1), DOMID_FIRST_RESERVED - 1);
  for (let made = create(); made !== 1; made = create()) {
    if (made < 0) throw new Error(`createdomain returned ${made}`);
    lab.dom0.destroy(made);
    lab.machine.step(1);
  }
  t.pass();
});

test.serial("who has shut down and who has gone is told once each, the others are not looked at", (t) => {
  changes();
  t.deepEqual(changes(), []);
  const ending = lab.dom0.build(function* (cpu) {
    yield* structured(cpu, __HYPERVISOR_sched_op, SCHEDOP_shutdown, SchedShutdown.SIZE, (v) =>
      v.setUint32(0, SHUTDOWN_poweroff, true),
    );
  }, GUEST_FRAMES);
  const others = [create(), create(), create()];
  t.deepEqual(changes(), []);
  lab.dom0.unpause(ending);
  lab.machine.runUntil(() => (lab.dom0.info(ending).flags & domctl.XEN_DOMINF_shutdown) !== 0, "its shutdown");
  const { XEN_DOMINF_shutdown } = domctl;
  t.truthy(lab.dom0.info(ending).flags & XEN_DOMINF_shutdown);
  const down = XEN_DOMCTL_GETDOMSTATE_STATE_EXIST | XEN_DOMCTL_GETDOMSTATE_STATE_SHUTDOWN;
  t.deepEqual(changes(), [{ id: ending, state: down }]);
  t.deepEqual(changes(), [], "told once");
  t.is(state(ending).state, down, "asked by name, as often as one likes");

  // One of its frames is mapped by domain 0: it remains until that is unmapped.
  const mapped = lab.dom0.mapForeign(ending, 20);
  t.true(mapped > 0);
  t.is(lab.dom0.destroy(ending), 0);
  lab.machine.step(1);
  t.deepEqual(changes(), []);
  t.is(state(ending).state, down | XEN_DOMCTL_GETDOMSTATE_STATE_DYING | XEN_DOMCTL_GETDOMSTATE_STATE_DEAD);
  t.is(lab.dom0.unmapForeign(mapped), 0);
  t.is(lab.dom0.destroy(others[1]!), 0);
  lab.machine.step(1);
  t.deepEqual(
    changes(),
    [ending, others[1]!].map((id) => ({ id, state: 0 })),
  );
  t.is(state(ending).result, -ESRCH);
  const unique = [others[0]!, others[2]!, 0].map((id) => state(id).unique);
  t.is(new Set(unique).size, 3);
  lab.destroy(others[0]!, others[2]!);
  lab.audit(t);
});

test.serial("get_domain_state: its interface version, its padding, who may ask", (t) => {
  changes();
  const gone = create();
  lab.destroy(gone);
  const { XEN_DOMCTL_INTERFACE_VERSION } = domctl;
  const version = (v: DataView) => v.setUint32(Domctl.interface_version, XEN_DOMCTL_INTERFACE_VERSION, true);
  t.is(state(DOMID_INVALID, version).result, -EACCES, "the version of the others");
  for (const [offset, width] of [
    [DomctlGetDomainState.pad0, 2],
    [DomctlGetDomainState.pad1, 4],
  ] as const) {
    t.is(state(DOMID_INVALID, (v) => v.setUint8(Domctl.u + offset + width - 1, 1)).result, -EINVAL);
  }
  lab.run(t, function* (cpu) {
    for (const domain of [DOMID_INVALID, 0]) {
      cpu.poke(0x8000, new Uint8Array(Domctl.SIZE));
      const view = cpu.view(0x8000, Domctl.SIZE);
      put(view, Domctl, { cmd: XEN_DOMCTL_get_domain_state, domain });
      const rax = yield { kind: "hypercall", op: __HYPERVISOR_domctl, args: [0x8000] };
      t.is(Number(BigInt.asIntN(64, rax)), -EPERM);
    }
  });
  t.deepEqual(changes()[0], { id: gone, state: 0 }, "none of that has made it forgotten");
  // A domain that binds VIRQ_DOM_EXC gets a report of all existing domains first.
  const { result } = lab.dom0.structured(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, EvtchnBindVirq.SIZE, (v) =>
    put(v, EvtchnBindVirq, { virq: VIRQ_DOM_EXC, vcpu: 0 }),
  );
  t.is(result, 0);
  t.deepEqual(changes(), [{ id: 0, state: XEN_DOMCTL_GETDOMSTATE_STATE_EXIST }]);
});
