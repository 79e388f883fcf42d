/**
 * The hypervisor's side of the I/O domain in Node: the imports of drivers/host/host.ts over a WebAssembly.Memory laid out as the
 * domain's (abi/io/layout.ts), guests with pages and grant tables, event channels between them and the domain, and time that a
 * test moves.
 *
 * A guest's page that the domain maps lies in the domain's memory while it is mapped: both sides see the same bytes. What the
 * kernel's grant code checks (kernel/grants/) is checked here, with the same statuses. A call that only a broken module makes
 * throws.
 */
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_close,
  EVTCHNOP_expand_array,
  EVTCHNOP_init_control,
  EVTCHNOP_send,
  EVTCHNOP_status,
  EVTCHNSTAT_closed,
  EVTCHNSTAT_interdomain,
  EVTCHNSTAT_unbound,
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnClose,
  EvtchnSend,
  EvtchnStatus,
} from "../../../abi/event-channel.ts";
import {
  GNTCOPY_dest_gref,
  GNTCOPY_source_gref,
  GNTMAP_readonly,
  GNTST_bad_copy_arg,
  GNTST_bad_domain,
  GNTST_bad_gntref,
  GNTST_bad_handle,
  GNTST_bad_page,
  GNTST_general_error,
  GNTST_okay,
  GnttabCopy,
  GnttabMapGrantRef,
  GNTTABOP_copy,
  GNTTABOP_map_grant_ref,
  GNTTABOP_unmap_grant_ref,
  GnttabUnmapGrantRef,
  GrantEntryV1,
  GTF_permit_access,
  GTF_reading,
  GTF_type_mask,
  GTF_writing,
} from "../../../abi/grant-table.ts";
import {
  IO_DMA,
  IO_DMA_END,
  IO_DOMAIN,
  IO_GRANT_TABLE,
  IO_MAP,
  IO_MAP_END,
  IO_RAM_END,
  IO_STABLE,
  IO_STABLE_END,
} from "../../../abi/io/layout.ts";
import {
  AddToPhysmap,
  MemoryReservation,
  XENMAPSPACE_grant_table,
  XENMEM_add_to_physmap,
  XENMEM_populate_physmap,
} from "../../../abi/memory.ts";
import {
  __HYPERVISOR_console_io,
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_grant_table_op,
  __HYPERVISOR_memory_op,
  DOMID_SELF,
} from "../../../abi/xen.ts";
import { Ports } from "./ports.ts";

export const PAGE = 4096;
/** First machine frame of the domain's DMA memory: machine addresses are not linear ones. */
const DMA_MFN = 0x40000;
const EINVAL = -22;
const ENOSYS = -38;
/** What unmapped places of the window hold. */
const POISON = 0xdb;

/** Thrown out of the module at the access that `crashAfter` has named: the domain dies there. */
export class Crash extends Error {}

/** A page of a guest. */
export class GuestPage {
  bytes = new Uint8Array(PAGE);
  /** Linear page of the domain in which it is mapped, and how often. */
  place = -1;
  mappings = 0;

  get view(): DataView {
    return new DataView(this.bytes.buffer, this.bytes.byteOffset, PAGE);
  }
}

interface Grant {
  page: GuestPage;
  readonly: boolean;
  uses: number;
}

/** A guest: pages that it grants to the I/O domain, and event channels. */
export class Guest {
  readonly ports = new Ports();
  readonly grants = new Map<number, Grant>();
  /** Ports with an event that its handler has not seen. */
  readonly pending = new Set<number>();
  alive = true;
  private nextRef = 8;
  private readonly freeRefs: number[] = [];

  constructor(
    readonly host: IoHost,
    readonly domid: number,
  ) {}

  /** Grants a page to the I/O domain. */
  grant(page: GuestPage, readonly = false): number {
    const ref = this.freeRefs.pop() ?? this.nextRef++;
    this.grants.set(ref, { page, readonly, uses: 0 });
    return ref;
  }

  /** Ends a grant; throws while it is in use, which is a leak of the domain's or the test's mistake. */
  endGrant(ref: number): void {
    const grant = this.grants.get(ref);
    if (grant === undefined) throw new Error(`domain ${this.domid}: grant ${ref} is not there`);
    if (grant.uses !== 0) throw new Error(`domain ${this.domid}: grant ${ref} is in use`);
    this.grants.delete(ref);
    this.freeRefs.push(ref);
  }

