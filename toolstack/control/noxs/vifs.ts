/**
 * Domains' network interfaces: attaching and detaching them, over NoXS (an entry in the guest's device page) or xenbus (nodes
 * in the store). The I/O domain has the interface itself; what is kept here is the store's half of it.
 */
import { EADDRINUSE, ENOBUFS, ENOENT } from "../../../abi/errno.ts";
import { IO_DOMAIN } from "../../../abi/io/layout.ts";
import { IO_VIF_ADD } from "../../../abi/io/control.ts";
import { VIF_CONNECTED } from "../../../abi/io/control-net.ts";
import { noxs_dev_vif } from "../../../abi/io/noxs.ts";
import { BuildError } from "../builder/build-error.ts";
import { HypercallError } from "../hypercall.ts";
import { addDevice, removeDevice } from "../hypercalls/devctl.ts";
import type { StoreService } from "../store/service.ts";
import { formatIpv4, formatMac, xenMac } from "../../api/devices/addresses.ts";
import { IoError, type IoRequests } from "./io-requests.ts";
import {
  addedVif,
  connectVif,
  disconnectVif,
  listVifs,
  removeVif,
  vifAddPayload,
  type VifInfo,
} from "./net-requests.ts";
import type { DeviceModel } from "../../api/devices/names.ts";
import { DEFAULT_BRIDGE, type CompleteVif } from "./vif-config.ts";
import { readVifFrontend, vifFeatures } from "./xenbus-vif.ts";
import { removeDeviceNodes, vifNodes, writeBackend, writeDevice, writeFrontend, xenbusPaths } from "./xenbus-nodes.ts";
import { XenbusBackend, XenbusState, type Nodes, type ReadNode, type XenbusDevice } from "./xenbus.ts";

/** A vif that is told of by the store. */
interface XenbusVif {
  backend: XenbusBackend;
  /** Ends the watch of its frontend. */
  unwatch: () => void;
}

/** Addresses that are tried when none is given, and how far they are apart: domains' salts differ in their low bits. */
const MADE_ADDRESSES = 8;
const MADE_STEP = 0x10001;

const keyOf = (domain: number, devid: number) => `${domain}/${devid}`;

export class Vifs {
  /** Those of xenbus, by domain and number. */
  private readonly xenbus = new Map<string, XenbusVif>();

  /** @param notice prints a line about something that happened by itself */
  constructor(
    private readonly io: IoRequests,
    private readonly store: StoreService,
    private readonly notice: (text: string) => void,
  ) {}

  /**
   * Attaches a vif. Of an address that is made, 23 bits differ: among a thousand guests two have the same in one case of 17, and
   * the later one takes another.
   * @param salt what its address was made of, which is then made anew if another vif has it; null: it was asked for
   * @param changed told of the vif when it has another address than the one wanted, before it is attached
   * @returns the vif as it is
   * @throws BuildError in words; then nothing of it is there
   */
  async attach(
    domain: number,
    devid: number,
    wanted: CompleteVif,
    salt: number | null = null,
    changed: (vif: CompleteVif) => void = () => {},
  ): Promise<CompleteVif> {
    let config = wanted;
    for (let attempt = 1; ; attempt++) {
      let payload: Uint8Array;
      try {
        ({ payload } = await this.io.request(IO_VIF_ADD, vifAddPayload(domain, devid, config)));
      } catch (error) {
        const taken = error instanceof IoError && error.code === EADDRINUSE;
        if (!taken || salt === null || attempt >= MADE_ADDRESSES) throw explain(error, wanted);
        config = { ...wanted, mac: xenMac(salt + attempt * MADE_STEP) };
        continue;
      }
      try {
        if (config !== wanted) changed(config);
        if (config.model === "noxs") addDevice(domain, addedVif(devid, payload));
        else this.offer(domain, devid, config);
        return config;
      } catch (error) {
        await removeVif(this.io, domain, devid);
        throw explain(error, wanted);
      }
    }
  }

  /**
   * Takes a vif from a domain, whose frontend is not asked. Throws BuildError when there is none.
   * @param model where it is known; else the I/O domain is asked
   */
  async detach(domain: number, devid: number, model?: DeviceModel): Promise<void> {
    const there = model ?? (await this.list()).find((vif) => vif.domain === domain && vif.devid === devid)?.model;
    if (there === undefined) throw new BuildError(`domain ${domain} has no vif ${devid}; \`vif list\` shows them`);
    await this.remove(domain, devid, there);
  }

