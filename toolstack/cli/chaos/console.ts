/** This terminal, connected to a guest's console until the guest ends, Ctrl-], or the end of standard input. */
import { consoleRequest } from "../../api/requests/domains.ts";
import type { ToolSession } from "./session.ts";

/** Ctrl-]: leaves, as in `xl console` and telnet. */
const LEAVE = 0x1d;

/** Whether the user has said that guests' output is to be shown without what would reprogram the terminal: CHAOS_TERMINAL=safe. */
export function safeTerminal(): boolean {
  return process.env.CHAOS_TERMINAL === "safe";
}

/**
 * @param safe without sequences that would reprogram the terminal
 * @returns why the domain has ended; null: it goes on
 */
export async function talk(session: ToolSession, id: string, safe = safeTerminal()): Promise<string | null> {
  const { result, stream } = await session.start(consoleRequest, { id, safe });
  const { stdin, stdout } = process;
  const raw = stdin.isTTY === true;
  if (raw) {
    process.stderr.write(`[${id}: Ctrl-] leaves]\n`);
    stdin.setRawMode(true);
  }
  const typed = (bytes: Buffer) => {
    const leave = raw ? bytes.indexOf(LEAVE) : -1;
    const some = leave < 0 ? bytes : bytes.subarray(0, leave);
    if (some.length > 0 && !stream.write(some)) {
      stdin.pause();
      stream.once("drain", () => stdin.resume());
    }
    if (leave >= 0) stream.end();
  };
  const ended = () => {
    // Of a terminal: it is gone. Of a pipe: everything was typed, and the output is still of interest.
    if (raw) stream.end();
  };
  stdin.on("data", typed);
  stdin.once("end", ended);
  stream.pipe(stdout, { end: false });
  try {
    return (await result).ended;
  } finally {
    stdin.off("data", typed);
    stdin.off("end", ended);
    stdin.pause();
    if (raw) {
      stdin.setRawMode(false);
      process.stderr.write("\n");
    }
  }
}
