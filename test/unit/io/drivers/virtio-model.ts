/**
 * A model of a virtio device on PCI (virtio 1.1, 4.1): the modern transport with structures in one BAR, MSI-X, queues of
 * either kind. A concrete device says what its features and configuration are and what it does with a chain. The driver is
 * held to the order of initialisation (3.1.1).
 */
import {
  VIRTIO_CONFIG_S_DRIVER_OK,
  VIRTIO_CONFIG_S_FEATURES_OK,
  VIRTIO_CONFIG_S_NEEDS_RESET,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_PCI_CAP_COMMON_CFG,
  VIRTIO_PCI_CAP_DEVICE_CFG,
  VIRTIO_PCI_CAP_ISR_CFG,
  VIRTIO_PCI_CAP_NOTIFY_CFG,
  VIRTIO_PCI_VENDOR,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
  VirtioPciCommonCfg as Common,
} from "../../../../abi/io/virtio.ts";
import { PCI_CAP_ID_VNDR } from "../../../../abi/io/pci.ts";
import { PciFunction } from "./pci-function.ts";
import { type Chain, DeviceMemory, PackedRing, type Ring, SplitRing } from "./virtio-ring.ts";

const NO_VECTOR = 0xffff;

interface Queue {
  max: number;
  size: number;
  vector: number;
  enabled: boolean;
  addresses: [bigint, bigint, bigint];
  ring: Ring | null;
}

export interface VirtioOptions {
  /** Feature bits offered, besides VERSION_1. */
  features: number[];
  queues: number;
  queueSize?: number;
  config: Uint8Array;
  msixVectors?: number;
  /** Where its structures are: length and offset of each may be changed to what makes no sense. */
  structures?: Partial<Record<"common" | "isr" | "config" | "notify", { offset?: number; length?: number }>>;
  transitional?: boolean;
}

/** Features that say how the rings are, for tests of every combination. */
export const RING_KINDS: Record<string, number[]> = {
  split: [],
  "split, indirect": [VIRTIO_RING_F_INDIRECT_DESC],
  "split, event index": [VIRTIO_RING_F_EVENT_IDX],
  "split, indirect, event index": [VIRTIO_RING_F_INDIRECT_DESC, VIRTIO_RING_F_EVENT_IDX],
  packed: [VIRTIO_F_RING_PACKED],
  "packed, indirect": [VIRTIO_F_RING_PACKED, VIRTIO_RING_F_INDIRECT_DESC],
  "packed, event index": [VIRTIO_F_RING_PACKED, VIRTIO_RING_F_EVENT_IDX],
  "packed, indirect, event index": [VIRTIO_F_RING_PACKED, VIRTIO_RING_F_INDIRECT_DESC, VIRTIO_RING_F_EVENT_IDX],
};

export abstract class VirtioModel extends PciFunction {
  readonly memory = new DeviceMemory(this);
  readonly queues: Queue[] = [];
  deviceConfig: Uint8Array;
  offered: bigint;
  accepted = 0n;
  status = 0;
  generation = 0;
  isr = 0;
  configVector = NO_VECTOR;
  resets = 0;
  notifications = 0;
  interruptsSent = 0;
  // Misbehaviour.
  /** Answers to a reset: false, it never completes. */
  resetWorks = true;
  /** It takes nothing from its queues. */
  silent = false;
  refuseFeatures = false;
  /** The configuration changes with every look at its generation. */
  restless = false;
  private selected = { deviceFeature: 0, driverFeature: 0, queue: 0 };

  constructor(
    id: number,
    classCode: number,
    readonly options: VirtioOptions,
  ) {
    super(VIRTIO_PCI_VENDOR, options.transitional ? 0x0fff + id : 0x1040 + id, classCode);
    this.deviceConfig = options.config;
    this.offered = options.features.reduce((bits, bit) => bits | (1n << BigInt(bit)), 1n << BigInt(VIRTIO_F_VERSION_1));
    for (let i = 0; i < options.queues; i++) {
      this.queues.push({
        max: options.queueSize ?? 256,
        size: 0,
        vector: NO_VECTOR,
        enabled: false,
        addresses: [0n, 0n, 0n],
        ring: null,
      });
    }
    this.pin(1, 11);
    this.bar(4, "memory64", 0x4000, 0x8_0000_0000n);
    this.bar(1, "memory32", 0x1000, 0xfebf_0000n);
    if (options.msixVectors !== 0) this.msix(options.msixVectors ?? 8, 1, 0);
    const s = options.structures ?? {};
    this.structure(VIRTIO_PCI_CAP_COMMON_CFG, s.common?.offset ?? 0, s.common?.length ?? 0x1000);
    this.structure(VIRTIO_PCI_CAP_ISR_CFG, s.isr?.offset ?? 0x1000, s.isr?.length ?? 0x1000);
    this.structure(VIRTIO_PCI_CAP_DEVICE_CFG, s.config?.offset ?? 0x2000, s.config?.length ?? 0x1000);
    this.structure(VIRTIO_PCI_CAP_NOTIFY_CFG, s.notify?.offset ?? 0x3000, s.notify?.length ?? 0x1000, 4);
  }

