/**
 * The minimal ACPI tables of a PVH guest: hardware-reduced, local APICs, and S3 ("suspend to RAM"). Without S3 Linux takes
 * its own suspend-to-idle for `echo mem > /sys/power/state`, and nothing a PVH guest has ever wakes it from that. Made once for each place and number of
 * vCPUs, then reused: a domain's creation only copies them.
 *
 * Source: ACPI 6.2 chapters 5.2.5 (RSDP), 5.2.8 (XSDT), 5.2.9 (FADT), 5.2.11 (DSDT), 5.2.12 (MADT).
 */
import { ACPI_SLEEP_CONTROL_PORT, ACPI_SLEEP_STATUS_PORT } from "../../../abi/acpi-sleep.ts";
import { dsdtAml } from "./aml.ts";
import { acpiPlace } from "./layout.ts";

const RSDP_SIZE = 36;
const HEADER_SIZE = 36;
const FADT_SIZE = 268; // revision 5
const MADT_FIXED = HEADER_SIZE + 8;
const LOCAL_APIC_SIZE = 8;
const LOCAL_APIC_ADDRESS = 0xfee00000;
/** FADT flags: WBINVD works; no fixed power or sleep buttons; hardware-reduced. */
const FADT_FLAGS = 0x1 | (1 << 4) | (1 << 5) | (1 << 20);
/** A generic address structure (5.2.3.2) of a byte-wide I/O port. */
const GAS_PORT_BYTE = [1, 8, 0, 1];
/** IA-PC boot flags: no legacy devices, no VGA, no CMOS clock. */
const BOOT_FLAGS = (1 << 2) | (1 << 5);

/** Offsets from the first byte; each table 16-byte aligned. */
const RSDP_AT = 0;
const XSDT_AT = 48;
const FADT_AT = 112;
const MADT_AT = FADT_AT + 272;

/** The DSDT is the last one. */
function dsdtAt(vcpus: number): number {
  return (MADT_AT + MADT_FIXED + vcpus * LOCAL_APIC_SIZE + 15) & ~15;
}

/** Bytes that the tables of a guest with `vcpus` vCPUs take. */
export function acpiSize(vcpus: number): number {
  return dsdtAt(vcpus) + HEADER_SIZE + amlFor(vcpus).length;
}

const amlMade = new Map<number, Uint8Array>();

function amlFor(vcpus: number): Uint8Array {
  let aml = amlMade.get(vcpus);
  if (aml === undefined) amlMade.set(vcpus, (aml = dsdtAml(vcpus)));
  return aml;
}

const made = new Map<string, Uint8Array>();

/**
 * The tables for a guest, to be placed at guest-physical `base`, where the RSDP begins.
 * @param base 16-byte aligned
 */
export function acpiTables(base: number, vcpus: number): Uint8Array {
  const key = `${base} ${vcpus}`;
  let tables = made.get(key);
  if (tables === undefined) {
    tables = makeTables(base, vcpus);
    made.set(key, tables);
  }
  return tables;
}

/** Makes the tables of the commonest guest now, that is, when domain 0's image is built. */
export function prepareAcpi(): void {
  acpiTables(acpiPlace(acpiSize(1)), 1);
}

function makeTables(base: number, vcpus: number): Uint8Array {
  const bytes = new Uint8Array(acpiSize(vcpus));
  const dsdt = dsdtAt(vcpus);
  const view = new DataView(bytes.buffer);
  const u64 = (at: number, value: number) => {
    view.setUint32(at, value >>> 0, true);
    view.setUint32(at + 4, Math.floor(value / 0x100000000), true);
  };

  const xsdtSize = HEADER_SIZE + 2 * 8;
  u64(XSDT_AT + HEADER_SIZE, base + FADT_AT);
  u64(XSDT_AT + HEADER_SIZE + 8, base + MADT_AT);
  finishTable(bytes, XSDT_AT, "XSDT", xsdtSize, 1);

  view.setUint32(FADT_AT + 40, base + dsdt, true); // DSDT
  view.setUint16(FADT_AT + 109, BOOT_FLAGS, true);
  view.setUint32(FADT_AT + 112, FADT_FLAGS, true);
  bytes[FADT_AT + 131] = 1; // minor version: 5.1
  u64(FADT_AT + 140, base + dsdt); // X_DSDT
  for (const [at, port] of [
    [FADT_AT + 244, ACPI_SLEEP_CONTROL_PORT],
    [FADT_AT + 256, ACPI_SLEEP_STATUS_PORT],
  ] as const) {
    bytes.set(GAS_PORT_BYTE, at);
    u64(at + 4, port);
  }
  finishTable(bytes, FADT_AT, "FACP", FADT_SIZE, 5);

  const aml = amlFor(vcpus);
  bytes.set(aml, dsdt + HEADER_SIZE);
  finishTable(bytes, dsdt, "DSDT", HEADER_SIZE + aml.length, 2);

  view.setUint32(MADT_AT + HEADER_SIZE, LOCAL_APIC_ADDRESS, true);
  for (let vcpu = 0; vcpu < vcpus; vcpu++) {
    const at = MADT_AT + MADT_FIXED + vcpu * LOCAL_APIC_SIZE;
    bytes[at] = 0; // processor local APIC
    bytes[at + 1] = LOCAL_APIC_SIZE;
    bytes[at + 2] = vcpu; // ACPI processor id
    bytes[at + 3] = vcpu * 2; // APIC id, as Xen numbers them
    view.setUint32(at + 4, 1, true); // enabled
  }
  finishTable(bytes, MADT_AT, "APIC", MADT_FIXED + vcpus * LOCAL_APIC_SIZE, 4);

  writeText(bytes, RSDP_AT, "RSD PTR ");
  writeText(bytes, RSDP_AT + 9, "TYPEVR");
  bytes[RSDP_AT + 15] = 2; // revision: ACPI 2.0 and later, no RSDT
  view.setUint32(RSDP_AT + 20, RSDP_SIZE, true);
  u64(RSDP_AT + 24, base + XSDT_AT);
  bytes[RSDP_AT + 8] = checksum(bytes, RSDP_AT, 20);
  bytes[RSDP_AT + 32] = checksum(bytes, RSDP_AT, RSDP_SIZE);
  return bytes;
}

/** Writes the header that all tables share, and the checksum over the whole table. */
function finishTable(bytes: Uint8Array, at: number, signature: string, size: number, revision: number): void {
  const view = new DataView(bytes.buffer);
  writeText(bytes, at, signature);
  view.setUint32(at + 4, size, true);
  bytes[at + 8] = revision;
  writeText(bytes, at + 10, "TYPEVR");
  writeText(bytes, at + 16, "TYPEVISR");
  view.setUint32(at + 24, 1, true); // OEM revision
  writeText(bytes, at + 28, "TPVR");
  view.setUint32(at + 32, 1, true); // creator revision
  bytes[at + 9] = checksum(bytes, at, size);
}

function writeText(bytes: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
}

/** The byte that makes the sum over the range zero, when the checksum field in it still is zero. */
function checksum(bytes: Uint8Array, at: number, size: number): number {
  let sum = 0;
  for (let i = at; i < at + size; i++) sum += bytes[i]!;
  return -sum & 0xff;
}
