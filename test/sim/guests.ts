/**
 * The simulation's guests. A good guest uses its memory, grants and event channels correctly and checks, through the
 * World, that everything holds for it; a hostile guest does anything at all. Only the hostile one may come to harm.
 */
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_bind_virq,
  EVTCHNOP_close,
  EVTCHNOP_send,
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnBindVirq,
} from "../../abi/event-channel.ts";
import {
  GNTMAP_host_map,
  GNTMAP_readonly,
  GNTTABOP_copy,
  GNTTABOP_map_grant_ref,
  GNTTABOP_unmap_grant_ref,
  GNTCOPY_source_gref,
  GnttabCopy,
  GnttabMapGrantRef,
  GnttabUnmapGrantRef,
  GrantEntryV1,
  GTF_permit_access,
  GTF_readonly,
  GTF_reading,
  GTF_writing,
} from "../../abi/grant-table.ts";
import {
  AddToPhysmap,
  MemoryReservation,
  XENMAPSPACE_grant_table,
  XENMAPSPACE_shared_info,
  XENMEM_add_to_physmap,
  XENMEM_decrease_reservation,
  XENMEM_populate_physmap,
} from "../../abi/memory.ts";
import { SCHEDOP_block, SCHEDOP_yield } from "../../abi/sched.ts";
import { VCPUOP_set_singleshot_timer, VcpuSetSingleshotTimer } from "../../abi/vcpu.ts";
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_grant_table_op,
  __HYPERVISOR_memory_op,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_vcpu_op,
  DOMID_SELF,
  SharedInfo,
} from "../../abi/xen.ts";
import { ARGUMENT_GFN, hypercall, load, store, structured, type Steps } from "./call.ts";
import { PAGE } from "./ram.ts";
import type { Random } from "./random.ts";
import { type GuestCpu, type GuestProgram, type GuestRequest, Violation } from "./svm-cpu.ts";
import type { World } from "./world.ts";

export const SHARED_INFO_GFN = 40;
const GRANT_TABLE_GFN = 41;
const FIRST_DATA_GFN = 10;
const DATA_PAGES = 12;
const MAP_GFN = 64;
const MAP_SLOTS = 6;
const ALL_ONES = 0xffffffffffffffffn;

/** A domain as the simulation knows it. */
export interface Peer {
  id: number;
  good: boolean;
  /** Ports it has allocated for others: port -> domain it is for. */
  offered: Map<number, number>;
  /** Interdomain ports: own port -> peer and its port. */
  bound: Map<number, { peer: Peer; port: number }>;
  /** Times this guest has cleared its pending bits. */
  cleared: number;
  cpu: GuestCpu | null;
}

export interface Scene {
  world: World;
  random: Random;
  peers: Peer[];
}

export function peer(good: boolean): Peer {
  return { id: -1, good, offered: new Map(), bound: new Map(), cleared: 0, cpu: null };
}

export function* addToPhysmap(cpu: GuestCpu, space: number, gfn: number): Steps<number> {
  const { result } = yield* structured(cpu, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, AddToPhysmap.SIZE, (v) => {
    v.setUint16(AddToPhysmap.domid, DOMID_SELF, true);
    v.setUint32(AddToPhysmap.space, space, true);
    v.setBigUint64(AddToPhysmap.gpfn, BigInt(gfn), true);
  });
  return result;
}

function expect(result: number, wanted: number, what: string): void {
  if (result !== wanted) throw new Violation(`${what} returned ${result}, expected ${wanted}`);
}

