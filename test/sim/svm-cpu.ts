/**
 * The simulated processor's AMD-V: VMRUN on real VMCBs with real nested page tables and a TLB that forgets nothing on
 * its own, so that a flush the hypervisor misses is seen. Guests are generators (GuestProgram): each request they yield
 * is an instruction; what intercepts would make of it becomes the VMCB's exit fields (APM vol. 2, appendix B and C).
 */
import type { Machine } from "./machine.ts";
import { hex } from "./ram.ts";

/** A guest's next action. `done` is called when present memory has been accessed. */
export type GuestRequest =
  /** `compat`: from 32-bit code. */
  | { kind: "hypercall"; op: number | bigint; args: (number | bigint)[]; compat?: boolean }
  | { kind: "halt" }
  | { kind: "spin"; ns: number }
  | { kind: "access"; gpa: number; write: boolean; value?: bigint; done?: () => void }
  | { kind: "exit"; code: number; info1?: bigint; info2?: bigint; rax?: bigint; rcx?: bigint; rdx?: bigint };

export type GuestProgram = (cpu: GuestCpu) => Generator<GuestRequest, void, bigint>;

/** The magic instruction at a program's entry: UD2, then the program's number. */
export const ENTRY_MAGIC = 0x0b0f;
const OFFSET = { hypercall: 0x10, halt: 0x20, load: 0x30, store: 0x40, spin: 0x50, exit: 0x60, sti: 0x70 } as const;

/** Bytes of the guest's code page: the instructions that exits are attributed to. */
export function guestCode(program: number): Uint8Array {
  const code = new Uint8Array(0x80).fill(0x90);
  const view = new DataView(code.buffer);
  view.setUint16(0, ENTRY_MAGIC, true);
  view.setUint32(2, program, true);
  code.set([0x0f, 0x01, 0xd9], OFFSET.hypercall);
  code.set([0xf4], OFFSET.halt);
  code.set([0x48, 0x8b, 0x03], OFFSET.load); // MOV RAX, [RBX]
  code.set([0x48, 0x89, 0x03], OFFSET.store); // MOV [RBX], RAX
  code.set([0xeb, 0xfe], OFFSET.spin);
  code.set([0x0f, 0xa2], OFFSET.exit); // CPUID; other two-byte instructions have its length
  code.set([0xfb], OFFSET.sti);
  return code;
}

const EXIT_INVALID = 0xffffffffffffffffn;
const EXIT = { INTR: 0x60, VINTR: 0x64, HLT: 0x78, SHUTDOWN: 0x7f, VMMCALL: 0x81, NPF: 0x400 } as const;
const EVENT_INTERRUPT = 0;
const EVENT_EXCEPTION = 3;
const VMCB = {
  TSC_OFFSET: 0x50,
  ASID: 0x58,
  TLB_CONTROL: 0x5c,
  V_INTR: 0x60,
  SHADOW: 0x68,
  EXITCODE: 0x70,
  EXITINFO1: 0x78,
  EXITINFO2: 0x80,
  EXITINTINFO: 0x88,
  EVENTINJ: 0xa8,
  N_CR3: 0xb0,
  CS_ATTRIB: 0x412,
  EFER: 0x4d0,
  CR4: 0x548,
  CR3: 0x550,
  CR0: 0x558,
  RFLAGS: 0x570,
  RIP: 0x578,
  RAX: 0x5f8,
} as const;
/** Index into hw.enterSvm's register file. */
const REG = { rcx: 1, rdx: 2, rbx: 3, rbp: 5, rsi: 6, rdi: 7, r8: 8, r9: 9, r10: 10 } as const;
const ARGUMENTS = [REG.rdi, REG.rsi, REG.rdx, REG.r10, REG.r8, REG.r9];
/** Of a caller outside 64-bit mode. */
const ARGUMENTS_32 = [REG.rbx, REG.rcx, REG.rdx, REG.rsi, REG.rdi, REG.rbp];
/** CS attributes in the VMCB: code, of 64 or of 32 bits. */
const CS_64 = 0x29b;
const CS_32 = 0x49b;

/** A stale translation was used, or a guest saw what it must not: the simulation's own verdict. */
export class Violation extends Error {}

/** An exception at the instruction that a guest's program asked for; thrown into the program, which may catch it. */
export class GuestException extends Violation {
  constructor(
    readonly vector: number,
    what: string,
  ) {
    super(`exception ${vector} at ${what}`);
  }
}

