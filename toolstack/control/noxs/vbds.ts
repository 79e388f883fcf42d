/**
 * Domains' disks: attaching and detaching them, over NoXS (an entry in the guest's device page) or xenbus (nodes in the store). The
 * I/O domain has the vbd itself; what is kept here is the store's half of it.
 */
import { EISCONN, ENOBUFS, ENOENT } from "../../../abi/errno.ts";
import { VBD_CONNECTED } from "../../../abi/io/control-block.ts";
import { IO_DOMAIN } from "../../../abi/io/layout.ts";
import { noxs_dev_vbd } from "../../../abi/io/noxs.ts";
import { BuildError } from "../builder/build-error.ts";
import { HypercallError } from "../hypercall.ts";
import { addDevice, removeDevice } from "../hypercalls/devctl.ts";
import type { StoreService } from "../store/service.ts";
import { targetAbsent } from "./absent.ts";
import { addVbd, connectVbd, disconnectVbd, listVbds, removeVbd, type VbdInfo } from "./block-requests.ts";
import { vdevName } from "../../api/devices/device-number.ts";
import { fileRefusal, readRefusal } from "./file-refusal.ts";
import { IoError, untilAnswered, type IoRequests } from "./io-requests.ts";
import type { ModuleGrants } from "./module-grants.ts";
import { formatTarget, type VbdConfig } from "./vbd-config.ts";
import type { DeviceModel } from "../../api/devices/names.ts";
import { readVbdFrontend, vbdFeatures, vbdProperties, type VbdProperties } from "./xenbus-vbd.ts";
import { removeDeviceNodes, vbdNodes, writeBackend, writeDevice, writeFrontend, xenbusPaths } from "./xenbus-nodes.ts";
import { XenbusBackend, XenbusState, type Nodes, type ReadNode, type XenbusDevice } from "./xenbus.ts";

/** A vbd that is told of by the store. */
interface XenbusVbd {
  backend: XenbusBackend;
  target: string;
  /** Ends the watch of its frontend. */
  unwatch: () => void;
}

const keyOf = (domain: number, number: number) => `${domain}/${number}`;

export class Vbds {
  /** Those of xenbus, by domain and number. */
  private readonly xenbus = new Map<string, XenbusVbd>();
  /** Targets that are being let go of. */
  private readonly leaving = new Map<string, Promise<void>>();

  /** @param notice prints a line about something that happened by itself */
  constructor(
    private readonly io: IoRequests,
    private readonly store: StoreService,
    private readonly modules: ModuleGrants,
    private readonly notice: (text: string) => void,
  ) {}

  /**
   * Attaches a vbd.
   * @throws BuildError in words; then nothing of it is there
   */
  async attach(domain: number, config: VbdConfig, model: DeviceModel): Promise<void> {
    const target = formatTarget(config.target);
    const { number, writable } = config;
    await this.released(target);
    if (config.target.kind === "module") await this.modules.provide(config.target.name);
    try {
      const { grant, port } = await untilAnswered(async (again) => {
        // Its target may be being opened: it is added anew.
        if (again) await this.take(domain, number);
        return await addVbd(this.io, domain, { number, target, model, writable });
      });
      try {
        if (model === "noxs") addDevice(domain, { type: noxs_dev_vbd, id: number, backend: IO_DOMAIN, grant, port });
        else this.offer(domain, config);
      } catch (error) {
        await this.take(domain, number);
        throw error;
      }
    } catch (error) {
      throw await this.explain(error, config);
    }
  }

