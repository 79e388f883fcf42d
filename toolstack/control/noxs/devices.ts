/** Domains' devices, from their creation to their end: what a domain is to have is in its request, which is kept with it. */
import { DOMAIN_0 } from "../domains/system-domains.ts";
import { isBzImage } from "../builder/bzimage.ts";
import { detach } from "../failures.ts";
import type { GuestDomain } from "../domains/domain.ts";
import type { CreateRequest } from "../domains/request.ts";
import type { StoreService } from "../store/service.ts";
import { BuildError } from "../builder/build-error.ts";
import { ENODEV } from "../../../abi/errno.ts";
import { VIF_GOING } from "../../../abi/io/control-net.ts";
import { VBD_GOING } from "../../../abi/io/control-block.ts";
import type { VbdInfo } from "./block-requests.ts";
import { IoError, type IoRequests } from "./io-requests.ts";
import { createBridge, listBridges, listNics, setUplink, type VifInfo } from "./net-requests.ts";
import { vdevName } from "../../api/devices/device-number.ts";
import { ModuleGrants } from "./module-grants.ts";
import { formatTarget, formatVbd, parseVbd, type VbdConfig } from "./vbd-config.ts";
import { Sysctls } from "./sysctls.ts";
import { Vbds } from "./vbds.ts";
import { Vifs } from "./vifs.ts";
import { Volumes } from "./volumes.ts";
import { completeVif, DEFAULT_BRIDGE, formatVif, parseVif, type VifConfig } from "./vif-config.ts";
import type { DeviceModel } from "../../api/devices/names.ts";

/** Vifs of a domain: what a NoXS device page has room for. */
const MOST_VIFS = 32;
const FIRST_CARD = 0;

/** How a domain is told of its devices: Linux by the store, our unikernels by their device page. */
function modelOf({ model, kernel }: CreateRequest): DeviceModel {
  return model ?? (isBzImage(kernel) ? "xenbus" : "noxs");
}

/** Whether a domain is to have a device page from the start: it cannot get one when it has run. */
export function wantsDevicePage(request: CreateRequest): boolean {
  if (request.model === "noxs") return true;
  const { vifs, vbds } = request;
  if (vifs !== undefined) {
    for (let i = 0; i < vifs.length; i++) {
      const vif = vifs[i]!;
      if (vif !== null && (parseVif("--vif", vif).model ?? modelOf(request)) === "noxs") return true;
    }
  }
  return vbds !== undefined && vbdsOf(request).some(({ model }) => (model ?? modelOf(request)) === "noxs");
}

/** A request's vbds. */
function vbdsOf({ vbds = [] }: CreateRequest): VbdConfig[] {
  return vbds.map((settings) => parseVbd("--vbd", settings));
}

/** What a vif's address is made of: the last three bytes of the domain's UUID, and the vif's number. */
function saltOf({ handle }: GuestDomain, devid: number): number {
  const last = handle[3]!;
  return ((((last >>> 8) & 0xff) << 16) | (((last >>> 16) & 0xff) << 8) | (last >>> 24)) + devid;
}

export class Devices {
  readonly vifs: Vifs;
  readonly vbds: Vbds;
  readonly volumes: Volumes;
  private readonly modules: ModuleGrants;
  readonly sysctls = new Sysctls();
  /** The default bridge is there, if it is to be. */
  private ready: Promise<void> = Promise.resolve();
  private isReady = true;

  /** @param notice prints a line about something that happened by itself */
  constructor(
    private readonly io: IoRequests,
    store: StoreService,
    private readonly notice: (text: string) => void,
  ) {
    this.vifs = new Vifs(io, store, notice);
    this.modules = new ModuleGrants(io);
    this.vbds = new Vbds(io, store, this.modules, notice);
    this.volumes = new Volumes(io, this.vbds);
  }

  /** Makes the default bridge with the machine's first card, unless there is one, or no card: once, at domain 0's start. */
  start(): void {
    this.isReady = false;
    this.ready = this.makeDefaultBridge();
    this.ready.then(() => {
      this.isReady = true;
    });
  }

  /** For requests of users: the I/O domain, when the default bridge has been made. */
  async whenReady(): Promise<IoRequests> {
    await this.ready;
    return this.io;
  }

