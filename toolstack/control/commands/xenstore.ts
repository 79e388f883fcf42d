/** Looking into the store, and changing it: as xenstore-ls, -read, -write and -rm do. */
import { CommandError } from "../../api/command-error.ts";
import { readWords } from "../../api/command-line.ts";
import { formatBytes } from "../../api/sizes.ts";
import {
  xenstoreListRequest,
  xenstoreReadRequest,
  xenstoreRemoveRequest,
  xenstoreWriteRequest,
} from "../../api/requests/store.ts";
import { storeLine, type StoreListing } from "../../api/results/store.ts";
import { print, printed } from "../console/output.ts";
import type { Domains } from "../domains/domains.ts";
import { absolutePath, homeOf, isValidPath } from "../store/path.ts";
import { formatPermissions } from "../store/permissions.ts";
import { StoreError } from "../store/store-error.ts";
import { giveWay } from "../tasks.ts";
import type { Command } from "./command.ts";
import { handler } from "./handler.ts";
import { JSON_OPTION, requestCommand, runRequest } from "./request-command.ts";

/** Characters of a listing that is answered as one: it waits in memory for who asked. The prompt shows what is longer. */
const LISTING_MOST = 1024 * 1024;
/** Nodes between which others have their turns. */
const NODES_AT_ONCE = 16;

/** A path as the user wrote it, relative ones from domain 0's own. Throws CommandError. */
function pathArgument(text: string): string {
  const path = absolutePath(text, homeOf(0));
  if (!isValidPath(path))
    throw new CommandError(`"${text}" is no path: letters, digits and - _ @ between single slashes`);
  return path;
}

/** Performs a store operation, turning its errors into messages. */
function attempt<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof StoreError) throw new CommandError(`${path}: ${error.errno}`);
    throw error;
  }
}

/** The nodes below `top`, one by one. @throws CommandError where there is none at `top` */
function* nodesBelow(domains: Domains, top: string): Generator<StoreListing["nodes"][number]> {
  const nodes = domains.store.local.walk(top);
  for (;;) {
    const next = attempt(top, () => nodes.next());
    if (next.done === true) return;
    const { path, node, depth } = next.value;
    // As xenstore-ls: the node itself is not shown but by what is below it.
    if (depth > 0) yield { path, value: node.data, permissions: formatPermissions(node.permissions) };
  }
}

const list = handler(
  xenstoreListRequest,
  async ({ path: given, full = false, permissions = false }, { domains, interruption }) => {
    const path = pathArgument(given ?? "/");
    const nodes: StoreListing["nodes"] = [];
    let length = 0;
    for (const node of nodesBelow(domains, path)) {
      nodes.push(node);
      length += node.path.length + node.value.length;
      if (length > LISTING_MOST)
        throw new CommandError(`more than ${formatBytes(LISTING_MOST)} are below ${path}: list parts of it`);
      if (nodes.length % NODES_AT_ONCE === 0) await giveWay();
      if (interruption.raised) throw new CommandError("cancelled");
    }
    return { path, full, permissions, nodes };
  },
);

export const xenstoreListCommand: Command = {
  ...requestCommand(list),
  /** Node by node: there is no limit to how many. */
  async run(words, context) {
    const { params, switches } = readWords(xenstoreListRequest, words, JSON_OPTION);
    if (switches.has("json")) {
      await runRequest(list, words, context);
      return;
    }
    const { path: given, full = false, permissions = false } = params;
    const path = pathArgument(given ?? "/");
    for (const node of nodesBelow(context.domains, path)) {
      if (context.interruption.raised) return;
      print(`${storeLine({ path, full, permissions }, node)}\n`);
      await printed(context.interruption);
    }
  },
};

export const xenstoreReadCommand = requestCommand(
  handler(xenstoreReadRequest, ({ path: given }, { domains }) => {
    const path = pathArgument(given);
    const value = attempt(path, () => domains.store.local.readBytes(path));
    if (value === undefined) throw new CommandError(`${path}: ENOENT`);
    return { value };
  }),
);

export const xenstoreWriteCommand = requestCommand(
  handler(xenstoreWriteRequest, ({ path: given, value }, { domains }) => {
    const path = pathArgument(given);
    attempt(path, () => domains.store.local.write(path, value));
  }),
);

export const xenstoreRemoveCommand = requestCommand(
  handler(xenstoreRemoveRequest, ({ path: given }, { domains }) => {
    const path = pathArgument(given);
    attempt(path, () => {
      if (domains.store.local.read(path) === undefined) throw new CommandError(`${path}: ENOENT`);
      domains.store.local.remove(path);
    });
  }),
);
