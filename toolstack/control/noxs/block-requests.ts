/** Requests about disks, volumes, vbds and boot modules (abi/io/control-block.ts). */
import {
  DISK_ANY,
  DISK_GONE,
  DISK_GPT_SECOND,
  DISK_READ_ONLY,
  DiskEntry,
  FORMAT_DISK,
  FORMAT_STORE,
  IO_MODULE_ADD,
  ModuleAdd,
  NAME_BYTES,
  VBD_FE_PERSISTENT,
  VBD_MODEL_NOXS,
  VBD_MODEL_XENBUS,
  VBD_PROTOCOL_X86_32,
  VBD_PROTOCOL_X86_64,
  VBD_TARGET_BYTES,
  VBD_WRITABLE,
  VbdAdd,
  VbdConnect,
  VbdEntry,
  VbdKey,
  VbdProperties as Properties,
  VolumeCheck,
  VolumeCheckResponse,
  VolumeCreate,
  VolumeEntry,
  VolumeFormat,
  VolumeName,
  VolumeResize,
  VolumeSnapshot,
} from "../../../abi/io/control-block.ts";
import {
  IO_DISK_LIST,
  IO_VBD_ADD,
  IO_VBD_CONNECT,
  IO_VBD_DISCONNECT,
  IO_VBD_LIST,
  IO_VBD_REMOVE,
  IO_VOLUME_CHECK,
  IO_VOLUME_CREATE,
  IO_VOLUME_DELETE,
  IO_VOLUME_FORMAT,
  IO_VOLUME_LIST,
  IO_VOLUME_RESIZE,
  IO_VOLUME_SNAPSHOT,
} from "../../../abi/io/control.ts";
import { VOLUME_DELETING, VOLUME_SNAPSHOT, VOLUME_TRIMMING } from "../../../abi/io/volume-format.ts";
import { Fields, listAll, Payload, type IoRequests } from "./io-requests.ts";
import type { DeviceModel } from "../../api/devices/names.ts";
import type { VbdFrontend, VbdProperties } from "./xenbus-vbd.ts";

const SECTOR = 512;
const DRIVER_BYTES = 16;

export interface DiskInfo {
  number: number;
  driver: string;
  readOnly: boolean;
  /** It answers no more. */
  gone: boolean;
  /** Its first partition table is damaged. */
  secondTable: boolean;
  bytes: number;
  sectorSize: number;
  /** 0: it has no partition table. */
  partitions: number;
  /** DISK_NO_STORE, ... */
  store: number;
  /** Of the store. */
  storeBytes: number;
  freeBytes: number;
  volumes: number;
  /** Deletions in progress. */
  jobs: number;
  /** Requests that the disk was given, those that it failed, and how often it was reset. */
  reads: number;
  writes: number;
  errors: number;
  resets: number;
}

/** The machine's disks, by their numbers. */
export function listDisks(io: IoRequests): Promise<DiskInfo[]> {
  return listAll(io, IO_DISK_LIST, DiskEntry.SIZE, (entry) => {
    const flags = entry.u32(DiskEntry.flags);
    return {
      number: entry.u32(DiskEntry.disk),
      driver: entry.name(DiskEntry.driver, DRIVER_BYTES),
      readOnly: (flags & DISK_READ_ONLY) !== 0,
      gone: (flags & DISK_GONE) !== 0,
      secondTable: (flags & DISK_GPT_SECOND) !== 0,
      bytes: entry.u64(DiskEntry.sectors) * SECTOR,
      sectorSize: entry.u32(DiskEntry.sectorSize),
      partitions: entry.u32(DiskEntry.partitions),
      store: entry.u32(DiskEntry.store),
      storeBytes: entry.u64(DiskEntry.storeSectors) * SECTOR,
      freeBytes: entry.u64(DiskEntry.freeSectors) * SECTOR,
      volumes: entry.u32(DiskEntry.volumes),
      jobs: entry.u32(DiskEntry.jobs),
      reads: entry.u64(DiskEntry.reads),
      writes: entry.u64(DiskEntry.writes),
      errors: entry.u64(DiskEntry.errors),
      resets: entry.u32(DiskEntry.resets),
    };
  });
}

// --- Volumes -------------------------------------------------------------------------------------------------------------

export interface VolumeInfo {
  /** Empty: it is being deleted. */
  name: string;
  disk: number;
  id: number;
  bytes: number;
  /** That have space on the disk, its own or shared with a snapshot. */
  mappedBytes: number;
  snapshot: boolean;
  /** It is being deleted, or was made smaller and what is behind its end is being given back. */
  busy: boolean;
  /** `id` of the snapshot before it, or that it was made from. */
  previous: number | null;
  /** Volumes made from it. */
  clones: number;
  /** Vbds that have it for reading, and for writing. */
  readers: number;
  writers: number;
}

