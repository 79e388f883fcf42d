/**
 * Intel's gigabit network controllers of the 8254x family and the 82574L: registers, bits and descriptors that the driver uses, from
 * the PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual (317453; chapters 3 and 13) and the 82574
 * datasheet (317694; chapters 7 and 10). Names are the manuals'. Offsets in bytes.
 */

export const E1000_PCI_VENDOR: u32 = 0x8086;
export const E1000_82544GC: u32 = 0x1008;
export const E1000_82540EM: u32 = 0x100e;
export const E1000_82545EM: u32 = 0x100f;
export const E1000_82574L: u32 = 0x10d3;

/** Registers are in memory BAR 0. */
export const E1000_REGISTER_BYTES: u32 = 0x6000;

export namespace E1000 {
  export const CTRL: u32 = 0x0000;
  export const STATUS: u32 = 0x0008;
  export const EERD: u32 = 0x0014; // reads a word of the EEPROM
  export const CTRL_EXT: u32 = 0x0018;
  export const ICR: u32 = 0x00c0; // reading it clears it
  export const ITR: u32 = 0x00c4; // least time between interrupts, 256 ns
  export const IMS: u32 = 0x00d0; // ones enable causes
  export const IMC: u32 = 0x00d8; // ones disable them
  export const RCTL: u32 = 0x0100;
  export const TCTL: u32 = 0x0400;
  export const TIPG: u32 = 0x0410;
  export const RDBAL: u32 = 0x2800;
  export const RDBAH: u32 = 0x2804;
  export const RDLEN: u32 = 0x2808;
  export const RDH: u32 = 0x2810;
  export const RDT: u32 = 0x2818;
  export const RDTR: u32 = 0x2820;
  export const TDBAL: u32 = 0x3800;
  export const TDBAH: u32 = 0x3804;
  export const TDLEN: u32 = 0x3808;
  export const TDH: u32 = 0x3810;
  export const TDT: u32 = 0x3818;
  export const TIDV: u32 = 0x3820;
  export const RXCSUM: u32 = 0x5000;
  export const MTA: u32 = 0x5200; // 128 words
  export const RAL0: u32 = 0x5400;
  export const RAH0: u32 = 0x5404;
}

export const E1000_CTRL_FD: u32 = 0x1;
export const E1000_CTRL_ASDE: u32 = 0x20;
export const E1000_CTRL_SLU: u32 = 0x40;
export const E1000_CTRL_RST: u32 = 0x04000000;
export const E1000_CTRL_PHY_RST: u32 = 0x80000000;
export const E1000_STATUS_LU: u32 = 0x2;
// EERD: the word's address and the bit that says it is done are elsewhere in the 82574L. The data is in bits 16-31.
export const E1000_EERD_START: u32 = 0x1;
export const E1000_EERD_DONE: u32 = 0x10;
export const E1000_EERD_ADDRESS_SHIFT: u32 = 8;
export const E1000_EERD_DONE_82574: u32 = 0x2;
export const E1000_EERD_ADDRESS_SHIFT_82574: u32 = 2;
export const E1000_CTRL_EXT_DRV_LOAD: u32 = 0x10000000;

// Interrupt causes.
export const E1000_ICR_TXDW: u32 = 0x1; // a descriptor with RS is done
export const E1000_ICR_LSC: u32 = 0x4; // the link changed
export const E1000_ICR_RXDMT0: u32 = 0x10; // few receive descriptors are left
export const E1000_ICR_RXO: u32 = 0x40; // a frame was lost for want of one
export const E1000_ICR_RXT0: u32 = 0x80; // a frame arrived

