/** Parts of the back end against models: headers, checksums, segmentation, token bucket, hash table, wheel. */
import test from "ava";
import fc from "fast-check";
import { guestMac, Net } from "./module.ts";
import { checksumIsRight, ethernet, ipv4, ipv6, pattern, tcp, tcpFrame, udpFrame } from "./packets.ts";

interface Parsed {
  etherType: number;
  layer3: number;
  ipBytes: number;
  protocol: number;
  layer4: number;
  layer4At: number;
  layer4Bytes: number;
  end: number;
}

/** What headers.ts should find, written from the RFCs without looking at it. */
function model(frame: Buffer, available: number): Parsed {
  const length = frame.length;
  const seen = frame.subarray(0, available);
  const found: Parsed = {
    etherType: seen.readUInt16BE(12),
    layer3: 0,
    ipBytes: 0,
    protocol: 0,
    layer4: 0,
    layer4At: 0,
    layer4Bytes: 0,
    end: length,
  };
  if (found.etherType === 0x0800 && available >= 34 && seen[14]! >> 4 === 4) {
    const header = (seen[14]! & 15) * 4;
    const total = seen.readUInt16BE(16);
    if (header < 20 || header > available - 14 || total < header || 14 + total > length) return found;
    Object.assign(found, { layer3: 4, ipBytes: header, end: 14 + total });
    const fragment = seen.readUInt16BE(20);
    if ((fragment & 0x2000) === 0 && (fragment & 0x1fff) === 0) found.protocol = seen[23]!;
  } else if (found.etherType === 0x86dd && available >= 54 && seen[14]! >> 4 === 6) {
    const total = 40 + seen.readUInt16BE(18);
    if (14 + total > length) return found;
    Object.assign(found, { layer3: 6, ipBytes: 40, end: 14 + total, protocol: seen[20]! });
  } else return found;
  const at = 14 + found.ipBytes;
  const room = Math.min(available, found.end) - at;
  let bytes = 0;
  if (found.protocol === 6 && room >= 20) bytes = (seen[at + 12]! >> 4) * 4;
  if (found.protocol === 6 && (bytes < 20 || bytes > room)) bytes = 0;
  if (found.protocol === 17 && room >= 8) bytes = 8;
  if (bytes > 0) Object.assign(found, { layer4: found.protocol, layer4At: at, layer4Bytes: bytes });
  return found;
}

test("headers are found as the RFCs have them, in any bytes", async (t) => {
  const net = await Net.start();
  const at = net.exports["heapAllocate"]!(4096);
  const record = net.exports["heapAllocate"]!(64);
  const parse = (frame: Buffer, available: number): Parsed => {
    net.host.bytes.fill(0x5a, at, at + 4096);
    net.host.bytes.set(frame.subarray(0, available), at);
    net.exports["headersParse"]!(record, at, available, frame.length);
    const fields = ["etherType", "layer3", "ipBytes", "protocol", "layer4", "layer4At", "layer4Bytes", "end"];
    return Object.fromEntries(
      fields.map((name, i) => [name, net.host.view.getUint32(record + i * 4, true)]),
    ) as unknown as Parsed;
  };
  const a = { mac: guestMac(1), ip: "10.0.0.1" };
  const b = { mac: guestMac(2), ip: "10.0.0.2" };
  const six = Buffer.alloc(16, 0xfd);
  const seeds = [
    udpFrame(a, b, pattern(30)),
    tcpFrame(a, b, pattern(30), { options: Buffer.alloc(12, 1) }),
    ethernet(
      b.mac,
      a.mac,
      0x0800,
      ipv4(a.ip, b.ip, 6, tcp(six, six, [1, 2], pattern(4)), { options: Buffer.alloc(40, 1) }),
    ),
    ethernet(b.mac, a.mac, 0x86dd, ipv6(six, six, 6, tcp(six, six, [1, 2], pattern(9)))),
    ethernet(b.mac, a.mac, 0x0800, ipv4(a.ip, b.ip, 1, pattern(9), { fragment: 0x2000 })),
    pattern(80),
  ];
  t.is(parse(seeds[0]!, seeds[0]!.length).layer4, 17);
  t.is(parse(seeds[1]!, seeds[1]!.length).layer4Bytes, 32);
  t.is(parse(seeds[2]!, seeds[2]!.length).layer4At, 74);
  t.is(parse(seeds[3]!, seeds[3]!.length).layer3, 6);
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.integer({ min: 12, max: 79 }), fc.nat({ max: 255 })), { maxLength: 4 }),
      fc.nat({ max: 80 }),
      fc.nat({ max: 80 }),
      (seed, changes, cut, hidden) => {
        const frame = Buffer.from(seed.subarray(0, Math.max(14, seed.length - (cut > 60 ? cut - 60 : 0))));
        for (const [offset, value] of changes) if (offset < frame.length) frame[offset] = value;
        const available = Math.max(14, frame.length - (hidden > 60 ? hidden - 60 : 0));
        t.deepEqual(parse(frame, available), model(frame, available));
      },
    ),
    { numRuns: 3000 },
  );
});

