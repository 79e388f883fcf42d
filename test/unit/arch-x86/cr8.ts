/**
 * A guest that writes and reads CR8 on each kind of processor: as the processor does it where that needs no exit, else by
 * the exit that it makes.
 */
import { Apic, machine } from "./apic.ts";
import { VENDOR_SVM, VENDOR_VMX } from "./arch.ts";

const TRUE_PROCBASED = 0x48e;
const TPR_SHADOW = 1n << (32n + 21n);
const CODE_GFN = 0x100n;
const FAR_AWAY = 10_000_000_000n;

/** Offsets and bits in the VMCB; VMCS fields; offset in the virtual-APIC page. */
const INTERCEPT_CR = 0;
const WRITE_CR8 = 1 << 24;
const V_TPR = 0x60;
const EXIT_CODE = 0x70;
const VIRTUAL_APIC = 0x2012;
const TPR_THRESHOLD = 0x401c;
const CPU_CONTROLS = 0x4002;
const CPU_TPR_SHADOW = 1n << 21n;
const VTPR = 0x80;

export const PROCESSORS = ["AMD-V", "VT-x", "VT-x without TPR shadow"] as const;
export type Processor = (typeof PROCESSORS)[number];

/** HvmExit. */
export const EXIT_INTERRUPT = 1;
export const EXIT_APIC = 13;

export class Cr8Guest extends Apic {
  constructor(readonly processor: Processor) {
    const controls = machine.msrs.get(TRUE_PROCBASED)!;
    if (processor === "VT-x without TPR shadow") machine.msrs.set(TRUE_PROCBASED, controls & ~TPR_SHADOW);
    super(processor === "AMD-V" ? VENDOR_SVM : VENDOR_VMX);
    machine.msrs.set(TRUE_PROCBASED, controls);
    machine.exits.length = 0;
    machine.svmExits.length = 0;
    const code = machine.newFrame();
    machine.call("map", CODE_GFN, BigInt(code), 1, 0);
    new Uint8Array(machine.frames.get(code)!.buffer).set([0x44, 0x0f, 0x22, 0xc3]); // MOV CR8, RBX
    machine.call("paging", 0x11n, 0n, 0n, 0x500n);
    // The first vCPU's VMCS is the current one.
    if (processor !== "AMD-V") this.run(() => ({ 0x4402: 1 }));
  }

  private get vmcb(): DataView {
    return machine.frames.get(Number(machine.bigField("CONTROL_PA") >> 12n))!;
  }
  private get virtualApic(): DataView {
    return machine.frames.get(Number(machine.vmcs.get(VIRTUAL_APIC)! >> 12n))!;
  }
  get shadowed(): boolean {
    return ((machine.vmcs.get(CPU_CONTROLS) ?? 0n) & CPU_TPR_SHADOW) !== 0n;
  }
  get threshold(): number {
    return Number(machine.vmcs.get(TPR_THRESHOLD) ?? 0n);
  }
  /** Whether a write of CR8 makes an exit whatever is written. */
  get intercepted(): boolean {
    if (this.processor === "AMD-V") return (this.vmcb.getUint32(INTERCEPT_CR, true) & WRITE_CR8) !== 0;
    return !this.shadowed;
  }
  /** The rule for entries with a TPR shadow (SDM 3C 27.2.1.1). */
  get enterable(): boolean {
    return this.processor !== "VT-x" || this.threshold <= this.virtualApic.getUint8(VTPR) >> 4;
  }

  /** One VT-x exit, then an interrupt if the guest went on. HvmExit. */
  private run(exit: (typeof machine.exits)[number]): number {
    machine.exits.push(exit, () => ({ 0x4402: 1 }));
    const reason = machine.call("enter", FAR_AWAY + machine.now);
    machine.exits.length = 0;
    return reason;
  }

  /** MOV to CR8. HvmExit, 0 when there was none. */
  writeCr8(value: number): number {
    machine.call("code", 64, CODE_GFN << 12n);
    machine.setRegister(3, BigInt(value));
    if (this.processor === "AMD-V") {
      if (!this.intercepted) {
        this.vmcb.setUint8(V_TPR, value);
        return 0;
      }
      machine.svmExits.push(
        (vmcb) => vmcb.setBigUint64(EXIT_CODE, 0x18n, true),
        (vmcb) => vmcb.setBigUint64(EXIT_CODE, 0x60n, true),
      );
      const reason = machine.call("enter", FAR_AWAY + machine.now);
      machine.svmExits.length = 0;
      return reason;
    }
    if (!this.shadowed) return this.run(() => ({ 0x4402: 28, 0x6400: 0x308, 0x440c: 4 }));
    this.virtualApic.setUint32(VTPR, value << 4, true);
    return value < this.threshold ? this.run(() => ({ 0x4402: 43 })) : 0;
  }

  /** MOV from CR8. */
  readCr8(): number {
    if (this.processor === "AMD-V") return this.vmcb.getUint8(V_TPR) & 0xf;
    if (this.shadowed) return this.virtualApic.getUint8(VTPR) >> 4;
    this.run(() => ({ 0x4402: 28, 0x6400: 0x118, 0x440c: 4 })); // to RCX
    return Number(machine.register(1));
  }

  /** What may be delivered now, as the kernel asks before it does. */
  get deliverable(): number {
    return machine.call("apicVector");
  }
}
