/** Random steps for runs (crash-run.ts), and making a run that fails shorter. */
import type { Step } from "./crash-run.ts";
import { Random } from "./random.ts";

type Make = (random: Random) => Step;

const pick = (random: Random): number => random.below(100);
const size = (random: Random): number => (random.chance(0.6) ? random.below(16) + 1 : random.below(300) + 1);

/** Weights of the steps. */
const STEPS: [number, Make][] = [
  [
    30,
    (r) => ({
      kind: "write",
      pick: pick(r),
      at: r.below(4200),
      length: size(r),
      fua: r.chance(0.15),
      part: r.pick([512, 4096, 4096, 2560]),
    }),
  ],
  [
    5,
    (r) => ({ kind: "discard", pick: pick(r), at: r.below(4200), length: r.chance(0.5) ? r.below(40) : r.below(2000) }),
  ],
  [5, (r) => ({ kind: "read", pick: pick(r), at: r.below(4200), length: r.below(300) })],
  [8, (r) => ({ kind: "flush", pick: pick(r) })],
  [20, (r) => ({ kind: "advance", requests: r.below(12) })],
  [3, () => ({ kind: "settle" })],
  [4, (r) => ({ kind: "create", sectors: r.below(4200) })],
  [3, (r) => ({ kind: "delete", pick: pick(r) })],
  [2, (r) => ({ kind: "resize", pick: pick(r), sectors: r.below(4200) })],
  [4, (r) => ({ kind: "snapshot", pick: pick(r) })],
  [3, (r) => ({ kind: "clone", pick: pick(r) })],
  [1, () => ({ kind: "commit" })],
  [2, (r) => ({ kind: "power", mode: r.pick(["nothing", "done", "anything", "anything"]) })],
  [2, (r) => ({ kind: "restart", after: r.chance(0.5) ? r.below(30) : r.below(400) })],
];
const TOTAL = STEPS.reduce((sum, [weight]) => sum + weight, 0);

/** `count` steps, after a volume has been made. */
export function randomSteps(random: Random, count: number): Step[] {
  const steps: Step[] = [{ kind: "create", sectors: 3000 }, { kind: "settle" }];
  while (steps.length < count) {
    let n = random.below(TOTAL);
    const [, make] = STEPS.find(([weight]) => (n -= weight) < 0)!;
    steps.push(make(random));
  }
  return steps;
}

/** Leaves out as much of a list as it can while `fails` holds of the rest, in at most `attempts` attempts. */
export function shrink<T>(list: readonly T[], fails: (list: T[]) => boolean, attempts: number): T[] {
  let shortest = [...list];
  let left = attempts;
  for (let size = Math.floor(shortest.length / 2); size >= 1 && left > 0;) {
    let shorter = false;
    for (let at = 0; at < shortest.length && left > 0;) {
      const candidate = [...shortest.slice(0, at), ...shortest.slice(at + size)];
      left--;
      if (candidate.length < shortest.length && fails(candidate)) {
        shortest = candidate;
        shorter = true;
      } else {
        at += size;
      }
    }
    if (!shorter || size > 1) size = size === 1 ? 0 : Math.floor(size / 2);
  }
  return shortest;
}
