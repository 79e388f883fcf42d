/** Samples of `top`, again and again: one request each. */
import { topRequest } from "../../api/requests/top.ts";
import type { TopSample } from "../../api/results/top.ts";
import type { ToolSession } from "./session.ts";

/** Waits so many seconds; false: it was ended before. */
function passes(seconds: number, signals: readonly AbortSignal[]): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (whole: boolean) => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener("abort", aborted);
      resolve(whole);
    };
    const aborted = () => end(false);
    const timer = setTimeout(() => end(true), seconds * 1000);
    for (const signal of signals) {
      if (signal.aborted) aborted();
      else signal.addEventListener("abort", aborted);
    }
  });
}

/**
 * Each sample with the one before, the first with null, until Ctrl-C.
 * @param left the user has left otherwise
 * @throws RequestFailed, ConnectionLost
 */
export async function* watchSamples(
  session: Pick<ToolSession, "ask" | "signal">,
  seconds: number,
  left?: AbortSignal,
): AsyncGenerator<{ before: TopSample | null; now: TopSample }> {
  const signals = [session.signal, ...(left === undefined ? [] : [left])];
  const over = () => signals.some(({ aborted }) => aborted);
  let before: TopSample | null = null;
  do {
    let now: TopSample;
    try {
      now = await session.ask(topRequest, {});
    } catch (error) {
      if (over()) return;
      throw error;
    }
    if (over()) return;
    yield { before, now };
    before = now;
  } while (await passes(seconds, signals));
}