test("checksums are right for any length, and what cannot be filled in is left alone", async (t) => {
  const net = await Net.start();
  const at = net.exports["heapAllocate"]!(70000);
  const a = { mac: guestMac(1), ip: "10.0.0.1" };
  const b = { mac: guestMac(2), ip: "10.0.0.2" };
  fc.assert(
    fc.property(fc.nat({ max: 9000 }), fc.boolean(), fc.nat(), (length, isTcp, seed) => {
      const make = isTcp ? tcpFrame : udpFrame;
      const frame = make(a, b, pattern(length, seed), { blank: true });
      net.host.bytes.set(frame, at);
      const filled = net.exports["fillChecksum"]!(at, frame.length);
      const result = Buffer.from(net.host.bytes.slice(at, at + frame.length));
      return filled === 1 && checksumIsRight(result) && result.equals(make(a, b, pattern(length, seed)));
    }),
    { numRuns: 200 },
  );
  const icmp = ethernet(b.mac, a.mac, 0x0800, ipv4(a.ip, b.ip, 1, pattern(20)));
  net.host.bytes.set(icmp, at);
  t.is(net.exports["fillChecksum"]!(at, icmp.length), 0);
  t.true(Buffer.from(net.host.bytes.slice(at, at + icmp.length)).equals(icmp));
});

test("segments put together again are what was cut", async (t) => {
  const net = await Net.start();
  const at = net.exports["heapAllocate"]!(70000);
  const to = net.exports["heapAllocate"]!(140000);
  const lengths = net.exports["heapAllocate"]!(1024);
  const a = { mac: guestMac(1), ip: "10.0.0.1" };
  const b = { mac: guestMac(2), ip: "10.0.0.2" };
  fc.assert(
    fc.property(
      fc.nat({ max: 60000 }),
      fc.integer({ min: 1, max: 20000 }),
      fc.nat({ max: 10 }),
      (length, mss, words) => {
        const payload = pattern(length, mss);
        const frame = tcpFrame(a, b, payload, {
          blank: true,
          options: Buffer.alloc(words * 4, 1),
          sequence: 0xffffff00,
        });
        net.host.bytes.set(frame, at);
        const count = net.exports["cut"]!(at, frame.length, 1, mss, to, lengths);
        const wanted = Math.max(1, Math.ceil(length / mss));
        if (wanted > 128) return count === 0;
        if (count !== wanted) return false;
        const head = 54 + words * 4;
        const parts: Buffer[] = [];
        let from = to;
        for (let i = 0; i < count; i++) {
          const bytes = net.host.view.getUint32(lengths + i * 4, true);
          const segment = Buffer.from(net.host.bytes.slice(from, from + bytes));
          from += bytes;
          if (segment.readUInt16BE(16) !== bytes - 14) return false;
          if (segment.readUInt32BE(38) !== (0xffffff00 + i * mss) >>> 0) return false;
          parts.push(segment.subarray(head));
        }
        return Buffer.concat(parts).equals(payload);
      },
    ),
    { numRuns: 150 },
  );
  t.pass();
});

