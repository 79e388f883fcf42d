/**
 * The block back end in Node: the module of noxs/block/unit-test-entry.ts on simulated disks, with guests that grant it pages and share
 * event channels with it, and domain 0's requests.
 *
 * A guest's page lies in the domain's memory while it is mapped: both sides, and the disk, see the same bytes.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
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
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnSend,
  EvtchnStatus,
} from "../../../../abi/event-channel.ts";
import {
  GNTMAP_readonly,
  GNTST_bad_page,
  GNTST_general_error,
  GNTST_okay,
  GnttabCopy,
  GNTTABOP_copy,
  GNTTABOP_map_grant_ref,
  GNTTABOP_unmap_grant_ref,
  GnttabMapGrantRef,
  GnttabUnmapGrantRef,
} from "../../../../abi/grant-table.ts";
import { IO_MAP, IO_MAP_END, IO_STABLE } from "../../../../abi/io/layout.ts";
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_grant_table_op,
  __HYPERVISOR_memory_op,
} from "../../../../abi/xen.ts";
import { withBuildLock } from "../../../../scripts/build/lock.ts";
import { runStep, runTool } from "../../../../scripts/build/task.ts";
import { buildFolder, fromRoot } from "../../../../scripts/paths.ts";
import type { Random } from "./random.ts";
import type { SimDisk } from "./sim-disk.ts";
import { type Outcome, VolumeHost } from "./volume-host.ts";

const PAGE = 4096;
const wasm = path.join(buildFolder, "unit-block.wasm");
/** Frame of the first guest's page. */
const GUEST_MFN = 0x100000;

async function compile(): Promise<WebAssembly.Module> {
  const args = [
    fromRoot("node_modules/assemblyscript/bin/asc.js"),
    "noxs/volumes/unit-test-entry.ts",
    "noxs/block/unit-test-entry.ts",
    ...["--runtime", "stub", "-O1", "--debug", "--importMemory", "--exportStart", "start"],
    ...["-o", "build/unit-block.wasm"],
  ];
  await withBuildLock(() =>
    runStep({
      name: "unit-block",
      title: "compiled the block back end for its unit tests",
      inputs: () => [fromRoot("abi"), fromRoot("drivers"), fromRoot("noxs")],
      key: args.slice(1).join(" "),
      outputs: [wasm],
      run: async () => {
        await runTool(process.execPath, args);
      },
    }),
  );
  return new WebAssembly.Module(readFileSync(wasm));
}

let compiled: Promise<WebAssembly.Module> | null = null;
export async function blockModule(): Promise<WebAssembly.Module> {
  compiled ??= compile();
  return compiled;
}

/** A page of a guest. */
export class GuestPage {
  bytes: Uint8Array = new Uint8Array(PAGE);
  place = 0;
  constructor(readonly mfn: number) {}

  get view(): DataView {
    return new DataView(this.bytes.buffer, this.bytes.byteOffset, PAGE);
  }
}

/** A guest: pages that it grants, and event channels. */
export class Guest {
  readonly grants = new Map<number, { page: GuestPage; readonly: boolean; uses: number }>();
  /** Own ports: what they are bound to, and what an event does. */
  readonly ports = new Map<number, { remote: number; handler: () => void }>();
  private nextRef = 8;
  private nextPort = 1;

  constructor(
    readonly host: BlockHost,
    readonly domid: number,
  ) {}

  page(): GuestPage {
    return new GuestPage(GUEST_MFN + this.host.pages++);
  }

  grant(page: GuestPage, readonly = false): number {
    this.grants.set(this.nextRef, { page, readonly, uses: 0 });
    return this.nextRef++;
  }

  /** Ends a grant; throws while it is mapped. */
  endGrant(ref: number): void {
    if (this.grants.get(ref)!.uses !== 0) throw new Error(`domain ${this.domid}: grant ${ref} is in use`);
    this.grants.delete(ref);
  }

  port(handler: () => void): number {
    this.ports.set(this.nextPort, { remote: 0, handler });
    return this.nextPort++;
  }

  send(port: number): void {
    const { remote } = this.ports.get(port)!;
    if (remote !== 0) this.host.pending.add(remote);
  }
}

