/** A frontend of a simulated guest as far as it is the same for all devices: finding it, NoXS's handshake or xenbus's, waiting. */
import { noxs_watch_requested, NoxsCtrlHdr } from "../../../abi/io/noxs.ts";
import { Sring } from "../../../abi/io/ring.ts";
import {
  XenbusStateClosed,
  XenbusStateClosing,
  XenbusStateConnected,
  XenbusStateInitialising,
  XenbusStateInitWait,
} from "../../../abi/io/xenbus.ts";
import type { Steps } from "../call.ts";
import { PAGE } from "../ram.ts";
import { Violation } from "../svm-cpu.ts";
import { CONTROL_GFN, type Kit, type Rings } from "./guest.ts";

const CONTROL = CONTROL_GFN * PAGE;
/** How long it waits for something that need not come, ns. */
const NAP_NS = 2_000_000;

export abstract class Front {
  private control = { port: 0, ref: 0, remote: 0, kills: 0 };
  /** Port of its rings. */
  port = 0;

  constructor(
    protected readonly kit: Kit,
    private readonly type: number,
  ) {}

  /** Requests that have no response yet, each of which gets one. */
  abstract get unanswered(): number;
  /** Fresh rings, their grants, a port. */
  abstract prepare(): Steps<void>;
  /** Writes them into the control page. */
  abstract writeRings(): void;
  /** The same for xenbus. */
  abstract asks(): Rings;
  /** Takes back all it has granted to a back end that has closed. */
  protected abstract release(): void;
  /** Takes what the back end has for it. */
  abstract poll(): Steps<void>;

  get ports(): number[] {
    return [this.control.port, this.port].filter((port) => port > 0);
  }

  protected wrong(what: string): Violation {
    return new Violation(`domain ${this.kit.me.id}: ${what}`);
  }

  /** Takes over the device of another frontend, which is given up. */
  adopt(other: Front): void {
    this.control = other.control;
  }

  /** Whether this is the grant of its control page. */
  isControl(ref: number): boolean {
    return ref === this.control.ref;
  }

  /** Finds the device and maps its control page, if it has one. */
  *attach(): Steps<void> {
    const { kit } = this;
    if (kit.me.xenbus !== null) return;
    const { grant, port } = yield* kit.device(this.type);
    this.control.ref = grant;
    this.control.remote = port;
    // The I/O domain may have just been killed: its grant and its port are there again when it has restarted.
    while ((yield* kit.mapControl(grant)).status !== 0) yield* kit.pause();
    yield* this.bindControl();
  }

  /** Binds the port of the control page, which is there again soon after a kill. */
  private *bindControl(): Steps<void> {
    const { control, kit } = this;
    control.port = 0;
    while (control.port <= 0) {
      control.kills = kit.scene.wire.kills;
      control.port = yield* kit.bind(control.remote);
      if (control.port <= 0) yield* kit.pause();
    }
  }

  *setState(state: number): Steps<void> {
    this.kit.set32(CONTROL + NoxsCtrlHdr.fe_watch_state, noxs_watch_requested);
    this.kit.set32(CONTROL + NoxsCtrlHdr.fe_state, state);
    yield* this.kit.send(this.control.port);
  }

  /** The back end's state. */
  get state(): number {
    return this.kit.get32(CONTROL + NoxsCtrlHdr.be_state);
  }

  private *reach(own: number, wanted: number): Steps<void> {
    const { kit, control } = this;
    yield* this.setState(own);
    while (this.state !== wanted) {
      kit.me.awaits ??= { what: `the back end's state ${wanted}`, since: kit.scene.machine.now };
      yield* kit.wait(this.ports, NAP_NS);
      for (const port of this.ports) if (kit.take(port)) kit.me.awaits = null;
      if (control.kills !== kit.scene.wire.kills) yield* this.bindAgain();
    }
    kit.me.awaits = null;
  }

  /**
   * The I/O domain has been killed since the port of the control page was bound. It notes who has bound one at its first event; one that
   * it had not noted it has opened anew, and waits.
   */
  private *bindAgain(): Steps<void> {
    const { kit, control } = this;
    control.kills = kit.scene.wire.kills;
    if (yield* kit.isBound(control.port)) return;
    kit.scene.counts["bound again"]!++;
    yield* kit.close(control.port);
    yield* this.bindControl();
    yield* kit.send(control.port);
  }

  /** Sleeps until an event comes, which must. */
  *waitFor(what: string): Steps<void> {
    const { kit } = this;
    kit.me.awaits ??= { what, since: kit.scene.machine.now };
    yield* kit.wait(this.ports, 0);
    for (const port of this.ports) if (kit.take(port)) kit.me.awaits = null;
  }

  /** Has domain 0 do what a xenbus frontend asks for; its answer. */
  *askDomain0(asks: Rings | "close"): Steps<number> {
    const xenbus = this.kit.me.xenbus!;
    xenbus.asks = asks;
    while (xenbus.asks !== null) yield* this.kit.pause();
    return xenbus.answer;
  }

  *connect(): Steps<void> {
    yield* this.prepare();
    if (this.kit.me.xenbus !== null) {
      const answer = yield* this.askDomain0(this.asks());
      if (answer !== 0) throw this.wrong(`cannot connect: ${answer}`);
    } else {
      this.writeRings();
      yield* this.reach(XenbusStateConnected, XenbusStateConnected);
    }
  }

  /** Closes as a frontend does, and takes back all it has granted. */
  *close(): Steps<void> {
    const { kit } = this;
    const isXenbus = kit.me.xenbus !== null;
    if (isXenbus) {
      const answer = yield* this.askDomain0("close");
      if (answer !== 0) throw this.wrong(`cannot disconnect: ${answer}`);
    } else {
      yield* this.reach(XenbusStateClosing, XenbusStateClosing);
      yield* this.reach(XenbusStateClosed, XenbusStateClosed);
    }
    this.release();
    yield* kit.close(this.port);
    this.port = 0;
    if (!isXenbus) yield* this.reach(XenbusStateInitialising, XenbusStateInitWait);
  }

  /** Makes requests up to `produced` visible, and notifies if the back end wants it. */
  protected *pushRing(ring: number, produced: number): Steps<void> {
    const { kit } = this;
    const old = kit.get32(ring + Sring.req_prod);
    kit.set32(ring + Sring.req_prod, produced);
    if ((produced - kit.get32(ring + Sring.req_event)) >>> 0 < (produced - old) >>> 0) yield* kit.send(this.port);
  }

  /** Sleeps for an event: one that must come when something is unanswered, otherwise for a while. */
  *rest(): Steps<void> {
    if (this.unanswered > 0) yield* this.waitFor("an answer");
    else {
      yield* this.kit.wait(this.ports, NAP_NS);
      for (const port of this.ports) this.kit.take(port);
    }
    yield* this.poll();
  }
}
