/** HYPERVISOR_vm_assist: of its types only VMASST_TYPE_runstate_update_flag applies to HVM guests. */
import { EINVAL, ENOSYS } from "../../abi/errno";
import { VMASST_CMD_disable, VMASST_CMD_enable, VMASST_TYPE_runstate_update_flag } from "../../abi/xen";
import { Vcpu } from "../records/vcpu";

export function vmAssist(v: Vcpu, cmd: u64, type: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  if (<u32>type != VMASST_TYPE_runstate_update_flag) return -EINVAL;
  if (<u32>cmd != VMASST_CMD_enable && <u32>cmd != VMASST_CMD_disable) return -ENOSYS;
  v.domain.runstateUpdateFlag = <u32>cmd == VMASST_CMD_enable ? 1 : 0;
  return 0;
}