export const E1000_RCTL_EN: u32 = 0x2;
export const E1000_RCTL_UPE: u32 = 0x8; // any unicast address
export const E1000_RCTL_MPE: u32 = 0x10; // any multicast address
export const E1000_RCTL_BAM: u32 = 0x8000; // broadcasts
export const E1000_RCTL_SECRC: u32 = 0x04000000; // frames without their CRC; buffers are of 2048 bytes
export const E1000_TCTL_EN: u32 = 0x2;
export const E1000_TCTL_PSP: u32 = 0x8; // short frames are padded
export const E1000_TCTL_CT: u32 = 0xf0; // 15 collisions
export const E1000_TCTL_COLD: u32 = 0x40000; // full duplex
export const E1000_RXCSUM_IPOFL: u32 = 0x100;
export const E1000_RXCSUM_TUOFL: u32 = 0x200;
export const E1000_RAH_AV: u32 = 0x80000000; // the address is valid

/** A legacy receive descriptor (3.2.3). */
export namespace E1000RxDesc {
  export const address: u32 = 0; // u64
  export const length: u32 = 8; // u16; from here on written by the controller, in one u64
  export const checksum: u32 = 10;
  export const status: u32 = 12; // u8
  export const errors: u32 = 13; // u8
  export const special: u32 = 14;
  export const SIZE: u32 = 16;
}
export const E1000_RXD_STAT_DD: u32 = 0x1;
export const E1000_RXD_STAT_EOP: u32 = 0x2;
export const E1000_RXD_STAT_IXSM: u32 = 0x4; // checksums were not looked at
export const E1000_RXD_STAT_UDPCS: u32 = 0x10; // 82574L: UDP's was
export const E1000_RXD_STAT_TCPCS: u32 = 0x20;
export const E1000_RXD_ERR_CE: u32 = 0x1;
export const E1000_RXD_ERR_SE: u32 = 0x2;
export const E1000_RXD_ERR_SEQ: u32 = 0x4;
export const E1000_RXD_ERR_CXE: u32 = 0x10;
export const E1000_RXD_ERR_TCPE: u32 = 0x20;
export const E1000_RXD_ERR_RXE: u32 = 0x80;

/** A transmit data descriptor (3.3.7); its second half is written as one u64. */
export namespace E1000TxDesc {
  export const address: u32 = 0; // u64
  export const command: u32 = 8; // u32: length in bits 0-19, E1000_TXD_*
  export const status: u32 = 12; // u8: E1000_TXD_STAT_DD
  export const SIZE: u32 = 16;
}
export const E1000_TXD_DTYP_DATA: u32 = 0x00100000;
export const E1000_TXD_EOP: u32 = 0x01000000;
export const E1000_TXD_IFCS: u32 = 0x02000000; // append the CRC
export const E1000_TXD_TSE: u32 = 0x04000000; // a part of a TSO frame
export const E1000_TXD_RS: u32 = 0x08000000; // say when it is done
export const E1000_TXD_DEXT: u32 = 0x20000000; // not the legacy format
export const E1000_TXD_STAT_DD: u32 = 0x1;
// Bits 8 and 9 of the word at `status`.
export const E1000_TXD_POPTS_IXSM: u32 = 0x100; // insert IP's checksum
export const E1000_TXD_POPTS_TXSM: u32 = 0x200; // insert TCP's or UDP's

/** A transmit context descriptor (3.3.6). */
export namespace E1000TxContext {
  export const ipcss: u32 = 0; // u8: where IP's header begins
  export const ipcso: u32 = 1; // u8: where its checksum is
  export const ipcse: u32 = 2; // u16: its last byte
  export const tucss: u32 = 4; // u8: where the checksummed part begins
  export const tucso: u32 = 5; // u8: where the checksum is
  export const tucse: u32 = 6; // u16: its last byte, 0: to the frame's end
  export const command: u32 = 8; // u32: payload in bits 0-19, E1000_TXC_*, E1000_TXD_DEXT
  export const status: u32 = 12; // u8
  export const hdrlen: u32 = 13; // u8
  export const mss: u32 = 14; // u16
  export const SIZE: u32 = 16;
}
export const E1000_TXC_TCP: u32 = 0x01000000;
export const E1000_TXC_IP: u32 = 0x02000000; // IPv4
export const E1000_TXC_TSE: u32 = 0x04000000;
