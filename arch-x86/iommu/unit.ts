/** IOMMU units: their records, and access to their registers. */
import { load64, mmioRead32, mmioWrite32, pause, rdtsc, store64 } from "../hw";
import { tscKhz } from "../host/tsc";

@unmanaged
export class IommuUnit {
  /** Physical address of its registers. */
  registers: u64;
  /** Of its queue of commands, one frame; of the word by which it says that it has done them; and the next index. */
  queue: u64;
  done: u64;
  tail: u32;
  /** What the word by which it says so will be next. */
  turn: u32;
  /** Its PCI segment. */
  segment: u32;
  /** AMD-Vi: the control register's bits that its table asks for. Of the event log: its frame, and the next index. */
  control: u32;
  events: u64;
  eventHead: u32;
}

/** More than machines of eight sockets have. */
export const UNITS_MAX: u32 = 32;
/** Bytes of a unit's queues: one frame, of entries of 16 bytes. */
export const QUEUE_ENTRIES: u32 = 256;
/** How long a unit may take for anything, ms. */
const PATIENCE_MS: u64 = 1000;

const units: usize = memory.data(32 * 64, 8);
let count: u32 = 0;

/** Units found. */
export function unitCount(): u32 {
  return count;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
export function unitAt(i: u32): IommuUnit {
  return changetype<IommuUnit>(units + ((<usize>i) << 6));
}

/** Adds a unit; at start only. The record is zeroed but for its registers and segment. */
export function unitAdd(registers: u64, segment: u32): IommuUnit {
  assert(count < UNITS_MAX, "more IOMMUs than there is room for");
  const u = unitAt(count++);
  memory.fill(changetype<usize>(u), 0, offsetof<IommuUnit>());
  u.registers = registers;
  u.segment = segment;
  return u;
}

/** There are none after all. */
export function unitsForget(): void {
  count = 0;
}

export function read32(u: IommuUnit, register: u32): u32 {
  return mmioRead32(u.registers + register);
}

export function write32(u: IommuUnit, register: u32, value: u32): void {
  mmioWrite32(u.registers + register, value);
}

/** Both kinds allow 64-bit registers to be accessed as two halves; a write's upper half, which may start something, comes last. */
export function read64(u: IommuUnit, register: u32): u64 {
  const low: u64 = read32(u, register);
  return ((<u64>read32(u, register + 4)) << 32) | low;
}

export function write64(u: IommuUnit, register: u32, value: u64): void {
  write32(u, register, <u32>value);
  write32(u, register + 4, <u32>(value >> 32));
}

/** Waits until the bits of `mask` in a register are `value`. False: it took too long. */
export function waitRegister(u: IommuUnit, register: u32, mask: u32, value: u32): bool {
  const end = rdtsc() + PATIENCE_MS * tscKhz();
  while ((read32(u, register) & mask) != value) {
    if (rdtsc() > end) return false;
    pause();
  }
  return true;
}

/** Waits until a word of memory that the unit writes is `value`. False: it took too long. */
export function waitMemory(pa: u64, value: u64): bool {
  const end = rdtsc() + PATIENCE_MS * tscKhz();
  while (load64(pa) != value) {
    if (rdtsc() > end) return false;
    pause();
  }
  return true;
}

/** Writes the two words of the queue's next entry. */
export function queuePut(u: IommuUnit, low: u64, high: u64): void {
  const at = u.queue + ((<u64>u.tail) << 4);
  store64(at, low);
  store64(at + 8, high);
  u.tail = (u.tail + 1) & (QUEUE_ENTRIES - 1);
}
