/** The block back end on disks with FAT volumes. */
import { IO_VBD_ADD, IO_VBD_REMOVE } from "../../../../abi/io/control.ts";
import { VBD_MODEL_XENBUS, VbdAdd, VbdRefusal } from "../../../../abi/io/control-block.ts";
import { BlockHost, blockModule } from "../block/block-host.ts";
import { writeTable } from "../block/gpt-table.ts";
import { Random } from "../block/random.ts";
import { SECTOR, SimDisk, type DiskOptions } from "../block/sim-disk.ts";
import type { FatImage } from "./fat-image.ts";

/** Where the first partition begins. */
export const FIRST = 2048;
const XVDA = 51712;

/** A disk with these partitions, one behind the other. */
export function diskWith(volumes: Record<string, FatImage | Buffer>, options: Partial<DiskOptions> = {}): SimDisk {
  const images = Object.values(volumes).map((volume) => (Buffer.isBuffer(volume) ? volume : volume.bytes));
  const sectors = images.reduce((sum, image) => sum + image.length / SECTOR, FIRST + 2048);
  const disk = new SimDisk({ sectors, ...options });
  let at = FIRST;
  const partitions = Object.keys(volumes).map((name, i) => {
    const first = at;
    disk.medium.set(images[i]!, at * SECTOR);
    at += images[i]!.length / SECTOR;
    return { name, first, last: at - 1 };
  });
  writeTable(disk, partitions);
  return disk;
}

/** What is in the disk's first partition now. */
export function firstPartition(disk: SimDisk, volume: FatImage): Buffer {
  return disk.peek(FIRST, volume.bytes.length / SECTOR);
}

export async function host(...disks: SimDisk[]): Promise<BlockHost> {
  const h = new BlockHost(await blockModule(), disks, new Random(5));
  h.settle();
  return h;
}

/** VBD_REMOVE of a domain's xvda. */
export function remove(h: BlockHost, domid: number): number {
  const data = Buffer.alloc(8);
  data.writeUInt32LE(domid, 0);
  data.writeUInt32LE(XVDA, 4);
  return h.control(IO_VBD_REMOVE, data).status;
}

/** A VBD_ADD's status, and what a VbdRefusal says; its reason is 0 where there is none. */
export interface Refused {
  status: number;
  reason: number;
  volumes: number;
  disk: number;
  partition: number;
  bytes: number;
  unit: number;
  label: string;
}

/** Tries to open a target, for reading. */
export function refusal(h: BlockHost, domid: number, target: string): Refused {
  const data = Buffer.alloc(VbdAdd.SIZE);
  data.writeUInt32LE(domid, VbdAdd.domid);
  data.writeUInt32LE(XVDA, VbdAdd.vdev);
  data.writeUInt32LE(VBD_MODEL_XENBUS, VbdAdd.model);
  data.write(target, VbdAdd.target, "latin1");
  const { status, payload } = h.control(IO_VBD_ADD, data);
  const said = status < 0 && payload.length >= VbdRefusal.SIZE ? payload : Buffer.alloc(VbdRefusal.SIZE);
  return {
    status,
    reason: said.readUInt32LE(VbdRefusal.reason),
    volumes: said.readUInt32LE(VbdRefusal.volumes),
    disk: said.readUInt32LE(VbdRefusal.disk),
    partition: said.readUInt32LE(VbdRefusal.partition),
    bytes: said.readUInt32LE(VbdRefusal.bytes),
    unit: said.readUInt32LE(VbdRefusal.unit),
    label: said.toString("latin1", VbdRefusal.label, VbdRefusal.SIZE).replace(/\0.*$/, ""),
  };
}
