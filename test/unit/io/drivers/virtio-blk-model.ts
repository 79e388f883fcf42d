/** A model of a virtio disk (virtio 1.1, 5.2): sectors in memory, of which a write is stable only after a flush. */
import {
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_TOPOLOGY,
  VIRTIO_BLK_F_WRITE_ZEROES,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_S_UNSUPP,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
  VirtioBlkConfig,
  VirtioBlkOuthdr,
} from "../../../../abi/io/virtio-blk.ts";
import { VIRTIO_ID_BLOCK } from "../../../../abi/io/virtio.ts";
import { VirtioModel, type VirtioOptions } from "./virtio-model.ts";
import { type Chain, piecesBytes } from "./virtio-ring.ts";

const SECTOR = 512;

/** What QEMU's disk offers, and the driver knows, but for several queues. */
export const BLK_FEATURES = [
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_TOPOLOGY,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_WRITE_ZEROES,
];

export interface DiskConfig {
  capacity?: bigint;
  sizeMax?: number;
  segMax?: number;
  blkSize?: number;
  physicalExponent?: number;
  queues?: number;
  discardMax?: number;
  discardSegments?: number;
  zeroesMax?: number;
  zeroesSegments?: number;
}

export function blkConfig(values: DiskConfig = {}): Uint8Array {
  const config = new Uint8Array(VirtioBlkConfig.SIZE);
  const view = new DataView(config.buffer);
  view.setBigUint64(VirtioBlkConfig.capacity, values.capacity ?? 2048n, true);
  view.setUint32(VirtioBlkConfig.size_max, values.sizeMax ?? 0, true);
  view.setUint32(VirtioBlkConfig.seg_max, values.segMax ?? 126, true);
  view.setUint32(VirtioBlkConfig.blk_size, values.blkSize ?? 512, true);
  view.setUint8(VirtioBlkConfig.physical_block_exp, values.physicalExponent ?? 0);
  view.setUint16(VirtioBlkConfig.num_queues, values.queues ?? 1, true);
  view.setUint32(VirtioBlkConfig.max_discard_sectors, values.discardMax ?? 1024, true);
  view.setUint32(VirtioBlkConfig.max_discard_seg, values.discardSegments ?? 1, true);
  view.setUint32(VirtioBlkConfig.max_write_zeroes_sectors, values.zeroesMax ?? 1024, true);
  view.setUint32(VirtioBlkConfig.max_write_zeroes_seg, values.zeroesSegments ?? 1, true);
  return config;
}

export class VirtioBlkModel extends VirtioModel {
  /** What a reader sees, and what would be left after a loss of power. */
  readonly data: Buffer;
  readonly stable: Buffer;
  /** Requests in the order they were carried out: type and sector. */
  readonly requests: [number, bigint][] = [];
  /** Keeps requests, in `kept`, until `release`. */
  keep = false;
  readonly kept: { queue: number; chain: Chain }[] = [];
  /** Sectors that cannot be read or written. */
  readonly bad = new Set<number>();
  /** The status it writes, whatever happened; and whether it writes any. */
  statusAlways: number | null = null;
  statusNone = false;
  /** Bytes that it says it wrote beyond what it did. */
  more = 0;

  constructor(options: Partial<VirtioOptions> = {}) {
    super(VIRTIO_ID_BLOCK, 0x010000, { features: BLK_FEATURES, queues: 1, config: blkConfig(), ...options });
    const capacity = new DataView(this.deviceConfig.buffer).getBigUint64(VirtioBlkConfig.capacity, true);
    const bytes = capacity > 65536n ? 0 : Number(capacity) * SECTOR;
    this.data = Buffer.alloc(bytes);
    this.stable = Buffer.alloc(bytes);
  }

  protected override onReset(): void {
    this.kept.length = 0;
  }

  protected override handle(queue: number, chain: Chain): number | null {
    if (this.keep) {
      this.kept.push({ queue, chain });
      return null;
    }
    return this.carryOut(chain);
  }

