/** What the guests of the I/O domain's simulation have in common: their memory's layout, grants, ports, and waiting. */
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_close,
  EVTCHNOP_send,
  EVTCHNOP_status,
  EVTCHNSTAT_interdomain,
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnStatus,
} from "../../../abi/event-channel.ts";
import {
  GNTMAP_host_map,
  GNTTABOP_map_grant_ref,
  GNTTABOP_unmap_grant_ref,
  GnttabMapGrantRef,
  GnttabUnmapGrantRef,
  GrantEntryV1,
  GTF_permit_access,
  GTF_readonly,
  GTF_reading,
  GTF_writing,
} from "../../../abi/grant-table.ts";
import { IO_DOMAIN } from "../../../abi/io/layout.ts";
import { NOXS_DEVICE_PAGE, NoxsDevPage, NoxsDevPageEntry } from "../../../abi/io/noxs.ts";
import { XENMAPSPACE_grant_table, XENMAPSPACE_shared_info } from "../../../abi/memory.ts";
import { SCHEDOP_poll, SCHEDOP_yield, SchedPoll } from "../../../abi/sched.ts";
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_grant_table_op,
  __HYPERVISOR_sched_op,
  DOMID_SELF,
  SharedInfo,
} from "../../../abi/xen.ts";
import {
  addToPhysmap,
  ARGUMENT_GFN,
  expect,
  GRANT_TABLE_GFN,
  hypercall,
  SHARED_INFO_GFN,
  type Steps,
  structured,
  systemTime,
} from "../call.ts";
import type { Machine } from "../machine.ts";
import { PAGE } from "../ram.ts";
import type { Random } from "../random.ts";
import { type GuestCpu, Violation } from "../svm-cpu.ts";
import type { Wire } from "./wire.ts";

/** A frame that is never granted to anybody, and what it holds. */
export const CANARY_GFN = 9;
export const CANARY = 0xc5;
/** Where control pages are mapped. */
export const CONTROL_GFN = 64;
/** Port lists of SCHEDOP_poll: behind other arguments. */
const POLL_LIST = ARGUMENT_GFN * PAGE + 0xc00;

/** What a frontend tells of its rings: their grants, in the order of its device, their port, its features. */
export interface Rings {
  refs: number[];
  port: number;
  features: number;
}

/** What a xenbus frontend has written into its nodes, and domain 0 has done about it. */
export interface Xenbus {
  /** Wants to be connected with these, or disconnected; null: nothing. */
  asks: Rings | "close" | null;
  /** What came of it: 0, or -errno. */
  answer: number;
}

export interface IoPeer {
  id: number;
  readonly good: boolean;
  readonly device: "net" | "block";
  /** Set once it runs. */
  kit: Kit | null;
  readonly xenbus: Xenbus | null;
  /** It is to come to rest: it sends no more by itself. */
  quiet: boolean;
  /** It has come to rest: nothing of it is unanswered. */
  idle: boolean;
  /** What it waits for that must come, and since when, in turns of the I/O domain's life that were not cut short. */
  awaits: { what: string; since: number } | null;
  /** Frames for this domain, or host, are to be sent, so many; the numbers of those that have been. */
  probe: { to: number; count: number; numbers: number[] } | null;
  /** Does something that another CPU may do at any moment. */
  tamper: (() => void) | null;
}

export interface IoScene {
  readonly machine: Machine;
  readonly random: Random;
  readonly wire: Wire;
  readonly peers: IoPeer[];
  /** Frames and requests that were done: what the run was worth. */
  readonly counts: Record<string, number>;
}

export class Kit {
  constructor(
    readonly cpu: GuestCpu,
    readonly scene: IoScene,
    readonly me: IoPeer,
  ) {}

  /** Has shared_info and the grant table; all ports masked: it asks by SCHEDOP_poll. */
  *start(): Steps<void> {
    const { cpu } = this;
    expect(yield* addToPhysmap(cpu, XENMAPSPACE_shared_info, SHARED_INFO_GFN), 0, "shared_info");
    expect(yield* addToPhysmap(cpu, XENMAPSPACE_grant_table, GRANT_TABLE_GFN), 0, "the grant table");
    cpu.poke(SHARED_INFO_GFN * PAGE + SharedInfo.evtchn_mask, new Uint8Array(512).fill(0xff));
    cpu.poke(CANARY_GFN * PAGE, new Uint8Array(PAGE).fill(CANARY));
    this.me.kit = this;
  }

