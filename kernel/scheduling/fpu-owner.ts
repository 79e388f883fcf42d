/** The vCPU whose FPU state is in a CPU's registers. */
import { hvmFpuSwitch } from "../../arch-x86/hvm";
import { cpuOf } from "../records/cpu";
import { Vcpu } from "../records/vcpu";

/** Makes sure that a vCPU's FPU state is in its area in memory, not in a CPU's registers. */
export function fpuToMemory(v: Vcpu): void {
  const c = cpuOf(v.cpu);
  if (c.fpuOwner != changetype<usize>(v)) return;
  hvmFpuSwitch(v, null);
  c.fpuOwner = 0;
}
