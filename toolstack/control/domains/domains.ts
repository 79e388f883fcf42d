/**
 * The toolstack's domains: creation, shutdown, and adopting them after a restart of domain 0.
 *
 * The policy (policy.ts) determines what happens after a guest has shut down; a suspended one stays, shut down, until it
 * is destroyed by command.
 */
import { VIRQ_DOM_EXC } from "../../../abi/xen.ts";
import { acpiSize } from "../builder/acpi.ts";
import { BuildError } from "../builder/build-error.ts";
import { buildDomain, isPvhv1 } from "../builder/builder.ts";
import { isBzImage } from "../builder/bzimage.ts";
import { refuseTooLarge } from "../builder/memory-check.ts";
import type { Image } from "../builder/image.ts";
import { beyondRam } from "../builder/layout.ts";
import type { Progress } from "../builder/pace.ts";
import { openRings, ringsOf, type Rings } from "../builder/rings.ts";
import { openBzImage } from "../builder/unpack.ts";
import { systemTime } from "../clock.ts";
import { onVirq } from "../events.ts";
import { describeError, detach, reportFailure } from "../failures.ts";
import { HypercallError } from "../hypercall.ts";
import {
  changedDomain,
  destroyDomain,
  domainInfo,
  pauseDomain,
  setDomainHandle,
  softResetDomain,
  unpauseDomain,
} from "../hypercalls/domctl.ts";
import type { DomainInfo } from "../hypercalls/domain-info.ts";
import { listDomains } from "../hypercalls/sysctl.ts";
import type { IoRequests } from "../noxs/io-requests.ts";
import { Devices, wantsDevicePage } from "../noxs/devices.ts";
import type { SavedClient } from "../store/saved.ts";
import type { StoreService } from "../store/service.ts";
import { attempt, RESTORE } from "../suspects.ts";
import { giveWay, Task } from "../tasks.ts";
import { GuestDomain, initialSizes, KIB } from "./domain.ts";
import { DomainKeeper } from "./domain-keeper.ts";
import { Departures } from "./departures.ts";
import { DomainNodes, renameNodes, uprootDomain } from "./domain-nodes.ts";
import { GuestConsole } from "./guest-console.ts";
import { sleep } from "../timers.ts";
import { freeName, idOf } from "./name.ts";
import { noPortLeft } from "./no-port-left.ts";
import { DEFAULT_POLICY } from "../../api/policy.ts";
import { schedule } from "./affinity.ts";
import { actionFor, quickEnds, resets, restartDelay } from "./policy.ts";
import { Registry } from "./registry.ts";
import type { CreateRequest } from "./request.ts";
import {
  decodeDomain,
  decodeRecord,
  domainOfRestart,
  encodeDomain,
  isRestartKey,
  keepDomain,
  restartKey,
  restoreNext,
  restoreRequest,
  type SavedDomain,
} from "./saved.ts";
import { isAsleep } from "./sleep.ts";
import { isFailure, shutdownReason, type EndReason } from "./shutdown.ts";
import { DOMAIN_0, systemName } from "./system-domains.ts";
import { handleOfText, handleOfUuid, isUnfinished, newHandle, seedUuids } from "./uuid.ts";
import { dropRecord, loadRecords } from "../stable.ts";
import { showLife } from "../watchdog.ts";
import { PAGE_SIZE } from "../window.ts";

/** Ended domains whose last output can still be displayed. */
const GRAVES = 8;

export class Domains {
  private readonly living = new Registry();
  /** The latest ended domains, oldest first. */
  private graves: GuestDomain[] = [];
  private readonly departures = new Departures();
  private readonly changes = new Task("domains that have ended", () => this.takeChange());
  private readonly keeper: DomainKeeper;
  /** Domains that ended before all were adopted are handled afterwards. */
  private takingOver = true;
  /** Called when one of the hypervisor's own domains was restarted, or has shut down. */
  systemChanged: (id: number) => void = () => {};
  /** Of all domains. */
  readonly devices: Devices;
  /** Domain 0's own record, of an earlier domain 0. */
  ownRecord: string | undefined;

  /** @param notice prints a line about something that happened by itself */
  constructor(
    private readonly notice: (text: string) => void,
    readonly store: StoreService,
    io: IoRequests,
  ) {
    this.devices = new Devices(io, store, notice);
    this.keeper = new DomainKeeper(store, (domain) => this.living.get(domain.id) === domain, notice);
  }