  /** A port that waits for the I/O domain. */
  allocUnbound(handler: () => void): number {
    return this.ports.add({ remoteDomid: IO_DOMAIN, remotePort: -1, handler });
  }

  /** Binds a new port to a port of the I/O domain that waits for this guest. */
  bind(remotePort: number, handler: () => void): number {
    const remote = this.host.ports.ports.get(remotePort);
    if (remote === undefined || remote.remotePort !== -1 || remote.remoteDomid !== this.domid) {
      throw new Error(`domain ${this.domid}: port ${remotePort} of the I/O domain does not wait for it`);
    }
    const port = this.ports.add({ remoteDomid: IO_DOMAIN, remotePort, handler });
    remote.remotePort = port;
    // As Xen: the new port is pending at once, and the other end is not told.
    this.pending.add(port);
    return port;
  }

  /** Sends an event; nothing happens while the other end is not bound. */
  send(port: number): void {
    const remote = this.ports.ports.get(port)?.remotePort ?? -1;
    this.host.guestEvents++;
    if (remote !== -1) this.host.pending.add(remote);
  }

  close(port: number): void {
    const own = this.ports.ports.get(port);
    this.ports.ports.delete(port);
    this.pending.delete(port);
    if (own !== undefined && own.remotePort !== -1) this.host.ports.ports.get(own.remotePort)!.remotePort = -1;
  }

  /** Maps a page that the I/O domain has granted: its bytes are the domain's. */
  mapIo(ref: number): { bytes: Uint8Array; view: DataView } {
    const linear = this.host.claimOwn(ref, this.domid);
    return {
      bytes: this.host.bytes.subarray(linear, linear + PAGE),
      view: new DataView(this.host.memory.buffer, linear, PAGE),
    };
  }

  unmapIo(ref: number): void {
    this.host.releaseOwn(ref);
  }

  /** The domain dies: its grants can no longer be used anew, and what it mapped is let go. */
  die(): void {
    this.alive = false;
    for (const port of [...this.ports.ports.keys()]) this.close(port);
    this.host.releaseAllOwn(this.domid);
  }
}

interface Mapping {
  guest: Guest;
  grant: Grant;
  place: number;
}

/** Hypercalls by kind, and what GNTTABOP_copy moved. */
export interface Calls {
  copy: number;
  copies: number;
  bytes: number;
  send: number;
}

export class IoHost {
  readonly memory = new WebAssembly.Memory({ initial: IO_STABLE_END / 65536 });
  readonly bytes = new Uint8Array(this.memory.buffer);
  readonly view = new DataView(this.memory.buffer);
  readonly guests = new Map<number, Guest>();
  readonly ports = new Ports();
  /** Ports of the I/O domain with an event that it has not seen. */
  readonly pending = new Set<number>();
  /** System time, ns. */
  time = 1_000_000_000n;
  /** What each look at the clock takes. */
  tick = 100n;
  readonly calls: Calls = { copy: 0, copies: 0, bytes: 0, send: 0 };
  guestEvents = 0;
  /** Called before each GNTTABOP_copy element: a hostile guest changes something in between. */
  beforeCopy: (() => void) | null = null;
  /** The domain dies at this access to shared memory, or hypercall, from now on; -1: it does not. */
  crashAfter = -1;
  /** How many of either there were. */
  accesses = 0;
  log = "";
  /** Pages that the domain has asked for since it started. */
  ramPages = 0;
  dmaPages = 0;
  private grantFrames: number[] = [];
  /** Own grants that guests have mapped: reference -> how often, by whom, where. */
  private readonly ownUses = new Map<number, { domid: number; count: number; linear: number }>();
  private readonly mappings = new Map<number, Mapping>();
  private nextHandle = 1;

  guest(domid: number): Guest {
    const guest = new Guest(this, domid);
    this.guests.set(domid, guest);
    return guest;
  }

