/**
 * The little of ACPI's machine language (AML) that a guest's DSDT is made of: \_SB with one processor device per vCPU, and
 * \_S3, which says that there is that sleep.
 *
 * Source: ACPI 6.2, chapter 20.2 (encodings), 8.4 (processor devices: _HID "ACPI0007", _UID as in the MADT), 7.4.2 (\_Sx).
 */
import { ACPI_SLEEP_TYPE_S3 } from "../../../abi/acpi-sleep.ts";

const ZERO_OP = 0x00;
const ONE_OP = 0x01;
const NAME_OP = 0x08;
const BYTE_PREFIX = 0x0a;
const STRING_PREFIX = 0x0d;
const SCOPE_OP = 0x10;
const PACKAGE_OP = 0x12;
const EXTENDED_PREFIX = 0x5b;
const DEVICE_OP = 0x82;
const ROOT = "\\";

const PROCESSOR_HID = "ACPI0007";
/** _STA: present, enabled, shown, working. */
const STATUS_WORKING = 0x0f;

function text(characters: string): number[] {
  return Array.from(characters, (c) => c.charCodeAt(0));
}

/** A PkgLength (20.2.4) followed by its contents; it counts itself: one byte, or two for more than 63. */
function packaged(content: number[]): number[] {
  if (content.length + 1 < 64) return [content.length + 1, ...content];
  const length = content.length + 2;
  if (length >= 1 << 12) throw new RangeError(`an AML package of ${length} bytes`);
  return [(1 << 6) | (length & 0xf), length >> 4, ...content];
}

function integer(value: number): number[] {
  return value === 0 ? [ZERO_OP] : value === 1 ? [ONE_OP] : [BYTE_PREFIX, value];
}

function named(name: string, value: number[]): number[] {
  return [NAME_OP, ...text(name), ...value];
}

function processor(vcpu: number): number[] {
  return [
    EXTENDED_PREFIX,
    DEVICE_OP,
    ...packaged([
      ...text(`C${vcpu.toString(16).toUpperCase().padStart(3, "0")}`),
      ...named("_HID", [STRING_PREFIX, ...text(PROCESSOR_HID), 0]),
      ...named("_UID", integer(vcpu)),
      ...named("_STA", integer(STATUS_WORKING)),
    ]),
  ];
}

/** The body of the DSDT of a guest with `vcpus` vCPUs, at most 128: without the table's header. */
export function dsdtAml(vcpus: number): Uint8Array {
  const devices = Array.from({ length: vcpus }, (_, vcpu) => processor(vcpu)).flat();
  // Values of SLP_TYP in the first and, where there is one, in the second PM1 control register.
  const sleepTypes = [ACPI_SLEEP_TYPE_S3, 0];
  const s3 = [PACKAGE_OP, ...packaged([sleepTypes.length, ...sleepTypes.flatMap(integer)])];
  return Uint8Array.from([SCOPE_OP, ...packaged([...text(`${ROOT}_SB_`), ...devices]), ...named(`${ROOT}_S3_`, s3)]);
}
