/** A vif's life over NoXS: the handshake of LightVM's Mini-OS, closing, starting over, and a frontend that writes nonsense. */
import test from "ava";
import fc from "fast-check";
import {
  VIF_CONNECTED,
  VIF_FAIL_CONFIG,
  VIF_FAIL_MAP,
  VIF_FAIL_PORT,
  VIF_FAILED,
  VIF_GOING,
  VIF_WAITING,
} from "../../../../abi/io/control-net.ts";
import { NoxsCtrlHdr, NoxsVifCtrlPage } from "../../../../abi/io/noxs.ts";
import { Sring } from "../../../../abi/io/ring.ts";
import {
  XenbusStateClosed,
  XenbusStateClosing,
  XenbusStateConnected,
  XenbusStateInitialising,
  XenbusStateInitWait,
} from "../../../../abi/io/xenbus.ts";
import { Frontend } from "./frontend.ts";
import { hostOf, join, netWithBridge } from "./lab.ts";
import { guestMac } from "./module.ts";
import { macText, pattern, udpFrame } from "./packets.ts";

test("the control page says what the vif is, before the guest's first instruction", async (t) => {
  const net = await netWithBridge();
  net.guest(7);
  const entry = net.addVif(7, { ipv4: "10.0.0.7", devid: 3 });
  t.is(entry.status, 0);
  t.is(net.vif(7, 3).state, VIF_WAITING);
  const { view, bytes } = net.host.guests.get(7)!.mapIo(entry.grant);
  t.is(view.getUint32(NoxsCtrlHdr.devid, true), 3);
  t.is(view.getUint32(NoxsCtrlHdr.be_state, true), XenbusStateInitWait);
  t.is(view.getUint32(NoxsCtrlHdr.fe_state, true), 0);
  t.is(macText(bytes.subarray(NoxsVifCtrlPage.mac)), guestMac(7));
  t.deepEqual([...bytes.subarray(NoxsVifCtrlPage.ip, NoxsVifCtrlPage.ip + 4)], [10, 0, 0, 7]);
  t.is(Buffer.from(bytes.subarray(NoxsVifCtrlPage.bridge, NoxsVifCtrlPage.bridge + 4)).toString(), "br0\0");
  t.is(view.getUint32(NoxsVifCtrlPage.multi_queue_max_queues, true), 1);
  t.is(view.getUint32(NoxsVifCtrlPage.multi_queue_num_queues, true), 1);
  // Asking again answers the same.
  t.deepEqual(net.addVif(7, { ipv4: "10.0.0.7", devid: 3 }), entry);
});

test("connecting, closing and connecting again, by watches", async (t) => {
  const net = await netWithBridge();
  const peer = join(net, 2);
  net.guest(1);
  const entry = net.addVif(1);
  const first = new Frontend(net, 1);
  t.is(first.connectNoxs(entry), XenbusStateConnected);
  t.is(first.watched, 1);
  t.is(net.vif(1).state, VIF_CONNECTED);
  first.send(udpFrame(hostOf(1), hostOf(2), pattern(100)));
  t.is(peer.take().length, 1);
  t.deepEqual(first.close(), [XenbusStateClosing, XenbusStateClosed, XenbusStateInitWait]);
  t.is(first.watched, 4);
  t.is(net.vif(1).state, VIF_WAITING);
  t.is(net.vif(1).failure, 0);

  // A second driver in the same guest: the page is still mapped, its rings are new.
  const second = new Frontend(net, 1, { split: true });
  second.attach = (): void => {};
  Object.assign(second, {
    page: (first as unknown as { page: unknown }).page,
    port: (first as unknown as { port: unknown }).port,
  });
  t.is(second.connectNoxs(entry), XenbusStateConnected);
  second.send(udpFrame(hostOf(1), hostOf(2), pattern(200)));
  t.is(peer.take()[0]!.data.length, 242);
  peer.send(udpFrame(hostOf(2), hostOf(1), pattern(300)));
  t.is(second.take()[0]!.data.length, 342);
  // A frontend that starts over without having closed (kexec).
  t.is(second.setState(XenbusStateInitialising), XenbusStateInitWait);
  for (const queue of second.queues) t.notThrows(() => queue.free());
});

test("a frontend is told of every change, also when it has not asked or has taken its request back", async (t) => {
  const net = await netWithBridge();
  net.guest(1);
  const a = new Frontend(net, 1);
  a.attach(net.addVif(1));
  a.writeRings();
  const states = [XenbusStateConnected, XenbusStateClosing, XenbusStateClosed, XenbusStateInitialising];
  let told = 0;
  for (const state of [...states, ...states]) {
    const answered = a.setState(state, false);
    t.is(answered, state === XenbusStateInitialising ? XenbusStateInitWait : state);
    t.is(a.watched, ++told);
    // Nothing has changed: an event alone is not answered.
    a.nudge();
    t.is(a.watched, told);
  }
  // Neither does the back end wait to be asked when it is the one that ends it.
  a.setState(XenbusStateConnected, false);
  a.queue.txPage.view.setUint32(Sring.req_prod, 0x80000000, true);
  a.guest.send(a.queue.txPort);
  net.run();
  t.is(a.control.getUint32(NoxsCtrlHdr.be_state, true), XenbusStateClosing);
  t.is(a.watched, told + 2);
});