  /** Takes a vbd from a domain, whose frontend is not asked. Throws BuildError when there is none. */
  async detach(domain: number, number: number): Promise<void> {
    const there = (await this.list()).find((vbd) => vbd.domain === domain && vbd.number === number);
    if (there === undefined) {
      throw new BuildError(`domain ${domain} has no vbd ${vdevName(number)}; \`vbd list\` shows them`);
    }
    if (there.model === "noxs") {
      try {
        removeDevice(domain, { type: noxs_dev_vbd, id: number, backend: IO_DOMAIN });
      } catch (error) {
        if (!(error instanceof HypercallError) || error.code !== ENOENT) throw error;
      }
    } else {
      this.drop(domain, number);
      removeDeviceNodes(this.store.local, xenbusPaths("vbd", domain, number));
    }
    await this.take(domain, number);
  }

  /** Lets go of vbds of a domain that is about to be destroyed, or gone. */
  async forget(domain: number, vbds: readonly { number: number; target: string }[]): Promise<void> {
    const gone = vbds.map(({ number, target }) => {
      const before = this.leaving.get(target);
      const leaving = Promise.all([before, this.end(domain, number)]).then(() => {});
      this.leaving.set(target, leaving);
      const forgotten = () => {
        if (this.leaving.get(target) === leaving) this.leaving.delete(target);
      };
      leaving.then(forgotten, forgotten);
      return leaving;
    });
    await Promise.all(gone);
  }

  /** Waits until nobody is letting go of a target any more. */
  async released(target: string): Promise<void> {
    try {
      await this.leaving.get(target);
    } catch {
      // Whoever lets go of it reports it.
    }
  }

  /** All of them, with what has passed. */
  list(): Promise<VbdInfo[]> {
    return listVbds(this.io);
  }

  /** Writes the frontend's nodes of a xenbus vbd of an earlier domain 0, over which the guest's own are restored. */
  restore(domain: number, config: VbdConfig): void {
    const { local, store } = this.store;
    store.tree.unwritten.writeFor(domain);
    writeFrontend(local, domain, xenbusPaths("vbd", domain, config.number), vbdNodes(config).frontend);
  }

  /** Goes on with a xenbus vbd of an earlier domain 0: the backend's nodes are written anew, the frontend's are the guest's. */
  adopt(domain: number, config: VbdConfig, { state, properties }: VbdInfo): void {
    const connected = state === VBD_CONNECTED;
    const { local, store } = this.store;
    store.tree.unwritten.writeFor(domain);
    writeBackend(local, domain, xenbusPaths("vbd", domain, config.number), [
      ...vbdNodes(config).backend,
      ...vbdFeatures(config.writable),
      ...(connected ? vbdProperties(properties, config.writable) : []),
      ["state", String(connected ? XenbusState.Connected : XenbusState.InitWait)],
    ]);
    this.follow(domain, config, connected);
  }

  /** A volume has another size: frontends of xenbus are told; those of NoXS see it in their control pages. */
  async resized(target: string): Promise<void> {
    const found = [...this.xenbus].filter(([, vbd]) => vbd.target === target);
    if (found.length === 0) return;
    const sizes = new Map((await this.list()).map((vbd) => [keyOf(vbd.domain, vbd.number), vbd.properties.sectors]));
    for (const [key, { backend }] of found) {
      const sectors = sizes.get(key);
      if (sectors !== undefined) backend.announce([["sectors", String(sectors)]]);
    }
  }

  /** Removes a vbd from the I/O domain, if it is there. */
  async take(domain: number, number: number): Promise<void> {
    try {
      await untilAnswered(() => removeVbd(this.io, domain, number));
    } catch (error) {
      if (!(error instanceof IoError) || error.code !== ENOENT) throw error;
    }
  }

  private end(domain: number, number: number): Promise<void> {
    this.drop(domain, number);
    return this.take(domain, number);
  }

  /** Writes the nodes by which a frontend finds the vbd, and waits for it. */
  private offer(domain: number, config: VbdConfig): void {
    const { local, store } = this.store;
    store.tree.unwritten.writeFor(domain);
    const nodes = vbdNodes(config);
    writeDevice(local, domain, xenbusPaths("vbd", domain, config.number), nodes.frontend, nodes.backend);
    this.follow(domain, config, false);
  }

