/**
 * The globals that the engine provides to the control plane: five host functions and the machine window. They exist on the
 * machine and wherever the bundle is tested (test/); there is no other host interface.
 */
import { DirectWindow, type MachineWindow } from "./window.ts";

export interface Host {
  /** Executes the hypercall written in the call page; its result is there afterwards. */
  hypercall: () => void;
  /** Atomically compares and exchanges the 32-bit word named in the call page. */
  exchange: () => void;
  /** Calls a sandbox by the call page; status and result are there afterwards. */
  sandbox: () => void;
  /** Encodes a text to the place named in the call page; the number of its bytes is there afterwards. */
  encode: (text: string) => void;
  /** Gets a random number of the processor's, and its TSC, into the call page. */
  random: () => void;
  /** The memory from DOM0_WINDOW up, or, in a simulation, an object that behaves like it. */
  machineWindow: ArrayBuffer | MachineWindow;
}

/** The window through which all memory outside the engine's heap is reached. Set by `openHost`. */
export let memory: MachineWindow;
/** The host's functions. Set by `openHost`. */
export let hostHypercall: () => void;
export let hostExchange: () => void;
export let hostSandbox: () => void;
export let hostEncode: (text: string) => void;
export let hostRandom: () => void;

/** Takes the host's globals into use: once at the start of domain 0, before any other function of the control plane. */
export function openHost(host: Host): void {
  hostHypercall = host.hypercall;
  hostExchange = host.exchange;
  hostSandbox = host.sandbox;
  hostEncode = host.encode;
  hostRandom = host.random;
  const source = host.machineWindow;
  memory = "load32" in source ? source : new DirectWindow(source);
}