test("a removed vif leaves nothing behind; its page is free when the guest lets go of it", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1, { ipv4: "10.0.0.1" });
  t.is(net.host.mappingCount(), 2);
  t.is(net.removeVif(1), 0);
  t.is(net.removeVif(1), -2);
  t.is(net.host.mappingCount(), 0);
  t.notThrows(() => a.queue.free());
  // The guest maps the page still: nobody else gets it.
  t.deepEqual(
    net.vifs().map((vif) => vif.state),
    [VIF_GOING],
  );
  net.guest(2);
  t.is(net.addVif(2, { ipv4: "10.0.0.1" }).status, 0);
  t.is(net.vifs().length, 2);
  a.guest.die();
  net.host.guests.delete(1);
  net.guest(1);
  t.is(net.addVif(1, { ipv4: "10.0.0.9" }).status, 0);
  t.deepEqual(
    net.vifs().map((vif) => vif.state),
    [VIF_WAITING, VIF_WAITING],
  );
  // Many vifs come and go without anything's running out, under the same few grant references.
  const refs = new Set<number>();
  for (let i = 0; i < 500; i++) {
    const domid = 100 + i;
    net.guest(domid);
    const entry = net.addVif(domid);
    refs.add(entry.grant);
    const guest = new Frontend(net, domid);
    t.is(guest.connectNoxs(entry), 4);
    t.is(net.removeVif(domid), 0);
    guest.guest.die();
    net.host.guests.delete(domid);
  }
  t.is(net.vifs().filter((vif) => vif.state === VIF_GOING).length <= 1, true);
  t.true(refs.size <= 2, `${refs.size} references`);
  t.is(net.host.mappingCount(), 0);
  t.is(net.host.ports.ports.size, 2);
});

test("a control page that a guest maps is nobody else's, however often the domain is restarted", async (t) => {
  const net = await netWithBridge();
  const pageOf = (front: Frontend): number => front.control.byteOffset;
  const a = join(net, 1);
  const page = pageOf(a);
  await net.restart();
  // Taken from it without its being asked.
  t.is(net.removeVif(1), 0);
  t.deepEqual(
    net.vifs().map((vif) => vif.state),
    [VIF_GOING],
  );
  await net.restart();
  const b = join(net, 2);
  t.not(pageOf(b), page);
  a.control.setUint32(NoxsVifCtrlPage.mac, 0xffffffff, true);
  t.not(b.control.getUint32(NoxsVifCtrlPage.mac, true), 0xffffffff);
  // It may be had again when the guest is gone.
  a.guest.die();
  net.host.guests.delete(1);
  t.is(pageOf(join(net, 3)), page);
});

test("a frontend whose rings, ports or features make no sense is not connected, and can try again", async (t) => {
  const net = await netWithBridge();
  net.guest(1);
  const a = new Frontend(net, 1);
  a.attach(net.addVif(1));
  const attempt = (change: () => void): [number, number] => {
    a.setState(XenbusStateClosed);
    a.setState(XenbusStateInitialising);
    a.writeRings();
    change();
    return [a.setState(XenbusStateConnected), net.vif(1).failure];
  };
  const set = (field: number, value: number) => (): void => a.control.setUint32(field, value, true);
  const field = NoxsVifCtrlPage;
  t.deepEqual(attempt(set(field.tx_ring_ref, 5)), [XenbusStateClosing, VIF_FAIL_MAP]);
  t.deepEqual(attempt(set(field.rx_ring_ref, 0xffffffff)), [XenbusStateClosing, VIF_FAIL_MAP]);
  t.deepEqual(attempt(set(field.rx_ring_ref, a.queue.txRef)), [XenbusStateClosing, VIF_FAIL_MAP]);
  t.deepEqual(attempt(set(field.event_channel_tx, 4000)), [XenbusStateClosing, VIF_FAIL_PORT]);
  t.deepEqual(attempt(set(field.request_rx_copy, 0)), [XenbusStateClosing, VIF_FAIL_CONFIG]);
  for (const queues of [0, 2, 0xffffffff]) {
    t.deepEqual(attempt(set(field.multi_queue_num_queues, queues)), [XenbusStateClosing, VIF_FAIL_CONFIG]);
  }
  t.is(net.vif(1).state, VIF_FAILED);
  t.is(net.host.mappingCount(), 0);
  t.deepEqual(attempt(set(field.multi_queue_num_queues, 1)), [XenbusStateConnected, VIF_FAIL_CONFIG]);
  t.is(net.vif(1).state, VIF_CONNECTED);
});

test("whatever a frontend writes into its control page, the others go on", async (t) => {
  const net = await netWithBridge();
  net.guest(1);
  const a = join(net, 2);
  const b = join(net, 3);
  const hostile = new Frontend(net, 1);
  hostile.attach(net.addVif(1));
  let seed = 0;
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          at: fc.nat({ max: NoxsVifCtrlPage.SIZE / 4 - 1 }),
          value: fc.oneof(fc.nat({ max: 12 }), fc.integer({ min: 0, max: 0xffffffff })),
          rings: fc.boolean(),
          state: fc.oneof(fc.nat({ max: 8 }), fc.constant(XenbusStateConnected)),
        }),
        { minLength: 1, maxLength: 12 },
      ),
      (writes) => {
        for (const { at, value, rings, state } of writes) {
          if (rings) hostile.writeRings();
          hostile.control.setUint32(at * 4, value, true);
          hostile.setState(state);
          // Nothing that a frontend writes moves the back end out of the states there are.
          const own = hostile.control.getUint32(NoxsCtrlHdr.be_state, true);
          hostile.control.setUint32(NoxsCtrlHdr.be_state, own, true);
        }
        const frame = udpFrame(hostOf(2), hostOf(3), pattern(100, ++seed));
        a.send(frame);
        return b.take()[0]!.data.equals(frame);
      },
    ),
    { numRuns: 200 },
  );
  t.is(net.removeVif(1), 0);
  t.is(net.host.mappingCount(), 4);
});
