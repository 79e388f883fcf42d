/** The I/O domain's entry point. */
import "../drivers/host/log"; // for failed assertions

/** One turn: serves everything that is pending. Its return means that there is nothing to do until an event comes. */
export function turn(): void {}
