/** The connection of one run of `chaos`: made when the first request is, ended by `close`; Ctrl-C cancels what is asked. */
import type { Arguments, Params, RequestDefinition } from "../../api/request.ts";
import type { Client, Pending } from "../connection/client.ts";
import { findTarget } from "../connection/connect.ts";
import { connectWithin } from "../connection/retry.ts";

export interface Where {
  host?: string;
  key?: string;
  /** For so long a machine that does not answer is tried again, ms; 0 if not given. */
  retryMs?: number;
}

/** What ends a command as Ctrl-C does. */
const ENDING = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export class ToolSession {
  private client: Promise<Client> | null = null;
  private readonly aborter = new AbortController();
  private interrupts = 0;

  constructor(private readonly where: Where) {
    for (const signal of ENDING) process.on(signal, this.interrupt);
  }

  private readonly interrupt = (): void => {
    // The first one cancels, and Typevisor still answers; a second one does not wait for that.
    if (this.interrupts++ > 0) process.exit(130);
    this.aborter.abort();
  };

  /** Ctrl-C was pressed. */
  get interrupted(): boolean {
    return this.interrupts > 0;
  }

  /** Aborted by Ctrl-C. */
  get signal(): AbortSignal {
    return this.aborter.signal;
  }

  private connected(): Promise<Client> {
    const { host, key, retryMs = 0 } = this.where;
    this.client ??= connectWithin(findTarget(host, key), retryMs, this.aborter.signal);
    return this.client;
  }

  /**
   * Makes a request; progress goes to standard error.
   * @param signal cancels this request alone, besides Ctrl-C
   */
  async start<A extends Arguments, R>(
    request: RequestDefinition<A, R>,
    params: Params<A>,
    signal?: AbortSignal,
  ): Promise<Pending<R>> {
    const client = await this.connected();
    const onProgress = (text: string) => process.stderr.write(`${text}\n`);
    const own = this.aborter.signal;
    const pending = client.request(request, params, {
      onProgress,
      signal: signal === undefined ? own : AbortSignal.any([own, signal]),
    });
    // Reported where it is awaited.
    pending.result.catch(() => {});
    return pending;
  }

  /** As `ask`, also behind a Ctrl-C: what was made must go. */
  async cleanUp<A extends Arguments, R>(request: RequestDefinition<A, R>, params: Params<A>): Promise<R> {
    const { result, stream } = (await this.connected()).request(request, params);
    stream.resume();
    return await result;
  }

  /** The answer to a request without a stream. */
  async ask<A extends Arguments, R>(request: RequestDefinition<A, R>, params: Params<A>): Promise<R> {
    const { result, stream } = await this.start(request, params);
    stream.resume();
    return await result;
  }

  async close(): Promise<void> {
    for (const signal of ENDING) process.off(signal, this.interrupt);
    (await this.client?.catch(() => null))?.close();
  }
}
