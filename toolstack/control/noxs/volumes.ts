/** What users do with volumes and the disks that they are on, and what they are told when it cannot be done. */
import { EEXIST, ENOENT } from "../../../abi/errno.ts";
import { DISK_NO_STORE, DISK_STORE } from "../../../abi/io/control-block.ts";
import { BuildError } from "../builder/build-error.ts";
import { NO_DISK, storeAbsent, volumeAbsent } from "./absent.ts";
import {
  checkStore,
  createVolume,
  deleteVolume,
  formatDisk,
  listDisks,
  listVbds,
  listVolumes,
  resizeVolume,
  snapshotVolume,
  type CheckResult,
  type DiskInfo,
  type FormatLoss,
  type VolumeInfo,
} from "./block-requests.ts";
import { vdevName } from "../../api/devices/device-number.ts";
import { IoError, untilAnswered, type IoRequests } from "./io-requests.ts";
import type { Vbds } from "./vbds.ts";

/** Volumes' sizes are multiples of it. */
export const VOLUME_STEP = 4096;

/** Words for errors by their names. */
type Words = Readonly<Record<string, string | (() => string | Promise<string>)>>;

/** Makes a request; a refusal that there are words for is a BuildError. */
async function worded<T>(words: Words, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (!(error instanceof IoError) || error.lost) throw error;
    const text = Object.prototype.hasOwnProperty.call(words, error.errno) ? words[error.errno]! : undefined;
    if (text === undefined) throw error;
    throw new BuildError(typeof text === "string" ? text : await text());
  }
}

export class Volumes {
  constructor(
    private readonly io: IoRequests,
    private readonly vbds: Vbds,
  ) {}

  list(): Promise<VolumeInfo[]> {
    return listVolumes(this.io);
  }

  disks(): Promise<DiskInfo[]> {
    return listDisks(this.io);
  }

  /**
   * Creates a volume of zeroes.
   * @param disk on which disk; null: the first one with a store
   * @param ifAbsent one of that name that there is already will do
   */
  async create(name: string, bytes: number, disk: number | null, ifAbsent: boolean): Promise<void> {
    const { io } = this;
    const words = {
      ENOENT: async () => (await storeAbsent(io)) ?? `disk ${disk} has no store; \`disk list\` shows the disks`,
      EEXIST: `there is a volume or snapshot "${name}" already`,
      ENOSPC: "the store has no room for one more volume; `volume delete NAME` makes room",
      E2BIG: "that is larger than a volume can be: 2.26 TiB",
    };
    await worded(words, () =>
      untilAnswered(async (again) => {
        try {
          await createVolume(io, name, bytes, disk);
        } catch (error) {
          if (!(ifAbsent || again) || !(error instanceof IoError) || error.code !== EEXIST) throw error;
        }
      }),
    );
  }

  /** Deletes a volume or snapshot that nobody uses. */
  async remove(name: string): Promise<void> {
    const { io } = this;
    await this.vbds.released(`volume:${name}`);
    const words = {
      ENOENT: () => volumeAbsent(io, name),
      EBUSY: async () => `${name} is in use${await this.users(name)}`,
      ENOTEMPTY: `volumes were made from the snapshot ${name}: they are to be deleted before it`,
      EROFS: `${name} is in a store that cannot be written`,
    };
    await worded(words, () =>
      untilAnswered(async (again) => {
        try {
          await deleteVolume(io, name);
        } catch (error) {
          if (!again || !(error instanceof IoError) || error.code !== ENOENT) throw error;
        }
      }),
    );
  }

  /** Gives a volume another size; what is behind a new end is lost. */
  async resize(name: string, bytes: number): Promise<void> {
    const { io } = this;
    await this.vbds.released(`volume:${name}`);
    const words = {
      ENOENT: () => volumeAbsent(io, name),
      EBUSY: async () => `${name} is in use${await this.users(name)}: while it is, it can only be made larger`,
      EROFS: `${name} is a snapshot, or in a store that cannot be written`,
      E2BIG: "that is larger than a volume can be: 2.26 TiB",
    };
    await worded(words, () => untilAnswered(() => resizeVolume(io, name, bytes)));
    await this.vbds.resized(`volume:${name}`);
  }

  /** Takes a snapshot of a volume, or makes a volume from a snapshot. */
  async snapshot(name: string, made: string): Promise<void> {
    const { io } = this;
    const words = {
      ENOENT: () => volumeAbsent(io, name),
      EEXIST: `there is a volume or snapshot "${made}" already`,
      EBUSY: `${name} is being deleted or changed; try it again when that is done`,
      ENOSPC: "the store has no room for one more volume; `volume delete NAME` makes room",
      ENFILE: "too many volumes are in use",
      EROFS: `${name} is in a store that cannot be written`,
    };
    await worded(words, () =>
      untilAnswered(async (again) => {
        try {
          await snapshotVolume(io, name, made);
        } catch (error) {
          if (!again || !(error instanceof IoError) || error.code !== EEXIST) throw error;
        }
      }),
    );
  }

  /** Makes an empty store on a disk. @param uuid 16 random bytes */
  async format(disk: number, loss: FormatLoss, uuid: Uint8Array): Promise<void> {
    const { io } = this;
    const info = await this.disk(disk);
    const contents =
      info.store === DISK_NO_STORE
        ? `disk ${disk} has something on it that is no partition table; \`volume format ${disk} --overwrite-disk\` loses all of it`
        : `disk ${disk} has a store already${info.store === DISK_STORE ? `, with ${info.volumes} volumes` : ", which cannot be used"}; ` +
          `\`volume format ${disk} --replace-store\` makes it anew, and they are lost`;
    const words = {
      EEXIST: contents,
      EBUSY: `disk ${disk} is in use: volumes or partitions of it are, or it is being formatted or checked`,
      ENOSPC: `disk ${disk} has no free space between its partitions, 8 MiB or more, for a store`,
      EINVAL: `disk ${disk} is too small for a store, which needs 8 MiB beside the partition table`,
      EROFS: `disk ${disk} cannot be written`,
    };
    await worded(words, () => formatDisk(io, disk, loss, uuid));
  }

  /** Checks the store on a disk; what is wrong is in the hypervisor's log. */
  async check(disk: number): Promise<CheckResult> {
    await this.disk(disk);
    const words = {
      ENOENT: `disk ${disk} has no store that can be checked; \`disk list\` shows the disks`,
      EBUSY: `the store on disk ${disk} is being checked already`,
    };
    return await worded(words, () => untilAnswered(() => checkStore(this.io, disk)));
  }

  private async disk(number: number): Promise<DiskInfo> {
    const disks = await listDisks(this.io);
    const disk = disks.find((known) => known.number === number);
    if (disk !== undefined) return disk;
    throw new BuildError(disks.length === 0 ? NO_DISK : `there is no disk ${number}; \`disk list\` shows them`);
  }

  /** Who uses a volume, for errors. */
  private async users(name: string): Promise<string> {
    const users = (await listVbds(this.io)).filter(({ target }) => target === `volume:${name}`);
    const words = users.map(({ domain, number }) => `domain ${domain} has it as ${vdevName(number)}`);
    return words.length === 0 ? "" : `: ${words.join(", ")}`;
  }
}
