/**
 * The hypervisor's side of the I/O domain's module, as far as drivers/host needs it: FIFO event channels with their queues,
 * memory on request, timers. Written from the ABI (xen/event_channel.h), not from the kernel.
 */
import {
  EVTCHN_FIFO_LINK_BITS,
  EVTCHN_FIFO_LINKED,
  EVTCHN_FIFO_MASKED,
  EVTCHN_FIFO_PENDING,
  EVTCHNOP_bind_virq,
  EVTCHNOP_close,
  EVTCHNOP_expand_array,
  EVTCHNOP_init_control,
  EVTCHNOP_send,
  EVTCHNOP_unmask,
  EvtchnBindVirq,
  EvtchnClose,
  EvtchnExpandArray,
  EvtchnFifoControlBlock,
  EvtchnInitControl,
  EvtchnSend,
  EvtchnUnmask,
} from "../../../abi/event-channel.ts";
import { IO_SHARED_INFO } from "../../../abi/io/layout.ts";
import { MemoryReservation, XENMEM_populate_physmap } from "../../../abi/memory.ts";
import {
  __HYPERVISOR_console_io,
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_memory_op,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_set_timer_op,
  SharedInfo,
  VcpuInfo,
} from "../../../abi/xen.ts";
import { IoModule } from "./io-module.ts";

const PENDING = 2 ** EVTCHN_FIFO_PENDING;
const MASKED = 2 ** EVTCHN_FIFO_MASKED;
const LINKED = 2 ** EVTCHN_FIFO_LINKED;
const LINK = 2 ** EVTCHN_FIFO_LINK_BITS - 1;
const PAGE = 4096;

export class Xen {
  readonly io: IoModule;
  now = 1_000_000_000n;
  log = "";
  /** Ports that the module has sent on. */
  readonly sent: number[] = [];
  readonly closed: number[] = [];
  timer = 0n;
  pets = 0;
  /** Pages of RAM that it has asked for. */
  readonly given = new Set<number>();
  /** Pages that it is still given: then memory is out. */
  left = Infinity;
  private control = 0;
  private words: number[] = [];
  private readonly tails = new Map<number, number>();
  private readonly priorities = new Map<number, number>();
  private nextPort = 1;

  constructor(module: WebAssembly.Module) {
    this.io = new IoModule(module, {
      hypercall: (op, ...args) => BigInt(this.call(op, args.map(Number))),
      systemTime: () => (this.now += 1000n),
    });
  }

  /** As the hypervisor restarts the domain: all is gone but stable memory. */
  restart(stable: number): void {
    this.control = 0;
    this.words = [];
    this.tails.clear();
    this.given.clear();
    this.nextPort = 1;
    this.io.restart(stable);
  }

  turn(): void {
    this.io.exports.turn();
  }

  /** A port that another domain has made and bound. */
  newPort(): number {
    return this.nextPort++;
  }

  setPriority(port: number, priority: number): void {
    this.priorities.set(port, priority);
  }

  private word(port: number): number {
    const page = this.words[Math.floor(port / 1024)];
    if (page === undefined) throw new Error(`port ${port} has no event word`);
    return page + (port % 1024) * 4;
  }

  /** Raises an event: sets it pending and, if it is not masked, queues it. */
  raise(port: number): void {
    const { view } = this.io;
    const at = this.word(port);
    const value = view.getUint32(at, true);
    view.setUint32(at, (value | PENDING) >>> 0, true);
    if ((value & MASKED) !== 0 || (value & LINKED) !== 0) return;
    this.queue(port);
  }

  private queue(port: number): void {
    const { view } = this.io;
    const priority = this.priorities.get(port) ?? 7;
    const at = this.word(port);
    view.setUint32(at, ((view.getUint32(at, true) | LINKED) & ~LINK) >>> 0, true);
    const tail = this.tails.get(priority);
    const tailAt = tail === undefined ? 0 : this.word(tail);
    const open = tail !== undefined && tail !== port && (view.getUint32(tailAt, true) & LINKED) !== 0;
    if (open) {
      view.setUint32(tailAt, (view.getUint32(tailAt, true) | port) >>> 0, true);
    } else {
      const head = this.control + EvtchnFifoControlBlock.head + priority * 4;
      view.setUint32(head, port, true);
      const ready = view.getUint32(this.control + EvtchnFifoControlBlock.ready, true);
      view.setUint32(this.control + EvtchnFifoControlBlock.ready, (ready | (1 << priority)) >>> 0, true);
      view.setUint8(IO_SHARED_INFO + SharedInfo.vcpu_info + VcpuInfo.evtchn_upcall_pending, 1);
    }
    this.tails.set(priority, port);
  }

  private call(op: number, [command, at]: number[]): number {
    switch (op) {
      case __HYPERVISOR_event_channel_op:
        return this.eventOp(command!, at!);
      case __HYPERVISOR_memory_op:
        return command === XENMEM_populate_physmap ? this.populate(at!) : -38;
      case __HYPERVISOR_set_timer_op:
        this.timer = BigInt(command!);
        return 0;
      case __HYPERVISOR_sched_op:
        this.pets++;
        return 1;
      case __HYPERVISOR_console_io:
        return 0;
      default:
        return -38;
    }
  }

  private populate(at: number): number {
    const { view } = this.io;
    const list = Number(view.getBigUint64(at + MemoryReservation.extent_start, true));
    const pages = 2 ** view.getUint32(at + MemoryReservation.extent_order, true);
    const gfn = Number(view.getBigUint64(list, true));
    if (pages > this.left) return 0;
    this.left -= pages;
    for (let i = 0; i < pages; i++) {
      if (this.given.has(gfn + i)) throw new Error(`page ${gfn + i} is asked for twice: its contents would be lost`);
      this.given.add(gfn + i);
    }
    return 1;
  }

  private eventOp(op: number, at: number): number {
    const { view } = this.io;
    switch (op) {
      case EVTCHNOP_init_control:
        this.control =
          Number(view.getBigUint64(at + EvtchnInitControl.control_gfn, true)) * PAGE +
          view.getUint32(at + EvtchnInitControl.offset, true);
        return 0;
      case EVTCHNOP_expand_array:
        this.words.push(Number(view.getBigUint64(at + EvtchnExpandArray.array_gfn, true)) * PAGE);
        return 0;
      case EVTCHNOP_bind_virq:
        view.setUint32(at + EvtchnBindVirq.port, this.nextPort++, true);
        return 0;
      case EVTCHNOP_send:
        this.sent.push(view.getUint32(at + EvtchnSend.port, true));
        return 0;
      case EVTCHNOP_close:
        this.closed.push(view.getUint32(at + EvtchnClose.port, true));
        return 0;
      case EVTCHNOP_unmask: {
        const port = view.getUint32(at + EvtchnUnmask.port, true);
        const word = this.word(port);
        const value = (view.getUint32(word, true) & ~MASKED) >>> 0;
        view.setUint32(word, value, true);
        if ((value & PENDING) !== 0 && (value & LINKED) === 0) this.queue(port);
        return 0;
      }
      default:
        return -38;
    }
  }
}
