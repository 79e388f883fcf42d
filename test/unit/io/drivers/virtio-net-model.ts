/** A model of a virtio network card (virtio 1.1, 5.1). Frames are given to it with `deliver`, and those it was told to send are in `sent`. */
import {
  VIRTIO_NET_CTRL_MQ,
  VIRTIO_NET_CTRL_RX,
  VIRTIO_NET_ERR,
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_CTRL_RX,
  VIRTIO_NET_F_CTRL_VQ,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_GUEST_TSO6,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_HOST_TSO6,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_MQ,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_F_MTU,
  VIRTIO_NET_F_STATUS,
  VIRTIO_NET_OK,
  VirtioNetConfig,
  VirtioNetHdr,
} from "../../../../abi/io/virtio-net.ts";
import { VIRTIO_ID_NET } from "../../../../abi/io/virtio.ts";
import { VirtioModel, type VirtioOptions } from "./virtio-model.ts";
import { type Chain, piecesBytes } from "./virtio-ring.ts";

export const MAC = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

/** All that QEMU's card offers and the driver knows. */
export const NET_FEATURES = [
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_MTU,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_GUEST_TSO6,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_HOST_TSO6,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_F_STATUS,
  VIRTIO_NET_F_CTRL_VQ,
  VIRTIO_NET_F_CTRL_RX,
];

export interface Sent {
  queue: number;
  data: Buffer;
  pieces: number;
  flags: number;
  gsoType: number;
  headerLength: number;
  gsoSize: number;
  checksumStart: number;
  checksumOffset: number;
}

/** Fields of a received frame's header. */
export interface Header {
  flags?: number;
  gsoType?: number;
  headerLength?: number;
  gsoSize?: number;
  checksumStart?: number;
  checksumOffset?: number;
  buffers?: number;
}

/** A configuration. */
export function netConfig(values: { mac?: number[]; status?: number; pairs?: number; mtu?: number } = {}): Uint8Array {
  const config = new Uint8Array(VirtioNetConfig.SIZE);
  const view = new DataView(config.buffer);
  config.set(values.mac ?? MAC, VirtioNetConfig.mac);
  view.setUint16(VirtioNetConfig.status, values.status ?? 1, true);
  view.setUint16(VirtioNetConfig.max_virtqueue_pairs, values.pairs ?? 1, true);
  view.setUint16(VirtioNetConfig.mtu, values.mtu ?? 1500, true);
  return config;
}

export class VirtioNetModel extends VirtioModel {
  readonly sent: Sent[] = [];
  /** Commands on the control queue, and the answer to them. */
  readonly commands: number[][] = [];
  answer = VIRTIO_NET_OK;
  /** It says it wrote this many bytes of its answer. */
  answerBytes = 1;
  controlSilent = false;
  promiscuous = false;
  activePairs = 1;
  /** Keeps what it was told to send, in `kept`. */
  keep = false;
  readonly kept: { queue: number; chain: Chain }[] = [];
  /** Of each pair: receive buffers taken from the queue that hold no frame yet, the next one to be used first. */
  readonly spare: Chain[][] = [];
  /** Bytes that it says it wrote to a frame that it sent. */
  sentWritten = 0;

  constructor(options: Partial<VirtioOptions> = {}) {
    super(VIRTIO_ID_NET, 0x020000, { features: NET_FEATURES, queues: 3, config: netConfig(), ...options });
  }

  private get pairs(): number {
    return this.has(VIRTIO_NET_F_MQ)
      ? new DataView(this.deviceConfig.buffer).getUint16(VirtioNetConfig.max_virtqueue_pairs, true)
      : 1;
  }

  private get controlQueue(): number {
    return this.has(VIRTIO_NET_F_CTRL_VQ) ? this.pairs * 2 : -1;
  }

  protected override onReset(): void {
    this.kept.length = 0;
    this.spare.length = 0;
    this.promiscuous = false;
    this.activePairs = 1;
  }

  protected override checkFeatures(): void {
    const needs: [number, number[]][] = [
      [VIRTIO_NET_F_HOST_TSO4, [VIRTIO_NET_F_CSUM]],
      [VIRTIO_NET_F_HOST_TSO6, [VIRTIO_NET_F_CSUM]],
      [VIRTIO_NET_F_GUEST_TSO4, [VIRTIO_NET_F_GUEST_CSUM]],
      [VIRTIO_NET_F_GUEST_TSO6, [VIRTIO_NET_F_GUEST_CSUM]],
      [VIRTIO_NET_F_CTRL_RX, [VIRTIO_NET_F_CTRL_VQ]],
      [VIRTIO_NET_F_MQ, [VIRTIO_NET_F_CTRL_VQ]],
    ];
    for (const [feature, others] of needs) {
      if (this.has(feature) && others.some((other) => !this.has(other)))
        this.machine.violation(`feature ${feature} alone`);
    }
  }

