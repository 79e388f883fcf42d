/**
 * Sysctl devices, by which a NoXS guest is asked to power off or to reboot; domain 0 is their back end. Each guest with a device
 * page has one from the start: number 0, a control page (control-pages.ts), a port that awaits the guest, an entry in its page.
 *
 *     InitWait  -> frontend Connected: Connected; a request that was waiting is made
 *     Connected -> frontend Closing: Closing; frontend Closed: Closed
 *     Closed    -> frontend Initialising: InitWait
 *
 * At each change the frontend is told (fe_watch_state, an event), whether it has asked for it or not: see abi/io/noxs.ts. What it
 * writes into the page is its own affair: only its state is heeded, and which requests it says it obeys.
 */
import { ENOENT } from "../../../abi/errno.ts";
import {
  noxs_dev_sysctl,
  noxs_watch_updated,
  NoxsCtrlHdr,
  NOXS_SYSCTL_poweroff,
  NOXS_SYSCTL_reboot,
  NoxsSysctlCtrlPage,
} from "../../../abi/io/noxs.ts";
import {
  XenbusStateClosed,
  XenbusStateClosing,
  XenbusStateConnected,
  XenbusStateInitialised,
  XenbusStateInitialising,
  XenbusStateInitWait,
} from "../../../abi/io/xenbus.ts";
import type { ShutdownRequest } from "../domains/control-nodes.ts";
import { DOMAIN_0 } from "../domains/system-domains.ts";
import { closeChannel, onInterdomain, onUnbound } from "../events.ts";
import { memory } from "../host.ts";
import { HypercallError } from "../hypercall.ts";
import { addDevice, removeDevice } from "../hypercalls/devctl.ts";
import { domainExists, pauseDomain, unpauseDomain } from "../hypercalls/domctl.ts";
import { send } from "../hypercalls/event-channel.ts";
import { addressOf, ControlPages, grantOf } from "./control-pages.ts";

const DEVICE = { type: noxs_dev_sysctl, id: 0, backend: DOMAIN_0 };
const BITS: Record<ShutdownRequest, number> = { poweroff: NOXS_SYSCTL_poweroff, reboot: NOXS_SYSCTL_reboot };

interface Sysctl {
  readonly domain: number;
  readonly page: number;
  port: number;
  /** XenbusState of ours. */
  state: number;
  /** Bits of the request that waits for the frontend. */
  waiting: number;
  /** The last request was made to a frontend that was connected. */
  made: boolean;
}

/** What has become of a request: it is made, or waits for the frontend; the guest says that it does not obey such; no device. */
export type Asked = "sent" | "waits" | "refused" | "none";

/** The bits of what can be asked for are those of what can be obeyed. LightVM's Mini-OS says nothing, and obeys. */
function obeyedBy({ page }: Sysctl, bits: number): boolean {
  const obeyed = memory.load8(addressOf(page) + NoxsSysctlCtrlPage.fe_feat);
  return obeyed === 0 || (obeyed & bits) !== 0;
}

export class Sysctls {
  private readonly pages = new ControlPages();
  private readonly byDomain = new Map<number, Sysctl>();
  /** Pages of domains that are dying, which may have them mapped. */
  private readonly leaving = new Map<number, number>();
  /** Pages of an earlier domain 0's that were not adopted yet; undefined: not looked for. */
  private earlier: Map<number, number> | undefined;

  /** Before anything that takes a port. */
  notePorts(): void {
    this.pages.notePorts();
  }

  /**
   * Gives a domain that has never run its device.
   * @throws BuildError, HypercallError ENOSPC when domain 0 has no port left; then nothing of it is there
   */
  attach(domain: number): void {
    if (this.earlier === undefined || this.earlier.size > 0) this.settle();
    const page = this.pages.take(domain);
    const device: Sysctl = { domain, page, port: 0, state: XenbusStateInitWait, waiting: 0, made: false };
    try {
      device.port = onUnbound(domain, () => this.look(device));
      memory.store32(addressOf(page) + NoxsCtrlHdr.be_state, XenbusStateInitWait);
      addDevice(domain, { ...DEVICE, grant: grantOf(page), port: device.port });
      this.pages.keepPort(page, device.port);
      this.byDomain.set(domain, device);
    } catch (error) {
      if (device.port !== 0) closeChannel(device.port);
      this.pages.give(page);
      throw error;
    }
  }

  /**
   * Goes on with the device of a domain of an earlier domain 0, if it had one. The port is another now: the entry in the guest's
   * page is renewed, while it does not run.
   */
  adopt(domain: number): void {
    const page = this.ofEarlier().get(domain);
    if (page === undefined) return;
    this.earlier!.delete(domain);
    this.pages.grantAgain(page, domain);
    const device: Sysctl = { domain, page, port: 0, state: 0, waiting: 0, made: false };
    // The guest can write there, too: what is none of ours is as if it had not been connected.
    const state = memory.load32(addressOf(page) + NoxsCtrlHdr.be_state);
    const known = state === XenbusStateConnected || state === XenbusStateClosing || state === XenbusStateClosed;
    device.state = known ? state : XenbusStateInitWait;
    device.port = this.bindAgain(device);
    this.pages.keepPort(page, device.port);
    this.byDomain.set(domain, device);
    pauseDomain(domain);
    try {
      try {
        removeDevice(domain, DEVICE);
      } catch (error) {
        // The earlier one died between the two.
        if (!(error instanceof HypercallError) || error.code !== ENOENT) throw error;
      }
      addDevice(domain, { ...DEVICE, grant: grantOf(page), port: device.port });
    } finally {
      unpauseDomain(domain);
    }
    // What happened while there was nobody to notice; and the last event may not have been sent.
    this.change(device, device.state);
    this.look(device);
  }

