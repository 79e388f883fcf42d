/**
 * Time from the time stamp counter. Its frequency is measured once against the PIT, or the ACPI timer if there is no
 * PIT, and replaced by the exact value if the processor or an underlying hypervisor reports one that agrees. System time 0
 * is BootInfo.tscEntry; conversion uses the multiplier and shift that guests get (pvclock), so both read the same time.
 */
import { ACPI_FADT, acpiTable } from "./acpi";
import { cpuidEax, cpuidEbx, cpuidEcx, cpuidEdx, in32, in8, load32, out8, rdtsc } from "../hw";

const PIT_HZ: u64 = 1193182;
const PIT_CHANNEL2: u32 = 0x42;
const PIT_COMMAND: u32 = 0x43;
const PIT_GATE: u32 = 0x61; // bit 0 gate of channel 2, bit 1 speaker, bit 5 output of channel 2
const PIT_OUTPUT: u32 = 1 << 5;
const PIT_TICKS: u32 = 2386; // 2 ms

const ATTEMPTS: i32 = 50;
const PRECISION: u64 = 2000;

const ACPI_HZ: u64 = 3579545;
const ACPI_TICKS: u32 = 7159; // 2 ms
const FADT_PM_TIMER: u64 = 76; // ACPI 6.5, table 5.9

const POWER_LEAF: u32 = 0x80000007;
const POWER_EDX_INVARIANT_TSC: u32 = 1 << 8;

const NS_PER_SECOND: u64 = 1000000000;
/** Polls before a timer is considered dead: a port access takes a microsecond on real machines. */
const PATIENCE: u32 = 200000;

let khz: u32 = 0;
let multiplier: u32 = 0;
let shift: i32 = 0;

/** TSC ticks per millisecond. */
export function tscKhz(): u32 {
  return khz;
}
/** pvclock's tsc_to_system_mul: ns = ((ticks << tscShift) * tscMul) >> 32. */
export function tscMul(): u32 {
  return multiplier;
}
/** pvclock's tsc_shift; negative: to the right. */
export function tscShift(): i32 {
  return shift;
}

/** Whether this processor's TSC runs at one rate in all states of power saving (SDM 3B 18.17.1, invariant TSC). */
export function tscInvariant(): bool {
  if (cpuidEax(0x80000000, 0) < POWER_LEAF) return false;
  return (cpuidEdx(POWER_LEAF, 0) & POWER_EDX_INVARIANT_TSC) != 0;
}

/** Nanoseconds in `ticks`. */
export function tscToNs(ticks: u64): u64 {
  const scaled = shift >= 0 ? ticks << shift : ticks >> -shift;
  return (scaled >> 32) * multiplier + (((scaled & 0xffffffff) * multiplier) >> 32);
}

/** The least number of ticks that makes `ns` nanoseconds: tscToNs(nsToTsc(x)) is x or just above. */
export function nsToTsc(ns: u64): u64 {
  const m = <u64>multiplier;
  const scaled = ((ns / m) << 32) + (((ns % m) << 32) + m - 1) / m;
  return shift >= 0 ? (scaled + (1 << shift) - 1) >> shift : scaled << -shift;
}

/**
 * Measures the frequency, about 2 ms. Called once, on the boot CPU.
 * @param rsdp physical address of ACPI's root pointer, 0 for none
 */
export function tscInit(rsdp: u64): void {
  let hz = measurePit();
  if (hz == 0) hz = measureAcpi(rsdp);
  tscSetKhz(refine(<u32>((hz + 500) / 1000)));
}

/** Sets the frequency: after measuring, and by tests. */
export function tscSetKhz(value: u32): void {
  assert(value != 0, "no timer to measure the time stamp counter with");
  khz = value;
  shift = 0;
  let perSecond: u64 = <u64>value * 1000;
  while (perSecond > 2 * NS_PER_SECOND) {
    perSecond >>= 1;
    shift--;
  }
  while (perSecond <= NS_PER_SECOND) {
    perSecond <<= 1;
    shift++;
  }
  multiplier = <u32>((NS_PER_SECOND << 32) / perSecond);
}

/**
 * TSC ticks per second by the PIT's channel 2 in mode 0, whose output rises when it has counted down; 0 if it does not.
 * Repeated while something (a hypervisor below, SMM) takes the CPU away just when the count begins or ends.
 */
function measurePit(): u64 {
  const gate = in8(PIT_GATE);
  let ticks: u64 = 0;
  let leastDoubt: u64 = ~(<u64>0);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    out8(PIT_GATE, (gate & ~2) | 1);
    out8(PIT_COMMAND, 0xb0);
    out8(PIT_CHANNEL2, PIT_TICKS & 0xff);
    const earliest = rdtsc();
    out8(PIT_CHANNEL2, PIT_TICKS >> 8);
    const start = rdtsc();
    let last = start; // just after the latest poll that found the output low
    let polls: u32 = 0;
    while ((in8(PIT_GATE) & PIT_OUTPUT) == 0) {
      last = rdtsc();
      if (++polls == PATIENCE) break;
    }
    const end = rdtsc();
    // Output high at once means no PIT (all ones); a count that never ends, one that stands still.
    if (polls == 0 || polls == PATIENCE) return 0;
    const doubt = start - earliest + (end - last);
    if (doubt < leastDoubt) {
      leastDoubt = doubt;
      ticks = last - start + (end - last) / 2;
    }
    if (leastDoubt < ticks / PRECISION) break;
  }
  out8(PIT_GATE, gate);
  return (ticks * PIT_HZ) / PIT_TICKS;
}

/** The same by the ACPI power management timer, 24 bits at a port that the FADT names. */
function measureAcpi(rsdp: u64): u64 {
  const port = pmTimerPort(rsdp);
  if (port == 0) return 0;
  let first = in32(port);
  for (let polls: u32 = 0; in32(port) == first; polls++) if (polls == PATIENCE) return 0;
  first = in32(port);
  const start = rdtsc();
  let passed: u32 = 0;
  while (passed < ACPI_TICKS) passed = (in32(port) - first) & 0xffffff;
  return ((rdtsc() - start) * ACPI_HZ) / passed;
}

/** 0 if there is no FADT or it has no timer. */
function pmTimerPort(rsdp: u64): u32 {
  const fadt = acpiTable(rsdp, ACPI_FADT);
  return fadt == 0 ? 0 : load32(fadt + FADT_PM_TIMER);
}

/** A stated frequency that is within 1% of the measured one replaces it; else the nearest MHz, if within 0.1%, does. */
function refine(measured: u32): u32 {
  const stated = statedKhz();
  if (stated != 0 && difference(stated, measured) * 100 < measured) return stated;
  const round = ((measured + 500) / 1000) * 1000;
  return difference(round, measured) * 1000 < measured ? round : measured;
}

function difference(a: u32, b: u32): u64 {
  return a > b ? a - b : b - a;
}

/** kHz as CPUID states it: by a hypervisor's timing leaf or the processor's crystal clock leaf (SDM 2A, leaf 15H). */
function statedKhz(): u32 {
  const hypervised = (cpuidEcx(1, 0) & (1 << 31)) != 0;
  if (hypervised && cpuidEax(0x40000000, 0) >= 0x40000010) return cpuidEax(0x40000010, 0);
  if (cpuidEax(0, 0) < 0x15) return 0;
  const denominator = cpuidEax(0x15, 0);
  if (denominator == 0) return 0;
  return <u32>((<u64>cpuidEcx(0x15, 0) * cpuidEbx(0x15, 0)) / denominator / 1000);
}