  /**
   * Binds VIRQ_DOM_EXC and takes over what runs already: nothing at the machine's start, many domains when domain 0 was
   * restarted. In small steps; the store serves no requests before all are adopted.
   */
  async start(): Promise<void> {
    onVirq(VIRQ_DOM_EXC, () => this.changes.request());
    this.store.changed = (id) => {
      const domain = this.living.get(id);
      if (domain !== undefined) this.keeper.save(domain);
    };
    this.store.hold();
    try {
      const records = loadRecords(() => showLife());
      this.ownRecord = records.get(DOMAIN_0);
      records.delete(DOMAIN_0);
      await this.takeOver(records);
    } catch (error) {
      reportFailure("taking over domains", error);
    }
    this.takingOver = false;
    this.devices.adopt(this.all());
    this.store.serveAll();
    // What ended before VIRQ_DOM_EXC was bound.
    if (this.living.size > 0) this.changes.request();
  }

  private async takeOver(records: Map<number, string>): Promise<void> {
    const restores: { id: number; store: SavedClient }[] = [];
    const guarded = (id: number, work: () => void) => {
      try {
        work();
      } catch (error) {
        reportFailure(`taking over domain ${id}`, error);
      }
    };
    // Those with records first: a name that is made up is then none of theirs.
    const infos = listDomains();
    const kept = infos.filter(({ id }) => records.has(id));
    for (const info of [...kept, ...infos.filter(({ id }) => !records.has(id))]) {
      const { id } = info;
      if (systemName(id) !== undefined) continue;
      showLife();
      await giveWay();
      if (info.dying) {
        guarded(id, () => destroyDomain(id)); // its destruction may have been under way when domain 0 was restarted
        continue;
      }
      guarded(id, () => {
        const store = this.adopt(info, records.get(id))?.store;
        if (store) restores.push({ id, store });
      });
    }
    // Permissions name other domains: all must be known before.
    for (const { id, store } of restores) {
      showLife();
      await giveWay();
      guarded(id, () => {
        if (attempt(RESTORE, id, () => this.store.restore(id, store))) return;
        this.notice(`domain ${id}: what was kept of its store ended domain 0 twice: it is lost`);
      });
    }
    const handles = new Set(this.all().map(({ handleKey }) => handleKey));
    for (const [key, record] of records) {
      if (isRestartKey(key)) this.resumeRestart(key, record, handles);
      else if (this.living.get(key) === undefined) dropRecord(key);
    }
  }

  /** Goes on with a restart that an earlier domain 0 had begun. @param there handles of the domains taken over */
  private resumeRestart(key: number, record: string, there: Set<string>): void {
    const saved = decodeRecord(record);
    // One with that UUID is there: it is the new one, or the old one was not ended yet, and its end is seen again.
    if (saved === null || there.has(saved.handle)) {
      dropRecord(key);
      return;
    }
    const domain = new GuestDomain(domainOfRestart(key), saved.name, handleOfText(saved.handle), saved.sizes);
    domain.take(saved, restoreRequest(saved), restoreNext(saved));
    domain.madeNs = systemTime();
    this.restart(domain);
  }

  /** Takes over a domain of the domain 0 that was here before; returns what was kept of it. */
  private adopt(info: DomainInfo, record: string | undefined): SavedDomain | null {
    const { handle } = info;
    if (isUnfinished(handle)) {
      destroyDomain(info.id);
      this.notice(`domain ${info.id} was being built when domain 0 was restarted: destroyed`);
      return null;
    }
    const saved = record === undefined ? null : decodeDomain(record, handle);
    const name = saved?.name ?? freeName(`domain-${info.id}`, info.id, (taken) => this.living.isTaken(taken));
    if (saved === null) this.notice(`domain ${info.id}: what was kept of it is lost; it is named ${name} now`);
    const kib = (info.maxPages * PAGE_SIZE - beyondRam(acpiSize(info.maxVcpus))) / KIB;
    const sizes = {
      vcpus: info.maxVcpus,
      onlineVcpus: info.onlineVcpus,
      maxMemoryKib: kib,
      memoryKib: kib,
      limitKib: kib,
      startedMs: 0,
    };
    const domain = new GuestDomain(info.id, name, handle, saved?.sizes ?? sizes);
    if (saved !== null) domain.take(saved, restoreRequest(saved), restoreNext(saved));
    this.living.add(domain);
    if (saved === null) this.keeper.save(domain);
    else if (saved.next !== null && domain.next === null) {
      this.notice(`${domain}: what \`config-update\` said of it is lost: an image is no longer there`);
    }
    if (saved?.resetting && (info.shutdown || info.paused)) {
      domain.resetting = true;
      this.reset(domain, info);
      return null; // what it had in the store goes with the reset
    }
    const rings = ringsOf(info.id);
    // The guest may have corrupted values under its control; it must still be listed and can be destroyed.
    this.reconnect(domain, "console", () => {
      domain.console = GuestConsole.connect(info.id, rings.consoleGfn, rings.consolePort, false);
    });
    this.reconnect(domain, "xenstore ring", () => this.connectStore(domain, rings, false));
    this.reconnect(domain, "devices", () => this.devices.restore(domain));
    return saved;
  }

