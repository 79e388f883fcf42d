/** What users say of network interfaces and disks: names, addresses and numbers, and what is refused. */
import fc from "fast-check";
import test from "ava";
import { CommandError } from "../../../../toolstack/api/command-error.ts";
import { formatIpv4, formatMac, parseIpv4, parseMac, xenMac } from "../../../../toolstack/api/devices/addresses.ts";
import { deviceName, deviceNumber, vdevName } from "../../../../toolstack/api/devices/device-number.ts";
import { parseBytes, shortSize } from "../../../../toolstack/api/sizes.ts";
import { formatVbd, parseVbd } from "../../../../toolstack/control/noxs/vbd-config.ts";
import { DEFAULT_BRIDGE, parseRate, parseVif } from "../../../../toolstack/control/noxs/vif-config.ts";

test("a vif with everything, and one with nothing", (t) => {
  const vif = parseVif("--vif", "mac=00:16:3E:0a:0b:0C,ip=10.0.0.2,bridge=inner,rate=10Mb/s,model=xenbus");
  t.is(formatMac(vif.mac!), "00:16:3e:0a:0b:0c");
  t.is(formatIpv4(vif.ip!), "10.0.0.2");
  t.is(vif.bridge, "inner");
  t.deepEqual(vif.rate, { bytesPerSecond: 1_250_000, burstBytes: 62_500 });
  t.is(vif.model, "xenbus");
  t.deepEqual(parseVif("--vif", ""), { bridge: DEFAULT_BRIDGE });
});