export class BlockHost extends VolumeHost {
  declare readonly guests: Map<number, Guest>;
  declare readonly pending: Set<number>;
  declare pages: number;
  declare calls: { map: number; unmap: number; copy: number; send: number; maps: number };
  declare private ownPorts: Map<number, { domid: number; remote: number }>;
  /** What ports of the domain's were bound to when it died, until their numbers are used again. */
  declare private formerPorts: Map<number, number>;
  declare private mappings: Map<number, { guest: Guest; ref: number; place: number }>;
  declare private byFrame: Map<number, GuestPage>;
  declare private toGuests: Set<() => void>;
  declare private answers: Map<number, (status: number, payload: Buffer, bulk: number) => void>;
  declare private nextHandle: number;
  declare private nextId: number;
  declare private areas: { payload: number; response: number; bulk: number };

  constructor(module: WebAssembly.Module, disks: SimDisk[], random: Random) {
    super(module, disks, random, (host) => {
      const self = host as BlockHost & { guests: Map<number, Guest> };
      const fresh = self as unknown as Record<string, unknown>;
      fresh["guests"] = new Map();
      fresh["pending"] = new Set();
      self.pages = 0;
      self.calls = { map: 0, unmap: 0, copy: 0, send: 0, maps: 0 };
      fresh["ownPorts"] = new Map();
      fresh["formerPorts"] = new Map();
      fresh["mappings"] = new Map();
      fresh["byFrame"] = new Map();
      fresh["toGuests"] = new Set();
      fresh["answers"] = new Map();
      fresh["nextHandle"] = 1;
      fresh["nextId"] = 1;
    });
  }

  guest(domid: number): Guest {
    const guest = new Guest(this, domid);
    this.guests.set(domid, guest);
    return guest;
  }

  /** The domain dies and starts over: mappings are undone, ports closed, those of guests wait for it again. */
  override start(): void {
    for (const handle of [...this.mappings.keys()]) this.unmapHandle(handle);
    for (const [number, { domid, remote }] of this.ownPorts) {
      const port = this.guests.get(domid)?.ports.get(remote);
      if (port) port.remote = 0;
      this.formerPorts.set(number, remote);
    }
    this.ownPorts.clear();
    this.pending.clear();
    this.answers.clear();
    super.start();
    if (this.exports["blockStart"]!() === 0) throw new Error("no memory for the back end");
    const area = this.exports["heapAllocate"]!(3 * 65536);
    this.areas = { payload: area, response: area + 4096, bulk: area + 65536 };
  }

  override get unitImports(): WebAssembly.ModuleImports {
    return {
      answer: (id: number, status: number, payload: number, length: number, bulk: number) => {
        const told = this.answers.get(id);
        if (told === undefined) throw new Error(`request ${id} was answered twice, or never made`);
        this.answers.delete(id);
        told(status, Buffer.from(this.bytes.slice(payload >>> 0, (payload >>> 0) + length)), bulk);
      },
    };
  }

  override turn(): void {
    for (let i = 0; ; i++) {
      if (i > 10_000) throw new Error("the guests do not come to rest");
      for (const port of [...this.pending]) {
        this.pending.delete(port);
        this.exports["eventDeliver"]!(port);
      }
      super.turn();
      const due = [...this.toGuests];
      this.toGuests.clear();
      for (const handler of due) handler();
      if (this.pending.size === 0 && this.toGuests.size === 0) return;
    }
  }

  /** A request of domain 0: status, payload of the answer, and the bulk area's bytes. */
  control(operation: number, payload: Uint8Array): { status: number; payload: Buffer; bulk: Buffer } {
    const { areas } = this;
    let answer = { payload: Buffer.alloc(0) as Buffer, bulk: 0 };
    const { status } = this.finish((told: (outcome: Outcome) => void) => {
      const id = this.nextId++;
      this.answers.set(id, (status, data, bulk) => {
        answer = { payload: data, bulk };
        told({ status, value: 0 });
      });
      this.bytes.fill(0, areas.payload, areas.payload + 512);
      this.bytes.set(payload, areas.payload);
      const rc = this.exports["blockRequest"]!(
        operation,
        id,
        areas.payload,
        payload.length,
        areas.response,
        areas.bulk,
        28672,
      );
      if (rc === 1) return;
      this.answers.delete(id);
      const exports = this.exports as unknown as Record<string, WebAssembly.Global>;
      const length = Number(exports["answerLength"]!.value);
      answer = {
        payload: Buffer.from(this.bytes.slice(areas.response, areas.response + length)),
        bulk: Number(exports["answerBulk"]!.value),
      };
      told({ status: rc, value: 0 });
    });
    return {
      status,
      payload: answer.payload,
      bulk: Buffer.from(this.bytes.slice(areas.bulk, areas.bulk + answer.bulk)),
    };
  }

