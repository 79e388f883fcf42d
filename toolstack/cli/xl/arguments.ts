/** Arguments as xl takes them: options of one letter, with long forms, before or between words; domains by name or id. */
import { parseArgs } from "node:util";
import type { Arguments, Params, RequestDefinition } from "../../api/request.ts";
import { listRequest } from "../../api/requests/domains.ts";

/** What commands need of the connection. */
export interface Asker {
  ask<A extends Arguments, R>(request: RequestDefinition<A, R>, params: Params<A>): Promise<R>;
}

/** What xl prints, and where. */
export interface XlOutput {
  out(text: string): void;
  err(text: string): void;
}

/** An error as xl reports it: its text on standard error, and exit status 1. */
export class XlError extends Error {}

/** One option: its letter, its long form, whether it takes a value. */
export type Options = Readonly<Record<string, { long?: string; value?: boolean }>>;

/**
 * @param words behind the command's name
 * @param options by letter
 * @param least words that must be there, and the most that may
 * @throws XlError that names the option, or says how the command is used
 */
export function readArguments(
  words: readonly string[],
  options: Options,
  usage: string,
  least: number,
  most = least,
): { rest: string[]; given: Set<string>; values: Map<string, string> } {
  const config: NonNullable<Parameters<typeof parseArgs>[0]>["options"] = {};
  const letters = new Map<string, string>();
  for (const [letter, { long, value }] of Object.entries(options)) {
    const name = long ?? letter;
    letters.set(name, letter);
    config[name] = { type: value ? "string" : "boolean", ...(long === undefined ? {} : { short: letter }) };
    if (long === undefined) config[name].short = letter;
  }
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({ args: [...words], options: config, allowPositionals: true, strict: true });
  } catch (error) {
    throw new XlError(`${(error as Error).message.split(".")[0]}.\nUsage: xl ${usage}`);
  }
  if (parsed.positionals.length < least || parsed.positionals.length > most) {
    throw new XlError(`Usage: xl ${usage}`);
  }
  const given = new Set<string>();
  const values = new Map<string, string>();
  for (const [name, value] of Object.entries(parsed.values)) {
    const letter = letters.get(name)!;
    if (typeof value === "string") values.set(letter, value);
    else if (value === true) given.add(letter);
  }
  return { rest: parsed.positionals, given, values };
}

/** libxl's ERROR_INVAL, which xl says of a domain that is not there. */
const ERROR_INVAL = -6;

export interface XlDomain {
  id: number;
  name: string;
}

/** A domain by name or id. Throws XlError as xl does. */
export async function findDomain(asker: Asker, which: string): Promise<XlDomain> {
  const domains = await asker.ask(listRequest, {});
  const found = /^[0-9]+$/.test(which)
    ? domains.find(({ id }) => id === Number(which))
    : domains.find(({ name }) => name === which);
  if (found === undefined) throw new XlError(`${which} is an invalid domain identifier (rc=${ERROR_INVAL})`);
  return { id: found.id, name: found.name };
}

/** Ids from which on domains are the hypervisor's own (xen.h, DOMID_FIRST_RESERVED is 0x7ff0); and domain 0. */
const FIRST_OWN = 32751;

export function isGuest({ id }: { id: number }): boolean {
  return id !== 0 && id < FIRST_OWN;
}

/** All guests. */
export async function guests(asker: Asker): Promise<XlDomain[]> {
  return (await asker.ask(listRequest, {})).filter(isGuest);
}
