/**
 * Shutdown of a domain: by its own SCHEDOP_shutdown, by the toolstack, or by a crash. The domain remains, with its
 * memory, until domain 0 destroys it; domain 0 is notified by VIRQ_DOM_EXC and reads the reason with getdomaininfo.
 * When domain 0 itself shuts down, the machine is powered off; when it crashes, it is restarted. The I/O domain is restarted
 * whatever its reason.
 */
import { SHUTDOWN_crash, SHUTDOWN_reboot, SHUTDOWN_watchdog, SHUTDOWN_poweroff } from "../../abi/sched";
import { VIRQ_DOM_EXC } from "../../abi/xen";
import { hvmDescribe } from "../../arch-x86/hvm";
import { say, sayDec, sayEnd } from "../../arch-x86/log";
import { vcpuOf } from "../records/domain-access";
import { Domain, DomainKind, SHUTDOWN_CODE_INVALID } from "../records/domain";
import { domainChanged } from "../records/domain-list";
import { sendGlobalVirq } from "../events/event-channel";
import { machineStop } from "../machine/machine-off";
import { domainPauseFlag, PAUSE_SHUTDOWN, vcpuDown } from "../scheduling/scheduler";
import { Vcpu, VcpuRun } from "../records/vcpu";
import { cpuOf } from "../records/cpu";
import { softwareOf } from "../records/software-domain";

/**
 * Shuts a domain down with a SHUTDOWN_* code; one latched before by SCHEDOP_shutdown_code wins. No effect on a domain
 * that is down already. The caller's own vCPU stops at the end of its hypercall or exit.
 */
export function domainShutdown(d: Domain, code: u32): void {
  if (d.shutdownCode == SHUTDOWN_CODE_INVALID) d.shutdownCode = code & 0xff;
  if (d.kind == DomainKind.Software && !d.privileged) {
    if (d.shutdown) return;
    softwareRestartLater(
      d,
      d.shutdownCode == SHUTDOWN_watchdog ? "it did not pet its watchdog" : "it shut itself down",
    );
    return;
  }
  if (d.privileged) {
    if (d.shutdownCode == SHUTDOWN_crash) {
      softwareRestartLater(d, "it said that it had crashed");
    } else if (d.shutdownCode == SHUTDOWN_watchdog) {
      softwareRestartLater(d, "it did not pet its watchdog");
    } else {
      machineStop(d.shutdownCode == SHUTDOWN_reboot);
    }
    return;
  }
  if (d.shutdown) return;
  d.shutdown = 1;
  domainPauseFlag(d, PAUSE_SHUTDOWN, true);
  domainChanged(d.id);
  sendGlobalVirq(VIRQ_DOM_EXC);
}

/**
 * Shutdown by the toolstack (SCHEDOP_remote_shutdown), as domainShutdown. The I/O domain is restarted, also when it had crashed
 * too often; only with SHUTDOWN_crash does that count as a crash of it.
 */
export function domainShutdownRemote(d: Domain, code: u32): void {
  if (d.kind != DomainKind.Software || d.privileged) domainShutdown(d, code);
  else if (code == SHUTDOWN_crash && !d.shutdown) softwareRestartLater(d, "domain 0 said that it had crashed");
  else softwareRestartForgiven(d, "domain 0 asked for it");
}

/** Crashes the domain of `v` for `reason` (words after "d3v0 crashed: "): the state of that vCPU is logged. */
export function vcpuCrash(v: Vcpu, reason: string): void {
  const d = v.domain;
  if (d.shutdown) return;
  say("d");
  sayDec(d.id);
  say("v");
  sayDec(v.id);
  say(" crashed: ");
  say(reason);
  sayEnd();
  hvmDescribe(v);
  domainShutdown(d, SHUTDOWN_crash);
}

/** Takes a vCPU down; if it was the last one up, the domain shuts down with SHUTDOWN_poweroff. */
export function vcpuDownOrShutdown(v: Vcpu): i64 {
  const d = v.domain;
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const other = vcpuOf(d, i);
    if (other != null && other.id != v.id && other.run != VcpuRun.Down) {
      vcpuDown(v);
      return 0;
    }
  }
  domainShutdown(d, SHUTDOWN_poweroff);
  return 0;
}

/** Requests a restart at the next turn of the loop: the caller may be in the middle of the domain's hypercall. */
export function softwareRestartLater(d: Domain, why: string): void {
  const s = softwareOf(d);
  if (s.restartWanted) return;
  say("Domain ");
  sayDec(d.id);
  say(" is restarted: ");
  say(why);
  sayEnd();
  const v = vcpuOf(d, 0)!;
  const c = cpuOf(v.cpu);
  v.hypercallPending = 0;
  s.restartWanted = 1;
  s.nextRestart = c.restarts;
  c.restarts = changetype<usize>(d);
  c.reschedule = 1;
}

/** As softwareRestartLater, for a restart that the domain did not cause: it is not counted as a crash. */
export function softwareRestartForgiven(d: Domain, why: string): void {
  const s = softwareOf(d);
  if (!s.restartWanted) s.restartForgiven = 1;
  softwareRestartLater(d, why);
}
