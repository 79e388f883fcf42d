/**
 * The toolstack's state of a domain that the hypervisor does not have, saved for a restart of domain 0: its
 * name, how to rebuild the domain, its shutdown policies, its size limits, and its part of the store.
 */
import type { Image } from "../builder/image.ts";
import { findImage } from "../images/find.ts";
import { RECORD_BYTES, saveRecord } from "../stable.ts";
import { fromBytes } from "../store/local.ts";
import type { SavedClient } from "../store/saved.ts";
import { initialSizes, KIB, type GuestDomain, type Sizes } from "./domain.ts";
import { DEFAULT_POLICY, type EndPolicy } from "../../api/policy.ts";
import type { CreateRequest } from "./request.ts";
import { handleText } from "./uuid.ts";

/** Incremented when the format changes: records of another version are ignored. */
const VERSION = 6;

/** Above all numbers of domains. */
const FIRST_RESTART = 0x10000;

/** Parts of a request that the domain has too. */
type Named = Pick<CreateRequest, "name" | "uuid" | "policy">;

/** Images by their references. */
type SavedRequest = Omit<CreateRequest, keyof Named | "kernel" | "ramdisk"> & { kernel: string; ramdisk?: string };

/** What is as in most domains is left out of a record. */
export interface SavedDomain {
  version: number;
  name: string;
  /** Its words: handleOfText. */
  handle: string;
  policy: EndPolicy;
  quickEnds: number;
  /** A soft reset of it was in progress. */
  resetting: boolean;
  /** When it was made, system time in s. */
  madeS: number;
  /** Null where it is not known. */
  request: SavedRequest | null;
  /** How it is to be made when it is restarted. */
  next: (SavedRequest & Pick<CreateRequest, "policy">) | null;
  sizes: Sizes;
  store: SavedClient | null;
}

/**
 * A record as text: JSON of a SavedDomain. It is put together here, because every `create` does it and JSON.stringify takes
 * several times as long for objects as for strings.
 */
export function encodeDomain(domain: GuestDomain, store: SavedClient | null): string {
  const { policy, quickEnds, sizes } = domain;
  // Up to a whole second: 0 is not known. Small: the engine takes several times as long to write down others.
  const made = ((domain.madeNs + 999_999_999) / 1e9) | 0;
  let text = `${HEAD}${quoted(domain.name)},"handle":"${domain.handleKey}","madeS":${made},"request":${encodeRequest(domain)}`;
  if (domain.next !== null) text += `,"next":${JSON.stringify(savedRequest(domain.next))}`;
  if (policy !== DEFAULT_POLICY) text += `,"policy":${JSON.stringify(policy)}`;
  if (quickEnds !== 0) text += `,"quickEnds":${quickEnds}`;
  if (domain.resetting) text += `,"resetting":true`;
  if (!isInitial(sizes, domain.request)) text += `,"sizes":${JSON.stringify(sizes)}`;
  if (store !== null) text += `,"store":${JSON.stringify(store)}`;
  return `${text}}`;
}

const HEAD = `{"version":${VERSION},"name":`;

/** Whether sizes are what `initialSizes` makes. */
function isInitial(sizes: Sizes, request: CreateRequest | null): boolean {
  if (request === null || sizes.startedMs !== 0) return false;
  const { vcpus, maxMemoryKib } = sizes;
  if (vcpus !== request.vcpus || maxMemoryKib !== request.memoryMib * KIB) return false;
  if (sizes.onlineVcpus !== (request.onlineVcpus ?? vcpus)) return false;
  return sizes.memoryKib === maxMemoryKib && sizes.limitKib === maxMemoryKib;
}

/** As JSON.stringify, which takes as long as ten lines like this one. */
function quoted(text: string): string {
  return /^[ !#-[\]-~]*$/.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** A request whole, which is asked for seldom. */
function savedRequest({ kernel, ramdisk, ...rest }: CreateRequest) {
  return { ...rest, kernel: referenceOf(kernel), ramdisk: ramdisk && referenceOf(ramdisk) };
}

/** Name, handle and policy are the domain's own. */
function encodeRequest({ request }: GuestDomain): string {
  if (request === null) return "null";
  const { vifs, vbds, model, onlineVcpus, weight, affinity } = request;
  let text = basicsOf(request);
  if (vifs !== undefined) text += `,"vifs":${encodeVifs(vifs)}`;
  if (vbds !== undefined) text += `,"vbds":${JSON.stringify(vbds)}`;
  if (model !== undefined) text += `,"model":"${model}"`;
  if (onlineVcpus !== undefined) text += `,"onlineVcpus":${onlineVcpus}`;
  if (weight !== undefined) text += `,"weight":${weight}`;
  if (affinity !== undefined) text += `,"affinity":${JSON.stringify(affinity)}`;
  return `${text}}`;
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
  const second = ramdisk === undefined ? "" : `"ramdisk":${JSON.stringify(referenceOf(ramdisk))},`;
  const text =
    `{"kernel":${JSON.stringify(referenceOf(kernel))},${second}"commandLine":${JSON.stringify(commandLine)},` +
    `"memoryMib":${memoryMib},"vcpus":${vcpus}`;
  basics = { request, text };
  return text;
}

/** Nothing that a vif's settings may have in them is to be escaped. */
function encodeVifs(vifs: readonly (string | null)[]): string {
  return vifs.length === 1 && vifs[0] !== null ? `["${vifs[0]}"]` : JSON.stringify(vifs);
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

/** What is left out of a record where it is so. */
const COMMON = {
  version: VERSION,
  policy: DEFAULT_POLICY,
  quickEnds: 0,
  resetting: false,
  madeS: 0,
  next: null,
  store: null,
};

/** What was kept; null for a record of another form. */
export function decodeRecord(bytes: string): SavedDomain | null {
  try {
    const saved = JSON.parse(fromBytes(bytes)) as Partial<SavedDomain> &
      Pick<SavedDomain, "name" | "handle" | "request">;
    if (saved.version !== VERSION) return null;
    const sizes = saved.sizes ?? initialSizes(saved.request!);
    return { ...COMMON, ...saved, sizes };
  } catch {
    return null;
  }
}

/** What was kept of the domain with that handle; null for another's, or another form. */
export function decodeDomain(bytes: string, handle: readonly number[]): SavedDomain | null {
  const saved = decodeRecord(bytes);
  return saved?.handle === handleText(handle) ? saved : null;
}

const referenceOf = ({ reference, name }: Image) => reference ?? name;

/** The request with its images; null if one no longer exists. */
export function restoreRequest({ request, name, policy }: SavedDomain): CreateRequest | null {
  return request === null ? null : withImages({ ...request, name, policy });
}

/** As `restoreRequest`, of how it is to be made. */
export function restoreNext({ next, name }: SavedDomain): CreateRequest | null {
  return next === null ? null : withImages({ ...next, name });
}

function withImages<R extends SavedRequest>(request: R) {
  const kernel = findImage(request.kernel);
  const ramdisk = request.ramdisk === undefined ? undefined : findImage(request.ramdisk);
  if (kernel === undefined || (request.ramdisk !== undefined && ramdisk === undefined)) return null;
  return { ...request, kernel, ramdisk };
}