  // --- Hypercalls -------------------------------------------------------------------------------------------------------

  protected override hypercall(op: number, command: number, at: number, text: number): bigint {
    if (op === __HYPERVISOR_grant_table_op) return this.grantOp(command, at, text);
    if (op === __HYPERVISOR_event_channel_op) return BigInt(this.eventOp(command, at));
    if (op === __HYPERVISOR_memory_op && command === 7) return 0n; // XENMEM_add_to_physmap: its grant table
    return super.hypercall(op, command, at, text);
  }

  /** The lowest number that is free, as the hypervisor gives it. */
  private freePort(): number {
    let number = 1;
    while (this.ownPorts.has(number)) number++;
    this.formerPorts.delete(number);
    return number;
  }

  private eventOp(command: number, at: number): number {
    const { view } = this;
    // Events are delivered by the tests, port by port.
    if (command === EVTCHNOP_init_control || command === EVTCHNOP_expand_array) return 0;
    if (command === EVTCHNOP_alloc_unbound) {
      const domid = view.getUint16(at + EvtchnAllocUnbound.remote_dom, true);
      const number = this.freePort();
      this.ownPorts.set(number, { domid, remote: 0 });
      view.setUint32(at + EvtchnAllocUnbound.port, number, true);
      return 0;
    }
    if (command === EVTCHNOP_bind_interdomain) {
      const domid = view.getUint16(at + EvtchnBindInterdomain.remote_dom, true);
      const remote = view.getUint32(at + EvtchnBindInterdomain.remote_port, true);
      const port = this.guests.get(domid)?.ports.get(remote);
      if (port === undefined || port.remote !== 0) return -22;
      const number = this.freePort();
      port.remote = number;
      this.ownPorts.set(number, { domid, remote });
      view.setUint32(at + EvtchnBindInterdomain.local_port, number, true);
      this.pending.add(number);
      return 0;
    }
    const port = view.getUint32(at + (command === EVTCHNOP_status ? EvtchnStatus.port : EvtchnSend.port), true);
    const own = this.ownPorts.get(port);
    if (own === undefined && command === EVTCHNOP_status) {
      view.setUint32(at + EvtchnStatus.status, EVTCHNSTAT_closed, true);
      view.setUint32(at + EvtchnStatus.u_interdomain_port, this.formerPorts.get(port) ?? 0, true);
      return 0;
    }
    if (own === undefined) throw new Error(`the module uses port ${port}, which it does not have`);
    const bound = this.guests.get(own.domid)?.ports.get(own.remote);
    if (command === EVTCHNOP_send) {
      this.calls.send++;
      if (bound) this.toGuests.add(bound.handler);
      return 0;
    }
    if (command === EVTCHNOP_close) {
      if (bound) bound.remote = 0;
      this.ownPorts.delete(port);
      this.pending.delete(port);
      return 0;
    }
    view.setUint32(at + EvtchnStatus.status, own.remote === 0 ? 1 : EVTCHNSTAT_interdomain, true);
    view.setUint32(at + EvtchnStatus.u_interdomain_port, own.remote, true);
    return 0;
  }

  /** A guest binds a port of its own to one of the domain's that waits for it. */
  bind(guest: Guest, remote: number, handler: () => void): number {
    const own = this.ownPorts.get(remote);
    if (own?.domid !== guest.domid || own.remote !== 0) throw new Error(`port ${remote} does not wait for it`);
    const port = guest.port(handler);
    own.remote = port;
    guest.ports.get(port)!.remote = remote;
    return port;
  }

