/** Waiting until a destroyed domain no longer exists: the hypervisor frees its memory after XEN_DOMCTL_destroydomain. */
import { domainExists } from "../hypercalls/domctl.ts";
import { after } from "../timers.ts";

/** How long a wait takes at most: a domain stays for as long as another maps or was granted some of its memory. */
const LINGER_MS = 1000;

export class Departures {
  /** By domain id: called when that domain is gone. */
  private readonly waiting = new Map<number, Set<() => void>>();

  /**
   * Waits until domain `id` no longer exists and its memory is free.
   * @returns false when it is still there after LINGER_MS
   */
  gone(id: number): Promise<boolean> {
    if (!domainExists(id)) return Promise.resolve(true);
    return new Promise((resolve) => {
      const listeners = this.waiting.get(id) ?? new Set();
      this.waiting.set(id, listeners);
      const cancel = after(LINGER_MS, () => {
        listeners.delete(gone);
        if (listeners.size === 0) this.waiting.delete(id);
        resolve(!domainExists(id));
      });
      const gone = () => {
        cancel();
        resolve(true);
      };
      listeners.add(gone);
    });
  }

  /** The hypervisor reports that domain `id` is gone. */
  report(id: number): void {
    const listeners = this.waiting.get(id) ?? [];
    this.waiting.delete(id);
    for (const gone of listeners) gone();
  }
}
