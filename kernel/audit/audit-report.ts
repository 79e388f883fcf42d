/** Reports of the audits: the first few violations are logged, all are counted. */
import { say, sayDec, sayEnd, sayHex } from "../../arch-x86/log";
import { Domain } from "../records/domain";

const LINES_MAX: u32 = 20;
let violations: u32 = 0;

/** Starts an audit. */
export function auditBegin(): void {
  violations = 0;
}

/** Violations found since auditBegin. */
export function auditCount(): u32 {
  return violations;
}

/**
 * Reports a violation.
 * @param d the domain concerned; null for the machine
 * @param what description, followed by the number
 */
export function violation(d: Domain | null, what: string, number: u64): void {
  violations++;
  if (violations > LINES_MAX) return;
  say("AUDIT: ");
  if (d != null) {
    say("d");
    sayDec(d.id);
    say(": ");
  }
  say(what);
  say(" ");
  sayHex(number);
  sayEnd();
}

/** Reports unless `ok`. */
export function rule(ok: bool, d: Domain | null, what: string, number: u64): void {
  if (!ok) violation(d, what, number);
}
