/** The domains that the hypervisor makes itself, at the machine's start: the toolstack neither builds nor ends them. */
import { IO_DOMAIN } from "../../../abi/io/layout.ts";

export const DOMAIN_0 = 0;

const NAMES = new Map([
  [DOMAIN_0, "Domain-0"],
  [IO_DOMAIN, "Domain-IO"],
]);

const ALL_NAMES = new Set(NAMES.values());

/** Why commands that act on a guest refuse it. */
const REFUSALS = new Map([
  [DOMAIN_0, "domain 0 is the control plane itself"],
  [IO_DOMAIN, "the I/O domain serves devices to the guests: `io-restart` starts it anew"],
]);

/** The name of such a domain; undefined for all others. */
export function systemName(id: number): string | undefined {
  return NAMES.get(id);
}

/** Whether a guest may not have this name. */
export function isSystemName(name: string): boolean {
  return ALL_NAMES.has(name);
}

/** Why the domain that `which`, an id in digits or a name, refers to is not a guest's; undefined if it is none of these. */
export function systemRefusal(which: string): string | undefined {
  const [id] = [...NAMES].find(([number, name]) => which === String(number) || which === name) ?? [];
  return id === undefined ? undefined : REFUSALS.get(id);
}