/** One guest vCPU's processor state outside the VMCB, and what its program may ask about itself. */
export class GuestCpu {
  /**
   * The program's interrupt handler, done as a whole between two instructions. Without one the first interrupt leaves the
   * guest in a handler that never returns: interrupts stay off.
   */
  handler: ((vector: number) => void) | null = null;
  /** RFLAGS.IF as the program wants it at its next instruction. */
  interruptsOn = true;
  entry = 0;
  private shadowed = false;
  private iterator: Generator<GuestRequest, void, bigint> | null = null;
  private current: GuestRequest | null = null;
  private spinUntil = 0;
  started = false;

  constructor(
    readonly machine: Machine,
    readonly vmcb: number,
  ) {}

  start(program: GuestProgram, entry: number): void {
    this.entry = entry;
    this.iterator = program(this);
    this.started = false;
    this.current = null;
    this.handler = null;
    this.interruptsOn = true;
    this.shadowed = false;
  }

  get alive(): boolean {
    return this.iterator !== null;
  }

  /** Forgets the program: its domain is gone or has been reset. */
  stop(): void {
    this.iterator = null;
  }

  /** Resolves what the hypervisor did about the latest request and moves to the next. `reply` is RAX. */
  next(reply: bigint): GuestRequest | null {
    this.shadowed = false;
    const step = this.started ? this.iterator!.next(reply) : this.iterator!.next();
    this.started = true;
    return this.take(step);
  }

  private take(step: IteratorResult<GuestRequest, void>): GuestRequest | null {
    this.current = step.done ? null : step.value;
    if (this.current?.kind === "spin") this.spinUntil = this.machine.now + this.current.ns;
    return this.current;
  }

  /** STI: interrupts are on after the program's next instruction (APM 15.21.5). */
  enableInterrupts(): void {
    this.shadowed = !this.interruptsOn;
    this.interruptsOn = true;
  }

  /** The hypervisor has put the guest back to before its STI, which will run again. */
  takeBackSti(): void {
    this.interruptsOn = false;
    this.shadowed = false;
  }

  /** Entered in the shadow, which this processor does not load, as QEMU's does not. */
  loseShadow(): void {
    this.shadowed = false;
  }

  /** Whether interrupts are held off for the next instruction alone. */
  get inShadow(): boolean {
    return this.shadowed;
  }

  /** RDTSC. */
  get tsc(): bigint {
    return BigInt(this.machine.now) + BigInt.asIntN(64, this.machine.ram.read64(this.vmcb + VMCB.TSC_OFFSET));
  }

  /** An interrupt is delivered, which the interrupt flag allowed. */
  interrupt(vector: number): void {
    if (!this.interruptsOn) throw new Violation(`interrupt ${hex(vector)} delivered with interrupts off`);
    if (this.handler) this.handler(vector);
    else this.interruptsOn = false;
  }

  /** The instruction ends in an exception: the program continues in its handler, or has none and the run is broken. */
  fault(vector: number): void {
    const at = this.current;
    const what = at?.kind === "access" ? `an access to ${hex(at.gpa)}` : (at?.kind ?? "its end");
    const step = this.iterator!.throw(new GuestException(vector, what));
    this.take(step);
  }

  get request(): GuestRequest | null {
    return this.current;
  }

  get spinEnd(): number {
    return this.spinUntil;
  }

  /** Reads guest-physical memory that is known to be present; throws Violation if it is not. */
  peek(gpa: number, length: number): Uint8Array {
    const pa = this.machine.svm.translate(this.vmcb, gpa, false);
    if (pa < 0) throw new Violation(`guest memory at ${hex(gpa)} is absent`);
    const { ram } = this.machine;
    const at = ram.at(pa, length);
    return ram.bytes.subarray(at, at + length);
  }

  /** Writes guest-physical memory within one page; throws Violation if it is absent. */
  poke(gpa: number, bytes: Uint8Array): void {
    const pa = this.machine.svm.translate(this.vmcb, gpa, true);
    if (pa < 0) throw new Violation(`guest memory at ${hex(gpa)} is absent`);
    this.machine.ram.bytes.set(bytes, this.machine.ram.at(pa, bytes.length));
  }

  view(gpa: number, length: number): DataView {
    const bytes = this.peek(gpa, length);
    return new DataView(bytes.buffer, bytes.byteOffset, length);
  }

  /** Whether guest-physical memory can be written there now. */
  has(gpa: number): boolean {
    return this.machine.svm.translateQuietly(this.vmcb, gpa, true) >= 0;
  }

