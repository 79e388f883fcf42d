/** Running a software-isolated domain, and what happens when it leaves: one table, by SOFTWARE_EXIT_*. */
import {
  SoftwareExit,
  SOFTWARE_TRAP_ABORT,
  SOFTWARE_TRAP_ARITHMETIC,
  SOFTWARE_TRAP_CALL,
  SOFTWARE_TRAP_MEMORY,
  SOFTWARE_TRAP_STACK,
  SOFTWARE_TRAP_UNREACHABLE,
} from "../abi/software";
import * as hw from "../arch-x86/hw";
import { say, sayDec, sayEnd, sayHex } from "../arch-x86/log";
import { hypercallSoftware, hypercallSoftwareContinue } from "./hypercalls/hypercall-table";
import { interruptHandle } from "./interrupts";
import { engineGrow, softwareLacksMemory, softwareTouchPage } from "./memory/software-memory";
import { softwareCallCount } from "./software/software-stats";
import { softwareOf } from "./records/software-domain";
import { Vcpu } from "./records/vcpu";
import { softwareRestartForgiven, softwareRestartLater } from "./domains/domain-shutdown";
import { blockWithEvents } from "./events/upcall";

type SoftwareExitHandler = (v: Vcpu) => void;

/** Pages of WebAssembly have 64 KiB, frames 4 KiB. */
const FRAMES_PER_WASM_PAGE: u64 = 16;

const exit: usize = memory.data(64, 8);

const EXITS: StaticArray<SoftwareExitHandler> = [hypercall, blockWithEvents, interrupt, pageFault, trap, grow];

/** Runs the domain until it exits, and handles the exit. */
export function softwareRun(v: Vcpu): void {
  if (v.hypercallPending) {
    const from = hw.rdtsc();
    hypercallSoftwareContinue(v);
    softwareCallCount(hw.rdtsc() - from);
    return;
  }
  const reason = hw.enterSoftware(softwareOf(v.domain).space, exit);
  assert(reason < <u32>EXITS.length, "a software domain left for an unknown reason");
  unchecked(EXITS[reason])(v);
}

function hypercall(v: Vcpu): void {
  const from = hw.rdtsc();
  hypercallSoftware(v);
  softwareCallCount(hw.rdtsc() - from);
}

function interrupt(v: Vcpu): void {
  interruptHandle(v.cpu, <i32>load<u64>(exit + SoftwareExit.vector));
}

function pageFault(v: Vcpu): void {
  const address = load<u64>(exit + SoftwareExit.address);
  const write = load<u64>(exit + SoftwareExit.write) != 0;
  if (softwareTouchPage(v.domain, address, write)) return;
  if (softwareLacksMemory(v.domain, address, write)) {
    softwareRestartForgiven(v.domain, "memory is out");
    return;
  }
  say("d");
  sayDec(v.domain.id);
  say(write ? " wrote to " : " read from ");
  sayHex(address);
  say(", where it has no such memory.");
  sayEnd();
  softwareRestartLater(v.domain, "page fault outside its memory");
}

function trap(v: Vcpu): void {
  softwareRestartLater(v.domain, trapWords(<u32>load<u64>(exit + SoftwareExit.trap)));
}

function trapWords(kind: u32): string {
  if (kind == SOFTWARE_TRAP_MEMORY) return "access outside its linear memory";
  if (kind == SOFTWARE_TRAP_STACK) return "its stack is exhausted";
  if (kind == SOFTWARE_TRAP_ARITHMETIC) return "division by zero or overflow";
  if (kind == SOFTWARE_TRAP_UNREACHABLE) return "it reached unreachable code";
  if (kind == SOFTWARE_TRAP_CALL) return "indirect call of the wrong type";
  if (kind == SOFTWARE_TRAP_ABORT) return "it aborted";
  return "processor exception";
}

/** memory.grow: allowed up to the engine's limit; frames are allocated at first touch. */
function grow(v: Vcpu): void {
  const pages = load<u64>(exit + SoftwareExit.pages) * FRAMES_PER_WASM_PAGE;
  const ok = pages >= softwareOf(v.domain).enginePages && pages <= u32.MAX_VALUE && engineGrow(v.domain, <u32>pages);
  store<u64>(exit + SoftwareExit.result, ok ? 1 : 0);
}
