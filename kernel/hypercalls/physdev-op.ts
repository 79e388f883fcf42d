/**
 * The physical-device hypercall. A PVH guest has no physical interrupts and no I/O privileges, so Xen refuses all of it
 * with -ENOSYS; domain 0 here does not access devices through this call either.
 */
import { ENOSYS } from "../../abi/errno";
import { Vcpu } from "../records/vcpu";

export function physdevOp(v: Vcpu, cmd: u64, arg: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  return -ENOSYS;
}
