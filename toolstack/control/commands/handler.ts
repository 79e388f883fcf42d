/** Handlers of requests (toolstack/api): what they are given, whoever makes the request. */
import { CommandError } from "../../api/command-error.ts";
import type { Arguments, Params, RequestDefinition } from "../../api/request.ts";
import type { Domains } from "../domains/domains.ts";
import type { OutputFlow } from "../domains/guest-console.ts";
import type { Interruption } from "../interruption.ts";

/** What a request's handler sees of whoever makes it. */
export interface RequestContext {
  domains: Domains;
  /** Raised when who made the request does not wait any longer. */
  interruption: Interruption;
  /** Tells of progress, a line. */
  progress(text: string): void;
  /** Bytes of a request whose stream is `output` or `file`. */
  output(bytes: Uint8Array): void;
  /** To be awaited between parts of a long output: goes on when there is room for more, and others have had their turns. */
  outputRoom(): Promise<void>;
  /** Of one whose stream goes both ways. */
  stream?: ByteStream;
}

/** Bytes both ways between a handler and who makes the request. */
export interface ByteStream extends OutputFlow {
  write(bytes: Uint8Array): void;
  /** Nothing more will be written, though the answer comes later. */
  endOutput(): void;
  /** Takes what comes, valid during the call, and says `consumed` when it has room for as much again. */
  onInput: (bytes: Uint8Array) => void;
  onInputEnd: () => void;
  consumed(bytes: number): void;
  /** Waits until what was written has been sent. */
  sent(): Promise<void>;
}

export interface Handler<A extends Arguments = Arguments, R = unknown> {
  request: RequestDefinition<A, R>;
  /** @throws CommandError, BuildError, HypercallError or IoError: the request failed */
  handle(params: Params<A>, context: RequestContext): R | Promise<R>;
}

/** A handler of any request. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type AnyHandler = Handler<any, any>;

/**
 * Handles a request as whoever makes it sees it: what goes on by itself is not waited for any longer when the interruption is raised.
 * @throws what the handler does; CommandError when it was not waited for
 */
export function handled<A extends Arguments, R>(
  { request, handle }: Handler<A, R>,
  params: Params<A>,
  context: RequestContext,
): R | Promise<R> {
  const answer = handle(params, context);
  const { waits } = request;
  if (waits?.goesOn !== true || !(answer instanceof Promise)) return answer;
  return new Promise<R>((resolve, reject) => {
    const withdraw = context.interruption.onRaise(() =>
      reject(new CommandError(`no longer waiting for ${waits.for}: ${waits.cancelled}`)),
    );
    answer.then(resolve, reject).finally(withdraw);
  });
}

/** As it is: for its types. */
export function handler<A extends Arguments, R>(
  request: RequestDefinition<A, R>,
  handle: Handler<A, R>["handle"],
): Handler<A, R> {
  return { request, handle };
}
