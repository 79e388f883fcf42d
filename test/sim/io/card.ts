/**
 * A virtio network card on the simulated machine, for the I/O domain's own driver, and the hosts on the wire behind it. What it can do is
 * drawn from the seed. It takes its time, sends in any order, loses frames, its link goes down at times; in some seeds it breaks the
 * rules of its interface, upon which the driver must reset it, and otherwise must not.
 */
import {
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
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VirtioNetConfig,
} from "../../../abi/io/virtio-net.ts";
import { VIRTIO_CONFIG_S_FAILED } from "../../../abi/io/virtio.ts";
import { IO_DMA, IO_DMA_END } from "../../../abi/io/layout.ts";
import { RING_KINDS } from "../../unit/io/drivers/virtio-model.ts";
import { netConfig, type Sent, VirtioNetModel } from "../../unit/io/drivers/virtio-net-model.ts";
import { internetChecksum } from "../../unit/io/net/packets.ts";
import { PAGE } from "../ram.ts";
import type { Random } from "../random.ts";
import { Violation } from "../svm-cpu.ts";
import { breakRule } from "./card-faults.ts";
import type { Hardware, Owner } from "./hardware.ts";
import { Outside } from "./outside.ts";
import type { Wire } from "./wire.ts";

const DEVICE = 3;
/** Longest that it has a frame before it is sent, ns: the driver gives it 10 s. */
const SLOW_NS = 1_000_000_000;
/** Turns of the I/O domain in which it has noticed a rule that was broken. */
const NOTICE_TURNS = 50;
/** Resets that the driver grants a card within a minute, which is longer than a run. */
const RESETS = 5;
/** What Ethernet and a VLAN tag add to the MTU. */
const HEADERS = 18;

/** Features beyond those of all cards: each with those that depend on it. */
const FEATURES = [
  [VIRTIO_NET_F_CSUM, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6],
  [VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6],
  [VIRTIO_NET_F_MRG_RXBUF],
  [VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_RX],
  [VIRTIO_NET_F_MTU],
];

function draw(random: Random): ConstructorParameters<typeof VirtioNetModel>[0] {
  const features = [VIRTIO_NET_F_MAC, VIRTIO_NET_F_STATUS, ...random.pick(Object.values(RING_KINDS))];
  for (const [first, ...more] of FEATURES) {
    if (random.oneIn(2)) continue;
    features.push(first!);
    if (random.oneIn(2)) features.push(...more);
  }
  const pairs = features.includes(VIRTIO_NET_F_CTRL_VQ) && random.oneIn(3) ? 2 : 1;
  if (pairs > 1) features.push(VIRTIO_NET_F_MQ);
  return {
    features,
    queues: 2 * pairs + 1,
    queueSize: random.pick([16, 64, 256]),
    config: netConfig({ pairs, mtu: random.pick([1500, 1500, 4000, 9000]) }),
    msixVectors: random.pick([1, 2, 8]),
  };
}

class Model extends VirtioNetModel {
  onDriverReset: () => void = () => {};

  protected override onReset(): void {
    super.onReset();
    this.onDriverReset();
  }
}

export class Card implements Owner {
  readonly name = "the card";
  private readonly model: Model;
  private readonly outside: Outside;
  /** It breaks this many rules at most from one start of the I/O domain to the next: the driver gives it up after some. */
  private readonly mayBreak: number;
  /** Turns that the I/O domain had taken when it broke one; 0: it has not. */
  private brokeAt = 0;
  /** Rules broken since the I/O domain started, and that start. */
  private broken = 0;
  private life = 0;
  private wasRunning = false;
  private wasGivenUp = false;
  private linkUp = true;
  /** Since when it has had frames to send, ns. */
  private since = 0;
  private settled = true;
  /** Keeps what it is told to send. */
  held = false;
  /** Loses frames, besides those that it has when its link goes down. */
  private readonly loses: boolean;
  readonly counts = { "frames sent to the wire": 0, "link changes": 0, "rules broken": 0, "cards given up": 0 };

  constructor(
    private readonly random: Random,
    private readonly hardware: Hardware,
    private readonly wire: Wire,
  ) {
    this.model = new Model(draw(random));
    const { model } = this;
    model.keep = true;
    if (random.oneIn(6)) model.answer = VIRTIO_NET_ERR;
    model.controlSilent = random.oneIn(6);
    this.mayBreak = random.oneIn(3) ? 0 : random.oneIn(3) ? 2 * RESETS : RESETS - 1;
    this.loses = random.oneIn(3);
    this.outside = new Outside(random, wire, model);
    hardware.plug(model, DEVICE, this);
    model.onDriverReset = () => this.wasReset();
  }

  violation(what: string): void {
    // Its own idea of its rings is nothing to go by once it has lied in them.
    if (this.brokeAt === 0) throw new Violation(`the driver of the card: ${what}`);
  }

  accesses(mfn: number): void {
    const pages = this.hardware.domain.pagesOf(mfn);
    if (!pages.every((page) => page * PAGE >= IO_DMA && page * PAGE < IO_DMA_END)) {
      throw new Violation(`the card accesses frame ${mfn}, which is not memory for devices`);
    }
  }

  private get now(): number {
    return this.hardware.machine.now;
  }