  private reconnect(domain: GuestDomain, what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.notice(`${domain}: its ${what} could not be connected again: ${String(error)}`);
    }
  }

  /** Connects a domain to the store; its nodes are written at the first change. */
  private connectStore(domain: GuestDomain, built: Rings, fresh: boolean): void {
    this.store.connect(domain.id, built.storeGfn, built.storePort, fresh, new DomainNodes(domain, built));
  }

  /** A change confirmed to an operator survives a crash of domain 0. */
  saveNow(domain: GuestDomain): void {
    this.keeper.saveNow(domain);
  }

  /** Takes a domain out of the store. */
  private disconnectStore(domain: GuestDomain): void {
    const { id } = domain;
    if (this.store.store.populated(id)) uprootDomain(this.store.local, id, domain.uuid);
    this.store.disconnect(id);
  }

  /**
   * Gives a domain another name; its nodes in the store follow.
   * @throws BuildError for a name that is bad, or another's; nothing has changed then
   */
  rename(domain: GuestDomain, name: string): void {
    this.living.rename(domain, name);
    if (this.store.store.populated(domain.id)) renameNodes(this.store.local, domain.id, domain.uuid, name);
    this.saveNow(domain);
  }

  /** Names and ids of all domains, the hypervisor's own included, with their state. */
  list(): { info: DomainInfo; name: string }[] {
    return listDomains().map((info) => ({ info, name: this.nameOf(info) }));
  }

  private nameOf(info: DomainInfo): string {
    const domain = this.living.get(info.id) ?? (info.dying ? this.findEnded(info.id) : undefined);
    return systemName(info.id) ?? domain?.name ?? "(null)";
  }

  /** The living domains the toolstack knows. */
  all(): GuestDomain[] {
    return this.living.all();
  }

  /** A living domain by its id, a number or decimal digits, or its name. */
  find(which: string | number): GuestDomain | undefined {
    return this.living.find(which);
  }

  /** An ended domain that is still remembered, by number or name; the latest of that name. */
  findEnded(which: string | number): GuestDomain | undefined {
    const id = idOf(which);
    return [...this.graves].reverse().find((domain) => (id === undefined ? domain.name === which : domain.id === id));
  }

  /**
   * Builds a domain and connects its console; it is paused. A compressed kernel is unpacked first, which takes a while.
   * @param progress told about once a second how far a long build is
   * @throws BuildError for what the user can mend, HypercallError for what the hypervisor refused
   */
  async create(request: CreateRequest, progress?: Progress): Promise<GuestDomain> {
    refuseTooLarge(request.memoryMib);
    const { kernel, ramdisk } = request;
    for (const image of [kernel, ramdisk]) {
      if (image?.removed)
        throw new BuildError(`the image ${image.name} (${image.reference}) was removed: upload it again`);
    }
    const built = isBzImage(kernel) ? this.unpackAndBuild(request, progress) : this.build(request, kernel, progress);
    // What is built at once is not waited for: that would take longer than its making known.
    const domain = built instanceof GuestDomain ? built : await built;
    try {
      if (request.weight !== undefined || request.affinity !== undefined) schedule(domain.id, request);
      if (request.vifs !== undefined || request.vbds !== undefined) await this.devices.attachAll(domain);
      this.finishCreation(domain);
    } catch (error) {
      this.destroy(domain);
      throw error;
    }
    return domain;
  }

  /** A domain is finished when it has its handle: its record is kept before. */
  private finishCreation(domain: GuestDomain): void {
    this.keeper.saveNow(domain, domain.madeNs);
    setDomainHandle(domain.id, domain.handle);
  }

  private async unpackAndBuild(request: CreateRequest, progress?: Progress): Promise<GuestDomain> {
    this.checkUnique(request);
    const { image, release } = await openBzImage(request.kernel);
    try {
      return await this.build(request, image, progress);
    } finally {
      release();
    }
  }

  /** Refuses a bad name, or a name or UUID that is taken. */
  private checkUnique({ name, uuid }: CreateRequest): void {
    if (name !== undefined) this.living.checkName(name);
    if (uuid !== undefined) this.living.checkHandle(handleOfUuid(uuid));
  }

  /** As `create`, without devices; `kernel` is the request's, or the one inside it. */
  private build(request: CreateRequest, kernel: Image, progress?: Progress): GuestDomain | Promise<GuestDomain> {
    this.checkUnique(request);
    seedUuids();
    const config = kernel === request.kernel ? request : { ...request, kernel };
    const noxs = wantsDevicePage(request);
    const built = buildDomain(config, noxs, progress);
    if (built instanceof Promise) return this.connectLater(request, kernel, built, noxs);
    return this.connect(request, built, noxs || isPvhv1(kernel));
  }

  private async connectLater(
    request: CreateRequest,
    kernel: Image,
    building: Promise<Rings>,
    noxs: boolean,
  ): Promise<GuestDomain> {
    const { name, uuid } = request;
    const free = this.living.reserve(name, uuid === undefined ? undefined : handleOfUuid(uuid));
    let built: Rings;
    try {
      built = await building;
    } finally {
      free();
    }
    return this.connect(request, built, noxs || isPvhv1(kernel));
  }

  /**
   * Makes a domain just built known, with its console and its place in the store. A restart of domain 0 would destroy it until it
   * has its handle: `finishCreation`.
   * @param devicePage it finds its devices without the store: it is given the one by which it can be asked to end
   */
  private connect(request: CreateRequest, built: Rings, devicePage: boolean): GuestDomain {
    const name = request.name ?? freeName(request.kernel.name, built.id, (taken) => this.living.isTaken(taken));
    const handle = request.uuid === undefined ? newHandle() : handleOfUuid(request.uuid);
    const domain = new GuestDomain(built.id, name, handle, initialSizes(request));
    domain.request = request;
    domain.policy = request.policy ?? DEFAULT_POLICY;
    domain.madeNs = systemTime();
    try {
      domain.console = GuestConsole.connect(built.id, built.consoleGfn, built.consolePort, true);
      this.connectStore(domain, built, true);
      if (devicePage) this.devices.sysctls.attach(built.id);
    } catch (error) {
      this.devices.sysctls.forget(built.id);
      domain.console?.close();
      this.disconnectStore(domain);
      destroyDomain(built.id);
      throw noPortLeft(error, this.living.size);
    }
    this.living.add(domain);
    return domain;
  }

  /** Unpauses a domain made by `create`. */
  unpause(domain: GuestDomain): void {
    unpauseDomain(domain.id);
  }

  /** Ends a domain and returns its memory. */
  destroy(domain: GuestDomain): void {
    this.devices.forget(domain);
    try {
      domain.console?.close();
      this.disconnectStore(domain);
    } finally {
      destroyDomain(domain.id);
      dropRecord(domain.id); // not before: one that is still there has its name
      this.living.remove(domain);
      this.graves = [...this.graves, domain].slice(-GRAVES);
      domain.end("destroyed");
    }
  }

  /**
   * Waits until a destroyed domain no longer exists and its memory is free. The hypervisor frees it after `destroy`.
   * @returns false when it is still there after a second: another domain maps or was granted some of its memory
   */
  gone(domain: GuestDomain): Promise<boolean> {
    return this.departures.gone(domain.id);
  }

  /** Deals with one domain that has shut down or gone; asks to be called again if there was one. */
  private takeChange(): boolean {
    if (this.takingOver) return false;
    const change = changedDomain();
    if (change === null) return false;
    this.changes.request(); // also when what follows fails
    const { id, exists } = change;
    const domain = this.living.get(id);
    if (systemName(id) !== undefined) {
      this.systemChanged(id);
    } else if (!exists) {
      this.devices.sysctls.gone(id);
      this.departures.report(id);
    } else if (domain !== undefined && domain.ended === null) {
      const { shutdown, shutdownCode } = domainInfo(id);
      if (shutdown) this.hasShutDown(domain, shutdownReason(shutdownCode));
    }
    return false;
  }

  private hasShutDown(domain: GuestDomain, reason: EndReason): void {
    if (resets(domain.policy, reason) && this.reset(domain, domainInfo(domain.id))) return;
    if (reason === "suspend" && isAsleep(domain.id)) {
      this.notice(`${domain} sleeps (ACPI S3): \`trigger ${domain.id} s3resume\` wakes it`);
      return;
    }
    this.store.shutDown(domain.id);
    const awaited = domain.waiters > 0;
    domain.end(reason);
    if (!awaited) this.finish(domain, reason);
  }

  /**
   * Lets a domain go on that has started another kernel: in its memory, with its console, everything else of it new. Also
   * goes on with what an earlier domain 0 had begun.
   * @returns false, having told why, when it stays shut down
   */
  private reset(domain: GuestDomain, info: DomainInfo): boolean {
    const { id } = domain;
    const resume = !info.paused || domain.resetting;
    try {
      domain.resetting = true;
      this.saveNow(domain);
      if (!info.paused) pauseDomain(id);
      if (info.shutdown) softResetDomain(id);
      const { consoleGfn, storeGfn } = ringsOf(id);
      const rings = openRings(id, consoleGfn, storeGfn);
      if (domain.console !== null) domain.console.rebind(rings.consolePort);
      else domain.console = GuestConsole.connect(id, consoleGfn, rings.consolePort, false);
      this.disconnectStore(domain);
      this.connectStore(domain, rings, true);
      this.devices.sysctls.reset(id);
      this.saveNow(domain);
    } catch (error) {
      this.notice(
        `${domain} could not be reset: ${error instanceof HypercallError ? error.message : describeError(error)}`,
      );
      return false;
    }
    if (resume) unpauseDomain(id);
    domain.resetting = false;
    this.saveNow(domain);
    this.notice(`${domain} has started another kernel`);
    return true;
  }

  /** Does what the policy of a domain that has ended by itself says, and tells of it. */
  private finish(domain: GuestDomain, reason: EndReason): void {
    const action = actionFor(domain.policy, reason);
    if (action === "suspended") {
      this.notice(`${domain} has suspended`);
      return;
    }
    const failed = isFailure(reason);
    const hint = failed ? ` (its last output: console ${domain.id})` : "";
    if (action === "preserve") {
      this.notice(`${domain} has ended: ${reason}; it is kept until \`destroy ${domain.id}\`${hint}`);
      return;
    }
    if (action === "restart") this.keepRestart(domain);
    this.destroy(domain);
    this.notice(`${domain} has ended: ${reason}${hint}`);
    if (action === "restart") this.restart(domain);
  }

  /** Handles the shutdown that `create --wait` waited for: as without waiting, except for its console. */
  finishAwaited(domain: GuestDomain, reason: EndReason): void {
    const action = actionFor(domain.policy, reason);
    if (action === "preserve") return;
    if (action === "restart") this.keepRestart(domain);
    this.destroy(domain);
    if (action === "restart") this.restart(domain);
  }

  /** Records that a domain is to be restarted, so that a new domain 0 does it if this one crashes first. */
  private keepRestart(domain: GuestDomain): void {
    if ((domain.next ?? domain.request) !== null) keepDomain(restartKey(domain.id), encodeDomain(domain, null));
  }

  /** Makes a destroyed domain again, under a new id. */
  private restart(domain: GuestDomain): void {
    const forget = () => dropRecord(restartKey(domain.id));
    const request = domain.next ?? domain.request;
    if (request === null) {
      this.notice(`${domain} is not restarted: how it was made was lost when domain 0 was restarted`);
      forget();
      return;
    }
    const quick = quickEnds(domain.quickEnds, systemTime() - domain.madeNs);
    const delay = restartDelay(quick);
    if (delay === null) {
      this.notice(`${domain} is not restarted: it has ended ${quick} times in a row soon after its start`);
      forget();
      return;
    }
    if (delay > 0) this.notice(`${domain} ended soon after its start, again: it is restarted in ${delay / 1000} s`);
    detach(`the restart of ${domain}`, async () => {
      await this.gone(domain);
      if (delay > 0) await sleep(delay);
      let again: GuestDomain;
      try {
        again = await this.create({ ...request, name: domain.name, uuid: domain.uuid });
      } catch (error) {
        const known = error instanceof BuildError || error instanceof HypercallError;
        this.notice(`${domain} could not be restarted: ${known ? error.message : describeError(error)}`);
        forget();
        return;
      }
      again.quickEnds = quick;
      this.saveNow(again);
      forget();
      this.notice(`${domain.name} was restarted: it is domain ${again.id} now`);
      this.unpause(again);
    });
  }
}
