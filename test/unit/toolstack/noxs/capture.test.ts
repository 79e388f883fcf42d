/** Captures: from the I/O domain's records to a pcap file, and through the console's text to this computer. */
import test from "ava";
import { CaptureRecord } from "../../../../abi/io/control-net.ts";
import { captures } from "../../../../scripts/capture/captures.ts";
import { isOfPort } from "../../../../toolstack/control/net/own-frames.ts";
import { Base64Lines } from "../../../../toolstack/control/console/base64.ts";
import { PcapFile } from "../../../../toolstack/control/noxs/capture.ts";
import { Payload } from "../../../../toolstack/control/noxs/io-requests.ts";

const CLOCK = { seconds: 1_700_000_000, ns: 999_999_000 };

/** A frame as the I/O domain has it: `captured` of its `length` bytes, each its number. */
function record(number: number, time: number, length: number, captured: number): Uint8Array {
  return new Payload(CaptureRecord.SIZE + ((captured + 7) & ~7))
    .u64(CaptureRecord.time, time)
    .u32(CaptureRecord.length, length)
    .u32(CaptureRecord.captured, captured)
    .u32(CaptureRecord.number, number)
    .put(CaptureRecord.SIZE, new Uint8Array(captured).fill(number)).bytes;
}

test("records become a pcap file: lengths, times, what is lost, and no more than was asked for", async (t) => {
  const pieces: Uint8Array[] = [];
  const file = new PcapFile({ bytes: 100, frames: 5 }, CLOCK, (bytes) => {
    pieces.push(bytes);
    return Promise.resolve();
  });
  await file.begin();
  await file.add(Buffer.concat([record(1, 500, 60, 60), record(2, 2_000, 1514, 100)]));
  await file.add(new Uint8Array(0));
  // Three were overwritten.
  await file.add(record(6, 3_000_000_000, 42, 42));
  t.deepEqual([file.frames, file.lost, file.full], [3, 3, false]);
  // The I/O domain was restarted: numbers begin again.
  file.beginAgain();
  await file.add(Buffer.concat([record(1, 5, 14, 14), record(3, 6, 15, 15), record(4, 7, 16, 16)]));
  t.deepEqual([file.frames, file.lost, file.full], [5, 4, true]);
  const bytes = Buffer.concat(pieces);
  t.deepEqual(
    [0, 16, 20].map((at) => bytes.readUInt32LE(at)),
    [0xa1b23c4d, 100, 1],
  );
  const frames: number[][] = [];
  for (let at = 24; at < bytes.length; at += 16 + frames.at(-1)![2]!) {
    frames.push([0, 4, 8, 12].map((field) => bytes.readUInt32LE(at + field)));
  }
  t.deepEqual(frames, [
    [1_700_000_000, 999_999_500, 60, 60],
    [1_700_000_001, 1_000, 100, 1514],
    [1_700_000_003, 999_999_000, 42, 42],
    [1_700_000_000, 999_999_005, 14, 14],
    [1_700_000_000, 999_999_006, 15, 15],
  ]);
});

test("frames that are not wanted are neither in the file nor lost", async (t) => {
  let bytes = 0;
  const write = (piece: Uint8Array) => {
    bytes += piece.length;
    return Promise.resolve();
  };
  const file = new PcapFile({ bytes: 100, frames: 2 }, CLOCK, write, (frame) => frame[0] !== 2);
  await file.add(
    Buffer.concat([record(1, 1, 20, 20), record(2, 2, 20, 20), record(3, 3, 20, 20), record(4, 4, 20, 20)]),
  );
  t.deepEqual([file.frames, file.lost, bytes], [2, 0, 2 * (16 + 20)]);
});

test("frames of domain 0's port: either way, others' and other kinds not; a short one of its address is", (t) => {
  const mac = Uint8Array.of(0, 0x16, 0x3e, 1, 2, 3);
  const other = Uint8Array.of(2, 2, 2, 2, 2, 2);
  const tcp = (to: Uint8Array, from: Uint8Array, source: number, target: number, options = 0) => {
    const frame = Buffer.alloc(60);
    frame.set(to, 0);
    frame.set(from, 6);
    frame.writeUInt16BE(0x0800, 12);
    frame[14] = 0x45 + options;
    frame[23] = 6;
    frame.writeUInt16BE(source, 34 + 4 * options);
    frame.writeUInt16BE(target, 36 + 4 * options);
    return frame;
  };
  t.true(isOfPort(tcp(mac, other, 50_000, 4170), mac, 4170));
  t.true(isOfPort(tcp(other, mac, 4170, 50_000), mac, 4170));
  t.true(isOfPort(tcp(other, mac, 4170, 50_000, 3), mac, 4170));
  t.false(isOfPort(tcp(other, mac, 50_000, 4170), mac, 4170), "its own connection to such a port elsewhere");
  t.false(isOfPort(tcp(mac, other, 50_000, 80), mac, 4170));
  t.false(isOfPort(tcp(other, other, 4170, 4170), mac, 4170));
  const udp = tcp(mac, other, 50_000, 4170);
  udp[23] = 17;
  t.false(isOfPort(udp, mac, 4170));
  const arp = tcp(mac, other, 50_000, 4170);
  arp.writeUInt16BE(0x0806, 12);
  t.false(isOfPort(arp, mac, 4170));
  for (const length of [14, 20, 35]) t.true(isOfPort(tcp(mac, other, 50_000, 4170).subarray(0, length), mac, 4170));
});

/** What the console shows of a file that comes in pieces of `size` bytes. */
function shown(data: Buffer, size: number): string {
  let text = "typevisor> bridge dump br0 --pcap\r\n-----BEGIN PCAP br0-----\r\n";
  const lines = new Base64Lines((line) => (text += line.replace("\n", "\r\n")));
  for (let at = 0; at < data.length; at += size) lines.put(data.subarray(at, at + size));
  lines.end();
  return `${text}-----END PCAP br0-----\r\n`;
}

test("base64 in lines is found again in the console's output, whatever else is in it", (t) => {
  for (const length of [0, 1, 2, 3, 56, 57, 58, 1000]) {
    const data = Buffer.from(Array.from({ length }, (_, i) => (i * 167) & 255));
    for (const size of [1, 7, 57, 1000]) {
      t.deepEqual(captures(shown(data, size)), [{ bridge: "br0", data }], `${length} bytes by ${size}`);
    }
  }
  const data = Buffer.alloc(200, 7);
  const lines = shown(data, 57).split("\r\n");
  const among = (other: string) => [...lines.slice(0, 3), other, ...lines.slice(3)].join("\r\n");
  t.deepEqual(captures(among("^C")), [{ bridge: "br0", data }]);
  t.deepEqual(captures(among("(TV) Domain 7 has crashed.")), [{ bridge: "br0", data }]);
  t.throws(() => captures(among("word")), { message: /the capture of br0 is damaged/ });
  t.throws(() => captures(lines.slice(0, -2).join("\n")), { message: "1 of 1 captures have no end" });
  t.deepEqual(captures("nothing"), []);
  t.is(captures(`${shown(data, 9)}${shown(Buffer.alloc(1), 9)}`).length, 2);
});
