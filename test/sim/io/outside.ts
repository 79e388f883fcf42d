/** The hosts on the wire behind the bridge's card: what they send, and what the card says of it. */
import {
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_HDR_F_DATA_VALID,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
} from "../../../abi/io/virtio-net.ts";
import type { Header, VirtioNetModel } from "../../unit/io/drivers/virtio-net-model.ts";
import { arp, ethernet, pattern, tcpFrame, udpFrame } from "../../unit/io/net/packets.ts";
import type { Random } from "../random.ts";
import { EVERYBODY, HOSTS, hostOf, STRANGER, type Wire } from "./wire.ts";

/** Longest payload where buffers are merged, and where one must do. */
const LONGEST = 9000;
const LONGEST_UNMERGED = 3900;
/** Payload of a frame that is longer than any that the driver takes: one that is not would wait for more buffers than guests here have. */
const TOO_LONG = 65_540;
/** Where UDP's header begins, and its checksum in it. */
const UDP_AT = 34;
const UDP_CHECKSUM = 6;

export class Outside {
  constructor(
    private readonly random: Random,
    private readonly wire: Wire,
    private readonly model: VirtioNetModel,
  ) {}

  /** One of them sends. */
  send(): void {
    const { model, random } = this;
    this.shuffle();
    if (random.oneIn(3)) this.strange();
    else {
      const from = random.pick(HOSTS);
      const to = this.receiver();
      if (to === null) return;
      const length = random.oneIn(4) ? random.below(this.longest) : random.below(1400);
      const { frame, blank } = this.wire.make(from, to, length);
      const offload = model.has(VIRTIO_NET_F_GUEST_CSUM) ? random.below(3) : 0;
      if (offload === 1) {
        const header = {
          flags: VIRTIO_NET_HDR_F_NEEDS_CSUM,
          checksumStart: UDP_AT,
          checksumOffset: UDP_CHECKSUM,
        };
        this.deliver(blank, header);
      } else this.deliver(frame, { flags: offload === 2 ? VIRTIO_NET_HDR_F_DATA_VALID : 0 });
    }
  }

  private get longest(): number {
    return this.model.has(VIRTIO_NET_F_MRG_RXBUF) ? LONGEST : LONGEST_UNMERGED;
  }

  private deliver(frame: Uint8Array, header: Header): void {
    this.model.deliver(frame, header, this.random.below(this.model.activePairs));
  }

  /** The card may use buffers in any order. */
  private shuffle(): void {
    const { model, random } = this;
    if (!random.oneIn(4)) return;
    const pair = random.below(model.activePairs);
    const spare = (model.spare[pair] ??= []);
    while (spare.length < 4) {
      const buffer = model.ring(pair * 2).pop();
      if (buffer === null) break;
      spare.push(buffer);
    }
    if (spare.length > 1) spare.push(spare.splice(random.below(spare.length), 1)[0]!);
  }

  /** A guest that has a vif, all of them, one that is gone, or another host; null: there is none. */
  private receiver(): number | null {
    const { random, wire } = this;
    if (random.oneIn(8)) return EVERYBODY;
    if (random.oneIn(8)) return random.pick([...wire.known.keys()]);
    const { present } = wire;
    return present.length === 0 ? null : random.pick(present);
  }

  /** What nobody should send, or a card say of a frame. */
  private strange(): void {
    const { random, wire, model } = this;
    const self = hostOf(STRANGER);
    const to = this.receiver();
    if (to === null) return;
    const receiver = to === EVERYBODY ? { mac: "ff:ff:ff:ff:ff:ff", ip: "10.0.255.255" } : hostOf(to);
    const payload = pattern(random.below(random.oneIn(4) ? this.longest : 1400), random.u32());
    switch (random.below(9)) {
      case 0: // shorter than its headers, or than any frame
        this.deliver(udpFrame(self, receiver, payload).subarray(0, random.below(60)), {});
        break;
      case 1: // longer than any
        if (model.has(VIRTIO_NET_F_MRG_RXBUF))
          this.deliver(ethernet(receiver.mac, self.mac, 0x0800, pattern(TOO_LONG + random.below(3000))), {});
        break;
      case 2: {
        const { present } = wire;
        if (present.length > 0) this.deliver(wire.forge(random.pick(present), to), {});
        break;
      }
      case 3: // from a group
        this.deliver(ethernet(receiver.mac, "01:00:5e:00:00:01", 0x0800, payload), {});
        break;
      case 4:
        this.deliver(arp(1 + random.below(2), self, { ip: receiver.ip }), {});
        break;
      case 5:
        this.deliver(ethernet(receiver.mac, self.mac, random.below(0x10000), payload), {});
        break;
      default: {
        // A header that says anything, in front of a good frame.
        const frame = random.oneIn(2) ? tcpFrame(self, receiver, payload) : udpFrame(self, receiver, payload);
        const any = (): number => random.pick([0, random.below(100), frame.length, random.below(0x10000), 0xffff]);
        this.deliver(frame, {
          flags: random.below(4),
          gsoType: random.pick([0, 1, 4, 3, random.below(256)]),
          headerLength: any(),
          gsoSize: any(),
          checksumStart: any(),
          checksumOffset: any(),
        });
      }
    }
  }
}
