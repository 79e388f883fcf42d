/**
 * What must be true of memory, whatever the guests do: a model of the words that well-behaved guests and domain 0 have
 * written. Every read is compared with it; a difference is a leak, a lost write or a write after revocation.
 */
import { Violation } from "./svm-cpu.ts";

export interface Grant {
  readonly to: number;
  readonly gfn: number;
  readonly readonly: boolean;
  /** Mappings that stand. */
  mapped: number;
}

export class World {
  /** "domain:gfn" -> the first word of that frame, as last written by a domain with access. */
  private readonly words = new Map<string, bigint>();
  private readonly tainted = new Set<string>();
  /** Current grants: "granter:ref" -> the grantee, the frame, and whether it is writable. */
  readonly grants = new Map<string, Grant>();

  private key(domain: number, gfn: number): string {
    return `${domain}:${gfn}`;
  }

  wrote(domain: number, gfn: number, value: bigint): void {
    const key = this.key(domain, gfn);
    if (!this.tainted.has(key)) this.words.set(key, value);
  }

  /** A frame newly given to a domain holds zeroes. */
  fresh(domain: number, gfn: number): void {
    this.words.set(this.key(domain, gfn), 0n);
  }

  forget(domain: number, gfn: number): void {
    this.words.delete(this.key(domain, gfn));
  }

  /** The contents of this frame are unknown until `settled`: the hypervisor writes to it at some moment in between. */
  taint(domain: number, gfn: number): void {
    this.tainted.add(this.key(domain, gfn));
    this.words.delete(this.key(domain, gfn));
  }

  /** The frame holds `value` again, or, null, whatever is written to it next. */
  settled(domain: number, gfn: number, value: bigint | null): void {
    this.tainted.delete(this.key(domain, gfn));
    if (value !== null) this.wrote(domain, gfn, value);
  }

  gone(domain: number): void {
    for (const known of [this.words, this.tainted]) {
      for (const key of [...known.keys()]) if (key.startsWith(`${domain}:`)) known.delete(key);
    }
    for (const [key, grant] of [...this.grants]) {
      if (key.startsWith(`${domain}:`)) this.grants.delete(key);
      else if (grant.to === domain) grant.mapped = 0;
    }
  }

  read(domain: number, gfn: number, value: bigint, who: string): void {
    const expected = this.words.get(this.key(domain, gfn));
    if (expected !== undefined && expected !== value) {
      throw new Violation(
        `${who} read ${value.toString(16)} from domain ${domain} gfn ${gfn}, expected ${expected.toString(16)}`,
      );
    }
  }
}
