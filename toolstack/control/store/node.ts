/** One node of the store. Nodes are never changed: a change creates a new one, so a reference to one stays a snapshot. */
import { baseName } from "./path.ts";
import type { Permissions } from "./permissions.ts";
import { MAX_NODE_BYTES, NODE_OVERHEAD, PERMISSION_OVERHEAD } from "./quota.ts";
import { ENOSPC } from "./store-error.ts";

/** A node's name, value and permissions, and what is below it. */
export type Branch = readonly [name: string, data: string, permissions: Permissions, below?: readonly Branch[]];

/** The node at a branch's foot, without what is below it. */
export function nodeOf([, data, permissions, below]: Branch, generation: number): StoreNode {
  let children = "";
  if (below !== undefined) for (const [name] of below) children += `${name}\0`;
  return { data, permissions, children, generation };
}

export interface StoreNode {
  readonly data: string;
  readonly permissions: Permissions;
  /** Names, each followed by a NUL byte, in order of creation: the answer of XS_DIRECTORY. */
  readonly children: string;
  /** Rises with every change of the node itself: data, permissions or list of children. */
  readonly generation: number;
}

/** xenstored's header of a stored node, and what a permission takes there. */
const XEN_HEADER_BYTES = 24;
const XEN_PERMISSION_BYTES = 8;

/** Throws ENOSPC for a node above the size limit for guests. */
export function checkNodeSize(node: StoreNode): void {
  const { permissions, data, children } = node;
  const bytes = XEN_HEADER_BYTES + permissions.length * XEN_PERMISSION_BYTES + data.length + children.length;
  if (bytes >= MAX_NODE_BYTES) throw ENOSPC;
}

/** Bytes of the heap that a node at `path` is counted with. */
export function nodeCost(path: string, node: StoreNode): number {
  return (
    NODE_OVERHEAD +
    path.length +
    node.data.length +
    node.children.length +
    node.permissions.length * PERMISSION_OVERHEAD
  );
}

export function childNames(node: StoreNode): string[] {
  return node.children === "" ? [] : node.children.slice(0, -1).split("\0");
}

/** The list of children with the last part of `path` added. */
export function withChild(children: string, path: string): string {
  return `${children}${baseName(path)}\0`;
}

/** A node's list without some names. */
export function withoutChildren(node: StoreNode, names: ReadonlySet<string>): string {
  let children = "";
  for (const name of childNames(node)) if (!names.has(name)) children += `${name}\0`;
  return children;
}

/** The list without the last part of `path`; undefined if it is not in it. */
export function withoutChild(children: string, path: string): string | undefined {
  const entry = `${baseName(path)}\0`;
  if (children.startsWith(entry)) return children.slice(entry.length);
  const before = children.indexOf(`\0${entry}`);
  return before < 0 ? undefined : children.slice(0, before + 1) + children.slice(before + 1 + entry.length);
}
