/**
 * What devices were refused by the IOMMU: looked at once a second, and when somebody asks for the count, so that a device which does
 * nothing but break the rules costs nothing. Each is counted; the first few of a minute are logged, with what is wrong and what follows.
 */
import { Fault, FAULT_ADDRESS, FAULT_DEVICE } from "../../arch-x86/iommu/fault";
import { iommuFault } from "../../arch-x86/iommu/iommu";
import { say, sayChar, sayDec, sayEnd, sayHex } from "../../arch-x86/log";
import { dmaConfined } from "../memory/dma-space";
import { nowNs } from "../scheduling/time";
import { Timer, timerInit, timerSet } from "../scheduling/timer";

const POLL_NS: u64 = 1000000000;
const MINUTE_NS: u64 = 60000000000;
const LINES_MAX: u32 = 8;
/** Taken at a time. */
const BATCH: u32 = 64;

@unmanaged
class DmaFaults {
  count: u64;
  /** When the minute began whose lines are counted. */
  since: u64;
  lines: u32;
  untold: u32;
}

const state = changetype<DmaFaults>(memory.data(offsetof<DmaFaults>(), 8));
const fault = changetype<Fault>(memory.data(offsetof<Fault>(), 8));
const timer = changetype<Timer>(memory.data(offsetof<Timer>(), 8));

/** Begins to look for them, where devices are confined. Once. */
export function dmaFaultsStart(): void {
  if (!dmaConfined()) return;
  timerInit(timer, poll, 0);
  timerSet(timer, nowNs() + POLL_NS);
}

function poll(_arg: usize): void {
  dmaFaultsTake();
  timerSet(timer, nowNs() + POLL_NS);
}

/** How many accesses of devices have been refused, as far as the IOMMU has room to record them. */
export function dmaFaultCount(): u64 {
  dmaFaultsTake();
  return state.count;
}

/** Takes the faults that units have recorded. */
function dmaFaultsTake(): void {
  const now = nowNs();
  if (now - state.since >= MINUTE_NS) {
    if (state.untold) {
      say("DMA: ");
      sayDec(state.untold);
      say(" more accesses were refused.");
      sayEnd();
    }
    state.since = now;
    state.lines = 0;
    state.untold = 0;
  }
  for (let i: u32 = 0; i < BATCH && iommuFault(fault); i++) {
    state.count++;
    if (state.lines == LINES_MAX) {
      state.untold++;
    } else {
      state.lines++;
      report();
    }
  }
}

/** A number below 256 in hexadecimal, as PCI's addresses are written. */
function sayDigits(value: u32): void {
  for (let shift = value < 16 ? 0 : 4; shift >= 0; shift -= 4) {
    const digit = (value >> shift) & 15;
    sayChar(digit < 10 ? 0x30 + digit : 0x57 + digit);
  }
}

function report(): void {
  say("DMA: ");
  sayDigits(fault.requester >> 8);
  say(":");
  sayDigits((fault.requester >> 3) & 31);
  say(".");
  sayDec(fault.requester & 7);
  say(fault.write ? " may not write to " : " may not read from ");
  sayHex(fault.address);
  if (fault.kind == FAULT_DEVICE) {
    say(": the I/O domain does not use the device");
  } else if (fault.kind == FAULT_ADDRESS) {
    say(": the I/O domain has given it no such memory");
  } else {
    say(": the IOMMU's reason ");
    sayDec(fault.reason);
  }
  sayEnd();
}
