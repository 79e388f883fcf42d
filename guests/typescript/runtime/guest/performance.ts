/** The web's performance.now. */
import { clockNs } from "./host.ts";

let startNs = 0;

/** The first turn: time 0 of performance.now(). */
export function startClock(): void {
  startNs = clockNs();
}

export const performance = {
  now: (): number => (clockNs() - startNs) / 1e6,
  get timeOrigin(): number {
    return Date.now() - performance.now();
  },
  mark: (): void => {},
  measure: (): void => {},
};
