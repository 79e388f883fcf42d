/**
 * Domain 0's own use of the store: what xenstore-read, -write, -rm, -ls and -chmod do for a toolstack. Text is UTF-8 in
 * the store, and JavaScript's here.
 */
import { decodeUtf8, forEachUtf8Byte } from "../text.ts";
import { Client } from "./client.ts";
import { childNames, withChild, type StoreNode } from "./node.ts";
import { changePermissions, readNode, readPermissions, removeNode, writeNode, type Scope } from "./operations.ts";
import { baseName, childPath, parentOf } from "./path.ts";
import { formatPermissions, parsePermissions, type Permissions } from "./permissions.ts";
import type { Store } from "./store.ts";
import { ENOENT } from "./store-error.ts";
import type { Cause, Watch, Watcher } from "./watches.ts";

/** Text as the store's byte strings have it. */
export function toBytes(text: string): string {
  if (!/[^\x00-\x7f]/.test(text)) return text;
  let bytes = "";
  forEachUtf8Byte(text, (byte) => (bytes += String.fromCharCode(byte)));
  return bytes;
}

/** The text that a byte string stands for. */
export function fromBytes(bytes: string): string {
  return decodeUtf8(Uint8Array.from(Array.from(bytes, (c) => c.charCodeAt(0))));
}

export class LocalStore {
  private readonly client: Client;

  constructor(readonly store: Store) {
    this.client = new Client(store, 0);
  }

  private get scope(): Scope {
    return this.client.scope(null);
  }

  /** The value at `path`, undefined where there is no node. */
  read(path: string): string | undefined {
    return this.orNothing(() => fromBytes(readNode(this.scope, path).data));
  }

  /** As `read`, the value's bytes as characters: a guest's need not be UTF-8. */
  readBytes(path: string): string | undefined {
    return this.orNothing(() => readNode(this.scope, path).data);
  }

  /** Names of the nodes below, undefined where there is no node. */
  list(path: string): string[] | undefined {
    return this.orNothing(() => childNames(readNode(this.scope, path)));
  }

  /** The permissions as text, such as "n0", "r5". */
  permissions(path: string): string[] | undefined {
    return this.orNothing(() => formatPermissions(readPermissions(this.scope, path)));
  }

  private orNothing<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      if (error === ENOENT) return undefined;
      throw error;
    }
  }

  /** Writes a node, making it and those above it where they are missing. */
  write(path: string, value: string): void {
    writeNode(this.scope, path, toBytes(value));
    this.client.announcer.flush();
  }

  setPermissions(path: string, ...permissions: string[]): void {
    changePermissions(this.scope, path, parsePermissions(permissions));
    this.client.announcer.flush();
  }

  /** Removes a node with all below; one that is not there is no error. */
  remove(path: string): void {
    this.orNothing(() => removeNode(this.scope, path));
    this.client.announcer.flush();
  }

  /** Calls `listener` with the path of every change at or below `path`, when the change is done. Returns the end of it. */
  watch(path: string, listener: (path: string) => void): () => void {
    const { store } = this;
    const watcher: Watcher = {
      subject: this.client.subject,
      event: (changed: string, _token: string, _cause: Cause | null) => {
        Promise.resolve(changed).then(listener);
      },
    };
    const watch: Watch = { watcher, path, token: "", prefix: 0 };
    store.watches.add(watch);
    return () => store.watches.remove(watch);
  }

  /** Creates a node, without checks; it does not exist yet, its parent does. */
  plant(path: string, data: string, permissions: Permissions): void {
    const { tree } = this.store;
    const parent = parentOf(path);
    const above = tree.get(parent)!;
    tree.put(parent, { ...above, children: withChild(above.children, path), generation: tree.advance() });
    tree.graft(path, [baseName(path), data, permissions]);
  }

  /**
   * Every node at and below `path`, parents first, with its depth. The tree may change between two of them: what is gone by
   * then is left out. Throws ENOENT at once where there is no node at `path`.
   */
  *walk(path: string): IterableIterator<{ path: string; node: StoreNode; depth: number }> {
    yield* this.walkBelow(path, readNode(this.scope, path), 0);
  }

  private *walkBelow(
    path: string,
    node: StoreNode,
    depth: number,
  ): IterableIterator<{ path: string; node: StoreNode; depth: number }> {
    yield { path, node, depth };
    for (const name of childNames(node)) {
      const at = childPath(path, name);
      const child = this.orNothing(() => readNode(this.scope, at));
      if (child !== undefined) yield* this.walkBelow(at, child, depth + 1);
    }
  }
}
