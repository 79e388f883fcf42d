/**
 * Domain 0's own network interface: a vif on the default bridge whose frontend is the TCP/IP sandbox. There is one only where
 * Typevisor's command line asks for it and the bridge has a card; nothing of it, no memory either, is there before.
 *
 * Domain 0 tells the I/O domain of the rings itself (IO_VIF_CONNECT), so there is neither a control page nor a node in the store. After
 * a restart of the I/O domain the vif, rings and port are in its stable memory: both sides go on. After a restart of domain 0
 * everything is made anew, when the I/O domain has let go of the earlier domain 0's vif.
 */
import { EADDRINUSE, EBUSY, ENODEV, ENOENT } from "../../../abi/errno.ts";
import { GTF_readonly } from "../../../abi/grant-table.ts";
import { VIF_CONNECTED } from "../../../abi/io/control-net.ts";
import { IO_VIF_ADD } from "../../../abi/io/control.ts";
import { IO_DOMAIN } from "../../../abi/io/layout.ts";
import { NET_CONFIGURE, NET_RECONNECT, NET_SHARED_PAGES, NET_TX_BUFFERS, NetMailbox } from "../../../abi/net.ts";
import { systemTime } from "../clock.ts";
import { DOMAIN_0 } from "../domains/system-domains.ts";
import { closeChannel, onUnbound } from "../events.ts";
import { detach } from "../failures.ts";
import { endGrant, grantPage, NET_REFS } from "../grants.ts";
import { HypercallError } from "../hypercall.ts";
import { send } from "../hypercalls/event-channel.ts";
import { formatIpv4, formatMac, xenMac } from "../../api/devices/addresses.ts";
import { IoError, untilAnswered, type IoRequests } from "../noxs/io-requests.ts";
import {
  connectVif,
  disconnectVif,
  listBridges,
  listNics,
  listVifs,
  removeVif,
  vifAddPayload,
} from "../noxs/net-requests.ts";
import { DEFAULT_BRIDGE } from "../noxs/vif-config.ts";
import { Task } from "../tasks.ts";
import { after, sleep } from "../timers.ts";
import { PAGE_SIZE } from "../window.ts";
import { NetModule } from "./module.ts";
import { maskOf, parseControlOption, type ControlOption } from "./option.ts";
import { isOfPort } from "./own-frames.ts";
import { Tcp } from "./tcp.ts";

const DEVID = 0;
/** Addresses that are tried where another vif has the one made of the card's. */
const MADE_ADDRESSES = 8;
const MADE_STEP = 0x10001;
/** Faults of the sandbox after which it is started again, at most, and how long it waits each time. */
const RESTARTS_MAX = 5;
const RESTART_MS = 1000;

const asWord = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);

export class Network {
  private readonly module = new NetModule();
  private readonly task = new Task("domain 0's network", () => this.pump());
  readonly tcp = new Tcp(this.module, () => this.task.request());
  private option: ControlOption = "off";
  private io: IoRequests | null = null;
  private notice: (text: string) => void = () => {};
  private ready: () => Promise<IoRequests> = () => Promise.reject(new Error("not started"));
  private mac: Uint8Array = new Uint8Array(6);
  private port = 0;
  /** Why there is no interface. */
  private reason = "control=off";
  private restarts = 0;
  /** What is being done about the interface: one thing after the other. */
  private work: Promise<void> = Promise.resolve();
  private armed = 0;
  private withdraw: () => void = () => {};
  private hadAddress = false;

  /**
   * Makes the interface, if it is to be.
   * @param wanted as `control=` says it; undefined: off
   * @param ready resolves to the I/O domain when the default bridge has been made
   * @param notice prints a line about something that happened by itself
   */
  start(wanted: string | undefined, ready: () => Promise<IoRequests>, notice: (text: string) => void): void {
    this.notice = notice;
    this.ready = ready;
    const option = parseControlOption(wanted);
    if (typeof option === "object" && "wrong" in option) {
      notice(option.wrong);
      this.reason = option.wrong;
      return;
    }
    this.option = option;
    if (option === "off") return;
    this.reason = "it is being set up";
    this.do(async () => {
      this.io = await ready();
      await this.make(this.io);
    });
  }

