/**
 * A fake hypervisor, for tests of the control plane in Node: the hypercalls that domain 0 makes, with Xen's
 * results, and a window in which every page is separate memory. The control plane under test is the
 * bundle that boots, evaluated in a separate context; a second evaluation on the same machine is a restarted domain 0.
 */
import { createContext } from "node:vm";
import {
  Domctl,
  DomctlCreatedomain,
  DomctlGetdomaininfo,
  DomctlHvmcontext,
  DomctlMaxMem,
  DomctlSendtrigger,
  XEN_DOMCTL_createdomain,
  XEN_DOMCTL_destroydomain,
  XEN_DOMCTL_getdomaininfo,
  XEN_DOMCTL_max_mem,
  XEN_DOMCTL_max_vcpus,
  XEN_DOMCTL_pausedomain,
  XEN_DOMCTL_sendtrigger,
  XEN_DOMCTL_setdomainhandle,
  XEN_DOMCTL_sethvmcontext,
  XEN_DOMCTL_soft_reset,
  XEN_DOMCTL_unpausedomain,
} from "../../../abi/domctl.ts";
import {
  DomctlGetDomainState,
  XEN_DOMCTL_get_domain_state,
  XEN_DOMCTL_GETDOMSTATE_STATE_EXIST,
  XEN_DOMCTL_GETDOMSTATE_STATE_SHUTDOWN,
} from "../../../abi/domain-state.ts";
import { EEXIST, EFAULT, EINVAL, ENOENT, ENOSYS, EPERM, ESRCH } from "../../../abi/errno.ts";
import { HVMOP_get_param, HVMOP_get_time, HVMOP_set_param } from "../../../abi/hvm.ts";
import {
  ForeignMemoryMap,
  XENMEM_add_to_physmap_batch,
  XENMEM_decrease_reservation,
  XENMEM_populate_physmap,
  XENMEM_remove_from_physmap,
  XENMEM_set_memory_map,
} from "../../../abi/memory.ts";
import { SCHEDOP_shutdown, SCHEDOP_watchdog } from "../../../abi/sched.ts";
import { CallPage } from "../../../abi/software.ts";
import {
  DOM0_CALL_PAGE,
  DOM0_MODULES,
  DOM0_SCRATCH,
  DOM0_SCRATCH_END,
  DOM0_SHARED_INFO,
  DOM0_IMAGES,
  DOM0_IMAGES_END,
  DOM0_STABLE,
  DOM0_STABLE_END,
} from "../../../abi/domain0-layout.ts";
import {
  Sysctl,
  SysctlGetdomaininfolist,
  SysctlPhysinfo,
  SysctlReadconsole,
  XEN_SYSCTL_get_cpu_policy,
  XEN_SYSCTL_PHYSCAP_hvm,
  XEN_SYSCTL_getdomaininfolist,
  XEN_SYSCTL_perfc_op,
  XEN_SYSCTL_physinfo,
  XEN_SYSCTL_readconsole,
} from "../../../abi/sysctl.ts";
import {
  __HYPERVISOR_console_io,
  __HYPERVISOR_domctl,
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_hvm_op,
  __HYPERVISOR_memory_op,
  __HYPERVISOR_multicall,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_set_timer_op,
  __HYPERVISOR_sysctl,
  __HYPERVISOR_xen_version,
  CONSOLEIO_write,
  DOMID_INVALID,
  DOMID_SELF,
  MulticallEntry,
  VcpuInfo,
  VIRQ_CONSOLE,
  VIRQ_DOM_EXC,
  VIRQ_TIMER,
} from "../../../abi/xen.ts";
import { controlBundle } from "./control-bundle.ts";
import { FakeDomain, writeDomainInfo } from "./fake-domain.ts";
import { type FakeModule, writeStartInfo } from "./fake-start-info.ts";
import { hostEncode } from "./host-encode.ts";
import { HostSandbox } from "./host-sandbox.ts";
import { FakeEvents } from "./fake-events.ts";
import { schedulerDomctl, schedulerSysctl } from "./fake-scheduler.ts";
import { TAKING } from "./fake-failures.ts";
import { PagedWindow } from "./paged-window.ts";

const PAGE = 4096;

/** Memory of domain 0 that a restart leaves as it is: uploaded images, and all of it. */
const isImages = (address: number) => address >= DOM0_IMAGES && address < DOM0_IMAGES_END;
const isStable = (address: number) => address >= DOM0_IMAGES && address < DOM0_STABLE_END;

