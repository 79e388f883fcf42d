/**
 * The guest below: what a program can ask of it, by words in the call page, and the bytes that go with it. The other side is
 * guests/typescript/operations.c and guests/lib/engine/engine.c.
 */
import { OPERATION } from "./operations.ts";

export { OPERATION, SHUTDOWN_CRASH, SHUTDOWN_POWEROFF } from "./operations.ts";

/** What the engine is given before this is evaluated. */
export interface Host {
  /** With a text: encodes it. Without: performs the operation in the call page; some give a value. */
  system: (text?: string) => unknown;
  /** The window of guests/lib/engine/program.h: call page, transfer buffer, files. */
  machine: ArrayBuffer;
  /** Made by toolstack/cli/app/. */
  program: ProgramInfo;
}

/** What is known of the program since it was built. */
export interface ProgramInfo {
  /** Its file as process.argv has it: "/app.ts". */
  name: string;
  arguments: string[];
  environment: Record<string, string>;
  /** Place in the files and length, by absolute path. */
  files: Record<string, [number, number]>;
  /** Of the source map's JSON text. */
  sourceMap: [number, number];
  /** When it was built, ms since 1970: the time of its files. */
  builtAt: number;
}

/** Byte offsets in the window: program.h. */
const TRANSFER = 0x1000;
const FILES = 0x10000;
/** Bytes that go with one operation; the last byte is the guest's, for the end of a text. */
export const TRANSFER_SIZE = 0xf000 - 1;

/** Words of the call page: engine.h. */
const ARGUMENTS = 1;
const RESULT = 7;
const TURN = 8;
const DEADLINE = 9;

const host = globalThis as unknown as Host;
const { system, machine } = host;
export const programInfo: ProgramInfo = host.program;
for (const name of ["system", "machine", "program"] as const) delete (host as Partial<Host>)[name];

const words = new Uint32Array(machine, 0, 16);
/** The bytes that go with an operation. */
export const transfer = new Uint8Array(machine, TRANSFER, TRANSFER_SIZE);

/** Performs an operation; returns its result, negative for an error. */
export function call(operation: number, a = 0, b = 0, c = 0, d = 0): number {
  words[0] = operation;
  words[ARGUMENTS] = a;
  words[ARGUMENTS + 1] = b;
  words[ARGUMENTS + 2] = c;
  words[ARGUMENTS + 3] = d;
  system();
  return words[RESULT]! | 0;
}

/** A further result of the latest operation. */
export function word(index: number): number {
  return words[ARGUMENTS + index]!;
}

/** System time: ns since the hypervisor's start. */
export function clockNs(): number {
  call(OPERATION.clock);
  return word(0) + word(1) * 0x1_0000_0000;
}

/** Tells the guest how a turn ended: whether there is more to do at once, and when the program is to be called at the latest, ns, or 0. */
export function endTurn(more: boolean, deadlineNs: number): void {
  words[TURN] = more ? 1 : 0;
  words[DEADLINE] = deadlineNs % 0x1_0000_0000;
  words[DEADLINE + 1] = deadlineNs / 0x1_0000_0000;
}

let atEnd = () => {};

/** Says what is done before the program ends by itself. */
export function onDomainEnd(run: () => void): void {
  atEnd = run;
}

/** Ends the domain: SHUTDOWN_POWEROFF or SHUTDOWN_CRASH. Nothing follows in a guest; a simulated one ignores what does. */
export function endDomain(reason: number): never {
  try {
    atEnd();
  } catch {
    // It ends all the same.
  }
  call(OPERATION.end, reason);
  return undefined as never;
}

/** Encodes a text without NUL and lone surrogates into the transfer buffer; returns its length, which may be more than has room. */
export function encodePiece(text: string): number {
  system(text);
  return words[RESULT]! | 0;
}

/** Decodes the first bytes of the transfer buffer; undefined when they are no clean UTF-8, or have a NUL among them. */
export function decodePiece(length: number): string | undefined {
  words[0] = OPERATION.decode;
  words[ARGUMENTS] = length;
  return system() as string | undefined;
}

/** Calls `hear` with the reasons of the rejected promises that nobody has handled. */
export function takeRejections(hear: (reason: unknown) => void): void {
  for (;;) {
    words[0] = OPERATION.takeRejection;
    const reason = system();
    if (words[RESULT] !== 1) return;
    hear(reason);
  }
}

/** The bytes of a file, which may not be changed. */
export function fileBytes([place, length]: [number, number]): Uint8Array {
  return new Uint8Array(machine, FILES + place, length);
}

/** Fills bytes with random ones; false where the processor has no source of them. */
export function fillRandom(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += TRANSFER_SIZE) {
    const length = Math.min(bytes.length - at, TRANSFER_SIZE);
    if (call(OPERATION.random, length) < 0) return false;
    bytes.set(transfer.subarray(0, length), at);
  }
  return true;
}
