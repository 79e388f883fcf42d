/**
 * One simulated run: everything in it is drawn from one seed. Good and hostile guests run under the scheduler while
 * domain 0 creates, pauses, maps and destroys; the hypervisor audits itself as it goes; in the end every domain is
 * destroyed and the frames are counted.
 */
import { XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm, XEN_X86_EMU_LAPIC } from "../../abi/domctl.ts";
import { ENOMEM } from "../../abi/errno.ts";
import { Sysctl, SysctlPhysinfo, XEN_SYSCTL_INTERFACE_VERSION, XEN_SYSCTL_physinfo } from "../../abi/sysctl.ts";
import { DOM0_SCRATCH } from "../../abi/domain0-layout.ts";
import {
  __HYPERVISOR_domctl,
  __HYPERVISOR_memory_op,
  __HYPERVISOR_sysctl,
  __HYPERVISOR_vcpu_op,
} from "../../abi/xen.ts";
import { VCPUOP_up } from "../../abi/vcpu.ts";
import { expect, hypercall } from "./call.ts";
import { checkEvents, closeChannelsOf, WAKE_NS } from "./channels.ts";
import { BuildFailure, Dom0 } from "./dom0.ts";
import { Domain0Clock } from "./domain0-clock.ts";
import { DATA_PAGES, FIRST_DATA_GFN, goodGuest } from "./good-guest.ts";
import { Hog } from "./hog.ts";
import { hostileGuest } from "./hostile-guest.ts";
import { Machine } from "./machine.ts";
import { DevicePages } from "./noxs.ts";
import { peer, type Peer, type Scene } from "./peer.ts";
import { PAGE } from "./ram.ts";
import { Random } from "./random.ts";
import { type GuestProgram, Violation } from "./svm-cpu.ts";
import { World } from "./world.ts";

/**
 * What sort of machine: `tight` is always nearly full, a hypercall that needs memory may find none; `busy` has dozens of
 * guests with many vCPUs, most of which only spin.
 */
export type Mode = "plain" | "tight" | "busy";

export interface SimulationOptions {
  mode?: Mode;
  /** Rounds: each is one action of domain 0 and a few turns of the hypervisor. */
  rounds?: number;
  /** Rounds between audits. */
  auditEvery?: number;
  onOutput?: (text: string) => void;
}

const GUEST_PAGES = 32;
interface Shape {
  memoryMib: number;
  /** Guests before the first round, and at most. */
  firstGuests: number;
  maxGuests: number;
  /** One in so many guests does something, the others only spin; 0: none spins. */
  spinning: number;
}
const SHAPES: Record<Mode, Shape> = {
  plain: { memoryMib: 8, firstGuests: 3, maxGuests: 4, spinning: 0 },
  tight: { memoryMib: 8, firstGuests: 3, maxGuests: 6, spinning: 0 },
  busy: { memoryMib: 32, firstGuests: 24, maxGuests: 40, spinning: 5 },
};
/** Frames that the self-check takes for a while. */
const AUDIT_FRAMES = 80;
/** Most vCPUs of a guest that spins. */
const SPINNING_VCPUS = 16;
/** Most turns of the hypervisor in a round. */
const STEPS = 18;
/** Time of a guest's entry, ns: long, so that slices end and timers run out within a few rounds. */
const ENTRY_NS = 100_000;

/** Spins on every vCPU: the one that the builder left up starts the others. */
function spinner(vcpus: number): GuestProgram {
  let first = true;
  return function* (cpu) {
    const starting = first ? vcpus : 0;
    first = false;
    for (let vcpu = 0; vcpu < starting; vcpu++) {
      expect(yield* hypercall(cpu, __HYPERVISOR_vcpu_op, VCPUOP_up, vcpu, 0), 0, "VCPUOP_up");
    }
    for (;;) yield { kind: "spin", ns: 1_000_000_000 };
  };
}

/** Free frames, as domain 0 learns them. */
export function freeFrames(dom0: Dom0): number {
  const { result, view } = dom0.structured(__HYPERVISOR_sysctl, null, Sysctl.SIZE, (v) => {
    v.setUint32(Sysctl.cmd, XEN_SYSCTL_physinfo, true);
    v.setUint32(Sysctl.interface_version, XEN_SYSCTL_INTERFACE_VERSION, true);
  });
  if (result !== 0) throw new Violation(`XEN_SYSCTL_physinfo returned ${result}`);
  return Number(view.getBigUint64(Sysctl.u + SysctlPhysinfo.free_pages, true));
}

/**
 * Runs one seed.
 * @throws Violation, Panic or a RangeError of the simulated hardware: the run broke an invariant
 */