  protected override serve(queue: number): void {
    // Receive buffers wait until there is a frame.
    if (queue !== this.controlQueue && queue % 2 === 0) return;
    super.serve(queue);
  }

  protected override handle(queue: number, chain: Chain): number | null {
    if (queue === this.controlQueue) return this.command(chain);
    if (this.keep) {
      this.kept.push({ queue, chain });
      return null;
    }
    this.sent.push(this.parse(queue, chain));
    return this.sentWritten;
  }

  /** Sends what was kept. */
  release(count = this.kept.length): void {
    for (const { queue, chain } of this.kept.splice(0, count)) {
      this.sent.push(this.parse(queue, chain));
      this.finish(queue, chain, 0);
    }
  }

  private parse(queue: number, chain: Chain): Sent {
    const bytes = this.memory.read(chain.readable);
    if (chain.writable.length !== 0) this.machine.violation("a frame to send with room to write");
    if (bytes.length < VirtioNetHdr.SIZE) this.machine.violation("a frame to send without a header");
    const numBuffers = bytes.readUInt16LE(VirtioNetHdr.num_buffers);
    if (numBuffers !== 0) this.machine.violation("num_buffers of a frame to send is not 0");
    return {
      queue,
      data: bytes.subarray(VirtioNetHdr.SIZE),
      pieces: chain.readable.length,
      flags: bytes[VirtioNetHdr.flags]!,
      gsoType: bytes[VirtioNetHdr.gso_type]!,
      headerLength: bytes.readUInt16LE(VirtioNetHdr.hdr_len),
      gsoSize: bytes.readUInt16LE(VirtioNetHdr.gso_size),
      checksumStart: bytes.readUInt16LE(VirtioNetHdr.csum_start),
      checksumOffset: bytes.readUInt16LE(VirtioNetHdr.csum_offset),
    };
  }

  private command(chain: Chain): number | null {
    if (this.controlSilent) return null;
    const bytes = [...this.memory.read(chain.readable)];
    this.commands.push(bytes);
    if (bytes[0] === VIRTIO_NET_CTRL_RX) this.promiscuous = bytes[2] === 1;
    if (bytes[0] === VIRTIO_NET_CTRL_MQ && this.answer === VIRTIO_NET_OK)
      this.activePairs = bytes[2]! | (bytes[3]! << 8);
    if (bytes[0] !== VIRTIO_NET_CTRL_RX && bytes[0] !== VIRTIO_NET_CTRL_MQ) this.answer = VIRTIO_NET_ERR;
    this.memory.write(chain.writable, Uint8Array.of(this.answer));
    return this.answerBytes;
  }

  /** The next receive buffer of a pair; null when the driver has left none. */
  takeBuffer(pair: number): Chain | null {
    return this.spare[pair]?.shift() ?? this.ring(pair * 2).pop();
  }

  /**
   * Receives a frame.
   * @returns false when the driver has left too few buffers: those that there are stay for the next frame
   */
  deliver(data: Uint8Array, header: Header = {}, pair = 0, tell = true): boolean {
    const ring = this.ring(pair * 2);
    const whole = Buffer.concat([Buffer.alloc(VirtioNetHdr.SIZE), data]);
    const chains: Chain[] = [];
    let room = 0;
    while (room < whole.length) {
      const chain = this.takeBuffer(pair);
      if (chain === null) {
        this.spare[pair] = chains;
        return false;
      }
      chains.push(chain);
      room += piecesBytes(chain.writable);
      if (!this.has(VIRTIO_NET_F_MRG_RXBUF) && room < whole.length) throw new Error("too large for one buffer");
    }
    whole[VirtioNetHdr.flags] = header.flags ?? 0;
    whole[VirtioNetHdr.gso_type] = header.gsoType ?? 0;
    whole.writeUInt16LE(header.headerLength ?? 0, VirtioNetHdr.hdr_len);
    whole.writeUInt16LE(header.gsoSize ?? 0, VirtioNetHdr.gso_size);
    whole.writeUInt16LE(header.checksumStart ?? 0, VirtioNetHdr.csum_start);
    whole.writeUInt16LE(header.checksumOffset ?? 0, VirtioNetHdr.csum_offset);
    whole.writeUInt16LE(header.buffers ?? chains.length, VirtioNetHdr.num_buffers);
    let done = 0;
    for (const chain of chains) {
      const part = whole.subarray(done, done + piecesBytes(chain.writable));
      ring.push(chain, this.memory.write(chain.writable, part));
      done += part.length;
    }
    if (tell) this.tell(pair * 2);
    return true;
  }
}
