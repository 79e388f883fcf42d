/**
 * This CPU's local APIC: its timer ends time slices. And the two 8259 interrupt controllers, of which only the first
 * serial port's line is unmasked. SDM 3A, chapter 11; APM 2, chapter 16.
 *
 * The APIC stays in the mode set by the firmware: registers in memory (xAPIC), or MSRs (x2APIC).
 */
import { cpuidEcx, mmioRead32, mmioWrite32, out8, pause, rdmsr, rdtsc, wrmsr } from "../hw";
import { hostCpu } from "./cpu";
import { MSR_APIC_BASE, MSR_TSC_DEADLINE, MSR_X2APIC } from "../msr";
import { nsToTsc } from "./tsc";

export const VECTOR_TIMER: u32 = 0xf0;
export const VECTOR_SERIAL: u32 = 0x24;
/** Vectors of devices that the I/O domain drives. */
export const VECTOR_DEVICE_FIRST: u32 = 0x30;
export const VECTOR_DEVICE_LAST: u32 = 0xdf;
const VECTOR_SPURIOUS: u32 = 0xff;
const VECTOR_ERROR: u32 = 0xfe;

// Register offsets (SDM 3A, table 11-1).
const ID: u32 = 0x20;
const TASK_PRIORITY: u32 = 0x80;
const END_OF_INTERRUPT: u32 = 0xb0;
const SPURIOUS: u32 = 0xf0;
const LVT_TIMER: u32 = 0x320;
const LVT_LINT0: u32 = 0x350;
const LVT_LINT1: u32 = 0x360;
const LVT_ERROR: u32 = 0x370;
const TIMER_INITIAL: u32 = 0x380;
const TIMER_CURRENT: u32 = 0x390;
const TIMER_DIVIDE: u32 = 0x3e0;

const SPURIOUS_ENABLE: u32 = 1 << 8;
const LVT_EXTINT: u32 = 7 << 8;
const LVT_NMI: u32 = 4 << 8;
const LVT_TSC_DEADLINE: u32 = 2 << 17;
const DIVIDE_BY_1: u32 = 0xb;

const APIC_BASE_ENABLE: u64 = 1 << 11;
const APIC_BASE_X2: u64 = 1 << 10;
const APIC_BASE_ADDRESS: u64 = 0x000ffffffffff000;
const LEAF1_ECX_TSC_DEADLINE: u32 = 1 << 24;

const PIC1: u32 = 0x20;
const PIC2: u32 = 0xa0;
const PIC_EOI: u32 = 0x20;
const IRQ_SERIAL: u32 = 4;

const CALIBRATION_NS: u64 = 500000;
const ATTEMPTS: i32 = 50;
const PRECISION: u64 = 200;
/** Longest interval programmed, TSC ticks: keeps the product with timerPerTsc within 64 bits. */
const LONGEST: u64 = 1 << 30;
const NEVER: u64 = ~(<u64>0);

let basePa: u64 = 0;
let x2apic: bool = false;
let tscDeadline: bool = false;
/** Timer counts per TSC tick, 32 fraction bits. */
let timerPerTsc: u64 = 0;

function read(register: u32): u32 {
  return x2apic ? <u32>rdmsr(MSR_X2APIC + (register >> 4)) : mmioRead32(basePa + register);
}

function write(register: u32, value: u32): void {
  if (x2apic) wrmsr(MSR_X2APIC + (register >> 4), value);
  else mmioWrite32(basePa + register, value);
}