export class FakeMachine {
  readonly window = new PagedWindow((page, address) => this.touch(page, address));
  readonly domains = new Map<number, FakeDomain>();
  readonly domain0 = new FakeDomain(0);
  private readonly sandbox = new HostSandbox(this.window);
  /** Domains that have shut down or been freed since they were last reported. */
  private readonly changed = new Set<number>();
  output = ""; // what reached the serial console
  input: number[] = [];
  freePages: number;
  ended: number | null = null; // SHUTDOWN_*
  log = "(XEN) fake log\n";
  virtualisation = true;
  cpus = 1;
  hypercalls = 0;
  /** XENMEM_populate_physmap calls for guests. */
  populations = 0;
  watchdogs = 0;
  /** Time that a byte takes on the serial line, ns: the hypercall returns when it has gone out. */
  lineNs = 0;
  // The longest turn so far, promise jobs included, and how long the watchdog was left alone at most, ns.
  longestTurn = 0;
  /** The most hypercalls of one turn so far. */
  busiestTurn = 0;
  longestNeglect = 0;
  private petted = 0;
  guest: (domain: FakeDomain) => void = () => {};
  /** Called whenever domain 0 reads the console, after every write to it, whenever it asks which domains there are. */
  duringRead: () => void = () => {};
  duringWrite: () => void = () => {};
  duringList: () => void = () => {};
  /** Domain 0 has failed in the middle of a turn; what is called before each of its hypercalls, and of its domctls. */
  dead = false;
  duringCall: () => void = () => {};
  duringDomctl: (command: number) => void = () => {};
  /** Makes the next hypercall with this number (and command, for memory_op and domctl) fail. */
  failNext: { op: number; command: number; errno: number } | null = null;

  /** The hypercall after `passing` others fails with `errno`, of those that take something of which there may be none left. */
  failAfter: { passing: number; errno: number } | null = null;

  /** Pages of stable memory that can be had. */
  stablePages = Infinity;
  /** Pages that are left for uploaded images. */
  imagePages = 10_000;

  private readonly events: FakeEvents;
  private readonly maps = new Map<number, { domain: FakeDomain; gfn: number }>();
  private nextId = 1;
  private nextModule = DOM0_MODULES;
  private modules: FakeModule[] = [];
  /** System time, ns. */
  now = 1e9;
  frameNs = 0; // what a frame given or taken costs
  private timer = 0;
  private turn: () => void = () => {};
  /** Domain 0's globals: what `js` sees. */
  globals: Record<string, unknown> = {};

  /** @param commandLine Typevisor's own @param freeMib memory for guests */
  constructor(
    private readonly commandLine: string,
    freeMib = 256,
  ) {
    this.freePages = (freeMib * 1024 * 1024) / PAGE;
    this.domain0.maxPages = Infinity;
    this.events = new FakeEvents(this.window, this.domain0, this.domains);
  }

  /** Adds a boot module; before `boot`. */
  addModule(name: string, data: Uint8Array): void {
    const address = this.nextModule;
    this.nextModule += Math.ceil((data.length + 1) / PAGE) * PAGE;
    for (let page = address; page < this.nextModule; page += PAGE) this.window.map(page / PAGE, new Uint8Array(PAGE));
    this.window.write(address, data);
    this.modules.push({ name, address, size: data.length });
  }

  /** Evaluates the bundle and runs it until it waits. Called again: domain 0 has crashed and is restarted. */
  async boot(): Promise<void> {
    this.events.reset();
    for (const page of [...this.maps.keys()]) this.unmap(page);
    for (let at = DOM0_SCRATCH; at < DOM0_SCRATCH_END; at += PAGE) this.window.unmap(at / PAGE);
    this.timer = 0;
    this.watchdogs = 0;
    this.dead = false;
    writeStartInfo(this.window, this.commandLine, this.modules);
    const sandbox = {
      hypercall: () => this.hypercall(),
      exchange: () => this.exchange(),
      sandbox: () => this.sandbox.call(),
      encode: (text: string) => hostEncode(this.window, text),
      random: () => {},
      machineWindow: this.window,
    };
    (await controlBundle).runInContext(createContext(sandbox));
    this.globals = sandbox;
    this.turn = (sandbox as unknown as { turn: () => void }).turn;
    await this.step();
    await this.settle();
  }

