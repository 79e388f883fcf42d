/** Valid and malformed ACPI tables. */
import test from "ava";
import { Arch, VENDOR_SVM } from "./arch.ts";

const arch = await Arch.open();
arch.call("begin", VENDOR_SVM, 1n << 20n);

/** A frame with `bytes` at its beginning; its physical address. */
function place(bytes: Buffer): number {
  const mfn = arch.newFrame();
  Buffer.from(arch.frames.get(mfn)!.buffer).set(bytes);
  return mfn * 4096;
}

function table(signature: string, body: Buffer, length = 36 + body.length): number {
  const head = Buffer.alloc(36);
  head.write(signature, 0, "latin1");
  head.writeUInt32LE(length, 4);
  return place(Buffer.concat([head, body]));
}

/** The root pointer of a 32-bit (revision 0) or a 64-bit table of tables (revision 2). */
function root(tables: number[], revision: number): bigint {
  const size = revision === 0 ? 4 : 8;
  const body = Buffer.alloc(tables.length * size);
  tables.forEach((at, i) => body.writeUInt32LE(at, i * size));
  const at = table(revision === 0 ? "RSDT" : "XSDT", body);
  const rsdp = Buffer.alloc(36);
  rsdp.write("RSD PTR ", 0, "latin1");
  rsdp.writeUInt8(revision, 15);
  if (revision === 0) rsdp.writeUInt32LE(at, 16);
  else rsdp.writeBigUInt64LE(BigInt(at), 24);
  return BigInt(place(rsdp));
}

const localApic = (enabled: number) => [0, 8, 0, 0, enabled, 0, 0, 0];
const localX2apic = (enabled: number) => [9, 16, 0, 0, 0, 0, 0, 0, enabled, 0, 0, 0, 0, 0, 0, 0];
const ioApic = [1, 12, ...Array<number>(10).fill(0xff)];
const madt = (...entries: number[][]) => table("APIC", Buffer.from([...Array<number>(8).fill(0), ...entries.flat()]));

for (const revision of [0, 2]) {
  test.serial(`revision ${revision}: processors that can be used are counted, IOMMUs found`, (t) => {
    const cpus = madt(localApic(1), ioApic, localApic(0), localX2apic(1), localApic(1), localX2apic(0));
    const both = root([table("FACP", Buffer.alloc(80)), cpus, table("DMAR", Buffer.alloc(12))], revision);
    t.is(arch.call("acpiProcessors", both), 3);
    t.is(arch.call("acpiIommus", both), 1);
    t.is(arch.call("acpiIommus", root([table("IVRS", Buffer.alloc(12))], revision)), 2);
    const none = root([table("FACP", Buffer.alloc(80))], revision);
    t.is(arch.call("acpiProcessors", none), 0);
    t.is(arch.call("acpiIommus", none), 0);
  });
}

test.serial("tables that are broken are none, or end where they break", (t) => {
  t.is(arch.call("acpiProcessors", 0n), 0, "no root pointer");
  const endless = madt(localApic(1), [0, 0, 0, 0], localApic(1));
  t.is(arch.call("acpiProcessors", root([endless], 0)), 1, "an entry of length 0");
  const beyond = madt(localApic(1), [0, 200]);
  t.is(arch.call("acpiProcessors", root([beyond], 2)), 1, "an entry beyond the table");
  const short = madt([0, 6, 0, 0, 1, 0], localApic(1));
  t.is(arch.call("acpiProcessors", root([short], 0)), 1, "an entry too short for its flags");
  const huge = table("APIC", Buffer.from([...Array<number>(8).fill(0), ...localApic(1)]), 0xffffffff);
  t.is(arch.call("acpiProcessors", root([huge], 0)), 0, "a table of 4 GiB");
});
