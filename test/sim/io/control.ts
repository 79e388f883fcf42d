/** Domain 0's end of the control channel, as the simulation's domain 0 has it: a request is made, and the machine runs until it is answered. */
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_close,
  EVTCHNOP_send,
  EVTCHNOP_status,
  EVTCHNSTAT_closed,
  EVTCHNSTAT_interdomain,
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnClose,
  EvtchnSend,
  EvtchnStatus,
} from "../../../abi/event-channel.ts";
import { DOM0_MAP, DOM0_SHARED_INFO } from "../../../abi/domain0-layout.ts";
import {
  CONTROL_BULK_BYTES,
  CONTROL_SLOT_BYTES,
  CONTROL_SLOTS,
  ControlPage,
  ControlRequest,
  ControlResponse,
  IO_CONTROL_MAGIC,
} from "../../../abi/io/control.ts";
import { IO_CONTROL, IO_DOMAIN } from "../../../abi/io/layout.ts";
import { __HYPERVISOR_event_channel_op, DOMID_SELF, SharedInfo, VcpuInfo } from "../../../abi/xen.ts";
import type { Dom0 } from "../dom0.ts";
import { PAGE } from "../ram.ts";
import { Violation } from "../svm-cpu.ts";

/** Where domain 0 has the control pages mapped. */
const WINDOW = DOM0_MAP + 0x800000;
const PAGES = ControlPage.SIZE / PAGE;
/** Turns of the hypervisor in which a request must be answered, or the I/O domain started. */
const PATIENCE = 20_000;

export interface Answer {
  status: number;
  payload: DataView;
  bulk: DataView;
}

export class IoControl {
  private port = 0;
  private mapped = false;

  /** @param step lets the machine and its devices go on a little */
  constructor(
    private readonly dom0: Dom0,
    private readonly step: () => void,
  ) {
    dom0.machine.dom0Turn = () => this.clearEvents();
  }

  /** Domain 0 looks at no event: it only must not be woken by the same one for ever. */
  private clearEvents(): void {
    const shared = this.dom0.page(DOM0_SHARED_INFO, true);
    shared.fill(0, SharedInfo.evtchn_pending, SharedInfo.evtchn_mask);
    shared.fill(
      0,
      SharedInfo.vcpu_info + VcpuInfo.evtchn_pending_sel,
      SharedInfo.vcpu_info + VcpuInfo.evtchn_pending_sel + 8,
    );
    shared[SharedInfo.vcpu_info + VcpuInfo.evtchn_upcall_pending] = 0;
  }

  private event(op: number, size: number, fill: (v: DataView) => void): { result: number; view: DataView } {
    return this.dom0.structured(__HYPERVISOR_event_channel_op, op, size, fill);
  }

  private get(offset: number): number {
    return new DataView(this.dom0.read(WINDOW + offset, 4).buffer).getUint32(0, true);
  }

  private set(offset: number, value: number): void {
    const bytes = new DataView(new ArrayBuffer(4));
    bytes.setUint32(0, value, true);
    this.dom0.write(WINDOW + offset, new Uint8Array(bytes.buffer));
  }

  private unmap(): void {
    if (this.mapped) for (let page = 0; page < PAGES; page++) this.dom0.unmapForeign(WINDOW + page * PAGE);
    this.mapped = false;
  }

  private map(): void {
    this.unmap();
    for (let page = 0; page < PAGES; page++) {
      const result = this.dom0.mapForeign(IO_DOMAIN, IO_CONTROL / PAGE + page, WINDOW + page * PAGE);
      if (result < 0) throw new Violation(`mapping the control pages: ${result}`);
    }
    this.mapped = true;
  }

  /** Whether the I/O domain at the other end is the one that it was opened to. */
  get connected(): boolean {
    if (this.port === 0) return false;
    const { result, view } = this.status(DOMID_SELF, this.port);
    return result === 0 && view.getUint32(EvtchnStatus.status, true) === EVTCHNSTAT_interdomain;
  }

  private status(domain: number, port: number): { result: number; view: DataView } {
    return this.event(EVTCHNOP_status, EvtchnStatus.SIZE, (v) => {
      v.setUint16(EvtchnStatus.dom, domain, true);
      v.setUint32(EvtchnStatus.port, port, true);
    });
  }

  /** Ports that the I/O domain has. */
  ports(): number {
    let count = 0;
    for (let port = 1; port < 256; port++) {
      const { result, view } = this.status(IO_DOMAIN, port);
      if (result === 0 && view.getUint32(EvtchnStatus.status, true) !== EVTCHNSTAT_closed) count++;
    }
    return count;
  }

