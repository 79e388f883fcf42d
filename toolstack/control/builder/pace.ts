/**
 * Pacing of a build: in steps of a few milliseconds, with the rest of domain 0 served between them when it takes long,
 * and a word about how far it is once it has taken a second.
 */
import { systemTime } from "../clock.ts";
import { sleep } from "../timers.ts";
import { showLife } from "../watchdog.ts";

/** A build that has gone on for this long lets others have a turn. Those of small guests are over before. */
const TURN_NS = 4e6;
/** A step shorter than the first may be followed by a longer one, one longer than the second by a shorter one. */
const SHORT_NS = 1e6;
const LONG_NS = 2e6;
/** Time between two words about the progress. */
const WORD_NS = 1e9;

/** Told how much of what is to be done is done. */
export type Progress = (done: number, total: number) => void;

export class Pace {
  private turn = systemTime();
  private word = this.turn;
  private mark = this.turn;
  private took = 0;

  /** @param progress called about once a second, from the second second on */
  constructor(private readonly progress: Progress = () => {}) {}

  /** The size of the next step, after one of `size` that `step` has just ended: between 1 and `most`. */
  next(size: number, most: number): number {
    if (this.took < SHORT_NS) return Math.min(2 * size, most);
    return this.took > LONG_NS ? Math.max(1, Math.floor(size / 2)) : size;
  }

  /** To be awaited after each step: `done` of `total` is done. The clock is read once: that is a hypercall. */
  async step(done: number, total: number): Promise<void> {
    const now = systemTime();
    this.took = now - this.mark;
    this.mark = now;
    showLife(now);
    if (now - this.word >= WORD_NS) {
      this.word = now;
      this.progress(done, total);
    }
    if (now - this.turn < TURN_NS) return;
    await sleep(0);
    this.turn = this.mark = systemTime();
  }
}
