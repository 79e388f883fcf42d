/**
 * Connecting to a Typevisor that may be busy, or whose domain 0 is being restarted: its watchdog ends one that hangs after ten seconds, and
 * a successor is there a moment later. Who acts on an error as a cluster's agent does must not take that for a guest that has ended.
 */
import { setTimeout } from "node:timers/promises";
import type { Client } from "./client.ts";
import { ConnectionLost } from "./client.ts";
import { connect, type Target } from "./connect.ts";

/** Between attempts. */
const PAUSE_MS = 500;
/** What ends an attempt where somebody may answer the next one. Nobody does where nothing listens, where there is no way, or to a wrong key. */
const PASSING = ["ECONNRESET", "EPIPE", "ETIMEDOUT"];

function mayPass(error: unknown): boolean {
  if (!(error instanceof ConnectionLost && error.cause instanceof Error)) return false;
  // What a serial port's socket says is put in words, with the system's error behind it. Without a code it is the limit of the attempt.
  const { code } = (error.cause.cause ?? error.cause) as NodeJS.ErrnoException;
  return code === undefined || PASSING.includes(code);
}

/**
 * Connects and greets; nothing was asked before, so that another attempt does nothing twice.
 * @param retryMs for so long after the first attempt's beginning new ones are begun
 * @param signal when it is aborted, no new one is begun
 * @throws as `connect`: the latest attempt's error
 */
export async function connectWithin(target: Target, retryMs: number, signal?: AbortSignal): Promise<Client> {
  const until = performance.now() + retryMs;
  for (;;) {
    try {
      return (await connect(target)).client;
    } catch (error) {
      if (!mayPass(error) || performance.now() + PAUSE_MS > until || signal?.aborted) throw error;
      await setTimeout(PAUSE_MS);
    }
  }
}