  private grantOp(command: number, at: number, count: number): bigint {
    const { view, calls } = this;
    if (command === GNTTABOP_map_grant_ref) {
      calls.map++;
      calls.maps += count;
      for (let i = 0; i < count; i++) this.map(at + i * GnttabMapGrantRef.SIZE);
    } else if (command === GNTTABOP_unmap_grant_ref) {
      calls.unmap++;
      for (let i = 0; i < count; i++) {
        const op = at + i * GnttabUnmapGrantRef.SIZE;
        const handle = view.getUint32(op + GnttabUnmapGrantRef.handle, true);
        const place = Number(view.getBigUint64(op + GnttabUnmapGrantRef.host_addr, true));
        if (this.mappings.get(handle)?.place !== place) throw new Error(`handle ${handle} is not mapped there`);
        this.unmapHandle(handle);
      }
    } else if (command === GNTTABOP_copy) {
      calls.copy++;
      for (let i = 0; i < count; i++) this.copy(at + i * GnttabCopy.SIZE);
    } else {
      return -38n;
    }
    return 0n;
  }

  private map(op: number): void {
    const { view } = this;
    const place = Number(view.getBigUint64(op + GnttabMapGrantRef.host_addr, true));
    if (place < IO_MAP || place >= IO_MAP_END || place % PAGE !== 0) throw new Error("mapped outside the window");
    const guest = this.guests.get(view.getUint16(op + GnttabMapGrantRef.dom, true));
    const ref = view.getUint32(op + GnttabMapGrantRef.ref, true);
    const grant = guest?.grants.get(ref);
    const readonly = (view.getUint32(op + GnttabMapGrantRef.flags, true) & GNTMAP_readonly) !== 0;
    // One place for each page: aliases are the one thing that a linear memory in Node cannot have.
    const usable = grant !== undefined && (readonly || !grant.readonly) && grant.page.place === 0;
    view.setInt16(op + GnttabMapGrantRef.status, usable ? GNTST_okay : GNTST_general_error, true);
    if (!usable) return;
    const { page } = grant;
    this.bytes.set(page.bytes, place);
    page.bytes = this.bytes.subarray(place, place + PAGE);
    page.place = place;
    grant.uses++;
    this.byFrame.set(page.mfn, page);
    this.mappings.set(this.nextHandle, { guest: guest!, ref, place });
    view.setUint32(op + GnttabMapGrantRef.handle, this.nextHandle++, true);
    view.setBigUint64(op + GnttabMapGrantRef.dev_bus_addr, BigInt(page.mfn) * 4096n, true);
  }

  private unmapHandle(handle: number): void {
    const { guest, ref, place } = this.mappings.get(handle)!;
    const grant = guest.grants.get(ref)!;
    grant.page.bytes = this.bytes.slice(place, place + PAGE);
    grant.page.place = 0;
    grant.uses--;
    this.byFrame.delete(grant.page.mfn);
    this.bytes.fill(0xdb, place, place + PAGE);
    this.mappings.delete(handle);
  }

  private copy(op: number): void {
    const { view } = this;
    const guest = this.guests.get(view.getUint16(op + GnttabCopy.source_domid, true));
    const grant = guest?.grants.get(view.getUint32(op + GnttabCopy.source_u_ref, true));
    const length = view.getUint16(op + GnttabCopy.len, true);
    const from = view.getUint16(op + GnttabCopy.source_offset, true);
    const to = view.getUint16(op + GnttabCopy.dest_offset, true);
    if (from + length > PAGE || to + length > PAGE) throw new Error("a copy beyond a page");
    view.setInt16(op + GnttabCopy.status, grant ? GNTST_okay : GNTST_general_error, true);
    if (!grant) return;
    const gfn = Number(view.getBigUint64(op + GnttabCopy.dest_u_gmfn, true));
    // Stable memory is not RAM.
    if (gfn * PAGE >= IO_STABLE) {
      view.setInt16(op + GnttabCopy.status, GNTST_bad_page, true);
      return;
    }
    this.bytes.set(grant.page.bytes.subarray(from, from + length), gfn * PAGE + to);
  }

  /** Mappings of guests' pages. */
  get mapped(): number {
    return this.mappings.size;
  }

  protected override checkSegment(machine: number, linear: number): void {
    if (linear < IO_MAP) {
      super.checkSegment(machine, linear);
      return;
    }
    const page = this.byFrame.get(Math.floor(machine / PAGE));
    if (page === undefined || page.place + (machine % PAGE) !== linear) {
      throw new Error("a segment in a page that is not mapped there");
    }
  }
}