  /** Throws Violation when somebody has written to the frame that is granted to nobody. */
  checkCanary(): void {
    const page = this.cpu.look(CANARY_GFN * PAGE, PAGE);
    for (let at = 0; at < PAGE; at++) {
      if (page.getUint8(at) !== CANARY)
        throw new Violation(`memory of domain ${this.me.id} was written without a grant`);
    }
  }

  // --- Memory ---------------------------------------------------------------------------------------------------------------

  /** A page's bytes, as any CPU of the guest's sees them. */
  bytes(gfn: number): Uint8Array {
    const view = this.cpu.look(gfn * PAGE, PAGE);
    return new Uint8Array(view.buffer, view.byteOffset, PAGE);
  }

  get32(address: number): number {
    return this.cpu.look(address, 4).getUint32(0, true);
  }

  set32(address: number, value: number): void {
    this.cpu.look(address, 4).setUint32(0, value >>> 0, true);
  }

  get16(address: number): number {
    return this.cpu.look(address, 2).getUint16(0, true);
  }

  set16(address: number, value: number): void {
    this.cpu.look(address, 2).setUint16(0, value & 0xffff, true);
  }

  // --- Grants ---------------------------------------------------------------------------------------------------------------

  private entry(ref: number): number {
    return GRANT_TABLE_GFN * PAGE + ref * GrantEntryV1.SIZE;
  }

  grant(ref: number, gfn: number, readonly = false, domid = IO_DOMAIN): void {
    this.set32(this.entry(ref) + GrantEntryV1.frame, gfn);
    this.set32(this.entry(ref), GTF_permit_access | (readonly ? GTF_readonly : 0) | (domid << 16));
  }

  granted(ref: number): boolean {
    return this.get16(this.entry(ref)) !== 0;
  }

  inUse(ref: number): boolean {
    return (this.get16(this.entry(ref)) & (GTF_reading | GTF_writing)) !== 0;
  }

  /** Ends a grant of which the back end has said, by its protocol, that it is done with it. */
  endGrant(ref: number, what: string): void {
    if (this.inUse(ref)) throw new Violation(`domain ${this.me.id}: ${what} is still in use by the back end`);
    this.set32(this.entry(ref), 0);
  }

  /** Takes a grant away, whether it is in use or not. */
  rip(ref: number): void {
    this.set32(this.entry(ref), 0);
  }

  *mapControl(ref: number, gfn = CONTROL_GFN): Steps<{ status: number; handle: number }> {
    const { result, view } = yield* structured(
      this.cpu,
      __HYPERVISOR_grant_table_op,
      GNTTABOP_map_grant_ref,
      GnttabMapGrantRef.SIZE,
      (v) => {
        v.setBigUint64(GnttabMapGrantRef.host_addr, BigInt(gfn * PAGE), true);
        v.setUint32(GnttabMapGrantRef.flags, GNTMAP_host_map, true);
        v.setUint32(GnttabMapGrantRef.ref, ref, true);
        v.setUint16(GnttabMapGrantRef.dom, IO_DOMAIN, true);
      },
      1,
    );
    expect(result, 0, "GNTTABOP_map_grant_ref");
    return {
      status: view.getInt16(GnttabMapGrantRef.status, true),
      handle: view.getUint32(GnttabMapGrantRef.handle, true),
    };
  }

  *unmapControl(handle: number, gfn = CONTROL_GFN): Steps<number> {
    const { view } = yield* structured(
      this.cpu,
      __HYPERVISOR_grant_table_op,
      GNTTABOP_unmap_grant_ref,
      GnttabUnmapGrantRef.SIZE,
      (v) => {
        v.setBigUint64(GnttabUnmapGrantRef.host_addr, BigInt(gfn * PAGE), true);
        v.setUint32(GnttabUnmapGrantRef.handle, handle, true);
      },
      1,
    );
    return view.getInt16(GnttabUnmapGrantRef.status, true);
  }

  // --- Ports ----------------------------------------------------------------------------------------------------------------

  /** A port that waits for the I/O domain; its number, or a negative errno. */
  *allocPort(): Steps<number> {
    const { result, view } = yield* structured(
      this.cpu,
      __HYPERVISOR_event_channel_op,
      EVTCHNOP_alloc_unbound,
      EvtchnAllocUnbound.SIZE,
      (v) => {
        v.setUint16(EvtchnAllocUnbound.dom, DOMID_SELF, true);
        v.setUint16(EvtchnAllocUnbound.remote_dom, IO_DOMAIN, true);
      },
    );
    return result < 0 ? result : view.getUint32(EvtchnAllocUnbound.port, true);
  }

