/** vCPU state that is not visible to guests: it is separate for each vCPU. */
import test from "ava";
import { EVTCHNOP_bind_ipi, EVTCHNOP_send, EvtchnBindIpi, EvtchnSend } from "../../../abi/event-channel.ts";
import { HVMOP_set_evtchn_upcall_vector, HvmEvtchnUpcallVector } from "../../../abi/hvm.ts";
import { SCHEDOP_yield } from "../../../abi/sched.ts";
import {
  __HYPERVISOR_event_channel_op as EVENTS,
  __HYPERVISOR_hvm_op as HVM,
  __HYPERVISOR_sched_op as SCHED,
} from "../../../abi/xen.ts";
import { hypercall, type Steps } from "../../sim/call.ts";
import { GUEST_CODE } from "../../sim/dom0.ts";
import type { GuestCpu, GuestProgram } from "../../sim/svm-cpu.ts";
import { call, GUEST_FRAMES, Lab, result } from "./lab.ts";

/** A vCPU that shared_info has no place for. */
const VCPU = 40;
const VCPUS = 128;
const VECTOR = 0x50;

test("an event for a vCPU from 32 up that has registered no vcpu_info is nobody else's", async (t) => {
  const lab = await Lab.open();
  const before = lab.free;
  lab.machine.svm.entryNs = 100_000; // slices are then a hundred entries
  lab.dom0.emulation = 0; // the vector is then delivered without a local APIC
  const interrupts = { sender: 0, other: 0 };
  let asked = 0;
  const listen = function* (cpu: GuestCpu, name: keyof typeof interrupts): Steps<void> {
    cpu.handler = () => void interrupts[name]++;
    const values = { vcpu: VCPU, vector: VECTOR };
    t.is(yield* result(cpu, HVM, HVMOP_set_evtchn_upcall_vector, HvmEvtchnUpcallVector, values), 0);
  };
  const programs: GuestProgram[] = [
    function* (cpu) {
      yield* listen(cpu, "other");
      for (; ; asked += interrupts.sender > 0 ? 1 : 0) yield* hypercall(cpu, SCHED, SCHEDOP_yield, 0);
    },
    function* (cpu) {
      yield* listen(cpu, "sender");
      const { result: rc, view } = yield* call(cpu, EVENTS, EVTCHNOP_bind_ipi, EvtchnBindIpi, { vcpu: VCPU });
      t.is(rc, 0);
      // From here on it is interrupted again and again: it cannot clear a flag that it does not see.
      yield* result(cpu, EVENTS, EVTCHNOP_send, EvtchnSend, { port: view.getUint32(EvtchnBindIpi.port, true) });
    },
  ];
  const [other, sender] = programs.map((program) => lab.dom0.build(program, GUEST_FRAMES, VCPUS)) as [number, number];
  for (const id of [other, sender]) {
    t.is(lab.dom0.setContext(id, GUEST_CODE, VCPU), 0);
    t.is(lab.dom0.unpause(id), 0);
  }
  lab.machine.runUntil(() => asked > 20, "the other guest's turns after the event");
  t.true(interrupts.sender > 0, "its own event interrupts it");
  t.is(interrupts.other, 0, "an interrupt of another domain's event");
  lab.audit(t);
  lab.destroy(other, sender);
  t.is(lab.free, before);
});