  /** The imports of module "io". */
  imports(): WebAssembly.ModuleImports {
    const { view, bytes } = this;
    const seen =
      <A extends unknown[], R>(call: (...args: A) => R) =>
      (...args: A): R => {
        this.accesses++;
        if (this.crashAfter >= 0 && this.crashAfter-- === 0) throw new Crash();
        return call(...args);
      };
    return {
      hypercall: seen((op: number, a0: bigint, a1: bigint, a2: bigint) =>
        BigInt(this.hypercall(op, Number(a0), Number(a1), Number(a2))),
      ),
      portIn: () => 0xffffffff,
      portOut: () => {},
      read8: (ptr: number) => bytes[ptr >>> 0]!,
      read16: (ptr: number) => view.getUint16(this.aligned(ptr, 2), true),
      read32: (ptr: number) => view.getUint32(this.aligned(ptr, 4), true),
      read64: (ptr: number) => view.getBigUint64(this.aligned(ptr, 8), true),
      write8: seen((ptr: number, value: number) => view.setUint8(ptr >>> 0, value)),
      write16: seen((ptr: number, value: number) => view.setUint16(this.aligned(ptr, 2), value, true)),
      write32: seen((ptr: number, value: number) => view.setUint32(this.aligned(ptr, 4), value, true)),
      write64: seen((ptr: number, value: bigint) => view.setBigUint64(this.aligned(ptr, 8), value, true)),
      barrier: () => {},
      compareExchange32: seen((ptr: number, expected: number, value: number) => {
        const found = view.getUint32(this.aligned(ptr, 4), true);
        if (found === expected >>> 0) view.setUint32(ptr >>> 0, value, true);
        return found;
      }),
      fetchOr32: seen((ptr: number, value: number) => {
        const found = view.getUint32(this.aligned(ptr, 4), true);
        view.setUint32(ptr >>> 0, found | value, true);
        return found;
      }),
      fetchAnd32: seen((ptr: number, value: number) => {
        const found = view.getUint32(this.aligned(ptr, 4), true);
        view.setUint32(ptr >>> 0, found & value, true);
        return found;
      }),
      systemTime: () => (this.time += this.tick),
    };
  }

  private aligned(ptr: number, size: number): number {
    const at = ptr >>> 0;
    if (at % size !== 0) throw new Error(`a shared ${size}-byte access at ${at.toString(16)}`);
    return at;
  }

  /**
   * The domain is gone, and starts over with its memory as a restart leaves it: mappings are undone, ports closed (those of
   * guests wait for it again), RAM is zero, stable memory stays. The caller instantiates the module anew.
   */
  restart(): void {
    this.crashAfter = -1;
    for (const handle of [...this.mappings.keys()]) this.dropMapping(handle);
    for (const [port, own] of this.ports.ports) {
      const remote = this.guests.get(own.remoteDomid)?.ports.ports.get(own.remotePort);
      if (remote !== undefined) {
        remote.remotePort = -1;
        this.ports.former.set(port, own.remotePort);
      }
      this.ports.ports.delete(port);
    }
    this.pending.clear();
    for (const frame of this.grantFrames) this.bytes.fill(0, frame, frame + PAGE);
    this.grantFrames = [];
    // Uses go on, and show in the table, which the domain maps where it was.
    for (const ref of this.ownUses.keys())
      this.view.setUint32(IO_GRANT_TABLE + ref * GrantEntryV1.SIZE, GTF_reading | GTF_writing, true);
    this.ramPages = 0;
    this.dmaPages = 0;
    this.bytes.fill(0, 0, IO_RAM_END);
    this.bytes.fill(0, IO_DMA, IO_DMA + 0x1000000);
  }

  /** Events of guests that have handlers; true if there were any. */
  deliverToGuests(): boolean {
    let any = false;
    for (const guest of this.guests.values()) {
      for (const port of [...guest.pending]) {
        guest.pending.delete(port);
        any = true;
        guest.ports.ports.get(port)?.handler?.();
      }
    }
    return any;
  }

  mappingCount(): number {
    return this.mappings.size;
  }

  // --- Grants of the domain's own pages -------------------------------------------------------------------------------

  private ownEntry(ref: number): number {
    const frame = this.grantFrames[Math.floor((ref * GrantEntryV1.SIZE) / PAGE)];
    if (frame === undefined) throw new Error(`grant ${ref} of the I/O domain is beyond its table`);
    return frame + ((ref * GrantEntryV1.SIZE) % PAGE);
  }

