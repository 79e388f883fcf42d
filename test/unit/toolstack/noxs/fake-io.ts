/** An I/O domain that notes what it is asked, and answers what a test wants. */
import { Fields, IoError, type IoAnswer, type IoRequests } from "../../../../toolstack/control/noxs/io-requests.ts";

/** A status below 0, with what its refusal says or without; or bytes. */
export type FakeAnswer = number | { code: number; refusal: Uint8Array } | IoAnswer;

export class FakeIo implements IoRequests {
  asked: { operation: number; fields: Fields; bytes: Uint8Array }[] = [];
  /** By operation; 8 bytes of zeroes for others. */
  answers = new Map<number, FakeAnswer | ((payload: Fields) => FakeAnswer)>();
  /** Operations whose next request is lost: the I/O domain dies when it has it. */
  lose = new Set<number>();

  request(operation: number, bytes: Uint8Array): Promise<IoAnswer> {
    this.asked.push({ operation, fields: new Fields(bytes), bytes });
    if (this.lose.delete(operation)) return Promise.reject(new IoError(`operation ${operation}`, 5, true));
    const known = this.answers.get(operation) ?? { payload: new Uint8Array(8), bulk: new Uint8Array(0) };
    const answer = typeof known === "function" ? known(new Fields(bytes)) : known;
    if (typeof answer === "number") return Promise.reject(new IoError(`operation ${operation}`, answer));
    if ("code" in answer) {
      return Promise.reject(new IoError(`operation ${operation}`, answer.code, false, answer.refusal));
    }
    return Promise.resolve(answer);
  }

  /** What was asked since the last call. */
  operations(): number[] {
    return this.asked.splice(0).map(({ operation }) => operation);
  }
}
