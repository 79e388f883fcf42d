/** Requests to Typevisor, as data: what each takes, what it answers, and its words in help. */
import * as v from "valibot";
import type { Argument } from "./argument.ts";
import { CommandError } from "./command-error.ts";
import { tableLines, type Column, type Row } from "./table.ts";

/** The version of the requests' forms. Raised when one that was valid is no longer, or means something else. */
export const API_VERSION = 1;

export type Arguments = Readonly<Record<string, Argument<unknown>>>;

/** What a request's arguments are, by name. */
export type Params<A extends Arguments> = { [K in keyof A]: A[K] extends Argument<infer T> ? T : never };

/**
 * What passes besides the answer: `none`; `output`, text from Typevisor; `file`, bytes from Typevisor that make a file; `console`,
 * bytes both ways until either side ends it; `tunnel`, bytes both ways, each of which ends by itself (DATA_END); `upload`, bytes to
 * Typevisor, whose number is one of the arguments.
 */
export type Stream = "none" | "output" | "file" | "console" | "tunnel" | "upload";

/** Of a request that may take long, and can be cancelled. */
export interface Waiting {
  /** What is waited for. */
  for: string;
  /** What has become of it when it was cancelled. */
  cancelled: string;
  /** What was asked for goes on: only who asked is not kept waiting. Otherwise it is the handler that notices. */
  goesOn?: boolean;
}

export interface RequestDefinition<A extends Arguments = Arguments, R = unknown> {
  readonly name: string;
  readonly summary: string;
  /** More, for help. */
  readonly details: readonly string[];
  readonly arguments: A;
  readonly params: v.GenericSchema<Params<A>>;
  readonly result: v.GenericSchema<R>;
  readonly stream: Stream;
  /** null: it is answered at once. */
  readonly waits: Waiting | null;
  /** The result for people, line by line; null where there is nothing to show. */
  readonly lines: ((result: R) => Iterable<string>) | null;
  /** Why a command fails although its request was answered, told behind the lines; null: it does not. */
  readonly failure: (result: R) => string | null;
}

/** Any request. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type AnyRequest = RequestDefinition<any, any>;

export interface Definition<A extends Arguments, R> {
  name: string;
  summary: string;
  details?: string[];
  arguments: A;
  /** Nothing if not given. */
  result?: v.GenericSchema<R>;
  stream?: Stream;
  waits?: Waiting;
  failure?: (result: R) => string | null;
  lines?: (result: R) => Iterable<string>;
  /** Of a listing, instead of lines: its columns. */
  columns?: readonly Column[];
}

export function defineRequest<A extends Arguments, R = void>(definition: Definition<A, R>): RequestDefinition<A, R> {
  const { name, summary, details = [], stream = "none", columns } = definition;
  const table = columns === undefined ? null : (rows: unknown) => tableLines(columns, rows as Row[]);
  const shape = Object.fromEntries(Object.entries(definition.arguments).map(([key, { schema }]) => [key, schema]));
  return {
    name,
    summary,
    details,
    arguments: definition.arguments,
    params: v.strictObject(shape) as unknown as v.GenericSchema<Params<A>>,
    result: (definition.result ?? v.void()) as unknown as v.GenericSchema<R>,
    stream,
    waits: definition.waits ?? null,
    lines: definition.lines ?? table,
    failure: definition.failure ?? (() => null),
  };
}

/**
 * Checks the arguments of a request that came as JSON.
 * @throws CommandError that names the first argument that is wrong, and what it must be
 */
export function checkParams<A extends Arguments, R>(request: RequestDefinition<A, R>, given: unknown): Params<A> {
  const checked = v.safeParse(request.params, given ?? {});
  if (checked.success) return checked.output;
  const issue = checked.issues[0];
  const place = v.getDotPath(issue);
  throw new CommandError(`${place === null ? "the arguments" : place}: ${issue.message}`);
}