  claimOwn(ref: number, domid: number): number {
    const use = this.ownUses.get(ref);
    const entry = this.ownEntry(ref);
    const header = this.view.getUint32(entry, true);
    if ((header & GTF_type_mask) !== GTF_permit_access || header >>> 16 !== domid) {
      throw new Error(`grant ${ref} of the I/O domain is not for domain ${domid}`);
    }
    this.view.setUint32(entry, header | GTF_reading | GTF_writing, true);
    const linear = use?.linear ?? this.view.getUint32(entry + GrantEntryV1.frame, true) * PAGE;
    this.ownUses.set(ref, { domid, count: (use?.count ?? 0) + 1, linear });
    return linear;
  }

  releaseOwn(ref: number): void {
    const use = this.ownUses.get(ref);
    if (use === undefined) throw new Error(`grant ${ref} of the I/O domain is not mapped`);
    if (--use.count > 0) return;
    this.ownUses.delete(ref);
    const entry = this.ownEntry(ref);
    this.view.setUint32(entry, this.view.getUint32(entry, true) & ~(GTF_reading | GTF_writing), true);
  }

  releaseAllOwn(domid: number): void {
    for (const [ref, use] of this.ownUses) {
      if (use.domid !== domid) continue;
      use.count = 1;
      this.releaseOwn(ref);
    }
  }

  // --- Hypercalls -----------------------------------------------------------------------------------------------------

  private hypercall(op: number, a0: number, a1: number, a2: number): number {
    switch (op) {
      case __HYPERVISOR_event_channel_op:
        return this.eventOp(a0, a1);
      case __HYPERVISOR_grant_table_op:
        return this.grantOp(a0, a1, a2);
      case __HYPERVISOR_memory_op:
        return this.memoryOp(a0, a1);
      case __HYPERVISOR_console_io:
        this.log += Buffer.from(this.bytes.subarray(a2, a2 + a1)).toString("latin1");
        return 0;
      default:
        return ENOSYS;
    }
  }

  private memoryOp(op: number, at: number): number {
    if (op === XENMEM_add_to_physmap) {
      const space = this.view.getUint32(at + AddToPhysmap.space, true);
      const index = Number(this.view.getBigUint64(at + AddToPhysmap.idx, true));
      if (space !== XENMAPSPACE_grant_table || index >= 64) return EINVAL;
      this.grantFrames[index] = Number(this.view.getBigUint64(at + AddToPhysmap.gpfn, true)) * PAGE;
      return 0;
    }
    if (op === XENMEM_populate_physmap) {
      const list = Number(this.view.getBigUint64(at + MemoryReservation.extent_start, true));
      const linear = Number(this.view.getBigUint64(list, true)) * PAGE;
      if (linear < IO_RAM_END) {
        this.ramPages += 1 << this.view.getUint32(at + MemoryReservation.extent_order, true);
        return 1; // it is there
      }
      const bytes = PAGE << this.view.getUint32(at + MemoryReservation.extent_order, true);
      if (linear < IO_DMA || linear + bytes > IO_DMA_END || linear % bytes !== 0) return EINVAL;
      this.dmaPages += bytes / PAGE;
      this.view.setBigUint64(list, BigInt(DMA_MFN + (linear - IO_DMA) / PAGE), true);
      return 1;
    }
    return ENOSYS;
  }

  /** Linear address of a machine address of the domain's DMA memory. */
  dmaLinear(machine: bigint): number {
    const linear = Number(machine) - DMA_MFN * PAGE + IO_DMA;
    if (linear < IO_DMA || linear >= IO_DMA_END) throw new Error(`DMA at ${machine.toString(16)}`);
    return linear;
  }

