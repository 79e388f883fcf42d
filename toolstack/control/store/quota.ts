/**
 * Per-domain quotas of the store, and the accounting. The values are xenstored's defaults
 * (Xen 4.17), except for the pool: domain 0's heap is 64 MiB, which fewer than thirty guests at Xen's per-guest limit would
 * fill.
 */
import { ENOMEM } from "./store-error.ts";

/** Nodes that a domain owns. */
export const MAX_NODES = 1000;
export const MAX_WATCHES = 128;
/** Open at a time. */
export const MAX_TRANSACTIONS = 10;
/** Nodes that one transaction touches. */
export const MAX_TRANSACTION_NODES = 1024;
/** Bytes of a node as xenstored keeps it: below this. */
export const MAX_NODE_BYTES = 2048;
export const MAX_PERMISSIONS = 5;
/** Requests whose answers, or events for others, have not been read yet. */
export const MAX_OUTSTANDING = 20;
/** Everything the store keeps for a domain. */
export const MAX_BYTES = 2.5 * 1024 * 1024;
/** Limit for all guests together, the reserve of each beyond that, and the total of the reserves. */
export const POOL_BYTES = 16 * 1024 * 1024;
export const ASSURED_BYTES = 64 * 1024;
export const RESERVE_BYTES = 8 * 1024 * 1024;

/** Bytes of the engine's heap that an object of the kind takes beside its strings: rounded up. */
export const NODE_OVERHEAD = 384;
export const PERMISSION_OVERHEAD = 96;
export const WATCH_OVERHEAD = 320;
export const MESSAGE_OVERHEAD = 320;
export const ANNOUNCEMENT_OVERHEAD = 256;
export const TRANSACTION_OVERHEAD = 768;
export const ACCESS_OVERHEAD = 256;

/** What all guests use together. */
export class Pool {
  bytes = 0;
}

/** What the store keeps for one domain. */
export class Account {
  nodes = 0;
  watches = 0;
  transactions = 0;
  outstanding = 0;
  bytes = 0;

  /** @param limited false for domain 0 */
  constructor(
    readonly domain: number,
    readonly limited: boolean,
    private readonly pool: Pool,
  ) {}

  /** True if that many more bytes are within its quota. */
  mayTake(bytes: number): boolean {
    if (!this.limited || bytes <= 0) return true;
    const after = this.bytes + bytes;
    if (after > MAX_BYTES) return false;
    const limit = after <= ASSURED_BYTES ? POOL_BYTES + RESERVE_BYTES : POOL_BYTES;
    return this.pool.bytes + bytes <= limit;
  }

  /** Charges bytes; throws ENOMEM, with nothing charged, beyond the quota. */
  take(bytes: number): void {
    if (!this.mayTake(bytes)) throw ENOMEM;
    this.add(bytes);
  }

  /** Charges bytes unconditionally; negative: they were freed. */
  add(bytes: number): void {
    this.bytes += bytes;
    if (this.limited) this.pool.bytes += bytes;
  }
}
