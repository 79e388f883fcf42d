/**
 * The hypercall interface: number and arguments are written to the call page, the result is read from it. The typed wrappers are in
 * hypercalls/.
 */
import * as errno from "../../abi/errno.ts";
import { CallPage } from "../../abi/software.ts";
import { DOM0_CALL_PAGE } from "../../abi/domain0-layout.ts";
import { hostEncode, hostExchange, hostHypercall, memory } from "./host.ts";
import { words } from "./window.ts";

const WORD = 0x100000000;
const OP = CallPage.op / 4;
const ARG1 = CallPage.args / 4;
const ARG2 = ARG1 + 2;
const ARG3 = ARG1 + 4;
const RESULT = CallPage.result / 4;
const RESULT_HIGH = RESULT + 1;
const EXCHANGE_ADDRESS = CallPage.exchangeAddress / 4;
const EXCHANGE_VALUE = CallPage.exchangeValue / 4;
const EXCHANGE_EXPECTED = CallPage.exchangeExpected / 4;
const TEXT_ADDRESS = CallPage.textAddress / 4;
const TEXT_ROOM = CallPage.textRoom / 4;
const TEXT_LENGTH = CallPage.textLength / 4;

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
  call = words(memory, DOM0_CALL_PAGE, TEXT_LENGTH + 1);
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

/**
 * Makes a hypercall and returns its signed result as it is: negative numbers are -errno.
 * @param op __HYPERVISOR_*
 * @param a1 first argument; all are from 0 to 2^32 - 1, addresses in the window included
 */
export function hypercall(op: number, a1 = 0, a2 = 0, a3 = 0): number {
  const page = call;
  page[OP] = op;
  page[ARG1] = a1;
  page[ARG2] = a2;
  page[ARG3] = a3;
  hostHypercall();
  const high = page[RESULT_HIGH]!;
  return high === 0 ? page[RESULT]! : (high | 0) * WORD + page[RESULT]!;
}

/** As `hypercall`, with one argument, from 0 to 2^53. */
export function hypercall64(op: number, a1: number): number {
  call[ARG1 + 1] = a1 / WORD;
  const result = hypercall(op, a1);
  call[ARG1 + 1] = 0;
  return result;
}

/** As `hypercall`, with any number of arguments from -2^53 to 2^53. */
export function hypercallWide(op: number, ...args: number[]): number {
  // The high words, and those of arguments beyond the third, are zero at all other times.
  const page = call;
  for (let i = 0; i < 6; i++) {
    page[ARG1 + 2 * i] = args[i] ?? 0;
    page[ARG1 + 2 * i + 1] = Math.floor((args[i] ?? 0) / WORD);
  }
  const result = hypercall(op, args[0], args[1], args[2]);
  page.fill(0, ARG1, RESULT);
  return result;
}

/** Passes a result on, or throws HypercallError if it is an error. */
export function checked(operation: string, result: number): number {
  if (result < 0) throw new HypercallError(operation, -result);
  return result;
}

/**
 * Atomically writes `value` to the 4-byte aligned word at `address` in the window if `expected` is there.
 * @returns what was there, as an unsigned number: `expected` when it was done
 */
export function compareExchange(address: number, expected: number, value: number): number {
  call[EXCHANGE_ADDRESS] = address;
  call[EXCHANGE_EXPECTED] = expected;
  call[EXCHANGE_VALUE] = value;
  hostExchange();
  return call[EXCHANGE_VALUE]!;
}

/**
 * Writes a text without NUL characters as UTF-8 to `address` in the window, `room` bytes of it at most. The engine does it
 * natively: in TypeScript it takes a thousand instructions a character.
 * @returns the number of the text's bytes, which may be more than there is room for
 */
export function encodeText(text: string, address: number, room: number): number {
  call[TEXT_ADDRESS] = address;
  call[TEXT_ROOM] = room;
  hostEncode(text);
  return call[TEXT_LENGTH]!;
}