  /** Has another address from now on, or none: all connections end. Resolves when that is done, or `describe` says why it is not. */
  async set(option: ControlOption): Promise<void> {
    this.do(async () => {
      const io = (this.io ??= await this.ready());
      if (this.module.isOpen || this.port !== 0) {
        this.withdraw();
        this.armed = 0;
        await this.shut(io);
        this.tcp.dispatch();
      }
      this.option = option;
      this.restarts = 0;
      this.hadAddress = false;
      this.reason = option === "off" ? "control=off" : "it is being set up";
      if (option !== "off") await this.make(io);
    });
    await this.work;
  }

  /** The I/O domain may have been restarted. */
  ioChanged(): void {
    if (this.io !== null) this.do(() => this.check(this.io!));
  }

  /** Domain 0's own address and its network's mask, four bytes each in network order; null when it has none now. */
  get own(): { address: Uint8Array; mask: Uint8Array } | null {
    if (!this.hadAddress || !this.module.isOpen) return null;
    const [address, mask] = [NetMailbox.address, NetMailbox.mask].map((field) => this.module.addressField(field));
    return { address: address!, mask: mask! };
  }

  /** The gateway and whether a DHCP server has given the address, where that matters to who chooses another in the same network. */
  get neighbourhood(): { gateway: Uint8Array; byDhcp: boolean } {
    return { gateway: this.module.addressField(NetMailbox.gateway), byDhcp: this.option === "dhcp" };
  }

  /** Whether a frame, by its first bytes, is of a connection to one of domain 0's ports. */
  isOwnFrame(frame: Uint8Array, port: number): boolean {
    return this.port !== 0 && isOfPort(frame, this.mac, port);
  }

  /** For people: the address, or why there is none. */
  describe(): string {
    if (!this.module.isOpen || this.port === 0) return `no address: ${this.reason}`;
    const address = this.module.addressField(NetMailbox.address);
    if (asWord(address) === 0) return `no address yet: none was given by DHCP on ${DEFAULT_BRIDGE}`;
    const bits = asWord(this.module.addressField(NetMailbox.mask)).toString(2).replace(/0/g, "").length;
    const gateway = this.module.addressField(NetMailbox.gateway);
    const by = this.option === "dhcp" ? "by DHCP" : "as configured";
    const through = asWord(gateway) === 0 ? "no gateway" : `gateway ${formatIpv4(gateway)}`;
    return `${formatIpv4(address)}/${bits}, ${through}, ${by}, ${formatMac(this.mac)} on ${DEFAULT_BRIDGE}`;
  }

  private do(what: () => Promise<void>): void {
    this.work = this.work.then(async () => {
      try {
        await what();
      } catch (error) {
        if (!(error instanceof IoError || error instanceof HypercallError)) throw error;
        const without = error instanceof IoError && error.code === ENODEV;
        this.reason = without ? "there is no I/O domain" : error.message;
        if (!without) this.notice(`domain 0's network: ${error.message}`);
      }
    });
    const { work } = this;
    detach("domain 0's network", () => work);
  }

  private async make(io: IoRequests): Promise<void> {
    // An earlier domain 0's: its rings are the pages of nobody until they are let go of.
    await this.removeVif(io);
    const bridge = (await listBridges(io)).find(({ name }) => name === DEFAULT_BRIDGE);
    if (bridge === undefined || bridge.uplink === null) {
      this.reason = `no bridge ${DEFAULT_BRIDGE} with a network card`;
      return;
    }
    const card = (await listNics(io))[bridge.uplink]!.mac;
    await this.addVif(io, (card[3]! << 16) | (card[4]! << 8) | card[5]!);
    await this.open(io);
  }

  /** Starts the sandbox, whose vif is there and not connected. */
  private async open(io: IoRequests): Promise<void> {
    const missing = this.module.open(this.mac, NET_REFS);
    if (missing !== null) {
      this.reason = missing;
      this.notice(`domain 0's network: ${missing}`);
      await this.removeVif(io);
      return;
    }
    const { shared } = this.module;
    for (let i = 0; i < NET_SHARED_PAGES; i++) {
      const readonly = i >= 2 && i < 2 + NET_TX_BUFFERS;
      grantPage(NET_REFS + i, IO_DOMAIN, shared + i * PAGE_SIZE, readonly ? GTF_readonly : 0);
    }
    if (this.port === 0) this.port = onUnbound(IO_DOMAIN, () => this.task.request());
    await this.connect(io);
    if (this.option === "dhcp") this.module.call(NET_CONFIGURE);
    else if (this.option !== "off") {
      const { address, prefix, gateway } = this.option;
      this.module.call(NET_CONFIGURE, asWord(address), asWord(maskOf(prefix)), gateway === null ? 0 : asWord(gateway));
    }
    this.tcp.opened();
    this.task.request();
  }

