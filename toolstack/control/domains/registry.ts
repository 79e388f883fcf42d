/** The domains that there are, by id, name and UUID; and the names and UUIDs of those that are being built. */
import { BuildError } from "../builder/build-error.ts";
import type { GuestDomain } from "./domain.ts";
import { checkName, idOf } from "./name.ts";
import { isSystemName } from "./system-domains.ts";
import { handleText } from "./uuid.ts";

export class Registry {
  private readonly byId = new Map<number, GuestDomain>();
  private readonly byName = new Map<string, GuestDomain>();
  private readonly byHandle = new Map<string, GuestDomain>();
  private readonly namesToCome = new Set<string>();
  private readonly handlesToCome = new Set<string>();

  get size(): number {
    return this.byId.size;
  }

  all(): GuestDomain[] {
    return [...this.byId.values()];
  }

  get(id: number): GuestDomain | undefined {
    return this.byId.get(id);
  }

  /** By id, a number or decimal digits, or by name. */
  find(which: string | number): GuestDomain | undefined {
    const id = idOf(which);
    return id === undefined ? this.byName.get(String(which)) : this.byId.get(id);
  }

  add(domain: GuestDomain): void {
    this.byId.set(domain.id, domain);
    this.byName.set(domain.name, domain);
    this.byHandle.set(domain.handleKey, domain);
  }

  remove(domain: GuestDomain): void {
    this.byId.delete(domain.id);
    if (this.byName.get(domain.name) === domain) this.byName.delete(domain.name);
    if (this.byHandle.get(domain.handleKey) === domain) this.byHandle.delete(domain.handleKey);
  }

  isTaken(name: string): boolean {
    return isSystemName(name) || this.byName.has(name) || this.namesToCome.has(name);
  }

  /** Refuses a bad name, or one that is taken. Throws BuildError. */
  checkName(name: string): void {
    checkName(name);
    if (this.isTaken(name)) throw new BuildError(`a domain named "${name}" exists already`);
  }

  /** Gives a domain another name, its own included. Throws BuildError as `checkName`; nothing has changed then. */
  rename(domain: GuestDomain, name: string): void {
    if (name === domain.name) return;
    this.checkName(name);
    this.remove(domain);
    domain.name = name;
    this.add(domain);
  }

  /** Refuses a UUID that another domain has. Throws BuildError. @param handle its words */
  checkHandle(handle: readonly number[]): void {
    const key = handleText(handle);
    if (this.handlesToCome.has(key)) throw new BuildError("a domain with that UUID is being created");
    const other = this.byHandle.get(key);
    if (other !== undefined) throw new BuildError(`${other.toString()} has that UUID already`);
  }

  /**
   * Keeps a name and a UUID for a domain that is being built.
   * @returns what gives them free again
   */
  reserve(name: string | undefined, handle: readonly number[] | undefined): () => void {
    const key = handle && handleText(handle);
    if (name !== undefined) this.namesToCome.add(name);
    if (key !== undefined) this.handlesToCome.add(key);
    return () => {
      if (name !== undefined) this.namesToCome.delete(name);
      if (key !== undefined) this.handlesToCome.delete(key);
    };
  }
}
