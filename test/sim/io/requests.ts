/** Domain 0's requests to the I/O domain about bridges, vifs and vbds, as the simulation makes them. */
import {
  BridgeCreate,
  BridgeEntry,
  BridgeUplink,
  Counters,
  DROP_REASONS,
  ListRequest,
  ListResponse,
  NIC_NONE,
  VIF_MODEL_NOXS,
  VIF_MODEL_XENBUS,
  VifAdd,
  VifAddResponse,
  VifConnect,
  VifConnectQueue,
  VifEntry,
  VifKey,
} from "../../../abi/io/control-net.ts";
import {
  IO_BRIDGE_CREATE,
  IO_BRIDGE_LIST,
  IO_BRIDGE_UPLINK,
  IO_VBD_ADD,
  IO_VBD_CONNECT,
  IO_VBD_DISCONNECT,
  IO_VBD_REMOVE,
  IO_VIF_ADD,
  IO_VIF_CONNECT,
  IO_VIF_DISCONNECT,
  IO_VIF_LIST,
  IO_VIF_REMOVE,
} from "../../../abi/io/control.ts";
import {
  VBD_MODEL_NOXS,
  VBD_MODEL_XENBUS,
  VBD_WRITABLE,
  VbdAdd,
  VbdConnect,
  VbdKey,
} from "../../../abi/io/control-block.ts";
import { IO_DOMAIN } from "../../../abi/io/layout.ts";
import {
  __HYPERVISOR_devctl,
  Devctl,
  noxs_dev_vbd,
  noxs_dev_vif,
  NoxsDevPageEntry,
  XEN_DEVCTL_dev_add,
  XEN_DEVCTL_get,
  XEN_DEVCTL_VERSION,
} from "../../../abi/io/noxs.ts";
import type { Dom0 } from "../dom0.ts";
import { Violation } from "../svm-cpu.ts";
import type { IoControl } from "./control.ts";
import type { Rings } from "./guest.ts";
import { ipBytes, macBytes } from "./wire.ts";

const BRIDGE = "br0";
/** Xen's number of a guest's disk: xvda. */
const VDEV = 51712;

/** A guest's only device. */
export interface Device {
  id: number;
  device: "net" | "block";
  /** By xenbus, not by NoXS. */
  xenbus: boolean;
  /** A vif that may send from its own IPv4 address only. */
  hasAddress: boolean;
  /** A vbd's. */
  target: string;
  writable: boolean;
}

/** Throws Violation when a request was not answered as it must be. */
export function must(status: number, wanted: number, what: string): void {
  if (status !== wanted) throw new Violation(`${what} returned ${status}, expected ${wanted}`);
}

export class Requests {
  constructor(
    private readonly dom0: Dom0,
    private readonly control: IoControl,
  ) {}

  private ask(operation: number, size: number, fill: (v: DataView) => void): { status: number; payload: DataView } {
    return this.control.request(operation, size, fill);
  }

  bridge(): void {
    const { status } = this.ask(IO_BRIDGE_CREATE, BridgeCreate.SIZE, (v) => {
      new Uint8Array(v.buffer).set(Buffer.from(BRIDGE), BridgeCreate.name);
      v.setUint32(BridgeCreate.prefix, 16, true);
    });
    must(status, 0, "BRIDGE_CREATE");
  }

  /** Gives the bridge the machine's only card, or takes it away; 0, or -errno. */
  uplink(attached: boolean): number {
    return this.ask(IO_BRIDGE_UPLINK, BridgeUplink.SIZE, (v) => {
      new Uint8Array(v.buffer).set(Buffer.from(BRIDGE), BridgeUplink.name);
      v.setUint32(BridgeUplink.nic, attached ? 0 : NIC_NONE, true);
    }).status;
  }

  /** What was dropped of each vif and by the bridge, by reason (abi/io/control-net.ts): in words, for a violation. */
  drops(): string {
    const list = (operation: number, size: number, counters: number, name: (v: DataView, at: number) => string) => {
      const { payload, bulk } = this.control.request(operation, ListRequest.SIZE, () => {});
      return Array.from({ length: payload.getUint32(ListResponse.count, true) }, (_, i) => {
        const at = i * size;
        const reasons = Array.from({ length: DROP_REASONS }, (__, reason) => {
          const n = bulk.getBigUint64(at + counters + Counters.drops + 8 * reason, true);
          return n === 0n ? "" : ` ${reason}: ${n}`;
        });
        return `${name(bulk, at)} dropped${reasons.join("") || " nothing"}`;
      });
    };
    const vifs = list(IO_VIF_LIST, VifEntry.SIZE, VifEntry.counters, (v, at) => `vif ${v.getUint32(at, true)}`);
    return [...vifs, ...list(IO_BRIDGE_LIST, BridgeEntry.SIZE, BridgeEntry.counters, () => "bridge")].join("; ");
  }

  private devctl(cmd: number, domain: number, fill: (v: DataView) => void): number {
    return this.dom0.structured(__HYPERVISOR_devctl, null, Devctl.SIZE, (v) => {
      v.setUint32(Devctl.version, XEN_DEVCTL_VERSION, true);
      v.setUint32(Devctl.cmd, cmd, true);
      v.setUint16(Devctl.domain, domain, true);
      fill(v);
    }).result;
  }

