/** Vifs over xenbus, with a store of its own and an I/O domain that notes what is asked of it. */
import test from "ava";
import { EADDRINUSE, EEXIST, ENOENT } from "../../../../abi/errno.ts";
import {
  IO_BRIDGE_CREATE,
  IO_BRIDGE_LIST,
  IO_VIF_ADD,
  IO_VIF_CONNECT,
  IO_VIF_DISCONNECT,
  IO_VIF_LIST,
  IO_VIF_REMOVE,
} from "../../../../abi/io/control.ts";
import {
  BridgeEntry,
  Counters,
  VifAdd,
  VifConnect,
  VifConnectQueue,
  VifEntry,
} from "../../../../abi/io/control-net.ts";
import { IO_DOMAIN } from "../../../../abi/io/layout.ts";
import { BuildError } from "../../../../toolstack/control/builder/build-error.ts";
import { formatMac, parseMac } from "../../../../toolstack/api/devices/addresses.ts";
import { Fields, IoError, Payload } from "../../../../toolstack/control/noxs/io-requests.ts";
import { createBridge, listBridges } from "../../../../toolstack/control/noxs/net-requests.ts";
import { completeVif, parseVif } from "../../../../toolstack/control/noxs/vif-config.ts";
import { Vifs } from "../../../../toolstack/control/noxs/vifs.ts";
import { StoreService } from "../../../../toolstack/control/store/service.ts";
import { FakeIo } from "./fake-io.ts";

const GUEST = 5;
const FRONT = `/local/domain/${GUEST}/device/vif/0`;
const BACK = `/local/domain/${IO_DOMAIN}/backend/vif/${GUEST}/0`;

function setUp() {
  const io = new FakeIo();
  const notices: string[] = [];
  const store = new StoreService((text) => notices.push(text));
  store.store.addDomain(GUEST);
  store.local.write(`/local/domain/${GUEST}/device`, "");
  const vifs = new Vifs(io, store, (text) => notices.push(text));
  const settle = async () => {
    for (let i = 0; i < 50; i++) await Promise.resolve();
  };
  const front = async (nodes: Record<string, string>) => {
    for (const [name, value] of Object.entries(nodes)) store.local.write(`${FRONT}/${name}`, value);
    await settle();
  };
  return { io, store, vifs, notices, settle, front };
}

const CONNECTED = {
  "request-rx-copy": "1",
  "feature-sg": "1",
  "tx-ring-ref": "8",
  "rx-ring-ref": "9",
  "event-channel-tx": "10",
  "event-channel-rx": "11",
  state: "4",
};

test("a xenbus vif: its nodes, its frontend's connection, and its end", async (t) => {
  const { io, store, vifs, front, settle } = setUp();
  const config = completeVif(parseVif("--vif", "ip=10.0.2.15,rate=8Mb/s"), "xenbus", 0x1234);
  await vifs.attach(GUEST, 0, config);
  t.deepEqual([...config.mac], [0x00, 0x16, 0x3e, 0, 0x12, 0x34]);
  await settle();
  const { local } = store;
  t.is(local.read(`${FRONT}/backend`), BACK);
  t.is(local.read(`${FRONT}/backend-id`), String(IO_DOMAIN));
  t.is(local.read(`${FRONT}/mac`), "00:16:3e:00:12:34");
  t.deepEqual(local.permissions(FRONT), [`n${GUEST}`, "r0"]);
  t.deepEqual(local.permissions(`${FRONT}/state`), [`n${GUEST}`, "r0"]);
  t.deepEqual(local.permissions(`${BACK}/state`), ["n0", `r${GUEST}`]);
  t.is(local.read(`${BACK}/ip`), "10.0.2.15");
  t.is(local.read(`${BACK}/feature-rx-copy`), "1");
  t.is(local.read(`${BACK}/state`), "2");
  io.operations();

  await front(CONNECTED);
  t.is(local.read(`${BACK}/state`), "4");
  const connect = io.asked.find(({ operation }) => operation === IO_VIF_CONNECT)!;
  t.is(connect.fields.u32(VifConnect.domid), GUEST);
  t.is(connect.fields.u32(VifConnect.queues), 1);
  const queue = new Fields(connect.bytes.slice(VifConnect.SIZE));
  t.deepEqual(
    [VifConnectQueue.tx_ref, VifConnectQueue.rx_ref, VifConnectQueue.tx_port, VifConnectQueue.rx_port].map((at) =>
      queue.u32(at),
    ),
    [8, 9, 10, 11],
  );
  io.operations();

  await front({ state: "5" });
  t.is(local.read(`${BACK}/state`), "5");
  t.deepEqual(io.operations(), [IO_VIF_DISCONNECT]);

  await vifs.forget(GUEST, [0]);
  t.deepEqual(io.operations(), [IO_VIF_DISCONNECT, IO_VIF_REMOVE]);
  await front({ state: "1" });
  t.deepEqual(io.operations(), [], "nobody listens any more");
});

