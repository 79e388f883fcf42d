/**
 * NoXS in the simulation: domain 0 gives domains devices and takes them away, at random and with wrong arguments, and a model
 * says what every call must return and what every device page must contain.
 */
import { EEXIST, EINVAL, ENOBUFS, ENOENT, ENOMEM, ENXIO, EOPNOTSUPP, ESRCH } from "../../abi/errno.ts";
import {
  __HYPERVISOR_devctl,
  Devctl,
  NOXS_DEV_COUNT_MAX,
  NOXS_DEVICE_PAGE,
  NoxsDevKey,
  NoxsDevPage,
  NoxsDevPageEntry,
  XEN_DEVCTL_dev_add,
  XEN_DEVCTL_dev_enum,
  XEN_DEVCTL_dev_rem,
  XEN_DEVCTL_get,
  XEN_DEVCTL_VERSION,
} from "../../abi/io/noxs.ts";
import type { Dom0 } from "./dom0.ts";
import type { Peer } from "./peer.ts";
import type { Random } from "./random.ts";
import { Violation } from "./svm-cpu.ts";

/** An entry as it is in the page. */
type Device = [type: number, id: number, backend: number, grant: number, port: number];

const WORDS = NoxsDevPageEntry.SIZE / 4;
/** Ids that name no domain. */
const NOBODY = [0x7ff0, 0x7ff4, 5000, 0xffff];

export class DevicePages {
  /** The pages of domains that have devctl, domain 0's among them. */
  private readonly pages = new Map<number, Device[]>([[0, []]]);

  /** @param tight memory is nearly out: what needs a frame may be refused */
  constructor(
    private readonly dom0: Dom0,
    private readonly random: Random,
    private readonly tight: boolean,
  ) {}

  /** Domain 0 gets its page, which it keeps. */
  begin(): void {
    const { result } = this.call(XEN_DEVCTL_get, 0);
    if (result !== 0) throw new Violation(`domain 0's get returned ${result}`);
  }

  /** A domain has been built and has not run: it may get devices, and so devctl. */
  built(id: number, pvhv1: boolean, peers: Peer[]): void {
    if (pvhv1) this.pages.set(id, []);
    if (!this.random.oneIn(3)) return;
    const { result } = this.call(XEN_DEVCTL_get, id);
    if (result === 0) this.pages.set(id, this.pages.get(id) ?? []);
    else if (!this.tight || result !== -ENOMEM) throw new Violation(`the first get of domain ${id} returned ${result}`);
    for (let n = this.random.below(4); n > 0 && result === 0; n--) this.add(id, peers);
  }

  /** One random act of domain 0, on a living domain or none. */
  turn(peers: Peer[]): void {
    const id = this.random.oneIn(6) ? this.random.pick(NOBODY) : this.random.pick([0, ...peers.map((p) => p.id)]);
    const alive = id === 0 || peers.some((p) => p.id === id);
    switch (this.random.below(8)) {
      case 0:
        this.expect("get", id, this.call(XEN_DEVCTL_get, id).result, this.forGet(id, alive), true);
        break;
      case 1:
      case 2: {
        const page = this.pages.get(id) ?? [];
        const there = page.length > 0 && this.random.oneIn(2) ? this.random.pick(page) : null;
        const [type, n] = there ?? [this.random.below(4), this.random.below(40)];
        const index = page.findIndex((d) => d[0] === type && d[1] === n);
        const wanted = !alive ? -ESRCH : index < 0 ? -ENOENT : 0;
        this.expect("dev_rem", id, this.call(XEN_DEVCTL_dev_rem, id, [type, n, 0, 0, 0]).result, wanted);
        if (wanted === 0) page.splice(index, 1);
        break;
      }
      case 3:
        if (alive) this.check(id);
        break;
      case 4: // until it is full
        if (alive) for (let n = this.random.below(NOXS_DEV_COUNT_MAX + 2); n > 0; n--) this.add(id, peers);
        break;
      default:
        this.add(id, peers);
    }
  }

  /** A domain is gone, and with it the devices of which it was the backend. */
  gone(id: number): void {
    this.pages.delete(id);
    for (const page of this.pages.values()) {
      for (let i = page.length - 1; i >= 0; i--) if (page[i]![2] === id) page.splice(i, 1);
    }
  }

