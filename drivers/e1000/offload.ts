/**
 * Checksums and TSO of an Intel gigabit card: the context descriptor that goes before a frame's data, and what the card wants changed
 * in a TSO frame's headers (8254x manual, 3.5 and 3.6): lengths of 0, and a TCP checksum field without the length.
 */
import { E1000_TXC_IP, E1000_TXC_TCP, E1000_TXC_TSE, E1000_TXD_DEXT, E1000TxContext } from "../../abi/io/e1000";
import { read8, write8 } from "../host/host";
import { Frame, FRAME_GSO_NONE, FRAME_GSO_TCP4 } from "../network";
import { segmentAt } from "../segment";

const ETHERNET_BYTES: u32 = 14;
const VLAN_BYTES: u32 = 4;
const IP4_BYTES: u32 = 20;
const IP6_BYTES: u32 = 40;
const TCP_CHECKSUM: u32 = 16;

/** Both halves of the context descriptor of the frame that was last looked at. */
export let context0: u64 = 0;
export let context1: u64 = 0;

function read16be(at: usize): u32 {
  return (read8(at) << 8) | read8(at + 1);
}

function write16be(at: usize, value: u32): void {
  write8(at, value >> 8);
  write8(at + 1, value & 0xff);
}

/** Where IP's header begins, of a frame whose first bytes are at `at`; 0 if it is neither IPv4 nor IPv6 as `four` says. */
function ipStart(at: usize, four: bool): u32 {
  const expected: u32 = four ? 0x0800 : 0x86dd;
  if (read16be(at + 12) == expected) return ETHERNET_BYTES;
  return read16be(at + 12) == 0x8100 && read16be(at + 16) == expected ? ETHERNET_BYTES + VLAN_BYTES : 0;
}

/**
 * Makes the context of a frame with FRAME_CHECKSUM_PARTIAL, in `context0` and `context1`, and changes a TSO frame's headers.
 * @returns false when the card cannot do it: headers that are not those of the kind of frame, or out of its reach
 */
export function offloadContext(f: Frame): bool {
  const start = <u32>f.checksumStart;
  const checksum = start + f.checksumOffset;
  if (checksum > 255) return false;
  context0 = ((<u64>start) << (E1000TxContext.tucss * 8)) | ((<u64>checksum) << (E1000TxContext.tucso * 8));
  context1 = E1000_TXD_DEXT;
  return f.gso == FRAME_GSO_NONE || segmentation(f, start);
}

function segmentation(f: Frame, tcp: u32): bool {
  const at = segmentAt(f.segments, 0).linear;
  const four = f.gso == FRAME_GSO_TCP4;
  const header = <u32>f.headerBytes;
  if (f.checksumOffset != TCP_CHECKSUM || header > 255 || tcp + 20 > header) return false;
  const ip = ipStart(at, four);
  if (ip == 0 || ip + (four ? IP4_BYTES : IP6_BYTES) > tcp) return false;
  let command = E1000_TXD_DEXT | E1000_TXC_TSE | E1000_TXC_TCP | (f.length - header);
  if (four) {
    write16be(at + ip + 2, 0); // total length
    write16be(at + ip + 10, 0); // header checksum
    command |= E1000_TXC_IP;
    context0 |= (<u64>ip) | ((<u64>(ip + 10)) << (E1000TxContext.ipcso * 8));
    context0 |= (<u64>(tcp - 1)) << (E1000TxContext.ipcse * 8);
  } else {
    write16be(at + ip + 4, 0); // payload length
    context0 |= <u64>ip;
  }
  context1 =
    (<u64>command) |
    ((<u64>header) << ((E1000TxContext.hdrlen - 8) * 8)) |
    ((<u64>f.gsoSize) << ((E1000TxContext.mss - 8) * 8));
  // The pseudo-header's sum had the length of all of it in it; subtracting in one's complement is adding the complement.
  const field = at + tcp + TCP_CHECKSUM;
  const sum = read16be(field) + (0xffff - ((f.length - tcp) & 0xffff));
  write16be(field, (sum & 0xffff) + (sum >> 16));
  return true;
}