  private eventOp(op: number, at: number): number {
    const { view } = this;
    switch (op) {
      // Events are delivered by the tests, port by port.
      case EVTCHNOP_init_control:
      case EVTCHNOP_expand_array:
        return 0;
      case EVTCHNOP_alloc_unbound: {
        const remoteDomid = view.getUint16(at + EvtchnAllocUnbound.remote_dom, true);
        if (remoteDomid !== DOMID_SELF && !this.guests.get(remoteDomid)?.alive) return -3;
        view.setUint32(
          at + EvtchnAllocUnbound.port,
          this.ports.add({ remoteDomid, remotePort: -1, handler: null }),
          true,
        );
        return 0;
      }
      case EVTCHNOP_bind_interdomain: {
        const remoteDomid = view.getUint16(at + EvtchnBindInterdomain.remote_dom, true);
        const remotePort = view.getUint32(at + EvtchnBindInterdomain.remote_port, true);
        const guest = this.guests.get(remoteDomid);
        const remote = guest?.ports.ports.get(remotePort);
        if (!guest?.alive) return -3;
        if (remote === undefined || remote.remotePort !== -1 || remote.remoteDomid !== IO_DOMAIN) return EINVAL;
        const port = this.ports.add({ remoteDomid, remotePort, handler: null });
        remote.remotePort = port;
        view.setUint32(at + EvtchnBindInterdomain.local_port, port, true);
        // As Xen: the new port is pending at once, in case events were lost before.
        this.pending.add(port);
        return 0;
      }
      case EVTCHNOP_close: {
        const port = view.getUint32(at + EvtchnClose.port, true);
        const own = this.ports.ports.get(port);
        if (own === undefined) return EINVAL;
        const remote = this.guests.get(own.remoteDomid)?.ports.ports.get(own.remotePort);
        if (remote !== undefined) remote.remotePort = -1;
        this.ports.ports.delete(port);
        this.pending.delete(port);
        return 0;
      }
      case EVTCHNOP_send: {
        const own = this.ports.ports.get(view.getUint32(at + EvtchnSend.port, true));
        if (own === undefined) throw new Error("the module sends on a port it does not have");
        this.calls.send++;
        if (own.remotePort !== -1) this.guests.get(own.remoteDomid)?.pending.add(own.remotePort);
        return 0;
      }
      case EVTCHNOP_status: {
        if (view.getUint16(at + EvtchnStatus.dom, true) !== DOMID_SELF) return ENOSYS;
        const port = view.getUint32(at + EvtchnStatus.port, true);
        const own = this.ports.ports.get(port);
        if (own === undefined) {
          view.setUint32(at + EvtchnStatus.status, EVTCHNSTAT_closed, true);
          view.setUint32(at + EvtchnStatus.u_interdomain_port, this.ports.former.get(port) ?? 0, true);
          return 0;
        }
        const bound = own.remotePort !== -1;
        view.setUint32(at + EvtchnStatus.status, bound ? EVTCHNSTAT_interdomain : EVTCHNSTAT_unbound, true);
        view.setUint16(at + EvtchnStatus.u_interdomain_dom, own.remoteDomid, true);
        if (bound) view.setUint32(at + EvtchnStatus.u_interdomain_port, own.remotePort, true);
        return 0;
      }
      default:
        return ENOSYS;
    }
  }

  private grantOp(op: number, at: number, count: number): number {
    for (let i = 0; i < count; i++) {
      if (op === GNTTABOP_map_grant_ref) {
        this.map(at + i * GnttabMapGrantRef.SIZE);
      } else if (op === GNTTABOP_unmap_grant_ref) {
        this.unmap(at + i * GnttabUnmapGrantRef.SIZE);
      } else if (op === GNTTABOP_copy) {
        const element = at + i * GnttabCopy.SIZE;
        this.beforeCopy?.();
        this.view.setInt16(element + GnttabCopy.status, this.copy(element), true);
      } else {
        return ENOSYS;
      }
    }
    if (op === GNTTABOP_copy) this.calls.copy++;
    return 0;
  }

  /** A grant of a guest's that the domain may use; or a GNTST_*. */
  private use(domid: number, ref: number, readonly: boolean): Grant | number {
    const guest = this.guests.get(domid);
    if (guest === undefined) return GNTST_bad_domain;
    if (!guest.alive) return GNTST_general_error;
    if (ref >= 32768) return GNTST_bad_gntref;
    const grant = guest.grants.get(ref);
    if (grant === undefined || (grant.readonly && !readonly)) return GNTST_general_error;
    return grant;
  }

