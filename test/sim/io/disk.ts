/**
 * A virtio disk on the simulated machine, for the I/O domain's own driver. It takes its time, answers in any order, and fails at times.
 */
import { VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_S_IOERR } from "../../../abi/io/virtio-blk.ts";
import { writeTable } from "../../unit/io/block/gpt-table.ts";
import { blkConfig, VirtioBlkModel } from "../../unit/io/drivers/virtio-blk-model.ts";
import type { Random } from "../random.ts";
import { Violation } from "../svm-cpu.ts";
import { SECTOR, SECTORS } from "./block-front.ts";
import type { Hardware, Owner } from "./hardware.ts";

const DEVICE = 4;
/** Partitions, each of which is one guest's disk, and their first sector. */
const PARTITIONS = 40;
const FIRST = 64;
const CAPACITY = FIRST + PARTITIONS * SECTORS + 64;

export class Disk implements Owner {
  readonly name = "the disk";
  private readonly model: VirtioBlkModel;
  private partitions = 0;

  constructor(
    private readonly random: Random,
    hardware: Hardware,
  ) {
    this.model = new VirtioBlkModel({
      features: [VIRTIO_BLK_F_FLUSH],
      config: blkConfig({ capacity: BigInt(CAPACITY) }),
    });
    const { model } = this;
    model.keep = true;
    hardware.plug(model, DEVICE, this);
    const disk = {
      sectors: CAPACITY,
      corrupt: (sector: number, change: (data: Buffer) => void) => {
        change(model.data.subarray(sector * SECTOR, (sector + 1) * SECTOR));
      },
    };
    writeTable(
      disk as never,
      Array.from({ length: PARTITIONS }, (_, i) => {
        const first = FIRST + i * SECTORS;
        return { name: `guest${i}`, first, last: first + SECTORS - 1 };
      }),
    );
    model.data.copy(model.stable);
  }

  violation(what: string): void {
    throw new Violation(`the driver of the disk: ${what}`);
  }

  /** The label of a partition that nobody has had; null when there is none left. */
  take(): string | null {
    return this.partitions < PARTITIONS ? `guest${this.partitions++}` : null;
  }

  /** What is on the disk for good of a sector of a partition. */
  stable(label: string, sector: number): Buffer {
    const at = (FIRST + Number(label.slice(5)) * SECTORS + sector) * SECTOR;
    return this.model.stable.subarray(at, at + SECTOR);
  }

  /** Carries out some of what it was asked for, in any order. */
  work(failing: boolean): void {
    const { model, random } = this;
    if (!model.masters || !model.running) return;
    for (let n = random.below(4); n > 0 && model.kept.length > 0; n--) {
      const [request] = model.kept.splice(random.below(model.kept.length), 1);
      const rest = model.kept.splice(0);
      model.kept.push(request!);
      model.statusAlways = failing && random.oneIn(24) ? VIRTIO_BLK_S_IOERR : null;
      model.release();
      model.kept.push(...rest);
    }
    model.statusAlways = null;
  }
}
