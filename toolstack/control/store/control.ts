/** XS_CONTROL, as used by xenstore-control. Only for domain 0. */
import { checkTree } from "./check.ts";
import {
  MAX_BYTES,
  MAX_NODE_BYTES,
  MAX_NODES,
  MAX_OUTSTANDING,
  MAX_PERMISSIONS,
  MAX_TRANSACTIONS,
  MAX_WATCHES,
} from "./quota.ts";
import type { Store } from "./store.ts";
import { EINVAL, ENOENT } from "./store-error.ts";
import { leadingNumber, strings } from "./wire.ts";

function line(name: string, value: number): string {
  return `${name.padEnd(16)}: ${String(value).padStart(8)}\n`;
}

function limits(): string {
  return (
    line("nodes", MAX_NODES) +
    line("watches", MAX_WATCHES) +
    line("transactions", MAX_TRANSACTIONS) +
    line("outstanding", MAX_OUTSTANDING) +
    line("memory", MAX_BYTES) +
    line("node-size", MAX_NODE_BYTES) +
    line("permissions", MAX_PERMISSIONS)
  );
}

function usage(store: Store, id: number): string {
  const domain = store.tree.domain(id);
  if (domain === undefined) throw ENOENT;
  const { nodes, watches, transactions, outstanding, bytes } = domain.account;
  return (
    `Domain ${id}:\n` +
    line("nodes", nodes) +
    line("watches", watches) +
    line("transactions", transactions) +
    line("outstanding", outstanding) +
    line("memory", bytes)
  );
}

/** Answers help, check, quota and quota DOMAIN. Throws EINVAL for unknown commands. */
export function control(store: Store, payload: string): string {
  const [command, ...words] = strings(payload);
  if (command === "help" && words.length === 0) return "help\ncheck\nquota [<domid>]\n\0";
  if (command === "check" && words.length === 0) return `${checkTree(store.tree).join("\n") || "OK"}\0`;
  if (command === "quota" && words.length === 0) return `${limits()}\0`;
  if (command === "quota" && words.length === 1) return `${usage(store, leadingNumber(words[0]!))}\0`;
  throw EINVAL;
}
