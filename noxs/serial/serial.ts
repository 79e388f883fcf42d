/**
 * The I/O domain's half of the control service's serial ports (abi/io/control-serial.ts): bytes from a port's driver to domain 0's ring
 * and back, each as far as the other side has room. It knows nothing of what they say, nor whether domain 0 is the one of before:
 * what belongs to which client is domain 0's affair.
 */
import { SERIAL_LABEL, SERIAL_PORTS, SERIAL_RING_BYTES, SerialPage } from "../../abi/io/control-serial";
import { controlNotify, controlOnNotify, controlPublishSerial } from "../../drivers/host/control";
import { heapAllocate, heapAllocatePages } from "../../drivers/host/heap";
import { barrier, read32, write32 } from "../../drivers/host/host";
import { say, sayDec, sayEnd } from "../../drivers/host/log";
import { pciSayAddress } from "../../drivers/pci/device";
import { serialAttach, serialOpen, SerialPort, serialReceive, serialSend, serialWatch } from "../../drivers/serial";

const PAGE: u32 = 4096;

/** A port and what is shared of it. Of the indices only domain 0's are read from its page. */
@unmanaged
class Line {
  port: usize; // SerialPort
  page: usize;
  connection: u32; // as domain 0 was told
  rxProduced: u32;
  txConsumed: u32;
}

const lines: usize = memory.data(4 * 4);
let count: u32 = 0;

function lineAt(index: u32): Line {
  return changetype<Line>(load<usize>(lines + ((<usize>index) << 2)));
}

/** Serves the ports that drivers will find: before they are started. */
export function serialServe(): void {
  serialWatch(appeared);
  controlOnNotify(serialMoveAll);
}

/** Whether a port is for domain 0: SERIAL_LABEL, or that and a dot and a digit. */
function isControl(label: usize): bool {
  const length = <usize>SERIAL_LABEL.length;
  for (let i: usize = 0; i < length; i++) {
    if (load<u8>(label + i) != <u8>SERIAL_LABEL.charCodeAt(<i32>i)) return false;
  }
  const next = load<u8>(label + length);
  if (next == 0) return true;
  const digit = load<u8>(label + length + 1);
  return next == 0x2e && digit >= 0x30 && digit <= 0x39 && load<u8>(label + length + 2) == 0;
}

/** SerialAppearedFn */
function appeared(at: usize): void {
  const port = changetype<SerialPort>(at);
  if (count == SERIAL_PORTS || !isControl(port.label)) return;
  const line = changetype<Line>(heapAllocate(offsetof<Line>()));
  const page = heapAllocatePages(SerialPage.SIZE / PAGE);
  if (!changetype<usize>(line) || !page || !serialAttach(port, changetype<usize>(line), ready)) {
    say("There is not enough memory for a serial port.");
    sayEnd();
    return;
  }
  line.port = at;
  line.page = page;
  store<usize>(lines + ((<usize>count) << 2), changetype<usize>(line));
  say(changetype<string>(port.name));
  say(" ");
  pciSayAddress(port.address);
  say(" port ");
  sayDec(port.number);
  say(": ");
  say(SERIAL_LABEL);
  if (load<u8>(port.label + <usize>SERIAL_LABEL.length)) {
    say(".");
    sayDec(load<u8>(port.label + <usize>SERIAL_LABEL.length + 1) - 0x30);
  }
  sayEnd();
  controlPublishSerial(count++, <u32>(page >> 12));
}

/** SerialReadyFn */
function ready(record: usize): void {
  move(changetype<Line>(record));
}

/** Domain 0 has notified. */
export function serialMoveAll(): void {
  for (let i: u32 = 0; i < count; i++) move(lineAt(i));
}

function move(line: Line): void {
  const port = changetype<SerialPort>(line.port);
  serialOpen(port, read32(line.page + SerialPage.wanted) == 1);
  let news = send(line, port);
  // Before what was received: all of it belongs to what was there until now.
  const connection = port.connection;
  const before = line.rxProduced;
  const drained = receive(line, port);
  if (line.rxProduced != before) news = true;
  if (drained && connection != line.connection) {
    line.connection = connection;
    write32(line.page + SerialPage.connection, connection);
    news = true;
  }
  if (news) controlNotify();
}

/** Sends what domain 0 has for the port; true when domain 0 waits for the room that there is now. */
function send(line: Line, port: SerialPort): bool {
  let ahead = read32(line.page + SerialPage.txProduced) - line.txConsumed;
  // More than there is room for: domain 0 is broken.
  if (ahead == 0 || ahead > SERIAL_RING_BYTES) return false;
  barrier();
  let sent: u32 = 0;
  while (ahead != 0) {
    const at = line.txConsumed % SERIAL_RING_BYTES;
    const part = min(ahead, SERIAL_RING_BYTES - at);
    const taken = serialSend(port, line.page + SerialPage.tx + at, part);
    line.txConsumed += taken;
    ahead -= taken;
    sent += taken;
    if (taken < part) break;
  }
  write32(line.page + SerialPage.txConsumed, line.txConsumed);
  barrier();
  return sent != 0 && read32(line.page + SerialPage.txWaits) == 1;
}

/** Room in domain 0's ring. */
function room(line: Line): u32 {
  const used = line.rxProduced - read32(line.page + SerialPage.rxConsumed);
  return used > SERIAL_RING_BYTES ? 0 : SERIAL_RING_BYTES - used;
}

/** Gives domain 0 what the port has received; whether that was all. */
function receive(line: Line, port: SerialPort): bool {
  let drained = false;
  // A ring's worth at most, however fast domain 0 takes it.
  for (let left: u32 = SERIAL_RING_BYTES; left != 0 && !drained;) {
    const at = line.rxProduced % SERIAL_RING_BYTES;
    const part = min(min(room(line), SERIAL_RING_BYTES - at), left);
    if (part == 0) {
      // It is told so before it is looked again whether there is room now.
      write32(line.page + SerialPage.rxWaits, 1);
      barrier();
      if (room(line) == 0) return false;
      continue;
    }
    const got = serialReceive(port, line.page + SerialPage.rx + at, part);
    barrier();
    line.rxProduced += got;
    write32(line.page + SerialPage.rxProduced, line.rxProduced);
    left -= got;
    drained = got < part;
  }
  write32(line.page + SerialPage.rxWaits, drained ? 0 : 1);
  return drained;
}
