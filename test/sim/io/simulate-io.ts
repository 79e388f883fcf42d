/**
 * One run of the I/O domain's module on the simulated machine, everything drawn from one seed: good and hostile guests use its back
 * ends while domain 0 creates and destroys them, and the domain is killed at any use of an import and restarted. In the end all
 * guests are destroyed, and what the I/O domain and the machine have is counted.
 */
import { EBUSY, EIO, EISCONN } from "../../../abi/errno.ts";
import { Domctl } from "../../../abi/domctl.ts";
import { GrantEntryV1 } from "../../../abi/grant-table.ts";
import { IO_DOMAIN, IO_GRANT_TABLE, IO_GRANT_TABLE_END } from "../../../abi/io/layout.ts";
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
import { Card } from "./card.ts";
import { Disk } from "./disk.ts";
import { goodBlockGuest } from "./block-good.ts";
import { hostileBlockGuest } from "./block-hostile.ts";
import type { IoPeer, IoScene } from "./guest.ts";
import { Hardware } from "./hardware.ts";
import { ModuleDomain } from "./module-domain.ts";
import { goodNetGuest } from "./net-good.ts";
import { hostileNetGuest } from "./net-hostile.ts";
import { must, Requests } from "./requests.ts";
import { HOSTS, Wire } from "./wire.ts";

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
/** The hypervisor restarts the domain five times within a minute: in a run, and to count frames before it and after it. */
const KILLS_MAX = 3;
/** Most turns of the hypervisor in a round, and of the time it takes to come to rest. */
const STEPS = 40;
const REST_TURNS = 30_000;
/** The same of the time in which the card works again. */
const CARD_TURNS = 500;
/** Time of a guest's entry, ns. */
const ENTRY_NS = 20_000;
/** Longest time in which a good guest is answered, ns of virtual time. */
const ANSWER_NS = 2_000_000_000;
/** Frames of each good guest that must arrive in the end. */
const PROBES = 4;
/** Short frames that one sender may have waiting for cards: half of what it leaves of 1,024 places. */
const BURST = 341;
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
  private readonly hardware = new Hardware();
  private readonly disk: Disk;
  /** The bridge's card, in most runs. */
  private readonly card: Card | null;
  private attached = false;
  private readonly machine: Machine;
  private readonly io: ModuleDomain;
  private readonly dom0: Dom0;
  private readonly control: IoControl;
  private readonly requests: Requests;
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
    this.disk = new Disk(this.random, this.hardware);
    const wire = new Wire(() => this.io.starts - 1);
    this.card = this.random.oneIn(4) ? null : new Card(this.random, this.hardware, wire);
    const { machine, io } = ModuleDomain.open(
      modules.hypervisor,
      modules.io,
      {
        memory: MEMORY_MIB,
        pci: this.hardware.bus,
        onOutput: options.onOutput,
      },
      modules.mutant ?? 0,
    );
    this.machine = machine;
    this.io = io;
    this.hardware.attach(io);
    machine.svm.entryNs = ENTRY_NS;
    this.dom0 = new Dom0(machine);
    this.control = new IoControl(this.dom0, () => this.tick());
    this.requests = new Requests(this.dom0, this.control);
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
    if (isNet) scene.wire.known.set(peer.id, { good, hasAddress, present: false });
    this.built.push(peer.id);
    this.requests.add({
      id: peer.id,
      device,
      xenbus: peer.xenbus !== null,
      hasAddress,
      writable,
      target: label === null ? `ram:${SECTORS * SECTOR}` : `part:${label}`,
    });
    if (isNet) scene.wire.known.get(peer.id)!.present = true;
    this.peers.push(peer);
    must(this.dom0.unpause(peer.id), 0, "unpausing");
  }

  /** The I/O domain looks for vifs that are gone for good when one is made. */
  private sweep(): void {
    for (let n = 0; n < 8; n++) this.removed(this.requests.addAndRemove(), "a vif of domain 0's");
    for (let n = 0; n < 20; n++) this.tick();
  }

  /** The request may have been carried out before the I/O domain was killed. */
  private removed(status: number, what: string): void {
    if (status !== 0 && this.killed === 0) throw new Violation(`removing ${what} returned ${status}`);
  }

  private removeDevice(peer: IoPeer): void {
    const known = this.scene.wire.known.get(peer.id);
    if (known !== undefined) known.present = false;
    this.removed(this.requests.remove(peer.id, peer.device), `the device of domain ${peer.id}`);
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
      const { requests } = this;
      let status =
        asks === "close" ? requests.disconnect(peer.id, peer.device) : requests.connect(peer.id, peer.device, asks);
      // It may have been done by the one that was killed before it answered.
      if ((status === -EBUSY || status === -EISCONN) && this.io.starts > starts) status = 0;
      peer.xenbus!.answer = status;
      peer.xenbus!.asks = null;
    }
  }

  /** Gives the bridge its card, or takes it away. */
  private attach(attached: boolean): void {
    const status = this.requests.uplink(attached);
    // As above; and a card that was given up does not start.
    const isDone = status === -EBUSY && this.killed > 0;
    if (status !== 0 && !isDone && !(status === -EIO && this.card!.givenUp)) {
      throw new Violation(`BRIDGE_UPLINK returned ${status}`);
    }
    this.attached = attached && status !== -EIO;
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

  /** The I/O domain is shut down and starts again. */
  private restart(): void {
    this.shutDown();
    const { starts } = this.io;
    this.until(() => this.io.starts > starts, "the restart of the I/O domain");
    this.control.refresh();
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
    must(result, 0, "remote_shutdown");
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

  /** One turn of the hypervisor, and what the devices do meanwhile. */
  private tick(): void {
    this.machine.step();
    this.disk.work(this.failing);
    this.card?.work();
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

  private until(done: () => boolean, what: string, state = (): string => this.states(), most = REST_TURNS): void {
    for (let turns = 0; !done(); turns += 10) {
      if (turns > most) throw new Violation(`${what} is not reached: ${state()}`);
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

  /** Frames of the machine that are free, or the I/O domain's or in its page tables, when that has just been restarted. */
  private frames(): number {
    this.control.close();
    this.restart();
    for (let n = 0; n < 200; n++) this.tick();
    return freeFrames(this.dom0) + this.io.ownPages + this.io.tables;
  }

  run(): Record<string, number> {
    const { random } = this;
    this.control.refresh();
    this.requests.bridge();
    if (this.card !== null) this.attach(true);
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
    this.card?.begin();
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
        case 5:
          if (this.card !== null && random.oneIn(8)) this.attach(!this.attached);
          break;
      }
      this.step(1 + random.below(STEPS));
      this.serveXenbus();
      if (round % 10 === 0) this.audit();
    }
    this.io.killAfter = this.io.killAfterStores = -1;
    if (this.card !== null) this.settleCard(this.card);
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
    if (lost !== 0) throw new Violation(`${lost} frames were lost`);
    this.audit();
    return { ...this.scene.counts, ...this.card?.counts, kills: this.io.starts - 3, turns: this.io.turns };
  }

  private readonly tamper = (): void => {
    if (!this.random.oneIn(TAMPER)) return;
    const hostile = this.peers.filter((p) => p.tamper !== null);
    if (hostile.length > 0) this.random.pick(hostile).tamper!();
  };

  /** The card works, and is the bridge's. */
  private settleCard(card: Card): void {
    card.settle();
    // One that was given up gets another chance when the I/O domain starts again, if it may.
    if (card.givenUp) {
      if (this.killed++ >= KILLS_MAX) return;
      this.restart();
    }
    if (!this.attached) this.attach(true);
    this.until(
      () => card.works,
      "a card that works",
      () => card.state,
      CARD_TURNS,
    );
  }

  /** Good guests send frames, so many each, and all that must arrive do; each one sends to the next one, or to a host on the wire. */
  private probe(): void {
    const good = this.peers.filter((p) => p.good && p.device === "net");
    const { wire } = this.scene;
    const drops = (): string => `${this.states()} ${this.requests.drops()}`;
    const send = (senders: IoPeer[], count: number, to: (i: number) => number): void => {
      senders.forEach((peer, i) => {
        peer.probe = { to: to(i), count, numbers: [] };
        peer.idle = false;
      });
      this.until(() => senders.every((peer) => peer.idle), "the sending of frames");
    };
    const arrived = (peer: IoPeer): number =>
      peer.probe!.numbers.filter((number) => wire.hasArrived(number, peer.probe!.to)).length;
    if (good.length > 1) {
      send(good, PROBES, (i) => good[(i + 1) % good.length]!.id);
      this.until(() => good.every((peer) => arrived(peer) === PROBES), "the arrival of good guests' frames", drops);
    }
    const { card } = this;
    if (card === null || card.givenUp || good.length === 0) return;
    send(good, PROBES, (i) => HOSTS[i % HOSTS.length]!);
    this.until(
      () => good.every((peer) => arrived(peer) === PROBES),
      "the sending of good guests' frames to the wire",
      drops,
    );
    const brought = good.map(({ id }, i) => [card.bring(HOSTS[i % HOSTS.length]!, id), id] as const);
    this.until(() => brought.every(([number, id]) => wire.hasArrived(number, id)), "frames from the wire", drops);
    // As many wait for a card that does not send as one sender may have there: none that was sent or lost before is still counted.
    card.held = true;
    const one = good.slice(0, 1);
    send(one, 8, () => HOSTS[0]!);
    card.fail();
    card.held = false;
    this.until(
      () => card.works && card.isIdle,
      "a card with nothing to send",
      () => card.state,
      CARD_TURNS,
    );
    card.held = true;
    send(one, BURST + 20, () => HOSTS[0]!);
    card.held = false;
    this.until(() => card.isIdle && arrived(one[0]!) >= BURST, "frames that wait for the card", drops);
    for (let n = 0; n < 20; n++) this.tick();
    if (arrived(one[0]!) > BURST) throw new Violation(`${arrived(one[0]!)} frames waited for the card`);
  }
}