  private map(at: number): void {
    const { view } = this;
    const linear = Number(view.getBigUint64(at + GnttabMapGrantRef.host_addr, true));
    if (linear < IO_MAP || linear >= IO_MAP_END || linear % PAGE !== 0) throw new Error("mapped outside the window");
    const flags = view.getUint32(at + GnttabMapGrantRef.flags, true);
    const domid = view.getUint16(at + GnttabMapGrantRef.dom, true);
    const grant = this.use(domid, view.getUint32(at + GnttabMapGrantRef.ref, true), (flags & GNTMAP_readonly) !== 0);
    // One place for each page: aliases are the one thing a linear memory in Node cannot have.
    const status = typeof grant === "number" ? grant : grant.page.mappings > 0 ? GNTST_general_error : GNTST_okay;
    view.setInt16(at + GnttabMapGrantRef.status, status, true);
    if (status !== GNTST_okay || typeof grant === "number") return;
    const { page } = grant;
    this.bytes.set(page.bytes, linear);
    page.bytes = this.bytes.subarray(linear, linear + PAGE);
    page.place = linear;
    page.mappings++;
    grant.uses++;
    this.mappings.set(this.nextHandle, { guest: this.guests.get(domid)!, grant, place: linear });
    view.setUint32(at + GnttabMapGrantRef.handle, this.nextHandle++, true);
  }

  private unmap(at: number): void {
    const handle = this.view.getUint32(at + GnttabUnmapGrantRef.handle, true);
    const linear = Number(this.view.getBigUint64(at + GnttabUnmapGrantRef.host_addr, true));
    const mapping = this.mappings.get(handle);
    const status =
      mapping === undefined ? GNTST_bad_handle : mapping.place !== linear ? GNTST_general_error : GNTST_okay;
    if (status !== GNTST_okay) throw new Error(`the module unmaps handle ${handle}, which is not mapped there`);
    this.dropMapping(handle);
    this.view.setInt16(at + GnttabUnmapGrantRef.status, status, true);
  }

  private dropMapping(handle: number): void {
    const { grant, place } = this.mappings.get(handle)!;
    grant.page.bytes = this.bytes.slice(place, place + PAGE);
    grant.page.place = -1;
    grant.page.mappings--;
    grant.uses--;
    this.bytes.fill(POISON, place, place + PAGE);
    this.mappings.delete(handle);
  }

  /** One side of a copy: the bytes, or a GNTST_*. */
  private side(isRef: boolean, name: number, domid: number, readonly: boolean): Uint8Array | number {
    if (isRef) {
      const grant = this.use(domid, name, readonly);
      return typeof grant === "number" ? grant : grant.page.bytes;
    }
    if (domid !== DOMID_SELF) return GNTST_bad_domain;
    const linear = name * PAGE;
    const isOwn = linear < IO_RAM_END || (linear >= IO_DMA && linear < IO_DMA_END) || linear >= IO_STABLE;
    return isOwn ? this.bytes.subarray(linear, linear + PAGE) : GNTST_bad_page;
  }

  private copy(at: number): number {
    const { view } = this;
    const flags = view.getUint16(at + GnttabCopy.flags, true);
    const u16 = (field: number): number => view.getUint16(at + field, true);
    const name = (field: number): number => Number(view.getBigUint64(at + field, true));
    const from = this.side(
      (flags & GNTCOPY_source_gref) !== 0,
      name(GnttabCopy.source_u_gmfn),
      u16(GnttabCopy.source_domid),
      true,
    );
    if (typeof from === "number") return from;
    const to = this.side(
      (flags & GNTCOPY_dest_gref) !== 0,
      name(GnttabCopy.dest_u_gmfn),
      u16(GnttabCopy.dest_domid),
      false,
    );
    if (typeof to === "number") return to;
    const length = u16(GnttabCopy.len);
    const fromOffset = u16(GnttabCopy.source_offset);
    const toOffset = u16(GnttabCopy.dest_offset);
    if (fromOffset + length > PAGE || toOffset + length > PAGE) return GNTST_bad_copy_arg;
    to.set(from.subarray(fromOffset, fromOffset + length), toOffset);
    this.calls.copies++;
    this.calls.bytes += length;
    return GNTST_okay;
  }
}