  /** Runs turns while events are pending. */
  async settle(): Promise<void> {
    for (let i = 0; i < 1000 && this.ended === null; i++) {
      const pending = this.window.load8(DOM0_SHARED_INFO + VcpuInfo.evtchn_upcall_pending) !== 0;
      if (!pending && (this.timer === 0 || this.timer > this.now)) return;
      if (!pending) this.fireTimer();
      await this.step();
    }
  }

  /** Lets time pass, running turns for timers that expire. */
  async pass(ms: number): Promise<void> {
    const until = this.now + ms * 1e6;
    while (this.ended === null) {
      await this.settle();
      if (this.timer === 0 || this.timer > until) break;
      this.fireTimer();
    }
    this.now = until;
  }

  /** Lets time pass until domain 0's timer has fired, without a turn. */
  fireTimer(): void {
    if (this.timer === 0) throw new Error("no timer is armed");
    this.now = Math.max(this.now, this.timer);
    this.timer = 0;
    this.raiseVirq(VIRQ_TIMER);
  }

  /** Types on the console and lets domain 0 react. */
  async type(text: string): Promise<void> {
    this.input.push(...Buffer.from(text, "utf8"));
    this.raiseVirq(VIRQ_CONSOLE);
    await this.settle();
  }

  /** What the console shows since the last call. */
  takeOutput(): string {
    const text = Buffer.from(this.output, "latin1").toString("utf8");
    this.output = "";
    return text;
  }

  raiseVirq(virq: number): void {
    this.events.raiseVirq(virq);
  }

  /** A guest's SCHEDOP_shutdown. */
  shutdownGuest(domain: FakeDomain, code: number): void {
    domain.shutdown = code;
    this.changed.add(domain.id);
    this.raiseVirq(VIRQ_DOM_EXC);
  }

  /** A guest's EVTCHNOP_send. */
  notifyFrom(domain: FakeDomain, port: number): void {
    const peer = domain.ports.get(port)?.peer;
    if (peer) this.events.setPending(peer.number);
  }

  /** Ports that domain 0 has. */
  get ports(): number {
    return this.domain0.ports.size;
  }

  get mappedPages(): number {
    return this.maps.size;
  }

  private async step(): Promise<void> {
    this.now += 1e5;
    const began = this.now;
    const calls = this.hypercalls;
    this.turn();
    // Promise jobs.
    await new Promise((resolve) => setImmediate(resolve));
    this.longestTurn = Math.max(this.longestTurn, this.now - began);
    this.busiestTurn = Math.max(this.busiestTurn, this.hypercalls - calls);
  }

  private touch(page: number, address: number): Uint8Array {
    // Domain 0's frame numbers are the pages of its window.
    const given = this.domain0.frames.get(page);
    if (given !== undefined) return given;
    const stable = isStable(address);
    if (address >= DOM0_MODULES && !stable) {
      throw new RangeError(`domain 0 has nothing at 0x${address.toString(16)}`);
    }
    if (isImages(address) && this.imagePages-- <= 0) {
      throw new RangeError("domain 0 touches memory that there is none of: that would be its end");
    }
    const fresh = new Uint8Array(PAGE);
    this.window.map(page, fresh);
    return fresh;
  }

  private exchange(): void {
    const address = this.window.load32(DOM0_CALL_PAGE + CallPage.exchangeAddress);
    const old = this.window.load32(address);
    if (old === this.window.load32(DOM0_CALL_PAGE + CallPage.exchangeExpected))
      this.window.store32(address, this.window.load32(DOM0_CALL_PAGE + CallPage.exchangeValue));
    this.window.store32(DOM0_CALL_PAGE + CallPage.exchangeValue, old);
  }

  private hypercall(): void {
    this.hypercalls++;
    const op = this.window.load64(DOM0_CALL_PAGE + CallPage.op);
    const args = [0, 1, 2, 3].map((i) => this.window.load64(DOM0_CALL_PAGE + CallPage.args + i * 8));
    const result = this.dispatch(op, args);
    this.window.store32(DOM0_CALL_PAGE + CallPage.result, result >>> 0);
    this.window.store32(DOM0_CALL_PAGE + CallPage.result + 4, result < 0 ? 0xffffffff : Math.floor(result / 2 ** 32));
  }

