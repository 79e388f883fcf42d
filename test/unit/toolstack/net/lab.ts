/** Domain 0's TCP (toolstack/control/net) on the module that boots, and peers, on one wire and by one clock. */
import { DOM0_CALL_PAGE, DOM0_NET } from "../../../../abi/domain0-layout.ts";
import { HVMOP_get_time } from "../../../../abi/hvm.ts";
import { MemoryReservation } from "../../../../abi/memory.ts";
import { NET_CONFIGURE, NET_MEMORY_BYTES, NetMailbox } from "../../../../abi/net.ts";
import { CallPage, SANDBOX_ABSENT, SANDBOX_NEW, SANDBOX_RETURNED, SANDBOX_STOPPED } from "../../../../abi/software.ts";
import { __HYPERVISOR_hvm_op, __HYPERVISOR_memory_op } from "../../../../abi/xen.ts";
import { openHost } from "../../../../toolstack/control/host.ts";
import { openHypercalls } from "../../../../toolstack/control/hypercall.ts";
import { NetModule } from "../../../../toolstack/control/net/module.ts";
import { Tcp } from "../../../../toolstack/control/net/tcp.ts";
import { openScratch } from "../../../../toolstack/control/scratch.ts";
import { beginTurn, runTasks } from "../../../../toolstack/control/tasks.ts";
import { runTimers } from "../../../../toolstack/control/timers.ts";
import { Random } from "../../../sim/random.ts";
import { PagedWindow } from "../paged-window.ts";
import { Backend, type Frame, instantiate, type NetExports, netMemory, Peer } from "./stack.ts";
import { NO_HOST } from "../no-host.ts";

const PAGE = 4096;
const FIRST_REF = 8;
export const STEP_NS = 1e6;

/** Of 1000 frames so many are lost, come twice, come behind the next one. */
export interface Faults {
  lost: number;
  twice: number;
  late: number;
}
export const NONE: Faults = { lost: 0, twice: 0, late: 0 };

const window = new PagedWindow((page) => {
  const bytes = new Uint8Array(PAGE);
  window.map(page, bytes);
  return bytes;
});
const memory = netMemory();
for (let at = 0; at < NET_MEMORY_BYTES; at += PAGE) {
  window.map((DOM0_NET + at) / PAGE, new Uint8Array(memory.buffer, at, PAGE));
}

let now = 1e9;
let exports: NetExports | null = null;
let booted: WebAssembly.Module;
/** Makes the module's next call a fault. */
let faulty = false;

const argument = (n: number) => window.load32(DOM0_CALL_PAGE + CallPage.args + 8 * n);

function hypercall(): number {
  const op = window.load32(DOM0_CALL_PAGE + CallPage.op);
  if (op === __HYPERVISOR_hvm_op && argument(0) === HVMOP_get_time) {
    window.store32(argument(1), now >>> 0);
    window.store32(argument(1) + 4, Math.floor(now / 2 ** 32));
  }
  return op === __HYPERVISOR_memory_op ? window.load32(argument(1) + MemoryReservation.nr_extents) : 0;
}

function sandbox(): number {
  const number = window.load32(DOM0_CALL_PAGE + CallPage.sandbox);
  try {
    if (number & SANDBOX_NEW) exports = instantiate(booted, memory);
    if (exports === null) return SANDBOX_ABSENT;
    if (faulty) throw new WebAssembly.RuntimeError("as asked for");
    const words = [0, 1, 2, 3, 4, 5].map((i) => window.load32(DOM0_CALL_PAGE + CallPage.sandboxArguments + 4 * i));
    const result = exports.call(...(words as [number, number, number, number, number, number]));
    window.store32(DOM0_CALL_PAGE + CallPage.sandboxResult, result >>> 0);
    return SANDBOX_RETURNED;
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error;
    exports = null;
    faulty = false;
    return SANDBOX_STOPPED;
  }
}

openHost({
  ...NO_HOST,
  hypercall: () => {
    window.store32(DOM0_CALL_PAGE + CallPage.result, hypercall());
    window.store32(DOM0_CALL_PAGE + CallPage.result + 4, 0);
  },
  sandbox: () => window.store32(DOM0_CALL_PAGE + CallPage.sandboxStatus, sandbox()),
  machineWindow: window,
});
openHypercalls();
openScratch();

export class Lab {
  readonly module = new NetModule();
  readonly tcp = new Tcp(this.module, () => {});
  readonly peers: Peer[] = [];
  faults = NONE;
  private backend!: Backend;
  private readonly random = new Random(1);
  private held: { frame: Frame; from: number } | null = null;

  constructor(modules: { boots: WebAssembly.Module; client: WebAssembly.Module }, peers: number) {
    booted = modules.boots;
    this.open();
    for (let i = 0; i < peers; i++) this.peers.push(new Peer(modules.client, () => now, i + 2));
  }

  /** Opens domain 0's side, or opens it again. */
  open(): void {
    const missing = this.module.open(Uint8Array.of(0, 0x16, 0x3e, 0, 1, 1), FIRST_REF);
    if (missing !== null) throw new Error(missing);
    this.module.call(NET_CONFIGURE, 0x0100000a, 0x00ffffff, 0);
    this.backend = new Backend(memory, this.module.shared - DOM0_NET);
    this.tcp.opened();
  }

  /** The module's next call is a fault. */
  breakModule(): void {
    faulty = true;
  }

  /** Gives domain 0 a frame of nobody's. */
  inject(bytes: Uint8Array): void {
    this.backend.give({ bytes, flags: 0 });
  }

  get address(): Uint8Array {
    return this.module.addressField(NetMailbox.address);
  }

  /** Time passes: everybody is polled, and frames go to all others. */
  step(ns = STEP_NS): void {
    now += ns;
    runTimers(now);
    if (this.module.isOpen) while (this.module.poll() === 1);
    this.tcp.dispatch();
    beginTurn(now);
    runTasks();
    for (const peer of this.peers) peer.poll();
    const ends = [this.backend, ...this.peers.map(({ backend }) => backend)];
    ends.forEach((end, from) => {
      for (const frame of end.take()) this.pass(ends, from, frame);
    });
  }

  private chance(of1000: number): boolean {
    return this.random.below(1000) < of1000;
  }

  private pass(ends: Backend[], from: number, frame: Frame): void {
    const to = (origin: number, what: Frame) => ends.forEach((end, i) => i !== origin && end.give(what));
    if (this.chance(this.faults.lost)) return;
    if (this.chance(this.faults.late) && this.held === null) {
      this.held = { frame, from };
      return;
    }
    to(from, frame);
    if (this.chance(this.faults.twice)) to(from, frame);
    if (this.held !== null) to(this.held.from, this.held.frame);
    this.held = null;
  }

  /** Steps until something is so. @throws Error when it is not after so many steps */
  until(what: string, isSo: () => boolean, steps = 20_000, ns = STEP_NS): void {
    for (let i = 0; i < steps; i++) {
      if (isSo()) return;
      this.step(ns);
    }
    throw new Error(`not so after ${steps} steps: ${what}`);
  }
}
