/**
 * The rule violated by a refused entry: found when svm/ and vmx/ repeat the processor's checks, and formatted here.
 * Nothing here allocates: a finding is kept until the next one.
 */
import { say, sayChar, sayHex } from "./log";

let register: string = "";
let part: string = "";
let value: u64 = 0;
let rule: string = "";

/**
 * Records that `name`, whose value is `found`, violates a rule.
 * @param text description of the error, printed after "name = 0x...: "
 * @returns true, so that checks can end with it
 */
export function breaks(name: string, found: u64, text: string): bool {
  return breaksPart(name, "", found, text);
}

/** As `breaks`, for a part of a register: "guest CS" and " limit". */
export function breaksPart(name: string, piece: string, found: u64, text: string): bool {
  register = name;
  part = piece;
  value = found;
  rule = text;
  return true;
}

/** Says the latest finding, as a part of a line: "guest CR0 = 0x80000030: PG is set without PE". */
export function sayRule(): void {
  say(register);
  say(part);
  say(" = ");
  sayHex(value);
  sayChar(0x3a);
  sayChar(0x20);
  say(rule);
}

/** 48-bit linear addresses: bits 63..47 are all the same. */
export function isCanonical(address: u64): bool {
  return <u64>((<i64>(address << 16)) >> 16) == address;
}

/** Whether each byte of a PAT names a memory type: 0, 1, 4, 5, 6, 7 (SDM 3A 12.12.2; APM 2, 7.8.1). */
export function patPossible(pat: u64): bool {
  for (let i: u64 = 0; i < 64; i += 8) {
    const type = (pat >> i) & 0xff;
    if (type > 7 || type == 2 || type == 3) return false;
  }
  return true;
}
