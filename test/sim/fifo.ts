/**
 * A guest's side of FIFO event channels, after the protocol of xen/event_channel.h as Linux follows it. The processor of
 * the simulation does one thing at a time, so each method is atomic.
 */
import {
  EVTCHN_FIFO_LINK_BITS,
  EVTCHN_FIFO_LINKED,
  EVTCHN_FIFO_MASKED,
  EVTCHN_FIFO_MAX_QUEUES,
  EVTCHN_FIFO_PENDING,
  EVTCHNOP_expand_array,
  EVTCHNOP_init_control,
  EvtchnExpandArray,
  EvtchnFifoControlBlock,
  EvtchnInitControl,
} from "../../abi/event-channel.ts";
import { __HYPERVISOR_event_channel_op } from "../../abi/xen.ts";
import { structured, type Steps } from "./call.ts";
import { PAGE } from "./ram.ts";
import type { GuestCpu } from "./svm-cpu.ts";

export const PENDING = (1 << EVTCHN_FIFO_PENDING) >>> 0;
export const MASKED = 1 << EVTCHN_FIFO_MASKED;
export const LINKED = 1 << EVTCHN_FIFO_LINKED;
const LINK_MASK = (1 << EVTCHN_FIFO_LINK_BITS) - 1;
const WORDS_PER_PAGE = PAGE / 4;

/** EVTCHNOP_init_control; its result and the structure afterwards. */
export function* initControl(cpu: GuestCpu, vcpu: number, gfn: number, offset = 0): Steps<number> {
  const size = EvtchnInitControl.SIZE;
  const { result, view } = yield* structured(cpu, __HYPERVISOR_event_channel_op, EVTCHNOP_init_control, size, (v) => {
    v.setUint32(EvtchnInitControl.vcpu, vcpu, true);
    v.setBigUint64(EvtchnInitControl.control_gfn, BigInt(gfn), true);
    v.setUint32(EvtchnInitControl.offset, offset, true);
  });
  const bits = view.getUint8(EvtchnInitControl.link_bits);
  if (result === 0 && bits !== EVTCHN_FIFO_LINK_BITS) throw new Error(`link_bits is ${bits}`);
  return result;
}

/** EVTCHNOP_expand_array. */
export function* expandArray(cpu: GuestCpu, gfn: number): Steps<number> {
  const size = EvtchnExpandArray.SIZE;
  const { result } = yield* structured(cpu, __HYPERVISOR_event_channel_op, EVTCHNOP_expand_array, size, (v) =>
    v.setBigUint64(EvtchnExpandArray.array_gfn, BigInt(gfn), true),
  );
  return result;
}

/** The queues of one vCPU, and the event words of its domain. */
export class FifoView {
  /** Port to take next from each queue; 0: look into the control block. */
  private readonly heads = new Array<number>(EVTCHN_FIFO_MAX_QUEUES).fill(0);
  /** Queues that may have something, as collected from the control block. */
  private ready = 0;

  constructor(
    private readonly cpu: GuestCpu,
    private readonly control: number,
    private readonly wordPages: number[],
  ) {}

  word(port: number): number {
    return this.at(port).getUint32(0, true);
  }

  setWord(port: number, value: number): void {
    this.at(port).setUint32(0, value, true);
  }

  private at(port: number): DataView {
    const gfn = this.wordPages[Math.floor(port / WORDS_PER_PAGE)];
    if (gfn === undefined) throw new Error(`port ${port} has no event word`);
    return this.cpu.look(gfn * PAGE + (port % WORDS_PER_PAGE) * 4, 4);
  }

  get block(): DataView {
    return this.cpu.look(this.control, EvtchnFifoControlBlock.SIZE);
  }

  get readyWord(): number {
    return this.block.getUint32(EvtchnFifoControlBlock.ready, true);
  }

  head(priority: number): number {
    return this.block.getUint32(EvtchnFifoControlBlock.head + priority * 4, true);
  }

  mask(port: number): void {
    this.setWord(port, (this.word(port) | MASKED) >>> 0);
  }

  /** Clears MASKED unless the port is pending: then EVTCHNOP_unmask must do it. Whether it was done. */
  unmaskCheaply(port: number): boolean {
    if (this.word(port) & PENDING) return false;
    this.setWord(port, (this.word(port) & ~MASKED) >>> 0);
    return true;
  }

  /** Takes one event off the highest queue that is not empty: the port when it is to be handled, 0 when not, null: none. */
  take(): { port: number; handled: boolean; priority: number } | null {
    this.collect();
    if (this.ready === 0) return null;
    const priority = 31 - Math.clz32(this.ready & -this.ready);
    const port = this.heads[priority] || this.head(priority);
    const word = this.word(port);
    const link = word & LINK_MASK;
    this.setWord(port, (word & ~(LINKED | LINK_MASK)) >>> 0);
    this.heads[priority] = link;
    if (link === 0) this.ready &= ~(1 << priority);
    const handled = (word & PENDING) !== 0 && (word & MASKED) === 0;
    if (handled) this.setWord(port, (this.word(port) & ~PENDING) >>> 0);
    return { port, handled, priority };
  }

  private collect(): void {
    this.ready |= this.readyWord;
    this.block.setUint32(EvtchnFifoControlBlock.ready, 0, true);
  }

  /** Takes everything; the ports handled, in order. */
  drain(): number[] {
    const handled: number[] = [];
    for (let event = this.take(); event !== null; event = this.take()) if (event.handled) handled.push(event.port);
    return handled;
  }
}
