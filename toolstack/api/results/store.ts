/** The store's nodes as Xen's xenstore-ls and -read print them. */
import * as v from "valibot";

const node = v.object({
  path: v.string(),
  /** A character for each of its bytes. */
  value: v.string(),
  /** The owner first: n none, r, w, b both, and the domain. */
  permissions: v.array(v.string()),
});

export const storeListing = v.object({
  /** What the nodes are below. */
  path: v.string(),
  full: v.boolean(),
  permissions: v.boolean(),
  nodes: v.array(node),
});

export type StoreListing = v.InferOutput<typeof storeListing>;

const ESCAPES: Record<string, string> = { "\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\" };

/** A guest's bytes: nothing of them can steer a terminal. */
export function printableValue(data: string): string {
  return data.replace(/[^\x20-\x7e]|\\/g, (c) => {
    const code = c.charCodeAt(0);
    return (
      ESCAPES[c] ?? (code < 8 ? `\\${code.toString(8).padStart(3, "0")}` : `\\x${code.toString(16).padStart(2, "0")}`)
    );
  });
}

/** One node of a listing; the one that the others are below is not shown. */
export function storeLine(listing: Omit<StoreListing, "nodes">, node: StoreListing["nodes"][number]): string {
  const below = node.path.slice(listing.path === "/" ? 1 : listing.path.length + 1).split("/");
  const name = listing.full ? node.path : `${" ".repeat(below.length - 1)}${below[below.length - 1]}`;
  const permissions = listing.permissions ? `  (${node.permissions.join(",")})` : "";
  return `${name} = "${printableValue(node.value)}"${permissions}`;
}

export function* storeLines(listing: StoreListing): Generator<string> {
  for (const node of listing.nodes) yield storeLine(listing, node);
}