  private structure(type: number, offset: number, length: number, multiplier?: number): void {
    const bytes = Buffer.alloc(multiplier === undefined ? 14 : 18);
    bytes[0] = bytes.length + 2;
    bytes[1] = type;
    bytes[2] = 4;
    bytes.writeUInt32LE(offset >>> 0, 6);
    bytes.writeUInt32LE(length >>> 0, 10);
    if (multiplier !== undefined) bytes.writeUInt32LE(multiplier, 14);
    this.capability(PCI_CAP_ID_VNDR, [...bytes]);
  }

  has(feature: number): boolean {
    return ((this.accepted >> BigInt(feature)) & 1n) === 1n;
  }

  get running(): boolean {
    return (this.status & VIRTIO_CONFIG_S_DRIVER_OK) !== 0;
  }

  /** A chain arrived on a queue: the written bytes; null keeps it (it is put back later with `finish`). */
  protected abstract handle(queue: number, chain: Chain): number | null;
  /** The device was reset. */
  protected onReset(): void {}

  // --- Queues ---------------------------------------------------------------------------------------------------------------

  ring(queue: number): Ring {
    const ring = this.queues[queue]!.ring;
    if (ring === null) throw new Error(`queue ${queue} is not set up`);
    return ring;
  }

  /** Takes all that is available and handles it. */
  protected serve(queue: number): void {
    const { ring } = this.queues[queue]!;
    if (ring === null || this.silent || !this.running) return;
    ring.busy();
    for (;;) {
      const chain = ring.pop();
      if (chain === null) {
        ring.sleep();
        break;
      }
      const written = this.handle(queue, chain);
      if (written !== null) ring.push(chain, written);
    }
    this.tell(queue);
  }

  /** Puts a chain back that was kept. */
  finish(queue: number, chain: Chain, written: number): void {
    this.ring(queue).push(chain, written);
    this.tell(queue);
  }

  /** Interrupts for what a queue used, if the driver wants one. */
  tell(queue: number): void {
    const q = this.queues[queue]!;
    if (q.ring?.interrupts()) this.send(q.vector, 1);
  }

  /** Changes the configuration, as the device does it: the generation moves on, and the driver is told. */
  changeConfig(change: (view: DataView) => void): void {
    change(new DataView(this.deviceConfig.buffer, this.deviceConfig.byteOffset));
    this.generation = (this.generation + 1) & 0xff;
    this.send(this.configVector, 2);
  }

  needReset(): void {
    this.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    this.send(this.configVector, 2);
  }

  private send(vector: number, cause: number): void {
    this.interruptsSent++;
    this.isr |= cause;
    if (this.vectors.size === 0) return;
    if (this.usesMsix()) {
      if (vector !== NO_VECTOR) this.interrupt(vector);
    } else this.interrupt(0);
  }

  private usesMsix(): boolean {
    return this.options.msixVectors !== 0 && this.machine.gives.msix;
  }

  // --- Registers ----------------------------------------------------------------------------------------------------------------

  override barRead(bar: number, offset: number, size: number): number | bigint {
    if (bar !== 4) return 0;
    if (offset < 0x1000) return this.commonRead(offset, size);
    if (offset < 0x2000) {
      const isr = this.isr;
      this.isr = 0;
      return isr;
    }
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + (this.deviceConfig[offset - 0x2000 + i] ?? 0);
    return value;
  }

  override barWrite(bar: number, offset: number, size: number, value: number | bigint): void {
    if (bar !== 4) return;
    if (offset < 0x1000) this.commonWrite(offset, size, Number(value));
    else if (offset >= 0x3000) this.notified((offset - 0x3000) / 4, Number(value));
  }

  private notified(index: number, value: number): void {
    this.notifications++;
    if (index !== value || index >= this.queues.length)
      this.machine.violation(`notified queue ${value} at the place of ${index}`);
    else if (!this.running) this.machine.violation("notified before DRIVER_OK");
    else this.serve(index);
  }

  private get queue(): Queue {
    return (
      this.queues[this.selected.queue] ?? {
        max: 0,
        size: 0,
        vector: NO_VECTOR,
        enabled: false,
        addresses: [0n, 0n, 0n],
        ring: null,
      }
    );
  }