  private async makeDefaultBridge(): Promise<void> {
    try {
      if ((await listNics(this.io)).length === 0) return;
      const bridges = await listBridges(this.io);
      if (bridges.some(({ name }) => name === DEFAULT_BRIDGE)) return;
      await createBridge(this.io, { name: DEFAULT_BRIDGE, dhcp: null });
      await setUplink(this.io, DEFAULT_BRIDGE, FIRST_CARD);
    } catch (error) {
      if (!(error instanceof IoError)) throw error;
      if (error.code !== ENODEV) this.notice(`the bridge ${DEFAULT_BRIDGE} could not be made: ${error.message}`);
    }
  }

  /** Attaches everything that a new domain is to have. @throws BuildError, IoError; those before it are attached */
  attachAll(domain: GuestDomain): Promise<unknown> {
    const { vifs, vbds } = domain.request!;
    const only = vifs?.length === 1 && vbds === undefined && this.isReady ? vifs[0]! : null;
    // Every further promise takes some twenty thousand instructions.
    return only === null ? this.attachEach(domain) : this.attachAs(domain, 0, parseVif("--vif", only));
  }

  private async attachEach(domain: GuestDomain): Promise<void> {
    const { vifs, vbds } = domain.request!;
    if (!this.isReady) await this.ready;
    if (vifs !== undefined) {
      for (let devid = 0; devid < vifs.length; devid++) {
        const settings = vifs[devid]!;
        if (settings !== null) await this.attachAs(domain, devid, parseVif("--vif", settings));
      }
    }
    if (vbds === undefined) return;
    for (const [i, config] of vbdsOf(domain.request!).entries()) await this.attachVbdAs(domain, i, config);
  }

  /** Attaches one more vif; returns its number. */
  async attachVif(domain: GuestDomain, config: VifConfig): Promise<number> {
    const { request } = domain;
    if (request === null) throw new BuildError(`${domain}: how it was made is not known: devices cannot be attached`);
    const vifs = (request.vifs ??= []);
    const hole = vifs.indexOf(null);
    const devid = hole < 0 ? vifs.length : hole;
    if (devid >= MOST_VIFS) throw new BuildError(`${domain} has ${MOST_VIFS} vifs already`);
    vifs[devid] = formatVif(config);
    try {
      await this.ready;
      await this.attachAs(domain, devid, config);
    } catch (error) {
      vifs[devid] = null;
      throw error;
    }
    return devid;
  }

  /** The default bridge is there, if it is to be. */
  private attachAs(domain: GuestDomain, devid: number, config: Readonly<VifConfig>): Promise<unknown> {
    const request = domain.request!;
    const salt = saltOf(domain, devid);
    const wanted = completeVif(config, modelOf(request), salt);
    request.vifs![devid] = formatVif(wanted);
    return this.vifs.attach(domain.id, devid, wanted, config.mac === undefined ? salt : null, (other) => {
      request.vifs![devid] = formatVif(other);
    });
  }

  /** Takes a vif from a domain. @throws BuildError when there is none */
  async detachVif(domain: GuestDomain, devid: number): Promise<void> {
    const vifs = domain.request?.vifs;
    const settings = vifs?.[devid] ?? undefined;
    const model = settings === undefined ? undefined : parseVif("--vif", settings).model;
    await this.vifs.detach(domain.id, devid, model);
    if (vifs !== undefined) vifs[devid] = null;
  }

  /** Attaches one more vbd. @throws BuildError */
  async attachVbd(domain: GuestDomain, config: VbdConfig): Promise<void> {
    const { request } = domain;
    if (request === null) throw new BuildError(`${domain}: how it was made is not known: devices cannot be attached`);
    const { number } = config;
    if (vbdsOf(request).some((vbd) => vbd.number === number)) {
      throw new BuildError(`${domain} has a vbd ${vdevName(number)} already; \`vbd list\` shows them`);
    }
    // It is forgotten with the domain from here on.
    const vbds = (request.vbds ??= []);
    vbds.push(formatVbd(config));
    try {
      await this.attachVbdAs(domain, vbds.length - 1, config);
    } catch (error) {
      this.strike(domain, number);
      throw error;
    }
  }

  private async attachVbdAs(domain: GuestDomain, i: number, config: VbdConfig): Promise<void> {
    const model = config.model ?? modelOf(domain.request!);
    await this.vbds.attach(domain.id, config, model);
    domain.request!.vbds![i] = formatVbd({ ...config, model });
  }

