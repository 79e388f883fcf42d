/** The machine's wall clock: the CMOS real-time clock (MC146818), read once at start. Taken as UTC, as Xen does. */
import * as hw from "../../arch-x86/hw";

const INDEX: u32 = 0x70;
const DATA: u32 = 0x71;

const STATUS_A: u32 = 0x0a;
const UPDATE_IN_PROGRESS: u32 = 0x80;
const STATUS_B: u32 = 0x0b;
const HOURS_24: u32 = 0x02;
const BINARY: u32 = 0x04;
const PM: u32 = 0x80;

/** Bit 7 of the index disables NMIs; that is not needed here, so it stays clear. */
function cmos(register: u32): u32 {
  hw.out8(INDEX, register);
  return hw.in8(DATA) & 0xff;
}

function number(raw: u32, binary: bool): u32 {
  return binary ? raw : (raw >> 4) * 10 + (raw & 15);
}

/** Days from 1970-01-01 to a date of the Gregorian calendar (years counted from March, so leap days come last). */
function daysSince1970(year: u32, month: u32, day: u32): u64 {
  const y = month > 2 ? year : year - 1;
  const m = month > 2 ? month - 3 : month + 9;
  return <u64>y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/** Seconds since 1970; 0 if the clock is invalid or absent. */
export function rtcSeconds(): u64 {
  // Two equal readings outside an update: the registers change one after the other. 1,000 tries outlast an update.
  let previous: u64 = u64.MAX_VALUE;
  for (let tries = 0; tries < 1000; tries++) {
    if (cmos(STATUS_A) & UPDATE_IN_PROGRESS) continue;
    const seconds = read();
    if (seconds == previous) return seconds;
    previous = seconds;
  }
  return 0;
}

function read(): u64 {
  const status = cmos(STATUS_B);
  const binary = (status & BINARY) != 0;
  const second = number(cmos(0), binary);
  const minute = number(cmos(2), binary);
  const rawHour = cmos(4);
  let hour = number(status & HOURS_24 ? rawHour : rawHour & ~PM, binary);
  if (!(status & HOURS_24)) hour = (hour % 12) + (rawHour & PM ? 12 : 0);
  const day = number(cmos(7), binary);
  const month = number(cmos(8), binary);
  // Two digits, of the century that has them since 1970: a clock that lost its battery shows some year of the last one.
  const digits = number(cmos(9), binary);
  const year = (digits < 70 ? 2000 : 1900) + digits;
  if (second > 60 || minute > 59 || hour > 23 || day < 1 || day > 31 || month < 1 || month > 12) return 0;
  return daysSince1970(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
}
