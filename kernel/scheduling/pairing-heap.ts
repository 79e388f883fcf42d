/**
 * An intrusive priority queue: nodes are embedded in the queued objects (timers, runnable vCPUs), so
 * insertion never fails. Pairing heap: insert and peek O(1), removal O(log n) amortised (Fredman, Sedgewick, Sleator,
 * Tarjan 1986). The order of equal keys is unspecified.
 */
@unmanaged
export class HeapNode {
  key: u64;
  /** First of this node's children, 0 none. */
  child: usize;
  /** Next sibling, 0 none. */
  next: usize;
  /** Previous sibling, or the parent for a first child; HEAP_ROOT for the root, 0 when in no heap. */
  prev: usize;
}

const HEAP_ROOT: usize = 1;

export function heapHolds(n: HeapNode): bool {
  return n.prev != 0;
}

/** Links two roots into one and returns it. */
function meld(a: usize, b: usize): usize {
  if (!a) return b;
  if (!b) return a;
  let parent = changetype<HeapNode>(a);
  let kid = changetype<HeapNode>(b);
  if (kid.key < parent.key) {
    const swap = parent;
    parent = kid;
    kid = swap;
  }
  kid.next = parent.child;
  kid.prev = changetype<usize>(parent);
  if (parent.child) changetype<HeapNode>(parent.child).prev = changetype<usize>(kid);
  parent.child = changetype<usize>(kid);
  parent.next = 0;
  parent.prev = HEAP_ROOT;
  return changetype<usize>(parent);
}

/** Melds a list of siblings into one heap: in pairs from left to right, then the pairs from right to left. */
function meldSiblings(first: usize): usize {
  let pairs: usize = 0; // reversed list, linked by prev
  let at = first;
  while (at) {
    const a = at;
    const b = changetype<HeapNode>(a).next;
    at = b ? changetype<HeapNode>(b).next : 0;
    changetype<HeapNode>(a).next = 0;
    if (b) changetype<HeapNode>(b).next = 0;
    const pair = meld(a, b);
    changetype<HeapNode>(pair).prev = pairs;
    pairs = pair;
  }
  let root: usize = 0;
  while (pairs) {
    const rest = changetype<HeapNode>(pairs).prev;
    root = meld(root, pairs);
    pairs = rest;
  }
  if (root) changetype<HeapNode>(root).prev = HEAP_ROOT;
  return root;
}

/** Inserts a node; its key is set, and it is in no heap. @returns the new root */
export function heapInsert(root: usize, n: HeapNode): usize {
  n.child = 0;
  n.next = 0;
  n.prev = HEAP_ROOT;
  return meld(root, changetype<usize>(n));
}

/** Removes a node that is in this heap. @returns the new root, 0 when empty */
export function heapRemove(root: usize, n: HeapNode): usize {
  const rest = meldSiblings(n.child);
  let result = rest;
  if (n.prev != HEAP_ROOT) {
    const before = changetype<HeapNode>(n.prev);
    if (before.child == changetype<usize>(n)) before.child = n.next;
    else before.next = n.next;
    if (n.next) changetype<HeapNode>(n.next).prev = n.prev;
    result = meld(root, rest);
  }
  n.child = 0;
  n.next = 0;
  n.prev = 0;
  return result;
}
