/**
 * One run of the I/O domain's module on the simulated machine, everything drawn from one seed: good and hostile guests use its back
 * ends while domain 0 creates and destroys them, and the domain is killed at any use of an import and restarted. In the end all
 * guests are destroyed, and what the I/O domain and the machine have is counted.
 */
import {
  BridgeCreate,
  VIF_MODEL_NOXS,
  VIF_MODEL_XENBUS,
  VifAdd,
  VifAddResponse,
  VifConnect,
  VifConnectQueue,
  VifKey,
} from "../../../abi/io/control-net.ts";
import {
  IO_BRIDGE_CREATE,
  IO_VBD_ADD,
  IO_VBD_CONNECT,
  IO_VBD_DISCONNECT,
  IO_VBD_REMOVE,
  IO_VIF_ADD,
  IO_VIF_CONNECT,
  IO_VIF_DISCONNECT,
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
import { EBUSY, EISCONN } from "../../../abi/errno.ts";
import { Domctl } from "../../../abi/domctl.ts";
import { GrantEntryV1 } from "../../../abi/grant-table.ts";
import { IO_DOMAIN, IO_GRANT_TABLE, IO_GRANT_TABLE_END } from "../../../abi/io/layout.ts";
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
import { DOM0_SCRATCH } from "../../../abi/domain0-layout.ts";
import { SCHEDOP_remote_shutdown, SchedRemoteShutdown, SHUTDOWN_crash } from "../../../abi/sched.ts";
import { __HYPERVISOR_sched_op } from "../../../abi/xen.ts";
import { Dom0 } from "../dom0.ts";
import type { Machine } from "../machine.ts";
import { PAGE } from "../ram.ts";
import { Random } from "../random.ts";
import { freeFrames } from "../simulate.ts";
import { Violation } from "../svm-cpu.ts";
import { IoControl } from "./control.ts";
import { BLOCK_MARK, SECTOR, SECTORS } from "./block-front.ts";
import { Disk } from "./disk.ts";
import { goodBlockGuest } from "./block-good.ts";
import { hostileBlockGuest } from "./block-hostile.ts";
import type { IoPeer, IoScene, Rings } from "./guest.ts";
import { ModuleDomain } from "./module-domain.ts";
import { goodNetGuest } from "./net-good.ts";
import { hostileNetGuest } from "./net-hostile.ts";
import { ipBytes, macBytes, Wire } from "./wire.ts";

export interface IoModules {
  hypervisor: WebAssembly.Module;
  io: WebAssembly.Module;
  /** Of a test build: which mistake it has, from 1. */
  mutant?: number;
}

export interface IoSimulationOptions {
  rounds?: number;
  onOutput?: (text: string) => void;
}

const MEMORY_MIB = 24;
const GUEST_PAGES = 32;
const GUESTS_MAX = 7;
/** Xen's number of a guest's disk: xvda. */
const VDEV = 51712;
/** The hypervisor restarts the domain five times within a minute: in a run, and to count frames before it and after it. */
const KILLS_MAX = 3;
/** Most turns of the hypervisor in a round, and of the time it takes to come to rest. */
const STEPS = 40;
const REST_TURNS = 30_000;
/** Time of a guest's entry, ns. */
const ENTRY_NS = 20_000;
/** Frames that the hypervisor's own pools may have grown by. */
const SLACK = 4;
/** Longest time in which a good guest is answered, ns of virtual time. */
const ANSWER_NS = 2_000_000_000;
/** Uses of imports after which the domain is killed, at most: several turns of its life. */
const KILL_USES = 4000;
/** One shared access in so many sees a hostile guest's other CPU at work. */
const TAMPER = 24;

export function simulateIo(
  modules: IoModules,
  seed: number,
  options: IoSimulationOptions = {},
): Record<string, number> {
  return new Run(modules, seed, options).run();
}

class Run {
  private readonly random: Random;
  private readonly disk: Disk;
  private readonly machine: Machine;
  private readonly io: ModuleDomain;
  private readonly dom0: Dom0;
  private readonly control: IoControl;
  private readonly scene: IoScene;
  private killed = 0;
  /** The disk fails at times. */
  private failing = false;
  /** Every guest that has been there. */
  private readonly built: number[] = [];
  /** When the domain last began. */
  private began = 0;

  constructor(
    modules: IoModules,
    seed: number,
    private readonly options: IoSimulationOptions,
  ) {
    this.random = new Random(seed);
    this.disk = new Disk(this.random);
    const { machine, io } = ModuleDomain.open(
      modules.hypervisor,
      modules.io,
      {
        memory: MEMORY_MIB,
        pci: this.disk.bus,
        onOutput: options.onOutput,
      },
      modules.mutant ?? 0,
    );
    this.machine = machine;
    this.io = io;
    this.disk.attach(io);
    machine.svm.entryNs = ENTRY_NS;
    this.dom0 = new Dom0(machine);
    this.control = new IoControl(this.dom0, () => this.tick());
    const wire = new Wire(() => io.starts - 1);
    const counts = {
      sent: 0,
      received: 0,
      "received with an error": 0,
      "hostile connected": 0,
      "hostile sent": 0,
      "block requests": 0,
      "hostile disks connected": 0,
      "hostile requests": 0,
      "bound again": 0,
      "disk errors": 0,
      flushes: 0,
    };
    this.scene = { machine, random: this.random, wire, peers: [], counts };
    machine.step(4);
    for (let page = 0; page < 4; page++) this.dom0.page(DOM0_SCRATCH + page * PAGE, true);
  }

  private get peers(): IoPeer[] {
    return this.scene.peers;
  }

  // --- Domain 0 ---------------------------------------------------------------------------------------------------------------

  private ask(operation: number, size: number, fill: (v: DataView) => void): { status: number; payload: DataView } {
    return this.control.request(operation, size, fill);
  }

  private must(status: number, wanted: number, what: string): void {
    if (status !== wanted) throw new Violation(`${what} returned ${status}, expected ${wanted}`);
  }

  private bridge(): void {
    const { status } = this.ask(IO_BRIDGE_CREATE, BridgeCreate.SIZE, (v) => {
      new Uint8Array(v.buffer).set(Buffer.from("br0"), BridgeCreate.name);
      v.setUint32(BridgeCreate.prefix, 16, true);
    });
    this.must(status, 0, "BRIDGE_CREATE");
  }

  private devctl(cmd: number, domain: number, fill: (v: DataView) => void): number {
    return this.dom0.structured(__HYPERVISOR_devctl, null, Devctl.SIZE, (v) => {
      v.setUint32(Devctl.version, XEN_DEVCTL_VERSION, true);
      v.setUint32(Devctl.cmd, cmd, true);
      v.setUint16(Devctl.domain, domain, true);
      fill(v);
    }).result;
  }

  private create(good = this.random.below(5) < 3, device = this.random.pick(["net", "block"] as const)): void {
    const { random, scene } = this;
    const peer: IoPeer = {
      id: -1,
      good,
      device,
      kit: null,
      xenbus: random.oneIn(3) ? { asks: null, answer: 0 } : null,
      quiet: false,
      idle: false,
      awaits: null,
      probe: null,
      tamper: null,
    };
    const writable = !random.oneIn(5);
    const label = device === "block" && random.oneIn(2) ? this.disk.take() : null;
    const isNet = device === "net";
    const program = good
      ? isNet
        ? goodNetGuest(scene, peer)
        : goodBlockGuest(scene, peer, {
            writable,
            onDisk: label !== null,
            stable: label === null ? null : (sector) => this.disk.stable(label, sector),
          })
      : isNet
        ? hostileNetGuest(scene, peer)
        : hostileBlockGuest(scene, peer);
    peer.id = this.dom0.build(program, GUEST_PAGES);
    const hasAddress = good || random.oneIn(2);
    if (isNet) scene.wire.known.set(peer.id, { good, hasAddress });
    this.built.push(peer.id);
    this.must(
      this.devctl(XEN_DEVCTL_get, peer.id, () => {}),
      0,
      "devctl get",
    );
    // Grant and port of a device are the first words of both answers.
    const { status, payload } = isNet
      ? this.addVif(peer.id, peer.xenbus === null ? VIF_MODEL_NOXS : VIF_MODEL_XENBUS, hasAddress)
      : this.addVbd(peer.id, peer.xenbus === null ? VBD_MODEL_NOXS : VBD_MODEL_XENBUS, writable, label);
    this.must(status, 0, isNet ? "VIF_ADD" : "VBD_ADD");
    if (peer.xenbus === null) {
      const result = this.devctl(XEN_DEVCTL_dev_add, peer.id, (v) => {
        const at = Devctl.dev_add_dev;
        v.setUint32(at + NoxsDevPageEntry.type, isNet ? noxs_dev_vif : noxs_dev_vbd, true);
        v.setUint32(at + NoxsDevPageEntry.id, isNet ? 0 : VDEV, true);
        v.setUint16(at + NoxsDevPageEntry.be_id, IO_DOMAIN, true);
        v.setUint32(at + NoxsDevPageEntry.grant, payload.getUint32(VifAddResponse.grant, true), true);
        v.setUint32(at + NoxsDevPageEntry.evtchn, payload.getUint32(VifAddResponse.port, true), true);
      });
      this.must(result, 0, "devctl dev_add");
    }
    this.peers.push(peer);
    this.must(this.dom0.unpause(peer.id), 0, "unpausing");
  }

  private addVbd(
    id: number,
    model: number,
    writable: boolean,
    label: string | null,
  ): { status: number; payload: DataView } {
    return this.ask(IO_VBD_ADD, VbdAdd.SIZE, (v) => {
      v.setUint32(VbdAdd.domid, id, true);
      v.setUint32(VbdAdd.vdev, VDEV, true);
      v.setUint32(VbdAdd.model, model, true);
      v.setUint32(VbdAdd.flags, writable ? VBD_WRITABLE : 0, true);
      const target = label === null ? `ram:${SECTORS * SECTOR}` : `part:${label}`;
      new Uint8Array(v.buffer).set(Buffer.from(target), VbdAdd.target);
    });
  }

  private addVif(id: number, model: number, hasAddress: boolean): { status: number; payload: DataView } {
    return this.ask(IO_VIF_ADD, VifAdd.SIZE, (v) => {
      v.setUint32(VifAdd.domid, id, true);
      v.setUint32(VifAdd.model, model, true);
      const bytes = new Uint8Array(v.buffer);
      bytes.set(macBytes(id), VifAdd.mac);
      if (hasAddress) bytes.set(ipBytes(id), VifAdd.ipv4);
      bytes.set(Buffer.from("br0"), VifAdd.bridge);
    });
  }

  /** The I/O domain looks for vifs that are gone for good when one is made. */
  private sweep(): void {
    for (let n = 0; n < 8; n++) {
      this.must(this.addVif(0, VIF_MODEL_NOXS, false).status, 0, "VIF_ADD for domain 0");
      this.removeVif(0);
    }
    for (let n = 0; n < 20; n++) this.tick();
  }

  private removeVif(id: number): void {
    const { status } = this.ask(IO_VIF_REMOVE, VifKey.SIZE, (v) => v.setUint32(VifKey.domid, id, true));
    // The request may have been carried out before the I/O domain was killed.
    if (status !== 0 && this.killed === 0) throw new Violation(`VIF_REMOVE returned ${status}`);
  }

  /** A request about one vbd. */
  private aboutVbd(operation: number, id: number): number {
    return this.ask(operation, VbdKey.SIZE, (v) => {
      v.setUint32(VbdKey.domid, id, true);
      v.setUint32(VbdKey.vdev, VDEV, true);
    }).status;
  }

  private removeDevice(peer: IoPeer): void {
    if (peer.device === "net") {
      this.removeVif(peer.id);
      return;
    }
    const status = this.aboutVbd(IO_VBD_REMOVE, peer.id);
    if (status !== 0 && this.killed === 0) throw new Violation(`VBD_REMOVE returned ${status}`);
  }

  private destroy(peer: IoPeer): void {
    this.peers.splice(this.peers.indexOf(peer), 1);
    const first = this.random.oneIn(2);
    if (first) this.removeDevice(peer);
    for (let tries = 0; this.dom0.destroy(peer.id) !== 0; tries++) {
      if (tries > 1000) throw new Violation(`destroying domain ${peer.id} never ends`);
    }
    for (let n = this.random.oneIn(2) ? this.random.below(STEPS) : 0; n > 0; n--) this.tick();
    if (!first) this.removeDevice(peer);
  }

  /** Does what xenbus frontends have asked for. */
  private serveXenbus(): void {
    for (const peer of [...this.peers]) {
      const asks = peer.xenbus?.asks;
      if (asks === null || asks === undefined) continue;
      const { starts } = this.io;
      let status = asks === "close" ? this.disconnect(peer) : this.connect(peer, asks);
      // It may have been done by the one that was killed before it answered.
      if ((status === -EBUSY || status === -EISCONN) && this.io.starts > starts) status = 0;
      peer.xenbus!.answer = status;
      peer.xenbus!.asks = null;
    }
  }

  private disconnect(peer: IoPeer): number {
    const status =
      peer.device === "net"
        ? this.ask(IO_VIF_DISCONNECT, VifKey.SIZE, (v) => v.setUint32(VifKey.domid, peer.id, true)).status
        : this.aboutVbd(IO_VBD_DISCONNECT, peer.id);
    return status;
  }

  private connect(peer: IoPeer, { refs, port, features }: Rings): number {
    if (peer.device === "net") {
      return this.ask(IO_VIF_CONNECT, VifConnect.SIZE + VifConnectQueue.SIZE, (v) => {
        v.setUint32(VifConnect.domid, peer.id, true);
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
      v.setUint32(VbdConnect.domid, peer.id, true);
      v.setUint32(VbdConnect.vdev, VDEV, true);
      v.setUint32(VbdConnect.rings, 1, true);
      v.setUint32(VbdConnect.order, order, true);
      v.setUint32(VbdConnect.features, features, true);
      v.setUint32(VbdConnect.SIZE, port, true);
      for (let i = 0; i < 2 ** order; i++) v.setUint32(VbdConnect.SIZE + 4 + 4 * i, refs[i]!, true);
    }).status;
  }

  private kill(): void {
    if (this.killed >= KILLS_MAX) return;
    this.killed++;
    switch (this.random.below(5)) {
      case 0:
        this.shutDown();
        break;
      case 1:
      case 2:
        this.io.killAfter = this.random.below(this.random.oneIn(2) ? KILL_USES : 200);
        break;
      default:
        this.io.killAfterStores = this.random.below(40);
    }
  }

  /** Domain 0 has it restarted. */
  private shutDown(): void {
    const { result } = this.dom0.structured(
      __HYPERVISOR_sched_op,
      SCHEDOP_remote_shutdown,
      SchedRemoteShutdown.SIZE,
      (v) => {
        v.setUint16(SchedRemoteShutdown.domain_id, IO_DOMAIN, true);
        v.setUint32(SchedRemoteShutdown.reason, SHUTDOWN_crash, true);
      },
    );
    this.must(result, 0, "remote_shutdown");
  }

  // --- What must hold ---------------------------------------------------------------------------------------------------------

  private audit(): void {
    const broken = this.machine.exports.audit();
    if (broken !== 0)
      throw new Violation(`the self-check found ${broken} violations\n${this.machine.output.slice(-1500)}`);
    for (const { kit } of this.peers) kit?.checkCanary();
    for (const peer of this.peers) {
      if (peer.good || peer.kit === null) continue;
      for (let gfn = 8; gfn < GUEST_PAGES; gfn++) {
        if (this.machine.svm.translateQuietly(peer.kit.cpu.vmcb, gfn * PAGE) < 0) continue;
        const memory = Buffer.from(peer.kit.bytes(gfn));
        const found = this.scene.wire.notFor(peer.id, memory);
        if (found.length > 0)
          throw new Violation(`domain ${peer.id} has others' frames in its memory: ${found.join()}`);
        if (memory.includes(BLOCK_MARK)) throw new Violation(`domain ${peer.id} has another's sectors in its memory`);
      }
    }
  }

  /** Good guests get their answers. */
  private checkWaits(): void {
    for (const { id, good, awaits } of this.peers) {
      if (!good || awaits === null) continue;
      const since = Math.max(awaits.since, this.began);
      if (this.machine.now - since > ANSWER_NS) throw new Violation(`domain ${id} waits in vain for ${awaits.what}`);
    }
  }

  /** One turn of the hypervisor, and what the disk does meanwhile. */
  private tick(): void {
    this.machine.step();
    this.disk.work(this.failing);
  }

  private step(times: number): void {
    for (let n = 0; n < times; n++) {
      const { starts } = this.io;
      this.tick();
      if (this.io.starts !== starts) this.began = this.machine.now;
    }
    this.checkWaits();
  }

  private states(): string {
    return this.peers
      .map(({ id, good, kit, idle, awaits, xenbus }) =>
        JSON.stringify({ id, good, xenbus: xenbus !== null, runs: kit !== null, idle, awaits: awaits?.what }),
      )
      .join(" ");
  }

  private done(what: string): boolean {
    return this.scene.counts[what]! > 0;
  }

  private until(done: () => boolean, what: string, state = (): string => this.states()): void {
    for (let turns = 0; !done(); turns += 10) {
      if (turns > REST_TURNS) throw new Violation(`${what} is not reached: ${state()}`);
      this.step(10);
      this.serveXenbus();
    }
  }

  /** Pages that the I/O domain grants. */
  private granted(): number {
    let granted = 0;
    const space = this.machine.space(2);
    for (let address = IO_GRANT_TABLE; address < IO_GRANT_TABLE_END; address += PAGE) {
      const entry = space.get(address / PAGE);
      if (entry === undefined) continue;
      const frame = this.machine.ram.frame(entry.mfn);
      const view = new DataView(frame.buffer, frame.byteOffset, PAGE);
      for (let at = 0; at < PAGE; at += GrantEntryV1.SIZE) if (view.getUint16(at, true) !== 0) granted++;
    }
    return granted;
  }

  /** There is no guest: the I/O domain soon has nothing granted, and nothing of another's mapped. It looks at pages of vbds once a second. */
  private emptied(): void {
    const left = (): string => `${this.granted()} pages granted, ${this.io.grantsMapped} mapped`;
    this.until(() => this.granted() === 0 && this.io.grantsMapped === 0, "an I/O domain that holds nothing", left);
  }

  /** Frames of the machine that are free, or the I/O domain's, when that has just been restarted. */
  private frames(): number {
    this.control.close();
    this.shutDown();
    const { starts } = this.io;
    this.until(() => this.io.starts > starts, "the restart of the I/O domain");
    this.control.refresh();
    for (let n = 0; n < 200; n++) this.tick();
    return freeFrames(this.dom0) + this.io.ownPages;
  }

  run(): Record<string, number> {
    const { random } = this;
    this.control.refresh();
    this.bridge();
    // What is allocated once, and stays.
    for (const device of ["net", "net", "block"] as const) this.create(true, device);
    this.until(
      () => this.peers.every((peer) => peer.kit !== null && this.done("received") && this.done("block requests")),
      "the first frame",
    );
    for (const peer of [...this.peers]) this.destroy(peer);
    this.sweep();
    this.emptied();
    const ports = this.control.ports();
    const framesBefore = this.frames();
    for (let n = 0; n < 3; n++) this.create();
    const { tamper } = this;
    this.io.onShared = tamper;
    this.failing = random.oneIn(3);
    const rounds = this.options.rounds ?? 60;
    for (let round = 0; round < rounds; round++) {
      switch (random.below(14)) {
        case 0:
        case 1:
        case 2:
          if (this.peers.length < GUESTS_MAX) this.create();
          break;
        case 3:
          if (this.peers.length > 2) this.destroy(random.pick(this.peers));
          break;
        case 4:
          if (random.oneIn(2)) this.kill();
          break;
      }
      this.step(1 + random.below(STEPS));
      this.serveXenbus();
      if (round % 10 === 0) this.audit();
    }
    this.io.killAfter = this.io.killAfterStores = -1;
    for (const peer of this.peers) peer.quiet = true;
    this.until(() => this.peers.every((peer) => !peer.good || peer.idle), "rest of the good guests");
    this.io.onShared = () => {};
    for (const peer of this.peers.filter((p) => !p.good)) this.destroy(peer);
    this.probe();
    this.audit();
    for (const peer of [...this.peers]) this.destroy(peer);
    this.sweep();
    this.emptied();
    const portsLeft = this.control.ports();
    if (portsLeft !== ports) throw new Violation(`the I/O domain has ${portsLeft} ports, had ${ports}`);
    this.audit();
    for (const id of this.built) {
      // Of a domain that is not there, the next one's is told.
      const { result, view } = this.dom0.info(id);
      if (result === 0 && view.getUint16(Domctl.domain, true) === id)
        throw new Violation(`domain ${id} is still there`);
    }
    const lost = framesBefore - this.frames();
    if (Math.abs(lost) > SLACK) throw new Violation(`${lost} frames were lost`);
    this.audit();
    return { ...this.scene.counts, kills: this.io.starts - 3, turns: this.io.turns };
  }

  private readonly tamper = (): void => {
    if (!this.random.oneIn(TAMPER)) return;
    const hostile = this.peers.filter((p) => p.tamper !== null);
    if (hostile.length > 0) this.random.pick(hostile).tamper!();
  };

  /** Every good guest sends one frame to another: it arrives. */
  private probe(): void {
    const good = this.peers.filter((p) => p.good && p.device === "net");
    if (good.length < 2) return;
    good.forEach((peer, i) => {
      peer.probe = { to: good[(i + 1) % good.length]!.id, number: 0 };
      peer.idle = false;
    });
    this.until(
      () => good.every(({ probe }) => probe!.number !== 0 && this.scene.wire.hasArrived(probe!.number, probe!.to)),
      "the arrival of a frame from each good guest",
    );
  }
}