/** A guest that behaves, and checks that the others' misbehaviour never reaches it. */
export function goodGuest(scene: Scene, me: Peer): GuestProgram {
  const { world, random } = scene;
  const mappings: { slot: number; handle: number; granter: number; ref: number; gfn: number; readonly: boolean }[] = [];
  const absent = new Set<number>();

  const others = (): Peer[] => scene.peers.filter((p) => p !== me && p.good && p.id >= 0);
  const dataGfn = (): number => FIRST_DATA_GFN + random.below(DATA_PAGES);
  const entry = (ref: number): number => GRANT_TABLE_GFN * PAGE + ref * GrantEntryV1.SIZE;

  /** Flags of another domain's grant entry as that domain sees them; null when it is gone. */
  const flagsOf = (granter: number, ref: number): number | null => {
    const owner = scene.peers.find((p) => p.id === granter);
    return owner?.cpu ? owner.cpu.view(entry(ref), 8).getUint16(0, true) : null;
  };

  function* writeOwn(): Steps<void> {
    const gfn = dataGfn();
    const value = random.u64();
    if (!absent.has(gfn)) world.wrote(me.id, gfn, value);
    yield* store(gfn, value);
  }

  function* readOwn(): Steps<void> {
    const gfn = dataGfn();
    const before = absent.has(gfn);
    const value = yield* load(gfn);
    if (before) expect(Number(value === ALL_ONES), 1, `reading absent gfn ${gfn} as all ones`);
    else world.read(me.id, gfn, value, `domain ${me.id}`);
  }

  function* grant(cpu: GuestCpu): Steps<void> {
    const to = others();
    if (to.length === 0) return;
    const ref = 8 + random.below(16);
    const key = `${me.id}:${ref}`;
    const gfn = dataGfn();
    if (world.grants.has(key) || absent.has(gfn)) return;
    const readonly = random.oneIn(2);
    const target = random.pick(to).id;
    const bytes = new DataView(new ArrayBuffer(8));
    bytes.setUint16(GrantEntryV1.flags, GTF_permit_access | (readonly ? GTF_readonly : 0), true);
    bytes.setUint16(GrantEntryV1.domid, target, true);
    bytes.setUint32(GrantEntryV1.frame, gfn, true);
    cpu.poke(entry(ref), new Uint8Array(bytes.buffer));
    world.grants.set(key, { to: target, gfn, readonly, mapped: 0 });
  }

  function* revoke(cpu: GuestCpu): Steps<void> {
    const mine = [...world.grants.entries()].filter(([key]) => key.startsWith(`${me.id}:`));
    if (mine.length === 0) return;
    const [key, standing] = random.pick(mine);
    const ref = Number(key.split(":")[1]);
    const flags = cpu.view(entry(ref), 8).getUint16(0, true);
    if (flags & (GTF_reading | GTF_writing)) return;
    if (standing.mapped > 0) throw new Violation(`grant ${key} is mapped but not marked in use`);
    cpu.poke(entry(ref), new Uint8Array(8));
    world.grants.delete(key);
  }

  function* map(cpu: GuestCpu): Steps<void> {
    const open = [...world.grants.entries()].filter(([, g]) => g.to === me.id);
    const free = Array.from({ length: MAP_SLOTS }, (_, i) => i).filter((i) => !mappings.some((m) => m.slot === i));
    if (open.length === 0 || free.length === 0) return;
    const [key, standing] = random.pick(open);
    const [granter, ref] = key.split(":").map(Number) as [number, number];
    const slot = random.pick(free);
    const readonly = standing.readonly || random.oneIn(3);
    const { result, view } = yield* structured(
      cpu,
      __HYPERVISOR_grant_table_op,
      GNTTABOP_map_grant_ref,
      GnttabMapGrantRef.SIZE,
      (v) => {
        v.setBigUint64(GnttabMapGrantRef.host_addr, BigInt((MAP_GFN + slot) * PAGE), true);
        v.setUint32(GnttabMapGrantRef.flags, GNTMAP_host_map | (readonly ? GNTMAP_readonly : 0), true);
        v.setUint32(GnttabMapGrantRef.ref, ref, true);
        v.setUint16(GnttabMapGrantRef.dom, granter, true);
      },
      1,
    );
    expect(result, 0, "GNTTABOP_map_grant_ref");
    const status = view.getInt16(GnttabMapGrantRef.status, true);
    if (status !== 0) {
      const alive = scene.peers.some((p) => p.id === granter);
      if (alive && world.grants.get(key) === standing)
        throw new Violation(`mapping standing grant ${key}: status ${status}`);
      return;
    }
    standing.mapped++;
    const handle = view.getUint32(GnttabMapGrantRef.handle, true);
    const marks = readonly ? GTF_reading : GTF_reading | GTF_writing;
    const seen = flagsOf(granter, ref);
    if (seen !== null && (seen & marks) !== marks) throw new Violation(`grant ${key} is mapped but not marked in use`);
    mappings.push({ slot, handle, granter, ref, gfn: standing.gfn, readonly });
  }

  function* useMapping(): Steps<void> {
    if (mappings.length === 0) return;
    const m = random.pick(mappings);
    if (!m.readonly && random.oneIn(2)) {
      const value = random.u64();
      world.wrote(m.granter, m.gfn, value);
      yield* store(MAP_GFN + m.slot, value);
    } else {
      const value = yield* load(MAP_GFN + m.slot);
      world.read(m.granter, m.gfn, value, `domain ${me.id} through a grant`);
    }
  }

  function* unmap(cpu: GuestCpu): Steps<void> {
    if (mappings.length === 0) return;
    const m = mappings.splice(random.below(mappings.length), 1)[0]!;
    const { result, view } = yield* structured(
      cpu,
      __HYPERVISOR_grant_table_op,
      GNTTABOP_unmap_grant_ref,
      GnttabUnmapGrantRef.SIZE,
      (v) => {
        v.setBigUint64(GnttabUnmapGrantRef.host_addr, BigInt((MAP_GFN + m.slot) * PAGE), true);
        v.setUint32(GnttabUnmapGrantRef.handle, m.handle, true);
      },
      1,
    );
    expect(result, 0, "GNTTABOP_unmap_grant_ref");
    expect(view.getInt16(GnttabUnmapGrantRef.status, true), 0, "status of GNTTABOP_unmap_grant_ref");
    const standing = world.grants.get(`${m.granter}:${m.ref}`);
    if (standing && --standing.mapped === 0 && (flagsOf(m.granter, m.ref) ?? 0) & (GTF_reading | GTF_writing)) {
      throw new Violation(`grant ${m.granter}:${m.ref} is marked in use after its last unmapping`);
    }
    expect(Number((yield* load(MAP_GFN + m.slot)) === ALL_ONES), 1, "an unmapped grant is absent");
  }

  function* copy(cpu: GuestCpu): Steps<void> {
    const open = [...world.grants.entries()].filter(([, g]) => g.to === me.id);
    const gfn = dataGfn();
    if (open.length === 0 || absent.has(gfn)) return;
    const [key] = random.pick(open);
    const [granter, ref] = key.split(":").map(Number) as [number, number];
    world.taint(me.id, gfn);
    const { result, view } = yield* structured(
      cpu,
      __HYPERVISOR_grant_table_op,
      GNTTABOP_copy,
      GnttabCopy.SIZE,
      (v) => {
        v.setUint32(GnttabCopy.source_u_ref, ref, true);
        v.setUint16(GnttabCopy.source_domid, granter, true);
        v.setBigUint64(GnttabCopy.dest_u_gmfn, BigInt(gfn), true);
        v.setUint16(GnttabCopy.dest_domid, DOMID_SELF, true);
        v.setUint16(GnttabCopy.len, 8, true);
        v.setUint16(GnttabCopy.flags, GNTCOPY_source_gref, true);
      },
      1,
    );
    expect(result, 0, "GNTTABOP_copy");
    if (view.getInt16(GnttabCopy.status, true) !== 0) return;
    const value = yield* load(gfn);
    world.wrote(me.id, gfn, value);
  }

  function* balloon(cpu: GuestCpu): Steps<void> {
    const gfn = dataGfn();
    const granted = [...world.grants.entries()].some(([key, g]) => key.startsWith(`${me.id}:`) && g.gfn === gfn);
    if (granted) return; // its frame may be mapped elsewhere
    const op = absent.has(gfn) ? XENMEM_populate_physmap : XENMEM_decrease_reservation;
    const list = ARGUMENT_GFN * PAGE + 0x800;
    const bytes = new DataView(new ArrayBuffer(8));
    bytes.setBigUint64(0, BigInt(gfn), true);
    cpu.poke(list, new Uint8Array(bytes.buffer));
    const { result } = yield* structured(cpu, __HYPERVISOR_memory_op, op, MemoryReservation.SIZE, (v) => {
      v.setBigUint64(MemoryReservation.extent_start, BigInt(list), true);
      v.setBigUint64(MemoryReservation.nr_extents, 1n, true);
      v.setUint16(MemoryReservation.domid, DOMID_SELF, true);
    });
    if (op === XENMEM_decrease_reservation) {
      expect(result, 1, "decrease_reservation of an own frame");
      absent.add(gfn);
      world.forget(me.id, gfn);
    } else if (result === 1) {
      absent.delete(gfn);
      world.fresh(me.id, gfn);
    }
  }

  function* openChannel(cpu: GuestCpu): Steps<void> {
    const to = others();
    if (to.length === 0 || me.offered.size > 6) return;
    const target = random.pick(to);
    const { result, view } = yield* structured(
      cpu,
      __HYPERVISOR_event_channel_op,
      EVTCHNOP_alloc_unbound,
      EvtchnAllocUnbound.SIZE,
      (v) => {
        v.setUint16(EvtchnAllocUnbound.dom, DOMID_SELF, true);
        v.setUint16(EvtchnAllocUnbound.remote_dom, target.id, true);
      },
    );
    if (result !== 0) return; // the target may be gone by now
    me.offered.set(view.getUint32(EvtchnAllocUnbound.port, true), target.id);
  }

  function* bindChannel(cpu: GuestCpu): Steps<void> {
    const offers = others().flatMap((p) =>
      [...p.offered].filter(([, to]) => to === me.id).map(([port]) => ({ p, port })),
    );
    if (offers.length === 0) return;
    const { p, port } = random.pick(offers);
    p.offered.delete(port);
    const { result, view } = yield* structured(
      cpu,
      __HYPERVISOR_event_channel_op,
      EVTCHNOP_bind_interdomain,
      EvtchnBindInterdomain.SIZE,
      (v) => {
        v.setUint16(EvtchnBindInterdomain.remote_dom, p.id, true);
        v.setUint32(EvtchnBindInterdomain.remote_port, port, true);
      },
    );
    if (p.id < 0 || !scene.peers.includes(p)) return;
    expect(result, 0, "EVTCHNOP_bind_interdomain to an offered port");
    const local = view.getUint32(EvtchnBindInterdomain.local_port, true);
    me.bound.set(local, { peer: p, port });
    p.bound.set(port, { peer: me, port: local });
  }

  function* send(cpu: GuestCpu): Steps<void> {
    const ports = [...me.bound.entries()];
    if (ports.length === 0) return;
    const [port, remote] = random.pick(ports);
    const cleared = remote.peer.cleared;
    const { result } = yield* structured(cpu, __HYPERVISOR_event_channel_op, EVTCHNOP_send, 4, (v) =>
      v.setUint32(0, port, true),
    );
    if (!me.bound.has(port)) return;
    expect(result, 0, "EVTCHNOP_send");
    if (remote.peer.cleared === cleared && remote.peer.cpu && scene.peers.includes(remote.peer)) {
      const shared = remote.peer.cpu.view(SHARED_INFO_GFN * PAGE, PAGE);
      const word = shared.getBigUint64(SharedInfo.evtchn_pending + (remote.port >> 6) * 8, true);
      if (!((word >> BigInt(remote.port & 63)) & 1n))
        throw new Violation(`event lost: port ${remote.port} of domain ${remote.peer.id}`);
    }
  }

  function* closeChannel(cpu: GuestCpu): Steps<void> {
    const ports = [...me.bound.entries()];
    if (ports.length === 0) return;
    const [port, remote] = random.pick(ports);
    me.bound.delete(port);
    remote.peer.bound.delete(remote.port);
    const { result } = yield* structured(cpu, __HYPERVISOR_event_channel_op, EVTCHNOP_close, 4, (v) =>
      v.setUint32(0, port, true),
    );
    expect(result, 0, "EVTCHNOP_close");
    // The peer's end is unbound now and still its to close; it stays open, as a forgetful guest would leave it.
  }

  function* drain(cpu: GuestCpu): Steps<void> {
    const shared = cpu.view(SHARED_INFO_GFN * PAGE, PAGE);
    for (let i = 0; i < 64; i++) shared.setBigUint64(SharedInfo.evtchn_pending + i * 8, 0n, true);
    shared.setUint8(0, 0);
    shared.setBigUint64(8, 0n, true);
    me.cleared++;
  }

  function* sleep(cpu: GuestCpu): Steps<void> {
    const wake = cpu.machine.now + 100_000 + random.below(2_000_000);
    const timer = new DataView(new ArrayBuffer(VcpuSetSingleshotTimer.SIZE));
    timer.setBigUint64(VcpuSetSingleshotTimer.timeout_abs_ns, BigInt(wake), true);
    cpu.poke(ARGUMENT_GFN * PAGE, new Uint8Array(timer.buffer));
    const set = yield* hypercall(cpu, __HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, ARGUMENT_GFN * PAGE);
    expect(set, 0, "VCPUOP_set_singleshot_timer");
    yield* hypercall(cpu, __HYPERVISOR_sched_op, SCHEDOP_block, 0);
  }

  const actions = [writeOwn, readOwn, readOwn, grant, revoke, map, useMapping, useMapping, unmap, copy, balloon];
  const more = [openChannel, bindChannel, send, send, closeChannel, drain, sleep];

  return function* (cpu: GuestCpu): Generator<GuestRequest, void, bigint> {
    me.cpu = cpu;
    expect(yield* addToPhysmap(cpu, XENMAPSPACE_shared_info, SHARED_INFO_GFN), 0, "mapping shared_info");
    expect(yield* addToPhysmap(cpu, XENMAPSPACE_grant_table, GRANT_TABLE_GFN), 0, "mapping the grant table");
    const { result } = yield* structured(
      cpu,
      __HYPERVISOR_event_channel_op,
      EVTCHNOP_bind_virq,
      EvtchnBindVirq.SIZE,
      () => {},
    );
    expect(result, 0, "binding VIRQ_TIMER");
    for (;;) {
      yield* random.pick([...actions, ...more])(cpu);
      if (random.oneIn(4)) yield* hypercall(cpu, __HYPERVISOR_sched_op, SCHEDOP_yield, 0);
    }
  };
}

