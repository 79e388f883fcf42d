/** The good guest with a disk: it reads and writes, checks all it reads, closes and connects again. */
import type { GuestProgram } from "../svm-cpu.ts";
import { BlockFront, SECTORS, type Target } from "./block-front.ts";
import type { IoPeer, IoScene } from "./guest.ts";
import { Kit } from "./guest.ts";

/** @param target what its disk is; one that it may not write holds zeroes */
export function goodBlockGuest(scene: IoScene, me: IoPeer, target: Target): GuestProgram {
  const { random } = scene;
  return function* (cpu) {
    const kit = new Kit(cpu, scene, me);
    yield* kit.start();
    const front = new BlockFront(kit, target);
    yield* front.attach();
    yield* front.connect();
    /** Sectors that it has read since it was told to come to rest. */
    let verified = 0;
    while (true) {
      if (me.quiet && verified < SECTORS && front.read(verified, 16)) {
        verified += 16;
        yield* front.push();
      }
      me.idle = me.quiet && verified === SECTORS && front.unanswered === 0;
      switch (me.quiet ? 9 : random.below(12)) {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4:
          for (let n = 1 + random.below(6); n > 0 && front.put(); n--);
          yield* front.push();
          break;
        case 5:
          if (random.oneIn(5)) {
            yield* front.close();
            yield* front.connect();
          }
          break;
        case 6:
          kit.checkCanary();
          break;
        case 7:
          yield* kit.pause();
          break;
        case 8:
          yield* front.poll();
          break;
        default:
          yield* front.rest();
      }
    }
  };
}