  private wasReset(): void {
    const inLife = this.life === this.hardware.domain.starts;
    if (this.wasRunning && this.model.masters && this.brokeAt === 0 && inLife) {
      throw new Violation("the driver resets a card that has broken no rule");
    }
    this.wasRunning = false;
    this.brokeAt = 0;
  }

  /** The driver has had enough of it. */
  get givenUp(): boolean {
    return (this.model.status & VIRTIO_CONFIG_S_FAILED) !== 0;
  }

  /** In words, for a violation. */
  get state(): string {
    const { status, masters } = this.model;
    return `status ${status}, masters ${masters}, link ${this.linkUp}, broken ${this.brokeAt}`;
  }

  /** It has nothing to send. */
  get isIdle(): boolean {
    return this.model.kept.length === 0;
  }

  /** A host's frame comes to a guest; its number. */
  bring(from: number, to: number): number {
    const { frame, number } = this.wire.make(from, to, 100);
    this.model.deliver(frame);
    return number;
  }

  /** It sends and receives. */
  get works(): boolean {
    return this.model.running && this.model.masters && this.brokeAt === 0 && this.linkUp;
  }

  /** From now on things happen to it, until `settle`. */
  begin(): void {
    this.settled = false;
  }

  /** From now on it follows the rules and loses nothing, its link is up, and nothing comes from the wire by itself. */
  settle(): void {
    this.settled = true;
    if (!this.linkUp) this.changeLink();
  }

  private changeLink(): void {
    this.linkUp = !this.linkUp;
    this.counts["link changes"]++;
    this.model.changeConfig((view) => view.setUint16(VirtioNetConfig.status, this.linkUp ? 1 : 0, true));
  }

  /** Sends some of what it was told to, in any order; receives; breaks a rule. */
  work(): void {
    const { model, random } = this;
    const { starts } = this.hardware.domain;
    const { givenUp } = this;
    if (this.life !== starts) {
      this.life = starts;
      this.broken = 0;
    } else if (givenUp && !this.wasGivenUp) {
      if (this.broken <= RESETS) throw new Violation(`a card is given up that has broken ${this.broken} rules`);
      this.counts["cards given up"]++;
    }
    this.wasGivenUp = givenUp;
    if (!model.masters || !model.running) return;
    this.wasRunning = true;
    if (this.brokeAt !== 0) {
      if (this.hardware.domain.turns - this.brokeAt > NOTICE_TURNS) {
        throw new Violation("a card that has broken a rule is not reset");
      }
      return;
    }
    this.send();
    if (!this.settled) {
      if (random.oneIn(150)) this.changeLink();
      if (random.oneIn(40)) model.interrupt(random.below(8));
      if (this.linkUp && random.oneIn(4)) this.outside.send();
      if (this.broken < this.mayBreak && random.oneIn(100)) this.breakRule();
    }
  }

  private breakRule(): void {
    if (breakRule(this.random, this.model)) this.hasBroken();
  }

  private hasBroken(): void {
    this.broken++;
    this.counts["rules broken"]++;
    this.brokeAt = this.hardware.domain.turns;
    for (const { vector } of this.model.queues) if (vector !== 0xffff) this.model.interrupt(vector);
    this.model.interrupt(0);
  }

  /** It wants a reset now, unless the driver would give it up for that. */
  fail(): void {
    if (this.broken >= RESETS) return;
    this.model.needReset();
    this.hasBroken();
  }

  private send(): void {
    const { model, random } = this;
    const { kept } = model;
    if (this.held) return;
    if (kept.length === 0) this.since = this.now;
    const hurry = this.now - this.since > SLOW_NS;
    for (let n = hurry ? kept.length : random.below(4); n > 0 && kept.length > 0; n--) {
      const [chain] = kept.splice(random.below(kept.length), 1);
      const rest = kept.splice(0);
      kept.push(chain!);
      model.release();
      kept.push(...rest);
    }
    if (hurry) this.since = this.now;
    for (const sent of model.sent.splice(0)) {
      const lost = !this.settled && (!this.linkUp || (this.loses && random.oneIn(8)));
      if (!lost) this.leave(sent);
    }
  }

  /** What it was told to send goes out, once it has done its part. */
  private leave(sent: Sent): void {
    const { model } = this;
    const frame = Buffer.from(sent.data);
    if (sent.gsoType === 0) {
      const mtu = new DataView(model.deviceConfig.buffer).getUint16(VirtioNetConfig.mtu, true);
      const longest = (model.has(VIRTIO_NET_F_MTU) ? mtu : 1500) + HEADERS;
      if (frame.length > longest) throw new Violation(`the card was to send ${frame.length} bytes`);
    } else if (!model.has(sent.gsoType === 1 ? VIRTIO_NET_F_HOST_TSO4 : VIRTIO_NET_F_HOST_TSO6)) {
      throw new Violation("the card was to cut a frame, which it cannot do");
    }
    if ((sent.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) !== 0) {
      if (!model.has(VIRTIO_NET_F_CSUM)) throw new Violation("the card was to fill in a checksum, which it cannot do");
      const { checksumStart: start, checksumOffset: offset } = sent;
      const sum = internetChecksum(frame.subarray(start));
      frame.writeUInt16BE(sum === 0 && offset === 6 ? 0xffff : sum, start + offset);
    }
    this.wire.left(frame);
    this.counts["frames sent to the wire"]++;
  }
}
