/** What the kernel does when a hardware guest leaves: one table, by HvmExit. */
import { HVM_PARAM_TRIPLE_FAULT_REASON } from "../abi/hvm";
import {
  hvmDescribe,
  hvmEmulateAccess,
  hvmExplainEntryFailure,
  hvmFinishIn,
  hvmFlush,
  hvmInterruptsEnabled,
} from "../arch-x86/hvm";
import { HVM_ACCESS_FETCH, HVM_ACCESS_WRITE } from "../arch-x86/hvm-vcpu";
import { say, sayChar, sayDec, sayEnd, sayHex } from "../arch-x86/log";
import { P2M_GRANT_RO, P2M_NONE, P2M_RAM, P2M_RAM_RO, P2M_SHARED_RO, P2M_TYPE_MASK } from "../arch-x86/p2m-types";
import { acpiPortWrite } from "./domains/acpi-sleep";
import { domainShutdown, vcpuCrash, vcpuDownOrShutdown } from "./domains/domain-shutdown";
import { hypercallPageFill } from "./hypercalls/hypercall-page";
import { hypercallHvm } from "./hypercalls/hypercall-table";
import { interruptsDrain } from "./interrupts";
import { physmapLookup } from "./memory/physmap";
import { schedulerYield } from "./scheduling/scheduler";
import { Vcpu } from "./records/vcpu";
import { injectException } from "../arch-x86/inject";
import { consoleByte } from "./domains/guest-log";
import { blockWithEvents } from "./events/upcall";
import { vlapicDoEffects } from "./ipi";
import { VECTOR_UD } from "../arch-x86/vectors";

export type ExitHandler = (v: Vcpu) => void;

/** Xen's debug console port: what guests write goes to the log. */
const PORT_DEBUG_CONSOLE: u32 = 0xe9;

const EXITS: StaticArray<ExitHandler> = [
  nothing, // None
  interrupt,
  nothing, // Deadline: the loop looks at the clock
  hypercallHvm,
  halt,
  portIo,
  nestedFault,
  nothing, // Window: the loop offers the upcall again
  tripleFault,
  entryFailed,
  schedulerYield, // Pause: it spins on something that another vCPU must do
  unknown,
  hypercallPageFill,
  vlapicDoEffects,
];

/** Handles exit `reason` (HvmExit) of `v`. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function exitHandle(v: Vcpu, reason: u32): void {
  unchecked(EXITS[reason])(v);
}

function nothing(v: Vcpu): void {}

function interrupt(v: Vcpu): void {
  interruptsDrain(v.cpu);
}

/** HLT with interrupts off can never end, so it takes the vCPU down, and with the last one the domain: as on Xen. */
function halt(v: Vcpu): void {
  if (v.eventPending) return;
  if (hvmInterruptsEnabled(v)) blockWithEvents(v);
  else vcpuDownOrShutdown(v);
}

/** There are no devices: reads return all ones, writes are ignored, except to the debug console and ACPI's sleep control register. */
function portIo(v: Vcpu): void {
  if (v.exitIn) hvmFinishIn(v, u32.MAX_VALUE);
  else if (v.exitSize != 1) return;
  else if (v.exitPort == PORT_DEBUG_CONSOLE) consoleByte(v.domain, <u32>v.exitValue);
  else acpiPortWrite(v.domain, v.exitPort, <u32>v.exitValue);
}

/**
 * An access that the nested page tables do not allow. Where nothing is mapped, and for writes to read-only memory, it is
 * emulated as an access to the local APIC or to an absent device. If a mapping made meanwhile allows it, the guest retries it.
 */
function nestedFault(v: Vcpu): void {
  const type = <u32>(physmapLookup(v.domain, v.exitGpa >> 12) & P2M_TYPE_MASK);
  const readOnly = type == P2M_RAM_RO || type == P2M_GRANT_RO || type == P2M_SHARED_RO;
  const discarded = (v.exitAccess & HVM_ACCESS_WRITE) != 0 && readOnly;
  const fetch = (v.exitAccess & HVM_ACCESS_FETCH) != 0;
  if (type != P2M_NONE && !discarded && !(fetch && type != P2M_RAM && type != P2M_RAM_RO)) {
    hvmFlush(v);
    return;
  }
  // Xen gives an instruction that it cannot emulate #UD.
  if (fetch || !hvmEmulateAccess(v)) injectException(v, VECTOR_UD, -1, 0);
  else if (v.apicEffects) vlapicDoEffects(v);
}

/** A triple fault shuts the guest down for a reboot, unless HVM_PARAM_TRIPLE_FAULT_REASON says otherwise. */
function tripleFault(v: Vcpu): void {
  const d = v.domain;
  if (d.shutdown) return;
  say("d");
  sayDec(d.id);
  say("v");
  sayDec(v.id);
  say(" has had a triple fault.");
  sayEnd();
  hvmDescribe(v);
  domainShutdown(d, <u32>load<u64>(d.hvmParams + ((<usize>HVM_PARAM_TRIPLE_FAULT_REASON) << 3)));
}

/** Logs what was wrong, which is usually caused by the guest, and ends the guest. */
function entryFailed(v: Vcpu): void {
  say("d");
  sayDec(v.domain.id);
  say("v");
  sayDec(v.id);
  say(": VM entry failed: ");
  hvmExplainEntryFailure(v);
  sayChar(0x2e);
  sayEnd();
  vcpuCrash(v, "the processor refused to enter it");
}

function unknown(v: Vcpu): void {
  say("Exit code ");
  sayHex(v.exitCode);
  say(" is not known to this hypervisor.");
  sayEnd();
  vcpuCrash(v, "it left for a reason that is not handled");
}