/** A guest that tries everything, with arguments that are wrong in every way a random number can be. */
export function hostileGuest(scene: Scene, me: Peer): GuestProgram {
  const { random } = scene;
  const operations = [
    0, 1, 2, 4, 7, 12, 12, 13, 15, 17, 18, 20, 20, 20, 21, 24, 24, 26, 29, 32, 32, 32, 33, 34, 34, 35, 36, 36, 39, 41,
    55, 63,
  ];
  return function* (cpu: GuestCpu): Generator<GuestRequest, void, bigint> {
    me.cpu = cpu;
    yield* addToPhysmap(cpu, XENMAPSPACE_shared_info, SHARED_INFO_GFN);
    yield* addToPhysmap(cpu, XENMAPSPACE_grant_table, GRANT_TABLE_GFN);
    for (;;) {
      const noise = new Uint8Array(256);
      const words = new DataView(noise.buffer);
      for (let i = 0; i < noise.length; i += 8) words.setBigUint64(i, random.hostile64(), true);
      try {
        cpu.poke(ARGUMENT_GFN * PAGE, noise);
      } catch {
        return; // it has given away its own argument page: triple fault
      }
      const pointer = BigInt(ARGUMENT_GFN * PAGE + random.below(64) * 8);
      const argument = (): bigint => (random.oneIn(2) ? pointer : random.hostile64());
      switch (random.below(10)) {
        case 0:
          yield { kind: "exit", code: 0x72, rax: BigInt(random.u32()), rcx: BigInt(random.below(4)) }; // CPUID
          break;
        case 1:
          yield {
            kind: "exit",
            code: 0x7c,
            info1: BigInt(random.below(2)),
            rcx: BigInt(random.u32()),
            rax: BigInt(random.u32()),
            rdx: 0n,
          }; // MSR
          break;
        case 2:
          yield { kind: "access", gpa: random.below(1 << 20) * PAGE, write: random.oneIn(2), value: random.u64() };
          break;
        case 3:
          yield { kind: "spin", ns: random.below(30_000_000) };
          break;
        default: {
          const op = random.oneIn(8) ? random.hostile64() : BigInt(random.pick(operations));
          // A guest may always end itself: not interesting here, so SCHEDOP_shutdown and its kind are left out.
          const command = BigInt(random.below(28));
          if (op === 29n && (command === 2n || command === 5n || command === 6n)) break;
          yield* hypercall(
            cpu,
            op,
            random.oneIn(6) ? random.hostile64() : command,
            argument(),
            argument(),
            argument(),
            argument(),
          );
        }
      }
    }
  };
}
