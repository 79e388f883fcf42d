/** Debug keys (XEN_SYSCTL_debug_keys): each prints part of the hypervisor's state to its log. */
import { hvmDescribe } from "../../arch-x86/hvm";
import { HvmExit } from "../../arch-x86/hvm-vcpu";
import { say, sayChar, sayDec, sayEnd, sayHex } from "../../arch-x86/log";
import { vcpuOf } from "../records/domain-access";
import { audit } from "./audit";
import { Domain, DomainKind } from "../records/domain";
import { domainFirst } from "../records/domain-list";
import { isMasked, isPending } from "../events/event-delivery";
import { eventsOf, portOf, PortState } from "../events/event-port";
import { framesOfType, FrameType } from "../memory/frames";
import { activeOf, grantEntries, grants } from "../grants/grant-frames";
import { mappingLimit, mappingOf } from "../grants/grant-map";

/** Most lines about the ports, entries or handles of one domain, whose number a guest controls. */
const LINES_MAX: u32 = 64;

function andMore(): void {
  say("  and more.");
  sayEnd();
}

/** Runs the key; false only when an audit found violations. Unknown keys print the list of keys. */
export function debugKey(key: u32): bool {
  switch (key) {
    case 0x61: // a
      return auditKey();
    case 0x64: // d
      each(registersOf);
      return true;
    case 0x65: // e
      each(portsOf);
      return true;
    case 0x67: // g
      each(grantsOf);
      return true;
    case 0x6d: // m
      memoryKey();
      return true;
    case 0x71: // q
      each(stateOf);
      return true;
    default:
      say(
        "Debug keys: a audits the hypervisor's invariants, d registers, e event channels, g grants, m memory by use, q domains.",
      );
      sayEnd();
      return true;
  }
}

function auditKey(): bool {
  const violations = audit();
  say("Audit: ");
  sayDec(violations);
  say(violations == 1 ? " violation." : " violations.");
  sayEnd();
  return violations == 0;
}

function each(show: (d: Domain) => void): void {
  for (let at = changetype<usize>(domainFirst()); at; at = changetype<Domain>(at).next) {
    show(changetype<Domain>(at));
  }
}

function heading(d: Domain): void {
  say("d");
  sayDec(d.id);
  say(": ");
}

function stateOf(d: Domain): void {
  heading(d);
  say(d.life == 1 ? "alive" : "dying");
  if (d.shutdown) say(", shut down");
  say(", paused ");
  sayDec(d.pauseCount);
  say(" times, ");
  sayDec(d.totalPages);
  say(" of ");
  sayDec(d.maxPages);
  say(" frames, ");
  sayDec(d.overheadPages);
  say(" beyond them and ");
  sayDec(d.heapBytes);
  say(" bytes of heap, of ");
  sayDec(d.overheadClaim);
  say(" frames promised for both, maps ");
  sayDec(d.foreignMaps);
  say(" of others'.");
  sayEnd();
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const v = vcpuOf(d, i);
    if (v == null) continue;
    say("  vCPU ");
    sayDec(i);
    say(": run state ");
    sayDec(v.runstate);
    say(", pause flags ");
    sayHex(v.pauseFlags);
    say(", exits");
    for (let e: usize = 0; e <= <usize>HvmExit.Apic; e++) {
      sayChar(0x20);
      sayDec(load<u64>(v.exitCounts + (e << 3)));
    }
    sayEnd();
  }
}

/** The registers and stack of each vCPU that has been initialised, as in a crash report. */
function registersOf(d: Domain): void {
  for (let i: u32 = 0; d.kind == DomainKind.Hvm && i < d.vcpuCount; i++) {
    const v = vcpuOf(d, i);
    if (v != null && v.initialised) hvmDescribe(v);
  }
}

function portsOf(d: Domain): void {
  if (!d.events) return;
  const events = eventsOf(d);
  heading(d);
  sayDec(events.active);
  say(" event channels.");
  sayEnd();
  let shown: u32 = 0;
  for (let port: u32 = 1; port < events.valid; port++) {
    const p = portOf(d, port)!;
    if (p.state == PortState.Free) continue;
    if (shown++ == LINES_MAX) {
      andMore();
      return;
    }
    say("  port ");
    sayDec(port);
    if (p.state == PortState.Unbound) {
      say(" for d");
      sayDec(p.peer);
    } else if (p.state == PortState.Interdomain) {
      say(" to d");
      sayDec(changetype<Domain>(<usize>p.peer).id);
      say(" port ");
      sayDec(p.peerPort);
    } else if (p.state == PortState.Virq) {
      say(" VIRQ ");
      sayDec(p.peer);
    } else if (p.state == PortState.Pirq) {
      say(" pirq ");
      sayDec(p.peer);
    } else {
      say(" IPI");
    }
    say(", vCPU ");
    sayDec(p.vcpu);
    if (isPending(d, port)) say(", pending");
    if (isMasked(d, port)) say(", masked");
    sayEnd();
  }
}

function grantsOf(d: Domain): void {
  if (!d.grants) return;
  const t = grants(d);
  heading(d);
  say("grant table of ");
  sayDec(t.frames);
  say(" frames, maps ");
  sayDec(t.mapped);
  say(" of others'.");
  sayEnd();
  let shown: u32 = 0;
  for (let ref: u32 = 0; ref < grantEntries(t); ref++) {
    const a = activeOf(t, ref);
    if (a == null || !(a.reads | a.writes)) continue;
    if (shown++ == LINES_MAX) {
      andMore();
      break;
    }
    say("  entry ");
    sayDec(ref);
    say(" frame ");
    sayHex(a.mfn);
    say(" used by d");
    sayDec(a.domid);
    say(", reading ");
    sayDec(a.reads);
    say(", writing ");
    sayDec(a.writes);
    sayEnd();
  }
  shown = 0;
  for (let handle: u32 = 0; handle < mappingLimit(t); handle++) {
    const m = mappingOf(t, handle)!;
    if (!m.flags) continue;
    if (shown++ == LINES_MAX) {
      andMore();
      return;
    }
    say("  handle ");
    sayDec(handle);
    say(": entry ");
    sayDec(m.ref);
    say(" of d");
    sayDec(m.domid);
    say(" at gfn ");
    sayHex(m.gfn);
    sayEnd();
  }
}

/** Frames by FrameType: the same numbers as perfc's. */
function memoryKey(): void {
  say("Frames by type:");
  for (let type: u32 = 0; type < <u32>FrameType.Count; type++) {
    sayChar(0x20);
    sayDec(framesOfType(type));
  }
  sayEnd();
}
