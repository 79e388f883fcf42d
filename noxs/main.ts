/** The I/O domain's entry point. */
import { say, sayEnd } from "../drivers/host/log";

say("I/O domain started.");
sayEnd();

/** One turn: serves everything that is pending. Its return means that there is nothing to do until an event comes. */
export function turn(): void {}
