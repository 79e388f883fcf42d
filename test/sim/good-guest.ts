/**
 * The simulation's good guest. It uses its memory, grants and event channels correctly and checks, through the World and
 * what stands between it and its peers, that everything holds for it, whatever the hostile ones do.
 */
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
  MemoryReservation,
  XENMAPSPACE_grant_table,
  XENMAPSPACE_shared_info,
  XENMEM_decrease_reservation,
  XENMEM_populate_physmap,
} from "../../abi/memory.ts";
import { SCHEDOP_yield } from "../../abi/sched.ts";
import {
  __HYPERVISOR_grant_table_op,
  __HYPERVISOR_memory_op,
  __HYPERVISOR_sched_op,
  DOMID_SELF,
} from "../../abi/xen.ts";
import {
  addToPhysmap,
  ARGUMENT_GFN,
  expect,
  GRANT_TABLE_GFN,
  hypercall,
  load,
  SHARED_INFO_GFN,
  store,
  structured,
  type Steps,
} from "./call.ts";
import { channelActions } from "./channels.ts";
import { expectUnlessTight, type Peer, type Scene } from "./peer.ts";
import { PAGE } from "./ram.ts";
import { type GuestCpu, type GuestProgram, type GuestRequest, Violation } from "./svm-cpu.ts";
import type { Grant } from "./world.ts";

/** Guest frames with data that the World knows: every one is read first of all. */
export const FIRST_DATA_GFN = 10;
export const DATA_PAGES = 12;
const MAP_GFN = 64;
const MAP_SLOTS = 6;
const ALL_ONES = 0xffffffffffffffffn;

/** A guest that behaves, and checks that the others' misbehaviour never reaches it. */
export function goodGuest(scene: Scene, me: Peer): GuestProgram {
  const { world, random } = scene;
  const mappings: { slot: number; handle: number; granter: number; ref: number; standing: Grant; readonly: boolean }[] =
    [];
  const absent = new Set<number>();

  const others = (): Peer[] => scene.peers.filter((p) => p !== me && p.good);
  const dataGfn = (): number => FIRST_DATA_GFN + random.below(DATA_PAGES);
  const entry = (ref: number): number => GRANT_TABLE_GFN * PAGE + ref * GrantEntryV1.SIZE;

  /** Flags of another domain's grant entry as that domain sees them; null when it is gone. */
  const flagsOf = (granter: number, ref: number): number | null => {
    const owner = scene.peers.find((p) => p.id === granter);
    return owner?.cpu ? owner.cpu.look(entry(ref), 8).getUint16(0, true) : null;
  };

  function* writeOwn(): Steps<void> {
    const gfn = dataGfn();
    const value = random.u64();
    yield* store(gfn, value, () => world.wrote(me.id, gfn, value));
  }

  function* readOwn(gfn: number): Steps<void> {
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
    const flags = cpu.look(entry(ref), 8).getUint16(0, true);
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
        if (!scene.tight) throw new Violation(`mapping standing grant ${key}: status ${status}`);
      return;
    }
    // Until it was mapped its owner may have granted another frame there; from then on it stands, or its owner is gone.
    const mapped = world.grants.get(key) ?? standing;
    if (!world.grants.has(key) && scene.peers.some((p) => p.id === granter))
      throw new Violation(`grant ${key} was revoked while it was mapped`);
    mapped.mapped++;
    const handle = view.getUint32(GnttabMapGrantRef.handle, true);
    const marks = readonly ? GTF_reading : GTF_reading | GTF_writing;
    const seen = flagsOf(granter, ref);
    if (seen !== null && (seen & marks) !== marks) throw new Violation(`grant ${key} is mapped but not marked in use`);
    mappings.push({ slot, handle, granter, ref, standing: mapped, readonly });
  }

  function* useMapping(): Steps<void> {
    if (mappings.length === 0) return;
    const m = random.pick(mappings);
    if (!m.readonly && random.oneIn(2)) {
      const value = random.u64();
      yield* store(MAP_GFN + m.slot, value, () => world.wrote(m.granter, m.standing.gfn, value));
    } else {
      const value = yield* load(MAP_GFN + m.slot);
      world.read(m.granter, m.standing.gfn, value, `domain ${me.id} through a grant`);
    }
  }

  function* unmap(cpu: GuestCpu): Steps<void> {
    if (mappings.length === 0) return;
    const m = mappings.splice(random.below(mappings.length), 1)[0]!;
    m.standing.mapped--; // now: its owner may run before this guest does again
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
    const stands = world.grants.get(`${m.granter}:${m.ref}`) === m.standing;
    if (stands && m.standing.mapped === 0 && (flagsOf(m.granter, m.ref) ?? 0) & (GTF_reading | GTF_writing)) {
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
    if (view.getInt16(GnttabCopy.status, true) !== 0) world.settled(me.id, gfn, null);
    else world.settled(me.id, gfn, yield* load(gfn));
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

  function* readAll(): Steps<void> {
    for (let gfn = FIRST_DATA_GFN; gfn < FIRST_DATA_GFN + DATA_PAGES; gfn++) yield* readOwn(gfn);
  }

  const memory = [writeOwn, writeOwn, readAll, balloon];
  const grants = [grant, grant, revoke, map, map, useMapping, useMapping, unmap, copy];
  const channels = channelActions(scene, me);
  const actions = [...memory, ...grants, ...channels.actions];

  return function* (cpu: GuestCpu): Generator<GuestRequest, void, bigint> {
    // A guest whose start needs memory that there is not stays where it is: the others may still use what is its.
    const started =
      expectUnlessTight(scene, yield* addToPhysmap(cpu, XENMAPSPACE_shared_info, SHARED_INFO_GFN), "shared_info") &&
      expectUnlessTight(scene, yield* addToPhysmap(cpu, XENMAPSPACE_grant_table, GRANT_TABLE_GFN), "the grant table") &&
      (yield* channels.start(cpu));
    while (!started) yield* hypercall(cpu, __HYPERVISOR_sched_op, SCHEDOP_yield, 0);
    yield* readAll();
    for (;;) {
      yield* random.pick(actions)(cpu);
      if (random.oneIn(12)) yield* hypercall(cpu, __HYPERVISOR_sched_op, SCHEDOP_yield, 0);
    }
  };
}
