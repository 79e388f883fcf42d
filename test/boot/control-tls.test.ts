/**
 * TLS on the machine: a client of Node's own, whose bytes go over the serial console, has a session with domain 0's sandbox; and how
 * fast that encrypts in this emulator.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import net from "node:net";
import tls from "node:tls";
import test from "ava";
import { DOM0_TLS } from "../../abi/domain0-layout.ts";
import { TLS_OUTPUT_BYTES, TLS_OWN_BYTES, TlsSession } from "../../abi/tls.ts";
import { bootToPrompt, COMMAND_MS, powerOff } from "./support/boot.ts";

/** A connection whose other end is the console: `arrive` takes hexadecimal digits, `taken` gives what was sent. */
const CONNECTION = `c = {
  peer: "console:1", ended: null, onReady() {}, incoming: [], outgoing: [], sunk: -1,
  read(into) { const n = Math.min(into.length, this.incoming.length); into.set(this.incoming.splice(0, n)); return n; },
  write(bytes) {
    if (this.sunk >= 0) this.sunk += bytes.length; else this.outgoing.push(...bytes);
    return bytes.length;
  },
  close() { this.ended = "local"; }, abort() { this.ended = "local"; },
  arrive(hex) { this.incoming.push(...hex.match(/../g).map((two) => parseInt(two, 16))); this.onReady(); },
  taken() { return "<" + this.outgoing.splice(0).map((byte) => byte.toString(16).padStart(2, "0")).join("") + ">"; },
}`;
const MEGABYTES = 4;

/** CPU time of a process, s. */
function cpuTime(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100; // utime and stime, in ticks of the kernel's
}

test.serial("a session with domain 0's TLS sandbox", async (t) => {
  const machine = await bootToPrompt(t);
  const js = (code: string) => machine.command(`js ${code.replace(/\s*\n\s*/g, " ")}`, COMMAND_MS);
  t.regex(await machine.command("info", COMMAND_MS), /^random numbers +RD(SEED|RAND)$/m);

  const key = randomBytes(32);
  await js(`globalThis.${CONNECTION}; 0`);
  await js(`globalThis.k = null; globalThis.heard = ""; 0`);
  const server = `globalThis.s = openTls([{ identity: "operator", key: Uint8Array.from([${[...key].join()}]) }], print)`;
  await js(`${server}; s.add(c, (secured) => { k = secured; k.onReady = () => {
    const into = new Uint8Array(100); const n = k.read(into); heard += String.fromCharCode(...into.subarray(0, n)); }; }); 0`);

  // The client speaks to a port of this computer, which the console is behind.
  let socket: net.Socket | null = null;
  const listener = net.createServer((accepted) => (socket = accepted));
  await new Promise<void>((done) => listener.listen(0, "127.0.0.1", done));
  const client = tls.connect({
    host: "127.0.0.1",
    port: (listener.address() as net.AddressInfo).port,
    ciphers: "ECDHE-PSK-CHACHA20-POLY1305",
    ecdhCurve: "X25519",
    maxVersion: "TLSv1.2",
    pskCallback: () => ({ identity: "operator", psk: key }),
    checkServerIdentity: () => undefined,
  });
  let secured = false;
  let failed: Error | null = null;
  let said = "";
  client.on("secureConnect", () => (secured = true));
  client.on("error", (error) => (failed = error));
  client.on("data", (bytes: Buffer) => (said += bytes.toString()));
  /** Carries what there is in both directions until `until` holds. */
  const carry = async (until: () => boolean) => {
    for (let turns = 0; turns < 100 && !until(); turns++) {
      if (failed !== null) throw failed;
      await new Promise((done) => setTimeout(done, 10));
      const bytes = socket?.read() as Buffer | null;
      if (bytes !== null && bytes !== undefined) await js(`c.arrive("${bytes.toString("hex")}"); 0`);
      const sent = /<([0-9a-f]*)>/.exec(await js("c.taken()"))![1];
      if (sent !== "") socket!.write(Buffer.from(sent, "hex"));
    }
    t.true(until());
  };
  await carry(() => secured);
  t.is(client.getCipher().name, "ECDHE-PSK-CHACHA20-POLY1305");
  client.write("question");
  await js(`k.write(Uint8Array.from([97, 110, 115, 119, 101, 114])); 0`);
  await carry(() => said === "answer");
  t.regex(await js("heard + k.identity"), /questionoperator/);

  await js(`c.sunk = 0; globalThis.piece = new Uint8Array(16384); 0`);
  const before = cpuTime(machine.pid!);
  const ns = /<(\d+)>/.exec(
    await js(`const begun = uptimeNs(); for (let i = 0; i < ${MEGABYTES * 64}; i++) for (let at = 0; at < 16384;)
      at += k.write(piece.subarray(at)); "<" + (uptimeNs() - begun) + ">"`),
  )![1];
  const rate = (seconds: number) => ((MEGABYTES * 1.048576) / seconds).toFixed(1);
  const cpu = cpuTime(machine.pid!) - before;
  t.log(`encrypted in the emulator: ${rate(Number(ns) / 1e9)} MB/s, ${rate(cpu)} MB per second of its CPU time`);

  // Its memory spoilt, the sandbox is stopped by a fault: domain 0 goes on, and the next connection has a new one.
  const own = DOM0_TLS + TLS_OWN_BYTES + TlsSession.output + TLS_OUTPUT_BYTES;
  await js(`for (let at = ${own}; at < ${own} + 4096; at += 4) memory.store32(at, 0xffffffff); 0`);
  const report = await js("k.write(piece); k.ended");
  t.regex(report, /^Domain 0's tls: /m);
  t.regex(report, /control: the TLS sandbox was stopped/);
  t.regex(report, /"reset"/);
  await js(`globalThis.d = { ...c, ended: null, outgoing: [], sunk: -1 }; s.add(d, () => {}); 0`);
  t.regex(
    await js(`d.arrive("${Buffer.from("GET / HTTP/1.0\r\n").toString("hex")}"); d.ended`),
    /does not speak TLS 1\.2/,
  );
  t.regex(await js("s.sizes"), /pending: 0,\s+accepted: 0,\s+sessions: 0/);
  client.destroy();
  listener.close();
  await powerOff(t, machine);
});
