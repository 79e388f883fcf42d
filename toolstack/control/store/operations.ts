/**
 * The operations on nodes, by Xen's rules: permissions, errors for missing nodes, implicit changes. Each completes
 * or has no effect and throws a StoreError.
 */
import { checkNodeSize, childNames, withChild, withoutChild, type StoreNode } from "./node.ts";
import { childPath, isValidPath, parentOf, ROOT } from "./path.ts";
import { accessOf, OWN, READ, WRITE, type Permissions, type Subject } from "./permissions.ts";
import { MAX_NODES, MAX_PERMISSIONS, type Account } from "./quota.ts";
import { EACCES, EAGAIN, EINVAL, ENOENT, ENOMEM, ENOSPC, EPERM } from "./store-error.ts";
import type { Tree, View } from "./tree.ts";

/** The acting client and the view it acts on: within a transaction, or outside of one. */
export interface Scope {
  readonly tree: Tree;
  readonly view: View;
  readonly subject: Subject;
  readonly account: Account;
}

function access(scope: Scope, node: StoreNode): number {
  const { tree, subject } = scope;
  return accessOf(subject, node.permissions, (domain) => tree.entryHolds(domain, node.generation));
}

/** The nearest node above `path` that exists. */
function ancestor(view: View, path: string, reads = false): { path: string; node: StoreNode } {
  for (let at = path; ;) {
    at = parentOf(at);
    const node = reads ? view.look(at) : view.get(at);
    if (node !== undefined) return { path: at, node };
  }
}

/**
 * The node at `path` if `wanted` is allowed. Clients without access learn nothing: a missing node is ENOENT only to those
 * that have some of that access to the nearest existing ancestor.
 */
function find(scope: Scope, path: string, wanted: number): StoreNode {
  if (!isValidPath(path)) throw EINVAL;
  const reads = wanted === READ;
  const node = reads ? scope.view.look(path) : scope.view.get(path);
  if (node !== undefined) {
    if ((access(scope, node) & wanted) === wanted) return node;
    throw EACCES;
  }
  throw (access(scope, ancestor(scope.view, path, reads).node) & wanted) !== 0 ? ENOENT : EACCES;
}

/** As `find`, but undefined for a node that `scope` may make. */
function findOrNone(scope: Scope, path: string, wanted: number): StoreNode | undefined {
  try {
    return find(scope, path, wanted);
  } catch (error) {
    if (error === ENOENT) return undefined;
    throw error;
  }
}

export function readNode(scope: Scope, path: string): StoreNode {
  return find(scope, path, READ);
}

export function readPermissions(scope: Scope, path: string): Permissions {
  return scope.tree.lasting(find(scope, path, READ));
}

/** Stores a changed node, within the quota of the client that changes it. */
function replace(scope: Scope, path: string, node: StoreNode): void {
  const { view, account } = scope;
  if (account.limited) {
    checkNodeSize(node);
    if (!account.mayTake(view.growth(account, path, node))) throw ENOMEM;
  }
  view.put(path, node);
}

export function writeNode(scope: Scope, path: string, data: string): void {
  const { tree, view } = scope;
  const old = findOrNone(scope, path, WRITE);
  if (old === undefined) {
    create(scope, path, data);
  } else {
    const { children } = old;
    replace(scope, path, { data, permissions: tree.lasting(old), children, generation: tree.advance() });
  }
  view.changed(path, false);
}

export function makeDirectory(scope: Scope, path: string): void {
  if (findOrNone(scope, path, WRITE) !== undefined) return;
  create(scope, path, "");
  scope.view.changed(path, false);
}

/** Makes a node and those that are missing above it; they have the permissions of the nearest one that exists. */
function create(scope: Scope, path: string, data: string): void {
  const { tree, view, account } = scope;
  const above = ancestor(view, path);
  let permissions = tree.lasting(above.node);
  // Guests own what they make.
  if (account.limited)
    permissions = [{ domain: account.domain, access: permissions[0]!.access }, ...permissions.slice(1)];

  const made: [string, StoreNode][] = [];
  let bytes = 0;
  let at = path;
  for (let children = "", content = data; at !== above.path; at = parentOf(at), content = "") {
    const node = { data: content, permissions, children, generation: tree.advance() };
    made.push([at, node]);
    children = withChild("", at);
    if (account.limited) checkNodeSize(node);
    bytes += view.growth(account, at, node);
  }
  const top = made[made.length - 1]![0];
  const parent: StoreNode = {
    data: above.node.data,
    permissions: tree.lasting(above.node),
    children: withChild(above.node.children, top),
    generation: tree.advance(),
  };
  if (account.limited) {
    if (view.nodesOf(account) + made.length > MAX_NODES) throw ENOSPC;
    checkNodeSize(parent);
    if (!account.mayTake(bytes + view.growth(account, above.path, parent))) throw ENOMEM;
  }
  view.put(above.path, parent);
  for (const [each, node] of made) view.put(each, node);
}

/** Removes a node with everything below it. One that is not there is no error if its parent is. */
export function removeNode(scope: Scope, path: string): void {
  const { view } = scope;
  const node = findOrNone(scope, path, WRITE);
  if (node === undefined) {
    if (view.get(parentOf(path)) === undefined) throw ENOENT;
    return;
  }
  if (path === ROOT) throw EINVAL;
  removeTree(scope.tree, view, path);
}

/**
 * Removes a node that exists and is not the root, without permission checks.
 * @throws EAGAIN in a transaction that sees parts of the tree before and others after another client's change
 */
export function removeTree(tree: Tree, view: View, path: string): void {
  const parentPath = parentOf(path);
  const parent = seen(view, parentPath);
  const children = withoutChild(parent.children, path);
  if (children === undefined) throw EAGAIN;
  const doomed = [path];
  for (let i = 0; i < doomed.length; i++) {
    const at = doomed[i]!;
    for (const name of childNames(seen(view, at))) doomed.push(childPath(at, name));
  }
  // Watches fire while permissions can still be looked up: descendants are removed first, one by one.
  for (let i = doomed.length - 1; i >= 0; i--) {
    const at = doomed[i]!;
    view.changed(at, i > 0);
    view.remove(at);
  }
  view.put(parentPath, {
    data: parent.data,
    permissions: tree.lasting(parent),
    children,
    generation: tree.advance(),
  });
}

/** A node that its parent or its child says is there. Throws EAGAIN, as `removeTree`. */
function seen(view: View, path: string): StoreNode {
  const node = view.get(path);
  if (node === undefined) throw EAGAIN;
  return node;
}

/** Gives a node other permissions: its owner may, except to give it away. */
export function changePermissions(scope: Scope, path: string, permissions: Permissions): void {
  const { tree, view, account } = scope;
  if (account.limited && permissions.length > MAX_PERMISSIONS) throw ENOSPC;
  if (tree.domain(permissions[0]!.domain) === undefined) throw ENOENT;
  const old = find(scope, path, WRITE | OWN);
  if (account.limited && permissions[0]!.domain !== old.permissions[0]!.domain) throw EPERM;
  const kept = permissions.filter(({ domain }, i) => i === 0 || tree.domain(domain) !== undefined);
  const { data, children } = old;
  replace(scope, path, { data, permissions: kept, children, generation: tree.advance() });
  view.changed(path, false, old);
}