export function listVolumes(io: IoRequests): Promise<VolumeInfo[]> {
  return listAll(io, IO_VOLUME_LIST, VolumeEntry.SIZE, (entry) => {
    const flags = entry.u32(VolumeEntry.flags);
    const previous = entry.u32(VolumeEntry.previous);
    return {
      name: entry.name(VolumeEntry.name, NAME_BYTES),
      disk: entry.u32(VolumeEntry.disk),
      id: entry.u32(VolumeEntry.id),
      bytes: entry.u64(VolumeEntry.sectors) * SECTOR,
      mappedBytes: entry.u64(VolumeEntry.mapped) * SECTOR,
      snapshot: (flags & VOLUME_SNAPSHOT) !== 0,
      busy: (flags & (VOLUME_DELETING | VOLUME_TRIMMING)) !== 0,
      previous: previous === 0 ? null : previous - 1,
      clones: entry.u32(VolumeEntry.clones),
      readers: entry.u32(VolumeEntry.readers),
      writers: entry.u32(VolumeEntry.writers),
    };
  });
}

/** Creates a volume of zeroes. @param disk on which disk; null: the first one with a store */
export async function createVolume(io: IoRequests, name: string, bytes: number, disk: number | null): Promise<void> {
  const payload = new Payload(VolumeCreate.SIZE)
    .name(VolumeCreate.name, name)
    .u64(VolumeCreate.sectors, bytes / SECTOR)
    .u32(VolumeCreate.disk, disk ?? DISK_ANY);
  await io.request(IO_VOLUME_CREATE, payload.bytes);
}

export async function deleteVolume(io: IoRequests, name: string): Promise<void> {
  await io.request(IO_VOLUME_DELETE, new Payload(VolumeName.SIZE).name(VolumeName.name, name).bytes);
}

export async function resizeVolume(io: IoRequests, name: string, bytes: number): Promise<void> {
  const payload = new Payload(VolumeResize.SIZE)
    .name(VolumeResize.name, name)
    .u64(VolumeResize.sectors, bytes / SECTOR);
  await io.request(IO_VOLUME_RESIZE, payload.bytes);
}

/** Takes a snapshot of a volume, or makes a volume from a snapshot. */
export async function snapshotVolume(io: IoRequests, name: string, made: string): Promise<void> {
  const payload = new Payload(VolumeSnapshot.SIZE).name(VolumeSnapshot.name, name).name(VolumeSnapshot.snapshot, made);
  await io.request(IO_VOLUME_SNAPSHOT, payload.bytes);
}

/** What `formatDisk` may destroy. */
export interface FormatLoss {
  /** The store that there is. */
  store: boolean;
  /** Whatever is on a disk without partitions. */
  disk: boolean;
}

/** Makes an empty store on a disk. @param uuid 16 random bytes */
export async function formatDisk(io: IoRequests, disk: number, loss: FormatLoss, uuid: Uint8Array): Promise<void> {
  const payload = new Payload(VolumeFormat.SIZE)
    .u32(VolumeFormat.disk, disk)
    .u32(VolumeFormat.flags, (loss.store ? FORMAT_STORE : 0) | (loss.disk ? FORMAT_DISK : 0))
    .put(VolumeFormat.uuid, uuid);
  await io.request(IO_VOLUME_FORMAT, payload.bytes);
}

/** What a check of a store has found. */
export interface CheckResult {
  problems: number;
  volumes: number;
  /** In use, of data and of metadata. */
  chunks: number;
  blocks: number;
}

export async function checkStore(io: IoRequests, disk: number): Promise<CheckResult> {
  const payload = new Payload(VolumeCheck.SIZE).u32(VolumeCheck.disk, disk);
  const answer = new Fields((await io.request(IO_VOLUME_CHECK, payload.bytes)).payload);
  return {
    problems: answer.u32(VolumeCheckResponse.problems),
    volumes: answer.u32(VolumeCheckResponse.volumes),
    chunks: answer.u32(VolumeCheckResponse.chunks),
    blocks: answer.u32(VolumeCheckResponse.blocks),
  };
}

// --- Vbds ----------------------------------------------------------------------------------------------------------------

export interface VbdInfo {
  domain: number;
  /** Xen's number of it. */
  number: number;
  /** KIND:NAME */
  target: string;
  model: DeviceModel;
  writable: boolean;
  /** VBD_WAITING, ... */
  state: number;
  /** VBD_FAIL_* */
  failure: number;
  rings: number;
  properties: VbdProperties;
  /** Requests, and what they have moved. */
  reads: number;
  readBytes: number;
  writes: number;
  writtenBytes: number;
  flushes: number;
  discards: number;
  /** Those that failed on the disk, and those that were not possible. */
  errors: number;
  refused: number;
}

function readProperties(entry: Fields, at = 0): VbdProperties {
  return {
    sectors: entry.u64(at + Properties.sectors),
    sectorSize: entry.u32(at + Properties.sectorSize),
    physicalSectorSize: entry.u32(at + Properties.physicalSectorSize),
    discardGranularity: entry.u32(at + Properties.discardGranularity),
  };
}

