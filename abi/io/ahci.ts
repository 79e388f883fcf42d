/**
 * AHCI host bus adapters: registers, command lists and tables of the Serial ATA AHCI specification 1.3.1 (chapters 3 and 4).
 * Offsets in bytes, in memory BAR 5.
 */

export const AHCI_BAR: u32 = 5;
/** The programming interface of class 0106 that means AHCI. */
export const AHCI_INTERFACE: u32 = 1;

export namespace Ahci {
  export const CAP: u32 = 0x00;
  export const GHC: u32 = 0x04;
  export const IS: u32 = 0x08; // a bit for each port; written 1: cleared
  export const PI: u32 = 0x0c; // ports that there are
  export const CAP2: u32 = 0x24;
  export const BOHC: u32 = 0x28;
  export const PORTS: u32 = 0x100;
  export const PORT_SIZE: u32 = 0x80;
}
export const AHCI_PORTS_MAX: u32 = 32;
export const AHCI_SLOTS_MAX: u32 = 32;

export const AHCI_CAP_NCS_SHIFT: u32 = 8; // five bits: command slots less one
export const AHCI_CAP_S64A: u32 = 0x80000000; // 64-bit addresses
export const AHCI_GHC_IE: u32 = 0x2;
export const AHCI_GHC_AE: u32 = 0x80000000;
export const AHCI_CAP2_BOH: u32 = 0x1;
export const AHCI_BOHC_BOS: u32 = 0x1; // the firmware owns it
export const AHCI_BOHC_OOS: u32 = 0x2; // the operating system does

/** Registers of a port. */
export namespace AhciPortRegister {
  export const CLB: u32 = 0x00; // command list, 64 bits
  export const FB: u32 = 0x08; // received FISes, 64 bits
  export const IS: u32 = 0x10; // written 1: cleared
  export const IE: u32 = 0x14;
  export const CMD: u32 = 0x18;
  export const TFD: u32 = 0x20; // status in bits 0-7, error in 8-15
  export const SIG: u32 = 0x24;
  export const SSTS: u32 = 0x28;
  export const SCTL: u32 = 0x2c;
  export const SERR: u32 = 0x30; // written 1: cleared
  export const CI: u32 = 0x38; // commands issued
}
// Interrupt causes of a port.
export const AHCI_PORT_DHRS: u32 = 0x1; // a command is done
export const AHCI_PORT_PSS: u32 = 0x2;
export const AHCI_PORT_PCS: u32 = 0x40; // the link changed
export const AHCI_PORT_IFS: u32 = 0x08000000; // fatal errors from here on
export const AHCI_PORT_HBDS: u32 = 0x10000000;
export const AHCI_PORT_HBFS: u32 = 0x20000000;
export const AHCI_PORT_TFES: u32 = 0x40000000;

export const AHCI_CMD_ST: u32 = 0x1; // the command list is processed
export const AHCI_CMD_SUD: u32 = 0x2;
export const AHCI_CMD_POD: u32 = 0x4;
export const AHCI_CMD_FRE: u32 = 0x10; // FISes are received
export const AHCI_CMD_CCS_SHIFT: u32 = 8; // five bits: the command in progress
export const AHCI_CMD_FR: u32 = 0x4000;
export const AHCI_CMD_CR: u32 = 0x8000;
export const AHCI_CMD_ICC_ACTIVE: u32 = 0x10000000;
export const AHCI_SSTS_DET: u32 = 0xf;
export const AHCI_SSTS_DET_PRESENT: u32 = 3; // a device, and communication with it
export const AHCI_SCTL_DET_RESET: u32 = 1;
export const AHCI_SIG_ATA: u32 = 0x00000101;

/** A command header. */
export namespace AhciCommandHeader {
  export const flags: u32 = 0; // u32: dwords of the FIS in bits 0-4, AHCI_HEADER_*, regions in bits 16-31
  export const bytes: u32 = 4; // u32: transferred, written by the adapter
  export const table: u32 = 8; // u64: multiple of 128
  export const SIZE: u32 = 32;
}
export const AHCI_HEADER_WRITE: u32 = 0x40;

/** A command table. */
export namespace AhciCommandTable {
  export const fis: u32 = 0;
  export const regions: u32 = 0x80; // AhciRegion[]
}
/** A physical region: even address and length. */
export namespace AhciRegion {
  export const address: u32 = 0; // u64
  export const reserved: u32 = 8;
  export const count: u32 = 12; // u32: bytes less one in bits 0-21
  export const SIZE: u32 = 16;
}

/** A register FIS from host to device (Serial ATA 3.0, 10.3.4). */
export namespace AhciFis {
  export const type: u32 = 0; // 0x27
  export const flags: u32 = 1; // bit 7: a command
  export const command: u32 = 2;
  export const features: u32 = 3;
  export const lba0: u32 = 4; // three bytes, then the device register
  export const device: u32 = 7;
  export const lba3: u32 = 8; // three bytes, then features' upper byte
  export const count: u32 = 12; // u16
  export const DWORDS: u32 = 5;
}
export const AHCI_FIS_H2D: u32 = 0x27;
export const AHCI_FIS_COMMAND: u32 = 0x80;
