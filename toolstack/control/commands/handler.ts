/** Handlers of requests (toolstack/api): what they are given, whoever makes the request. */
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
  /** Bytes of a request whose stream is `output`. */
  output(bytes: Uint8Array): void;
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

/** As it is: for its types. */
export function handler<A extends Arguments, R>(
  request: RequestDefinition<A, R>,
  handle: Handler<A, R>["handle"],
): Handler<A, R> {
  return { request, handle };
}