  /** Lets go of a domain's vifs; it is about to be destroyed, or gone. */
  async forget(domain: number, devids: Iterable<number>): Promise<void> {
    for (const devid of devids) {
      await this.drop(domain, devid);
      try {
        await removeVif(this.io, domain, devid);
      } catch (error) {
        if (!(error instanceof IoError) || error.code !== ENOENT) throw error;
      }
    }
  }

  /** All of them, with what has passed. */
  list(): Promise<VifInfo[]> {
    return listVifs(this.io);
  }

  /** Writes the frontend's nodes of a xenbus vif of an earlier domain 0, over which the guest's own are restored. */
  restore(domain: number, devid: number, config: Pick<CompleteVif, "mac" | "bridge">): void {
    const { local, store } = this.store;
    store.tree.unwritten.writeFor(domain);
    writeFrontend(local, domain, xenbusPaths("vif", domain, devid), vifNodes(devid, config).frontend);
  }

  /** Goes on with a xenbus vif of an earlier domain 0: the backend's nodes are written anew, the frontend's are the guest's. */
  adopt(domain: number, { devid, mac, bridge, ip, state }: VifInfo): void {
    const connected = state === VIF_CONNECTED;
    const { local, store } = this.store;
    store.tree.unwritten.writeFor(domain);
    const paths = xenbusPaths("vif", domain, devid);
    writeBackend(local, domain, paths, [
      ...vifNodes(devid, { mac, bridge, ...(ip === null ? {} : { ip }) }).backend,
      ...vifFeatures(),
      ["state", String(connected ? XenbusState.Connected : XenbusState.InitWait)],
    ]);
    this.follow(domain, devid, connected);
  }

  private async remove(domain: number, devid: number, model: DeviceModel): Promise<void> {
    if (model === "noxs") {
      try {
        removeDevice(domain, { type: noxs_dev_vif, id: devid, backend: IO_DOMAIN });
      } catch (error) {
        if (!(error instanceof HypercallError) || error.code !== ENOENT) throw error;
      }
    } else {
      await this.drop(domain, devid);
      removeDeviceNodes(this.store.local, xenbusPaths("vif", domain, devid));
    }
    await removeVif(this.io, domain, devid);
  }

  /** Writes the nodes by which a frontend finds the vif, and waits for it. */
  private offer(domain: number, devid: number, config: CompleteVif): void {
    const { local, store } = this.store;
    store.tree.unwritten.writeFor(domain);
    const nodes = vifNodes(devid, config);
    writeDevice(local, domain, xenbusPaths("vif", domain, devid), nodes.frontend, nodes.backend);
    this.follow(domain, devid, false);
  }

  private follow(domain: number, devid: number, connected: boolean): void {
    const { local } = this.store;
    const { frontend, backend: path } = xenbusPaths("vif", domain, devid);
    const backend = new XenbusBackend(local, frontend, path, this.device(domain, devid), this.notice);
    if (connected) backend.adoptConnected();
    const unwatch = local.watch(`${frontend}/state`, () => backend.changed());
    this.xenbus.set(keyOf(domain, devid), { backend, unwatch });
    backend.changed();
  }

  private device(domain: number, devid: number): XenbusDevice {
    const { io } = this;
    return {
      features: vifFeatures,
      connect: async (read: ReadNode): Promise<Nodes> => {
        await connectVif(io, domain, devid, readVifFrontend(read));
        return [];
      },
      disconnect: () => disconnectVif(io, domain, devid),
    };
  }

  private async drop(domain: number, devid: number): Promise<void> {
    const known = this.xenbus.get(keyOf(domain, devid));
    if (known === undefined) return;
    this.xenbus.delete(keyOf(domain, devid));
    known.unwatch();
    await known.backend.close();
  }
}

/** What the user can do about a refusal, where that is known. */
function explain(error: unknown, { bridge, mac, ip }: CompleteVif): unknown {
  if (error instanceof HypercallError && error.code === ENOBUFS) {
    return new BuildError("the domain's device page is full: it has room for 32 devices");
  }
  if (!(error instanceof IoError)) return error;
  const words: Record<string, string> = {
    ENOENT: `there is no bridge "${bridge}"; \`bridge list\` shows them, \`bridge create ${bridge}\` makes it${
      bridge === DEFAULT_BRIDGE ? ", and without a network card there is none at first" : ""
    }`,
    EADDRINUSE: `on bridge ${bridge} another vif has ${ip === undefined ? formatMac(mac) : `${formatMac(mac)} or ${formatIpv4(ip)}`}`,
    EEXIST: "the domain has a vif of that number",
    ENOSPC: "the I/O domain has no room for one more vif",
  };
  const known = words[error.errno];
  return known === undefined ? error : new BuildError(known);
}