test("what is wrong with a vif is said", (t) => {
  for (const [text, says] of [
    ["mac=1:2", /--vif: mac: "1:2" is no MAC address: six bytes in hexadecimal/],
    ["mac=01:16:3e:00:00:01", /is the address of a group/],
    ["mac=00:00:00:00:00:00", /is no card's address/],
    ["ip=10.0.0", /"10.0.0" is no IPv4 address/],
    ["ip=10.0.0.256", /is no IPv4 address/],
    ["ip=010.0.0.1", /is no IPv4 address/],
    ["ip=224.0.0.1", /is no address of a host/],
    ["bridge=a b", /is no name of a bridge/],
    ["bridge=averylongbridgename", /15 at most/],
    ["rate=10", /is not a rate such as 10Mb\/s/],
    ["rate=0Mb/s", /is outside/],
    ["model=qemu", /is not one of noxs, xenbus/],
    ["colour=red", /unknown setting "colour"; known: mac=00:16:3e/],
    ["toString=1", /unknown setting "toString"/],
    ["mac", /mac needs a value/],
    ["ip=10.0.0.1,ip=10.0.0.2", /ip is given twice/],
  ] as const) {
    t.throws(() => parseVif("--vif", text), { instanceOf: CommandError, message: says }, text);
  }
});

test("rates in bits and bytes, with their intervals", (t) => {
  t.deepEqual(parseRate("rate", "1MB/s@20ms"), { bytesPerSecond: 1_000_000, burstBytes: 20_000 });
  t.deepEqual(parseRate("rate", "250KB/s"), { bytesPerSecond: 250_000, burstBytes: 12_500 });
  t.deepEqual(parseRate("rate", "8b/s"), { bytesPerSecond: 1, burstBytes: 3028 });
  t.deepEqual(parseRate("rate", "1.5Gb/s@1s"), { bytesPerSecond: 187_500_000, burstBytes: 187_500_000 });
});

test("addresses survive being written", (t) => {
  const mac = fc.uint8Array({ minLength: 6, maxLength: 6 }).filter((b) => (b[0]! & 1) === 0 && b.some((x) => x > 0));
  fc.assert(fc.property(mac, (bytes) => Buffer.from(parseMac(formatMac(bytes)) as Uint8Array).equals(bytes)));
  const ip = fc.uint8Array({ minLength: 4, maxLength: 4 }).filter(([a]) => a! > 0 && a! < 224 && a !== 127);
  fc.assert(fc.property(ip, (bytes) => Buffer.from(parseIpv4(formatIpv4(bytes)) as Uint8Array).equals(bytes)));
  t.is(formatMac(xenMac(0x123456)), "00:16:3e:12:34:56");
  t.is(formatMac(xenMac(0xffffff)), "00:16:3e:7f:ff:ff");
});

test("a disk's name and Xen's number of it", (t) => {
  for (const [name, number] of [
    ["xvda", 51712],
    ["xvda1", 51713],
    ["xvdp15", 51967],
    ["xvdq", (1 << 28) | (16 << 8)],
    ["xvdaa", (1 << 28) | (26 << 8)],
    ["xvda16", (1 << 28) | 16],
    ["d0", 51712],
    ["d0p1", 51713],
    ["sda", 2048],
    ["sdb2", 2066],
    ["hda", 768],
    ["hdb1", 833],
    ["hdc", 5632],
  ] as const) {
    t.is(deviceNumber(name), number, name);
    t.is(deviceNumber(vdevName(number)), number, name);
  }
  for (const name of [
    "",
    "xvd",
    "XVDA",
    "xvda0",
    "xvda256",
    "sdq",
    "hde",
    "vda",
    "xvda-1",
    "d",
    "d0p",
    "xvdabcde",
    "sda16",
  ]) {
    t.is(deviceNumber(name), null, name);
  }
  fc.assert(
    fc.property(fc.nat(5000), fc.nat(255), (disk, partition) => {
      const number = deviceNumber(`d${disk}p${partition}`)!;
      return deviceNumber(deviceName(number)!) === number;
    }),
  );
  t.is(deviceName(deviceNumber("xvdzz3")!), "xvdzz3");
  t.is(deviceName(2048), null);
  t.deepEqual([2066, 833, 5632, 51713, 99999].map(vdevName), ["sdb2", "hdb1", "hdc", "xvda1", "99999"]);
});

test("a vbd, and what is wrong with one", (t) => {
  t.deepEqual(parseVbd("--vbd", "target=volume:root,vdev=xvda"), {
    target: { kind: "volume", name: "root" },
    vdev: "xvda",
    number: 51712,
    writable: true,
  });
  t.deepEqual(parseVbd("--vbd", "target=root@monday,vdev=xvda").target, { kind: "volume", name: "root@monday" });
  t.deepEqual(parseVbd("--vbd", "target=ram:4M,vdev=xvda").target, { kind: "ram", name: String(4 << 20) });
  t.deepEqual(parseVbd("--vbd", "target=part:EFI System,vdev=xvda").target, { kind: "part", name: "EFI System" });
  for (const name of ["disk.img", "/a/disk.img", "EFI System/images/my disk.img", "...", "p".repeat(122)]) {
    t.deepEqual(parseVbd("--vbd", `target=file:${name},vdev=xvda`).target, { kind: "file", name });
  }
  t.false(parseVbd("--vbd", "target=volume:root,vdev=xvda,access=r").writable);
  t.false(parseVbd("--vbd", "target=module:initrd,vdev=xvdb").writable);
  for (const [text, says] of [
    ["vdev=xvda", /target is missing/],
    ["target=volume:root", /vdev is missing/],
    ["target=disk:root,vdev=xvda", /has none of the forms volume:NAME, a volume/],
    ["target=file:,vdev=xvda", /"" is no path of a file: names with \/ between them, 122 characters/],
    ["target=file:/,vdev=xvda", /"\/" is no path/],
    ["target=file:a//b,vdev=xvda", /is no path/],
    ["target=file:images/,vdev=xvda", /is no path/],
    ["target=file:images/../a,vdev=xvda", /is no path/],
    ["target=file:./a,vdev=xvda", /is no path/],
    ["target=file:\u00e4.img,vdev=xvda", /is no path/],
    [`target=file:${"p".repeat(123)},vdev=xvda`, /is no path/],
    ["target=toString:root,vdev=xvda", /has none of the forms/],
    ["target=volume:,vdev=xvda", /"" is no name of a volume/],
    ["target=a/b,vdev=xvda", /"a\/b" is no name of a volume/],
    [`target=${"a".repeat(64)},vdev=xvda`, /63 at most/],
    ["target=module:,vdev=xvda", /"" is no name/],
    [`target=part:${"p".repeat(37)},vdev=xvda`, /1 to 36 visible/],
    ["target=ram:lots,vdev=xvda", /--vbd: target: ram: "lots" is no size such as 64M/],
    ["target=ram:17M,vdev=xvda", /ram:17M is too large: all of them together may have 16M/],
    ["target=ram:100B,vdev=xvda", /100B is no multiple of 512 bytes/],
    ["target=volume:x,vdev=cdrom", /"cdrom" is no disk's name/],
    ["target=volume:x,vdev=xvda,access=rw", /"rw" is not one of r, w/],
    ["target=module:x,vdev=xvda,access=w", /a boot module is read-only/],
  ] as const) {
    t.throws(() => parseVbd("--vbd", text), { instanceOf: CommandError, message: says }, text);
  }
});

test("a vbd's settings survive being written", (t) => {
  for (const text of [
    "target=root,vdev=xvda",
    "target=volume:root,vdev=sda1,access=r,model=xenbus",
    "target=ram:1.5M,vdev=d3p7,model=noxs",
    "target=module:site,vdev=xvdb",
    "target=part:EFI System,vdev=hda",
    "target=file:stock/images/my disk.img,vdev=xvda,access=r",
  ]) {
    const vbd = parseVbd("--vbd", text);
    t.deepEqual(parseVbd("--vbd", formatVbd(vbd)), vbd, text);
  }
});

test("sizes of disks", (t) => {
  for (const [text, bytes] of [
    ["64M", 64 << 20],
    ["64", 64 << 20],
    ["0.5", 1 << 19],
    ["4K", 4096],
    ["4KiB", 4096],
    ["512B", 512],
    ["1.5g", 1.5 * 2 ** 30],
    ["2TB", 2 ** 41],
  ] as const) {
    t.is(parseBytes("SIZE", text, 512), bytes, text);
  }
  for (const text of ["", "0", "M", "-1M", "1X", "1M2", "0.0000001M", "1e3", "99999999999T"]) {
    t.throws(() => parseBytes("SIZE", text, 512), { instanceOf: CommandError, message: /is no size/ }, text);
  }
  t.throws(() => parseBytes("SIZE", "1K", 4096), { message: /SIZE: 1K is no multiple of 4096 bytes/ });
  for (const [bytes, text] of [
    [0, "0"],
    [512, "512B"],
    [4096, "4K"],
    [64 << 20, "64M"],
    [1.5 * 2 ** 30, "1.5G"],
    [1536, "1.5K"],
    [2 ** 20 + 512, "1024.5K"],
    [1000 * 512, "500K"],
  ] as const) {
    t.is(shortSize(bytes), text);
  }
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 40 }), (n) => parseBytes("", shortSize(n * 512), 512) === n * 512),
  );
});