/** Sets up both interrupt controllers and the timer. Called once per CPU after tscInit, interrupts off; about 0.5 ms. */
export function hostApicInit(): void {
  const base = rdmsr(MSR_APIC_BASE);
  if ((base & APIC_BASE_ENABLE) == 0) wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
  x2apic = (base & APIC_BASE_X2) != 0;
  basePa = base & APIC_BASE_ADDRESS;
  picInit();
  write(TASK_PRIORITY, 0);
  write(LVT_LINT0, LVT_EXTINT);
  write(LVT_LINT1, LVT_NMI);
  write(LVT_ERROR, VECTOR_ERROR);
  write(SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
  tscDeadline = (cpuidEcx(1, 0) & LEAF1_ECX_TSC_DEADLINE) != 0;
  if (tscDeadline) {
    write(LVT_TIMER, LVT_TSC_DEADLINE | VECTOR_TIMER);
  } else {
    write(TIMER_DIVIDE, DIVIDE_BY_1);
    write(LVT_TIMER, VECTOR_TIMER);
    calibrate();
  }
  hostCpu().armedTsc = NEVER;
}

/** Measures the timer's rate against the TSC, again when the CPU was taken away between reading one and the other. */
function calibrate(): void {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    write(TIMER_INITIAL, 0xffffffff);
    const start = rdtsc();
    const first = read(TIMER_CURRENT);
    const started = rdtsc();
    const end = start + nsToTsc(CALIBRATION_NS);
    while (rdtsc() < end) pause();
    const stop = rdtsc();
    const counts = <u64>(first - read(TIMER_CURRENT));
    const stopped = rdtsc();
    assert(counts != 0, "the local APIC's timer stands still");
    timerPerTsc = (counts << 32) / (stop - start);
    if ((started - start + (stopped - stop)) * PRECISION < stop - start) break;
  }
  write(TIMER_INITIAL, 0);
  // A little late rather than a little early, which would cost a second interrupt.
  timerPerTsc += timerPerTsc >> 13;
}

/**
 * Sets the timer to interrupt (VECTOR_TIMER) once when the TSC reaches `deadline`, at once if it has passed; all ones:
 * never. It may interrupt early when the deadline is more than a fraction of a second away: the caller sets it again.
 */
export function hostApicSetDeadline(deadline: u64): void {
  if (deadline == hostCpu().armedTsc) return;
  hostCpu().armedTsc = deadline;
  if (tscDeadline) {
    wrmsr(MSR_TSC_DEADLINE, deadline == NEVER ? 0 : deadline);
    return;
  }
  if (deadline == NEVER) {
    write(TIMER_INITIAL, 0);
    return;
  }
  const now = rdtsc();
  const wait = deadline > now ? min<u64>(deadline - now, LONGEST) : 0;
  write(TIMER_INITIAL, <u32>min<u64>((wait * timerPerTsc) >> 32, 0x7fffffff) + 1);
}

/** Ends the interrupt in service: after VECTOR_TIMER. */
export function hostApicEoi(): void {
  hostCpu().armedTsc = NEVER;
  write(END_OF_INTERRUPT, 0);
}

/** Ends the interrupt in service: after a device's. */
export function hostApicEnd(): void {
  write(END_OF_INTERRUPT, 0);
}

/** This CPU's id, for interrupts sent to it: 8 bits, all that messages and I/O APICs hold without remapping. */
export function hostApicId(): u32 {
  return x2apic ? read(ID) & 0xff : read(ID) >> 24;
}

/** Moves the 16 lines to vectors 0x20..0x2f, away from exceptions, and closes all but the serial port's. */
function picInit(): void {
  out8(PIC1, 0x11); // ICW1: edge triggered, cascade, ICW4 follows
  out8(PIC2, 0x11);
  out8(PIC1 + 1, 0x20); // ICW2: vectors
  out8(PIC2 + 1, 0x28);
  out8(PIC1 + 1, 1 << 2); // ICW3: the second on line 2
  out8(PIC2 + 1, 2);
  out8(PIC1 + 1, 1); // ICW4: 8086 mode
  out8(PIC2 + 1, 1);
  out8(PIC1 + 1, 0xff & ~(1 << IRQ_SERIAL));
  out8(PIC2 + 1, 0xff);
}

/** Ends the interrupt in service at the first 8259: after VECTOR_SERIAL. */
export function picEoi(): void {
  out8(PIC1, PIC_EOI);
}