  private dispatch(op: number, args: number[]): number {
    const [a1, a2, a3] = args as [number, number, number];
    if (!this.dead) this.duringCall();
    if (this.dead) return 0;
    const command = op === __HYPERVISOR_domctl ? this.window.load32(a1 + Domctl.cmd) : a1;
    if (this.failNext !== null && this.failNext.op === op && this.failNext.command === command) {
      const { errno } = this.failNext;
      this.failNext = null;
      return -errno;
    }
    if (this.failAfter !== null && TAKING.get(op)?.has(command) && this.failAfter.passing-- === 0) {
      const { errno } = this.failAfter;
      this.failAfter = null;
      return -errno;
    }
    switch (op) {
      case __HYPERVISOR_console_io:
        return a1 === CONSOLEIO_write ? this.consoleWrite(a2, a3) : this.consoleRead(a2, a3);
      case __HYPERVISOR_set_timer_op:
        this.timer = a1;
        return 0;
      case __HYPERVISOR_sched_op:
        return this.schedOp(a1, a2);
      case __HYPERVISOR_event_channel_op:
        return this.events.operation(a1, a2);
      case __HYPERVISOR_hvm_op:
        return this.hvmOp(a1, a2);
      case __HYPERVISOR_memory_op:
        return this.memoryOp(a1, a2);
      case __HYPERVISOR_multicall:
        return this.multicall(a1, a2);
      case __HYPERVISOR_domctl:
        return this.domctl(a1);
      case __HYPERVISOR_sysctl:
        return this.sysctl(a1);
      case __HYPERVISOR_xen_version:
        if (a1 === 0) return (4 << 16) | 17;
        if (isImages(a2) && !this.window.has(Math.floor(a2 / PAGE)) && this.imagePages <= 0) return -EFAULT;
        if (a2 >= DOM0_STABLE + this.stablePages * PAGE && a2 < DOM0_STABLE_END) return -EFAULT;
        this.window.write(a2, Buffer.from(a1 === 1 ? ".fake\0" : "hvm-3.0-x86_64 \0"));
        return 0;
      default:
        return -ENOSYS;
    }
  }

  private consoleWrite(length: number, address: number): number {
    this.now += length * this.lineNs;
    this.output += Buffer.from(this.window.read(address, length)).toString("latin1").replace(/\r?\n/g, "\r\n");
    this.duringWrite();
    return 0;
  }

  private consoleRead(room: number, address: number): number {
    this.duringRead();
    const bytes = this.input.splice(0, room);
    this.window.write(address, Uint8Array.from(bytes));
    return bytes.length;
  }

  private schedOp(op: number, arg: number): number {
    if (op === SCHEDOP_watchdog) {
      if (this.petted > 0) this.longestNeglect = Math.max(this.longestNeglect, this.now - this.petted);
      this.petted = this.now;
      const id = this.window.load32(arg);
      if (id !== 0) return id <= this.watchdogs ? 0 : -EINVAL;
      return this.watchdogs < 2 ? ++this.watchdogs : -EEXIST;
    }
    if (op === SCHEDOP_shutdown) {
      this.ended = this.window.load32(arg);
      return 0;
    }
    return -ENOSYS;
  }

  private hvmOp(op: number, arg: number): number {
    if (op === HVMOP_get_time) {
      this.window.store64(arg, (this.now += 1000));
      return 0;
    }
    const domain = this.domains.get(this.window.load16(arg));
    if (domain === undefined) return -ESRCH;
    const index = this.window.load32(arg + 4);
    if (op === HVMOP_set_param) domain.setParam(index, this.window.load64(arg + 8));
    else if (op === HVMOP_get_param) this.window.store64(arg + 8, domain.params.get(index) ?? 0);
    else return -ENOSYS;
    return 0;
  }