test("an I/O domain that refuses to connect is told of by the backend's state", async (t) => {
  const { io, store, vifs, front, notices } = setUp();
  await vifs.attach(GUEST, 0, completeVif(parseVif("--vif", ""), "xenbus", 1));
  io.answers.set(IO_VIF_CONNECT, ENOENT);
  await front(CONNECTED);
  t.is(store.local.read(`${BACK}/state`), "5");
  t.regex(notices.join("\n"), /device\/vif\/0: not connected: IoError: operation 34: ENOENT/);
});

test("refusals say what to do, and leave nothing", async (t) => {
  const { io, store, vifs } = setUp();
  for (const [code, says] of [
    [ENOENT, /there is no bridge "inner"; `bridge list` shows them, `bridge create inner` makes it$/],
    [EADDRINUSE, /on bridge inner another vif has 00:16:3e:00:00:01 or 10\.0\.2\.9/],
    [EEXIST, /the domain has a vif of that number/],
  ] as const) {
    io.answers.set(IO_VIF_ADD, code);
    const config = completeVif(parseVif("--vif", "bridge=inner,ip=10.0.2.9"), "xenbus", 1);
    await t.throwsAsync(vifs.attach(GUEST, 0, config), { instanceOf: BuildError, message: says });
  }
  t.is(store.local.read(`${FRONT}/state`), undefined);
});

test("an address that is made and taken is made anew; one that was asked for is not", async (t) => {
  const { io, vifs } = setUp();
  const macs: string[] = [];
  const refuse = (refusals: number) => {
    macs.length = 0;
    io.answers.set(IO_VIF_ADD, (payload) => {
      macs.push(formatMac(payload.slice(VifAdd.mac, 6)));
      if (macs.length <= refusals) throw new IoError("VIF_ADD", EADDRINUSE);
      return { payload: new Uint8Array(8), bulk: new Uint8Array(0) };
    });
  };
  refuse(2);
  const made = completeVif(parseVif("--vif", ""), "xenbus", 0x7ffff0);
  const { mac } = await vifs.attach(GUEST, 0, made, 0x7ffff0);
  t.deepEqual(macs, ["00:16:3e:7f:ff:f0", "00:16:3e:00:ff:f1", "00:16:3e:01:ff:f2"]);
  t.is(formatMac(mac), macs[2]);
  refuse(1);
  const asked = completeVif(parseVif("--vif", "mac=00:16:3e:00:00:05"), "xenbus", 1);
  await t.throwsAsync(vifs.attach(GUEST, 1, asked), { message: /another vif has 00:16:3e:00:00:05$/ });
  // When it is the IPv4 address that is taken, none helps.
  refuse(1000);
  await t.throwsAsync(vifs.attach(GUEST, 1, completeVif(parseVif("--vif", "ip=10.0.2.9"), "xenbus", 1), 1), {
    message: /another vif has 00:16:3e:00:00:01 or 10\.0\.2\.9/,
  });
  t.is(macs.length, 8);
});

test("detach asks the I/O domain what is there, and removes the nodes", async (t) => {
  const { io, store, vifs } = setUp();
  await vifs.attach(GUEST, 0, completeVif(parseVif("--vif", ""), "xenbus", 1));
  const entry = new Payload(VifEntry.SIZE)
    .u32(VifEntry.domid, GUEST)
    .u32(VifEntry.model, 2)
    .put(VifEntry.mac, parseMac("00:16:3e:00:00:01") as Uint8Array)
    .name(VifEntry.bridge, "xenbr0")
    .u64(VifEntry.counters + Counters.tx_bytes, 2 ** 40 + 5);
  io.answers.set(IO_VIF_LIST, { payload: new Payload(8).u32(4, 1).bytes, bulk: entry.bytes });
  t.like((await vifs.list())[0]!, { domain: GUEST, bridge: "xenbr0", ip: null, counters: { txBytes: 2 ** 40 + 5 } });
  await t.throwsAsync(vifs.detach(GUEST, 1), { message: /domain 5 has no vif 1/ });
  await vifs.detach(GUEST, 0);
  t.is(store.local.read(`${FRONT}/state`), undefined);
  t.is(store.local.read(`${BACK}/state`), undefined);
});

test("bridges, and a listing in two parts", async (t) => {
  const { io } = setUp();
  const gateway = Uint8Array.of(10, 0, 0, 1);
  const dhcp = { prefix: 24, gateway, dns: gateway, leaseSeconds: 3600 };
  await createBridge(io, { name: "inner", dhcp });
  t.is(io.asked[0]!.operation, IO_BRIDGE_CREATE);
  const entry = (name: string) =>
    new Payload(BridgeEntry.SIZE).name(BridgeEntry.name, name).u32(BridgeEntry.nic, 0xffffffff);
  io.answers.set(IO_BRIDGE_LIST, (payload) =>
    payload.u32(0) === 0
      ? { payload: new Payload(8).u32(0, 77).u32(4, 1).bytes, bulk: entry("a").bytes }
      : { payload: new Payload(8).u32(0, 0).u32(4, 1).bytes, bulk: entry("b").bytes },
  );
  t.deepEqual(
    (await listBridges(io)).map(({ name, uplink, dhcp: none }) => [name, uplink, none]),
    [
      ["a", null, null],
      ["b", null, null],
    ],
  );
});