  /**
   * Guest-physical memory within one page as it is now, at any time and without the TLB: between its turns a guest's ASID
   * may be another's. Throws Violation if it is absent.
   */
  look(gpa: number, length: number): DataView {
    const pa = this.machine.svm.translateQuietly(this.vmcb, gpa);
    if (pa < 0) throw new Violation(`guest memory at ${hex(gpa)} is absent`);
    const { ram } = this.machine;
    return new DataView(ram.view.buffer, ram.at(pa, length), length);
  }
}

export class SvmCpu {
  readonly programs: GuestProgram[] = [];
  private readonly guests = new Map<number, GuestCpu>();
  /** ASID -> gfn -> the nested translation cached for it. */
  private readonly tlb = new Map<number, Map<number, { mfn: number; write: boolean }>>();
  /** What a TLB hit that disagrees with the tables does. Off in tests that only count. */
  strict = true;
  /** Time from one entry of a guest to its exit, spinning apart, ns. */
  entryNs = 500;

  constructor(private readonly machine: Machine) {}

  cpuid(leaf: number, sub: number): [number, number, number, number] {
    switch (leaf >>> 0) {
      case 0:
        return [0x10, 0x68747541, 0x444d4163, 0x69746e65]; // AuthenticAMD
      case 1:
        return [0x00800f12, 0x00000800, 0x7ed8320b, 0x178bfbff];
      case 7:
        return sub === 0 ? [0, 0x219c91a9, 0, 0] : [0, 0, 0, 0];
      case 0xd:
        return sub === 0 ? [7, 832, 832, 0] : sub === 1 ? [1, 0, 0, 0] : sub === 2 ? [256, 576, 0, 0] : [0, 0, 0, 0];
      case 0x80000000:
        return [0x8000000a, 0x68747541, 0x444d4163, 0x69746e65];
      case 0x80000001:
        return [0x00800f12, 0, 0x00000005 | (1 << 5), 0x2fd3fbff];
      case 0x80000008:
        return [0x3028, 0, 0, 0];
      case 0x8000000a:
        return [1, 64, 0, 1]; // revision, ASIDs, NPT only
      default:
        return [0, 0, 0, 0];
    }
  }

  /** Registers a program; its number goes into the guest's code page (guestCode). */
  program(program: GuestProgram): number {
    this.programs.push(program);
    return this.programs.length - 1;
  }

  /** Nested walk for `gpa`, APM 15.25: physical address, or -1. Always from the tables in memory. */
  private walk(root: number, gpa: number, write: boolean): { mfn: number; write: boolean } | null {
    let table = root;
    let writable = true;
    for (let level = 3; level >= 0; level--) {
      const index = Math.floor(gpa / 2 ** (12 + 9 * level)) & 511;
      const entry = this.machine.ram.read64(table + index * 8);
      if ((entry & 5n) !== 5n) return null; // present and user: nested walks are user accesses
      writable &&= (entry & 2n) !== 0n;
      const frame = Number((entry & 0x000ffffffffff000n) >> 12n);
      if (level > 0 && entry & 0x80n) {
        if (write && !writable) return null;
        const inside = Math.floor(gpa / 4096) & (2 ** (9 * level) - 1);
        return { mfn: (frame & ~(2 ** (9 * level) - 1)) + inside, write: writable };
      }
      if (level === 0) return write && !writable ? null : { mfn: frame, write: writable };
      table = frame * 4096;
    }
    return null;
  }

  /** Translates through the TLB as the processor would. @returns the physical address, or -1 for a nested page fault */
  translate(vmcb: number, gpa: number, write: boolean): number {
    const ram = this.machine.ram;
    const asid = ram.read32(vmcb + VMCB.ASID);
    const root = Number(ram.read64(vmcb + VMCB.N_CR3)) & ~0xfff;
    let cache = this.tlb.get(asid);
    if (!cache) this.tlb.set(asid, (cache = new Map()));
    const gfn = Math.floor(gpa / 4096);
    const hit = cache.get(gfn);
    const fresh = this.walk(root, gpa, write);
    if (hit && (hit.write || !write)) {
      if (this.strict && (fresh === null || fresh.mfn !== hit.mfn)) {
        throw new Violation(
          `stale TLB: ASID ${asid} gfn ${hex(gfn)} -> mfn ${hex(hit.mfn)}, the p2m has ${fresh ? hex(fresh.mfn) : "nothing"}`,
        );
      }
      return hit.mfn * 4096 + (gpa & 0xfff);
    }
    if (!fresh) return -1;
    cache.set(gfn, fresh);
    return fresh.mfn * 4096 + (gpa & 0xfff);
  }