  private memoryOp(op: number, arg: number): number {
    const w = this.window;
    if (op === XENMEM_populate_physmap || op === XENMEM_decrease_reservation) {
      const domain = w.load16(arg + 24) === DOMID_SELF ? this.domain0 : this.domains.get(w.load16(arg + 24));
      if (domain === undefined) return -ESRCH;
      const [list, extents, pages] = [w.load64(arg), w.load64(arg + 8), 2 ** w.load32(arg + 16)];
      const give = op === XENMEM_populate_physmap;
      if (give && domain !== this.domain0) this.populations++;
      for (let i = 0; i < extents; i++) {
        if (give && (this.freePages < pages || domain.frames.size + pages > domain.maxPages)) return i;
        const gfn = this.window.load64(list + i * 8);
        for (let p = 0; p < pages; p++) {
          if (!give && domain === this.domain0 && isStable((gfn + p) * PAGE)) {
            if (!w.unmap(gfn + p)) return i;
            this.imagePages++;
          } else if (give) domain.frames.set(gfn + p, new Uint8Array(PAGE));
          else if (!domain.frames.delete(gfn + p)) return i;
        }
        this.freePages += give ? -pages : pages;
        this.now += pages * this.frameNs;
      }
      return extents;
    }
    if (op === XENMEM_add_to_physmap_batch) {
      const domain = this.domains.get(w.load16(arg + 6));
      if (domain === undefined) return -ESRCH;
      for (let i = 0; i < w.load16(arg + 4); i++) {
        const gfn = this.window.load64(this.window.load64(arg + 8) + i * 8);
        const frame = domain.frames.get(gfn);
        w.store32(this.window.load64(arg + 24) + i * 4, frame === undefined ? -EINVAL : 0);
        if (frame === undefined) continue;
        const page = this.window.load64(this.window.load64(arg + 16) + i * 8);
        this.unmap(page);
        this.maps.set(page, { domain, gfn });
        domain.mapped++;
        w.map(page, frame);
      }
      return 0;
    }
    if (op === XENMEM_remove_from_physmap) return this.unmap(this.window.load64(arg + 8)) ? 0 : -EINVAL;
    if (op === XENMEM_set_memory_map) {
      const domain = this.domains.get(w.load16(arg));
      if (domain === undefined) return -ESRCH;
      const list = this.window.load64(arg + ForeignMemoryMap.map_buffer);
      domain.memoryMap = Array.from({ length: w.load32(arg + ForeignMemoryMap.map_nr_entries) }, (_, i) => {
        const at = list + 20 * i;
        return [this.window.load64(at), this.window.load64(at + 8), w.load32(at + 16)];
      });
      return 0;
    }
    return -ENOSYS;
  }

  private unmap(page: number): boolean {
    const map = this.maps.get(page);
    if (map === undefined) return false;
    map.domain.mapped--;
    this.maps.delete(page);
    this.window.unmap(page);
    return true;
  }

  private multicall(list: number, calls: number): number {
    for (let i = 0; i < calls; i++) {
      const entry = list + i * MulticallEntry.SIZE;
      const args = [0, 1, 2, 3].map((k) => this.window.load64(entry + MulticallEntry.args + k * 8));
      const result = this.dispatch(this.window.load64(entry + MulticallEntry.op), args);
      this.window.store32(entry + MulticallEntry.result, result >>> 0);
      this.window.store32(entry + MulticallEntry.result + 4, result < 0 ? 0xffffffff : 0);
    }
    return 0;
  }

