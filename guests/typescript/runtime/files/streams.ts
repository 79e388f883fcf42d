/** Streams of files. */
import type { Buffer } from "../data/buffer.ts";
import { Readable, Writable } from "../data/streams.ts";
import { OPERATIONS } from "./operations.ts";

/** Closes a descriptor, and calls `done` when what was written to it stays. */
type Close = (descriptor: number, done: (error?: unknown) => void) => void;

interface ReadOptions {
  start?: number;
  end?: number;
  encoding?: string | null;
  highWaterMark?: number;
}
interface WriteOptions {
  flags?: string;
  start?: number;
}

const asError = (error: unknown) => (error ?? null) as Error | null;

export function makeStreams(close: Close) {
  return {
    createReadStream(path: unknown, options?: string | ReadOptions | null): Readable {
      const given: ReadOptions = typeof options === "string" ? { encoding: options } : (options ?? {});
      const { start = 0, end = Infinity, encoding, highWaterMark } = given;
      let at = start;
      let descriptor = -1;
      const stream = new Readable({
        ...(highWaterMark === undefined ? {} : { highWaterMark }),
        read(size) {
          try {
            if (descriptor < 0) descriptor = OPERATIONS.open(path, "r");
            const piece = new Uint8Array(Math.max(0, Math.min(size, end + 1 - at)));
            const count = OPERATIONS.read(descriptor, piece, 0, piece.length, at);
            at += count;
            stream.push(count === 0 ? null : piece.subarray(0, count));
          } catch (error) {
            stream.destroy(error as Error);
          }
        },
        destroy(error, done) {
          if (descriptor < 0) done(error);
          else close(descriptor, (second) => done(error ?? asError(second)));
        },
      });
      return encoding ? stream.setEncoding(encoding) : stream;
    },

    createWriteStream(path: unknown, options?: string | WriteOptions | null): Writable {
      const { flags = "w", start }: WriteOptions = typeof options === "object" ? (options ?? {}) : {};
      let descriptor = -1;
      let at = start;
      const open = () => {
        if (descriptor < 0) descriptor = OPERATIONS.open(path, flags);
        return descriptor;
      };
      const shut = (done: (error?: Error | null) => void) => {
        const last = descriptor;
        descriptor = -1;
        if (last < 0) done(null);
        else close(last, (error) => done(asError(error)));
      };
      const attempt = (done: (error?: Error | null) => void, work: () => void) => {
        try {
          work();
        } catch (error) {
          done(error as Error);
        }
      };
      return new Writable({
        write(chunk: Buffer, _encoding, done) {
          attempt(done, () => {
            OPERATIONS.write(open(), chunk, 0, chunk.length, at);
            if (at !== undefined) at += chunk.length;
            done();
          });
        },
        // It has finished when what was written stays.
        final(done) {
          attempt(done, () => {
            open();
            shut(done);
          });
        },
        destroy(error, done) {
          shut((second) => done(error ?? second));
        },
      });
    },
  };
}
