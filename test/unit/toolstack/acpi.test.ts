import test from "ava";
import { acpiSize, acpiTables } from "../../../toolstack/control/builder/acpi.ts";

const BASE = 0xe0200;

function sum(bytes: Uint8Array): number {
  return bytes.reduce((a, b) => (a + b) & 0xff, 0);
}

for (const vcpus of [1, 2, 64]) {
  test(`every table's checksum is right and every pointer leads to its table: ${vcpus} vCPUs`, (t) => {
    const bytes = acpiTables(BASE, vcpus);
    const view = new DataView(bytes.buffer);
    const text = (at: number, length: number) => Buffer.from(bytes.subarray(at, at + length)).toString("latin1");
    t.is(bytes.length, acpiSize(vcpus));
    t.is(text(0, 8), "RSD PTR ");
    t.is(sum(bytes.subarray(0, 20)), 0);
    t.is(sum(bytes.subarray(0, 36)), 0);

    const table = (at: number) => {
      const size = view.getUint32(at + 4, true);
      t.true(at % 16 === 0 && at + size <= bytes.length);
      t.is(sum(bytes.subarray(at, at + size)), 0, text(at, 4));
      return { signature: text(at, 4), size };
    };
    const xsdt = Number(view.getBigUint64(24, true)) - BASE;
    t.deepEqual(table(xsdt), { signature: "XSDT", size: 52 });
    const fadt = Number(view.getBigUint64(xsdt + 36, true)) - BASE;
    const madt = Number(view.getBigUint64(xsdt + 44, true)) - BASE;
    t.deepEqual(table(fadt), { signature: "FACP", size: 268 });
    t.true((view.getUint32(fadt + 112, true) & (1 << 20)) !== 0, "hardware-reduced");
    t.is(table(Number(view.getBigUint64(fadt + 140, true)) - BASE).signature, "DSDT");
    t.deepEqual(table(madt), { signature: "APIC", size: 44 + 8 * vcpus });
    for (let i = 0; i < vcpus; i++) {
      t.deepEqual([...bytes.subarray(madt + 44 + 8 * i, madt + 52 + 8 * i)], [0, 8, i, 2 * i, 1, 0, 0, 0]);
    }
  });
}

test("tables are made once for a place and number of vCPUs", (t) => {
  t.is(acpiTables(BASE, 3), acpiTables(BASE, 3));
  t.not(acpiTables(BASE, 3), acpiTables(BASE + 0x1000, 3));
});
