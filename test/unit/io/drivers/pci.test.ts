/** PCI: enumeration, BARs and capabilities, by ports and by ECAM, also of functions that make no sense. */
import test from "ava";
import { PCI_COMMAND, PCI_SECONDARY_BUS } from "../../../../abi/io/pci.ts";
import { IoMachine } from "./machine.ts";
import { PciFunction } from "./pci-function.ts";

const BRIDGE = 0x060400;
const STORAGE = 0x010601;
const NETWORK = 0x020000;
const DISPLAY = 0x030000;
const NONE = 0;
const IO = 1;
const MEMORY = 2;

function bridge(secondary: number): PciFunction {
  const fn = new PciFunction(0x1b36, 0x000c, BRIDGE).headerType(1);
  fn.config[PCI_SECONDARY_BUS] = secondary;
  return fn;
}

function device(id: number, classCode = NETWORK): PciFunction {
  return new PciFunction(0x8086, id, classCode);
}

/** Addresses of what was found, in order. */
function found(machine: IoMachine): string[] {
  const count = machine.exports["pciEnumerate"]!();
  const addresses: string[] = [];
  for (let at = machine.exports["pciFirst"]!(); at !== 0; at = machine.record("PciDevice", at).get("next")) {
    const address = machine.record("PciDevice", at).get("address");
    addresses.push(`${address >> 8}:${(address >> 3) & 31}.${address & 7}`);
  }
  if (addresses.length !== count) throw new Error("the count is not the list's");
  return addresses;
}

test("functions are found behind bridges, each once", async (t) => {
  const machine = await IoMachine.start(
    [0x000, device(1)],
    [0x008, device(2).headerType(0x80)],
    [0x00b, device(3)],
    [0x00f, device(4)],
    [0x011, device(5)], // function 1 of a device without function 0
    [0x018, bridge(1)],
    [0x020, bridge(5)],
    [0x108, device(6)],
    [0x110, bridge(2)],
    [0x200, device(7)],
    [0x500, device(8)],
    [0x700, device(9)], // on a bus that no bridge leads to
  );
  t.deepEqual(found(machine), [
    "0:0.0",
    "0:1.0",
    "0:1.3",
    "0:1.7",
    "0:3.0",
    "0:4.0",
    "1:1.0",
    "1:2.0",
    "5:0.0",
    "2:0.0",
  ]);
  t.is(machine.exports["pciEnumerate"]!(), 10, "again, without searching");
  t.is(found(machine).length, 10);
});

test("a function that has several is not searched for others unless it says so", async (t) => {
  const machine = await IoMachine.start([0x000, device(1)], [0x001, device(2)]);
  t.deepEqual(found(machine), ["0:0.0"]);
});

test("bridges that lead back, or nowhere", async (t) => {
  const machine = await IoMachine.start(
    [0x008, bridge(0)],
    [0x010, bridge(1)],
    [0x018, bridge(1)],
    [0x100, bridge(1)],
    [0x108, bridge(0)],
    [0x110, bridge(255)],
    [0x118, device(1)],
  );
  t.deepEqual(found(machine), ["0:1.0", "0:2.0", "0:3.0", "1:0.0", "1:1.0", "1:2.0", "1:3.0"]);
});

test("what stores or communicates may not access memory until it has a driver", async (t) => {
  const functions = [device(1, NETWORK), device(2, STORAGE), device(3, DISPLAY)];
  for (const fn of functions) fn.view.setUint16(PCI_COMMAND, 7, true);
  const machine = await IoMachine.start(...functions.map((fn, i): [number, PciFunction] => [i * 8, fn]));
  found(machine);
  t.deepEqual(
    functions.map((fn) => fn.view.getUint16(PCI_COMMAND, true)),
    [3, 3, 7],
  );
});

test("configuration space by ports: bytes, halves, words, and what is not there", async (t) => {
  const fn = device(0x1234);
  const machine = await IoMachine.start([0x1a8, fn]);
  const { pciRead32, pciWrite8, pciWrite16 } = machine.exports as unknown as Record<
    string,
    (...args: number[]) => number
  >;
  t.is(pciRead32!(0x1a8, 0)! >>> 0, 0x12348086);
  t.is(pciRead32!(0x1b0, 0)! >>> 0, 0xffffffff);
  t.is(pciRead32!(0x1a8, 0x100)! >>> 0, 0xffffffff, "beyond what ports reach");
  pciWrite8!(0x1a8, 0x3c, 9);
  pciWrite16!(0x1a8, PCI_COMMAND, 0x0406);
  t.is(fn.config[0x3c], 9);
  t.is(fn.view.getUint16(PCI_COMMAND, true), 0x0406);
});

