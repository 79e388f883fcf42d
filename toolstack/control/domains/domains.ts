/**
 * The toolstack's domains: creation, end, and the way back to them after domain 0 was restarted.
 *
 * As with xl's defaults (on_poweroff, on_crash = destroy) a guest that has shut down is destroyed and its memory is
 * returned, with a line on the console; a suspended one stays, shut down, until it is destroyed by command. Unlike with
 * xl, a reboot ends a domain too: nothing here remembers how to build it again.
 */
import { HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_PFN } from "../../../abi/hvm.ts";
import { VIRQ_DOM_EXC } from "../../../abi/xen.ts";
import { BuildError } from "../builder/build-error.ts";
import { buildDomain, type GuestConfig } from "../builder/builder.ts";
import { isBzImage } from "../builder/bzimage.ts";
import type { Image } from "../builder/image.ts";
import { openBzImage } from "../builder/unpack.ts";
import { onVirq } from "../events.ts";
import { reportFailure } from "../failures.ts";
import { destroyDomain, domainExists, unpauseDomain } from "../hypercalls/domctl.ts";
import type { DomainInfo } from "../hypercalls/domain-info.ts";
import { getHvmParam } from "../hypercalls/hvm.ts";
import { listDomains, shutdownDomains } from "../hypercalls/sysctl.ts";
import { GuestDomain } from "./domain.ts";
import { GuestConsole } from "./guest-console.ts";
import { after } from "../timers.ts";
import { freeName, handleOfName, nameOfHandle } from "./name.ts";
import { isFailure, shutdownReason } from "./shutdown.ts";

export const DOMAIN_0 = 0;
const DOMAIN_0_NAME = "Domain-0";
/** Ended domains whose last output can still be looked at. */
const GRAVES = 8;
/** How long a destroyed domain is waited for. */
const LINGER_MS = 1000;

/** What `create` asks for; a name is made up where none is given. */
export interface CreateRequest extends Omit<GuestConfig, "handle"> {
  name?: string;
}

export class Domains {
  private readonly byId = new Map<number, GuestDomain>();
  private readonly byName = new Map<string, GuestDomain>();
  /** The latest ended domains, oldest first. */
  private graves: GuestDomain[] = [];
  /** Called at every VIRQ_DOM_EXC; who returns true is not called again. */
  private watchers: (() => boolean)[] = [];

  /** @param notice prints a line about something that happened by itself */
  constructor(private readonly notice: (text: string) => void) {}

  /** Binds VIRQ_DOM_EXC and takes over what runs already: nothing at the machine's start. */
  start(): void {
    onVirq(VIRQ_DOM_EXC, () => {
      this.watchers = this.watchers.filter((watcher) => !watcher());
      this.checkShutdowns();
    });
    for (const info of listDomains()) {
      if (info.id === DOMAIN_0 || info.dying) continue;
      try {
        this.adopt(info);
      } catch (error) {
        reportFailure(`taking over domain ${info.id}`, error);
      }
    }
    if (this.byId.size > 0) this.checkShutdowns();
  }

  /** Takes over a domain of the domain 0 that was here before. */
  private adopt(info: DomainInfo): void {
    const name = nameOfHandle(info.handle);
    if (name === "") {
      destroyDomain(info.id);
      this.notice(`domain ${info.id} was being built when domain 0 was restarted: destroyed`);
      return;
    }
    const domain = new GuestDomain(info.id, name);
    this.add(domain);
    try {
      const gfn = getHvmParam(info.id, HVM_PARAM_CONSOLE_PFN);
      const port = getHvmParam(info.id, HVM_PARAM_CONSOLE_EVTCHN);
      domain.console = GuestConsole.connect(info.id, gfn, port);
    } catch (error) {
      // The guest may have spoilt its own console; it is still a domain to be listed and destroyed.
      this.notice(`${domain}: its console could not be connected again: ${String(error)}`);
    }
  }

  private add(domain: GuestDomain): void {
    this.byId.set(domain.id, domain);
    this.byName.set(domain.name, domain);
  }

  private remove(domain: GuestDomain): void {
    this.byId.delete(domain.id);
    if (this.byName.get(domain.name) === domain) this.byName.delete(domain.name);
  }