  /** Gives a guest its device. */
  add(d: Device): void {
    must(
      this.devctl(XEN_DEVCTL_get, d.id, () => {}),
      0,
      "devctl get",
    );
    const isNet = d.device === "net";
    // Grant and port of a device are the first words of both answers.
    const { status, payload } = isNet ? this.addVif(d.id, d.xenbus, d.hasAddress) : this.addVbd(d);
    must(status, 0, isNet ? "VIF_ADD" : "VBD_ADD");
    if (d.xenbus) return;
    const result = this.devctl(XEN_DEVCTL_dev_add, d.id, (v) => {
      const at = Devctl.dev_add_dev;
      v.setUint32(at + NoxsDevPageEntry.type, isNet ? noxs_dev_vif : noxs_dev_vbd, true);
      v.setUint32(at + NoxsDevPageEntry.id, isNet ? 0 : VDEV, true);
      v.setUint16(at + NoxsDevPageEntry.be_id, IO_DOMAIN, true);
      v.setUint32(at + NoxsDevPageEntry.grant, payload.getUint32(VifAddResponse.grant, true), true);
      v.setUint32(at + NoxsDevPageEntry.evtchn, payload.getUint32(VifAddResponse.port, true), true);
    });
    must(result, 0, "devctl dev_add");
  }

  private addVbd({ id, xenbus, writable, target }: Device): { status: number; payload: DataView } {
    return this.ask(IO_VBD_ADD, VbdAdd.SIZE, (v) => {
      v.setUint32(VbdAdd.domid, id, true);
      v.setUint32(VbdAdd.vdev, VDEV, true);
      v.setUint32(VbdAdd.model, xenbus ? VBD_MODEL_XENBUS : VBD_MODEL_NOXS, true);
      v.setUint32(VbdAdd.flags, writable ? VBD_WRITABLE : 0, true);
      new Uint8Array(v.buffer).set(Buffer.from(target), VbdAdd.target);
    });
  }

  private addVif(id: number, xenbus: boolean, hasAddress: boolean): { status: number; payload: DataView } {
    return this.ask(IO_VIF_ADD, VifAdd.SIZE, (v) => {
      v.setUint32(VifAdd.domid, id, true);
      v.setUint32(VifAdd.model, xenbus ? VIF_MODEL_XENBUS : VIF_MODEL_NOXS, true);
      const bytes = new Uint8Array(v.buffer);
      bytes.set(macBytes(id), VifAdd.mac);
      if (hasAddress) bytes.set(ipBytes(id), VifAdd.ipv4);
      bytes.set(Buffer.from(BRIDGE), VifAdd.bridge);
    });
  }

  /** Makes a vif of domain 0's and removes it: the I/O domain looks for vifs that are gone for good when one is made. */
  addAndRemove(): number {
    must(this.addVif(0, false, false).status, 0, "VIF_ADD for domain 0");
    return this.remove(0, "net");
  }

  private about(operation: { net: number; block: number }, id: number, device: "net" | "block"): number {
    if (device === "net")
      return this.ask(operation.net, VifKey.SIZE, (v) => v.setUint32(VifKey.domid, id, true)).status;
    return this.ask(operation.block, VbdKey.SIZE, (v) => {
      v.setUint32(VbdKey.domid, id, true);
      v.setUint32(VbdKey.vdev, VDEV, true);
    }).status;
  }

  /** Takes a guest's device away; 0, or -errno. */
  remove(id: number, device: "net" | "block"): number {
    return this.about({ net: IO_VIF_REMOVE, block: IO_VBD_REMOVE }, id, device);
  }

  disconnect(id: number, device: "net" | "block"): number {
    return this.about({ net: IO_VIF_DISCONNECT, block: IO_VBD_DISCONNECT }, id, device);
  }

  /** Connects the frontend of a xenbus device with what it has written into its nodes; 0, or -errno. */
  connect(id: number, device: "net" | "block", { refs, port, features }: Rings): number {
    if (device === "net") {
      return this.ask(IO_VIF_CONNECT, VifConnect.SIZE + VifConnectQueue.SIZE, (v) => {
        v.setUint32(VifConnect.domid, id, true);
        v.setUint32(VifConnect.queues, 1, true);
        v.setUint32(VifConnect.features, features, true);
        v.setUint32(VifConnect.SIZE + VifConnectQueue.tx_ref, refs[0]!, true);
        v.setUint32(VifConnect.SIZE + VifConnectQueue.rx_ref, refs[1]!, true);
        v.setUint32(VifConnect.SIZE + VifConnectQueue.tx_port, port, true);
        v.setUint32(VifConnect.SIZE + VifConnectQueue.rx_port, port, true);
      }).status;
    }
    const order = Math.floor(Math.log2(refs.length));
    return this.ask(IO_VBD_CONNECT, VbdConnect.SIZE + 4 + 4 * 2 ** order, (v) => {
      v.setUint32(VbdConnect.domid, id, true);
      v.setUint32(VbdConnect.vdev, VDEV, true);
      v.setUint32(VbdConnect.rings, 1, true);
      v.setUint32(VbdConnect.order, order, true);
      v.setUint32(VbdConnect.features, features, true);
      v.setUint32(VbdConnect.SIZE, port, true);
      for (let i = 0; i < 2 ** order; i++) v.setUint32(VbdConnect.SIZE + 4 + 4 * i, refs[i]!, true);
    }).status;
  }
}
