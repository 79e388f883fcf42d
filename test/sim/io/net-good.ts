/** The good guest with a network card: it sends to others, checks all it receives, closes and connects again. */
import type { GuestProgram } from "../svm-cpu.ts";
import type { IoPeer, IoScene } from "./guest.ts";
import { Kit } from "./guest.ts";
import { NetFront } from "./net-front.ts";
import { EVERYBODY, HOSTS } from "./wire.ts";

/** Longest payload: of three pages. */
const LONGEST = 9000;

export function goodNetGuest(scene: IoScene, me: IoPeer): GuestProgram {
  const { random, wire } = scene;
  return function* (cpu) {
    const kit = new Kit(cpu, scene, me);
    yield* kit.start();
    const front = new NetFront(kit);
    yield* front.attach();
    yield* front.connect();
    while (true) {
      const { probe } = me;
      if (probe !== null && probe.numbers.length < probe.count) {
        while (probe.numbers.length < probe.count && front.hasRoom) {
          const packet = wire.make(me.id, probe.to, 100);
          if (front.put(packet)) probe.numbers.push(packet.number);
        }
        yield* front.push();
      }
      me.idle = me.quiet && front.unanswered === 0 && (probe === null || probe.numbers.length === probe.count);
      switch (me.quiet ? 9 : random.below(12)) {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4: {
          const others = scene.peers.filter((p) => p !== me);
          for (let n = 1 + random.below(4); n > 0 && others.length > 0; n--) {
            const to = random.oneIn(8)
              ? EVERYBODY
              : random.oneIn(4)
                ? random.pick(HOSTS)
                : random.oneIn(10)
                  ? random.pick([...wire.known.keys()].filter((id) => id !== me.id)) // it may be gone
                  : random.pick(others).id;
            const length = random.oneIn(4) ? random.below(LONGEST) : random.below(1400);
            if (!front.put(wire.make(me.id, to, length))) break;
          }
          yield* front.push();
          break;
        }
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