  /** Binds to a port of the I/O domain's; the own port, or a negative errno. */
  *bind(remote: number): Steps<number> {
    const { result, view } = yield* structured(
      this.cpu,
      __HYPERVISOR_event_channel_op,
      EVTCHNOP_bind_interdomain,
      EvtchnBindInterdomain.SIZE,
      (v) => {
        v.setUint16(EvtchnBindInterdomain.remote_dom, IO_DOMAIN, true);
        v.setUint32(EvtchnBindInterdomain.remote_port, remote, true);
      },
    );
    return result < 0 ? result : view.getUint32(EvtchnBindInterdomain.local_port, true);
  }

  private *portOp(op: number, port: number): Steps<number> {
    const { result } = yield* structured(this.cpu, __HYPERVISOR_event_channel_op, op, 4, (v) =>
      v.setUint32(0, port, true),
    );
    return result;
  }

  *send(port: number): Steps<number> {
    return yield* this.portOp(EVTCHNOP_send, port);
  }

  *close(port: number): Steps<number> {
    return yield* this.portOp(EVTCHNOP_close, port);
  }

  /** Whether the other end of one of its ports is there. */
  *isBound(port: number): Steps<boolean> {
    const { result, view } = yield* structured(
      this.cpu,
      __HYPERVISOR_event_channel_op,
      EVTCHNOP_status,
      EvtchnStatus.SIZE,
      (v) => {
        v.setUint16(EvtchnStatus.dom, DOMID_SELF, true);
        v.setUint32(EvtchnStatus.port, port, true);
      },
    );
    expect(result, 0, "EVTCHNOP_status");
    return view.getUint32(EvtchnStatus.status, true) === EVTCHNSTAT_interdomain;
  }

  /** Whether an event has come, which is taken. */
  take(port: number): boolean {
    const address = SHARED_INFO_GFN * PAGE + SharedInfo.evtchn_pending + (port >> 3);
    const byte = this.cpu.view(address, 1).getUint8(0);
    if ((byte & (1 << (port & 7))) === 0) return false;
    this.cpu.poke(address, Uint8Array.of(byte & ~(1 << (port & 7))));
    return true;
  }

  /** Sleeps until one of its ports has an event, or for `ns`; 0: for ever. */
  *wait(ports: number[], ns: number): Steps<void> {
    const list = new Uint8Array(Uint32Array.from(ports).buffer);
    this.cpu.poke(POLL_LIST, list);
    const now = systemTime(this.cpu.tsc, this.cpu.view(SHARED_INFO_GFN * PAGE, PAGE));
    const { result } = yield* structured(this.cpu, __HYPERVISOR_sched_op, SCHEDOP_poll, SchedPoll.SIZE, (v) => {
      v.setBigUint64(SchedPoll.ports, BigInt(POLL_LIST), true);
      v.setUint32(SchedPoll.nr_ports, ports.length, true);
      v.setBigUint64(SchedPoll.timeout, ns === 0 ? 0n : now + BigInt(ns), true);
    });
    // A hostile guest may have closed the port.
    if (this.me.good) expect(result, 0, "SCHEDOP_poll");
  }

  *pause(): Steps<void> {
    yield* hypercall(this.cpu, __HYPERVISOR_sched_op, SCHEDOP_yield, 0);
  }

  // --- Its device -----------------------------------------------------------------------------------------------------------

  /** Its entry of this type in the device page, once there is one. */
  *device(type: number): Steps<{ grant: number; port: number }> {
    while (true) {
      const view = this.cpu.view(NOXS_DEVICE_PAGE, NoxsDevPage.SIZE);
      for (let i = 0; i < view.getUint32(NoxsDevPage.dev_count, true); i++) {
        const at = NoxsDevPage.devs + i * NoxsDevPageEntry.SIZE;
        if (view.getUint32(at + NoxsDevPageEntry.type, true) !== type) continue;
        return {
          grant: view.getUint32(at + NoxsDevPageEntry.grant, true),
          port: view.getUint32(at + NoxsDevPageEntry.evtchn, true),
        };
      }
      yield* this.pause();
    }
  }
}