  /** Takes a vbd from a domain. @throws BuildError when there is none */
  async detachVbd(domain: GuestDomain, number: number): Promise<void> {
    await this.vbds.detach(domain.id, number);
    this.strike(domain, number);
  }

  /** A domain has that vbd no more. */
  private strike({ request }: GuestDomain, number: number): void {
    if (request?.vbds === undefined) return;
    request.vbds = request.vbds.filter((settings) => parseVbd("--vbd", settings).number !== number);
  }

  /** Writes the nodes of a domain of an earlier domain 0 that its frontends are below, before what it had written is restored. */
  restore({ id, request }: GuestDomain): void {
    if (request === null) return;
    for (const [devid, settings] of (request.vifs ?? []).entries()) {
      const config = settings === null ? null : parseVif("--vif", settings);
      const mac = config?.mac; // none: it had not been attached yet
      if (config?.model === "xenbus" && mac !== undefined) this.vifs.restore(id, devid, { ...config, mac });
    }
    for (const config of vbdsOf(request)) if (config.model === "xenbus") this.vbds.restore(id, config);
  }

  /** Goes on with the devices of domains of an earlier domain 0, whose nodes are in the store again. */
  adopt(domains: readonly GuestDomain[]): void {
    for (const { id } of domains) this.sysctls.adopt(id);
    const having = new Map(domains.filter(hasDevices).map((domain) => [domain.id, domain]));
    if (having.size === 0) return;
    const living = (id: number) => {
      const domain = having.get(id);
      return domain !== undefined && domain.ended === null ? domain : undefined;
    };
    detach("the vifs of domains taken over", async () => {
      for (const vif of await this.vifs.list()) {
        if (vif.model === "xenbus" && living(vif.domain) !== undefined) this.vifs.adopt(vif.domain, vif);
      }
    });
    detach("the vbds of domains taken over", async () => {
      for (const vbd of await this.vbds.list()) {
        const request = living(vbd.domain)?.request;
        const config = request && vbdsOf(request).find(({ number }) => number === vbd.number);
        if (!config) continue;
        if (vbd.model === "xenbus") this.vbds.adopt(vbd.domain, config, vbd);
        // Should the I/O domain be restarted, it maps the module again.
        if (config.target.kind === "module") await this.modules.provide(config.target.name);
      }
    });
  }

  /** Has the I/O domain let go of domains that ended while nobody took care of it. @param isThere tells whether a domain is alive */
  sweep(isThere: (domain: number) => boolean): void {
    detach("devices of domains that have gone", async () => {
      let vbds: VbdInfo[];
      let vifs: VifInfo[];
      try {
        vifs = await this.vifs.list();
        vbds = await this.vbds.list();
      } catch (error) {
        // Without an I/O domain there is nothing to let go of.
        if (error instanceof IoError && error.code === ENODEV) return;
        throw error;
      }
      for (const { domain, devid, state } of vifs) {
        // Domain 0's own is net/'s.
        if (domain !== DOMAIN_0 && !isThere(domain) && state !== VIF_GOING) await this.vifs.forget(domain, [devid]);
      }
      for (const { domain, number, state } of vbds) {
        // One that is going is being taken care of.
        if (!isThere(domain) && state !== VBD_GOING) await this.vbds.take(domain, number);
      }
    });
  }

  /** Lets go of a domain's devices: it is about to be destroyed, and its memory is free when they have let go of it. */
  forget(domain: GuestDomain): void {
    this.sysctls.forget(domain.id);
    if (domain.request === null) return;
    const { vifs = [] } = domain.request;
    const devids: number[] = [];
    for (let devid = 0; devid < vifs.length; devid++) if (vifs[devid] !== null) devids.push(devid);
    if (devids.length > 0) detach(`the vifs of ${domain}`, () => this.vifs.forget(domain.id, devids));
    if (domain.request.vbds === undefined) return;
    const vbds = vbdsOf(domain.request).map(({ number, target }) => ({ number, target: formatTarget(target) }));
    if (vbds.length > 0) detach(`the vbds of ${domain}`, () => this.vbds.forget(domain.id, vbds));
  }
}

function hasDevices({ request }: GuestDomain): boolean {
  if (request === null) return false;
  return (request.vifs ?? []).some((vif) => vif !== null) || (request.vbds ?? []).length > 0;
}
