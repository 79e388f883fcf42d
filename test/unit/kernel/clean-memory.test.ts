/**
 * Memory that is cleaned while the processor is idle is what is allocated next, whatever was allocated and freed before and in
 * whatever order.
 */
import test from "ava";
import { Random } from "../../sim/random.ts";
import { Lab } from "./lab.ts";

const SUPER_ORDER = 9;
const SUPER_FRAMES = 512;
/** kernel/memory/frames.ts: of what is cleaned ahead of time, the part in superpages. */
const CLEAN_SUPERPAGES = (32768 - 4096) / SUPER_FRAMES;

/** A domain with superpages, and with single frames behind them. */
function take(lab: Lab, superpages: number, singles: number): number {
  const { dom0 } = lab;
  const id = dom0.create();
  const all = superpages * SUPER_FRAMES + singles;
  if (dom0.maxVcpus(id, 1) !== 0 || dom0.maxMem(id, all + 64) !== 0) throw new Error("no domain");
  const gfns = Array.from({ length: superpages }, (_, i) => i * SUPER_FRAMES);
  if (dom0.populate(id, gfns, SUPER_ORDER) !== superpages) throw new Error(`no ${superpages} superpages`);
  for (let done = 0; done < singles; done += 500) {
    const piece = Array.from({ length: Math.min(500, singles - done) }, (_, i) => superpages * SUPER_FRAMES + done + i);
    if (dom0.populate(id, piece) !== piece.length) throw new Error(`no ${singles} frames`);
  }
  return id;
}

/** Lets the processor be idle until it has nothing to clean. */
function rest(lab: Lab): void {
  for (;;) {
    const before = lab.machine.zeroed;
    lab.machine.step(2000);
    if (lab.machine.zeroed === before) return;
  }
}

/** Frames that were zeroed while a domain was given memory. */
function zeroed(lab: Lab, superpages: number, singles: number): number {
  const before = lab.machine.zeroed;
  const id = take(lab, superpages, singles);
  const count = lab.machine.zeroed - before;
  lab.destroy(id);
  return count;
}

test("after a rest, superpages and single frames come clean, whatever was taken and freed before", async (t) => {
  for (let seed = 1; seed <= 6; seed++) {
    const lab = await Lab.open({ memory: 768 });
    const random = new Random(seed);
    for (let round = 0; round < 3; round++) {
      const taken: number[] = [];
      for (let i = 0; i < 24; i++) {
        taken.push(take(lab, 1 + random.below(24), random.below(300)));
        if (random.below(3) === 0) lab.machine.step(random.below(1000));
        if (taken.length > 12) lab.destroy(...taken.splice(random.below(taken.length), 1));
      }
      while (taken.length > 0) {
        lab.destroy(...taken.splice(random.below(taken.length), 1));
        if (random.below(6) === 0) rest(lab);
      }
      rest(lab);
      const cost = zeroed(lab, CLEAN_SUPERPAGES - 8, 1000);
      t.is(cost, 0, `seed ${seed}, round ${round}`);
      rest(lab);
      t.is(zeroed(lab, 4, 10), 0, `seed ${seed}, round ${round}, again`);
    }
    lab.audit(t);
  }
});

test("memory in many small pieces does not keep superpages from being cleaned", async (t) => {
  const lab = await Lab.open({ memory: 512 });
  const holes = 36_000; // more than is cleaned ahead of time
  const id = take(lab, 0, 2 * holes);
  for (let done = 0; done < 2 * holes; done += 1000) {
    const gfns = Array.from({ length: 500 }, (_, i) => done + 2 * i);
    if (lab.dom0.release(id, gfns) !== gfns.length) throw new Error("a frame is not released");
  }
  rest(lab);
  t.is(zeroed(lab, 16, 1000), 0);
  lab.destroy(id);
  lab.audit(t);
});
