/**
 * A guest whose network frontend lies: in every field of its rings and of its control page, about its grants and its ports; it
 * floods, revokes what is in use, forges frames, closes in the middle. Part of it another CPU of its does at any moment.
 */
import { NET_RX_SLOT, NET_TX_SLOT, NetifTxRequest, XEN_NETIF_EXTRA_TYPE_MAX } from "../../../abi/io/netif.ts";
import { GNTTABOP_copy, GNTCOPY_source_gref, GnttabCopy } from "../../../abi/grant-table.ts";
import { IO_DOMAIN } from "../../../abi/io/layout.ts";
import { NoxsCtrlHdr, NoxsVifCtrlPage } from "../../../abi/io/noxs.ts";
import { Sring, SRING_HEADER } from "../../../abi/io/ring.ts";
import { MemoryReservation, XENMEM_decrease_reservation, XENMEM_populate_physmap } from "../../../abi/memory.ts";
import { __HYPERVISOR_grant_table_op, __HYPERVISOR_memory_op, DOMID_SELF } from "../../../abi/xen.ts";
import { arp, ethernet, pattern, tcpFrame, udpFrame } from "../../unit/io/net/packets.ts";
import { ARGUMENT_GFN, type Steps, structured } from "../call.ts";
import { PAGE } from "../ram.ts";
import { type GuestProgram, Violation } from "../svm-cpu.ts";
import { CONTROL_GFN, type IoPeer, type IoScene, Kit } from "./guest.ts";
import {
  NetFront,
  RX_DATA_GFN,
  RX_DATA_REF,
  RX_GFN,
  RX_PAGES,
  RX_REF,
  TX_DATA_GFN,
  TX_DATA_REF,
  TX_GFN,
  TX_PAGES,
  TX_REF,
} from "./net-front.ts";
import { hostOf } from "./wire.ts";

const TX = TX_GFN * PAGE;
const RX = RX_GFN * PAGE;
const CONTROL = CONTROL_GFN * PAGE;
/** Where it maps what is not meant for it. */
const STRANGE_GFN = 70;