  /** Carries out what was kept, in any order. */
  release(order = this.kept.map((_, i) => i)): void {
    const kept = this.kept.splice(0);
    for (const i of order) this.finish(kept[i]!.queue, kept[i]!.chain, this.carryOut(kept[i]!.chain));
  }

  private carryOut(chain: Chain): number {
    const bytes = this.memory.read(chain.readable);
    if (bytes.length < VirtioBlkOuthdr.SIZE) this.machine.violation("a request without a header");
    const room = piecesBytes(chain.writable);
    if (room === 0 || chain.writable.at(-1)!.bytes !== 1) this.machine.violation("a request without room for a status");
    const type = bytes.readUInt32LE(VirtioBlkOuthdr.type);
    const sector = bytes.readBigUInt64LE(VirtioBlkOuthdr.sector);
    this.requests.push([type, sector]);
    const segMax = new DataView(this.deviceConfig.buffer).getUint32(VirtioBlkConfig.seg_max, true);
    if (this.has(VIRTIO_BLK_F_SEG_MAX) && chain.readable.length + chain.writable.length - 2 > segMax) {
      this.machine.violation("more segments than it takes");
    }
    const input = chain.writable.slice(0, -1);
    const [status, written] = this.perform(type, Number(sector), bytes.subarray(VirtioBlkOuthdr.SIZE), input);
    if (!this.statusNone) this.memory.write(chain.writable.slice(-1), Uint8Array.of(this.statusAlways ?? status));
    return written + 1 + this.more;
  }

  private perform(type: number, sector: number, output: Buffer, input: Chain["writable"]): [number, number] {
    const bytes = type === VIRTIO_BLK_T_IN ? piecesBytes(input) : output.length;
    const range = { from: sector * SECTOR, to: sector * SECTOR + bytes };
    for (let s = sector; s < sector + bytes / SECTOR; s++) if (this.bad.has(s)) return [VIRTIO_BLK_S_IOERR, 0];
    if (type === VIRTIO_BLK_T_FLUSH) {
      if (!this.has(VIRTIO_BLK_F_FLUSH)) this.machine.violation("a flush without the feature");
      this.data.copy(this.stable);
      return [VIRTIO_BLK_S_OK, 0];
    }
    if (type === VIRTIO_BLK_T_DISCARD || type === VIRTIO_BLK_T_WRITE_ZEROES) return this.range(type, output);
    if (range.to > this.data.length) return [VIRTIO_BLK_S_IOERR, 0];
    if (type === VIRTIO_BLK_T_IN)
      return [VIRTIO_BLK_S_OK, this.memory.write(input, this.data.subarray(range.from, range.to))];
    if (type !== VIRTIO_BLK_T_OUT) return [VIRTIO_BLK_S_UNSUPP, 0];
    if (this.has(VIRTIO_BLK_F_RO)) return [VIRTIO_BLK_S_IOERR, 0];
    output.copy(this.data, range.from);
    if (!this.has(VIRTIO_BLK_F_FLUSH)) output.copy(this.stable, range.from);
    return [VIRTIO_BLK_S_OK, 0];
  }

  private range(type: number, output: Buffer): [number, number] {
    const feature = type === VIRTIO_BLK_T_DISCARD ? VIRTIO_BLK_F_DISCARD : VIRTIO_BLK_F_WRITE_ZEROES;
    if (!this.has(feature)) this.machine.violation(`request ${type} without the feature`);
    const from = Number(output.readBigUInt64LE(0)) * SECTOR;
    const count = output.readUInt32LE(8);
    const flags = output.readUInt32LE(12);
    if (type === VIRTIO_BLK_T_DISCARD && flags !== 0) this.machine.violation("a discard with flags");
    this.data.fill(type === VIRTIO_BLK_T_DISCARD ? 0xdd : 0, from, from + count * SECTOR);
    return [VIRTIO_BLK_S_OK, 0];
  }
}