  private domctl(arg: number): number {
    const w = this.window;
    const cmd = w.load32(arg + Domctl.cmd);
    const u = arg + Domctl.u;
    this.duringDomctl(cmd);
    if (this.dead) return -ENOSYS;
    if (cmd === XEN_DOMCTL_createdomain) {
      if (!this.virtualisation) return -EINVAL;
      const domain = new FakeDomain(this.nextId++);
      domain.vcpus = w.load32(u + DomctlCreatedomain.max_vcpus);
      this.domains.set(domain.id, domain);
      w.store16(arg + Domctl.domain, domain.id);
      return 0;
    }
    const id = w.load16(arg + Domctl.domain);
    if (cmd === XEN_DOMCTL_get_domain_state && id === DOMID_INVALID) return this.tellChange(arg);
    const domain = id === 0 ? this.domain0 : this.domains.get(id);
    if (domain === undefined) return -ESRCH;
    switch (cmd) {
      case XEN_DOMCTL_setdomainhandle:
        domain.handle = new Uint8Array(w.read(u, 16));
        return 0;
      case XEN_DOMCTL_getdomaininfo:
        writeDomainInfo(w, domain, u);
        return 0;
    }
    const scheduled = schedulerDomctl(w, domain, cmd, u, this.cpus);
    if (scheduled !== -ENOSYS) return scheduled;
    if (domain === this.domain0) return -EPERM;
    switch (cmd) {
      case XEN_DOMCTL_max_vcpus:
        return 0;
      case XEN_DOMCTL_max_mem:
        domain.maxPages = this.window.load64(u + DomctlMaxMem.max_memkb) / 4;
        return 0;
      case XEN_DOMCTL_sethvmcontext: {
        const size = w.load32(u + DomctlHvmcontext.size);
        domain.context = new Uint8Array(w.read(this.window.load64(u + DomctlHvmcontext.buffer), size));
        return 0;
      }
      case XEN_DOMCTL_pausedomain:
        domain.pauses++;
        return 0;
      case XEN_DOMCTL_unpausedomain:
        if (domain.pauses === 0) return -EINVAL;
        if (--domain.pauses === 0) this.guest(domain);
        return 0;
      case XEN_DOMCTL_soft_reset:
        domain.ports.forEach((port) => this.events.close(port));
        return domain.softReset();
      case XEN_DOMCTL_sendtrigger:
        domain.triggers.push([w.load32(u + DomctlSendtrigger.trigger), w.load32(u + DomctlSendtrigger.vcpu)]);
        return 0;
      case XEN_DOMCTL_destroydomain:
        if (domain.mapped > 0) throw new Error(`domain ${id} destroyed while ${domain.mapped} frames are mapped`);
        this.freePages += domain.frames.size;
        this.domains.delete(id);
        this.changed.add(id);
        return 0;
      default:
        return -ENOSYS;
    }
  }

  private tellChange(arg: number): number {
    const [id] = this.changed;
    if (id === undefined) return -ENOENT;
    this.changed.delete(id);
    const domain = this.domains.get(id);
    const down = (domain?.shutdown ?? null) !== null ? XEN_DOMCTL_GETDOMSTATE_STATE_SHUTDOWN : 0;
    const state = domain === undefined ? 0 : XEN_DOMCTL_GETDOMSTATE_STATE_EXIST | down;
    this.window.store16(arg + Domctl.domain, id);
    this.window.store16(arg + Domctl.u + DomctlGetDomainState.state, state);
    return 0;
  }

  private sysctl(arg: number): number {
    const w = this.window;
    const u = arg + Sysctl.u;
    switch (w.load32(arg + Sysctl.cmd)) {
      case XEN_SYSCTL_getdomaininfolist: {
        this.duringList();
        const first = w.load16(u + SysctlGetdomaininfolist.first_domain);
        const room = w.load32(u + SysctlGetdomaininfolist.max_domains);
        const all = [this.domain0, ...this.domains.values()].filter(({ id }) => id >= first).slice(0, room);
        const buffer = this.window.load64(u + SysctlGetdomaininfolist.buffer);
        all.forEach((domain, i) => writeDomainInfo(w, domain, buffer + i * DomctlGetdomaininfo.SIZE));
        w.store32(u + SysctlGetdomaininfolist.num_domains, all.length);
        return 0;
      }
      case XEN_SYSCTL_physinfo:
        w.store32(u + SysctlPhysinfo.nr_cpus, this.cpus);
        w.store32(u + SysctlPhysinfo.cpu_khz, 2500000);
        w.store32(u + SysctlPhysinfo.capabilities, this.virtualisation ? XEN_SYSCTL_PHYSCAP_hvm : 0);
        this.window.store64(u + SysctlPhysinfo.total_pages, 131072);
        this.window.store64(u + SysctlPhysinfo.free_pages, this.freePages);
        return 0;
      case XEN_SYSCTL_readconsole: {
        const text = Buffer.from(this.log);
        const index = w.load32(u + SysctlReadconsole.index);
        // As much as the caller has room for: more would overwrite what lies behind its buffer.
        const rest = text.subarray(index, index + w.load32(u + SysctlReadconsole.count));
        w.write(this.window.load64(u + SysctlReadconsole.buffer), rest);
        w.store32(u + SysctlReadconsole.count, rest.length);
        w.store32(u + SysctlReadconsole.index, index + rest.length);
        return 0;
      }
      case XEN_SYSCTL_perfc_op:
      case XEN_SYSCTL_get_cpu_policy:
        w.store32(u + 4, 0);
        w.store32(u + 8, 0);
        return 0;
      default:
        return schedulerSysctl(w, w.load32(arg + Sysctl.cmd), u);
    }
  }
}
