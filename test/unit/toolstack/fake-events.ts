/** Event channels of the fake hypervisor: ports of domain 0 and of guests, and what is pending in domain 0's shared_info. */
import { EEXIST, EINVAL, ENOSYS, ESRCH } from "../../../abi/errno.ts";
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_bind_virq,
  EVTCHNOP_close,
  EVTCHNOP_expand_array,
  EVTCHNOP_init_control,
  EVTCHNOP_send,
  EVTCHNOP_unmask,
} from "../../../abi/event-channel.ts";
import { FakeFifo } from "./fake-fifo.ts";
import type { FakeDomain, Port } from "./fake-domain.ts";
import type { PagedWindow } from "./paged-window.ts";

export class FakeEvents {
  private readonly virqs = new Map<number, Port>();
  private readonly fifo: FakeFifo;

  constructor(
    private readonly window: PagedWindow,
    private readonly domain0: FakeDomain,
    private readonly domains: Map<number, FakeDomain>,
  ) {
    this.fifo = new FakeFifo(window);
  }

  /** Domain 0 is restarted: its ports are closed. */
  reset(): void {
    for (const port of this.domain0.ports.values()) this.close(port);
    this.domain0.ports.clear();
    this.virqs.clear();
    this.fifo.reset();
  }

  raiseVirq(virq: number): void {
    const port = this.virqs.get(virq);
    if (port !== undefined) this.setPending(port.number);
  }

  /** As in the hypervisor: a port that is already pending causes no wake-up. */
  setPending(port: number): void {
    this.fifo.setPending(port);
  }

  private newPort(domain: FakeDomain, state: Port["state"]): Port {
    let number = 1;
    while (domain.ports.has(number) || (domain === this.domain0 && this.fifo.isBusy(number))) number++;
    const port: Port = { domain: domain === this.domain0 ? null : domain, peer: null, number, state };
    domain.ports.set(number, port);
    return port;
  }

  operation(op: number, arg: number): number {
    const w = this.window;
    switch (op) {
      case EVTCHNOP_bind_virq: {
        const virq = w.load32(arg);
        if (this.virqs.has(virq)) return -EEXIST;
        const port = this.newPort(this.domain0, "virq");
        this.virqs.set(virq, port);
        w.store32(arg + 8, port.number);
        return 0;
      }
      case EVTCHNOP_alloc_unbound: {
        const domain = this.domains.get(w.load16(arg));
        if (domain === undefined) return -ESRCH;
        w.store32(arg + 4, this.newPort(domain, "unbound").number);
        return 0;
      }
      case EVTCHNOP_bind_interdomain: {
        const remote = this.domains.get(w.load16(arg))?.ports.get(w.load32(arg + 4));
        if (remote === undefined || remote.state !== "unbound") return -EINVAL;
        const port = this.newPort(this.domain0, "interdomain");
        port.peer = remote;
        remote.peer = port;
        remote.state = "interdomain";
        w.store32(arg + 8, port.number);
        // Xen: the other end may have sent before we were bound.
        this.setPending(port.number);
        return 0;
      }
      case EVTCHNOP_close: {
        const port = this.domain0.ports.get(w.load32(arg));
        if (port === undefined) return -EINVAL;
        this.close(port);
        this.domain0.ports.delete(port.number);
        this.fifo.closed(port.number);
        return 0;
      }
      case EVTCHNOP_unmask:
        this.fifo.unmask(w.load32(arg));
        return 0;
      case EVTCHNOP_init_control:
        return this.fifo.initControl(arg);
      case EVTCHNOP_expand_array:
        return this.fifo.expandArray(arg);
      case EVTCHNOP_send:
        return this.domain0.ports.get(w.load32(arg))?.peer ? 0 : -EINVAL;
      default:
        return -ENOSYS;
    }
  }

  close(port: Port): void {
    if (port.peer === null) return;
    port.peer.peer = null;
    port.peer.state = "unbound";
    port.peer = null;
  }
}
