/** Deliberate mistakes in the I/O domain's code, each of which the simulation must find. */
import type { IoMutation } from "./mutant-module.ts";

export const NET_MUTATIONS: IoMutation[] = [
  {
    name: "a vif may send from any MAC address",
    file: "noxs/net/filter.ts",
    find: "if (!(s.flags & VIF_ANY_MAC) && source != s.mac)",
    replace: "if (!MUTANT && !(s.flags & VIF_ANY_MAC) && source != s.mac)",
  },
  {
    name: "a vif with an IPv4 address may send from any",
    file: "noxs/net/filter.ts",
    find: "if (sender != own) return",
    replace: "if (!MUTANT && sender != own) return",
  },
  {
    name: "a frame shorter than its header is sent on",
    file: "noxs/net/tx.ts",
    find: "if (total < 14) drop",
    replace: "if (!MUTANT && total < 14) drop",
  },
  {
    name: "the grant of a control page is not ended",
    file: "noxs/net/control-page.ts",
    find: "if (!grantEnd(v.stable.grant)) return false;",
    replace: "if (!MUTANT && !grantEnd(v.stable.grant)) return false;",
  },
  {
    name: "the transmit ring of a vif that is disconnected stays mapped",
    file: "noxs/net/connect.ts",
    find: "if (q.tx) windowUnmap(q.tx);",
    replace: "if (!MUTANT && q.tx) windowUnmap(q.tx);",
  },
  {
    name: "the ports of a vif that is disconnected stay open",
    file: "noxs/net/connect.ts",
    find: "  eventForget(port);\n  eventClose(port);",
    replace: "  eventForget(port);\n  if (!MUTANT) eventClose(port);",
  },
  {
    name: "a sender gets its own frames for all",
    file: "noxs/net/flood.ts",
    find: "if (changetype<usize>(v) == j.sender || !v.queues) return;",
    replace: "if ((!MUTANT && changetype<usize>(v) == j.sender) || !v.queues) return;",
  },
  {
    name: "a sender is not told that its frames were sent",
    file: "noxs/net/notify.ts",
    find: "if (notifyTx || (q.notifyRx && both)) send(q.txPort);",
    replace: "if ((notifyTx && !MUTANT) || (q.notifyRx && both)) send(q.txPort);",
  },
  {
    name: "a vif that was removed keeps its addresses",
    file: "noxs/net/net-control.ts",
    find: "  floodForget(v);\n  addressesRemove(v);",
    replace: "  floodForget(v);\n  if (!MUTANT) addressesRemove(v);",
  },
  {
    name: "frames to an address that nobody has go to all",
    file: "noxs/net/switch.ts",
    find: "  } else {\n    drop(x, DROP_NO_DESTINATION);",
    replace:
      "  } else if (MUTANT) {\n    whenComplete(x, f, ACTION_FLOOD, 0);\n  } else {\n    drop(x, DROP_NO_DESTINATION);",
  },
  {
    name: "a receiver is told of more bytes than were copied",
    file: "noxs/net/rx.ts",
    find: "store<u32>(responseAt(index) + 4, slotFlags | (used << 16));",
    replace: "store<u32>(responseAt(index) + 4, slotFlags | ((MUTANT ? used + 1 : used) << 16));",
  },
  {
    name: "a vif is not connected again after a restart",
    file: "noxs/net/net-restart.ts",
    find: "if (s.connected) {",
    replace: "if (s.connected && !MUTANT) {",
  },
];

