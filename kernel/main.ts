/**
 * The hypervisor module's entry points: `start` once on the boot CPU, then `step` forever on each CPU. Everything else that is
 * exported serves the shim's crash reports and the simulation.
 */
import { BootInfo } from "../abi/boot-info";
import { hostApicInit, hostApicSetDeadline } from "../arch-x86/host/apic";
import { HVM_FEATURE_DEADLINE } from "../arch-x86/features";
import { hvmEnter, hvmFeatureMask, hvmFpuSwitch } from "../arch-x86/hvm";
import { HvmVcpu } from "../arch-x86/hvm-vcpu";
import * as hw from "../arch-x86/hw";
import { say, sayDec, sayEnd } from "../arch-x86/log";
import { supply } from "../arch-x86/supply";
import { tscInit, tscKhz } from "../arch-x86/host/tsc";
import { uartInit } from "../arch-x86/host/uart";
import { vcpuOf } from "./records/domain-access";
import { softwareOf } from "./records/software-domain";
import { audit } from "./audit/audit";
import { bootOptions } from "./machine/boot-options";
import { Cpu, cpuOf } from "./records/cpu";
import { dmaStart } from "./memory/dma-space";
import { dmesgLine, dmesgUseDriver } from "./machine/dmesg";
import { dmaFaultsStart } from "./software/dma-faults";
import { dom0Start } from "./software/dom0";
import { ioStart } from "./software/io-domain";
import { Domain, DomainKind } from "./records/domain";
import { domainsReap } from "./domains/domain-life";
import { domainFirst, domainReapWanted } from "./records/domain-list";
import { exitHandle } from "./exits";
import { framesClean, freeFrames, totalFrames } from "./memory/frames";
import { framesInit } from "./memory/frames-boot";
import { heapInit } from "./memory/heap";
import { archFrameAlloc, archFrameAllocRun, archFrameFree } from "./memory/overhead";
import { hypercallSoftware, hypercallSoftwareContinue, hypercallStart } from "./hypercalls/hypercall-table";
import { interruptHandle } from "./interrupts";
import { machineReport } from "./machine/machine-report";
import { memoryMapStart } from "./hypercalls/memory-map";
import { panic } from "./machine/panic";
import { schedulerDeadline, schedulerPick, schedulerStart } from "./scheduling/scheduler";
import { sharedInfoStart, updateTime } from "./events/shared-info";
import { softwarePortAccess, softwareRun } from "./software-exits";
import { softwareMemoryInit, softwareTouchPage } from "./memory/software-memory";
import { softwareRestart } from "./software/software-restart";
import { startInfoInit } from "./software/start-info";
import { nowNs, nsAtTsc, timeInit, tscAtNs } from "./scheduling/time";
import { periodicResume, periodicSuspend } from "./domains/vcpu-timers";
import { timersNext, timersRun, timersSooner } from "./scheduling/timer";
import { upcallDeliver } from "./events/upcall";
import { Vcpu } from "./records/vcpu";
import { virtualisationStart } from "./machine/virtualisation";
import { TYPEVISOR_VERSION, xenVersionInit } from "./hypercalls/xen-version";
import { updateRunstate } from "./scheduling/runstate";
import { consoleInput } from "./events/console-input";

export { audit };

const boot: usize = memory.data(12288, 8);

/** Longest time without checking the clock while one vCPU has the CPU to itself, ns. */
const ALONE_NS: u64 = 1000000000;
/**
 * A vCPU's time record is refreshed at a switch when it is older than this, ns (guests extrapolate from it by the TSC), or
 * when the guest's TSC offset has changed since.
 */
const TIME_FRESH_NS: u64 = 1000000000;

/** Brings the hypervisor up and creates domain 0 and the I/O domain. Once, on the boot CPU, interrupts off. */
export function start(): void {
  supply(archFrameAlloc, archFrameAllocRun, archFrameFree, dmesgLine);
  hw.bootInfo(boot);
  framesInit(boot);
  heapInit();
  uartInit();
  // What was received before interrupts no more.
  consoleInput();
  dmesgUseDriver();
  banner();
  tscInit(load<u64>(boot + BootInfo.rsdp));
  timeInit(load<u64>(boot + BootInfo.tscEntry));
  hostApicInit();
  virtualisationStart();
  bootOptions(boot);
  deadlineByProcessor = (hvmFeatureMask() & HVM_FEATURE_DEADLINE) != 0;
  say("Time stamp counter: ");
  sayDec(tscKhz());
  say(" kHz.");
  sayEnd();
  sharedInfoStart();
  hypercallStart();
  xenVersionInit(boot + BootInfo.commandLine);
  softwareMemoryInit(boot);
  startInfoInit(boot);
  memoryMapStart(boot);
  const c = cpuOf(0);
  c.online = 1;
  schedulerStart(c);
  dmaStart(boot);
  machineReport(load<u64>(boot + BootInfo.rsdp));
  dmaFaultsStart();
  if (!dom0Start()) panic("not enough memory for domain 0");
  if (ioStart(boot)) return;
  say("Not enough memory for the I/O domain: there are no devices.");
  sayEnd();
}

