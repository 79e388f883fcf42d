/** Which hypercalls of the fake machine can be made to fail for want of something. */
import {
  XEN_DOMCTL_createdomain,
  XEN_DOMCTL_max_mem,
  XEN_DOMCTL_max_vcpus,
  XEN_DOMCTL_setdomainhandle,
  XEN_DOMCTL_sethvmcontext,
} from "../../../abi/domctl.ts";
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_expand_array,
} from "../../../abi/event-channel.ts";
import { HVMOP_get_param, HVMOP_set_param } from "../../../abi/hvm.ts";
import { XENMEM_add_to_physmap_batch, XENMEM_populate_physmap, XENMEM_set_memory_map } from "../../../abi/memory.ts";
import {
  __HYPERVISOR_domctl,
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_hvm_op,
  __HYPERVISOR_memory_op,
} from "../../../abi/xen.ts";

/** Hypercalls that take memory, ports or whatever else there may be none left of: their sub-operations. */
export const TAKING = new Map<number, Set<number>>([
  [
    __HYPERVISOR_domctl,
    new Set([
      XEN_DOMCTL_createdomain,
      XEN_DOMCTL_max_vcpus,
      XEN_DOMCTL_max_mem,
      XEN_DOMCTL_sethvmcontext,
      XEN_DOMCTL_setdomainhandle,
    ]),
  ],
  [__HYPERVISOR_memory_op, new Set([XENMEM_populate_physmap, XENMEM_add_to_physmap_batch, XENMEM_set_memory_map])],
  [__HYPERVISOR_event_channel_op, new Set([EVTCHNOP_alloc_unbound, EVTCHNOP_bind_interdomain, EVTCHNOP_expand_array])],
  [__HYPERVISOR_hvm_op, new Set([HVMOP_set_param, HVMOP_get_param])],
]);