  private async addVif(io: IoRequests, salt: number): Promise<void> {
    const ip = typeof this.option === "object" ? this.option.address : undefined;
    for (let attempt = 0; ; attempt++) {
      this.mac = xenMac(salt + attempt * MADE_STEP);
      const config = { mac: this.mac, ip, bridge: DEFAULT_BRIDGE, model: "xenbus" as const };
      try {
        await untilAnswered(() => io.request(IO_VIF_ADD, vifAddPayload(DOMAIN_0, DEVID, config)));
        return;
      } catch (error) {
        const taken = error instanceof IoError && error.code === EADDRINUSE;
        if (!taken || attempt + 1 >= MADE_ADDRESSES) throw error;
      }
    }
  }

  private async removeVif(io: IoRequests): Promise<void> {
    await untilAnswered(async () => {
      try {
        await removeVif(io, DOMAIN_0, DEVID);
      } catch (error) {
        if (!(error instanceof IoError) || error.code !== ENOENT) throw error;
      }
    });
  }

  private async connect(io: IoRequests): Promise<void> {
    const { port } = this;
    await untilAnswered(async (again) => {
      try {
        await connectVif(io, DOMAIN_0, DEVID, {
          queues: [{ txRef: NET_REFS, rxRef: NET_REFS + 1, txPort: port, rxPort: port }],
          rxNotify: true,
          sg: false,
          gsoTcpv4: false,
          gsoTcpv6: false,
          noChecksumOffload: false,
          noIpv6ChecksumOffload: true,
          multicastControl: false,
          control: null,
        });
      } catch (error) {
        // It had been done before the I/O domain died.
        if (!(again && error instanceof IoError && error.code === EBUSY)) throw error;
      }
    });
  }

  /** After a restart of the I/O domain: it has gone on by itself, or is told again. */
  private async check(io: IoRequests): Promise<void> {
    if (!this.module.isOpen || this.port === 0) return;
    const vif = (await listVifs(io)).find(({ domain, devid }) => domain === DOMAIN_0 && devid === DEVID);
    if (vif?.state === VIF_CONNECTED) {
      send(this.port);
      this.task.request();
      return;
    }
    await this.removeVif(io);
    await this.addVif(io, (this.mac[3]! << 16) | (this.mac[4]! << 8) | this.mac[5]!);
    this.module.call(NET_RECONNECT);
    await this.connect(io);
    this.task.request();
  }

  /** The sandbox has stopped by a fault: its connections are lost, and another one takes its place. */
  private async revive(io: IoRequests): Promise<void> {
    this.notice("domain 0's network has failed (see the report above): its connections are lost");
    await untilAnswered(() => disconnectVif(io, DOMAIN_0, DEVID));
    if (++this.restarts > RESTARTS_MAX) {
      this.reason = `it has failed ${this.restarts} times`;
      await this.shut(io);
      return;
    }
    await sleep(RESTART_MS);
    await this.open(io);
  }

  /** Lets go of everything. */
  private async shut(io: IoRequests): Promise<void> {
    await this.removeVif(io);
    for (let i = 0; i < NET_SHARED_PAGES; i++) endGrant(NET_REFS + i);
    if (this.port !== 0) closeChannel(this.port);
    this.port = 0;
    this.module.release();
  }

  /** A piece of the task: one poll, and what it has brought. */
  private pump(): boolean {
    if (!this.module.isOpen) return false;
    const more = this.module.poll();
    this.tcp.dispatch();
    if (!this.module.isOpen) {
      this.withdraw();
      this.armed = 0;
      this.do(() => this.revive(this.io!));
      return false;
    }
    if (this.module.takeNotify()) send(this.port);
    this.tellAddress();
    this.arm(this.module.deadline());
    return more === 1;
  }

  private tellAddress(): void {
    const has = asWord(this.module.addressField(NetMailbox.address)) !== 0;
    if (has === this.hadAddress) return;
    this.hadAddress = has;
    this.notice(`domain 0's network: ${this.describe()}`);
  }

  private arm(at: number): void {
    if (at === this.armed) return;
    this.withdraw();
    this.armed = at;
    this.withdraw = () => {};
    if (at === 0) return;
    this.withdraw = after((at - systemTime()) / 1e6, () => {
      this.armed = 0;
      this.task.request();
    });
  }
}

/** Domain 0's. */
export const network = new Network();
