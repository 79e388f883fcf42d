/** Two ends of a stream in memory: a connection of domain 0's, and a Duplex on Node. Each way holds so many bytes. */
import { Duplex } from "node:stream";
import type { Connection } from "../../../../toolstack/control/net/connection.ts";

export class Pipe {
  private toServer = Buffer.alloc(0);
  private toClient = 0;
  private clientEnded = false;
  private resume: (() => void) | null = null;
  /** Bytes that the client's end takes before it reads them. */
  readonly room: number;
  /** The client does not read. */
  stalled = false;
  aborted = false;
  readonly connection: Connection;
  readonly client: Duplex;

  constructor(room = 16 * 1024) {
    this.room = room;
    const ready = () => setImmediate(() => this.connection.onReady());
    this.connection = {
      peer: "test",
      ended: null,
      onReady: () => {},
      read: (into) => {
        const count = Math.min(into.length, this.toServer.length);
        into.set(this.toServer.subarray(0, count));
        this.toServer = this.toServer.subarray(count);
        if (this.toServer.length === 0) {
          if (this.clientEnded) Object.assign(this.connection, { ended: "closed" });
          const resume = this.resume;
          this.resume = null;
          if (resume !== null) setImmediate(resume);
        }
        return count;
      },
      write: (bytes) => {
        if (this.connection.ended !== null) return 0;
        const count = Math.min(bytes.length, this.room - this.toClient);
        this.toClient += count;
        if (count > 0) this.client.push(Buffer.from(bytes.subarray(0, count)));
        return count;
      },
      close: () => {
        Object.assign(this.connection, { ended: "local" });
        this.client.push(null);
      },
      abort: () => {
        this.aborted = true;
        Object.assign(this.connection, { ended: "local" });
        this.client.destroy();
      },
    };
    this.client = new Duplex({
      read: () => {
        if (this.stalled || this.toClient === 0) return;
        this.toClient = 0;
        ready();
      },
      write: (chunk: Buffer, _encoding, done) => {
        this.toServer = Buffer.concat([this.toServer, chunk]);
        this.resume = done;
        ready();
      },
      final: (done) => {
        this.clientEnded = true;
        if (this.toServer.length === 0) Object.assign(this.connection, { ended: "closed" });
        ready();
        done();
      },
      destroy: (error, done) => {
        if (this.connection.ended === null) Object.assign(this.connection, { ended: "reset" });
        ready();
        done(error);
      },
    });
  }
}
