/**
 * The toolstack's state of a domain that the hypervisor does not have, saved for a restart of domain 0: its
 * name, how to rebuild the domain, its shutdown policies, its size limits, and its part of the store.
 */
import { findModule } from "../boot-info.ts";
import { RECORD_BYTES, saveRecord } from "../stable.ts";
import { fromBytes } from "../store/local.ts";
import type { SavedClient } from "../store/saved.ts";
import type { GuestDomain } from "./domain.ts";
import type { EndPolicy } from "./policy.ts";
import type { CreateRequest } from "./request.ts";

/** Incremented when the format changes: records of another version are ignored. */
const VERSION = 3;

/** Above all numbers of domains. */
const FIRST_RESTART = 0x10000;

/** Parts of a request that the domain has too. */
type Named = Pick<CreateRequest, "name" | "uuid" | "policy" | "progress">;

export interface SavedDomain {
  version: number;
  name: string;
  uuid: string;
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
  const { name, uuid, policy, quickEnds, resetting, sizes } = domain;
  return (
    `{"version":${VERSION},"name":${JSON.stringify(name)},"uuid":"${uuid}","policy":{"poweroff":"${policy.poweroff}",` +
    `"reboot":"${policy.reboot}","crash":"${policy.crash}","softReset":"${policy.softReset}"},` +
    `"quickEnds":${quickEnds},"resetting":${resetting},"request":${encodeRequest(domain)},` +
    `"sizes":{"vcpus":${sizes.vcpus},"onlineVcpus":${sizes.onlineVcpus},"maxMemoryKib":${sizes.maxMemoryKib},` +
    `"memoryKib":${sizes.memoryKib},"startedMs":${sizes.startedMs}},"store":${store === null ? "null" : JSON.stringify(store)}}`
  );
}

/** Name, UUID and policy are the domain's own. */
function encodeRequest({ request }: GuestDomain): string {
  if (request === null) return "null";
  const { kernel, ramdisk, commandLine, memoryMib, vcpus, vifs, vbds, model } = request;
  const second = ramdisk === undefined ? "" : `"ramdisk":${JSON.stringify(ramdisk.name)},`;
  return (
    `{"kernel":${JSON.stringify(kernel.name)},${second}"commandLine":${JSON.stringify(commandLine)},` +
    `"memoryMib":${memoryMib},"vcpus":${vcpus}${vifs === undefined ? "" : `,"vifs":${JSON.stringify(vifs)}`}` +
    `${vbds === undefined ? "" : `,"vbds":${JSON.stringify(vbds)}`}` +
    `${model === undefined ? "" : `,"model":"${model}"`}}`
  );
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

/** What was kept of the domain with that UUID; null for another's, or another form. */
export function decodeDomain(bytes: string, uuid: string): SavedDomain | null {
  const saved = decodeRecord(bytes);
  return saved?.uuid === uuid ? saved : null;
}

/** The request with its modules; null if a module no longer exists. */
export function restoreRequest({ request, name, policy }: SavedDomain): CreateRequest | null {
  if (request === null) return null;
  const kernel = findModule(request.kernel);
  const ramdisk = request.ramdisk === undefined ? undefined : findModule(request.ramdisk);
  if (kernel === undefined || (request.ramdisk !== undefined && ramdisk === undefined)) return null;
  return { ...request, name, policy, kernel, ramdisk };
}