  /** VMRUN: runs the guest until something the VMCB intercepts. */
  enter(vmcb: number, regs: number): void {
    const { ram, devices, linear } = this.machine;
    devices.advance(this.entryNs);
    const get = (offset: number): bigint => ram.read64(vmcb + offset);
    const set = (offset: number, value: bigint): void => ram.write64(vmcb + offset, value);
    const exit = (code: number, info1 = 0n, info2 = 0n): void => {
      set(VMCB.EXITCODE, BigInt(code));
      set(VMCB.EXITINFO1, info1);
      set(VMCB.EXITINFO2, info2);
      set(VMCB.EXITINTINFO, 0n);
      set(VMCB.EVENTINJ, 0n);
    };

    if (this.refused(vmcb)) return set(VMCB.EXITCODE, EXIT_INVALID);
    const control = ram.view.getUint8(ram.at(vmcb + VMCB.TLB_CONTROL, 1));
    if (control !== 0) {
      if (control === 1) this.tlb.clear();
      else this.tlb.delete(ram.read32(vmcb + VMCB.ASID));
    }
    const rip = Number(get(VMCB.RIP));
    const guest = this.guestAt(vmcb, rip);
    if (!guest) return exit(EXIT.SHUTDOWN);

    const injected = get(VMCB.EVENTINJ);
    let flags = get(VMCB.RFLAGS);
    const interrupts = (): void => {
      flags = guest.interruptsOn ? flags | 0x200n : flags & ~0x200n;
      set(VMCB.RFLAGS, flags);
    };
    const window = (): boolean => (get(VMCB.V_INTR) & 0x100n) !== 0n && guest.interruptsOn && !guest.inShadow;

    const at = rip - guest.entry;
    if (at === OFFSET.sti) guest.takeBackSti();
    if (at === OFFSET.sti + 1) guest.loseShadow();
    const event = injected & 0x80000000n ? Number((injected >> 8n) & 7n) : -1; // APM 15.20
    const vector = Number(injected & 0xffn);
    if (event === EVENT_INTERRUPT) guest.interrupt(vector);
    if (event === EVENT_EXCEPTION) guest.fault(vector);
    else if (!this.settled(guest, vmcb, rip)) return; // same instruction again, its exit fields are set
    if (at === OFFSET.sti) guest.enableInterrupts();
    for (;;) {
      interrupts();
      set(VMCB.SHADOW, guest.inShadow ? 1n : 0n);
      if (window()) {
        set(VMCB.RIP, BigInt(guest.entry + OFFSET.spin));
        return exit(EXIT.VINTR);
      }
      const request = guest.request;
      if (request === null) {
        guest.stop();
        return exit(EXIT.SHUTDOWN);
      }
      if (devices.interruptPending) {
        // The request has not run yet. The host's interrupts come in the guest's shadow, too.
        set(VMCB.RIP, BigInt(guest.entry + (guest.inShadow ? OFFSET.sti + 1 : OFFSET.spin)));
        return exit(EXIT.INTR);
      }
      switch (request.kind) {
        case "spin": {
          const end = Math.min(guest.spinEnd, devices.nextInterrupt);
          devices.now = Math.max(devices.now, end);
          if (devices.interruptPending) continue;
          guest.next(0n);
          continue;
        }
        case "halt":
          set(VMCB.RIP, BigInt(guest.entry + OFFSET.halt));
          return exit(EXIT.HLT);
        case "hypercall": {
          set(VMCB.RIP, BigInt(guest.entry + OFFSET.hypercall));
          set(VMCB.RAX, BigInt(request.op));
          const registers = request.compat ? ARGUMENTS_32 : ARGUMENTS;
          if (request.compat) ram.view.setUint16(ram.at(vmcb + VMCB.CS_ATTRIB, 2), CS_32, true);
          request.args.forEach((arg, i) => {
            linear.setBigUint64(regs + registers[i]! * 8, BigInt.asUintN(64, BigInt(arg)), true);
          });
          return exit(EXIT.VMMCALL);
        }
        case "access": {
          const pa = this.translate(vmcb, request.gpa, request.write);
          if (pa < 0) {
            const offset = request.write ? OFFSET.store : OFFSET.load;
            set(VMCB.RIP, BigInt(guest.entry + offset));
            linear.setBigUint64(regs + REG.rbx * 8, BigInt(request.gpa), true);
            if (request.write) set(VMCB.RAX, request.value ?? 0n);
            return exit(EXIT.NPF, 0x100000004n | (request.write ? 2n : 0n), BigInt(request.gpa));
          }
          let value = 0n;
          if (request.write) ram.write64(pa, request.value ?? 0n);
          else value = ram.read64(pa);
          request.done?.();
          guest.next(value);
          continue;
        }
        case "exit":
          set(VMCB.RIP, BigInt(guest.entry + OFFSET.exit));
          if (request.rax !== undefined) set(VMCB.RAX, request.rax);
          if (request.rcx !== undefined) linear.setBigUint64(regs + REG.rcx * 8, request.rcx, true);
          if (request.rdx !== undefined) linear.setBigUint64(regs + REG.rdx * 8, request.rdx, true);
          return exit(request.code, request.info1, request.info2);
      }
    }
  }

