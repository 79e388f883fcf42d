/** The backend's half of the xenbus protocol, and what frontends write: a frontend's life, and frontends that misbehave. */
import test from "ava";
import fc from "fast-check";
import { LocalStore } from "../../../../toolstack/control/store/local.ts";
import { Store } from "../../../../toolstack/control/store/store.ts";
import { FrontendError, XenbusBackend, XenbusState, type Nodes } from "../../../../toolstack/control/noxs/xenbus.ts";
import { readVbdFrontend, vbdProperties } from "../../../../toolstack/control/noxs/xenbus-vbd.ts";
import { readVifFrontend } from "../../../../toolstack/control/noxs/xenbus-vif.ts";

const FRONT = "/local/domain/5/device/vif/0";
const BACK = "/local/domain/9/backend/vif/5/0";

/** A device that notes what is asked of it. */
class FakeDevice {
  calls: string[] = [];
  connected = false;
  refuse: Error | null = null;
  /** Resolves what `connect` waits for. */
  proceed: (() => void) | null = null;
  slow = false;

  features(): Nodes {
    return [["feature-x", "1"]];
  }

  async connect(): Promise<Nodes> {
    this.calls.push("connect");
    if (this.slow) await new Promise<void>((resolve) => (this.proceed = resolve));
    if (this.refuse !== null) throw this.refuse;
    this.connected = true;
    return [["sectors", "8"]];
  }

  disconnect(): Promise<void> {
    if (this.connected) this.calls.push("disconnect");
    this.connected = false;
    return Promise.resolve();
  }
}

function setUp() {
  const store = new Store();
  const local = new LocalStore(store);
  const device = new FakeDevice();
  const notices: string[] = [];
  local.write(`${FRONT}/state`, "1");
  local.write(`${BACK}/state`, "1");
  const backend = new XenbusBackend(local, FRONT, BACK, device, (text) => notices.push(text));
  const settle = async () => {
    for (let i = 0; i < 20; i++) await Promise.resolve();
  };
  const front = async (state: number | null) => {
    if (state === null) local.remove(FRONT);
    else local.write(`${FRONT}/state`, String(state));
    backend.changed();
    await settle();
  };
  const state = () => Number(local.read(`${BACK}/state`));
  return { local, device, backend, notices, front, state, settle };
}

test("a frontend's life: offered, connected, closed, and once more", async (t) => {
  const { local, device, front, state } = setUp();
  for (let round = 0; round < 2; round++) {
    device.calls = [];
    await front(XenbusState.Initialising);
    t.is(state(), XenbusState.InitWait);
    t.is(local.read(`${BACK}/feature-x`), "1");
    await front(XenbusState.Connected);
    t.is(state(), XenbusState.Connected);
    t.is(local.read(`${BACK}/sectors`), "8");
    await front(XenbusState.Closing);
    t.is(state(), XenbusState.Closing);
    await front(XenbusState.Closed);
    t.is(state(), XenbusState.Closed);
    t.deepEqual(device.calls, ["connect", "disconnect"]);
  }
});

test("another kernel begins again while the backend is connected", async (t) => {
  const { device, front, state } = setUp();
  await front(XenbusState.Initialising);
  await front(XenbusState.Initialised);
  t.is(state(), XenbusState.Connected);
  await front(XenbusState.Initialising);
  t.is(state(), XenbusState.InitWait);
  t.deepEqual(device.calls, ["connect", "disconnect"]);
});

test("a frontend that is removed is disconnected", async (t) => {
  const { device, front, state } = setUp();
  await front(XenbusState.Initialising);
  await front(XenbusState.Connected);
  await front(null);
  t.is(state(), XenbusState.Closed);
  t.false(device.connected);
});

test("a frontend whose nodes are wrong is told by the backend's state, and the reason is printed", async (t) => {
  const { device, front, state, notices } = setUp();
  device.refuse = new FrontendError("it has written no ring-ref");
  await front(XenbusState.Initialising);
  await front(XenbusState.Initialised);
  t.is(state(), XenbusState.Closing);
  t.deepEqual(notices, [`${FRONT}: not connected: it has written no ring-ref`]);
  await front(XenbusState.Closed);
  device.refuse = null;
  await front(XenbusState.Initialising);
  await front(XenbusState.Initialised);
  t.is(state(), XenbusState.Connected);
});

test("a frontend that goes while it is being connected is disconnected afterwards", async (t) => {
  const { device, front, state, settle, backend } = setUp();
  device.slow = true;
  await front(XenbusState.Initialising);
  await front(XenbusState.Connected);
  await front(XenbusState.Closing);
  t.deepEqual(device.calls, ["connect"]);
  device.proceed!();
  await settle();
  t.deepEqual(device.calls, ["connect", "disconnect"]);
  t.is(state(), XenbusState.Closing);
  await backend.close();
  await front(XenbusState.Initialising);
  t.is(state(), XenbusState.Closing, "nothing more after the end");
});