export function hostileNetGuest(scene: IoScene, me: IoPeer): GuestProgram {
  const { random } = scene;
  /** Its own idea of the rings, as far as it has one. */
  let produced = 0;

  const hostile32 = (): number => Number(BigInt.asUintN(32, random.hostile64()));
  const anyRef = (): number =>
    random.pick([
      TX_REF,
      RX_REF,
      TX_DATA_REF + random.below(TX_PAGES),
      TX_DATA_REF + random.below(TX_PAGES),
      RX_DATA_REF + random.below(RX_PAGES),
      random.below(512),
      hostile32(),
    ]);

  /** A frame that it may send, or not. */
  function frame(): Buffer {
    const others = scene.peers.filter((p) => p !== me);
    const to = hostOf(others.length === 0 ? 1 : random.pick(others).id);
    const self = hostOf(me.id);
    const other = hostOf(others.length === 0 ? 1 : random.pick(others).id);
    const payload = pattern(random.below(random.oneIn(4) ? 6000 : 1400), random.u32());
    switch (random.below(11)) {
      case 0: // forged MAC
        return udpFrame({ mac: other.mac, ip: self.ip }, to, payload);
      case 1: // forged IP
      case 7:
      case 8:
        return udpFrame({ mac: self.mac, ip: other.ip }, to, payload);
      case 2:
        return arp(1 + random.below(2), { mac: self.mac, ip: random.oneIn(2) ? other.ip : self.ip }, { ip: to.ip });
      case 3:
        return udpFrame(self, { mac: "ff:ff:ff:ff:ff:ff", ip: "10.0.255.255" }, payload);
      case 4:
        return ethernet(to.mac, self.mac, random.below(0x10000), payload);
      case 5:
        return tcpFrame(self, to, payload);
      case 6: // truncated anywhere
        return udpFrame(self, to, payload).subarray(0, random.below(60));
      default:
        return udpFrame(self, to, payload);
    }
  }

  return function* (cpu) {
    const kit = new Kit(cpu, scene, me);
    yield* kit.start();
    let front = new NetFront(kit);
    yield* front.attach();
    const isXenbus = me.xenbus !== null;

    /** A frame as it should be in a slot, but for what is in it. */
    function putFrame(): void {
      const page = produced % TX_PAGES;
      const bytes = frame();
      if (bytes.length > PAGE || !cpu.has((TX_DATA_GFN + page) * PAGE)) return;
      kit.bytes(TX_DATA_GFN + page).set(bytes);
      kit.grant(TX_DATA_REF + page, TX_DATA_GFN + page, true);
      const slot = TX + SRING_HEADER + (produced++ & 255) * NET_TX_SLOT;
      kit.set32(slot + NetifTxRequest.gref, TX_DATA_REF + page);
      kit.set32(slot + NetifTxRequest.offset, 0);
      kit.set16(slot + NetifTxRequest.id, produced);
      kit.set16(slot + NetifTxRequest.size, bytes.length);
    }

    /** A slot of the transmit ring: of a frame that is there, or made up. */
    function putSlot(): void {
      const slot = TX + SRING_HEADER + (produced++ & 255) * NET_TX_SLOT;
      const page = random.below(TX_PAGES);
      if (random.oneIn(6)) {
        // Extra info, or what may be taken for it.
        kit.set32(slot, random.below(XEN_NETIF_EXTRA_TYPE_MAX + 2) | (random.below(2) << 8) | (hostile32() << 16));
        kit.set32(slot + 4, hostile32());
        kit.set32(slot + 8, hostile32());
        return;
      }
      const bytes = random.oneIn(2) ? frame() : Buffer.alloc(0);
      if (bytes.length > 0 && bytes.length <= PAGE && cpu.has((TX_DATA_GFN + page) * PAGE)) {
        kit.bytes(TX_DATA_GFN + page).set(bytes);
      }
      if (random.oneIn(3)) kit.grant(TX_DATA_REF + page, TX_DATA_GFN + page, random.oneIn(2));
      kit.set32(slot + NetifTxRequest.gref, random.oneIn(4) ? anyRef() : TX_DATA_REF + page);
      kit.set16(slot + NetifTxRequest.offset, random.oneIn(4) ? hostile32() : random.oneIn(4) ? random.below(PAGE) : 0);
      kit.set16(slot + NetifTxRequest.flags, random.oneIn(2) ? 0 : random.below(16));
      kit.set16(slot + NetifTxRequest.id, random.u32());
      kit.set16(
        slot + NetifTxRequest.size,
        random.oneIn(3) ? hostile32() : bytes.length > 0 ? bytes.length : random.below(300),
      );
    }

    /** What another CPU can do: to its pages, and to its grants. */
    function tamper(): void {
      switch (random.below(9)) {
        case 0:
          kit.set32(
            random.pick([TX, RX]) + random.pick([Sring.req_prod, Sring.req_event, Sring.rsp_prod, Sring.rsp_event]),
            hostile32(),
          );
          break;
        case 1:
          kit.set32(random.pick([TX, RX]) + SRING_HEADER + 4 * random.below(1000), hostile32());
          break;
        case 2: // away with a grant
          kit.rip(anyRef() % 64);
          break;
        case 3: {
          // A grant of anything, but for what it works with itself: only a fool lets others write there.
          const ref = 8 + random.below(40);
          const gfn = Math.max(TX_GFN, random.oneIn(3) ? hostile32() : random.below(80));
          kit.grant(ref, gfn, random.oneIn(3), random.oneIn(4) ? random.below(8) : IO_DOMAIN);
          break;
        }
        case 4:
          if (!isXenbus && cpu.has(CONTROL)) {
            kit.set32(
              CONTROL + 4 * random.below(NoxsVifCtrlPage.SIZE / 4),
              random.oneIn(2) ? random.below(9) : hostile32(),
            );
          }
          break;
        case 5:
          kit.set32(TX + Sring.req_prod, produced + random.below(4));
          break;
        case 6: {
          const page = random.below(TX_PAGES);
          if (cpu.has((TX_DATA_GFN + page) * PAGE)) kit.bytes(TX_DATA_GFN + page).set(frame().subarray(0, PAGE));
          break;
        }
        default: {
          // a buffer, posted once more, or another page
          const slot = RX + SRING_HEADER + random.below(256) * NET_RX_SLOT;
          kit.set32(slot + 4, anyRef());
        }
      }
    }
    me.tamper = () => {
      // Without the TLB: this is not the CPU that runs.
      if (cpu.has(TX) && cpu.has(RX)) tamper();
    };

    /** Whatever state it is in: connects again, properly. */
    function* reconnect(): Steps<void> {
      const restart = new NetFront(kit);
      if (!isXenbus) {
        // As Linux after kexec: from Initialising on.
        restart.adopt(front);
        yield* restart.setState(1);
        yield* kit.wait(restart.ports, 3_000_000);
      } else {
        yield* restart.askDomain0("close");
      }
      if (front.port > 0) yield* kit.close(front.port);
      yield* restart.prepare();
      produced = 0;
      if (isXenbus) {
        const asks = { ...restart.asks(), features: random.below(0x400) };
        if (random.oneIn(8)) asks.refs[0] = anyRef();
        if (random.oneIn(8)) asks.refs[1] = anyRef();
        if (random.oneIn(8)) asks.port = hostile32();
        if (random.oneIn(8)) asks.features = hostile32();
        if ((yield* restart.askDomain0(asks)) === 0) scene.counts["hostile connected"]!++;
      } else {
        restart.writeRings();
        kit.set16(CONTROL + NoxsVifCtrlPage.fe_feat, random.below(0x200));
        yield* restart.setState(4);
        yield* kit.wait(restart.ports, 3_000_000);
        if (restart.state === 4) scene.counts["hostile connected"]!++;
      }
      front = restart;
    }

    /** Tries what is not granted to it: the I/O domain's other pages and ports. */
    function* trespass(): Steps<void> {
      switch (random.below(4)) {
        case 0: {
          const ref = random.oneIn(2) ? random.below(64) : hostile32();
          const { status, handle } = yield* kit.mapControl(ref, STRANGE_GFN);
          if (status !== 0) break;
          if (!front.isControl(ref))
            throw new Violation(`hostile domain ${me.id} mapped grant ${ref} of the I/O domain`);
          yield* kit.unmapControl(handle, STRANGE_GFN);
          break;
        }
        case 1: {
          const ref = random.below(64);
          const { result, view } = yield* structured(
            cpu,
            __HYPERVISOR_grant_table_op,
            GNTTABOP_copy,
            GnttabCopy.SIZE,
            (v) => {
              v.setUint32(GnttabCopy.source_u_ref, ref, true);
              v.setUint16(GnttabCopy.source_domid, IO_DOMAIN, true);
              v.setBigUint64(GnttabCopy.dest_u_gmfn, BigInt(RX_DATA_GFN), true);
              v.setUint16(GnttabCopy.dest_domid, DOMID_SELF, true);
              v.setUint16(GnttabCopy.len, 64, true);
              v.setUint16(GnttabCopy.flags, GNTCOPY_source_gref, true);
            },
            1,
          );
          if (result === 0 && view.getInt16(GnttabCopy.status, true) === 0 && !front.isControl(ref)) {
            throw new Violation(`hostile domain ${me.id} copied from grant ${ref} of the I/O domain`);
          }
          break;
        }
        case 2: {
          const port = yield* kit.bind(random.below(40));
          if (port > 0) yield* kit.close(port);
          break;
        }
        default: {
          // Its memory goes while it is in use.
          const gfn = TX_DATA_GFN + random.below(TX_PAGES);
          const op = cpu.has(gfn * PAGE) ? XENMEM_decrease_reservation : XENMEM_populate_physmap;
          const list = ARGUMENT_GFN * PAGE + 0x800;
          const bytes = new DataView(new ArrayBuffer(8));
          bytes.setBigUint64(0, BigInt(gfn), true);
          cpu.poke(list, new Uint8Array(bytes.buffer));
          yield* structured(cpu, __HYPERVISOR_memory_op, op, MemoryReservation.SIZE, (v) => {
            v.setBigUint64(MemoryReservation.extent_start, BigInt(list), true);
            v.setBigUint64(MemoryReservation.nr_extents, 1n, true);
            v.setUint16(MemoryReservation.domid, DOMID_SELF, true);
          });
        }
      }
    }

    for (let page = 0; page < TX_PAGES; page++) kit.grant(TX_DATA_REF + page, TX_DATA_GFN + page, true);
    yield* reconnect();
    while (true) {
      switch (random.below(12)) {
        case 0:
        case 1:
        case 2:
        case 3:
          if (random.oneIn(3)) {
            for (let n = 1 + random.below(12); n > 0; n--) putSlot();
            kit.set32(TX + Sring.req_prod, produced + (random.oneIn(12) ? random.below(300) : 0));
          } else {
            for (let n = 1 + random.below(TX_PAGES); n > 0; n--) putFrame();
            kit.set32(TX + Sring.req_prod, produced);
          }
          yield* kit.send(front.port);
          scene.counts["hostile sent"]!++;
          break;
        case 4:
          for (let n = random.below(3); n >= 0; n--) tamper();
          yield* kit.send(random.pick(front.ports));
          break;
        case 5: // loops its ring: what was consumed comes again
          produced += 256;
          kit.set32(TX + Sring.req_prod, produced);
          yield* kit.send(front.port);
          break;
        case 6: // floods with events
          for (let n = random.below(20); n > 0; n--) yield* kit.send(random.pick(front.ports));
          break;
        case 7:
          yield* trespass();
          break;
        case 8:
          if (!isXenbus) {
            if (random.oneIn(3)) kit.set32(CONTROL + NoxsCtrlHdr.be_state, random.below(9));
            yield* front.setState(random.below(9));
          } else if (random.oneIn(3)) {
            yield* front.askDomain0(
              random.oneIn(2) ? "close" : { refs: [anyRef(), anyRef()], port: hostile32(), features: hostile32() },
            );
          }
          break;
        case 9:
          if (random.oneIn(4)) {
            yield* kit.close(front.port);
            yield* kit.pause();
          }
          break;
        case 10:
          // Posts buffers again, so that it is sent to.
          for (let buffer = 0; buffer < RX_PAGES; buffer++) {
            if (cpu.has((RX_DATA_GFN + buffer) * PAGE)) kit.grant(RX_DATA_REF + buffer, RX_DATA_GFN + buffer);
          }
          kit.set32(RX + Sring.req_prod, kit.get32(RX + Sring.rsp_prod) + random.below(257));
          yield* kit.send(front.port);
          break;
        default:
          if (random.oneIn(3) || (!isXenbus && front.state !== 4)) yield* reconnect();
          else yield* kit.wait(front.ports, 1_000_000);
      }
      if (random.oneIn(6)) yield* kit.pause();
    }
  };
}
