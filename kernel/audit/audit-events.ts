/** Audit of event channels: both ends of a channel name each other, VIRQs and counters agree with the ports. */
import { EVTCHN_FIFO_MAX_QUEUES, EVTCHN_FIFO_NR_CHANNELS } from "../../abi/event-channel";
import { NR_VIRQS } from "../../abi/xen";
import { vcpuOf } from "../records/domain-access";
import { rule, violation } from "./audit-report";
import { Domain, DomainLife } from "../records/domain";
import { domainById } from "../records/domain-list";
import { heapBacks } from "../memory/heap";
import { DomainFifo, fifoTail } from "../events/event-fifo";
import { pirqPort } from "../devices/pirq";
import { eventsOf, Port, portOf, PortState } from "../events/event-port";

export function auditEvents(d: Domain): void {
  if (!d.events) {
    rule(d.life != DomainLife.Alive, d, "is alive without event channels", 0);
    return;
  }
  const events = eventsOf(d);
  let active: u32 = 0;
  for (let port: u32 = 0; port < events.valid; port++) {
    const p = portOf(d, port)!;
    if (p.state == PortState.Free) {
      rule(port >= events.hint, d, "free port below the hint", port);
      continue;
    }
    if (p.state == PortState.Reserved) {
      rule(port == 0, d, "reserved port", port);
      continue;
    }
    active++;
    auditPort(d, port, p);
  }
  rule(active == events.active, d, "count of event channels is not", active);
  auditVirqs(d);
  auditFifo(d);
}

/** The tails of queues are ports that have an event word, and only domains in FIFO mode have queues. */
function auditFifo(d: Domain): void {
  const fifo = changetype<DomainFifo | null>(eventsOf(d).fifo);
  if (fifo != null) rule(fifo.words <= EVTCHN_FIFO_NR_CHANNELS, d, "event words beyond the last port", fifo.words);
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const v = vcpuOf(d, i);
    if (v == null || !v.fifo) continue;
    rule(fifo != null, d, "event queues without event words of vCPU", i);
    for (let priority: u32 = 0; priority < EVTCHN_FIFO_MAX_QUEUES; priority++) {
      const tail = fifoTail(v, priority);
      rule(tail == 0 || (fifo != null && tail < fifo.words), d, "tail of a queue that is no port", tail);
      const p = tail ? portOf(d, tail) : null;
      rule(
        tail == 0 || (p != null && p.lastVcpu == i && p.lastPriority == priority),
        d,
        "tail of a queue that is not its own",
        tail,
      );
    }
  }
}

function auditPort(d: Domain, port: u32, p: Port): void {
  rule(port <= eventsOf(d).maxPort, d, "port beyond the limit", port);
  // A dying domain loses its vCPUs before its ports.
  const vcpus = d.life == DomainLife.Alive;
  rule(!vcpus || p.vcpu == 0 || vcpuOf(d, p.vcpu) != null, d, "port notifies no vCPU", port);
  if (p.state == PortState.Interdomain) {
    if (!isListed(<usize>p.peer)) {
      violation(d, "port bound to a domain that is gone", port);
      return;
    }
    const r = portOf(changetype<Domain>(<usize>p.peer), p.peerPort);
    const back =
      r != null && r.state == PortState.Interdomain && r.peer == <u32>changetype<usize>(d) && r.peerPort == port;
    rule(back, d, "port whose peer is not bound to it", port);
  } else if (p.state == PortState.Virq && vcpus) {
    let found = false;
    for (let i: u32 = 0; i < d.vcpuCount; i++) {
      const v = vcpuOf(d, i);
      if (v != null && load<u32>(v.virqPorts + ((<usize>p.peer) << 2)) == port) found = true;
    }
    rule(found, d, "VIRQ port that no vCPU knows", port);
  } else if (p.state == PortState.Pirq) {
    rule(pirqPort(d, p.peer) == port, d, "port of a physical interrupt that is not bound to it", port);
  }
}

function auditVirqs(d: Domain): void {
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const v = vcpuOf(d, i);
    if (v == null) continue;
    for (let virq: u32 = 0; virq < NR_VIRQS; virq++) {
      const port = load<u32>(v.virqPorts + ((<usize>virq) << 2));
      if (!port) continue;
      const p = portOf(d, port);
      rule(
        p != null && p.state == PortState.Virq && p.peer == virq,
        d,
        "VIRQ bound to a port that is not its own",
        port,
      );
    }
  }
}

/** Whether `pointer` is a domain: it points into the heap, and looking up its id returns the same record. */
function isListed(pointer: usize): bool {
  return (
    heapBacks(pointer, offsetof<Domain>()) && domainById(changetype<Domain>(pointer).id) == changetype<Domain>(pointer)
  );
}