test("a token bucket lets no more through than its rate, its burst and one frame; and no less", async (t) => {
  const net = await Net.start();
  const bucket = net.exports["heapAllocate"]!(32);
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2 ** 33 - 1 }),
      fc.integer({ min: 1, max: 1_000_000 }),
      fc.array(
        fc.tuple(fc.integer({ min: 1, max: 65535 }), fc.oneof(fc.nat({ max: 5_000_000 }), fc.constant(0), fc.nat())),
        {
          minLength: 1,
          maxLength: 60,
        },
      ),
      (rate, burst, frames) => {
        const start = 12_345n;
        let now = start;
        let passed = 0n;
        let last = 0n;
        net.exports["bucketInit"]!(bucket, burst, now);
        for (const [bytes, idle] of frames) {
          now += BigInt(idle);
          net.exports["bucketFill"]!(bucket, BigInt(rate), burst, now);
          const wait = BigInt.asUintN(64, BigInt(net.exports["bucketWait"]!(bucket, BigInt(rate))));
          if (wait > 0n) {
            // After that time, and no more than a token's time before it, something passes.
            now += wait + 1_000_000_000n / BigInt(rate) + 1n;
            net.exports["bucketFill"]!(bucket, BigInt(rate), burst, now);
            if (BigInt(net.exports["bucketWait"]!(bucket, BigInt(rate))) !== 0n) return false;
          }
          net.exports["bucketTake"]!(bucket, bytes);
          last = BigInt(bytes);
          passed += last;
          const allowed = BigInt(burst) + ((now - start) * BigInt(rate)) / 1_000_000_000n + 1n;
          if (passed - last >= allowed) return false;
        }
        return true;
      },
    ),
    { numRuns: 300 },
  );
  t.pass();
});

test("the hash table holds what a map does", async (t) => {
  const net = await Net.start();
  const table = net.exports["heapAllocate"]!(64);
  t.is(net.exports["keyTableInit"]!(table, 16), 1);
  const map = new Map<bigint, number>();
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.bigInt({ min: 1n, max: 80n }), fc.boolean()), { maxLength: 60 }), (operations) => {
      for (const [key, insert] of operations) {
        if (!insert) {
          net.exports["keyRemove"]!(table, key);
          map.delete(key);
        } else if (!map.has(key)) {
          const entry = net.exports["keyInsert"]!(table, key, Number(key) * 3, 0xffffffff);
          if (entry === 0) return false;
          map.set(key, Number(key) * 3);
        }
      }
      for (let key = 1n; key <= 80n; key++)
        if (net.exports["keyValue"]!(table, key) !== (map.get(key) ?? 0)) return false;
      return true;
    }),
    { numRuns: 200 },
  );
});

test("the wheel wakes each number once, at its time or within the next milliseconds", async (t) => {
  const net = await Net.start();
  t.is(net.exports["wheelInit"]!(0n), 1);
  for (let n = 0; n < 512; n += 256) t.is(net.exports["wheelReserve"]!(n), 1);
  const armed = new Map<number, bigint>();
  let now = 0n;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat({ max: 400 }), fc.nat({ max: 900_000 }), fc.nat({ max: 40_000 })), { maxLength: 60 }),
      (steps) => {
        for (const [number, delayUs, passUs] of steps) {
          if (!armed.has(number)) {
            const due = now + BigInt(delayUs) * 1000n;
            net.exports["wheelArm"]!(number, due);
            armed.set(number, due);
          }
          const deadline = BigInt.asUintN(64, BigInt(net.exports["wheelDeadline"]!()));
          const earliest = [...armed.values()].reduce((x, y) => (x < y ? x : y));
          if (deadline > earliest + 2_000_000n) return false;
          now += BigInt(passUs) * 1000n;
          net.exports["wheelAdvance"]!(now);
          for (;;) {
            const woken = net.exports["wheelNext"]!() >>> 0;
            if (woken === 0xffffffff) break;
            const due = armed.get(woken);
            // Resolution is a millisecond: it may be early by less than one.
            if (due === undefined || due > now + 1_000_000n) return false;
            armed.delete(woken);
          }
          for (const due of armed.values()) if (due + 2_000_000n < now) return false;
        }
        return true;
      },
    ),
    { numRuns: 300 },
  );
});

test("sizes that the README states", async (t) => {
  const net = await Net.start();
  const size = (name: string): number => (net.exports[name] as unknown as WebAssembly.Global).value as number;
  t.log({
    vif: size("VIF_BYTES"),
    queue: size("QUEUE_BYTES"),
    stable: size("STABLE_BYTES"),
    fields: size("STABLE_FIELDS_BYTES"),
  });
  t.is(size("STABLE_BYTES"), 512);
  t.true(size("VIF_BYTES") + size("QUEUE_BYTES") <= 256);
});