/**
 * Adds a vbd; one that is there already, and the same, is taken for added.
 * @param target KIND:NAME
 * @returns the grant and the port of its control page, for the device page of a NoXS guest
 */
export async function addVbd(
  io: IoRequests,
  domain: number,
  { number, target, model, writable }: Pick<VbdInfo, "number" | "target" | "model" | "writable">,
): Promise<{ grant: number; port: number }> {
  const payload = new Payload(VbdAdd.SIZE)
    .u32(VbdAdd.domid, domain)
    .u32(VbdAdd.vdev, number)
    .u32(VbdAdd.model, model === "noxs" ? VBD_MODEL_NOXS : VBD_MODEL_XENBUS)
    .u32(VbdAdd.flags, writable ? VBD_WRITABLE : 0)
    .name(VbdAdd.target, target);
  const answer = new Fields((await io.request(IO_VBD_ADD, payload.bytes)).payload);
  return { grant: answer.u32(Properties.grant), port: answer.u32(Properties.port) };
}

function vbdKey(domain: number, number: number): Uint8Array {
  return new Payload(VbdKey.SIZE).u32(VbdKey.domid, domain).u32(VbdKey.vdev, number).bytes;
}

/** Removes a vbd: answered when no request of it is in progress. */
export async function removeVbd(io: IoRequests, domain: number, number: number): Promise<void> {
  await io.request(IO_VBD_REMOVE, vbdKey(domain, number));
}

/** Connects a vbd to what its xenbus frontend has written; what its disk is. */
export async function connectVbd(
  io: IoRequests,
  domain: number,
  number: number,
  { rings, protocol, persistent }: VbdFrontend,
): Promise<VbdProperties> {
  const pages = rings[0]!.refs.length;
  const ringBytes = 4 + 4 * pages;
  const payload = new Payload(VbdConnect.SIZE + rings.length * ringBytes)
    .u32(VbdConnect.domid, domain)
    .u32(VbdConnect.vdev, number)
    .u32(VbdConnect.rings, rings.length)
    .u32(VbdConnect.order, Math.log2(pages))
    .u32(VbdConnect.protocol, protocol === "x86_32-abi" ? VBD_PROTOCOL_X86_32 : VBD_PROTOCOL_X86_64)
    .u32(VbdConnect.features, persistent ? VBD_FE_PERSISTENT : 0);
  for (const [i, { refs, port }] of rings.entries()) {
    const at = VbdConnect.SIZE + i * ringBytes;
    payload.u32(at, port);
    for (const [page, ref] of refs.entries()) payload.u32(at + 4 + 4 * page, ref);
  }
  return readProperties(new Fields((await io.request(IO_VBD_CONNECT, payload.bytes)).payload));
}

/** Lets go of everything of the frontend's: answered when no request is in progress. */
export async function disconnectVbd(io: IoRequests, domain: number, number: number): Promise<void> {
  await io.request(IO_VBD_DISCONNECT, vbdKey(domain, number));
}

export function listVbds(io: IoRequests): Promise<VbdInfo[]> {
  return listAll(io, IO_VBD_LIST, VbdEntry.SIZE, (entry) => ({
    domain: entry.u32(VbdEntry.domid),
    number: entry.u32(VbdEntry.vdev),
    target: entry.name(VbdEntry.target, VBD_TARGET_BYTES),
    model: entry.u32(VbdEntry.model) === VBD_MODEL_NOXS ? "noxs" : "xenbus",
    writable: (entry.u32(VbdEntry.flags) & VBD_WRITABLE) !== 0,
    state: entry.u32(VbdEntry.state),
    failure: entry.u32(VbdEntry.failure),
    rings: entry.u32(VbdEntry.rings),
    properties: readProperties(entry, VbdEntry.properties),
    reads: entry.u64(VbdEntry.reads),
    readBytes: entry.u64(VbdEntry.readBytes),
    writes: entry.u64(VbdEntry.writes),
    writtenBytes: entry.u64(VbdEntry.writtenBytes),
    flushes: entry.u64(VbdEntry.flushes),
    discards: entry.u64(VbdEntry.discards),
    errors: entry.u64(VbdEntry.errors),
    refused: entry.u64(VbdEntry.refused),
  }));
}

// --- Boot modules --------------------------------------------------------------------------------------------------------

/** Makes a boot module a target. @param pages the grant of the first page that lists its pages' grants */
export async function addModule(io: IoRequests, name: string, bytes: number, pages: number): Promise<void> {
  const payload = new Payload(ModuleAdd.SIZE)
    .name(ModuleAdd.name, name)
    .u64(ModuleAdd.bytes, bytes)
    .u32(ModuleAdd.pages, pages);
  await io.request(IO_MODULE_ADD, payload.bytes);
}
