/**
 * The interface of serial ports with names: streams of bytes between the host of a virtual machine and who uses them here. Drivers
 * register ports as they appear, which may be at any time; one client attaches to those whose names it knows.
 *
 * Nothing waits: the client is called (`readyFn`) when there may be bytes, or room, or the host's end was opened or closed.
 */

/** Bytes of a port's name at most; what is beyond is cut off. */
export const SERIAL_LABEL_MAX: u32 = 63;

/** Takes up to `room` received bytes to `to`. Fewer than `room`: there are no more, and the client is called when there are. */
export type SerialReceiveFn = (port: usize, to: usize, room: u32) => u32;
/** Sends bytes as far as there is room. Fewer than `bytes`: the client is called when there is room again. */
export type SerialSendFn = (port: usize, from: usize, bytes: u32) => u32;
/** Opens or closes this end: while it is closed nothing is received. */
export type SerialOpenFn = (port: usize, open: bool) => void;
/** Prepares the port for a client. False: no memory. */
export type SerialAttachFn = (port: usize) => bool;
/** Of the client, called with the record that it gave. */
export type SerialReadyFn = (record: usize) => void;
/** Called with each port, once. */
export type SerialAppearedFn = (port: usize) => void;

/** Base class of drivers' records. */
@unmanaged
export class SerialPort {
  name: usize; // string constant: the driver's
  address: u32; // of the PCI function
  number: u32; // the device's own
  label: usize; // its name for the outside: SERIAL_LABEL_MAX bytes at most, then a NUL
  /** Odd while the host's end is open; changed whenever it was opened or closed, or what was on its way may be lost. */
  connection: u32;
  client: usize;
  readyFn: usize; // SerialReadyFn; 0: no client
  attachFn: usize;
  receiveFn: usize;
  sendFn: usize;
  openFn: usize;
}

let appeared: usize = 0;

/** Has `fn` called with each port that appears from now on. */
export function serialWatch(fn: SerialAppearedFn): void {
  appeared = changetype<usize>(fn);
}

/** A driver has found a port; its record is complete. */
export function serialRegister(p: SerialPort): void {
  if (appeared) changetype<SerialAppearedFn>(appeared)(changetype<usize>(p));
}

/** Attaches the client: `readyFn` is called with `record` from the module's turn. False: no memory. */
export function serialAttach(p: SerialPort, record: usize, readyFn: SerialReadyFn): bool {
  if (!changetype<SerialAttachFn>(p.attachFn)(changetype<usize>(p))) return false;
  p.client = record;
  p.readyFn = changetype<usize>(readyFn);
  return true;
}

/** A driver's port may have something for its client. */
export function serialReady(p: SerialPort): void {
  if (p.readyFn) changetype<SerialReadyFn>(p.readyFn)(p.client);
}

export function serialReceive(p: SerialPort, to: usize, room: u32): u32 {
  return changetype<SerialReceiveFn>(p.receiveFn)(changetype<usize>(p), to, room);
}

export function serialSend(p: SerialPort, from: usize, bytes: u32): u32 {
  return changetype<SerialSendFn>(p.sendFn)(changetype<usize>(p), from, bytes);
}

export function serialOpen(p: SerialPort, open: bool): void {
  changetype<SerialOpenFn>(p.openFn)(changetype<usize>(p), open);
}
