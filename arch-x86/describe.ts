/** Logs a guest's registers and its latest exit, for a domain that crashed. */
import { HvmVcpu } from "./hvm-vcpu";
import { getPendingEvent } from "./inject";
import { say, sayDec, sayEnd, sayHex } from "./log";
import {
  getCpl,
  getCr0,
  getCr2,
  getCr3,
  getCr4,
  getEfer,
  getGdtrBase,
  getIdtrBase,
  getRflags,
  getRip,
  getRsp,
  getSegmentAttributes,
  getSegmentBase,
  getSegmentSelector,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_SS,
  SEG_TR,
} from "./state";

function pair(name: string, value: u64): void {
  say(" ");
  say(name);
  say("=");
  sayHex(value);
}

/** See hvmDescribe. */
export function describe(v: HvmVcpu): void {
  say("  d");
  sayDec(v.guestDomainId);
  say("v");
  sayDec(v.guestVcpuId);
  pair("exit", v.exitCode);
  pair("gpa", v.exitGpa);
  pair("access", v.exitAccess);
  pair("port", v.exitPort);
  sayEnd();
  say(" ");
  pair("rip", getRip(v));
  pair("rsp", getRsp(v));
  pair("rflags", getRflags(v));
  pair("cs", getSegmentSelector(v, SEG_CS));
  pair("cs.attr", getSegmentAttributes(v, SEG_CS));
  pair("ss", getSegmentSelector(v, SEG_SS));
  pair("cpl", getCpl(v));
  sayEnd();
  say(" ");
  pair("cr0", getCr0(v));
  pair("cr2", getCr2(v));
  pair("cr3", getCr3(v));
  pair("cr4", getCr4(v));
  pair("efer", getEfer(v));
  sayEnd();
  say(" ");
  pair("ds", getSegmentSelector(v, SEG_DS));
  pair("es", getSegmentSelector(v, SEG_ES));
  pair("fs", getSegmentSelector(v, SEG_FS));
  pair("fs.base", getSegmentBase(v, SEG_FS));
  pair("gs", getSegmentSelector(v, SEG_GS));
  pair("gs.base", getSegmentBase(v, SEG_GS));
  pair("tr", getSegmentSelector(v, SEG_TR));
  pair("gdtr", getGdtrBase(v));
  pair("idtr", getIdtrBase(v));
  if (v.eventPending != 0) pair("event", getPendingEvent(v));
  sayEnd();
  say(" ");
  pair("rax", v.rax);
  pair("rcx", v.rcx);
  pair("rdx", v.rdx);
  pair("rbx", v.rbx);
  pair("rbp", v.rbp);
  pair("rsi", v.rsi);
  pair("rdi", v.rdi);
  sayEnd();
  say(" ");
  pair("r8", v.r8);
  pair("r9", v.r9);
  pair("r10", v.r10);
  pair("r11", v.r11);
  pair("r12", v.r12);
  pair("r13", v.r13);
  pair("r14", v.r14);
  pair("r15", v.r15);
  sayEnd();
}
