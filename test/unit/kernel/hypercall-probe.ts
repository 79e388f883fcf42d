/** Makes one hypercall as a guest or as domain 0 would, with a structure of zeroes, and returns the result. */
import { Domctl, XEN_DOMCTL_INTERFACE_VERSION, XEN_DOMINF_shutdown } from "../../../abi/domctl.ts";
import { Sysctl, XEN_SYSCTL_INTERFACE_VERSION } from "../../../abi/sysctl.ts";
import {
  __HYPERVISOR_console_io,
  __HYPERVISOR_domctl,
  __HYPERVISOR_grant_table_op,
  __HYPERVISOR_sysctl,
  __HYPERVISOR_vcpu_op,
  __HYPERVISOR_vm_assist,
  DOMID_SELF,
} from "../../../abi/xen.ts";
import type { Answer } from "../../../scripts/hypercalls/claims.ts";
import { hypercall } from "../../sim/call.ts";
import { GUEST_FRAMES, type Lab } from "./lab.ts";

/** Where the structure is: a page of its own. */
const AT = 0x9000;
const VMASST_TYPE_runstate_update_flag = 5;
/** Turns of the machine after which a call that has not returned is taken for waiting. */
const PATIENCE = 400;

/** The arguments with which a call of sub-operation `operation` finds the structure. */
function argumentsOf(number: number, operation: number | null, bare: boolean): number[] {
  if (operation === null) return [AT, 0, 0, 0];
  if (bare) return [operation, 0, 0];
  switch (number) {
    case __HYPERVISOR_console_io:
      return [operation, 0, AT];
    case __HYPERVISOR_vcpu_op:
      return [operation, 0, AT];
    case __HYPERVISOR_grant_table_op:
      return [operation, AT, 1];
    case __HYPERVISOR_vm_assist:
      return [operation, VMASST_TYPE_runstate_update_flag];
    default:
      return [operation, AT];
  }
}

/**
 * Builds a guest, lets it make the call, and takes it down again.
 * @param fill writes what is not zero into the structure, told the guest's id
 * @param bare pass no structure at all
 */
export function probe(
  lab: Lab,
  number: number,
  operation: number | null,
  fill: (view: DataView, id: number) => void = () => {},
  bare = false,
): Answer {
  let answer: Answer = "waits";
  let id = -1;
  id = lab.dom0.build(function* (cpu) {
    fill(cpu.view(AT, 4096), id);
    answer = yield* hypercall(cpu, number, ...argumentsOf(number, operation, bare));
    for (;;) yield { kind: "spin", ns: 1_000_000 };
  }, GUEST_FRAMES);
  lab.dom0.unpause(id);
  for (let turn = 0; turn < PATIENCE && answer === "waits"; turn++) lab.machine.step();
  if (lab.dom0.info(id).flags & XEN_DOMINF_shutdown) answer = "ends";
  lab.destroy(id);
  return answer;
}

/** DOMID_SELF where the structure names a domain. */
export function self(offset: number | undefined): (view: DataView) => void {
  return (view) => {
    if (offset !== undefined) view.setUint16(offset, DOMID_SELF, true);
  };
}

/** A guest's own domctl or sysctl, of the right version and about itself. */
export function probeControl(lab: Lab, number: number, operation: number): Answer {
  return probe(lab, number, null, (view, id) => {
    view.setUint32(Domctl.cmd, operation, true);
    view.setUint32(Domctl.interface_version, XEN_DOMCTL_INTERFACE_VERSION, true);
    if (number === __HYPERVISOR_domctl) view.setUint16(Domctl.domain, id, true);
  });
}

/** Domain 0's domctl on a guest that has just been built, or sysctl. */
export function probeDomain0(lab: Lab, number: number, operation: number): Answer {
  if (number === __HYPERVISOR_sysctl) {
    return lab.dom0.structured(number, null, Sysctl.SIZE, (view) => {
      view.setUint32(Sysctl.cmd, operation, true);
      view.setUint32(Sysctl.interface_version, XEN_SYSCTL_INTERFACE_VERSION, true);
    }).result;
  }
  const id = lab.dom0.build(function* () {}, GUEST_FRAMES);
  const { result } = lab.dom0.domctl(operation, id);
  lab.destroy(id);
  return result;
}