  private follow(domain: number, config: VbdConfig, connected: boolean): void {
    const { local } = this.store;
    const { frontend, backend: path } = xenbusPaths("vbd", domain, config.number);
    const backend = new XenbusBackend(local, frontend, path, this.device(domain, config), this.notice);
    if (connected) backend.adoptConnected();
    const unwatch = local.watch(`${frontend}/state`, () => backend.changed());
    const target = formatTarget(config.target);
    this.xenbus.set(keyOf(domain, config.number), { backend, target, unwatch });
    backend.changed();
  }

  private device(domain: number, { number, writable }: VbdConfig): XenbusDevice {
    const { io } = this;
    return {
      features: () => vbdFeatures(writable),
      connect: async (read: ReadNode): Promise<Nodes> => {
        const frontend = readVbdFrontend(read);
        const properties = await untilAnswered((again) => this.connect(domain, number, frontend, again));
        return vbdProperties(properties, writable);
      },
      disconnect: async () => {
        try {
          await untilAnswered(() => disconnectVbd(io, domain, number));
        } catch (error) {
          if (!(error instanceof IoError) || error.code !== ENOENT) throw error;
        }
      },
    };
  }

  /** @param again it may be connected already, to the same frontend */
  private async connect(
    domain: number,
    number: number,
    frontend: ReturnType<typeof readVbdFrontend>,
    again: boolean,
  ): Promise<VbdProperties> {
    try {
      return await connectVbd(this.io, domain, number, frontend);
    } catch (error) {
      if (!again || !(error instanceof IoError) || error.code !== EISCONN) throw error;
      const there = (await this.list()).find((vbd) => vbd.domain === domain && vbd.number === number);
      if (there === undefined) throw error;
      return there.properties;
    }
  }

  /** Listens to its frontend no more. Removing the vbd disconnects it. */
  private drop(domain: number, number: number): void {
    const known = this.xenbus.get(keyOf(domain, number));
    if (known === undefined) return;
    this.xenbus.delete(keyOf(domain, number));
    known.unwatch();
    known.backend.abandon();
  }

  /** What the user can do about a refusal, where that is known. */
  private async explain(error: unknown, { target, vdev, number, writable }: VbdConfig): Promise<unknown> {
    if (error instanceof HypercallError && error.code === ENOBUFS) {
      return new BuildError("the domain's device page is full: it has room for 32 devices");
    }
    if (!(error instanceof IoError)) return error;
    const name = formatTarget(target);
    const refusal = target.kind === "file" ? readRefusal(error.payload) : null;
    if (refusal !== null) return new BuildError(fileRefusal(target.name, refusal));
    switch (error.errno) {
      case "ENOENT":
        return await targetAbsent(this.io, target);
      case "EBUSY": {
        const users = (await this.list()).filter((vbd) => vbd.target === name);
        const who = users.map((vbd) => `domain ${vbd.domain} has it as ${vdevName(vbd.number)}`).join(", ");
        const shared = "one domain may write a target, or several may read it, with access=r";
        // Somebody has the file by another way of writing its path, or files on the partition.
        const other =
          target.kind === "file" || target.kind === "part" ? ", by another name: `vbd list` shows which" : "";
        return new BuildError(`${name} is in use${who === "" ? other : `: ${who}`}; ${shared}`);
      }
      case "EROFS":
        return new BuildError(`${name} cannot be written${writable ? ": give the vbd access=r" : ""}`);
      case "EEXIST":
        return new BuildError(`the domain has a vbd ${vdev} already (number ${number})`);
      case "ENOSPC":
        return new BuildError("the I/O domain has no room for one more vbd");
      case "ENOMEM":
        return new BuildError(
          target.kind === "ram"
            ? `there is no memory for ${name}: all RAM vbds together have 16M`
            : `the I/O domain has no memory for ${name}`,
        );
      default:
        return error;
    }
  }
}
