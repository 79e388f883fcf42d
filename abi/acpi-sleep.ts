/**
 * The sleep registers of a hardware-reduced ACPI machine (ACPI 6.2, 4.8.3.7) as a guest has them: the toolstack's FADT and
 * DSDT name them, the hypervisor acts on them. Xen's PVH guests have none.
 */

/** I/O ports, a byte each. Xen's HVM guests have the PM1a control block at the first. */
export const ACPI_SLEEP_CONTROL_PORT: u32 = 0xb004;
export const ACPI_SLEEP_STATUS_PORT: u32 = 0xb005;

// The control register.
export const ACPI_SLEEP_TYPE_SHIFT: u32 = 2;
export const ACPI_SLEEP_TYPE_MASK: u32 = 0x1c;
export const ACPI_SLEEP_ENABLE: u32 = 0x20;
/** The status register. */
export const ACPI_WAKE_STATUS: u32 = 0x80;

/** SLP_TYP of S3, the only sleep there is. */
export const ACPI_SLEEP_TYPE_S3: u32 = 3;
