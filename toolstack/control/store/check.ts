/** Consistency check: every node is its parent's child, and every account equals the sum of its nodes. */
import { childNames, nodeCost } from "./node.ts";
import { childPath, parentOf, ROOT } from "./path.ts";
import type { Tree } from "./tree.ts";

/** Descriptions of the errors; empty if there are none. */
export function checkTree(tree: Tree): string[] {
  const wrong: string[] = [];
  const owned = new Map<number, { nodes: number; bytes: number }>();
  for (const [path, node] of tree.entries()) {
    const names = childNames(node);
    if (new Set(names).size !== names.length) wrong.push(`${path} has a child twice`);
    for (const name of names) {
      if (tree.get(childPath(path, name)) === undefined) wrong.push(`${path} has a child ${name} that is not there`);
    }
    if (path !== ROOT) {
      const parent = tree.get(parentOf(path));
      if (parent === undefined || !childNames(parent).some((name) => childPath(parentOf(path), name) === path)) {
        wrong.push(`${path} is no child of its parent`);
      }
    }
    const owner = node.permissions[0]!.domain;
    if (tree.domain(owner) === undefined) wrong.push(`${path} is owned by domain ${owner}, which is gone`);
    const sum = owned.get(owner) ?? { nodes: 0, bytes: 0 };
    owned.set(owner, { nodes: sum.nodes + 1, bytes: sum.bytes + nodeCost(path, node) });
  }
  for (const [domain, { nodes, bytes }] of owned) {
    const account = tree.domain(domain)?.account;
    if (account !== undefined && account.nodes !== nodes) {
      wrong.push(`domain ${domain} is counted with ${account.nodes} nodes and has ${nodes}`);
    }
    if (account !== undefined && account.bytes < bytes) {
      wrong.push(`domain ${domain} is counted with ${account.bytes} bytes, its nodes alone take ${bytes}`);
    }
  }
  return wrong;
}
