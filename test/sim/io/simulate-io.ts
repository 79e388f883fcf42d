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
  IO_VIF_ADD,
  IO_VIF_CONNECT,
  IO_VIF_DISCONNECT,
  IO_VIF_REMOVE,
} from "../../../abi/io/control.ts";
import { Domctl } from "../../../abi/domctl.ts";
import { GrantEntryV1 } from "../../../abi/grant-table.ts";
import { IO_DOMAIN, IO_GRANT_TABLE, IO_GRANT_TABLE_END } from "../../../abi/io/layout.ts";
import {
  __HYPERVISOR_devctl,
  Devctl,
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
import type { IoPeer, IoScene } from "./guest.ts";
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
const GUESTS_MAX = 6;
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
  private readonly machine: Machine;
  private readonly io: ModuleDomain;
  private readonly dom0: Dom0;
  private readonly control: IoControl;
  private readonly scene: IoScene;
  private killed = 0;
  /** When the domain last began. */
  private began = 0;

  constructor(
    modules: IoModules,
    seed: number,
    private readonly options: IoSimulationOptions,
  ) {
    this.random = new Random(seed);
    const { machine, io } = ModuleDomain.open(
      modules.hypervisor,
      modules.io,
      {
        memory: MEMORY_MIB,
        onOutput: options.onOutput,
      },
      modules.mutant ?? 0,
    );
    this.machine = machine;
    this.io = io;
    machine.svm.entryNs = ENTRY_NS;
    this.dom0 = new Dom0(machine);
    this.control = new IoControl(this.dom0);
    const wire = new Wire(() => io.starts - 1);
    const counts = { sent: 0, received: 0, "received with an error": 0, "hostile connected": 0, "hostile sent": 0 };
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

  private create(good = this.random.below(5) < 3): void {
    const { random, scene } = this;
    const peer: IoPeer = {
      id: -1,
      good,
      device: "net",
      kit: null,
      xenbus: random.oneIn(3) ? { asks: null, answer: 0 } : null,
      quiet: false,
      idle: false,
      awaits: null,
      probe: null,
      tamper: null,
    };
    peer.id = this.dom0.build(good ? goodNetGuest(scene, peer) : hostileNetGuest(scene, peer), GUEST_PAGES);
    const hasAddress = good || random.oneIn(2);
    scene.wire.known.set(peer.id, { good, hasAddress });
    this.must(
      this.devctl(XEN_DEVCTL_get, peer.id, () => {}),
      0,
      "devctl get",
    );
    const { status, payload } = this.addVif(
      peer.id,
      peer.xenbus === null ? VIF_MODEL_NOXS : VIF_MODEL_XENBUS,
      hasAddress,
    );
    this.must(status, 0, "VIF_ADD");
    if (peer.xenbus === null) {
      const result = this.devctl(XEN_DEVCTL_dev_add, peer.id, (v) => {
        const at = Devctl.dev_add_dev;
        v.setUint32(at + NoxsDevPageEntry.type, noxs_dev_vif, true);
        v.setUint16(at + NoxsDevPageEntry.be_id, IO_DOMAIN, true);
        v.setUint32(at + NoxsDevPageEntry.grant, payload.getUint32(VifAddResponse.grant, true), true);
        v.setUint32(at + NoxsDevPageEntry.evtchn, payload.getUint32(VifAddResponse.port, true), true);
      });
      this.must(result, 0, "devctl dev_add");
    }
    this.peers.push(peer);
    this.must(this.dom0.unpause(peer.id), 0, "unpausing");
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
    this.machine.step(20);
  }

  private removeVif(id: number): void {
    const { status } = this.ask(IO_VIF_REMOVE, VifKey.SIZE, (v) => v.setUint32(VifKey.domid, id, true));
    // The request may have been carried out before the I/O domain was killed.
    if (status !== 0 && this.killed === 0) throw new Violation(`VIF_REMOVE returned ${status}`);
  }

  private destroy(peer: IoPeer): void {
    this.peers.splice(this.peers.indexOf(peer), 1);
    const first = this.random.oneIn(2);
    if (first) this.removeVif(peer.id);
    for (let tries = 0; this.dom0.destroy(peer.id) !== 0; tries++) {
      if (tries > 1000) throw new Violation(`destroying domain ${peer.id} never ends`);
    }
    if (this.random.oneIn(2)) this.machine.step(this.random.below(STEPS));
    if (!first) this.removeVif(peer.id);
  }

  /** Does what xenbus frontends have asked for. */
  private serveXenbus(): void {
    for (const peer of [...this.peers]) {
      const asks = peer.xenbus?.asks;
      if (asks === null || asks === undefined) continue;
      if (asks === "close") {
        const { status } = this.ask(IO_VIF_DISCONNECT, VifKey.SIZE, (v) => v.setUint32(VifKey.domid, peer.id, true));
        this.must(status, 0, "VIF_DISCONNECT");
        peer.xenbus!.answer = 0;
      } else {
        const starts = this.io.starts;
        let { status } = this.ask(IO_VIF_CONNECT, VifConnect.SIZE + VifConnectQueue.SIZE, (v) => {
          v.setUint32(VifConnect.domid, peer.id, true);
          v.setUint32(VifConnect.queues, 1, true);
          v.setUint32(VifConnect.features, asks.features, true);
          v.setUint32(VifConnect.SIZE + VifConnectQueue.tx_ref, asks.refs[0]!, true);
          v.setUint32(VifConnect.SIZE + VifConnectQueue.rx_ref, asks.refs[1]!, true);
          v.setUint32(VifConnect.SIZE + VifConnectQueue.tx_port, asks.port, true);
          v.setUint32(VifConnect.SIZE + VifConnectQueue.rx_port, asks.port, true);
        });
        if (status === -16 && this.io.starts > starts) status = 0; // it was done by the one that was killed
        peer.xenbus!.answer = status;
      }
      peer.xenbus!.asks = null;
    }
  }

  private kill(): void {
    if (this.killed >= KILLS_MAX) return;
    this.killed++;
    if (this.random.below(4) !== 0) {
      this.io.killAfter = this.random.below(this.random.oneIn(2) ? KILL_USES : 200);
      return;
    }
    this.shutDown();
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
        const found = this.scene.wire.notFor(peer.id, Buffer.from(peer.kit.bytes(gfn)));
        if (found.length > 0)
          throw new Violation(`domain ${peer.id} has others' frames in its memory: ${found.join(", ")}`);
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

  private step(times: number): void {
    for (let n = 0; n < times; n++) {
      const { starts } = this.io;
      this.machine.step();
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

  private until(done: () => boolean, what: string): void {
    for (let turns = 0; !done(); turns += 10) {
      if (turns > REST_TURNS) throw new Violation(`${what} is not reached: ${this.states()}`);
      this.step(10);
      this.serveXenbus();
    }
  }

  /** What must be as it was when there was no guest: the I/O domain's ports, mapped grants, granted pages. */
  private left(): { ports: number; mapped: number; granted: number } {
    let granted = 0;
    const space = this.machine.space(2);
    for (let address = IO_GRANT_TABLE; address < IO_GRANT_TABLE_END; address += PAGE) {
      const entry = space.get(address / PAGE);
      if (entry === undefined) continue;
      const frame = this.machine.ram.frame(entry.mfn);
      const view = new DataView(frame.buffer, frame.byteOffset, PAGE);
      for (let at = 0; at < PAGE; at += GrantEntryV1.SIZE) if (view.getUint16(at, true) !== 0) granted++;
    }
    return { ports: this.control.ports(), mapped: this.io.grantsMapped, granted };
  }

  /** Frames of the machine that are free, or the I/O domain's, when that has just been restarted. */
  private frames(): number {
    this.control.close();
    this.shutDown();
    const { starts } = this.io;
    this.machine.runUntil(() => this.io.starts > starts, "the restart of the I/O domain");
    this.control.refresh();
    this.machine.step(20);
    return freeFrames(this.dom0) + this.io.ownPages;
  }

  run(): Record<string, number> {
    const { random } = this;
    this.control.refresh();
    this.bridge();
    // What is allocated once, and stays.
    for (let n = 0; n < 2; n++) this.create(true);
    this.until(
      () => this.peers.every((peer) => peer.kit !== null && this.scene.counts["received"]! > 0),
      "the first frame",
    );
    for (const peer of [...this.peers]) this.destroy(peer);
    this.sweep();
    const before = this.left();
    const framesBefore = this.frames();
    for (let n = 0; n < 3; n++) this.create();
    const { tamper } = this;
    this.io.onShared = tamper;
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
          if (random.oneIn(3)) this.kill();
          break;
      }
      this.step(1 + random.below(STEPS));
      this.serveXenbus();
      if (round % 10 === 0) this.audit();
    }
    this.io.killAfter = -1;
    for (const peer of this.peers) peer.quiet = true;
    this.until(() => this.peers.every((peer) => !peer.good || peer.idle), "rest of the good guests");
    this.io.onShared = () => {};
    for (const peer of this.peers.filter((p) => !p.good)) this.destroy(peer);
    this.probe();
    this.audit();
    for (const peer of [...this.peers]) this.destroy(peer);
    this.sweep();
    const after = this.left();
    for (const what of ["ports", "mapped", "granted"] as const) {
      if (after[what] !== before[what])
        throw new Violation(`the I/O domain has ${after[what]} ${what}, had ${before[what]}`);
    }
    for (const id of this.scene.wire.known.keys()) {
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
    const good = this.peers.filter((p) => p.good);
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