  private open(): void {
    if (this.port !== 0)
      this.event(EVTCHNOP_close, EvtchnClose.SIZE, (v) => v.setUint32(EvtchnClose.port, this.port, true));
    this.port = 0;
    for (let turns = 0; ; turns++) {
      this.map();
      if (this.get(ControlPage.magic) === IO_CONTROL_MAGIC) break;
      if (turns > PATIENCE)
        throw new Violation(`the I/O domain does not start\n${this.dom0.machine.output.slice(-1000)}`);
      this.step();
    }
    const made = this.event(EVTCHNOP_alloc_unbound, EvtchnAllocUnbound.SIZE, (v) => {
      v.setUint16(EvtchnAllocUnbound.dom, IO_DOMAIN, true);
      v.setUint16(EvtchnAllocUnbound.remote_dom, 0, true);
    });
    if (made.result !== 0) throw new Violation(`a port of the I/O domain's: ${made.result}`);
    const remote = made.view.getUint32(EvtchnAllocUnbound.port, true);
    const bound = this.event(EVTCHNOP_bind_interdomain, EvtchnBindInterdomain.SIZE, (v) => {
      v.setUint16(EvtchnBindInterdomain.remote_dom, IO_DOMAIN, true);
      v.setUint32(EvtchnBindInterdomain.remote_port, remote, true);
    });
    if (bound.result !== 0) throw new Violation(`binding to the I/O domain: ${bound.result}`);
    this.port = bound.view.getUint32(EvtchnBindInterdomain.local_port, true);
    this.set(ControlPage.responseConsumed, this.get(ControlPage.responseProduced));
    this.set(ControlPage.port, remote);
    this.send();
  }

  private send(): void {
    const { port } = this;
    const { result } = this.event(EVTCHNOP_send, EvtchnSend.SIZE, (v) => v.setUint32(EvtchnSend.port, port, true));
    if (result !== 0) throw new Violation(`notifying the I/O domain: ${result}`);
  }

  /** Opens the channel if the I/O domain was restarted, and lets go of the pages of the one before. */
  refresh(): void {
    if (!this.connected) this.open();
  }

  /** Makes a request, again when the I/O domain is restarted before it has answered: those that are used can be made twice. */
  request(operation: number, size: number, fill: (payload: DataView) => void): Answer {
    const { machine } = this.dom0;
    const payload = new DataView(new ArrayBuffer(size));
    fill(payload);
    for (let tries = 0; tries < 8; tries++) {
      this.refresh();
      const id = this.get(ControlPage.requestProduced);
      const slot = ControlPage.requests + (id % CONTROL_SLOTS) * CONTROL_SLOT_BYTES;
      this.set(slot + ControlRequest.id, id);
      this.set(slot + ControlRequest.operation, operation);
      this.set(slot + ControlRequest.length, size);
      this.dom0.write(WINDOW + slot + ControlRequest.payload, new Uint8Array(payload.buffer));
      this.set(ControlPage.requestProduced, id + 1);
      const consumed = this.get(ControlPage.responseConsumed);
      this.send();
      for (let turns = 0; this.get(ControlPage.responseProduced) === consumed; turns++) {
        if (turns > PATIENCE)
          throw new Violation(`operation ${operation} is not answered\n${machine.output.slice(-600)}`);
        this.step();
        if (!this.connected) break;
      }
      if (this.get(ControlPage.responseProduced) === consumed) continue;
      this.set(ControlPage.responseConsumed, consumed + 1);
      const at = ControlPage.responses + (consumed % CONTROL_SLOTS) * CONTROL_SLOT_BYTES;
      if (this.get(at + ControlResponse.id) !== id) throw new Violation(`operation ${operation}: another's answer`);
      const bulkLength = this.get(at + ControlResponse.bulkLength);
      if (bulkLength > CONTROL_BULK_BYTES) throw new Violation(`operation ${operation}: ${bulkLength} bytes of answer`);
      return {
        status: this.get(at + ControlResponse.status) | 0,
        payload: new DataView(this.dom0.read(WINDOW + at + ControlResponse.payload, CONTROL_SLOT_BYTES - 16).buffer),
        bulk: new DataView(this.dom0.read(WINDOW + ControlPage.bulk, bulkLength).buffer),
      };
    }
    throw new Violation(`the I/O domain restarts during operation ${operation} again and again`);
  }

  /** Lets go of what it has of the I/O domain. */
  close(): void {
    this.unmap();
  }
}
