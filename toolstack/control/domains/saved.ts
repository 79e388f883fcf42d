/**
 * The toolstack's state of a domain that the hypervisor does not have, saved for a restart of domain 0: its
 * name, how to rebuild the domain, its shutdown policies, its size limits, and its part of the store.
 */
import { findModule } from "../boot-info.ts";
import { RECORD_BYTES, saveRecord } from "../stable.ts";
import { fromBytes } from "../store/local.ts";
import type { SavedClient } from "../store/saved.ts";
import type { GuestDomain } from "./domain.ts";
import { DEFAULT_POLICY, type EndPolicy } from "./policy.ts";
import type { CreateRequest } from "./request.ts";

/** Incremented when the format changes: records of another version are ignored. */
const VERSION = 4;

/** Above all numbers of domains. */
const FIRST_RESTART = 0x10000;

/** Parts of a request that the domain has too. */
type Named = Pick<CreateRequest, "name" | "uuid" | "policy">;

export interface SavedDomain {
  version: number;
  name: string;
  /** Its words: handleOfText. */
  handle: string;
  policy: EndPolicy;
  quickEnds: number;
  /** A soft reset of it was in progress. */
  resetting: boolean;
  /** Modules by name. Null where it is not known. */
  request: (Omit<CreateRequest, keyof Named | "kernel" | "ramdisk"> & { kernel: string; ramdisk?: string }) | null;
  sizes: GuestDomain["sizes"];
  store: SavedClient | null;
}

/**
 * A record as text: JSON of a SavedDomain. It is put together here, because every `create` does it and JSON.stringify takes
 * several times as long for objects as for strings.
 */
export function encodeDomain(domain: GuestDomain, store: SavedClient | null): string {
  const { name, policy, quickEnds, resetting, sizes } = domain;
  const ends = policy === DEFAULT_POLICY ? DEFAULT_POLICY_TEXT : JSON.stringify(policy);
  return (
    `{"version":${VERSION},"name":${quoted(name)},"handle":"${handleText(domain.handle)}","policy":${ends},` +
    `"quickEnds":${quickEnds},"resetting":${resetting},"request":${encodeRequest(domain)},` +
    `"sizes":{"vcpus":${sizes.vcpus},"onlineVcpus":${sizes.onlineVcpus},"maxMemoryKib":${sizes.maxMemoryKib},` +
    `"memoryKib":${sizes.memoryKib},"startedMs":${sizes.startedMs}},"store":${store === null ? "null" : JSON.stringify(store)}}`
  );
}

const DEFAULT_POLICY_TEXT = JSON.stringify(DEFAULT_POLICY);

/** As JSON.stringify, which takes as long as ten lines like this one. */
function quoted(text: string): string {
  return /^[ !#-[\]-~]*$/.test(text) ? `"${text}"` : JSON.stringify(text);
}

/**
 * The words of a handle as text, by which two can be compared: signed, for the engine takes several times as long to write
 * down a number beyond 31 bits.
 */
export function handleText(handle: readonly number[]): string {
  return `${handle[0]! | 0} ${handle[1]! | 0} ${handle[2]! | 0} ${handle[3]! | 0}`;
}

/** The words that `handleText` wrote. */
export function handleOfText(text: string): number[] {
  return text.split(" ").map((word) => Number(word) >>> 0);
}

/** Name, handle and policy are the domain's own. */
function encodeRequest({ request }: GuestDomain): string {
  if (request === null) return "null";
  const { vifs, vbds, model } = request;
  return (
    basicsOf(request) +
    (vifs === undefined ? "" : `,"vifs":${encodeTexts(vifs)}`) +
    (vbds === undefined ? "" : `,"vbds":${encodeTexts(vbds)}`) +
    (model === undefined ? "}" : `,"model":"${model}"}`)
  );
}

/** What guests that are alike have in common, of the request written last. */
let basics: { request: CreateRequest; text: string } | null = null;

function basicsOf(request: CreateRequest): string {
  const { kernel, ramdisk, commandLine, memoryMib, vcpus } = request;
  const last = basics?.request;
  if (
    last?.kernel === kernel &&
    last.ramdisk === ramdisk &&
    last.commandLine === commandLine &&
    last.memoryMib === memoryMib &&
    last.vcpus === vcpus
  ) {
    return basics!.text;
  }
  const second = ramdisk === undefined ? "" : `"ramdisk":${JSON.stringify(ramdisk.name)},`;
  const text =
    `{"kernel":${JSON.stringify(kernel.name)},${second}"commandLine":${JSON.stringify(commandLine)},` +
    `"memoryMib":${memoryMib},"vcpus":${vcpus}`;
  basics = { request, text };
  return text;
}

function encodeTexts(texts: readonly (string | null)[]): string {
  if (texts.length === 1 && texts[0] !== null) return `[${quoted(texts[0]!)}]`;
  return JSON.stringify(texts);
}

/** Keeps a record in stable memory; false when there is no room for it. */
export function keepDomain(domain: number, text: string): boolean {
  return text.length <= RECORD_BYTES && saveRecord(domain, text);
}

/** The number under which the record of a domain that has ended and is to be made again is kept; its own has gone with it. */
export function restartKey(domain: number): number {
  return FIRST_RESTART + domain;
}

export function isRestartKey(key: number): boolean {
  return key >= FIRST_RESTART;
}

/** The domain that had the record with this key. */
export function domainOfRestart(key: number): number {
  return key - FIRST_RESTART;
}

/** What was kept; null for a record of another form. */
export function decodeRecord(bytes: string): SavedDomain | null {
  try {
    const saved = JSON.parse(fromBytes(bytes)) as SavedDomain;
    return saved.version === VERSION ? saved : null;
  } catch {
    return null;
  }
}

/** What was kept of the domain with that handle; null for another's, or another form. */
export function decodeDomain(bytes: string, handle: readonly number[]): SavedDomain | null {
  const saved = decodeRecord(bytes);
  return saved?.handle === handleText(handle) ? saved : null;
}

/** The request with its modules; null if a module no longer exists. */
export function restoreRequest({ request, name, policy }: SavedDomain): CreateRequest | null {
  if (request === null) return null;
  const kernel = findModule(request.kernel);
  const ramdisk = request.ramdisk === undefined ? undefined : findModule(request.ramdisk);
  if (kernel === undefined || (request.ramdisk !== undefined && ramdisk === undefined)) return null;
  return { ...request, name, policy, kernel, ramdisk };
}
