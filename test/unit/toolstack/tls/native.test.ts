/** The C that the image has computes, byte by byte, what the module computes in Node; and how fast both are (printed, not judged). */
import test from "ava";
import {
  TLS_BEGIN,
  TLS_CLOSE,
  TLS_ESTABLISHED,
  TLS_INPUT_BYTES,
  TLS_KEY,
  TLS_OPEN,
  TLS_OWN_BYTES,
  TLS_READ,
  TLS_SEED,
  TLS_SHARED,
  TLS_SHARED_BYTES,
  TLS_STEP,
  TLS_WRITE,
  TlsSession,
} from "../../../../abi/tls.ts";
import { withBuildLock } from "../../../../scripts/build/lock.ts";
import { buildTlsReplay } from "../../../../scripts/build/tls-native.ts";
import { KEY, NodeHost } from "./lab.ts";
import { fnv, replay } from "./native.ts";
import { record, SEED } from "./recording.ts";

const HANDSHAKES = 100;
const MEGABYTES = 8;

/** The module in Node, called as replay.c calls it. */
class Player {
  readonly host = new NodeHost();
  answered: Uint8Array[] = [];

  private word(field: number): number {
    return this.host.load32(TLS_OWN_BYTES + field);
  }

  private takeOutput(keep: boolean): void {
    const [start, end] = [this.word(TlsSession.outputStart), this.word(TlsSession.outputEnd)];
    if (keep) this.answered.push(this.host.read(TLS_OWN_BYTES + TlsSession.output + start, end - start));
    this.host.store32(TLS_OWN_BYTES + TlsSession.outputStart, end);
  }

  private feed(bytes: Uint8Array): number {
    const end = this.word(TlsSession.inputEnd);
    const part = bytes.subarray(0, TLS_INPUT_BYTES - end);
    this.host.write(TLS_OWN_BYTES + TlsSession.input + end, part);
    this.host.store32(TLS_OWN_BYTES + TlsSession.inputEnd, end + part.length);
    return part.length;
  }

  handshake(bytes: Uint8Array): void {
    const { host } = this;
    host.take(0, TLS_OWN_BYTES);
    host.start(TLS_BEGIN, 0, 0);
    host.write(TLS_SHARED, SEED);
    host.call(TLS_SEED, SEED.length, 0);
    host.write(TLS_SHARED, Buffer.from(KEY.identity));
    host.write(TLS_SHARED + KEY.identity.length, KEY.key);
    host.call(TLS_KEY, KEY.identity.length, 0);
    host.call(TLS_OPEN, 0, 0);
    for (let at = 0; at < bytes.length;) {
      at += this.feed(bytes.subarray(at));
      host.call(TLS_STEP, 0, 0);
      this.takeOutput(true);
    }
    if (this.word(TlsSession.state) !== TLS_ESTABLISHED) throw new Error("the handshake did not succeed");
  }

  decrypt(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length || this.word(TlsSession.inputEnd) > this.word(TlsSession.inputStart);) {
      at += this.feed(bytes.subarray(at));
      for (let got; (got = this.host.call(TLS_READ, 0, TLS_SHARED_BYTES)!) > 0;) {
        this.answered.push(this.host.read(TLS_SHARED, got));
      }
      if (this.word(TlsSession.state) !== TLS_ESTABLISHED) break;
    }
  }

  encrypt(bytes: number): void {
    for (let left = bytes; left > 0;) {
      left -= this.host.call(TLS_WRITE, 0, Math.min(left, TLS_SHARED_BYTES))!;
      this.takeOutput(false);
    }
  }

  close(): void {
    this.host.call(TLS_CLOSE, 0, 0);
  }
}

/** CPU time of `work`, s. */
function cpu(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

test("the module of the image does what the module in Node does", async (t) => {
  const built = await withBuildLock(buildTlsReplay);
  if ("missing" in built) throw new Error(built.missing);
  const recording = await record(MEGABYTES << 20);
  const [handshake, data] = [recording.bytes.subarray(0, recording.data), recording.bytes.subarray(recording.data)];

  const player = new Player();
  player.handshake(handshake);
  player.decrypt(data);
  player.close();
  const answered = player.answered;
  t.true(Buffer.concat(answered).includes(recording.text));
  const native = replay(built.program, recording, HANDSHAKES, MEGABYTES);
  t.is(native.hash, fnv(answered));

  // The same again, for the times: code that Node has compiled well by now.
  player.answered = [];
  const shake = cpu(() => {
    for (let i = 0; i < HANDSHAKES; i++) {
      player.handshake(handshake);
      player.close();
    }
  });
  player.handshake(handshake);
  const decrypting = cpu(() => player.decrypt(data));
  player.close();
  player.handshake(handshake);
  const encrypting = cpu(() => player.encrypt(MEGABYTES << 20));
  const rate = (seconds: number) => `${((MEGABYTES * 1.048576) / seconds).toFixed(0)} MB/s`;
  t.log(
    `of the server's CPU time: in Node ${(HANDSHAKES / shake).toFixed(0)} handshakes/s, ${rate(decrypting)} decrypted, ${rate(encrypting)} encrypted; ` +
      `as the image has it ${(1 / native.handshake).toFixed(0)} handshakes/s, ${rate(native.decrypting)}, ${rate(native.encrypting)}`,
  );
});
