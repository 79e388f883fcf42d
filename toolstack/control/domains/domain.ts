/** The toolstack's record of one domain. Everything else is queried from the hypervisor. */
import { systemTime, wallTimeMs } from "../clock.ts";
import type { GuestConsole } from "./guest-console.ts";
import { DEFAULT_POLICY, type EndPolicy } from "../../api/policy.ts";
import type { CreateRequest } from "./request.ts";
import type { EndReason } from "./shutdown.ts";
import { handleText, uuidOfHandle } from "./uuid.ts";

/** A domain's initial sizes, and the current targets. */
export interface Sizes {
  vcpus: number;
  /** Of them, those it is to use. */
  onlineVcpus: number;
  /** The most it may ever be asked to have. */
  maxMemoryKib: number;
  memoryKib: number;
  /** What it may own of RAM: `memoryKib`, or what `mem-max` has set since. */
  limitKib: number;
  /** Wall-clock time of its creation in ms since 1970, 0 unknown. */
  startedMs: number;
}

/** Of what is kept of a domain (saved.ts), facts that are its own. */
interface SavedFacts {
  policy: EndPolicy;
  quickEnds: number;
  /** When it was made, system time in s. */
  madeS: number;
}

/** Of a domain that is made. */
export function initialSizes({
  vcpus,
  onlineVcpus = vcpus,
  memoryMib,
}: Pick<CreateRequest, "vcpus" | "onlineVcpus" | "memoryMib">): Sizes {
  const kib = memoryMib * KIB;
  return { vcpus, onlineVcpus, maxMemoryKib: kib, memoryKib: kib, limitKib: kib, startedMs: 0 };
}

/** Bytes of a KiB, KiB of a MiB. */
export const KIB = 1024;

export class GuestDomain {
  /** Null while the console could not be connected. */
  console: GuestConsole | null = null;
  /** Set once the guest has shut down or was destroyed. */
  ended: EndReason | null = null;
  /** Number of waiters: commands that will deal with the domain's end themselves. */
  waiters = 0;
  /** Actions after a shutdown. */
  policy: EndPolicy = DEFAULT_POLICY;
  /** How to rebuild it; null for a domain created before domain 0 was restarted. */
  request: CreateRequest | null = null;
  /** How it is to be made when it is restarted, if that was said since. */
  next: CreateRequest | null = null;
  /** Time of creation, system time in ns; 0: it is not known. */
  madeNs = 0;
  /** Its record for a later domain 0 is not written again before this system time, ns. */
  nextSaveNs = 0;
  /** A soft reset has begun and is not finished. */
  resetting = false;
  /** Number of consecutive times it had ended soon after its creation. */
  quickEnds = 0;
  /** Called once at the end. */
  private listeners: Set<(reason: EndReason) => void> | null = null;

  private uuidText: string | null = null;
  private handleTexts: string | null = null;

  constructor(
    readonly id: number,
    /** Changed by `Domains.rename` alone. */
    public name: string,
    /** The words of its handle: its UUID (uuid.ts). */
    readonly handle: readonly number[],
    public sizes: Sizes,
  ) {}

  /** What an earlier domain 0 knew of it, its requests with their images. */
  take({ policy, quickEnds, madeS }: SavedFacts, request: CreateRequest | null, next: CreateRequest | null): void {
    this.request = request;
    this.next = next;
    this.policy = policy;
    this.quickEnds = quickEnds;
    this.madeNs = madeS * 1e9;
  }

  /** Its UUID as text: made when it is first asked for, because most guests' never is. */
  get uuid(): string {
    return (this.uuidText ??= uuidOfHandle(this.handle)!);
  }

  /** Its handle as text, by which two can be compared. */
  get handleKey(): string {
    return (this.handleTexts ??= handleText(this.handle));
  }

  /**
   * Calls `listener` when the domain ends, or now if it has ended.
   * @returns a function that withdraws the listener
   */
  onEnd(listener: (reason: EndReason) => void): () => void {
    if (this.ended !== null) listener(this.ended);
    else (this.listeners ??= new Set()).add(listener);
    return () => this.listeners?.delete(listener);
  }

  /** Notes the end; only the first time counts. */
  end(reason: EndReason): void {
    if (this.ended !== null) return;
    this.ended = reason;
    const listeners = [...(this.listeners ?? [])];
    this.listeners = null;
    for (const listener of listeners) listener(reason);
  }

  /** Wall-clock time of its creation in ms since 1970, 0 where it is not known. */
  startedMs(): number {
    const now = wallTimeMs();
    return now === 0 || this.madeNs === 0 ? 0 : now - (systemTime() - this.madeNs) / 1e6;
  }

  toString(): string {
    return `domain ${this.id} (${this.name})`;
  }
}
