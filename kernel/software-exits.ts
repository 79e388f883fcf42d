/** Running a software-isolated domain, and what happens when it leaves: one table, by SOFTWARE_EXIT_*. */
import {
  SoftwareExit,
  SOFTWARE_PORT_SIZE_MASK,
  SOFTWARE_PORT_SIZE_SHIFT,
  SOFTWARE_PORT_WRITE,
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
import { HvmExit } from "../arch-x86/hvm-vcpu";
import { portRead, portWrite } from "./devices/ports";
import { drivesDevices, softwareExitOf, softwareOf } from "./records/software-domain";
import { Vcpu } from "./records/vcpu";
import { softwareRestartForgiven, softwareRestartLater } from "./domains/domain-shutdown";
import { blockWithEvents } from "./events/upcall";

type SoftwareExitHandler = (v: Vcpu) => void;

/** Pages of WebAssembly have 64 KiB, frames 4 KiB. */
const FRAMES_PER_WASM_PAGE: u64 = 16;

const EXITS: StaticArray<SoftwareExitHandler> = [hypercall, blockWithEvents, interrupt, pageFault, trap, grow, port];
/** As what the I/O domain's are counted (XEN_SYSCTL_perfc_op): the HvmExit that is nearest. */
const COUNTED: StaticArray<u32> = [
  HvmExit.Hypercall,
  HvmExit.Halt,
  HvmExit.Interrupt,
  HvmExit.NestedFault,
  HvmExit.Unknown,
  HvmExit.NestedFault,
  HvmExit.Io,
];

/** Runs the domain until it exits, and handles the exit. */
export function softwareRun(v: Vcpu): void {
  const s = softwareOf(v.domain);
  if (v.hypercallPending) {
    const from = hw.rdtsc();
    hypercallSoftwareContinue(v);
    s.calls++;
    s.callTicks += hw.rdtsc() - from;
    return;
  }
  const reason = hw.enterSoftware(s.space, softwareExitOf(s));
  assert(reason < <u32>EXITS.length, "a software domain left for an unknown reason");
  if (!v.domain.privileged) {
    const counter = v.exitCounts + ((<usize>unchecked(COUNTED[reason])) << 3);
    store<u64>(counter, load<u64>(counter) + 1);
  }
  unchecked(EXITS[reason])(v);
}

function hypercall(v: Vcpu): void {
  const s = softwareOf(v.domain);
  const from = hw.rdtsc();
  hypercallSoftware(v);
  s.calls++;
  s.callTicks += hw.rdtsc() - from;
}

/** A field of the vCPU's exit record. */
function exitField(v: Vcpu, field: u32): u64 {
  return load<u64>(softwareExitOf(softwareOf(v.domain)) + field);
}

function interrupt(v: Vcpu): void {
  interruptHandle(v.cpu, <i32>exitField(v, SoftwareExit.vector));
}

function pageFault(v: Vcpu): void {
  const address = exitField(v, SoftwareExit.address);
  const write = exitField(v, SoftwareExit.write) != 0;
  if (softwareTouchPage(v.domain, address, write)) return;
  if (softwareLacksMemory(v.domain, address, write)) {
    // It is not domain 0's fault; the I/O domain asks for memory before it touches more than it was promised.
    if (v.domain.privileged) softwareRestartForgiven(v.domain, "memory is out");
    else softwareRestartLater(v.domain, "memory is out");
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
  softwareRestartLater(v.domain, trapWords(<u32>exitField(v, SoftwareExit.trap)));
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
  const pages = exitField(v, SoftwareExit.pages) * FRAMES_PER_WASM_PAGE;
  const ok = pages >= softwareOf(v.domain).enginePages && pages <= u32.MAX_VALUE && engineGrow(v.domain, <u32>pages);
  answer(v, ok ? 1 : 0);
}

/** Sets what the domain gets as the result of what it left for. */
function answer(v: Vcpu, value: u64): void {
  store<u64>(softwareExitOf(softwareOf(v.domain)) + SoftwareExit.result, value);
}

function port(v: Vcpu): void {
  const access = <u32>exitField(v, SoftwareExit.port);
  answer(v, softwarePortAccess(v, access, <u32>exitField(v, SoftwareExit.result)));
}

/**
 * An access to a port: all ones and ignored for a domain that drives no devices.
 * @param access as SoftwareExit.port
 * @param value what is written, if it is a write
 * @returns what is read
 */
export function softwarePortAccess(v: Vcpu, access: u32, value: u32): u32 {
  const number = access & 0xffff;
  const size = (access >> SOFTWARE_PORT_SIZE_SHIFT) & SOFTWARE_PORT_SIZE_MASK;
  if (!drivesDevices(v.domain)) return u32.MAX_VALUE;
  if (!(access & SOFTWARE_PORT_WRITE)) return portRead(v.domain, number, size);
  portWrite(v.domain, number, size, value);
  return value;
}
