/** What a command is, and what it gets. */
import type { Domains } from "../domains/domains.ts";
import type { Interruption } from "../interruption.ts";

/** Takes the console's input while a command runs. */
export interface InputTaker {
  /** How many bytes it has room for now; where it was 0, the command calls `inputWanted` when it no longer is. */
  room(): number;
  /** Takes bytes, as many as it has room for at most; returns how many of them it used. Not all: it is done. */
  take(bytes: Uint8Array): number;
}

export interface CommandContext {
  domains: Domains;
  interruption: Interruption;
  /** False in exec mode: nobody is there to type. */
  interactive: boolean;
  /** The line is the same as the one before it. */
  repeated: boolean;
  /** Gives the console's input to the command until it ends or gives it back with null. */
  takeInput(taker: InputTaker | null): void;
  /** The taker has room again. */
  inputWanted(): void;
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
