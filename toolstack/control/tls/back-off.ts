/**
 * Who has failed to authenticate, and how long the next attempt from there waits. In bounded memory: of more addresses than it holds, the
 * one that has not failed for longest is forgotten.
 */

/** What is remembered of an address. */
interface Record {
  failures: number;
  /** When the latest was, ms. */
  at: number;
}

const MOST_ADDRESSES = 256;
/** The wait after the first failure, which doubles with each, up to the most: well below what clients wait for. */
const FIRST_MS = 125;
const MOST_MS = 2000;
/** An address that has not failed for this long is like any other. */
const FORGET_MS = 600_000;

/** A peer's address without the port: those of one host share it. */
export function addressOf(peer: string): string {
  const colon = peer.lastIndexOf(":");
  return colon < 0 ? peer : peer.slice(0, colon);
}

export class BackOff {
  /** In the order of their latest failures. */
  private readonly records = new Map<string, Record>();

  /** @param now ms of a clock that does not go back */
  constructor(private readonly now: () => number) {}

  /** Addresses that are remembered. */
  get size(): number {
    return this.records.size;
  }

  private find(address: string): Record | undefined {
    const record = this.records.get(address);
    if (record === undefined || this.now() - record.at < FORGET_MS) return record;
    this.records.delete(address);
    return undefined;
  }

  /** How long an attempt from `address` waits from now on, ms. */
  wait(address: string): number {
    const record = this.find(address);
    if (record === undefined) return 0;
    const wait = Math.min(FIRST_MS * 2 ** (record.failures - 1), MOST_MS);
    return Math.max(record.at + wait - this.now(), 0);
  }

  /** An attempt from there has failed; returns how many have. */
  failed(address: string): number {
    const failures = (this.find(address)?.failures ?? 0) + 1;
    this.records.delete(address);
    if (this.records.size === MOST_ADDRESSES) {
      for (const [oldest] of this.records) {
        this.records.delete(oldest);
        break;
      }
    }
    this.records.set(address, { failures, at: this.now() });
    return failures;
  }

  /** An attempt from there was good. */
  succeeded(address: string): void {
    this.records.delete(address);
  }
}