  /** Names and ids of all domains, domain 0 included, with their state. */
  list(): { info: DomainInfo; name: string }[] {
    return listDomains().map((info) => ({ info, name: this.nameOf(info) }));
  }

  private nameOf(info: DomainInfo): string {
    if (info.id === DOMAIN_0) return DOMAIN_0_NAME;
    return this.byId.get(info.id)?.name ?? (nameOfHandle(info.handle) || "(null)");
  }

  /** The living domains the toolstack knows. */
  all(): GuestDomain[] {
    return [...this.byId.values()];
  }

  /** A living domain by number or name. */
  find(which: string | number): GuestDomain | undefined {
    return this.byId.get(Number(which)) ?? this.byName.get(String(which));
  }

  /** An ended domain that is still remembered, by number or name; the latest of that name. */
  findEnded(which: string | number): GuestDomain | undefined {
    return [...this.graves].reverse().find((domain) => domain.id === Number(which) || domain.name === which);
  }

  /**
   * Builds a domain and connects its console; it is paused. A compressed kernel is unpacked first, which takes a while.
   * @throws BuildError for what the user can mend, HypercallError for what the hypervisor refused
   */
  async create(request: CreateRequest): Promise<GuestDomain> {
    if (!isBzImage(request.kernel)) return this.build(request, request.kernel);
    this.checkName(request);
    const { image, release } = await openBzImage(request.kernel);
    try {
      return this.build(request, image);
    } finally {
      release();
    }
  }

  /** Refuses a bad name, or one that is taken. */
  private checkName({ name }: CreateRequest): void {
    if (name === undefined) return;
    handleOfName(name);
    if (this.isTaken(name)) throw new BuildError(`a domain named "${name}" exists already`);
  }

  private isTaken(name: string): boolean {
    return name === DOMAIN_0_NAME || this.byName.has(name);
  }

  /** As `create`; `kernel` is the request's, or the one inside it. */
  private build(request: CreateRequest, kernel: Image): GuestDomain {
    this.checkName(request);
    let name = request.name ?? "";
    const handle = (id: number) => {
      name = request.name ?? freeName(request.kernel.name, id, (taken) => this.isTaken(taken));
      return handleOfName(name);
    };
    const built = buildDomain({ ...request, kernel, handle });
    const domain = new GuestDomain(built.id, name);
    try {
      domain.console = GuestConsole.connect(built.id, built.consoleGfn, built.consolePort);
    } catch (error) {
      destroyDomain(built.id);
      throw error;
    }
    this.add(domain);
    return domain;
  }

  /** Lets a domain run that `create` made. */
  unpause(domain: GuestDomain): void {
    unpauseDomain(domain.id);
  }

  /** Ends a domain and returns its memory. */
  destroy(domain: GuestDomain): void {
    try {
      domain.console?.close();
    } finally {
      destroyDomain(domain.id);
      this.remove(domain);
      this.graves = [...this.graves, domain].slice(-GRAVES);
      domain.end("destroyed");
    }
  }

  /**
   * Waits until a destroyed domain is gone and its memory is back. The hypervisor takes it apart after `destroy`.
   * @returns false when it is still there after LINGER_MS: another domain maps or was granted some of its memory
   */
  gone(domain: GuestDomain): Promise<boolean> {
    if (!domainExists(domain.id)) return Promise.resolve(true);
    return new Promise((resolve) => {
      const cancel = after(LINGER_MS, () => {
        this.watchers = this.watchers.filter((watcher) => watcher !== check);
        resolve(!domainExists(domain.id));
      });
      const check = () => {
        if (domainExists(domain.id)) return false;
        cancel();
        resolve(true);
        return true;
      };
      this.watchers.push(check);
    });
  }

  /** Looks for domains that have shut down since the last time. */
  private checkShutdowns(): void {
    for (const { id, code } of shutdownDomains()) {
      const domain = this.byId.get(id);
      if (domain === undefined || domain.ended !== null) continue;
      const reason = shutdownReason(code);
      const awaited = domain.waiters > 0;
      domain.end(reason);
      if (awaited) continue;
      if (reason === "suspend") {
        this.notice(`${domain} has suspended`);
      } else {
        this.destroy(domain);
        this.notice(
          `${domain} has ended: ${reason}${isFailure(reason) ? ` (its last output: console ${domain.id})` : ""}`,
        );
      }
    }
  }
}
