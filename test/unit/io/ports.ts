/** Event channels of a simulated domain. */

export interface Port {
  remoteDomid: number;
  /** -1: not bound. */
  remotePort: number;
  /** A guest's: what an event does. */
  handler: (() => void) | null;
}

/** Ports by number. */
class PortMap extends Map<number, Port> {
  /** No lower number is free. */
  lowest = 1;

  override delete(number: number): boolean {
    this.lowest = Math.min(this.lowest, number);
    return super.delete(number);
  }
}

/** A domain's event channels. A new one has the lowest number that is free, as the hypervisor does it. */
export class Ports {
  readonly ports = new PortMap();
  /** What closed ports were bound to when they were closed, until their numbers are used again. */
  readonly former = new Map<number, number>();

  add(port: Port): number {
    const { ports } = this;
    while (ports.has(ports.lowest)) ports.lowest++;
    ports.set(ports.lowest, port);
    this.former.delete(ports.lowest);
    return ports.lowest;
  }
}
