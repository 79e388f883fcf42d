/** Seeded random numbers (xoshiro128**, Blackman and Vigna): the same seed gives the same run on every machine. */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private d: number;

  constructor(readonly seed: number) {
    // splitmix32 spreads small seeds over the whole state.
    let s = seed >>> 0;
    const next = (): number => {
      s = (s + 0x9e3779b9) >>> 0;
      let z = s;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      return (z ^ (z >>> 16)) >>> 0;
    };
    this.a = next();
    this.b = next();
    this.c = next();
    this.d = next() | 1;
  }

  /** Uniform in 0 .. 2^32-1. */
  u32(): number {
    const rotated = Math.imul(this.b, 5);
    const result = Math.imul((rotated << 7) | (rotated >>> 25), 9) >>> 0;
    const t = this.b << 9;
    this.c ^= this.a;
    this.d ^= this.b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= t;
    this.d = (this.d << 11) | (this.d >>> 21);
    return result;
  }

  /** Uniform in 0 .. limit-1; limit at least 1. */
  below(limit: number): number {
    return this.u32() % limit;
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  /** A number a hostile guest would try: small, near powers of two, pointers' edges, or anything. */
  hostile64(): bigint {
    switch (this.below(8)) {
      case 0:
        return BigInt(this.below(8));
      case 1:
        return (1n << BigInt(this.below(64))) - BigInt(this.below(3));
      case 2:
        return 0xffffffffffffffffn - BigInt(this.below(4096));
      case 3:
        return BigInt(this.u32());
      case 4:
        return 0x7ff0n + BigInt(this.below(16));
      case 5:
        return BigInt(this.below(4096)) << 12n;
      case 6:
        return 0xffff800000000000n + BigInt(this.u32());
      default:
        return this.u64();
    }
  }
}
