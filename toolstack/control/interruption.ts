/** How a user ends a command that waits. */
import { after } from "./timers.ts";

/** Raised by the user (Ctrl-C) while a command runs; a command that waits listens to it. */
export interface Interruption {
  readonly raised: boolean;
  /**
   * Calls `listener` when it is raised, or now if it is.
   * @returns a function that withdraws the listener
   */
  onRaise(listener: () => void): () => void;
}

/** One that whoever has it raises. */
export class RaisableInterruption implements Interruption {
  raised = false;
  private readonly listeners = new Set<() => void>();

  onRaise(listener: () => void): () => void {
    if (this.raised) listener();
    else this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  raise(): void {
    this.raised = true;
    const listeners = [...this.listeners];
    this.listeners.clear();
    for (const listener of listeners) listener();
  }
}

/** Waits `ms` milliseconds, or until it is raised. */
export function pause(ms: number, interruption: Interruption): Promise<void> {
  return new Promise((resolve) => {
    let withdraw = () => {};
    const cancel = after(ms, () => {
      withdraw();
      resolve();
    });
    withdraw = interruption.onRaise(() => {
      cancel();
      resolve();
    });
  });
}
