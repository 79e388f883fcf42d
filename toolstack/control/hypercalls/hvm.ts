/** hvm_op: a guest's HVM parameters, and the time. */
import { HVMOP_get_param, HVMOP_get_time, HVMOP_set_param, HvmGetTime, HvmParam } from "../../../abi/hvm.ts";
import { __HYPERVISOR_hvm_op } from "../../../abi/xen.ts";
import { checked, hypercall } from "../hypercall.ts";
import { reserveScratch } from "../scratch.ts";
import { number64 } from "../window.ts";

const DOMID = HvmParam.domid / 4;
const INDEX = HvmParam.index / 4;
const VALUE = HvmParam.value / 4;
const NOW = HvmGetTime.now / 4;

const buffer = reserveScratch(HvmParam.SIZE);

/** Sets HVM_PARAM_* `index` to a value below 2^32. */
export function setHvmParam(domain: number, index: number, value: number): void {
  const { words } = buffer;
  words[DOMID] = domain;
  words[INDEX] = index;
  words[VALUE] = value;
  words[VALUE + 1] = 0;
  checked("HVMOP_set_param", hypercall(__HYPERVISOR_hvm_op, HVMOP_set_param, buffer.address));
}

export function getHvmParam(domain: number, index: number): number {
  const { words } = buffer;
  words[DOMID] = domain;
  words[INDEX] = index;
  checked("HVMOP_get_param", hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, buffer.address));
  return number64(words, VALUE);
}

/** System time in ns, exactly now. */
export function guestTime(): number {
  checked("HVMOP_get_time", hypercall(__HYPERVISOR_hvm_op, HVMOP_get_time, buffer.address));
  return number64(buffer.words, NOW);
}
