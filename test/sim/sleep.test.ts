/**
 * Guests that sleep in every way there is, with timers so near that the host's interrupt often comes just before they sleep:
 * especially between STI and HLT. A guest that misses its wake-up sleeps forever.
 */
import test from "ava";
import { EVTCHNOP_bind_virq, EvtchnBindVirq } from "../../abi/event-channel.ts";
import { HVM_PARAM_CALLBACK_IRQ, HVM_PARAM_CALLBACK_TYPE_VECTOR, HVMOP_set_param, HvmParam } from "../../abi/hvm.ts";
import { XENMAPSPACE_shared_info } from "../../abi/memory.ts";
import { SCHEDOP_block, SCHEDOP_poll, SchedPoll } from "../../abi/sched.ts";
import { VCPUOP_set_singleshot_timer, VcpuSetSingleshotTimer } from "../../abi/vcpu.ts";
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_hvm_op,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_vcpu_op,
  DOMID_SELF,
  SharedInfo,
  VcpuInfo,
} from "../../abi/xen.ts";
import {
  addToPhysmap,
  ARGUMENT_GFN,
  expect,
  hypercall,
  SHARED_INFO_GFN,
  structured,
  systemTime,
  type Steps,
} from "./call.ts";
import { Dom0 } from "./dom0.ts";
import { Machine } from "./machine.ts";
import { hypervisorModule } from "./module.ts";
import { PAGE } from "./ram.ts";
import type { GuestCpu, GuestProgram } from "./svm-cpu.ts";

const VECTOR = 0xf3;
const GUESTS = 20;
const WAKES = 200;

type Sleep = (cpu: GuestCpu, wake: bigint) => Steps<void>;

const WAYS: Record<string, Sleep> = {
  *"STI; HLT"(cpu) {
    cpu.enableInterrupts();
    yield { kind: "halt" };
  },
  *"STI; SCHEDOP_block"(cpu) {
    cpu.enableInterrupts();
    yield* hypercall(cpu, __HYPERVISOR_sched_op, SCHEDOP_block, 0);
  },
  *"SCHEDOP_poll with a timeout"(cpu, wake) {
    const poll = new DataView(new ArrayBuffer(SchedPoll.SIZE));
    poll.setBigUint64(SchedPoll.timeout, wake, true);
    cpu.poke(ARGUMENT_GFN * PAGE, new Uint8Array(poll.buffer));
    yield* hypercall(cpu, __HYPERVISOR_sched_op, SCHEDOP_poll, ARGUMENT_GFN * PAGE);
    cpu.interruptsOn = true;
  },
  *"SCHEDOP_poll of the timer's port"(cpu) {
    const ports = ARGUMENT_GFN * PAGE + SchedPoll.SIZE;
    const poll = new DataView(new ArrayBuffer(SchedPoll.SIZE + 4));
    poll.setBigUint64(SchedPoll.ports, BigInt(ports), true);
    poll.setUint32(SchedPoll.nr_ports, 1, true);
    poll.setUint32(SchedPoll.SIZE, 1, true);
    cpu.poke(ARGUMENT_GFN * PAGE, new Uint8Array(poll.buffer));
    yield* hypercall(cpu, __HYPERVISOR_sched_op, SCHEDOP_poll, ARGUMENT_GFN * PAGE);
    cpu.interruptsOn = true;
  },
};

/** Sleeps WAKES times; `awake` counts. The timers' distances go through all from one hypercall's time to some of them. */
function sleeper(sleep: Sleep, id: number, awake: number[]): GuestProgram {
  return function* (cpu: GuestCpu) {
    yield* addToPhysmap(cpu, XENMAPSPACE_shared_info, SHARED_INFO_GFN);
    const bound = yield* structured(
      cpu,
      __HYPERVISOR_event_channel_op,
      EVTCHNOP_bind_virq,
      EvtchnBindVirq.SIZE,
      () => {},
    );
    expect(bound.result, 0, "EVTCHNOP_bind_virq");
    expect(bound.view.getUint32(EvtchnBindVirq.port, true), 1, "the timer's port");
    const callback = yield* structured(cpu, __HYPERVISOR_hvm_op, HVMOP_set_param, HvmParam.SIZE, (v) => {
      v.setUint16(HvmParam.domid, DOMID_SELF, true);
      v.setUint32(HvmParam.index, HVM_PARAM_CALLBACK_IRQ, true);
      v.setBigUint64(HvmParam.value, (BigInt(HVM_PARAM_CALLBACK_TYPE_VECTOR) << 56n) | BigInt(VECTOR), true);
    });
    expect(callback.result, 0, "HVMOP_set_param");
    cpu.handler = () => {
      const shared = cpu.view(SHARED_INFO_GFN * PAGE, PAGE);
      shared.setUint8(VcpuInfo.evtchn_upcall_pending, 0);
      shared.setBigUint64(VcpuInfo.evtchn_pending_sel, 0n, true);
      shared.setBigUint64(SharedInfo.evtchn_pending, 0n, true);
    };
    for (; awake[id]! < WAKES; awake[id]!++) {
      cpu.interruptsOn = false;
      const wake = systemTime(cpu.tsc, cpu.view(SHARED_INFO_GFN * PAGE, PAGE)) + BigInt(300 + 37 * awake[id]!);
      const timer = new DataView(new ArrayBuffer(VcpuSetSingleshotTimer.SIZE));
      timer.setBigUint64(VcpuSetSingleshotTimer.timeout_abs_ns, wake, true);
      cpu.poke(ARGUMENT_GFN * PAGE, new Uint8Array(timer.buffer));
      yield* hypercall(cpu, __HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, ARGUMENT_GFN * PAGE);
      yield* sleep(cpu, wake);
    }
    for (;;) yield { kind: "spin", ns: 1_000_000 };
  };
}

for (const [way, sleep] of Object.entries(WAYS)) {
  for (const guests of [1, GUESTS]) {
    test(`${guests} guests sleep by ${way} and all wake each time`, async (t) => {
      const machine = new Machine(await hypervisorModule(), { memory: 32 });
      const dom0 = new Dom0(machine);
      const awake = Array<number>(guests).fill(0);
      for (let id = 0; id < guests; id++) dom0.unpause(dom0.build(sleeper(sleep, id, awake), 48));
      const end = machine.now + 2_000_000_000;
      const done = () => awake.every((n) => n === WAKES);
      while (!done() && machine.now < end) machine.step();
      t.deepEqual(awake, Array<number>(guests).fill(WAKES));
      t.is(machine.exports.audit(), 0);
    });
  }
}
