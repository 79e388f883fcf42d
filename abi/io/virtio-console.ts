/**
 * Virtio console devices (virtio 1.1, 5.3), as far as the driver uses them. Names and numbers are those of Linux's public header
 * linux/virtio_console.h, against which test/unit/io/drivers checks them. Offsets and sizes in bytes; features are bit numbers.
 */

// Features.
export const VIRTIO_CONSOLE_F_SIZE: u32 = 0;
export const VIRTIO_CONSOLE_F_MULTIPORT: u32 = 1;
export const VIRTIO_CONSOLE_F_EMERG_WRITE: u32 = 2;

// C: struct virtio_console_config
export namespace VirtioConsoleConfig {
  export const cols: u32 = 0;
  export const rows: u32 = 2;
  export const max_nr_ports: u32 = 4;
  export const emerg_wr: u32 = 8;
  export const SIZE: u32 = 12;
}

/** A message on the control queues; behind a VIRTIO_CONSOLE_PORT_NAME are the name's bytes. */
// C: struct virtio_console_control
export namespace VirtioConsoleControl {
  export const id: u32 = 0; // of the port
  export const event: u32 = 4;
  export const value: u32 = 6;
  export const SIZE: u32 = 8;
}

// VirtioConsoleControl.event
export const VIRTIO_CONSOLE_DEVICE_READY: u32 = 0; // by the driver
export const VIRTIO_CONSOLE_PORT_ADD: u32 = 1; // by the device
export const VIRTIO_CONSOLE_PORT_REMOVE: u32 = 2; // by the device
export const VIRTIO_CONSOLE_PORT_READY: u32 = 3; // by the driver
export const VIRTIO_CONSOLE_CONSOLE_PORT: u32 = 4; // by the device
export const VIRTIO_CONSOLE_RESIZE: u32 = 5; // by the device
export const VIRTIO_CONSOLE_PORT_OPEN: u32 = 6; // by either: whether its end is open
export const VIRTIO_CONSOLE_PORT_NAME: u32 = 7; // by the device
