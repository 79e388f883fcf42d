/** The hypervisor's side of domain 0's event channels in the FIFO ABI, in the fake machine. */
import {
  EVTCHN_FIFO_LINK_BITS,
  EVTCHN_FIFO_LINKED,
  EVTCHN_FIFO_MASKED,
  EVTCHN_FIFO_PENDING,
  EVTCHN_FIFO_PRIORITY_DEFAULT,
  EvtchnExpandArray,
  EvtchnFifoControlBlock,
  EvtchnInitControl,
} from "../../../abi/event-channel.ts";
import { EINVAL, EOPNOTSUPP } from "../../../abi/errno.ts";
import { DOM0_SHARED_INFO } from "../../../abi/domain0-layout.ts";
import { VcpuInfo } from "../../../abi/xen.ts";
import type { PagedWindow } from "./paged-window.ts";

const PAGE = 4096;
const PAGE_WORDS = PAGE / 4;
const PENDING = 2 ** EVTCHN_FIFO_PENDING;
const MASKED = 2 ** EVTCHN_FIFO_MASKED;
const LINKED = 2 ** EVTCHN_FIFO_LINKED;
const LINK = 2 ** EVTCHN_FIFO_LINK_BITS - 1;

const has = (word: number, bit: number): boolean => (word & bit) !== 0;

export class FakeFifo {
  private control = 0;
  private readonly pages: number[] = [];
  /** Ports raised before they had a word. */
  private readonly waiting = new Set<number>();
  private tail = 0;

  constructor(private readonly window: PagedWindow) {}

  /** As for a domain that has just started. */
  reset(): void {
    this.control = 0;
    this.tail = 0;
    this.pages.length = 0;
    this.waiting.clear();
  }

  initControl(arg: number): number {
    if (this.control !== 0) return -EINVAL;
    const w = this.window;
    this.control = w.load32(arg + EvtchnInitControl.control_gfn) * PAGE + w.load32(arg + EvtchnInitControl.offset);
    return 0;
  }

  expandArray(arg: number): number {
    if (this.control === 0) return -EOPNOTSUPP;
    this.pages.push(this.window.load32(arg + EvtchnExpandArray.array_gfn) * PAGE);
    for (const port of [...this.waiting]) {
      if (this.wordAt(port) === null) continue;
      this.waiting.delete(port);
      this.setPending(port);
    }
    return 0;
  }

  private wordAt(port: number): number | null {
    const page = this.pages[Math.floor(port / PAGE_WORDS)];
    return page === undefined ? null : page + (port % PAGE_WORDS) * 4;
  }

  private set(at: number, bits: number): void {
    this.window.store32(at, (this.window.load32(at) | bits) >>> 0);
  }

  private clear(at: number, bits: number): void {
    this.window.store32(at, (this.window.load32(at) & ~bits) >>> 0);
  }

  /** As in the hypervisor: a port that is masked or already queued causes no wake-up. */
  setPending(port: number): void {
    const w = this.window;
    const at = this.wordAt(port);
    if (at === null) {
      this.waiting.add(port);
      return;
    }
    this.set(at, PENDING);
    const word = w.load32(at);
    if (has(word, MASKED) || has(word, LINKED)) return;
    this.set(at, LINKED);
    const tail = this.tail;
    this.tail = port;
    if (tail !== 0 && tail !== port) {
      const before = this.wordAt(tail)!;
      if (has(w.load32(before), LINKED)) {
        w.store32(before, ((w.load32(before) & ~LINK) | port) >>> 0);
        return;
      }
    }
    w.store32(this.control + EvtchnFifoControlBlock.head + EVTCHN_FIFO_PRIORITY_DEFAULT * 4, port);
    this.set(this.control + EvtchnFifoControlBlock.ready, 2 ** EVTCHN_FIFO_PRIORITY_DEFAULT);
    w.store8(DOM0_SHARED_INFO + VcpuInfo.evtchn_upcall_pending, 1);
  }

  unmask(port: number): void {
    const at = this.wordAt(port);
    if (at === null) return;
    this.clear(at, MASKED);
    if (has(this.window.load32(at), PENDING)) this.setPending(port);
  }

  /** A port was closed: what was pending is not any more. Its number is not free while it is on the queue. */
  closed(port: number): void {
    this.waiting.delete(port);
    const at = this.wordAt(port);
    if (at !== null) this.clear(at, PENDING);
  }

  isBusy(port: number): boolean {
    const at = this.wordAt(port);
    return at !== null && has(this.window.load32(at), LINKED);
  }
}