export function simulate(module: WebAssembly.Module, seed: number, options: SimulationOptions = {}): void {
  const random = new Random(seed);
  const mode = options.mode ?? "plain";
  const shape = SHAPES[mode];
  const tight = mode === "tight";
  const machine = new Machine(module, { memory: shape.memoryMib, onOutput: options.onOutput });
  machine.svm.entryNs = ENTRY_NS;
  const dom0 = new Dom0(machine);
  const scene: Scene = { world: new World(), random, peers: [], tight };
  const foreign: { peer: Peer; gfn: number; address: number }[] = [];
  const devices = new DevicePages(dom0, random, tight);
  machine.step(4);
  for (let page = 0; page < 4; page++) dom0.page(DOM0_SCRATCH + page * PAGE, true); // its RAM comes on first touch
  const audit = (): void => {
    const broken = machine.exports.audit();
    if (broken !== 0) throw new Violation(`the self-check found ${broken} violations\n${machine.output.slice(-1500)}`);
  };
  const unmapAll = (of: Peer | null): void => {
    for (let i = foreign.length - 1; i >= 0; i--) {
      if (of && foreign[i]!.peer !== of) continue;
      const result = dom0.unmapForeign(foreign[i]!.address);
      if (result !== 0) throw new Violation(`unmapping a foreign frame returned ${result}`);
      foreign.splice(i, 1);
    }
  };
  const destroy = (victim: Peer): void => {
    scene.peers.splice(scene.peers.indexOf(victim), 1);
    closeChannelsOf(scene, victim);
    const id = victim.id;
    if (random.oneIn(2)) unmapAll(victim);
    for (let tries = 0; ; tries++) {
      const result = dom0.destroy(id);
      if (result === 0) break;
      if (tries > 1000) throw new Violation(`destroying domain ${id} never ends: ${result}`);
    }
    unmapAll(victim);
    scene.world.gone(id);
    devices.gone(id);
  };
  const create = (): void => {
    const spins = shape.spinning > 0 && random.below(shape.spinning) !== 0;
    const next = peer(!spins && random.below(3) !== 0);
    const vcpus = spins ? 1 + random.below(SPINNING_VCPUS) : random.oneIn(3) ? 2 : 1;
    const program = spins ? spinner(vcpus) : next.good ? goodGuest(scene, next) : hostileGuest(scene);
    const pvhv1 = random.oneIn(4);
    dom0.flags = pvhv1 ? XEN_DOMCTL_CDF_hap : XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;
    dom0.emulation = pvhv1 ? 0 : XEN_X86_EMU_LAPIC;
    try {
      next.id = spins ? dom0.buildWithVcpus(program, GUEST_PAGES, vcpus) : dom0.build(program, GUEST_PAGES, vcpus);
    } catch (error) {
      const refused = tight && error instanceof BuildFailure;
      if (refused && (error.result === -ENOMEM || (error.result >= 0 && error.result < GUEST_PAGES))) return;
      throw error;
    }
    for (let i = 0; i < DATA_PAGES; i++) scene.world.fresh(next.id, FIRST_DATA_GFN + i);
    scene.peers.push(next);
    devices.built(next.id, pvhv1, scene.peers);
    const result = dom0.unpause(next.id);
    if (result !== 0) throw new Violation(`unpausing a new domain returned ${result}`);
  };
  const hostileToolstack = (): void => {
    const op = random.pick([__HYPERVISOR_domctl, __HYPERVISOR_sysctl, __HYPERVISOR_memory_op]);
    const before = freeFrames(dom0);
    const bad = random.pick([0x7ff0, 0x7ff4, 5000, 32767]);
    if (op === __HYPERVISOR_memory_op) {
      if (dom0.populate(bad === 0x7ff0 ? 0x7ff4 : bad, [random.u32()]) > 0)
        throw new Violation("populated a domain that does not exist");
    } else if (op === __HYPERVISOR_domctl) {
      const command = random.pick([2, 3, 4, 5, 11, 14, 15, 33, 34]);
      const { result } = dom0.domctl(command, bad === 0x7ff0 ? 0x7ff4 : bad);
      if (result >= 0) throw new Violation(`domctl ${command} of a domain that does not exist returned ${result}`);
    } else {
      // Beyond 4 GiB: an address in its own RAM would be given a frame on first touch, as it should.
      dom0.hypercall(op, random.hostile64() | (1n << 40n));
    }
    if (freeFrames(dom0) !== before)
      throw new Violation("a refused hypercall of domain 0 changed the number of free frames");
  };

  devices.begin();
  create();
  for (const p of [...scene.peers]) destroy(p);
  unmapAll(null);
  audit();
  const baseline = freeFrames(dom0);

  const hog = tight ? new Hog(dom0, random) : null;
  const clock = mode === "plain" ? null : new Domain0Clock(machine, dom0, random);
  for (let i = 0; i < shape.firstGuests; i++) create();
  const rounds = options.rounds ?? 60;
  for (let round = 0; round < rounds; round++) {
    const victim = scene.peers.length > 0 ? random.pick(scene.peers) : null;
    switch (random.below(13)) {
      case 0:
      case 1:
        if (scene.peers.length < shape.maxGuests) create();
        break;
      case 2:
        if (victim && random.oneIn(2)) destroy(victim);
        break;
      case 3:
        if (victim) {
          dom0.pause(victim.id);
          machine.step(random.below(4));
          dom0.unpause(victim.id);
          victim.dueSince = null; // time has passed for the others alone
        }
        break;
      case 4:
        if (victim && foreign.length < 16) {
          const gfn = random.below(GUEST_PAGES);
          const address = dom0.mapForeign(victim.id, gfn);
          if (address > 0) foreign.push({ peer: victim, gfn, address });
        }
        break;
      case 5:
        if (foreign.length > 0 && random.oneIn(2)) unmapAll(random.pick(foreign).peer);
        break;
      case 6:
        hostileToolstack();
        break;
      case 7:
        devices.turn(scene.peers);
        break;
    }
    hog?.turn();
    clock?.outside();
    machine.step(1 + random.below(STEPS));
    for (const p of scene.peers) if (p.good) checkEvents(p, machine.now, WAKE_NS * Math.max(1, scene.peers.length / 4));
    if (round % (options.auditEvery ?? 15) === 0) {
      hog?.leave(AUDIT_FRAMES);
      audit();
      devices.checkAll(scene.peers);
    }
  }
  clock?.stop();
  for (const p of [...scene.peers]) destroy(p);
  hog?.destroy();
  unmapAll(null);
  machine.step(2);
  audit();
  const left = freeFrames(dom0);
  if (left !== baseline) throw new Violation(`${baseline - left} frames were lost`);
}
