/** The most memory that a domain may own. */
import { domainInfo, setMaxMemory } from "../hypercalls/domctl.ts";
import { PAGE_SIZE } from "../window.ts";
import { KIB, type GuestDomain } from "./domain.ts";

/**
 * Sets it. The pages that its builder gave it beyond its RAM come on top.
 * @throws HypercallError ENOMEM when there is no memory for page tables of so much
 */
export function setMemoryLimit(domain: GuestDomain, kib: number): void {
  const beyond = (domainInfo(domain.id).maxPages * PAGE_SIZE) / KIB - domain.sizes.limitKib;
  setMaxMemory(domain.id, kib + Math.max(beyond, 0));
  domain.sizes.limitKib = kib;
}
