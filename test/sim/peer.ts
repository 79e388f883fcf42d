/** The shared state of the simulation's guests, recorded independently of the hypervisor. */
import { ENOMEM } from "../../abi/errno.ts";
import type { FifoView } from "./fifo.ts";
import type { Random } from "./random.ts";
import { type GuestCpu, Violation } from "./svm-cpu.ts";
import type { World } from "./world.ts";

/** One end of an interdomain channel, as the domain that has it keeps it. */
export interface Channel {
  /** The other end. */
  readonly peer: Peer;
  readonly port: number;
  /** An event has reached this end and has not been taken. */
  owed: boolean;
  /** Sends of the other end whose hypercall has not returned: their event may be there or not. */
  inFlight: number;
  /** Events taken so far. */
  taken: number;
}

/** A domain as the simulation knows it. */
export interface Peer {
  id: number;
  readonly good: boolean;
  /** Where its shared_info can be looked at; null until it has mapped it. */
  cpu: GuestCpu | null;
  /** Its event words and queues when it uses the FIFO ABI; null in the 2-level ABI. */
  fifo: FifoView | null;
  /** Ports it has allocated for others: port -> domain it is for. */
  readonly offered: Map<number, number>;
  /** Interdomain ports: own port -> this end. */
  readonly bound: Map<number, Channel>;
  /** Open ports whose other end is closed permanently. */
  readonly left: Set<number>;
  /** The offered port that it is binding to. */
  binding: { peer: Peer; port: number } | null;
  /** In SCHEDOP_block. */
  asleep: boolean;
  /** Virtual time since when it sleeps although an event waits, ns; null when it does not. */
  dueSince: number | null;
}

export interface Scene {
  readonly world: World;
  readonly random: Random;
  /** The domains that live. */
  readonly peers: Peer[];
  /** Memory is nearly out: whatever takes some may be refused with -ENOMEM. */
  readonly tight: boolean;
}

/** Whether `result` is 0. What else it may be: -ENOMEM where memory is nearly out; otherwise throws Violation. */
export function expectUnlessTight(scene: Scene, result: number, what: string): boolean {
  if (result === 0) return true;
  if (scene.tight && result === -ENOMEM) return false;
  throw new Violation(`${what}: ${result}`);
}

export function peer(good: boolean): Peer {
  return {
    id: -1,
    good,
    cpu: null,
    fifo: null,
    offered: new Map(),
    bound: new Map(),
    left: new Set(),
    binding: null,
    asleep: false,
    dueSince: null,
  };
}
