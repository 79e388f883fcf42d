/**
 * A token bucket: over any time no more than `burst` and `rate` bytes a second pass, but for the rest of a last frame, which may
 * take more tokens than there are: the debt is paid before the next one.
 */

/** Rates from here on (8 GiB/s) are no limit. */
export const RATE_MAX: u64 = (<u64>1) << 33;
const SECOND_NS: u64 = 1_000_000_000;
const SECONDS_MAX: u64 = 1 << 28;

@unmanaged
export class Bucket {
  tokens: i64;
  /** Up to when tokens were added, ns. */
  at: u64;
}

/** A full bucket. */
export function bucketInit(b: Bucket, burst: u32, nowNs: u64): void {
  b.tokens = burst;
  b.at = nowNs;
}

/** Adds the tokens of the time since. Time worth less than a token stays to be counted. */
export function bucketFill(b: Bucket, rate: u64, burst: u32, nowNs: u64): void {
  const elapsed = nowNs - b.at;
  if (<i64>elapsed <= 0) return;
  // Whole seconds first: the product with the rest then fits.
  const seconds = min(elapsed / SECOND_NS, SECONDS_MAX);
  b.tokens += <i64>(seconds * rate);
  b.at += seconds * SECOND_NS;
  const added = (min(nowNs - b.at, SECOND_NS) * rate) / SECOND_NS;
  if (b.tokens + <i64>added >= <i64>burst) {
    b.tokens = burst;
    b.at = nowNs;
  } else if (added) {
    b.tokens += added;
    b.at += (added * SECOND_NS + rate - 1) / rate; // rounded up: never more tokens than time
  }
}

/** Takes `bytes` tokens; bucketFill first, and only when bucketWait is 0. */
export function bucketTake(b: Bucket, bytes: u32): void {
  b.tokens -= bytes;
}

/** Time in ns until something may pass; 0: now. */
export function bucketWait(b: Bucket, rate: u64): u64 {
  if (b.tokens > 0) return 0;
  return (<u64>(1 - b.tokens) * SECOND_NS + rate - 1) / rate;
}
