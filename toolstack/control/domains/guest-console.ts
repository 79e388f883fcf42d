/**
 * The console backend of one domain: shows the guest's output to the attached viewer, otherwise keeps the latest of it for
 * later, and passes input to the guest. It is served at intervals, so that a guest that floods its ring cannot monopolise
 * domain 0.
 */
import { XENCONS_IN_SIZE } from "../../../abi/console.ts";
import { ByteRing } from "../byte-ring.ts";
import { closeChannel, isRaised, maskPort, onInterdomain, onNewDomain, unmaskPort } from "../events.ts";
import { HypercallError } from "../hypercall.ts";
import { send } from "../hypercalls/event-channel.ts";
import { foreignFrames, mapForeign, unmapPage } from "../hypercalls/memory.ts";
import { outputFull, whenDrained } from "../console/output.ts";
import { releaseMapPage, takeMapPage } from "../map-space.ts";
import { Task } from "../tasks.ts";
import { count } from "../../api/sizes.ts";
import { encodeUtf8 } from "../text.ts";
import { after } from "../timers.ts";
import { Backlog } from "./backlog.ts";
import { ConsoleRing } from "./console-ring.ts";

/** Output kept while there is no viewer, and input kept while the guest does not read, in bytes. */
const BACKLOG_BYTES = 16 * 1024;
const INPUT_BYTES = 4 * 1024;
/** A guest that has read nothing for so long while input waits is not waited for: the user must be able to leave. */
const DEAF_MS = 5000;
/**
 * How long a console that was served rests before it is served again. Linux's kernel sends an event for every 16 bytes that
 * it prints: after the first, domain 0 takes what has gathered, and the guest runs meanwhile.
 */
const REST_MS = 1;

/** A viewer of a console. */
export interface ConsoleViewer {
  show(output: Uint8Array): void;
  /** There is room for input again. */
  ready?: () => void;
  /** What takes what is shown; the machine's console if not given. */
  flow?: OutputFlow;
}

/** Something that takes output as fast as it can. */
export interface OutputFlow {
  /** Producers should wait. */
  full(): boolean;
  /** Calls `listener` once when there is room again. */
  whenDrained(listener: () => void): void;
}

const MACHINE_CONSOLE: OutputFlow = { full: outputFull, whenDrained };

export class GuestConsole {
  /** Null while nothing was kept. */
  private backlog: Backlog | null = null;
  private viewer: ConsoleViewer | null = null;
  /** Null before the first input. */
  private pendingInput: ByteRing | null = null;
  /** Withdraws the look at a guest that does not read while there is no room; null when it is not waited for. */
  private cancelWait: (() => void) | null = null;
  /** The guest has not read for DEAF_MS: input beyond what is kept is counted as lost until it does. */
  private deaf = false;
  private lostInput = 0;
  /** Withdraws the end of the rest; null when it does not rest. Meanwhile its port is masked. */
  private cancelRest: (() => void) | null = null;
  private open = true;
  /** The output cannot be displayed at present: the machine's console is busy. */
  private held = false;
  /** Null until it is needed: most small guests print nothing. */
  private lazyTask: Task | null = null;
  private port = 0;
  /** The console page's mapping, and the ring in it; null until it is needed: when the guest prints, or there is input. */
  private mapped: { readonly page: number; readonly ring: ConsoleRing } | null = null;
  /** The guest's console page could not be mapped: it has none there (any more), and nothing is exchanged. */
  private pageless = false;

  private constructor(
    private readonly domain: number,
    private readonly gfn: number,
    private readonly fresh: boolean,
  ) {}

  /**
   * Binds to the console port of `domain`. The page of one that has never run is mapped when there is something in it.
   * @param fresh the domain has never run
   * @throws HypercallError; then nothing stays mapped or bound
   */
  static connect(domain: number, gfn: number, guestPort: number, fresh: boolean): GuestConsole {
    const guestConsole = new GuestConsole(domain, gfn, fresh);
    if (!fresh) guestConsole.map();
    try {
      guestConsole.bind(guestPort);
    } catch (error) {
      guestConsole.unmap();
      throw error;
    }
    return guestConsole;
  }

  private get task(): Task {
    return (this.lazyTask ??= new Task("a guest's console", () => this.work()));
  }

  private bind(guestPort: number): void {
    const handler = () => this.onEvent();
    if (this.fresh) {
      this.port = onNewDomain(this.domain, guestPort, handler);
      return;
    }
    this.port = onInterdomain(this.domain, guestPort, handler);
    // The output of one that ran before the port was bound raised no event.
    this.task.request();
  }

  /** Goes on over another port of the guest's, which has closed the one before. */
  rebind(guestPort: number): void {
    closeChannel(this.port);
    this.port = onInterdomain(this.domain, guestPort, () => this.onEvent());
    this.task.request();
  }

  /** Maps the console page. @throws HypercallError where there is none */
  private map(): ConsoleRing {
    const page = takeMapPage();
    foreignFrames()[0] = this.gfn;
    try {
      mapForeign(this.domain, 1, page);
    } catch (error) {
      releaseMapPage(page);
      throw error;
    }
    const ring = new ConsoleRing(page, this.fresh);
    this.mapped = { page, ring };
    return ring;
  }

