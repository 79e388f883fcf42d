/** Storage of a hardware-virtualised domain's parameters (xen/hvm/params.h). hypercalls/hvm-op.ts checks access. */
import { Domain } from "../records/domain";
import { heapAllocFor, heapFreeFor } from "../memory/heap";
import { ENOMEM } from "../../abi/errno";
import { HVM_PARAM_TRIPLE_FAULT_REASON, HVM_PARAM_CALLBACK_IRQ, HVM_PARAM_CALLBACK_TYPE_VECTOR } from "../../abi/hvm";
import { SHUTDOWN_reboot } from "../../abi/sched";

const PARAMS_BYTES: usize = 64 * 8;

/** Allocates a new domain's table of parameters, with Xen's initial values. 0 or -ENOMEM. */
export function hvmParamsInit(d: Domain): i32 {
  d.hvmParams = heapAllocFor(d, PARAMS_BYTES);
  if (!d.hvmParams) return -ENOMEM;
  hvmParamSet(d, HVM_PARAM_TRIPLE_FAULT_REASON, SHUTDOWN_reboot);
  return 0;
}

/** Undoes it. May be called again. */
export function hvmParamsFree(d: Domain): void {
  heapFreeFor(d, d.hvmParams, PARAMS_BYTES);
  d.hvmParams = 0;
}

/** Value of HVM_PARAM_* `index`. */
export function hvmParam(d: Domain, index: u32): u64 {
  return d.hvmParams ? load<u64>(d.hvmParams + ((<usize>index) << 3)) : 0;
}

/** Sets HVM_PARAM_* `index`, unchecked; the domain has its table. */
export function hvmParamSet(d: Domain, index: u32, value: u64): void {
  store<u64>(d.hvmParams + ((<usize>index) << 3), value);
}

/** Vector by which event upcalls reach a domain's vCPUs (HVM_PARAM_CALLBACK_IRQ of type vector); 0 none. */
export function hvmCallbackVector(d: Domain): u32 {
  const via = hvmParam(d, HVM_PARAM_CALLBACK_IRQ);
  return <u32>(via >> 56) == HVM_PARAM_CALLBACK_TYPE_VECTOR ? (<u32>via) & 0xff : 0;
}