export const UPLINK_MUTATIONS: IoMutation[] = [
  {
    name: "a host on the wire may send from a guest's address",
    file: "noxs/net/switch.ts",
    find: "if (macIsGroup(source) || !learn(b, source, PORT_UPLINK)) {",
    replace: "if (macIsGroup(source) || (!learn(b, source, PORT_UPLINK) && !MUTANT)) {",
  },
  {
    name: "a frame without its checksum goes to a card that fills in none",
    file: "noxs/net/uplink.ts",
    find: "    else checksumFill(f, parsed);",
    replace: "    else if (!MUTANT) checksumFill(f, parsed);",
  },
  {
    name: "a frame that a card has sent is still counted as waiting",
    file: "noxs/net/uplink.ts",
    find: "  hold(senderOf(f), -(<i32>f.weight));",
    replace: "  hold(senderOf(f), MUTANT ? 0 : -(<i32>f.weight));",
  },
  {
    name: "frames that waited for room are given to the card without a word",
    file: "noxs/net/uplink.ts",
    find: "  if (b) uplinkKick(changetype<Bridge>(b));",
    replace: "  if (b && !MUTANT) uplinkKick(changetype<Bridge>(b));",
  },
  {
    name: "a bridge has no card after a restart",
    file: "noxs/net/net-restart.ts",
    find: "  if (card) uplinkAttach(b, card);",
    replace: "  if (card && !MUTANT) uplinkAttach(b, card);",
  },
  {
    name: "frames that a card had when it was reset are not given back",
    file: "drivers/virtio/net.ts",
    find: "  for (let i: u32 = 0; i < n.pairCount; i++) transmitDrain(pairAt(n, i), -EIO);",
    replace: "  for (let i: u32 = 0; i < n.pairCount && !MUTANT; i++) transmitDrain(pairAt(n, i), -EIO);",
  },
  {
    name: "a buffer that a card never had is believed to be used",
    file: "drivers/virtio/split.ts",
    find: "if (id >= q.size || slotAt(q, id).descriptors == 0) {",
    replace: "if (!MUTANT && (id >= q.size || slotAt(q, id).descriptors == 0)) {",
  },
  {
    name: "a frame may be longer than its buffer",
    file: "drivers/virtio/split.ts",
    find: "  if (bytes > slot.writable) {",
    replace: "  if (!MUTANT && bytes > slot.writable) {",
  },
  {
    name: "the card is told a wrong place for a checksum",
    file: "drivers/virtio/net-transmit.ts",
    find: "    size |= (<u32>f.checksumStart) << 16;",
    replace: "    size |= (<u32>f.checksumStart + (MUTANT ? 2 : 0)) << 16;",
  },
  {
    name: "a receive buffer is not given back to the card",
    file: "drivers/virtio/net-receive.ts",
    find: "    p.spareCount++;\n  }\n  frame.count = 0;",
    replace: "    if (!MUTANT) p.spareCount++;\n  }\n  frame.count = 0;",
  },
];

export const BLOCK_MUTATIONS: IoMutation[] = [
  {
    name: "a write to a disk that may only be read is let through",
    file: "noxs/block/parse.ts",
    find: "const isRead = e.operation == BLKIF_OP_READ;",
    replace: "const isRead = MUTANT || e.operation == BLKIF_OP_READ;",
  },
  {
    name: "a segment may go beyond its page",
    file: "noxs/block/parse.ts",
    find: "if (first > last || last >= PAGE_SECTORS) return",
    replace: "if (first > last || (!MUTANT && last >= PAGE_SECTORS)) return",
  },
  {
    name: "a request is answered before its pages are unmapped",
    file: "noxs/block/io.ts",
    find: "  unmapFlush();\n  const first = finished;",
    replace: "  if (!MUTANT) unmapFlush();\n  const first = finished;",
  },
  {
    name: "the pages that a frontend uses again and again stay mapped when it is gone",
    file: "noxs/block/connect.ts",
    find: "  persistentDrop(v);\n  v.stable.connected = 0;",
    replace: "  if (!MUTANT) persistentDrop(v);\n  v.stable.connected = 0;",
  },
  {
    name: "a new disk in memory holds what its last owner left there",
    file: "noxs/volumes/ram.ts",
    find: "  memory.fill(pool + ((<usize>start) << 12), 0, (<usize>pages) << 12);",
    replace: "  if (!MUTANT) memory.fill(pool + ((<usize>start) << 12), 0, (<usize>pages) << 12);",
  },
  {
    name: "what is discarded stays",
    file: "noxs/volumes/memory-disk.ts",
    find: "if (r.operation == BLOCK_DISCARD) memory.fill(at, 0, bytes);",
    replace: "if (r.operation == BLOCK_DISCARD) memory.fill(at, 0, MUTANT ? 0 : bytes);",
  },
  {
    name: "a frontend is not told of its answers",
    file: "noxs/block/responses.ts",
    find: "if (ring.produced - wanted < ring.produced - before) eventSend",
    replace: "if (!MUTANT && ring.produced - wanted < ring.produced - before) eventSend",
  },
  {
    name: "a flush is answered before it is done",
    file: "noxs/block/io.ts",
    find: "    r.step = REQUEST_FLUSH;\n    const io = r.io;",
    replace:
      "    if (MUTANT && !r.entry.sectors) {\n      finishErrno(r, 0);\n      return;\n    }\n    r.step = REQUEST_FLUSH;\n    const io = r.io;",
  },
];