  private unmap(): void {
    const { mapped } = this;
    if (mapped === null) return;
    this.mapped = null;
    unmapPage(mapped.page);
    releaseMapPage(mapped.page);
  }

  /** The ring; null when the guest has taken its page away before it was needed. */
  private ring(): ConsoleRing | null {
    if (this.mapped !== null) return this.mapped.ring;
    if (this.pageless) return null;
    try {
      return this.map();
    } catch (error) {
      if (!(error instanceof HypercallError)) throw error;
      this.pageless = true;
      return null;
    }
  }

  /** Shows kept and further output to `viewer`, replacing the previous one; null: no viewer. */
  attach(viewer: ConsoleViewer | null): void {
    if (viewer === null && this.lostInput > 0) {
      this.remark(`${count(this.lostInput, "byte")} of input were lost`);
      this.lostInput = 0;
    }
    this.viewer = viewer;
    if (this.held) {
      // The room that the one before waited for may never come.
      this.held = false;
      this.task.request();
    }
    if (viewer === null || this.backlog === null) return;
    const { bytes, dropped } = this.backlog.take();
    if (dropped) viewer.show(LOST);
    if (bytes.length > 0) viewer.show(bytes);
  }

  /** The output that nobody has seen yet; it stays. */
  unseen(): Uint8Array {
    return this.backlog?.peek() ?? new Uint8Array(0);
  }

  /** True while there is a viewer. */
  get attached(): boolean {
    return this.viewer !== null;
  }

  /** Bytes of input that there is room for. */
  get inputRoom(): number {
    return this.deaf || !this.open ? INPUT_BYTES : INPUT_BYTES - (this.pendingInput?.length ?? 0);
  }

  /** Passes input to the guest, at most as much as there is room for; unread input is kept. */
  input(bytes: Uint8Array): void {
    const pending = (this.pendingInput ??= new ByteRing(INPUT_BYTES));
    const kept = Math.min(pending.room, bytes.length);
    pending.add(bytes.subarray(0, kept));
    this.lostInput += bytes.length - kept;
    this.feed();
    if (this.inputRoom === 0) this.waitForReader();
  }

  private waitForReader(): void {
    this.cancelWait ??= after(DEAF_MS, () => {
      this.cancelWait = null;
      this.deaf = true;
      this.remark("the guest does not read its console: more input is lost until it does");
      this.viewer?.ready?.();
    });
  }

  /** The guest has read some input. */
  private hasRead(): void {
    this.cancelWait?.();
    this.cancelWait = null;
    this.deaf = false;
    if (this.lostInput > 0) this.remark(`${count(this.lostInput, "byte")} of input were lost`);
    this.lostInput = 0;
  }

  /** Shows a message to the viewer, in brackets, on a separate line. */
  private remark(text: string): void {
    this.viewer?.show(encodeUtf8(`\n[${text}]\n`));
  }

  /** Reads the last output and releases page and port; the kept output can still be shown. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    // One that has never printed has no page here.
    if (this.mapped !== null || this.lazyTask?.waits === true || isRaised(this.port)) this.takeOutput();
    this.cancelRest?.();
    this.cancelWait?.();
    try {
      closeChannel(this.port);
    } finally {
      this.unmap();
    }
  }

  private onEvent(): void {
    if (this.open && this.cancelRest === null) this.task.request();
  }

  /** What the task does: serves, and rests if there was anything. */
  private work(): boolean {
    if (!this.open || this.cancelRest !== null) return false;
    if (this.serve() && this.port !== 0) {
      maskPort(this.port);
      this.rest();
    }
    return false;
  }

  /** Reads output and passes on input; returns whether there was any output. */
  private serve(): boolean {
    this.feed();
    const flow = this.viewer?.flow ?? MACHINE_CONSOLE;
    if (this.viewer !== null && flow.full()) {
      // It stays in the ring, and the guest waits: undisplayed output is neither dropped nor accumulated here.
      this.waitForRoom(flow);
      return false;
    }
    const some = this.takeOutput();
    if (some && this.port !== 0) send(this.port);
    return some;
  }

  private waitForRoom(flow: OutputFlow): void {
    if (this.held) return;
    this.held = true;
    flow.whenDrained(() => {
      this.held = false;
      this.task.request();
    });
  }

  /** Serves again when the rest is over, and goes on so until there is nothing more; then events do it again. */
  private rest(): void {
    this.cancelRest = after(REST_MS, () => {
      this.cancelRest = null;
      // An event while it rested may be lost, but it is served once more after the unmasking.
      unmaskPort(this.port);
      this.task.request();
    });
  }

  /** Shows or keeps what the guest has written; returns whether there was any. */
  private takeOutput(): boolean {
    const output = this.ring()?.receive();
    if (output === undefined || output.length === 0) return false;
    if (this.viewer !== null) this.viewer.show(output);
    else (this.backlog ??= new Backlog(BACKLOG_BYTES)).add(output);
    return true;
  }

  private feed(): void {
    const pending = this.pendingInput;
    if (!this.open || pending === null || pending.length === 0) return;
    const sent = this.ring()?.send(pending.peek(XENCONS_IN_SIZE)) ?? 0;
    if (sent === 0) return;
    pending.drop(sent);
    send(this.port);
    this.hasRead();
    this.viewer?.ready?.();
  }
}

const LOST = encodeUtf8("\n[earlier output was not kept]\n");
