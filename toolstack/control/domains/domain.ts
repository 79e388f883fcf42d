/** What the toolstack keeps of one domain. The rest, it asks the hypervisor. */
import type { GuestConsole } from "./guest-console.ts";
import { DEFAULT_POLICY, type EndPolicy } from "./policy.ts";
import type { CreateRequest } from "./request.ts";
import type { EndReason } from "./shutdown.ts";

export class GuestDomain {
  /** Null while the console could not be connected. */
  console: GuestConsole | null = null;
  /** Set once the guest has shut down or was destroyed. */
  ended: EndReason | null = null;
  /** Number of waiters: commands that will deal with the domain's end themselves. */
  waiters = 0;
  /** What happens when it ends by itself. */
  policy: EndPolicy = DEFAULT_POLICY;
  /** How to make it again; null for a domain of the domain 0 that was here before. */
  request: CreateRequest | null = null;
  /** What it was made with, and what it is asked to have now. */
  sizes = { vcpus: 1, onlineVcpus: 1, maxMemoryKib: 0, memoryKib: 0, startedMs: 0 };
  /** When it was made, system time in ns. */
  madeNs = 0;
  /** Its record for a later domain 0 is not written again before this system time, ns. */
  nextSaveNs = 0;
  /** A soft reset has begun and is not finished. */
  resetting = false;
  /** How often in a row it had ended soon after it was made. */
  quickEnds = 0;
  /** Called once at the end. */
  private readonly listeners: ((reason: EndReason) => void)[] = [];

  constructor(
    readonly id: number,
    readonly name: string,
  ) {}

  /** Calls `listener` when the domain ends, or now if it has ended. */
  onEnd(listener: (reason: EndReason) => void): void {
    if (this.ended !== null) listener(this.ended);
    else this.listeners.push(listener);
  }

  /** Notes the end; only the first time counts. */
  end(reason: EndReason): void {
    if (this.ended !== null) return;
    this.ended = reason;
    for (const listener of this.listeners.splice(0)) listener(reason);
  }

  toString(): string {
    return `domain ${this.id} (${this.name})`;
  }
}