  /** A state that VMRUN refuses before it does anything (APM 15.5.1): of its rules the one that a guest's test breaks. */
  private refused(vmcb: number): boolean {
    const { ram } = this.machine;
    const long = (ram.read64(vmcb + VMCB.EFER) & 0x400n) !== 0n;
    return long && (ram.view.getUint16(ram.at(vmcb + VMCB.CS_ATTRIB, 2), true) & 0x600) === 0x600;
  }

  /** The guest behind a VMCB; a program entry at RIP (re)starts it. */
  private guestAt(vmcb: number, rip: number): GuestCpu | null {
    let guest = this.guests.get(vmcb);
    const pa = this.translateQuietly(vmcb, rip);
    const { ram } = this.machine;
    if (pa >= 0 && ram.view.getUint16(ram.at(pa, 2), true) === ENTRY_MAGIC) {
      const program = this.programs[ram.read32(pa + 2)];
      if (!program) return null;
      guest = new GuestCpu(this.machine, vmcb);
      guest.start(program, rip);
      this.guests.set(vmcb, guest);
      this.toLongMode(vmcb);
      guest.next(0n);
    }
    return guest?.alive ? guest : null;
  }

  /** 64-bit mode with the identity page tables that the test's builder put at guest-physical 1000H. */
  private toLongMode(vmcb: number): void {
    const { ram } = this.machine;
    ram.write64(vmcb + VMCB.EFER, ram.read64(vmcb + VMCB.EFER) | 0x500n);
    ram.write64(vmcb + VMCB.CR4, ram.read64(vmcb + VMCB.CR4) | 0x20n);
    ram.write64(vmcb + VMCB.CR3, 0x1000n);
    ram.write64(vmcb + VMCB.CR0, ram.read64(vmcb + VMCB.CR0) | 0x80000001n);
    ram.view.setUint16(ram.at(vmcb + VMCB.CS_ATTRIB, 2), CS_64, true);
  }

  /** The nested page tables' word, without the TLB: physical address, or -1. */
  translateQuietly(vmcb: number, gpa: number, write = false): number {
    const root = Number(this.machine.ram.read64(vmcb + VMCB.N_CR3)) & ~0xfff;
    const found = this.walk(root, gpa, write);
    return found ? found.mfn * 4096 + (gpa & 0xfff) : -1;
  }

  /**
   * Lets the program see the result of the instruction it exited on.
   * @returns false if that instruction runs again at once (a continued hypercall): the exit is set up anew
   */
  private settled(guest: GuestCpu, vmcb: number, rip: number): boolean {
    const request = guest.request;
    if (!request) return true;
    const { ram } = this.machine;
    const at = rip - guest.entry;
    if (at === OFFSET.sti || at === OFFSET.sti + 1) return true; // an interrupt came between STI and the request
    if (request.kind === "spin") {
      if (this.machine.now >= guest.spinEnd) guest.next(0n);
      return true;
    }
    const rax = ram.read64(vmcb + VMCB.RAX);
    if (request.kind === "hypercall" && at === OFFSET.hypercall) {
      ram.write64(vmcb + VMCB.EXITCODE, BigInt(EXIT.VMMCALL)); // registers are as the hypervisor left them
      ram.write64(vmcb + VMCB.EVENTINJ, 0n);
      return false;
    }
    if (request.kind === "access" && (at === OFFSET.load || at === OFFSET.store)) return true; // try again
    if (at === 0) return true; // it has just begun
    if (at === OFFSET.spin) return true; // an interrupt or its window came first: not run yet
    if (request.kind === "hypercall" && request.compat)
      ram.view.setUint16(ram.at(vmcb + VMCB.CS_ATTRIB, 2), CS_64, true);
    guest.next(rax);
    return true;
  }
}
