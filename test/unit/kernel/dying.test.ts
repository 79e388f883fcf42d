/** A domain whose destruction has begun: it never runs again, and a restarted domain 0 can finish the work. */
import test from "ava";
import * as domctl from "../../../abi/domctl.ts";
import { EVTCHNOP_bind_virq, EvtchnBindVirq } from "../../../abi/event-channel.ts";
import { EINVAL } from "../../../abi/errno.ts";
import {
  SCHEDOP_shutdown,
  SCHEDOP_yield,
  SchedShutdown,
  SHUTDOWN_crash,
  SHUTDOWN_suspend,
} from "../../../abi/sched.ts";
import { CallPage, SOFTWARE_EXIT_HYPERCALL } from "../../../abi/software.ts";
import { DOM0_CALL_PAGE, DOM0_SCRATCH } from "../../../abi/domain0-layout.ts";
import {
  __HYPERVISOR_domctl as DOMCTL,
  __HYPERVISOR_event_channel_op as EVENTS,
  __HYPERVISOR_sched_op as SCHED,
  VIRQ_DOM_EXC,
} from "../../../abi/xen.ts";
import { hypercall, structured } from "../../sim/call.ts";
import { Lab } from "./lab.ts";

/** More than one piece of a destroy gives back. */
const FRAMES = 6 * 1024;
const BUFFER = DOM0_SCRATCH + 0x20000;

test("domain 0 is restarted in the middle of a destroy: the rest is done afterwards, nothing revives the domain", async (t) => {
  const lab = await Lab.open();
  const { dom0, machine } = lab;
  let turns = 0;
  const id = dom0.build(function* (cpu) {
    yield* structured(cpu, SCHED, SCHEDOP_shutdown, SchedShutdown.SIZE, (v) => {
      v.setUint32(SchedShutdown.reason, SHUTDOWN_suspend, true);
    });
    for (; ; turns++) yield* hypercall(cpu, SCHED, SCHEDOP_yield, 0);
  });
  t.is(dom0.maxMem(id, FRAMES + 256), 0);
  for (let gfn = 0x200; gfn < 0x200 + FRAMES; gfn += 512) {
    t.is(
      dom0.populate(
        id,
        Array.from({ length: 512 }, (_, i) => gfn + i),
      ),
      512,
    );
  }
  // The event that tells of the shutdown also keeps domain 0, which takes no notice of it, from sleeping.
  dom0.structured(EVENTS, EVTCHNOP_bind_virq, EvtchnBindVirq.SIZE, (v) => {
    v.setUint32(EvtchnBindVirq.virq, VIRQ_DOM_EXC, true);
  });
  t.is(dom0.unpause(id), 0);
  machine.runUntil(() => (dom0.info(id).flags & domctl.XEN_DOMINF_shutdown) !== 0, "the guest's shutdown");

  const { free } = lab;
  // Destroydomain through the loop, as domain 0 makes it: it gives way after its first piece.
  const call = new DataView(new ArrayBuffer(56));
  call.setBigUint64(CallPage.op, BigInt(DOMCTL), true);
  call.setBigUint64(CallPage.args, BigInt(BUFFER), true);
  const structure = new DataView(new ArrayBuffer(domctl.Domctl.SIZE));
  structure.setUint32(domctl.Domctl.cmd, domctl.XEN_DOMCTL_destroydomain, true);
  structure.setUint32(domctl.Domctl.interface_version, domctl.XEN_DOMCTL_INTERFACE_VERSION, true);
  structure.setUint16(domctl.Domctl.domain, id, true);
  dom0.write(BUFFER, new Uint8Array(structure.buffer));
  dom0.write(DOM0_CALL_PAGE, new Uint8Array(call.buffer));
  const inner = machine as unknown as { enterSoftware: (info: number) => number };
  const enter = inner.enterSoftware.bind(machine);
  inner.enterSoftware = () => SOFTWARE_EXIT_HYPERCALL;
  machine.step(1);
  inner.enterSoftware = enter;
  dom0.structured(SCHED, SCHEDOP_shutdown, SchedShutdown.SIZE, (v) => {
    v.setUint32(SchedShutdown.reason, SHUTDOWN_crash, true);
  });
  machine.runUntil(() => machine.output.includes("is restarted"), "the restart of domain 0");
  machine.step(2);
  t.true(lab.free > free && lab.free < free + FRAMES, "the destroy was half done");
  t.not(dom0.info(id).flags & domctl.XEN_DOMINF_dying, 0, "it is shown as dying");
  t.is(dom0.domctl(domctl.XEN_DOMCTL_resumedomain, id).result, -EINVAL);
  t.is(dom0.unpause(id), -EINVAL);
  machine.step(20);
  t.is(turns, 0, "it has not run");
  lab.destroy(id);
  t.is(dom0.info(id).result < 0 || dom0.info(id).view.getUint16(domctl.Domctl.domain, true) !== id, true);
  lab.audit(t);
});
