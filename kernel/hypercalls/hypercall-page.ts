/**
 * The hypercall page: a guest names a page of its RAM with MSR 0x40000000, and the hypervisor fills it with a stub for
 * each hypercall, 32 bytes apart, that loads EAX and executes this machine's VMCALL or VMMCALL.
 */
import { __HYPERVISOR_iret } from "../../abi/xen";
import { vendor, VENDOR_SVM } from "../../arch-x86/vendor";
import { Domain } from "../records/domain";
import { copyToGuestPhysical } from "../memory/guest-copy";
import { scratch } from "../memory/scratch";
import { Vcpu } from "../records/vcpu";
import { getRip, setRip } from "../../arch-x86/state";
import { injectException } from "../../arch-x86/inject";
import { VECTOR_GP } from "../../arch-x86/vectors";

const STUB_BYTES: u32 = 32;
const WRMSR_BYTES: u64 = 2;

/** HvmExit.HypercallPage: fills the page at Vcpu.exitValue; where the guest has no writable memory, #GP as on Xen. */
export function hypercallPageFill(v: Vcpu): void {
  if (hypercallPageWrite(v.domain, v.exitValue, scratch(v))) return;
  setRip(v, getRip(v) - WRMSR_BYTES);
  injectException(v, VECTOR_GP, 0, 0);
}

/** Fills the page at guest-physical `gpa` of `d`, made up in `page` (4 KiB of linear memory). False: not writable there. */
export function hypercallPageWrite(d: Domain, gpa: u64, page: usize): bool {
  memory.fill(page, 0xcc, 4096);
  for (let i: u32 = 0; i < 4096 / STUB_BYTES; i++) {
    const at = page + <usize>(i * STUB_BYTES);
    if (i == __HYPERVISOR_iret) {
      store<u16>(at, 0x0b0f); // UD2: returning through the hypervisor is for PV guests
      continue;
    }
    store<u8>(at, 0xb8); // MOV EAX, imm32
    store<u32>(at + 1, i);
    store<u16>(at + 5, 0x010f);
    store<u8>(at + 7, vendor == VENDOR_SVM ? 0xd9 : 0xc1); // VMMCALL, VMCALL
    store<u8>(at + 8, 0xc3); // RET
  }
  return copyToGuestPhysical(d, gpa, page, 4096);
}
