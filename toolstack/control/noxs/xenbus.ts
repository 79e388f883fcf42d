/**
 * The backend's half of Xen's xenbus protocol (xen/io/xenbus.h), for one device: the states in the store through which frontend
 * and backend find each other. The data path is the I/O domain's; here it is only connected and disconnected.
 *
 * Everything that the frontend writes is the guest's: it may be anything, change at any moment, and go in any order.
 */
import { describeError, detach } from "../failures.ts";
import type { LocalStore } from "../store/local.ts";

/** enum xenbus_state. */
export const XenbusState = {
  Unknown: 0,
  Initialising: 1,
  InitWait: 2,
  Initialised: 3,
  Connected: 4,
  Closing: 5,
  Closed: 6,
} as const;

/** Nodes by their names, relative to a device's own. */
export type Nodes = readonly (readonly [name: string, value: string])[];
/** Reads a node of the frontend's; undefined where there is none. */
export type ReadNode = (name: string) => string | undefined;

/** What is wrong with a frontend's nodes, in words. */
export class FrontendError extends Error {}

/** One kind of device: what it does when its frontend wants it. */
export interface XenbusDevice {
  /** What the backend can do: written before the frontend is told to look. */
  features(): Nodes;
  /**
   * Connects the data path.
   * @returns nodes that the frontend reads when the backend has become Connected
   * @throws FrontendError
   */
  connect(read: ReadNode): Promise<Nodes>;
  /** Disconnects it: afterwards nothing of the frontend's is used. Harmless when it is not connected. */
  disconnect(): Promise<void>;
}

export class XenbusBackend {
  private running = false;
  private dirty = false;
  private connected = false;
  private closed = false;

  /**
   * @param frontend the path of the frontend's nodes, and of the backend's, which exist
   * @param notice prints a line about something that went wrong
   */
  constructor(
    private readonly local: LocalStore,
    private readonly frontend: string,
    private readonly backend: string,
    private readonly device: XenbusDevice,
    private readonly notice: (text: string) => void,
  ) {}

  /** The frontend's nodes have changed, or may have. */
  changed(): void {
    this.dirty = true;
    if (this.running || this.closed) return;
    this.running = true;
    detach(`the device ${this.backend}`, async () => {
      try {
        while (this.dirty && !this.closed) {
          this.dirty = false;
          await this.follow();
        }
      } finally {
        this.running = false;
      }
    });
  }

  /** Takes it for connected: it is, to the I/O domain, from before a restart of domain 0. */
  adoptConnected(): void {
    this.connected = true;
  }

  /** Nodes have changed that a connected frontend reads when the state is written, though it is the same. */
  announce(nodes: Nodes): void {
    if (!this.connected || this.closed || this.state !== XenbusState.Connected) return;
    this.write(nodes);
    this.state = XenbusState.Connected;
  }

  /** Disconnects for good: the domain has gone, or the device is detached. */
  async close(): Promise<void> {
    this.closed = true;
    await this.disconnect();
  }

  /** Does nothing more: whoever calls this removes the device, which ends its connection too. */
  abandon(): void {
    this.closed = true;
  }

  private get state(): number {
    return Number(this.local.read(`${this.backend}/state`) ?? XenbusState.Unknown);
  }

  private set state(state: number) {
    this.local.write(`${this.backend}/state`, String(state));
  }

  private readonly readFrontend: ReadNode = (name) => this.local.readBytes(`${this.frontend}/${name}`);

  /** Takes the steps that the frontend's present state asks for. */
  private async follow(): Promise<void> {
    switch (Number(this.readFrontend("state") ?? XenbusState.Closed)) {
      case XenbusState.Initialising:
        return await this.offer();
      case XenbusState.Initialised:
      case XenbusState.Connected:
        return await this.connect();
      case XenbusState.Closing:
        return await this.leave(XenbusState.Closing);
      case XenbusState.Closed:
        return await this.leave(XenbusState.Closed);
    }
  }

  /** A frontend begins, perhaps another one than before: another kernel of the guest's. */
  private async offer(): Promise<void> {
    if (this.state === XenbusState.InitWait && !this.connected) return;
    await this.disconnect();
    this.write(this.device.features());
    this.state = XenbusState.InitWait;
  }

  private async connect(): Promise<void> {
    if (this.connected || this.state !== XenbusState.InitWait) return;
    try {
      const nodes = await this.device.connect(this.readFrontend);
      this.connected = true;
      this.write(nodes);
      if (!this.closed) this.state = XenbusState.Connected;
    } catch (error) {
      const words = error instanceof FrontendError ? error.message : describeError(error);
      this.notice(`${this.frontend}: not connected: ${words}`);
      await this.disconnect();
      if (!this.closed) this.state = XenbusState.Closing;
    }
  }

  private async leave(state: number): Promise<void> {
    await this.disconnect();
    if (!this.closed && this.state !== state) this.state = state;
  }

  private async disconnect(): Promise<void> {
    this.connected = false;
    await this.device.disconnect();
  }

  private write(nodes: Nodes): void {
    if (this.closed) return;
    for (const [name, value] of nodes) this.local.write(`${this.backend}/${name}`, value);
  }
}

/** A node that has to be a whole number of 32 bits. @throws FrontendError */
export function numberNode(read: ReadNode, name: string): number {
  const value = optionalNumber(read, name);
  if (value === undefined) throw new FrontendError(`it has written no ${name}`);
  return value;
}

/** As `numberNode`; undefined where there is none. */
export function optionalNumber(read: ReadNode, name: string): number | undefined {
  const text = read(name);
  if (text === undefined) return undefined;
  const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : NaN;
  if (!(value <= 0xffffffff)) throw new FrontendError(`its ${name} is no number of 32 bits`);
  return value;
}

/** Whether a feature is announced. */
export function flagNode(read: ReadNode, name: string): boolean {
  return (optionalNumber(read, name) ?? 0) !== 0;
}
