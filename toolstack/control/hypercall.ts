/**
 * The hypercall gate: number and arguments go into the call page, the result comes out of it. The typed wrappers are in
 * hypercalls/.
 */
import * as errno from "../../abi/errno.ts";
import { CallPage, DOM0_CALL_PAGE } from "../../abi/software.ts";
import { hostExchange, hostHypercall, memory } from "./host.ts";
import { words } from "./window.ts";

const WORD = 0x100000000;
const OP = CallPage.op / 4;
const ARG = CallPage.args / 4;
const RESULT = CallPage.result / 4;
const EXCHANGE_ADDRESS = CallPage.exchangeAddress / 4;
const EXCHANGE_VALUE = CallPage.exchangeValue / 4;

const ERRNO_NAMES = new Map(Object.entries(errno).map(([name, value]) => [Number(value), name]));

const ERRNO_WORDS: Record<string, string> = {
  EPERM: "not permitted",
  ENOENT: "no such thing",
  ESRCH: "no such domain",
  EIO: "the hypervisor found an inconsistency",
  EAGAIN: "try again",
  ENOMEM: "out of memory",
  EFAULT: "bad address",
  EBUSY: "in use",
  EEXIST: "exists already",
  EINVAL: "invalid argument",
  ENOSPC: "no room left",
  ENOSYS: "not implemented",
  EOPNOTSUPP: "not supported",
};

/** The call page as 32-bit words. Set by `openHypercalls`. */
let call: Uint32Array;

/** Takes the call page into use; after `openHost`. */
export function openHypercalls(): void {
  call = words(memory, DOM0_CALL_PAGE, EXCHANGE_VALUE + 1);
}

/** A hypercall that the hypervisor refused. */
export class HypercallError extends Error {
  override name = "HypercallError";

  /**
   * @param operation Xen's name of the operation, such as "XENMEM_populate_physmap"
   * @param code the positive error number
   */
  constructor(
    readonly operation: string,
    readonly code: number,
  ) {
    const name = errnoName(code);
    const inWords = ERRNO_WORDS[name];
    super(`${operation}: ${name}${inWords === undefined ? "" : ` (${inWords})`}`);
  }

  /** The error's name, such as "ENOMEM". */
  get errno(): string {
    return errnoName(this.code);
  }
}

export function errnoName(code: number): string {
  return ERRNO_NAMES.get(code) ?? `errno ${code}`;
}

function high(value: number): number {
  return value >= 0 && value < WORD ? 0 : Math.floor(value / WORD);
}

/**
 * Makes a hypercall and returns its signed result as it is: negative numbers are -errno.
 * @param op __HYPERVISOR_*
 * @param a1 first argument; numbers from -2^53 to 2^53, addresses in the window included
 */
export function hypercall(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0): number {
  const page = call;
  page[OP] = op;
  page[ARG] = a1;
  page[ARG + 1] = high(a1);
  page[ARG + 2] = a2;
  page[ARG + 3] = high(a2);
  page[ARG + 4] = a3;
  page[ARG + 5] = high(a3);
  page[ARG + 6] = a4;
  page[ARG + 7] = high(a4);
  hostHypercall();
  const resultHigh = page[RESULT + 1]! | 0;
  const resultLow = page[RESULT]!;
  return resultHigh === 0 ? resultLow : resultHigh * WORD + resultLow;
}

/** Passes a result on, or throws HypercallError if it is an error. */
export function checked(operation: string, result: number): number {
  if (result < 0) throw new HypercallError(operation, -result);
  return result;
}

/** Atomically writes `value` to the 4-byte aligned word at `address` in the window and returns what was there. */
export function exchange(address: number, value: number): number {
  call[EXCHANGE_ADDRESS] = address;
  call[EXCHANGE_VALUE] = value;
  hostExchange();
  return call[EXCHANGE_VALUE]!;
}
