/**
 * Vifs whose next frame is to a card that has no room for it: the frame stays in the vif's ring, and with it all behind it, until
 * cards have given enough back. So a guest sends as fast as the wire takes its frames, and sees of a slow one a full ring, not losses.
 *
 * A card that takes nothing holds nobody up for longer than WAIT_NS: after that a vif's frames to cards are dropped, until one
 * has found room again.
 */
import { nowNs, MILLISECOND_NS } from "./structures/clock";
import { Vif } from "./records";
import { scheduleResume } from "./schedule";

/** Longest time that a vif waits. */
const WAIT_NS: u64 = 200 * MILLISECOND_NS;

/** They are looked at in turn; linked by waitNext. */
let first: usize = 0;
let last: usize = 0;

/** Whether some wait. */
export function waiting(): bool {
  return first != 0;
}

/** Whether a vif has waited for as long as it may. */
export function waitIsOver(v: Vif): bool {
  return v.waitSince != 0 && nowNs - v.waitSince >= WAIT_NS;
}

/** Has a vif send nothing until there is room for `weight` (units of 2 KiB). */
export function waitAdd(v: Vif, weight: u32): void {
  v.paused = 1;
  if (!v.waitSince) v.waitSince = max(nowNs, 1);
  const listed = v.waitWeight != 0;
  v.waitWeight = weight;
  if (!listed) append(v);
}

function append(v: Vif): void {
  v.waitNext = 0;
  if (last) changetype<Vif>(last).waitNext = changetype<usize>(v);
  else first = changetype<usize>(v);
  last = changetype<usize>(v);
}

/** Looks at `most` of the vifs that wait: those for whom `mayGo` says so, or whose time is over, may send again. */
export function waitServe(most: u32, mayGo: (v: Vif, weight: u32) => bool): void {
  let left = most;
  const end = last;
  while (first && left) {
    const v = changetype<Vif>(first);
    left = changetype<usize>(v) == end ? 0 : left - 1;
    first = v.waitNext;
    if (!first) last = 0;
    if (mayGo(v, v.waitWeight) || waitIsOver(v)) {
      v.waitWeight = 0;
      scheduleResume(v);
    } else {
      append(v);
    }
  }
}

/** A frame of the vif has found room. */
export function waitDone(v: Vif): void {
  v.waitSince = 0;
}

/** Forgets a vif that is disconnected. */
export function waitForget(v: Vif): void {
  v.waitSince = 0;
  if (!v.waitWeight) return;
  v.waitWeight = 0;
  v.paused = 0;
  let before: usize = 0;
  for (let at = first; at != changetype<usize>(v); at = changetype<Vif>(at).waitNext) before = at;
  if (before) changetype<Vif>(before).waitNext = v.waitNext;
  else first = v.waitNext;
  if (last == changetype<usize>(v)) last = before;
}