test("whatever a frontend does, the data path is connected only while the backend's state says so", async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 7, 99, null), { maxLength: 20 }), async (states) => {
      const { device, front, state, backend } = setUp();
      for (const next of states) {
        await front(next);
        if (device.connected !== (state() === XenbusState.Connected)) return false;
      }
      await backend.close();
      return !device.connected;
    }),
  );
  t.pass();
});

const reader = (nodes: Record<string, string>) => (name: string) => nodes[name];

test("what netfront writes", (t) => {
  const flat = {
    "tx-ring-ref": "8",
    "rx-ring-ref": "9",
    "event-channel": "10",
    "request-rx-copy": "1",
    "feature-sg": "1",
  };
  t.like(readVifFrontend(reader(flat)), {
    queues: [{ txRef: 8, rxRef: 9, txPort: 10, rxPort: 10 }],
    sg: true,
    gsoTcpv4: false,
    control: null,
  });
  const two = {
    "request-rx-copy": "1",
    "multi-queue-num-queues": "2",
    ...{
      "queue-0/tx-ring-ref": "1",
      "queue-0/rx-ring-ref": "2",
      "queue-0/event-channel-tx": "3",
      "queue-0/event-channel-rx": "4",
    },
    ...{ "queue-1/tx-ring-ref": "5", "queue-1/rx-ring-ref": "6", "queue-1/event-channel": "7" },
    ...{ "ctrl-ring-ref": "11", "event-channel-ctrl": "12" },
  };
  t.like(readVifFrontend(reader(two)), {
    queues: [
      { txRef: 1, rxRef: 2, txPort: 3, rxPort: 4 },
      { txRef: 5, rxRef: 6, txPort: 7, rxPort: 7 },
    ],
    control: { ref: 11, port: 12 },
  });
  for (const [change, says] of [
    [{ "request-rx-copy": "0" }, /page flipping/],
    [{ "tx-ring-ref": "4294967296" }, /its tx-ring-ref is no number of 32 bits/],
    [{ "rx-ring-ref": "-1" }, /its rx-ring-ref is no number/],
    [{ "event-channel": "" }, /its event-channel is no number/],
    [{ "multi-queue-num-queues": "9" }, /wants 9 queues/],
    [{ "multi-queue-num-queues": "0" }, /wants 0 queues/],
    [{ "multi-queue-num-queues": "2" }, /it has written no queue-0\/tx-ring-ref/],
    [{ "ctrl-ring-ref": "1" }, /it has written no event-channel-ctrl/],
  ] as const) {
    t.throws(() => readVifFrontend(reader({ ...flat, ...change })), { instanceOf: FrontendError, message: says });
  }
});

test("what blkfront writes, and what it reads", (t) => {
  t.deepEqual(readVbdFrontend(reader({ "ring-ref": "8", "event-channel": "9", protocol: "x86_64-abi" })), {
    rings: [{ refs: [8], port: 9 }],
    protocol: "x86_64-abi",
    persistent: false,
  });
  const multi = {
    "ring-page-order": "1",
    "ring-ref0": "3",
    "ring-ref1": "4",
    "event-channel": "9",
    "feature-persistent": "1",
  };
  t.deepEqual(readVbdFrontend(reader(multi)).rings, [{ refs: [3, 4], port: 9 }]);
  t.deepEqual(
    readVbdFrontend(reader({ "ring-page-order": "0", "ring-ref": "3", "event-channel": "9" })).rings[0]!.refs,
    [3],
  );
  for (const [change, says] of [
    [{ "ring-page-order": "5" }, /2\^5 pages/],
    [{ "ring-ref1": "x" }, /its ring-ref1 is no number/],
    [{ protocol: "arm-abi" }, /neither/],
    [{ "multi-queue-num-queues": "5" }, /wants 5 rings/],
  ] as const) {
    t.throws(() => readVbdFrontend(reader({ ...multi, ...change })), { instanceOf: FrontendError, message: says });
  }
  const disk = { sectors: 100, sectorSize: 512, physicalSectorSize: 4096, discardGranularity: 4096 };
  t.true(vbdProperties(disk, true).some(([name]) => name === "feature-discard"));
  t.deepEqual(new Map(vbdProperties(disk, false)).get("info"), "4");
  t.false(vbdProperties(disk, false).some(([name]) => name === "feature-discard"));
});
