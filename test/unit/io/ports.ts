/** Event channels of a simulated domain. */

export interface Port {
  remoteDomid: number;
  /** -1: not bound. */
  remotePort: number;
  /** A guest's: what an event does. */
  handler: (() => void) | null;
}

/** A domain's event channels. */
export class Ports {
  readonly ports = new Map<number, Port>();
  private next = 1;

  add(port: Port): number {
    while (this.ports.has(this.next)) this.next++;
    this.ports.set(this.next, port);
    return this.next;
  }
}
