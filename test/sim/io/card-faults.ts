/** What a broken network card does to its queues. The driver must notice each of these, and reset it. */
import type { Random } from "../random.ts";
import type { VirtioNetModel } from "../../unit/io/drivers/virtio-net-model.ts";
import { SplitRing } from "../../unit/io/drivers/virtio-ring.ts";

/** Bytes of a receive buffer of the driver's. */
const BUFFER = 4096;
const HEADER = 12;

/** Breaks a rule; false: there is no buffer with which to do it. */
export function breakRule(random: Random, model: VirtioNetModel): boolean {
  const pair = random.below(model.activePairs);
  const rx = model.ring(pair * 2);
  const queue = model.queues[pair * 2]!;
  const size = queue.size || queue.max;
  const beyond = (): number => size + random.pick([0, 1, 1000, 0x7f00]);
  switch (random.below(7)) {
    case 0: // a buffer that the driver never had
      rx.lie(beyond(), HEADER + random.below(100));
      return true;
    case 1: // the same for a frame to send: with none there, the driver looks there once a second only
      if (!model.kept.some(({ queue }) => queue === pair * 2 + 1)) return false;
      model.ring(pair * 2 + 1).lie(beyond(), 0);
      return true;
    case 2: // more than there can be
      if (!(rx instanceof SplitRing)) return false;
      rx.lieIndex((rx.usedIndex + size + 1 + random.below(0x8000)) & 0xffff);
      return true;
    case 3:
    case 4: {
      // Longer than its buffer, or shorter than a header.
      const chain = model.takeBuffer(pair);
      if (chain === null) return false;
      rx.push(
        chain,
        random.oneIn(2) ? BUFFER + 1 + random.below(random.pick([100, 0x7fff0000])) : random.below(HEADER),
      );
      return true;
    }
    case 5: {
      // Twice, while the driver has taken all before, so that it cannot have given the same buffer in between.
      if (!(rx instanceof SplitRing) || rx.unused !== size) return false;
      const chain = model.takeBuffer(pair);
      if (chain === null) return false;
      model.memory.write(
        chain.writable,
        Buffer.concat([Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]), Buffer.alloc(60)]),
      );
      rx.push(chain, HEADER + 60);
      rx.push(chain, HEADER + 60);
      return true;
    }
    default:
      model.needReset();
      return true;
  }
}
