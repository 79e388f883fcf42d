/** The TLS sandbox on the machine: its memory in domain 0's window, its calls, and the rest that a TLS server needs of domain 0. */
import { DOM0_TLS } from "../../../abi/domain0-layout.ts";
import { SANDBOX_TLS } from "../../../abi/software.ts";
import { systemTime } from "../clock.ts";
import { memory } from "../host.ts";
import { releaseOwnMemory, takeOwnMemory } from "../hypercalls/memory.ts";
import { callSandbox, startSandbox } from "../sandbox.ts";
import { after } from "../timers.ts";
import { PAGE_SIZE, words } from "../window.ts";
import { freshSeed, stirring } from "./entropy.ts";
import { TlsServer } from "./listen.ts";
import type { TlsHost, TlsKey } from "./module.ts";

const FIRST_GFN = DOM0_TLS / PAGE_SIZE;

const host: TlsHost = {
  start: (operation, a, b) => startSandbox(SANDBOX_TLS, operation, a, b, 0, 0, 0),
  call: (operation, a, b) => callSandbox(SANDBOX_TLS, operation, a, b, 0, 0, 0),
  give: (address, bytes) => takeOwnMemory(FIRST_GFN + address / PAGE_SIZE, bytes / PAGE_SIZE),
  take: (address, bytes) => releaseOwnMemory(FIRST_GFN + address / PAGE_SIZE, bytes / PAGE_SIZE),
  words: (address, count) => words(memory, DOM0_TLS + address, count),
  read: (address, bytes) => memory.read(DOM0_TLS + address, bytes),
  readInto: (address, into) => memory.readInto(DOM0_TLS + address, into),
  write: (address, bytes) => memory.write(DOM0_TLS + address, bytes),
};

/**
 * A TLS server for clients that have one of `keys`.
 * @param log gets a line for what an operator should know
 * @throws Error that says what is missing: random numbers, or a key that is possible
 */
export function openTls(keys: readonly TlsKey[], log: (text: string) => void): TlsServer {
  // Better now than at the first connection.
  freshSeed();
  const now = () => systemTime() / 1e6;
  return new TlsServer({ host, seed: freshSeed, stir: stirring, after, now, log }, keys);
}