test("configuration space by ECAM, where an address was given", async (t) => {
  const machine = await IoMachine.start([0x000, device(1)], [0x018, bridge(3)], [0x308, device(2)]);
  machine.ecamBase = 0xb000_0000n;
  const reads = { port: 0, memory: 0 };
  machine.exports["pciEcamUse"]!(0xb000_0000n as never, 0, 3);
  t.deepEqual(found(machine), ["0:0.0", "0:3.0", "3:1.0"]);
  reads.port = machine.calls.get("portIn") ?? 0;
  t.is(reads.port, 0);
  t.is(machine.calls.get("portOut") ?? 0, 4, "what is written, is by ports: command registers without bus mastering");
  t.deepEqual(machine.violations, []);
  // Bus 4 and up are not in it.
  t.is(machine.exports["pciRead32"]!(0x400, 0) >>> 0, 0xffffffff);
  t.is(machine.calls.get("portIn"), 1);
});

/** Sizes and kinds of a function's BARs as the drivers read them. */
async function bars(t: import("ava").ExecutionContext, fn: PciFunction): Promise<[number, bigint, bigint][]> {
  const machine = await IoMachine.start([0x18, fn]);
  found(machine);
  fn.view.setUint16(PCI_COMMAND, 3, true);
  const before = Buffer.from(fn.config);
  const at = machine.exports["pciFirst"]!();
  t.is(machine.exports["pciBarsRead"]!(at), 1);
  t.deepEqual(Buffer.from(fn.config), before, "everything is as it was");
  return [0, 1, 2, 3, 4, 5].map((i) => {
    const bar = machine.exports["pciBar"]!(at, i);
    const record = machine.record("PciBar", bar);
    return [record.get("kind"), BigInt(record.get("base")), BigInt(record.get("size"))];
  });
}

test("BARs of every kind", async (t) => {
  const fn = device(1);
  fn.bar(0, "memory32", 0x20000, 0xfeb0_0000n);
  fn.bar(1, "io", 0x40, 0xc040n);
  fn.bar(2, "memory64", 0x4000, 0x38_0000_4000n);
  fn.bar(4, "memory64", 0x1_0000_0000, 0x40_0000_0000n);
  t.deepEqual(await bars(t, fn), [
    [MEMORY, 0xfeb0_0000n, 0x20000n],
    [IO, 0xc040n, 0x40n],
    [MEMORY, 0x38_0000_4000n, 0x4000n],
    [NONE, 0n, 0n],
    [MEMORY, 0x40_0000_0000n, 0x1_0000_0000n],
    [NONE, 0n, 0n],
  ]);
});

test("BARs that make no sense", async (t) => {
  const fn = device(1);
  fn.bar(0, "memory32", 0x3000, 0xfeb0_0000n); // no power of two
  fn.bar(1, "memory32", 0x10000, 0xfeb0_0000n);
  fn.bar(2, "io", 0x1000, 0x1000n); // too many ports
  fn.bar(5, "memory64", 0x1000, 0xfeb0_0000n); // no room for its upper half
  const read = fn.configRead.bind(fn);
  fn.configRead = (offset, size) => {
    const value = read(offset, size);
    return offset === 0x14 && value >>> 0 === 0xfeb0_0000 ? value + 0x8000 : value; // not aligned to its size
  };
  t.deepEqual(
    (await bars(t, fn)).map(([kind]) => kind),
    [NONE, NONE, NONE, NONE, NONE, NONE],
  );
});

test("capabilities, and lists that loop or lead astray", async (t) => {
  const fn = device(1);
  const first = fn.capability(9, [0, 1]);
  const msi = fn.capability(5, [0, 0]);
  const second = fn.capability(9, [0, 2]);
  const machine = await IoMachine.start([0x18, fn]);
  found(machine);
  const at = machine.exports["pciFirst"]!();
  const find = (id: number, after = 0): number => machine.exports["pciCapability"]!(at, id, after);
  t.deepEqual([find(9), find(5), find(9, first), find(9, second), find(0x11)], [first, msi, second, 0, 0]);
  fn.config[second + 1] = first;
  t.is(find(0x11), 0, "a loop ends");
  fn.config[second + 1] = 0x10;
  t.is(find(0x11), 0, "into the header");
  fn.config[first + 1] = first;
  t.is(find(5), 0, "a loop of one");
  fn.config[6] = 0;
  t.is(find(9), 0, "no list");
});
