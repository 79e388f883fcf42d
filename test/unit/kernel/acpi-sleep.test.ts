/** ACPI's S3 of a guest: which write takes it there, what is seen of it from outside, and how it wakes. */
import test from "ava";
import {
  ACPI_SLEEP_CONTROL_PORT,
  ACPI_SLEEP_ENABLE,
  ACPI_SLEEP_STATUS_PORT,
  ACPI_SLEEP_TYPE_S3,
  ACPI_SLEEP_TYPE_SHIFT,
  ACPI_WAKE_STATUS,
} from "../../../abi/acpi-sleep.ts";
import {
  XEN_DOMCTL_resumedomain,
  XEN_DOMINF_shutdown,
  XEN_DOMINF_shutdownmask,
  XEN_DOMINF_shutdownshift,
} from "../../../abi/domctl.ts";
import { EINVAL, EPERM } from "../../../abi/errno.ts";
import { HVM_PARAM_ACPI_S_STATE, HVMOP_get_param, HVMOP_set_param, HvmParam } from "../../../abi/hvm.ts";
import {
  SCHEDOP_shutdown_code,
  SCHEDOP_yield,
  SchedShutdown,
  SHUTDOWN_reboot,
  SHUTDOWN_suspend,
} from "../../../abi/sched.ts";
import { __HYPERVISOR_hvm_op as HVM, __HYPERVISOR_sched_op as SCHED, DOMID_SELF } from "../../../abi/xen.ts";
import type { Steps } from "../../sim/call.ts";
import { GUEST_CODE } from "../../sim/dom0.ts";
import { GUEST_FRAMES, Lab, put, result } from "./lab.ts";

const GO = ACPI_SLEEP_ENABLE | (ACPI_SLEEP_TYPE_S3 << ACPI_SLEEP_TYPE_SHIFT);
/** RAX around the byte that is written. */
const REST = 0x1122_3344_5566_7700n;
/** EXITINFO1 of IN and OUT (APM 2, 15.10.2). */
const IN = 1n;
const EXIT_IO = 0x7b;

let lab: Lab;
test.before(async () => {
  lab = await Lab.open();
});

/** IN or OUT of `size` bytes; RAX afterwards. */
function* port(number: number, direction: bigint, rax: bigint, size = 1): Steps<bigint> {
  const info1 = (BigInt(number) << 16n) | (BigInt(size) << 4n) | direction;
  return yield { kind: "exit", code: EXIT_IO, info1, info2: BigInt(GUEST_CODE + 0x62), rax };
}
function* sleep(): Steps<bigint> {
  return yield* port(ACPI_SLEEP_CONTROL_PORT, 0n, REST | BigInt(GO));
}
function* rest(): Steps<void> {
  for (;;) yield { kind: "hypercall", op: SCHED, args: [SCHEDOP_yield, 0] };
}

function state(domid: number): number {
  const { result: rc, view } = lab.dom0.structured(HVM, HVMOP_get_param, HvmParam.SIZE, (v) => {
    put(v, HvmParam, { domid, index: HVM_PARAM_ACPI_S_STATE });
  });
  return rc < 0 ? rc : Number(view.getBigUint64(HvmParam.value, true));
}
function setState(domid: number, value: number): number {
  return lab.dom0.structured(HVM, HVMOP_set_param, HvmParam.SIZE, (v) => {
    put(v, HvmParam, { domid, index: HVM_PARAM_ACPI_S_STATE, value });
  }).result;
}
/** Its shutdown reason; null while it runs. */
function reason(id: number): number | null {
  const { flags } = lab.dom0.info(id);
  return (flags & XEN_DOMINF_shutdown) === 0 ? null : (flags >>> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask;
}

test.serial("it sleeps, is shut down with the reason suspend meanwhile, and goes on behind its write", (t) => {
  const { dom0, machine } = lab;
  const woken: bigint[] = [];
  let status = 0n;
  const id = dom0.build(function* () {
    for (;;) {
      woken.push(yield* sleep());
      status = yield* port(ACPI_SLEEP_STATUS_PORT, IN, 0n);
    }
  }, GUEST_FRAMES);
  t.is(state(id), 0);
  t.is(dom0.unpause(id), 0);
  const wakes = [() => setState(id, 0), () => dom0.domctl(XEN_DOMCTL_resumedomain, id).result];
  for (const [i, wake] of wakes.entries()) {
    machine.runUntil(() => reason(id) !== null, "the guest's sleep");
    t.is(reason(id), SHUTDOWN_suspend);
    t.is(state(id), 3);
    machine.step(50);
    t.is(woken.length, i, "it does not run");
    t.is(setState(id, 3), -EINVAL);
    t.is(state(id), 3);
    t.is(wake(), 0);
    t.is(reason(id), null);
    t.is(state(id), 0);
    machine.runUntil(() => woken.length > i, "the guest to go on");
  }
  t.deepEqual(woken, [REST | BigInt(GO), REST | BigInt(GO)], "nothing of RAX is lost");
  t.not(Number(status) & ACPI_WAKE_STATUS, 0);
  lab.destroy(id);
  lab.audit(t);
});

test.serial("no other write does it, and who is awake is not touched by a wake-up", (t) => {
  const { dom0, machine } = lab;
  let done = false;
  const id = dom0.build(function* (cpu) {
    yield* port(ACPI_SLEEP_CONTROL_PORT, 0n, BigInt(GO & ~ACPI_SLEEP_ENABLE));
    for (let type = 0; type < 8; type++) {
      if (type === ACPI_SLEEP_TYPE_S3) continue;
      yield* port(ACPI_SLEEP_CONTROL_PORT, 0n, BigInt(ACPI_SLEEP_ENABLE | (type << ACPI_SLEEP_TYPE_SHIFT)));
    }
    yield* port(ACPI_SLEEP_CONTROL_PORT, 0n, BigInt(GO), 2);
    yield* port(ACPI_SLEEP_STATUS_PORT, 0n, BigInt(GO));
    yield* port(ACPI_SLEEP_CONTROL_PORT, IN, BigInt(GO));
    // The toolstack's alone.
    const own = { domid: DOMID_SELF, index: HVM_PARAM_ACPI_S_STATE };
    t.is(yield* result(cpu, HVM, HVMOP_get_param, HvmParam, own), -EPERM);
    t.is(yield* result(cpu, HVM, HVMOP_set_param, HvmParam, own), -EPERM);
    done = true;
    yield* rest();
  }, GUEST_FRAMES);
  t.is(dom0.unpause(id), 0);
  machine.runUntil(() => done, "all that the guest writes");
  t.is(reason(id), null);
  t.is(state(id), 0);
  t.is(setState(id, 0), 0);
  t.is(reason(id), null);
  lab.destroy(id);
  lab.audit(t);
});

test.serial("a reason latched before is the one it ends with, and a wake-up does not undo that end", (t) => {
  const { dom0, machine } = lab;
  const id = dom0.build(function* (cpu) {
    yield* result(cpu, SCHED, SCHEDOP_shutdown_code, SchedShutdown, { reason: SHUTDOWN_reboot });
    yield* sleep();
    yield* rest();
  }, GUEST_FRAMES);
  t.is(dom0.unpause(id), 0);
  machine.runUntil(() => reason(id) !== null, "the guest's end");
  t.is(reason(id), SHUTDOWN_reboot);
  t.is(state(id), 0);
  t.is(setState(id, 0), 0);
  t.is(reason(id), SHUTDOWN_reboot);
  lab.destroy(id);
  lab.audit(t);
});
