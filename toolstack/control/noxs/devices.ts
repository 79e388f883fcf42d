/** Domains' devices, from their creation to their end: what a domain is to have is in its request, which is kept with it. */
import { isBzImage } from "../builder/bzimage.ts";
import { detach } from "../failures.ts";
import type { GuestDomain } from "../domains/domain.ts";
import type { CreateRequest } from "../domains/request.ts";
import type { StoreService } from "../store/service.ts";
import { BuildError } from "../builder/build-error.ts";
import { ENODEV } from "../../../abi/errno.ts";
import { IoError, type IoRequests } from "./io-requests.ts";
import { createBridge, listBridges, listNics, setUplink } from "./net-requests.ts";
import { Vifs } from "./vifs.ts";
import { DEFAULT_BRIDGE, formatVif, parseVif, type DeviceModel, type VifConfig } from "./vif-config.ts";

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
  const vifs = request.vifs ?? [];
  return vifs.some((vif) => vif !== null && (parseVif("--vif", vif).model ?? modelOf(request)) === "noxs");
}

/** What a vif's address is made of: the domain's UUID, and the vif's number. */
function saltOf({ uuid }: GuestDomain, devid: number): number {
  return parseInt(uuid.slice(-6), 16) + devid;
}

export class Devices {
  readonly vifs: Vifs;
  /** The default bridge is there, if it is to be. */
  private ready: Promise<void> = Promise.resolve();

  /** @param notice prints a line about something that happened by itself */
  constructor(
    private readonly io: IoRequests,
    store: StoreService,
    private readonly notice: (text: string) => void,
  ) {
    this.vifs = new Vifs(io, store, notice);
  }

  /** Makes the default bridge with the machine's first card, unless there is one, or no card: once, at domain 0's start. */
  start(): void {
    this.ready = this.makeDefaultBridge();
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

  /** Attaches everything that a new domain is to have. @throws BuildError, IoError, after `undo` */
  async attachAll(domain: GuestDomain, undo: () => void): Promise<void> {
    const vifs = domain.request?.vifs ?? [];
    try {
      for (const [devid, settings] of vifs.entries()) {
        if (settings !== null) await this.attachAs(domain, devid, parseVif("--vif", settings));
      }
    } catch (error) {
      undo();
      throw error;
    }
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
      await this.attachAs(domain, devid, config);
    } catch (error) {
      vifs[devid] = null;
      throw error;
    }
    return devid;
  }

  private async attachAs(domain: GuestDomain, devid: number, config: VifConfig): Promise<void> {
    await this.ready;
    const model = config.model ?? modelOf(domain.request!);
    const mac = await this.vifs.attach(domain.id, devid, config, model, saltOf(domain, devid));
    domain.request!.vifs![devid] = formatVif({ ...config, mac, model });
  }

  /** Takes a vif from a domain. @throws BuildError when there is none */
  async detachVif(domain: GuestDomain, devid: number): Promise<void> {
    await this.vifs.detach(domain.id, devid);
    const vifs = domain.request?.vifs;
    if (vifs !== undefined) vifs[devid] = null;
  }

  /** Goes on with the devices of a domain of an earlier domain 0. */
  adopt(domain: GuestDomain): void {
    if (!hasDevices(domain)) return;
    detach(`the devices of ${domain}`, async () => {
      for (const vif of await this.vifs.list()) {
        if (vif.domain === domain.id && vif.model === "xenbus") this.vifs.adopt(domain.id, vif);
      }
    });
  }

  /** Lets go of a domain's devices: it is about to be destroyed, and its memory is free when they have let go of it. */
  forget(domain: GuestDomain): void {
    const devids = [...(domain.request?.vifs ?? []).entries()]
      .filter(([, vif]) => vif !== null)
      .map(([devid]) => devid);
    if (devids.length === 0) return;
    detach(`the devices of ${domain}`, () => this.vifs.forget(domain.id, devids));
  }
}

function hasDevices({ request }: GuestDomain): boolean {
  return request?.vifs?.some((vif) => vif !== null) === true;
}
