/** A machine with an IOMMU and a card, and the I/O domain that drives it, played by the test. */
import { GNTMAP_host_map, GNTMAP_readonly } from "../../../abi/grant-table.ts";
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_close,
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnClose,
} from "../../../abi/event-channel.ts";
import { IO_DMA, IO_DMA_END, IO_DOMAIN, IO_MAP, IO_MAP_END, IO_SHARED_INFO } from "../../../abi/io/layout.ts";
import { SCHEDOP_remote_shutdown, SchedRemoteShutdown, SHUTDOWN_crash } from "../../../abi/sched.ts";
import {
  SOFTWARE_EXIT_PORT,
  SOFTWARE_PORT_SIZE_SHIFT,
  SOFTWARE_PORT_WRITE,
  SoftwareExit,
} from "../../../abi/software.ts";
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_sched_op,
  DOMID_SELF,
  SharedInfo,
  VcpuInfo,
} from "../../../abi/xen.ts";
import { Dom0 } from "../dom0.ts";
import { IoDomain } from "../io-domain.ts";
import { Machine, type MachineOptions } from "../machine.ts";
import { PciBus, PciFunction } from "../pci.ts";
import { PAGE } from "../ram.ts";
import type { IommuModel, Reach } from "./model.ts";

/** 0:3.0, which the I/O domain drives, and 0:4.0, which it does not. */
export const CARD = 0x18;
export const OTHER = 0x20;

const ENABLE = 0x80000000;
const FIRST = IO_DMA / PAGE;
const END = IO_MAP_END / PAGE;

export class IommuLab {
  readonly machine: Machine;
  readonly dom0: Dom0;
  readonly io: IoDomain;
  readonly bus = new PciBus();
  readonly card = this.bus.add(new PciFunction(CARD, []));
  readonly other = this.bus.add(new PciFunction(OTHER, []));
  private next: ((record: DataView) => number) | null = null;

  constructor(
    module: WebAssembly.Module,
    readonly model: IommuModel,
    options: MachineOptions = {},
    bridges: PciFunction[] = [],
  ) {
    for (const bridge of bridges) this.bus.add(bridge);
    const image = Uint8Array.of(1);
    this.machine = new Machine(module, { memory: 64, ioImage: image, pci: this.bus, iommu: model, ...options });
    this.dom0 = new Dom0(this.machine);
    this.io = new IoDomain(this.machine);
    this.machine.ioTurn = (record) => {
      const once = this.next;
      this.next = null;
      return once?.(record);
    };
    this.machine.step(4);
  }

  get log(): string {
    return this.machine.output;
  }

  /** The I/O domain writes to configuration space, by ports. */
  configWrite(address: number, register: number, size: number, value: number): void {
    this.out(0xcf8, 4, (ENABLE | (address << 8) | (register & 0xfc)) >>> 0);
    this.out(0xcfc + (register & 3), size, value);
  }

  /** It lets the card decode memory and be a bus master. */
  master(address = CARD): void {
    this.configWrite(address, 4, 2, 6);
  }

  private out(port: number, size: number, value: number): void {
    let done = false;
    this.next = (record) => {
      done = true;
      const access = (port | (size << SOFTWARE_PORT_SIZE_SHIFT) | SOFTWARE_PORT_WRITE) >>> 0;
      record.setBigUint64(SoftwareExit.port, BigInt(access), true);
      record.setBigUint64(SoftwareExit.result, BigInt(value >>> 0), true);
      return SOFTWARE_EXIT_PORT;
    };
    this.wake();
    this.machine.runUntil(() => done, "the domain's access to a port");
    this.machine.step(1);
    // It has seen its event, and sleeps.
    const info = IO_SHARED_INFO + SharedInfo.vcpu_info;
    this.io.write(IO_SHARED_INFO + SharedInfo.evtchn_pending, new Uint8Array(8));
    this.io.write(info + VcpuInfo.evtchn_pending_sel, new Uint8Array(8));
    this.io.write(info + VcpuInfo.evtchn_upcall_pending, new Uint8Array(1));
  }

  /** Gives the domain an event, so that it runs. */
  private wake(): void {
    const op = (command: number, size: number, fill: (v: DataView) => void): DataView =>
      this.io.structured(__HYPERVISOR_event_channel_op, command, size, fill).view;
    const unbound = op(EVTCHNOP_alloc_unbound, EvtchnAllocUnbound.SIZE, (v) => {
      v.setUint16(EvtchnAllocUnbound.dom, DOMID_SELF, true);
      v.setUint16(EvtchnAllocUnbound.remote_dom, DOMID_SELF, true);
    }).getUint32(EvtchnAllocUnbound.port, true);
    const port = op(EVTCHNOP_bind_interdomain, EvtchnBindInterdomain.SIZE, (v) => {
      v.setUint16(EvtchnBindInterdomain.remote_dom, DOMID_SELF, true);
      v.setUint32(EvtchnBindInterdomain.remote_port, unbound, true);
    }).getUint32(EvtchnBindInterdomain.local_port, true);
    for (const end of [port, unbound])
      op(EVTCHNOP_close, EvtchnClose.SIZE, (v) => v.setUint32(EvtchnClose.port, end, true));
  }

  crash(): void {
    this.dom0.structured(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, SchedRemoteShutdown.SIZE, (v) => {
      v.setUint16(SchedRemoteShutdown.domain_id, IO_DOMAIN, true);
      v.setUint32(SchedRemoteShutdown.reason, SHUTDOWN_crash, true);
    });
    this.machine.step(4);
  }

  /** A card's access, if it is a bus master: the frame, or null. */
  access(address: number, write = true, requester = CARD): number | null {
    return this.model.access(requester, address, write);
  }

  /** What devices of the domain should reach: its linear memory says it, by frame and right. */
  expected(): Map<number, Reach> {
    const all = new Map<number, Reach>();
    for (const [page, { mfn, writable }] of this.machine.space(2)) {
      const address = page * PAGE;
      const dma = address >= IO_DMA && address < IO_DMA_END;
      if (dma || (address >= IO_MAP && address < IO_MAP_END)) all.set(page, { mfn, write: writable });
    }
    return all;
  }

  /** What the card does reach. Only pages that the domain has, had, or may have are looked at: all of a few MiB of each region. */
  reached(requester = CARD): Map<number, Reach> {
    const window = 1024;
    return new Map([
      ...this.model.reaches(requester, 0, 16),
      ...this.model.reaches(requester, 0x200, 0x210),
      ...this.model.reaches(requester, FIRST, FIRST + 2 * window),
      ...this.model.reaches(requester, IO_MAP / PAGE, IO_MAP / PAGE + window),
      ...[...this.model.pages].filter(([page]) => page < END),
    ]);
  }

  map(domain: number, ref: number, address: number, readonly = false): { status: number; handle: number; bus: number } {
    const flags = GNTMAP_host_map | (readonly ? GNTMAP_readonly : 0);
    const { status, handle, busAddress } = this.io.mapGrant(domain, ref, address, flags);
    return { status, handle, bus: busAddress };
  }
}

/** As an object that a test can compare, in order of pages. */
export function sorted(reach: Map<number, Reach>): [string, Reach][] {
  return [...reach].sort(([a], [b]) => a - b).map(([page, what]) => [`0x${(page * PAGE).toString(16)}`, { ...what }]);
}