  private commonRead(offset: number, _size: number): number {
    const queue = this.queue;
    switch (offset) {
      case Common.device_feature:
        return Number((this.offered >> BigInt(32 * this.selected.deviceFeature)) & 0xffffffffn);
      case Common.msix_config:
        return this.configVector;
      case Common.num_queues:
        return this.queues.length;
      case Common.device_status:
        return this.status;
      case Common.config_generation:
        if (this.restless) this.generation = (this.generation + 1) & 0xff;
        return this.generation;
      case Common.queue_size:
        return queue.size || queue.max;
      case Common.queue_msix_vector:
        return queue.vector;
      case Common.queue_enable:
        return queue.enabled ? 1 : 0;
      case Common.queue_notify_off:
        return this.notifyOffset(this.selected.queue);
      default:
        return 0;
    }
  }

  /** What the device says of where a queue is notified. */
  notifyOffset(queue: number): number {
    return queue;
  }

  private commonWrite(offset: number, size: number, value: number): void {
    const queue = this.queue;
    switch (offset) {
      case Common.device_feature_select:
        this.selected.deviceFeature = value;
        break;
      case Common.driver_feature_select:
        this.selected.driverFeature = value;
        break;
      case Common.driver_feature:
        this.writeFeatures(value);
        break;
      case Common.msix_config:
        this.configVector = this.vectorOr(value);
        break;
      case Common.device_status:
        this.writeStatus(value);
        break;
      case Common.queue_select:
        this.selected.queue = value;
        break;
      case Common.queue_size:
        queue.size = value;
        break;
      case Common.queue_msix_vector:
        queue.vector = this.vectorOr(value);
        break;
      case Common.queue_enable:
        this.enable(queue);
        break;
      default:
        if (offset >= Common.queue_desc && offset < Common.SIZE && size === 4)
          this.writeAddress(queue, offset - Common.queue_desc, value);
        else this.machine.violation(`write of ${size} bytes to register ${offset} of the common configuration`);
    }
  }

  private vectorOr(value: number): number {
    return value < (this.options.msixVectors ?? 8) ? value : NO_VECTOR;
  }

  private writeFeatures(value: number): void {
    if (this.status & VIRTIO_CONFIG_S_FEATURES_OK) this.machine.violation("features written after FEATURES_OK");
    const shift = BigInt(32 * this.selected.driverFeature);
    this.accepted = (this.accepted & ~(0xffffffffn << shift)) | (BigInt(value >>> 0) << shift);
  }

  private writeStatus(value: number): void {
    if (value === 0) {
      if (!this.resetWorks) return;
      this.resets++;
      this.status = 0;
      this.accepted = 0n;
      this.configVector = NO_VECTOR;
      for (const q of this.queues) Object.assign(q, { size: 0, vector: NO_VECTOR, enabled: false, ring: null });
      this.onReset();
      return;
    }
    if (value & VIRTIO_CONFIG_S_FEATURES_OK && !(this.status & VIRTIO_CONFIG_S_FEATURES_OK)) {
      if ((this.accepted & ~this.offered) !== 0n) this.machine.violation("features accepted that were not offered");
      this.checkFeatures();
      if (this.refuseFeatures) value &= ~VIRTIO_CONFIG_S_FEATURES_OK;
    }
    if (value & VIRTIO_CONFIG_S_DRIVER_OK && !(value & VIRTIO_CONFIG_S_FEATURES_OK))
      this.machine.violation("DRIVER_OK before FEATURES_OK");
    this.status = value | (this.status & VIRTIO_CONFIG_S_NEEDS_RESET);
  }

  /** Holds the driver to what features depend on. */
  protected checkFeatures(): void {}

  private writeAddress(queue: Queue, offset: number, value: number): void {
    const which = offset >> 3;
    const shift = offset & 4 ? 32n : 0n;
    queue.addresses[which] = (queue.addresses[which]! & ~(0xffffffffn << shift)) | (BigInt(value >>> 0) << shift);
  }

  private enable(queue: Queue): void {
    if (this.running) this.machine.violation("a queue enabled after DRIVER_OK");
    const [descriptors, driver, device] = queue.addresses;
    const size = queue.size || queue.max;
    const packed = this.has(VIRTIO_F_RING_PACKED);
    const alignments = packed ? [16n, 4n, 4n] : [16n, 2n, 4n];
    for (const [i, address] of queue.addresses.entries()) {
      if (address % alignments[i]! !== 0n) this.machine.violation(`area ${i} of a queue is not aligned`);
    }
    if (size > queue.max || (!packed && (size & (size - 1)) !== 0)) this.machine.violation(`queue size ${size}`);
    const features = { indirect: this.has(VIRTIO_RING_F_INDIRECT_DESC), eventIndex: this.has(VIRTIO_RING_F_EVENT_IDX) };
    const addresses = { descriptors, driver, device, size };
    queue.enabled = true;
    queue.ring = packed ? new PackedRing(this, addresses, features) : new SplitRing(this, addresses, features);
  }
}
