/** The most memory that a domain may own. */
import { ENOMEM } from "../../../abi/errno.ts";
import { CommandError } from "../../api/command-error.ts";
import { formatBytes } from "../../api/sizes.ts";
import { HypercallError } from "../hypercall.ts";
import { domainInfo, setMaxMemory } from "../hypercalls/domctl.ts";
import { PAGE_SIZE } from "../window.ts";
import { KIB, type GuestDomain } from "./domain.ts";

/**
 * Sets it. The pages that its builder gave it beyond its RAM come on top.
 * @throws CommandError when there is no memory for page tables of so much; nothing has changed then
 */
export function setMemoryLimit(domain: GuestDomain, kib: number): void {
  const beyond = (domainInfo(domain.id).maxPages * PAGE_SIZE) / KIB - domain.sizes.limitKib;
  try {
    setMaxMemory(domain.id, kib + Math.max(beyond, 0));
  } catch (error) {
    if (!(error instanceof HypercallError) || error.code !== ENOMEM) throw error;
    throw new CommandError(
      `no memory is left for the page tables of ${formatBytes(kib * KIB)}, which are put aside for it`,
    );
  }
  domain.sizes.limitKib = kib;
}
