/** A guest whose block frontend lies: in its requests, ring, control page, grants and ports. */
import {
  BLKIF_OP_INDIRECT,
  BLKIF_SLOT,
  BlkifRequest,
  BlkifRequestDiscard,
  BlkifRequestIndirect,
  BlkifSegment,
} from "../../../abi/io/blkif.ts";
import { IO_DOMAIN } from "../../../abi/io/layout.ts";
import { NoxsCtrlHdr, NoxsVbdCtrlPage } from "../../../abi/io/noxs.ts";
import { Sring, SRING_HEADER } from "../../../abi/io/ring.ts";
import type { Steps } from "../call.ts";
import { PAGE } from "../ram.ts";
import type { GuestProgram } from "../svm-cpu.ts";
import { BlockFront, DATA_GFN, DATA_PAGES, DATA_REF, RING_GFN, RING_REF, SECTORS, type Target } from "./block-front.ts";
import { CONTROL_GFN, type IoPeer, type IoScene, Kit } from "./guest.ts";

const RING = RING_GFN * PAGE;
const CONTROL = CONTROL_GFN * PAGE;
const CONNECTED = 4;

/** It does not look at what it gets. */
const ANY: Target = { writable: true, onDisk: true, stable: null };

export function hostileBlockGuest(scene: IoScene, me: IoPeer): GuestProgram {
  const { random } = scene;
  let produced = 0;

  const hostile32 = (): number => Number(BigInt.asUintN(32, random.hostile64()));
  const anyRef = (): number =>
    random.oneIn(6) ? random.pick([RING_REF, hostile32(), random.below(512)]) : DATA_REF + random.below(DATA_PAGES);
  const anyOperation = (): number => (random.oneIn(5) ? random.below(256) : random.below(7));
  const anySector = (): bigint =>
    random.oneIn(2)
      ? BigInt(random.below(SECTORS))
      : random.oneIn(2)
        ? random.hostile64()
        : BigInt(SECTORS - random.below(9));

  return function* (cpu) {
    const kit = new Kit(cpu, scene, me);
    yield* kit.start();
    let front = new BlockFront(kit, ANY);
    yield* front.attach();
    const isXenbus = me.xenbus !== null;

    function putSegments(view: DataView, at: number, count: number): void {
      for (let i = 0; i < count && at + BlkifSegment.SIZE <= view.byteLength; i++, at += BlkifSegment.SIZE) {
        view.setUint32(at + BlkifSegment.gref, anyRef(), true);
        view.setUint8(at + BlkifSegment.first_sect, random.oneIn(8) ? random.u32() : random.below(8));
        view.setUint8(at + BlkifSegment.last_sect, random.oneIn(8) ? random.u32() : 7);
      }
    }

    /** A read or write that only lies about one thing: where it is on the disk, or what of a page it wants. */
    function putLie(): void {
      const view = cpu.look(RING + SRING_HEADER + (produced++ & 31) * BLKIF_SLOT, BLKIF_SLOT);
      const page = random.below(DATA_PAGES);
      const liesInPage = random.oneIn(2);
      kit.grant(DATA_REF + page, DATA_GFN + page);
      view.setUint8(BlkifRequest.operation, random.oneIn(4) ? 1 : 0);
      view.setBigUint64(BlkifRequest.id, random.u64(), true);
      view.setBigUint64(BlkifRequest.sector_number, liesInPage ? 0n : anySector(), true);
      view.setUint8(BlkifRequest.nr_segments, 1);
      view.setUint32(BlkifRequest.seg + BlkifSegment.gref, DATA_REF + page, true);
      view.setUint8(BlkifRequest.seg + BlkifSegment.first_sect, 0);
      view.setUint8(BlkifRequest.seg + BlkifSegment.last_sect, liesInPage ? 7 + random.below(40) : 7);
    }

    function putRequest(): void {
      const view = cpu.look(RING + SRING_HEADER + (produced++ & 31) * BLKIF_SLOT, BLKIF_SLOT);
      const operation = anyOperation();
      view.setUint8(BlkifRequest.operation, operation);
      view.setBigUint64(BlkifRequest.id, random.u64(), true);
      view.setBigUint64(BlkifRequest.sector_number, anySector(), true);
      const count = random.oneIn(4) ? random.u32() : random.below(12);
      view.setUint8(BlkifRequest.nr_segments, count);
      putSegments(view, BlkifRequest.seg, 11);
      if (operation === BLKIF_OP_INDIRECT) {
        view.setUint8(BlkifRequestIndirect.indirect_op, random.oneIn(4) ? random.u32() : random.below(2));
        view.setUint16(BlkifRequestIndirect.nr_segments, random.oneIn(4) ? random.u32() : random.below(40), true);
        view.setUint32(BlkifRequestIndirect.indirect_grefs, anyRef(), true);
      } else if (random.oneIn(4)) {
        view.setBigUint64(BlkifRequestDiscard.nr_sectors, anySector(), true);
      }
      // Any page may be one with segments.
      if (random.oneIn(3)) putSegments(cpu.look((DATA_GFN + random.below(DATA_PAGES)) * PAGE, PAGE), 0, 40);
    }

    function tamper(): void {
      switch (random.below(7)) {
        case 0:
          kit.set32(
            RING + random.pick([Sring.req_prod, Sring.req_event, Sring.rsp_prod, Sring.rsp_event]),
            hostile32(),
          );
          break;
        case 1:
          kit.set32(RING + SRING_HEADER + 4 * random.below(900), hostile32());
          break;
        case 2:
          kit.rip(8 + random.below(30));
          break;
        case 3: {
          const gfn = Math.max(RING_GFN, random.oneIn(3) ? hostile32() : random.below(80));
          kit.grant(8 + random.below(30), gfn, random.oneIn(3), random.oneIn(4) ? random.below(8) : IO_DOMAIN);
          break;
        }
        case 4:
          if (isXenbus) break;
          kit.set32(
            CONTROL + 4 * random.below(NoxsVbdCtrlPage.SIZE / 4),
            random.oneIn(2) ? random.below(9) : hostile32(),
          );
          break;
        case 5:
          putSegments(cpu.look((DATA_GFN + random.below(DATA_PAGES)) * PAGE, PAGE), 0, 40);
          break;
        default:
          kit.set32(RING + Sring.req_prod, produced + random.below(4));
      }
    }
    me.tamper = () => {
      if (isXenbus || cpu.has(CONTROL)) tamper();
    };

    function* reconnect(): Steps<void> {
      const again = new BlockFront(kit, ANY);
      if (isXenbus) yield* again.askDomain0("close");
      else {
        again.adopt(front);
        yield* again.setState(6);
        yield* kit.wait(again.ports, 3_000_000);
        yield* again.setState(1);
        yield* kit.wait(again.ports, 3_000_000);
      }
      if (front.port > 0) yield* kit.close(front.port);
      yield* again.prepare();
      produced = 0;
      for (let page = 0; page < DATA_PAGES; page++) kit.grant(DATA_REF + page, DATA_GFN + page, random.oneIn(4));
      if (isXenbus) {
        const asks = again.asks();
        if (random.oneIn(8)) asks.refs = Array.from({ length: 1 + random.below(4) }, anyRef);
        if (random.oneIn(8)) asks.port = hostile32();
        if (random.oneIn(8)) asks.features = hostile32();
        if ((yield* again.askDomain0(asks)) === 0) scene.counts["hostile disks connected"]!++;
      } else {
        again.writeRings();
        if (random.oneIn(6)) {
          kit.set32(CONTROL + NoxsVbdCtrlPage.num_rings, random.below(6));
          kit.set32(CONTROL + NoxsVbdCtrlPage.ring_page_order, random.below(6));
          for (let at = 0; at < 64; at += 4) {
            kit.set32(CONTROL + NoxsVbdCtrlPage.rings_start_addr + at, random.oneIn(2) ? anyRef() : again.port);
          }
        }
        yield* again.setState(CONNECTED);
        yield* kit.wait(again.ports, 3_000_000);
        if (again.state === CONNECTED) scene.counts["hostile disks connected"]!++;
      }
      front = again;
    }

    yield* reconnect();
    while (true) {
      switch (random.below(10)) {
        case 0:
        case 1:
        case 2:
        case 3:
          if (random.oneIn(2)) for (let n = 1 + random.below(8); n > 0; n--) putLie();
          else for (let n = 1 + random.below(12); n > 0; n--) putRequest();
          kit.set32(RING + Sring.req_prod, produced + (random.oneIn(16) ? random.below(60) : 0));
          yield* kit.send(front.port);
          scene.counts["hostile requests"]!++;
          break;
        case 4:
          for (let n = random.below(3); n >= 0; n--) tamper();
          yield* kit.send(random.pick(front.ports));
          break;
        case 5:
          for (let n = random.below(20); n > 0; n--) yield* kit.send(random.pick(front.ports));
          break;
        case 6:
          if (!isXenbus) {
            if (random.oneIn(3)) kit.set32(CONTROL + NoxsCtrlHdr.be_state, random.below(9));
            yield* front.setState(random.below(9));
          } else if (random.oneIn(2)) {
            yield* front.askDomain0(
              random.oneIn(2) ? "close" : { refs: [anyRef()], port: hostile32(), features: hostile32() },
            );
          }
          break;
        case 7:
          if (random.oneIn(4)) yield* kit.close(front.port);
          break;
        default:
          if (random.oneIn(3) || (!isXenbus && front.state !== CONNECTED)) yield* reconnect();
          else yield* kit.wait(front.ports, 1_000_000);
      }
      if (random.oneIn(6)) yield* kit.pause();
    }
  };
}
