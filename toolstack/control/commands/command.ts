/** What a command is, and what it gets. */
import type { Domains } from "../domains/domains.ts";

/** Raised by the user (Ctrl-C, Ctrl-]) while a command runs; a command that waits listens to it. */
export interface Interruption {
  readonly raised: boolean;
  /** Calls `listener` when it is raised, or now if it is. */
  onRaise(listener: () => void): void;
}

/** Input from the console while a command has taken it: returns how many of the bytes it used; not all: it is done. */
export type InputTaker = (bytes: Uint8Array) => number;

export interface CommandContext {
  domains: Domains;
  interruption: Interruption;
  /** False in exec mode: nobody is there to type. */
  interactive: boolean;
  /** Gives the console's input to the command until it ends or gives it back with null. */
  takeInput(taker: InputTaker | null): void;
  /** Ends the machine: SHUTDOWN_poweroff or SHUTDOWN_reboot. In exec mode its verdict is printed first. */
  endMachine(reason: number): void;
  /** The command's text behind its name, as it was typed. */
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
  /**
   * @param words the words behind the name, quotes taken off
   * @throws CommandError, BuildError or HypercallError: the command failed
   */
  run(words: string[], context: CommandContext): void | Promise<void>;
}