  /** The port by which the domain is told: bound to where its own is, or awaiting it. */
  private bindAgain(device: Sysctl): number {
    const handler = () => this.look(device);
    const theirs = this.pages.portOf(device.page);
    if (theirs !== 0) {
      try {
        return onInterdomain(device.domain, theirs, handler);
      } catch (error) {
        if (!(error instanceof HypercallError)) throw error;
      }
    }
    return onUnbound(device.domain, handler);
  }

  private ofEarlier(): Map<number, number> {
    return (this.earlier ??= this.pages.ofEarlier());
  }

  /** All domains of an earlier domain 0 have been adopted: pages of others are free, or will be when they are gone. */
  private settle(): void {
    for (const [domain, page] of this.ofEarlier()) {
      if (domainExists(domain)) this.leaving.set(domain, page);
      else this.pages.give(page);
    }
    this.earlier!.clear();
  }

  /** Lets go of a domain's device: it is about to be destroyed. */
  forget(domain: number): void {
    const device = this.byDomain.get(domain);
    if (device === undefined) return;
    this.byDomain.delete(domain);
    closeChannel(device.port);
    this.leaving.set(domain, device.page);
  }

  /** A domain is gone, and with it its mappings. */
  gone(domain: number): void {
    const page = this.leaving.get(domain);
    if (page === undefined) return;
    this.leaving.delete(domain);
    this.pages.give(page);
  }

  /** A domain has started another kernel, whose frontend begins anew. */
  reset(domain: number): void {
    this.adopt(domain); // an earlier domain 0 may have begun with it
    const device = this.byDomain.get(domain);
    if (device === undefined) return;
    device.made = false;
    memory.zero(addressOf(device.page), NoxsSysctlCtrlPage.SIZE);
    this.change(device, XenbusStateInitWait);
  }

  /** Asks a domain to end. A request waits until the frontend is connected, for its guest may still be starting. */
  request(domain: number, what: ShutdownRequest): Asked {
    const device = this.byDomain.get(domain);
    if (device === undefined) return "none";
    if (device.state !== XenbusStateConnected) {
      device.waiting = BITS[what];
      device.made = false;
      return "waits";
    }
    return this.make(device, BITS[what]) ? "sent" : "refused";
  }

  /** Whether a domain's guest, which has connected its device, obeys such a request, as far as it says. */
  obeys(domain: number, what: ShutdownRequest): boolean {
    const device = this.byDomain.get(domain);
    return device !== undefined && obeyedBy(device, BITS[what]);
  }

  /** Whether a domain's guest has connected its device; null: the domain has none. */
  isConnected(domain: number): boolean | null {
    const device = this.byDomain.get(domain);
    return device === undefined ? null : device.state === XenbusStateConnected;
  }

  /** Whether the guest has taken what it was asked for. LightVM's Mini-OS does not say so. */
  hasTaken(domain: number): boolean {
    const device = this.byDomain.get(domain);
    return device?.waiting === 0 && memory.load8(addressOf(device.page) + NoxsSysctlCtrlPage.status) === 0;
  }

  /** Whether the guest has closed its device since it was asked, as LightVM's Mini-OS does before it ends. */
  hasClosed(domain: number): boolean {
    const device = this.byDomain.get(domain);
    return device !== undefined && device.made && device.state !== XenbusStateConnected;
  }

  /** Makes a request; false for one that the guest does not obey. */
  private make(device: Sysctl, bits: number): boolean {
    device.waiting = 0;
    if (!obeyedBy(device, bits)) return false;
    memory.store8(addressOf(device.page) + NoxsSysctlCtrlPage.status, bits);
    device.made = true;
    this.tell(device);
    return true;
  }

  private change(device: Sysctl, state: number): void {
    device.state = state;
    memory.store32(addressOf(device.page) + NoxsCtrlHdr.be_state, state);
    this.tell(device);
  }

  private tell({ page, port }: Sysctl): void {
    memory.store32(addressOf(page) + NoxsCtrlHdr.fe_watch_state, noxs_watch_updated);
    send(port);
  }

  /** The frontend may have changed its state. */
  private look(device: Sysctl): void {
    const { state } = device;
    switch (memory.load32(addressOf(device.page) + NoxsCtrlHdr.fe_state)) {
      case XenbusStateInitialised:
      case XenbusStateConnected:
        if (state === XenbusStateConnected) return;
        this.change(device, XenbusStateConnected);
        if (device.waiting !== 0) this.make(device, device.waiting);
        return;
      case XenbusStateClosing:
        if (state !== XenbusStateClosing && state !== XenbusStateClosed) this.change(device, XenbusStateClosing);
        return;
      case XenbusStateClosed:
        if (state !== XenbusStateClosed) this.change(device, XenbusStateClosed);
        return;
      case XenbusStateInitialising:
        if (state !== XenbusStateInitWait) this.change(device, XenbusStateInitWait);
    }
  }
}