  /** Every page is what the model says, also where its domain sees it. */
  checkAll(peers: Peer[]): void {
    for (const id of this.pages.keys()) this.check(id);
    for (const { id, good, cpu } of peers) {
      const page = this.pages.get(id);
      // A hostile guest may have unmapped its page; a PVHv1 guest's appears with the first get.
      if (!good || !cpu || !page || page.length === 0) continue;
      const view = cpu.look(NOXS_DEVICE_PAGE, NoxsDevPage.SIZE);
      if (cpu.machine.svm.translateQuietly(cpu.vmcb, NOXS_DEVICE_PAGE, true) >= 0) {
        throw new Violation(`domain ${id} could write its device page`);
      }
      this.compare(id, view, NoxsDevPage.dev_count, NoxsDevPage.devs);
    }
  }

  private forGet(id: number, alive: boolean): number {
    if (id === 0x7ff0) return 0; // DOMID_SELF: domain 0's own
    if (!alive) return -ESRCH;
    return this.pages.has(id) ? 0 : -EOPNOTSUPP;
  }

  private add(id: number, peers: Peer[]): void {
    const { random } = this;
    const backends = [0, ...peers.map((p) => p.id)];
    const backend = random.oneIn(8) ? random.pick(NOBODY) : random.pick(backends);
    const device: Device = [random.below(4), random.below(40), backend, random.u32(), random.u32()];
    const page = this.pages.get(id);
    let wanted = 0;
    if (id !== 0 && !backends.includes(id)) wanted = this.pages.has(id) ? 0 : -ESRCH;
    if (wanted === 0) {
      if (device[0] === 0) wanted = -EINVAL;
      else if (!backends.includes(backend)) wanted = -ESRCH;
      else if (page?.some((d) => d[0] === device[0] && d[1] === device[1])) wanted = -EEXIST;
      else if (page && page.length >= NOXS_DEV_COUNT_MAX) wanted = -ENOBUFS;
      else if (!page) wanted = -EOPNOTSUPP;
    }
    const { result } = this.call(XEN_DEVCTL_dev_add, id, device);
    if (this.expect("dev_add", id, result, wanted, true)) page!.push(device);
  }

  /** Whether a call succeeded as it should. `page`: it may have had to allocate or map the page, over which a hostile guest may have mapped a grant. */
  private expect(what: string, id: number, result: number, wanted: number, page = false): boolean {
    if (result === wanted) return wanted === 0;
    if (page && wanted === 0 && (result === -ENXIO || (this.tight && result === -ENOMEM))) return false;
    throw new Violation(`${what} for domain ${id} returned ${result}, expected ${wanted}`);
  }

  private check(id: number): void {
    const { result, view } = this.call(XEN_DEVCTL_dev_enum, id);
    if (result !== 0) throw new Violation(`dev_enum of domain ${id} returned ${result}`);
    this.compare(id, view, Devctl.dev_enum_dev_count, Devctl.dev_enum_devs);
  }

  private compare(id: number, view: DataView, countAt: number, devicesAt: number): void {
    const page = this.pages.get(id) ?? [];
    const count = view.getUint32(countAt, true);
    if (count !== page.length) throw new Violation(`domain ${id} has ${count} devices, not ${page.length}`);
    for (let i = 0; i < NOXS_DEV_COUNT_MAX; i++) {
      for (let word = 0; word < WORDS; word++) {
        const value = view.getUint32(devicesAt + (i * WORDS + word) * 4, true);
        if (value !== (page[i]?.[word] ?? 0))
          throw new Violation(`device ${i} of domain ${id} is not what it should be`);
      }
    }
  }

  private call(cmd: number, domain: number, device: Device = [0, 0, 0, 0, 0]) {
    return this.dom0.structured(__HYPERVISOR_devctl, null, Devctl.SIZE, (view) => {
      view.setUint32(Devctl.version, XEN_DEVCTL_VERSION, true);
      view.setUint32(Devctl.cmd, cmd, true);
      view.setUint16(Devctl.domain, domain, true);
      if (cmd === XEN_DEVCTL_dev_rem) {
        view.setUint32(Devctl.dev_rem_dev + NoxsDevKey.type, device[0], true);
        view.setUint32(Devctl.dev_rem_dev + NoxsDevKey.devid, device[1], true);
      } else {
        device.forEach((value, word) => view.setUint32(Devctl.dev_add_dev + word * 4, value, true));
      }
    });
  }
}
