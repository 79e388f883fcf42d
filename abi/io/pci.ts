/**
 * PCI configuration space: registers, bits and capabilities (PCI Local Bus 3.0, chapter 6; PCI Express Base 3.0, chapter 7).
 *
 * Names and numbers are those of Linux's public header linux/pci_regs.h, against which test/unit/io/drivers checks them.
 * Offsets in bytes.
 */

// The header that all functions have.
export const PCI_VENDOR_ID: u32 = 0x00;
export const PCI_DEVICE_ID: u32 = 0x02;
export const PCI_COMMAND: u32 = 0x04;
export const PCI_STATUS: u32 = 0x06;
export const PCI_CLASS_REVISION: u32 = 0x08; // class code in the upper 24 bits
export const PCI_HEADER_TYPE: u32 = 0x0e;
export const PCI_BASE_ADDRESS_0: u32 = 0x10;
export const PCI_PRIMARY_BUS: u32 = 0x18; // of a bridge
export const PCI_SECONDARY_BUS: u32 = 0x19;
export const PCI_SUBORDINATE_BUS: u32 = 0x1a;
export const PCI_SUBSYSTEM_VENDOR_ID: u32 = 0x2c;
export const PCI_SUBSYSTEM_ID: u32 = 0x2e;
export const PCI_CAPABILITY_LIST: u32 = 0x34;
export const PCI_INTERRUPT_LINE: u32 = 0x3c;
export const PCI_INTERRUPT_PIN: u32 = 0x3d;

// Bits of PCI_COMMAND.
export const PCI_COMMAND_IO: u32 = 0x1;
export const PCI_COMMAND_MEMORY: u32 = 0x2;
export const PCI_COMMAND_MASTER: u32 = 0x4;
export const PCI_COMMAND_INTX_DISABLE: u32 = 0x400;
// Bits of PCI_STATUS.
export const PCI_STATUS_CAP_LIST: u32 = 0x10;

// PCI_HEADER_TYPE.
export const PCI_HEADER_TYPE_NORMAL: u32 = 0;
export const PCI_HEADER_TYPE_BRIDGE: u32 = 1;
export const PCI_HEADER_TYPE_MULTIFUNCTION: u32 = 0x80; // C: 0x80

// Bits of a base address register.
export const PCI_BASE_ADDRESS_SPACE_IO: u32 = 0x1;
export const PCI_BASE_ADDRESS_MEM_TYPE_MASK: u32 = 0x6;
export const PCI_BASE_ADDRESS_MEM_TYPE_64: u32 = 0x4;
export const PCI_BASE_ADDRESS_MEM_MASK_LOW: u32 = 0xfffffff0; // C: (uint32_t)PCI_BASE_ADDRESS_MEM_MASK
export const PCI_BASE_ADDRESS_IO_MASK_LOW: u32 = 0xfffffffc; // C: (uint32_t)PCI_BASE_ADDRESS_IO_MASK

// Capabilities.
export const PCI_CAP_LIST_ID: u32 = 0;
export const PCI_CAP_LIST_NEXT: u32 = 1;
export const PCI_CAP_ID_MSI: u32 = 0x05;
export const PCI_CAP_ID_VNDR: u32 = 0x09;
export const PCI_CAP_ID_EXP: u32 = 0x10;
export const PCI_CAP_ID_MSIX: u32 = 0x11;

// The MSI-X capability.
export const PCI_MSIX_FLAGS: u32 = 2;
export const PCI_MSIX_FLAGS_QSIZE: u32 = 0x07ff; // entries of the table less one
export const PCI_MSIX_TABLE: u32 = 4;
export const PCI_MSIX_TABLE_BIR: u32 = 0x7;
export const PCI_MSIX_TABLE_OFFSET: u32 = 0xfffffff8;
export const PCI_MSIX_ENTRY_SIZE: u32 = 16;

// The PCI Express capability.
export const PCI_EXP_DEVCAP: u32 = 4;
export const PCI_EXP_DEVCAP_FLR: u32 = 0x10000000;
export const PCI_EXP_DEVCTL: u32 = 8;
export const PCI_EXP_DEVCTL_BCR_FLR: u32 = 0x8000;
export const PCI_EXP_DEVSTA: u32 = 10;
export const PCI_EXP_DEVSTA_TRPND: u32 = 0x20;

// Configuration mechanism #1 (PCI Local Bus 3.0, 3.2.2.3.2): ports of address and data.
export const PCI_CONFIG_ADDRESS: u32 = 0xcf8; // C: 0xcf8
export const PCI_CONFIG_DATA: u32 = 0xcfc; // C: 0xcfc
export const PCI_CONFIG_ENABLE: u32 = 0x80000000; // C: 0x80000000

// Class codes: base class and subclass (PCI Code and ID Assignment 1.11).
export const PCI_CLASS_STORAGE_IDE: u32 = 0x0101; // C: 0x0101
export const PCI_CLASS_STORAGE_SATA: u32 = 0x0106; // C: 0x0106
export const PCI_CLASS_STORAGE_NVM: u32 = 0x0108; // C: 0x0108
export const PCI_CLASS_BRIDGE_PCI: u32 = 0x0604; // C: 0x0604