function banner(): void {
  say("Typevisor ");
  say(TYPEVISOR_VERSION);
  say(", Xen 4.17 interface. ");
  sayDec(totalFrames() >> 8);
  say(" MiB of memory, ");
  sayDec(freeFrames() >> 8);
  say(" MiB free.");
  sayEnd();
}

/**
 * One turn of a CPU's loop: due timers and the scheduler, then one entry of the chosen vCPU and the handling of its
 * exit; or idle until an interrupt. The shim calls it forever.
 */
export function step(cpu: u32): void {
  const c = cpuOf(cpu);
  let v = changetype<Vcpu | null>(c.current);
  if (v == null || c.reschedule != 0 || timersSooner() || hw.rdtsc() >= c.deadlineTsc) {
    v = turn(c, cpu);
    if (v == null) {
      idle(c, cpu);
      return;
    }
  }
  if (v.domain.kind == DomainKind.Hvm) {
    if (c.fpuOwner != changetype<usize>(v)) fpuGive(c, v);
    upcallDeliver(v);
    const reason = hvmEnter(v, c.deadlineTsc);
    const counter = v.exitCounts + ((<usize>reason) << 3);
    store<u64>(counter, load<u64>(counter) + 1);
    exitHandle(v, reason);
  } else {
    if (c.fpuOwner && softwareOf(v.domain).usesFpu) fpuGive(c, null);
    softwareRun(v);
  }
}

/** Runs due timers, chooses the vCPU that runs next and until when. Null: none. */
function turn(c: Cpu, cpu: u32): Vcpu | null {
  if (c.interruptTaken) {
    const vector = c.interruptTaken - 1;
    c.interruptTaken = 0;
    interruptHandle(cpu, vector);
  }
  let now = nowNs();
  if (timersRun(now)) now = nowNs();
  if (domainReapWanted() || c.restarts) {
    domainsReap();
    while (c.restarts) softwareRestart(c);
    now = nowNs();
  }
  const before = c.current;
  const v = schedulerPick(c, now);
  const until = v == null ? u64.MAX_VALUE : schedulerDeadline(c, now, ALONE_NS);
  if (before != c.current) {
    if (before) periodicSuspend(changetype<Vcpu>(before));
    if (v != null) periodicResume(v, now);
  }
  c.deadlineTsc = tscAtNs(min(timersNext(), until));
  if (v == null) return null;
  // On Intel the preemption timer ends a guest's slice by itself; everything else needs the local APIC's.
  if (!deadlineByProcessor || v.domain.kind != DomainKind.Hvm) hostApicSetDeadline(c.deadlineTsc);
  if (before != c.current) {
    updateRunstate(v);
    if (now - v.timeUpdatedNs > TIME_FRESH_NS || v.timeTscOffset != v.tscOffset) {
      updateTime(v);
      v.timeUpdatedNs = now;
    }
  }
  return v;
}

/** The processor itself ends a guest's entry at the deadline. */
let deadlineByProcessor: bool = false;

function fpuGive(c: Cpu, v: Vcpu | null): void {
  hvmFpuSwitch(changetype<HvmVcpu | null>(c.fpuOwner), v);
  c.fpuOwner = changetype<usize>(v);
}

/** Nothing runs: memory is cleaned ahead of time, a piece in each turn, and then the CPU sleeps until an interrupt. */
function idle(c: Cpu, cpu: u32): void {
  const from = hw.rdtsc();
  if (from >= c.deadlineTsc) return;
  let vector: i32;
  if (framesClean()) {
    vector = hw.takeInterrupt();
  } else {
    hostApicSetDeadline(c.deadlineTsc);
    vector = hw.idle();
  }
  if (vector >= 0) interruptHandle(cpu, vector);
  c.idleNs += nsAtTsc(hw.rdtsc()) - nsAtTsc(from);
}

/**
 * Executes the hypercall in a software domain's call page and writes the result, continuing it until it is done. For the
 * simulation, which plays domain 0 itself.
 */
export function softwareHypercall(space: u32): void {
  const v = softwareVcpu(space);
  if (v == null) return;
  hypercallSoftware(v);
  while (v.hypercallPending) hypercallSoftwareContinue(v);
}

/** As a page fault of a software domain at linear `address`: 1 when there is memory now, 0 refused. For the simulation. */
export function softwareTouch(space: u32, address: u32, write: u32): u32 {
  const v = softwareVcpu(space);
  return v != null && softwareTouchPage(v.domain, address, write != 0) ? 1 : 0;
}

/** As an access of a software domain to a port (SoftwareExit.port): what is read. For the simulation. */
export function softwarePort(space: u32, access: u32, value: u32): u32 {
  const v = softwareVcpu(space);
  return v != null ? softwarePortAccess(v, access, value) : u32.MAX_VALUE;
}

function softwareVcpu(space: u32): Vcpu | null {
  for (let at = changetype<usize>(domainFirst()); at; at = changetype<Domain>(at).next) {
    const d = changetype<Domain>(at);
    if (d.kind == DomainKind.Software && softwareOf(d).space == space) return vcpuOf(d, 0);
  }
  return null;
}
