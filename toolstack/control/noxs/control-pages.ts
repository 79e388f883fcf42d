/**
 * Control pages of the NoXS devices that domain 0 is the back end of: each a page of stable memory, granted to one domain, which has
 * it mapped over a restart of domain 0. A page has a number, which is also its grant's; pages that were given back are taken again
 * first, so that taking one costs the same however many there are.
 *
 * The region's first pages are the directory: for each page four words: whose it is (0: nobody's, domain 0 has none itself), the
 * port of ours, the port of that domain's that an earlier domain 0's was bound to (0: none), 0. The first word of page 0, which is the directory's
 * own, has the number of pages ever taken.
 */
import { DOM0_CONTROL_PAGES, DOM0_STABLE } from "../../../abi/domain0-layout.ts";
import { BuildError } from "../builder/build-error.ts";
import { CONTROL_PAGE_REFS, endGrant, grantPage } from "../grants.ts";
import { memory } from "../host.ts";
import { formerPort } from "../hypercalls/event-channel.ts";
import { canWrite } from "../hypercalls/xen-version.ts";
import { PAGE_SIZE } from "../window.ts";

const PAGES = (DOM0_STABLE - DOM0_CONTROL_PAGES) / PAGE_SIZE;
const ENTRY_BYTES = 16;
const OURS_AT = 4;
const THEIRS_AT = 8;
const DIRECTORY_PAGES = (PAGES * ENTRY_BYTES) / PAGE_SIZE;

const entryOf = (page: number) => DOM0_CONTROL_PAGES + page * ENTRY_BYTES;

/** Its address. */
export function addressOf(page: number): number {
  return DOM0_CONTROL_PAGES + page * PAGE_SIZE;
}

/** The grant reference under which its domain maps it. */
export function grantOf(page: number): number {
  return CONTROL_PAGE_REFS + page;
}

export class ControlPages {
  private readonly free: number[] = [];
  /** No page from here on was ever taken; 0: not looked up yet. */
  private fresh = 0;

  /**
   * Takes a page for a domain, zeroed, and grants it.
   * @throws BuildError when there is none, HypercallError when it cannot be granted
   */
  take(domain: number): number {
    const page = this.free.pop() ?? this.takeFresh();
    try {
      grantPage(grantOf(page), domain, addressOf(page));
    } catch (error) {
      this.free.push(page);
      throw error;
    }
    memory.store32(entryOf(page), domain);
    return page;
  }

  private takeFresh(): number {
    this.look();
    const page = this.fresh;
    if (page >= PAGES) {
      throw new BuildError(
        `domain 0 has no control page left for one more domain: there are ${PAGES - DIRECTORY_PAGES}`,
      );
    }
    // Touching memory that cannot be had would be domain 0's end. What was asked about is written to, and was never used.
    for (const address of [addressOf(page), entryOf(page)]) {
      if (!canWrite(address)) throw new BuildError("there is no memory for the domain's control page");
      memory.zero(address, ENTRY_BYTES);
    }
    this.fresh = page + 1;
    memory.store32(entryOf(0), this.fresh);
    return page;
  }

  private look(): void {
    if (this.fresh === 0) this.fresh = Math.max(memory.load32(entryOf(0)), DIRECTORY_PAGES);
  }

  /** Takes a page back, whose domain is gone or was never started. */
  give(page: number): void {
    endGrant(grantOf(page));
    memory.zero(addressOf(page), PAGE_SIZE);
    memory.zero(entryOf(page), ENTRY_BYTES);
    this.free.push(page);
  }

  /**
   * Notes where the ports of an earlier domain 0 were bound to: a domain may have bound its own just before that one died. The
   * hypervisor knows until the numbers are taken again, so this comes before anything that takes a port.
   */
  notePorts(): void {
    this.look();
    for (let page = DIRECTORY_PAGES; page < this.fresh; page++) {
      const at = entryOf(page);
      const ours = memory.load32(at) === 0 ? 0 : memory.load32(at + OURS_AT);
      // None: noted by a domain 0 that died before it bound its own.
      if (ours === 0) continue;
      memory.store32(at + THEIRS_AT, formerPort(ours));
      memory.store32(at + OURS_AT, 0);
    }
  }

  /** Pages that an earlier domain 0 had given, by their domains. Once, before any is taken. */
  ofEarlier(): Map<number, number> {
    const found = new Map<number, number>();
    this.look();
    for (let page = DIRECTORY_PAGES; page < this.fresh; page++) {
      const domain = memory.load32(entryOf(page));
      if (domain === 0) this.free.push(page);
      else found.set(domain, page);
    }
    return found;
  }

  /** Grants a page again, after a restart of domain 0. */
  grantAgain(page: number, domain: number): void {
    grantPage(grantOf(page), domain, addressOf(page));
  }

  /** The port of its domain's that was bound to an earlier domain 0's; 0: none. */
  portOf(page: number): number {
    return memory.load32(entryOf(page) + THEIRS_AT);
  }

  /** Keeps for a later domain 0 which port is ours. */
  keepPort(page: number, ours: number): void {
    memory.store32(entryOf(page) + OURS_AT, ours);
  }
}
