/**
 * VM entry's checks of the host's state (SDM 3C, 27.2.2 to 27.2.4), with descriptions. The hypervisor sets this
 * state itself: a violation is a bug here.
 */
import { CR4_PAE, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE } from "../control-bits";
import { breaks, isCanonical, patPossible } from "../entry-rule";
import { cpuidEax, rdmsr, vmread } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { MSR_VMX_CR4_FIXED0, MSR_VMX_CR4_FIXED1 } from "../msr";
import { cr0Fixed0, cr0Fixed1, EXIT_HOST_64, EXIT_LOAD_EFER, EXIT_LOAD_PAT } from "./controls";
import { makeCurrent } from "./current";
import { VMCS } from "./vmcs";

/** Of a selector: table indicator and privilege level. */
const TI_RPL: u64 = 7;

/** Host selectors, two apart from HOST_ES_SELECTOR on. */
const SELECTORS: StaticArray<string> = [
  "host ES selector",
  "host CS selector",
  "host SS selector",
  "host DS selector",
  "host FS selector",
  "host GS selector",
  "host TR selector",
];

/** Whether a rule on the host's state is broken; entry-rule.ts then knows which. */
export function vmxHostBroken(v: HvmVcpu): bool {
  makeCurrent(v);
  return controlRegistersBroken() || msrsBroken() || segmentsBroken() || addressSpaceBroken();
}

/** 27.2.2. */
function controlRegistersBroken(): bool {
  const cr0 = vmread(VMCS.HOST_CR0);
  const cr3 = vmread(VMCS.HOST_CR3);
  const cr4 = vmread(VMCS.HOST_CR4);
  if ((~cr0 & cr0Fixed0) != 0) return breaks("host CR0", cr0, "a bit that VMX operation fixes to 1 is clear");
  if ((cr0 & ~cr0Fixed1) != 0) return breaks("host CR0", cr0, "a bit that VMX operation fixes to 0 is set");
  if ((~cr4 & rdmsr(MSR_VMX_CR4_FIXED0)) != 0) {
    return breaks("host CR4", cr4, "a bit that VMX operation fixes to 1 is clear");
  }
  if ((cr4 & ~rdmsr(MSR_VMX_CR4_FIXED1)) != 0) {
    return breaks("host CR4", cr4, "it has bits that this processor does not offer");
  }
  if (cr3 >> (cpuidEax(0x80000008, 0) & 0xff) != 0) {
    return breaks("host CR3", cr3, "it has bits beyond the processor's physical addresses");
  }
  return false;
}

function exitHas(control: u32): bool {
  return ((<u32>vmread(VMCS.EXIT_CONTROLS)) & control) != 0;
}

/** 27.2.2. */
function msrsBroken(): bool {
  const esp = vmread(VMCS.HOST_SYSENTER_ESP);
  const eip = vmread(VMCS.HOST_SYSENTER_EIP);
  if (!isCanonical(esp)) return breaks("host IA32_SYSENTER_ESP", esp, "it is not canonical");
  if (!isCanonical(eip)) return breaks("host IA32_SYSENTER_EIP", eip, "it is not canonical");
  const pat = vmread(VMCS.HOST_PAT);
  if (exitHas(EXIT_LOAD_PAT) && !patPossible(pat)) {
    return breaks("host IA32_PAT", pat, "it has a memory type that does not exist");
  }
  if (!exitHas(EXIT_LOAD_EFER)) return false;
  const efer = vmread(VMCS.HOST_EFER);
  if ((efer & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) != 0) {
    return breaks("host IA32_EFER", efer, "it has reserved bits");
  }
  const long = exitHas(EXIT_HOST_64);
  if (((efer & EFER_LMA) != 0) != long || ((efer & EFER_LME) != 0) != long) {
    return breaks("host IA32_EFER", efer, 'LMA or LME differs from the exit control "host address-space size"');
  }
  return false;
}

/** 27.2.3. */
function segmentsBroken(): bool {
  for (let i: u32 = 0; i < <u32>SELECTORS.length; i++) {
    const selector = vmread(VMCS.HOST_ES_SELECTOR + 2 * i);
    if ((selector & TI_RPL) != 0) return breaks(SELECTORS[i], selector, "its table or privilege level is not 0");
  }
  const cs = vmread(VMCS.HOST_CS_SELECTOR);
  const ss = vmread(VMCS.HOST_SS_SELECTOR);
  const tr = vmread(VMCS.HOST_TR_SELECTOR);
  if (cs == 0) return breaks("host CS selector", cs, "it is null");
  if (tr == 0) return breaks("host TR selector", tr, "it is null");
  if (ss == 0 && !exitHas(EXIT_HOST_64)) return breaks("host SS selector", ss, "it is null outside 64-bit mode");
  return (
    baseBroken("host FS base", VMCS.HOST_FS_BASE) ||
    baseBroken("host GS base", VMCS.HOST_GS_BASE) ||
    baseBroken("host GDTR base", VMCS.HOST_GDTR_BASE) ||
    baseBroken("host IDTR base", VMCS.HOST_IDTR_BASE) ||
    baseBroken("host TR base", VMCS.HOST_TR_BASE)
  );
}

function baseBroken(name: string, field: u32): bool {
  const base = vmread(field);
  return !isCanonical(base) && breaks(name, base, "it is not canonical");
}

/** 27.2.4: this hypervisor runs in long mode. */
function addressSpaceBroken(): bool {
  const controls = vmread(VMCS.EXIT_CONTROLS);
  const cr4 = vmread(VMCS.HOST_CR4);
  const rip = vmread(VMCS.HOST_RIP);
  if (!exitHas(EXIT_HOST_64))
    return breaks("VM-exit controls", controls, "the host's address-space size is not 64 bits");
  if ((cr4 & CR4_PAE) == 0) return breaks("host CR4", cr4, "PAE is clear in long mode");
  if (!isCanonical(rip)) return breaks("host RIP", rip, "it is not canonical");
  return false;
}
