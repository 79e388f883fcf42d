/**
 * How a connection begins on a serial port, where nothing tells one client's bytes from another's: who was here before may have left
 * some, in both directions. Domain 0 says a line with a number of its own; the client skips what is before it and says the number back;
 * domain 0 skips what is before that. What follows is TLS. A port of which another client has the other end says nothing.
 */

const GREETING = "TYPEVISOR-CONTROL ";
const ANSWER = "TYPEVISOR-CLIENT ";
const NUMBER = /^[0-9a-f]{16}\n/;
const NUMBER_BYTES = 17;

/** What domain 0 says. @param number 16 hexadecimal digits that it has not said before */
export function greetingOf(number: string): string {
  return `${GREETING}${number}\n`;
}

/** What the client says back. */
export function answerOf(number: string): string {
  return `${ANSWER}${number}\n`;
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode.apply(null, bytes as unknown as number[]);
}

/** Finds a line in a stream of bytes. */
class LineFinder {
  /** The end of what came before, in which the line may have begun. */
  private tail = "";

  /** @param match finds the line in a text: where it ends, and what it says; of `longest` bytes at most */
  constructor(
    private readonly match: (text: string) => { end: number; says: string } | null,
    private readonly longest: number,
  ) {}

  /** Looks through bytes, 16 KiB at most. When the line ends in them: what it says, and what follows it. */
  push(bytes: Uint8Array): { says: string; rest: Uint8Array } | null {
    const text = this.tail + latin1(bytes);
    const found = this.match(text);
    if (found === null) {
      this.tail = text.slice(-this.longest);
      return null;
    }
    const rest = bytes.subarray(found.end - this.tail.length);
    this.tail = "";
    return { says: found.says, rest };
  }
}

/** The client's: finds a greeting, and its number. */
export function greetingFinder(): LineFinder {
  return new LineFinder((text) => {
    for (let at = text.indexOf(GREETING); at >= 0; at = text.indexOf(GREETING, at + 1)) {
      const number = NUMBER.exec(text.slice(at + GREETING.length, at + GREETING.length + NUMBER_BYTES));
      if (number !== null) return { end: at + GREETING.length + NUMBER_BYTES, says: number[0].trim() };
    }
    return null;
  }, GREETING.length + NUMBER_BYTES);
}

/** Domain 0's: finds the answer with that number. */
export function answerFinder(number: string): LineFinder {
  const line = answerOf(number);
  return new LineFinder((text) => {
    const at = text.indexOf(line);
    return at < 0 ? null : { end: at + line.length, says: number };
  }, line.length);
}

export type { LineFinder };
