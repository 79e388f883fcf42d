/** hvm_op: a guest's HVM parameters, and the time. */
import { HVMOP_get_param, HVMOP_get_time, HVMOP_set_param, HvmGetTime, HvmParam } from "../../../abi/hvm.ts";
import { __HYPERVISOR_hvm_op } from "../../../abi/xen.ts";
import { memory } from "../host.ts";
import { checked, hypercall } from "../hypercall.ts";
import { reserveScratch } from "../scratch.ts";
import { load64, store64 } from "../window.ts";

const buffer = reserveScratch(HvmParam.SIZE);

function fill(domain: number, index: number, value: number): void {
  memory.store16(buffer + HvmParam.domid, domain);
  memory.store32(buffer + HvmParam.index, index);
  store64(memory, buffer + HvmParam.value, value);
}

/** Sets HVM_PARAM_* `index`. */
export function setHvmParam(domain: number, index: number, value: number): void {
  fill(domain, index, value);
  checked("HVMOP_set_param", hypercall(__HYPERVISOR_hvm_op, HVMOP_set_param, buffer));
}

export function getHvmParam(domain: number, index: number): number {
  fill(domain, index, 0);
  checked("HVMOP_get_param", hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, buffer));
  return load64(memory, buffer + HvmParam.value);
}

/** System time in ns, exactly now. */
export function guestTime(): number {
  checked("HVMOP_get_time", hypercall(__HYPERVISOR_hvm_op, HVMOP_get_time, buffer));
  return load64(memory, buffer + HvmGetTime.now);
}
