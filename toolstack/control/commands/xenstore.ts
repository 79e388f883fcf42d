/** Looking into the store, and changing it: as xenstore-ls, -read, -write and -rm do. */
import { print, printed } from "../console/output.ts";
import { absolutePath, baseName, homeOf, isValidPath } from "../store/path.ts";
import { formatPermissions } from "../store/permissions.ts";
import { StoreError } from "../store/store-error.ts";
import { CommandError } from "../../api/command-error.ts";
import type { Command } from "./command.ts";
import { parseOptions } from "../../api/options.ts";

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

const ESCAPES: Record<string, string> = { "\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\" };

/** A guest's bytes as Xen's xenstore-read and -ls print them: nothing of them can steer a terminal. */
function printable(data: string): string {
  return data.replace(/[^\x20-\x7e]|\\/g, (c) => {
    const code = c.charCodeAt(0);
    return (
      ESCAPES[c] ?? (code < 8 ? `\\${code.toString(8).padStart(3, "0")}` : `\\x${code.toString(16).padStart(2, "0")}`)
    );
  });
}

export const xenstoreListCommand: Command = {
  name: "xenstore-ls",
  usage: "[PATH] [-f] [-p]",
  summary: "show the nodes of the store",
  details: [
    "-f, --full         whole paths",
    "-p, --permissions  who may read and write: n none, r, w, b both; the owner first",
  ],
  async run(words, { domains, interruption }) {
    const long = words.map((word) => (word === "-f" ? "--full" : word === "-p" ? "--permissions" : word));
    const given = long.find((word) => !word.startsWith("-"));
    const { switches } = parseOptions(long, { full: {}, permissions: {} }, given === undefined ? [] : ["PATH"]);
    const top = pathArgument(given ?? "/");
    const nodes = domains.store.local.walk(top);
    for (;;) {
      const next = attempt(top, () => nodes.next());
      if (next.done === true || interruption.raised) return;
      const { path, node, depth } = next.value;
      // As xenstore-ls: the node itself is not shown but by what is below it.
      if (depth === 0) continue;
      const name = switches.has("full") ? path : `${" ".repeat(depth - 1)}${baseName(path)}`;
      const permissions = switches.has("permissions") ? `  (${formatPermissions(node.permissions).join(",")})` : "";
      print(`${name} = "${printable(node.data)}"${permissions}\n`);
      await printed(interruption);
    }
  },
};

export const xenstoreReadCommand: Command = {
  name: "xenstore-read",
  usage: "PATH",
  summary: "show the value of a node",
  run(words, { domains }) {
    const path = pathArgument(parseOptions(words, {}, ["PATH"]).rest[0]!);
    const value = attempt(path, () => domains.store.local.readBytes(path));
    if (value === undefined) throw new CommandError(`${path}: ENOENT`);
    print(`${printable(value)}\n`);
  },
};

export const xenstoreWriteCommand: Command = {
  name: "xenstore-write",
  usage: "PATH VALUE",
  summary: "write a node, making it where there is none",
  run(words, { domains }) {
    const [path, value] = parseOptions(words, {}, ["PATH", "VALUE"]).rest as [string, string];
    const at = pathArgument(path);
    attempt(at, () => domains.store.local.write(at, value));
  },
};

export const xenstoreRemoveCommand: Command = {
  name: "xenstore-rm",
  usage: "PATH",
  summary: "remove a node with all below it",
  run(words, { domains }) {
    const path = pathArgument(parseOptions(words, {}, ["PATH"]).rest[0]!);
    attempt(path, () => {
      if (domains.store.local.read(path) === undefined) throw new CommandError(`${path}: ENOENT`);
      domains.store.local.remove(path);
    });
  },
};
