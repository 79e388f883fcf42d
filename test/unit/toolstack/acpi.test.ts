import test from "ava";
import { acpiSize, acpiTables } from "../../../toolstack/control/builder/acpi.ts";

const BASE = 0xe0200;

function sum(bytes: Uint8Array): number {
  return bytes.reduce((a, b) => (a + b) & 0xff, 0);
}

/** Reads a PkgLength: where what it counts begins and ends. */
function packageAt(aml: Uint8Array, at: number): { from: number; to: number } {
  const lead = aml[at]!;
  if (lead >> 6 === 0) return { from: at + 1, to: at + lead };
  return { from: at + 2, to: at + ((lead & 0xf) | (aml[at + 1]! << 4)) };
}

/** \\_S3: SLP_TYP values 3 and 0. */
const S3 = "\x08\\_S3_\x12\x05\x02\x0a\x03\x00";

/** The _UIDs of the processor devices in \\_SB; there is \\_S3 too, and anything else throws. */
function processors(aml: Uint8Array): number[] {
  const expect = (at: number, wanted: string) => {
    const found = Buffer.from(aml.subarray(at, at + wanted.length)).toString("latin1");
    if (found !== wanted) throw new Error(`${JSON.stringify(found)} at ${at} instead of ${JSON.stringify(wanted)}`);
    return at + wanted.length;
  };
  const integerAt = (at: number) =>
    aml[at]! < 2 ? { value: aml[at]!, next: at + 1 } : { value: aml[expect(at, "\x0a")]!, next: at + 2 };
  const scope = packageAt(aml, expect(0, "\x10"));
  if (expect(scope.to, S3) !== aml.length) throw new Error(`the scope ends at ${scope.to} of ${aml.length}`);
  const uids: number[] = [];
  for (let at = expect(scope.from, "\\_SB_"); at < scope.to;) {
    const device = packageAt(aml, expect(at, "\x5b\x82"));
    const name = `C00${uids.length.toString(16).toUpperCase()}`.replace(/^C00(..)$/, "C0$1");
    const uid = integerAt(expect(device.from, `${name}\x08_HID\x0dACPI0007\0\x08_UID`));
    const status = integerAt(expect(uid.next, "\x08_STA"));
    if (status.value !== 0xf || status.next !== device.to) throw new Error(`device ${name} ends badly`);
    uids.push(uid.value);
    at = device.to;
  }
  return uids;
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
    // Byte-wide ports (ACPI 6.2, 5.2.3.2), which make hardware-reduced Linux offer S3.
    t.deepEqual([...bytes.subarray(fadt + 244, fadt + 256)], [1, 8, 0, 1, 0x04, 0xb0, 0, 0, 0, 0, 0, 0]);
    t.deepEqual([...bytes.subarray(fadt + 256, fadt + 268)], [1, 8, 0, 1, 0x05, 0xb0, 0, 0, 0, 0, 0, 0]);
    const dsdt = Number(view.getBigUint64(fadt + 140, true)) - BASE;
    t.is(table(dsdt).signature, "DSDT");
    t.deepEqual(processors(bytes.subarray(dsdt + 36, dsdt + table(dsdt).size)), [...Array(vcpus).keys()]);
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
