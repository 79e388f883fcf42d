/** The definition of a command, and its context. */
import type { Domains } from "../domains/domains.ts";
import type { Interruption } from "../interruption.ts";
import type { AnyHandler } from "./handler.ts";

/** Takes the console's input while a command runs. */
export interface InputTaker {
  /** Bytes it can accept now; after 0, the command calls `inputWanted` when it can accept more. */
  room(): number;
  /** Takes at most as many bytes as it can accept; returns how many it used. Fewer than given: it is done. */
  take(bytes: Uint8Array): number;
}

export interface CommandContext {
  domains: Domains;
  interruption: Interruption;
  /** False in exec mode: there is no interactive input. */
  interactive: boolean;
  /** The line is the same as the one before it. */
  repeated: boolean;
  /** Routes the console's input to the command until it ends or calls this with null. */
  takeInput(taker: InputTaker | null): void;
  /** The taker has room again. */
  inputWanted(): void;
  /** Ends the machine: SHUTDOWN_poweroff or SHUTDOWN_reboot. In exec mode its verdict is printed first. */
  endMachine(reason: number): void;
  /** The command's text after its name, as typed. */
  rawArguments: string;
}

export interface Command {
  name: string;
  /** Arguments as in `help`. */
  usage: string;
  /** One line. */
  summary: string;
  /** More, for `help NAME`. */
  details?: string[];
  /** The requests that it makes, which can be made from outside too. */
  handlers?: readonly AnyHandler[];
  /** Of a command of subcommands: the usage of each. */
  subcommands?: Readonly<Record<string, { usage: string }>>;
  /**
   * @param words the words after the name, quotes removed
   * @throws CommandError, BuildError or HypercallError: the command failed
   */
  run(words: string[], context: CommandContext): void | Promise<void>;
}
