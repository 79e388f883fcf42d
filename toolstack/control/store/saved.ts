/**
 * The store's state for a domain, in a form that survives a restart of domain 0 without the guest noticing:
 * the nodes of its home that it owns, its watches, and its open transactions, which end with EAGAIN, so that the guest
 * retries them.
 */
import type { Client } from "./client.ts";
import type { LocalStore } from "./local.ts";
import { changePermissions, writeNode } from "./operations.ts";
import { absolutePath, isSpecial } from "./path.ts";
import { formatPermissions, parsePermissions } from "./permissions.ts";
import { StoreError } from "./store-error.ts";
import { eventPath } from "./watches.ts";

export interface SavedClient {
  /** Path as the guest gave it, and token. */
  watches: [string, string][];
  transactions: number[];
  /** Path, value, permissions; parents first. */
  nodes: [string, string, ...string[]][];
}

/** Nodes in the domain's home that are its own. */
function ownNodes(local: LocalStore, client: Client): SavedClient["nodes"] {
  const nodes: SavedClient["nodes"] = [];
  for (const { path, node } of local.walk(client.home)) {
    if (node.permissions[0]!.domain !== client.domain) continue;
    nodes.push([path, node.data, ...formatPermissions(node.permissions)]);
  }
  return nodes;
}

/** @param withNodes false where there is no room for them */
export function saveClient(local: LocalStore, client: Client, withNodes: boolean): SavedClient {
  return {
    watches: client.allWatches.map((watch) => [eventPath(watch, watch.path), watch.token]),
    transactions: client.openTransactions,
    // Those that are not written are as they are made.
    nodes:
      withNodes && local.store.populated(client.domain) && local.read(client.home) !== undefined
        ? ownNodes(local, client)
        : [],
  };
}

/** Tries something that a quota or a changed tree may refuse: then that is lost. */
function attempt(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
  }
}

/** Gives a new client, whose domain's nodes have been written afresh, what `saveClient` kept. */
export function restoreClient(local: LocalStore, client: Client, saved: SavedClient): void {
  const scope = client.scope(null);
  if (saved.nodes.length > 0) {
    const kept = new Set(saved.nodes.map(([path]) => path));
    const gone = ownNodes(local, client).filter(([path]) => !kept.has(path));
    for (const [path] of gone) attempt(() => local.remove(path));
  }
  for (const [path, data, ...permissions] of saved.nodes) {
    attempt(() => {
      writeNode(scope, path, data);
      changePermissions(scope, path, parsePermissions(permissions));
    });
  }
  for (const [path, token] of saved.watches) {
    attempt(() => {
      const relative = !path.startsWith("/") && !isSpecial(path);
      const watch = client.watch(absolutePath(path, client.home), token, relative);
      // Nodes may have changed while the watch was not set.
      client.event(eventPath(watch, watch.path), token, null);
    });
  }
  client.announcer.flush();
  for (const id of saved.transactions) attempt(() => client.reopen(id));
}
