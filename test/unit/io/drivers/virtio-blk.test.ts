/** The virtio-blk driver against a model of the disk, with every kind of ring, and against disks that break the rules. */
import test, { type ExecutionContext } from "ava";
import {
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_MQ,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_SIZE_MAX,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
  VirtioBlkConfig,
} from "../../../../abi/io/virtio-blk.ts";
import { BlockClient, DISCARD, FLUSH, FUA, READ, UNMAP, WRITE, ZEROES } from "./block-client.ts";
import { IoMachine } from "./machine.ts";
import { payload } from "./network-client.ts";
import { BLK_FEATURES, blkConfig, type DiskConfig, VirtioBlkModel } from "./virtio-blk-model.ts";
import { RING_KINDS } from "./virtio-model.ts";

const SECOND = 1_000_000_000n;
const EIO = -5;
const EAGAIN = -11;
const EINVAL = -22;
const EROFS = -30;
const EOPNOTSUPP = -95;
const GONE = 1;

interface Bench {
  machine: IoMachine;
  client: BlockClient;
  disk: VirtioBlkModel;
}

async function start(disk = new VirtioBlkModel()): Promise<Bench> {
  const machine = await IoMachine.start([0x20, disk]);
  const client = new BlockClient(machine);
  if (client.device === 0) throw new Error(`the disk was not found; log: ${machine.log.join("; ")}`);
  machine.run();
  return { machine, client, disk };
}

for (const [kind, ring] of Object.entries(RING_KINDS)) {
  const make = (more: object = {}) => new VirtioBlkModel({ features: [...BLK_FEATURES, ...ring], ...more });

  test(`${kind}: what is written is read`, async (t) => {
    const { machine, client, disk } = await start(make());
    for (const sectors of [1, 2, 8, 64, 200]) {
      const data = payload(sectors * 512, sectors);
      t.is(client.perform({ operation: WRITE, sector: sectors * 3, data }).outcome, 0);
      t.deepEqual(disk.data.subarray(sectors * 3 * 512, sectors * 4 * 512), data);
      const read = client.perform({ operation: READ, sector: sectors * 3, sectors });
      t.is(read.outcome, 0);
      t.deepEqual(client.data(read), data);
    }
    // Segments that are sectors, anywhere in their pages.
    const data = payload(20 * 512, 77);
    t.is(client.perform({ operation: WRITE, sector: 9, data, parts: Array(20).fill(512), offset: 1024 }).outcome, 0);
    t.deepEqual(
      client.data(client.perform({ operation: READ, sector: 9, sectors: 20, parts: [4096, 4096, 2048], offset: 0 })),
      data,
    );
    t.deepEqual(machine.violations, []);
  });

  test(`${kind}: as many requests as it takes, answered in another order`, async (t) => {
    const { machine, client, disk } = await start(make({ queueSize: 64 }));
    disk.keep = true;
    const submitted = [];
    for (let i = 0; ; i++) {
      const s = client.submit({ operation: WRITE, sector: i, data: payload(512, i) });
      if (s.status !== 0) {
        t.is(s.status, EAGAIN);
        break;
      }
      submitted.push(s);
    }
    t.true(submitted.length >= 21);
    t.is(client.disk.get("inFlight"), submitted.length);
    machine.run();
    t.is(machine.told.blockReady, 0);
    const order = submitted.map((_, i) => (i * 5) % submitted.length);
    disk.release([...new Set(order), ...submitted.keys()].filter((x, i, all) => all.indexOf(x) === i));
    machine.run();
    t.is(machine.told.blockReady, 1);
    for (const [i, s] of submitted.entries()) {
      t.is(client.outcome(s), 0);
      t.deepEqual(disk.data.subarray(i * 512, i * 512 + 512), payload(512, i));
    }
    t.is(client.disk.get("inFlight"), 0);
    disk.keep = false;
    t.is(client.perform({ operation: READ, sector: 0, sectors: 1 }).outcome, 0);
    t.deepEqual(machine.violations, []);
  });
}

test("what the disk is, is what its configuration says", async (t) => {
  const config = blkConfig({ capacity: 40_007n, blkSize: 4096, physicalExponent: 2, segMax: 254 });
  const { client, machine } = await start(new VirtioBlkModel({ config }));
  t.is(client.disk.get("sectors"), 40_000);
  t.is(client.disk.get("sectorSize"), 4096);
  t.is(client.disk.get("physicalSectorSize"), 16384);
  t.is(client.disk.get("features"), 7);
  t.is(client.disk.get("segmentsMax"), 128);
  t.is(client.disk.get("readOnly"), 0);
  t.is(client.disk.get("depth"), 64, "a quarter of the queue, without indirect descriptors");
  t.is(client.perform({ operation: WRITE, sector: 8, data: payload(4096, 1) }).outcome, 0);
  t.is(client.perform({ operation: WRITE, sector: 1, data: payload(4096, 1) }).outcome, EINVAL);
  t.is(client.perform({ operation: WRITE, sector: 8, data: payload(512, 1) }).outcome, EINVAL);
  t.is(client.perform({ operation: WRITE, sector: 8, data: payload(4096, 1), parts: [2048, 2048] }).outcome, EINVAL);
  t.deepEqual(machine.violations, []);
});

test("flush, and FUA as a write with a flush behind it", async (t) => {
  const { machine, client, disk } = await start();
  t.is(client.perform({ operation: WRITE, sector: 3, data: payload(512, 1) }).outcome, 0);
  t.notDeepEqual(disk.stable.subarray(3 * 512, 4 * 512), payload(512, 1));
  t.is(client.perform({ operation: FLUSH }).outcome, 0);
  t.deepEqual(disk.stable.subarray(3 * 512, 4 * 512), payload(512, 1));
  t.is(client.perform({ operation: WRITE, sector: 5, data: payload(512, 2), flags: FUA }).outcome, 0);
  t.deepEqual(disk.stable.subarray(5 * 512, 6 * 512), payload(512, 2));
  t.deepEqual(disk.requests.slice(-2), [
    [VIRTIO_BLK_T_OUT, 5n],
    [VIRTIO_BLK_T_FLUSH, 0n],
  ]);
  // With the queue full, the flush still has room; a failed write has none.
  disk.keep = true;
  const all = [];
  for (let i = 0; ; i++) {
    const s = client.submit({ operation: WRITE, sector: i, data: payload(512, i), flags: FUA });
    if (s.status !== 0) break;
    all.push(s);
  }
  disk.bad.add(7);
  disk.release();
  machine.run();
  t.is(client.outcome(all[0]!), null, "its flush is not answered yet");
  t.is(client.outcome(all[7]!), EIO);
  t.is(disk.kept.length, all.length - 1);
  disk.release();
  machine.run();
  for (const [i, s] of all.entries()) t.is(client.outcome(s), i === 7 ? EIO : 0);
  t.deepEqual(machine.violations, []);
});

test("a disk without a cache has nothing to flush", async (t) => {
  const features = BLK_FEATURES.filter((feature) => feature !== VIRTIO_BLK_F_FLUSH);
  const { machine, client, disk } = await start(new VirtioBlkModel({ features }));
  t.is(client.disk.get("features") & 4, 0);
  t.is(client.perform({ operation: WRITE, sector: 3, data: payload(512, 1), flags: FUA }).outcome, 0);
  const flush = client.submit({ operation: FLUSH });
  t.is(client.outcome(flush), null, "not from within the call");
  machine.run();
  t.is(client.outcome(flush), 0);
  t.deepEqual(disk.requests, [[VIRTIO_BLK_T_OUT, 3n]]);
  t.is(client.disk.get("inFlight"), 0);
  t.deepEqual(machine.violations, []);
});

test("discard and zeroes", async (t) => {
  const { machine, client, disk } = await start();
  disk.data.fill(1);
  t.is(client.perform({ operation: DISCARD, sector: 4, sectors: 4 }).outcome, 0);
  t.deepEqual(disk.data.subarray(4 * 512, 8 * 512), Buffer.alloc(2048, 0xdd));
  t.is(client.perform({ operation: ZEROES, sector: 8, sectors: 2, flags: FUA | UNMAP }).outcome, 0);
  t.deepEqual(disk.data.subarray(8 * 512, 10 * 512), Buffer.alloc(1024));
  t.deepEqual(disk.requests.map(([type]) => type).slice(-2), [VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_T_FLUSH]);
  t.is(client.perform({ operation: DISCARD, sector: 0, sectors: 1025 }).outcome, EINVAL);
  t.is(client.perform({ operation: ZEROES, sector: 0, sectors: 1025 }).outcome, EINVAL);
  t.is(client.perform({ operation: DISCARD, sector: 2047, sectors: 2 }).outcome, EINVAL);
  t.deepEqual(machine.violations, []);
  for (const config of [
    { discardMax: 0, zeroesMax: 0 },
    { discardSegments: 0, zeroesSegments: 0 },
  ] as DiskConfig[]) {
    const none = await start(new VirtioBlkModel({ config: blkConfig(config) }));
    t.is(none.client.perform({ operation: DISCARD, sector: 0, sectors: 1 }).outcome, EOPNOTSUPP);
    t.is(none.client.perform({ operation: ZEROES, sector: 0, sectors: 1 }).outcome, EOPNOTSUPP);
  }
});

test("requests that are none for this disk are refused", async (t) => {
  const { machine, client, disk } = await start();
  const data = payload(512, 1);
  const refused: [number, Parameters<BlockClient["submit"]>[0]][] = [
    [EINVAL, { operation: WRITE, sector: 2048, data }],
    [EINVAL, { operation: WRITE, sector: 2047, data: payload(1024, 1) }],
    [EINVAL, { operation: WRITE, sector: 0xffff_ffff_ffff_ffffn, data }],
    [EINVAL, { operation: READ, sector: 0xffff_ffff_ffff_fffen, sectors: 3 }],
    [EINVAL, { operation: READ, sector: 0, sectors: 0 }],
    [EINVAL, { operation: WRITE, data, sectors: 2 }],
    [EINVAL, { operation: WRITE, data, parts: [256, 256] }],
    [EINVAL, { operation: WRITE, data, parts: [512, 0] }],
    [EINVAL, { operation: WRITE, data: payload(129 * 512, 1), parts: Array(129).fill(512) }],
    [EINVAL, { operation: WRITE, data: payload(69_632, 1), parts: [69_632] }],
    [EINVAL, { operation: WRITE, data, offset: 2 }],
    [EOPNOTSUPP, { operation: 5, sectors: 1 }],
    [EOPNOTSUPP, { operation: 0xffffffff, sectors: 1 }],
  ];
  for (const [status, options] of refused)
    t.is(
      client.submit(options).status,
      status,
      JSON.stringify(options, (_, v) => `${v}`),
    );
  machine.run();
  t.is(disk.requests.length, 0);
  t.is(machine.told.blockDone.length, 0);
  t.is(client.disk.get("inFlight"), 0);
  const readOnly = await start(new VirtioBlkModel({ features: [...BLK_FEATURES, VIRTIO_BLK_F_RO] }));
  t.is(readOnly.client.submit({ operation: WRITE, data }).status, EROFS);
  t.is(readOnly.client.submit({ operation: DISCARD, sectors: 1 }).status, EROFS);
  t.is(readOnly.client.perform({ operation: READ, sectors: 1 }).outcome, 0);
  t.is(readOnly.client.perform({ operation: FLUSH }).outcome, 0);
});

test("limits of segments", async (t) => {
  const limited = blkConfig({ sizeMax: 6000, segMax: 3 });
  const features = [...BLK_FEATURES, VIRTIO_BLK_F_SIZE_MAX];
  const { client, machine } = await start(new VirtioBlkModel({ features, config: limited }));
  t.is(client.disk.get("segmentBytesMax"), 5632);
  t.is(client.disk.get("segmentsMax"), 3);
  t.is(client.disk.get("sectorsMax"), 33);
  t.is(client.perform({ operation: WRITE, data: payload(8192, 1), parts: [8192] }).outcome, EINVAL);
  t.is(client.perform({ operation: WRITE, data: payload(4 * 512, 1), parts: [512, 512, 512, 512] }).outcome, EINVAL);
  t.is(client.perform({ operation: WRITE, data: payload(12288, 1) }).outcome, 0);
  t.deepEqual(machine.violations, []);
  // A disk that does not say takes one; a small queue takes what fits.
  const one = BLK_FEATURES.filter((feature) => feature !== VIRTIO_BLK_F_SEG_MAX);
  t.is((await start(new VirtioBlkModel({ features: one }))).client.disk.get("segmentsMax"), 1);
  t.is((await start(new VirtioBlkModel({ queueSize: 4 }))).client.disk.get("segmentsMax"), 2);
  const tiny = await start(new VirtioBlkModel({ queueSize: 4, features: [...BLK_FEATURES, 28] }));
  t.is(tiny.client.disk.get("segmentsMax"), 2, "a chain is never longer than the queue");
});

test("several queues", async (t) => {
  const features = [...BLK_FEATURES, VIRTIO_BLK_F_MQ];
  const { machine, client, disk } = await start(
    new VirtioBlkModel({ features, queues: 6, config: blkConfig({ queues: 6 }) }),
  );
  disk.keep = true;
  for (let i = 0; i < 8; i++) client.submit({ operation: WRITE, sector: i, data: payload(512, i) });
  t.deepEqual(disk.kept.map(({ queue }) => queue).sort(), [0, 0, 1, 1, 2, 2, 3, 3]);
  disk.release();
  machine.run();
  t.is(machine.told.blockDone.length, 8);
  t.deepEqual(machine.violations, []);
  // More queues than there are is not believed.
  for (const queues of [0, 7, 65535]) {
    const one = await start(new VirtioBlkModel({ features, queues: 6, config: blkConfig({ queues }) }));
    t.is(one.client.perform({ operation: READ, sectors: 1 }).outcome, 0);
  }
});

for (const [what, gives] of Object.entries({
  MSI: { msix: false, msi: true, gsi: true },
  "the pin": { msix: false, msi: false, gsi: true },
  polling: { msix: false, msi: false, gsi: false },
})) {
  test(`without MSI-X: ${what}`, async (t) => {
    const disk = new VirtioBlkModel();
    const machine = await IoMachine.start([0x20, disk]);
    Object.assign(machine.gives, gives);
    if (what === "MSI") disk.msi();
    const client = new BlockClient(machine);
    for (let i = 0; i < 10; i++) {
      const s = client.submit({ operation: WRITE, sector: i, data: payload(512, i) });
      machine.pass(5_000_000n);
      t.is(client.outcome(s), 0);
    }
    disk.changeConfig((view) => view.setBigUint64(VirtioBlkConfig.capacity, 1024n, true));
    machine.pass(2n * SECOND);
    t.is(client.disk.get("sectors"), 1024);
    t.deepEqual(machine.violations, []);
  });
}

test("its size changes", async (t) => {
  const { machine, client, disk } = await start();
  disk.changeConfig((view) => view.setBigUint64(VirtioBlkConfig.capacity, 1024n, true));
  machine.run();
  t.is(client.disk.get("sectors"), 1024);
  t.is(machine.told.blockChanged, 1);
  t.is(client.submit({ operation: READ, sector: 1024, sectors: 1 }).status, EINVAL);
  // To what it cannot be: it is reset, and as that does not help given up.
  disk.changeConfig((view) => view.setBigUint64(VirtioBlkConfig.capacity, 1n << 60n, true));
  machine.run();
  t.is(client.disk.get("state"), GONE);
});

test("sectors that cannot be read or written", async (t) => {
  const { machine, client, disk } = await start();
  disk.bad.add(10);
  t.is(client.perform({ operation: READ, sector: 8, sectors: 4 }).outcome, EIO);
  t.is(client.perform({ operation: WRITE, sector: 10, data: payload(512, 1) }).outcome, EIO);
  t.is(client.perform({ operation: READ, sector: 11, sectors: 4 }).outcome, 0);
  disk.statusAlways = 2;
  t.is(client.perform({ operation: READ, sector: 11, sectors: 4 }).outcome, EOPNOTSUPP);
  for (const status of [3, 0x80, 0xff]) {
    disk.statusAlways = status;
    t.is(client.perform({ operation: READ, sector: 11, sectors: 4 }).outcome, EIO, `status ${status}`);
  }
  disk.statusNone = true;
  t.is(client.perform({ operation: WRITE, sector: 11, data: payload(512, 1) }).outcome, EIO, "no status written");
  t.is(client.disk.get("errors"), 7);
  t.is(client.disk.get("resets"), 0);
  t.deepEqual(machine.violations, []);
});

// --- Disks that break the rules ----------------------------------------------------------------------------------------------

async function recovers(t: ExecutionContext, ring: number[], wrong: (bench: Bench) => void): Promise<void> {
  const bench = await start(new VirtioBlkModel({ features: [...BLK_FEATURES, ...ring] }));
  const { machine, client, disk } = bench;
  disk.keep = true;
  const submitted = [1, 2, 3].map((i) => client.submit({ operation: WRITE, sector: i, data: payload(512, i) }));
  const resets = disk.resets;
  wrong(bench);
  machine.run();
  t.is(disk.resets, resets + 1, machine.log.join("; "));
  t.deepEqual(
    submitted.map((s) => client.outcome(s)),
    [EIO, EIO, EIO],
  );
  t.is(client.disk.get("inFlight"), 0);
  t.is(client.disk.get("resets"), 1);
  t.is(machine.told.blockChanged, 1);
  disk.keep = false;
  t.is(client.perform({ operation: WRITE, sector: 9, data: payload(512, 9) }).outcome, 0);
  t.deepEqual(disk.data.subarray(9 * 512, 10 * 512), payload(512, 9));
  t.deepEqual(machine.violations, []);
}

for (const kind of ["split, indirect, event index", "packed", "packed, indirect, event index"]) {
  const ring = RING_KINDS[kind]!;
  test(`${kind}: a used id that was not given`, async (t) => {
    await recovers(t, ring, ({ disk }) => {
      disk.ring(0).lie(200, 1);
      disk.interrupt(1);
    });
  });
  test(`${kind}: the same request answered twice`, async (t) => {
    const bench = await start(new VirtioBlkModel({ features: [...BLK_FEATURES, ...ring] }));
    const { machine, client, disk } = bench;
    disk.keep = true;
    const submitted = [1, 2].map((i) => client.submit({ operation: WRITE, sector: i, data: payload(512, i) }));
    const { chain } = disk.kept[0]!;
    disk.memory.write(chain.writable, Uint8Array.of(0));
    disk.ring(0).push(chain, 1);
    disk.ring(0).push(chain, 1);
    disk.interrupt(1);
    machine.run();
    t.deepEqual(
      submitted.map((s) => client.outcome(s)),
      [0, EIO],
    );
    t.is(client.disk.get("resets"), 1);
  });
  test(`${kind}: more bytes than there is room for`, async (t) => {
    await recovers(t, ring, ({ disk }) => {
      disk.ring(0).push(disk.kept[0]!.chain, 2);
      disk.interrupt(1);
    });
  });
  test(`${kind}: it wants a reset`, async (t) => {
    await recovers(t, ring, ({ disk }) => disk.needReset());
  });
  test(`${kind}: a request that is never answered`, async (t) => {
    await recovers(t, ring, ({ machine }) => machine.pass(31n * SECOND));
  });
}

test("a request that is answered late is not taken for one that never is", async (t) => {
  const { machine, client, disk } = await start();
  disk.keep = true;
  const s = client.submit({ operation: WRITE, sector: 1, data: payload(512, 1) });
  machine.pass(28n * SECOND);
  t.is(client.outcome(s), null);
  disk.release();
  machine.run();
  t.is(client.outcome(s), 0);
  t.is(client.disk.get("resets"), 0);
});

test("an interrupt that is lost costs a second, not the request", async (t) => {
  const { machine, client, disk } = await start();
  disk.interrupt = () => undefined;
  const s = client.submit({ operation: WRITE, sector: 1, data: payload(512, 1) });
  machine.pass(2n * SECOND);
  t.is(client.outcome(s), 0);
});

test("a disk that does not reset is kept from memory and given up", async (t) => {
  const { machine, client, disk } = await start();
  disk.keep = true;
  const s = client.submit({ operation: READ, sector: 1, sectors: 1 });
  disk.resetWorks = false;
  disk.needReset();
  machine.run();
  t.is(client.outcome(s), EIO);
  t.is(client.disk.get("state"), GONE);
  t.false(disk.masters);
  t.is(client.submit({ operation: READ, sector: 1, sectors: 1 }).status, EIO);
  t.is(client.submit({ operation: FLUSH }).status, EIO);
  machine.pass(60n * SECOND);
  t.deepEqual(machine.violations, []);
});

test("a refused request is called back even if the disk is given up meanwhile", async (t) => {
  const { machine, client, disk } = await start(new VirtioBlkModel({ queueSize: 4 }));
  disk.keep = true;
  t.is(client.submit({ operation: READ, sector: 1, sectors: 1 }).status, 0);
  t.is(client.submit({ operation: READ, sector: 1, sectors: 1 }).status, EAGAIN);
  disk.resetWorks = false;
  disk.needReset();
  machine.run();
  t.is(machine.told.blockReady, 1);
});

test("done may submit the next request", async (t) => {
  const { machine, client, disk } = await start(new VirtioBlkModel({ queueSize: 4 }));
  let left = 200;
  const statuses: number[] = [];
  machine.onBlockDone = (_request, status) => {
    statuses.push(status);
    if (left-- > 0)
      statuses.push(client.submit({ operation: WRITE, sector: left, data: payload(512, left), kick: false }).status);
  };
  client.submit({ operation: WRITE, sector: 0, data: payload(512, 0) });
  for (let i = 0; i < 250; i++) machine.run();
  t.deepEqual([...new Set(statuses)], [0]);
  t.is(disk.requests.length, 201);
});

// --- Disks that cannot be used -----------------------------------------------------------------------------------------------

const size = (blkSize: number) => () => new VirtioBlkModel({ config: blkConfig({ blkSize }) });
const UNUSABLE: Record<string, () => VirtioBlkModel> = {
  "sectors of 0 bytes": size(0),
  "sectors of 256 bytes": size(256),
  "sectors of 768 bytes": size(768),
  "sectors of 8192 bytes": size(8192),
  "sectors of 2^31 bytes": size(2 ** 31),
  "a capacity beyond all bounds": () => new VirtioBlkModel({ config: blkConfig({ capacity: (1n << 54n) + 1n }) }),
  "segments smaller than a page": () =>
    new VirtioBlkModel({ features: [...BLK_FEATURES, VIRTIO_BLK_F_SIZE_MAX], config: blkConfig({ sizeMax: 4095 }) }),
  "a queue that takes no data": () => new VirtioBlkModel({ queueSize: 2 }),
  "no queue": () => new VirtioBlkModel({ queues: 0 }),
  "features refused": () => Object.assign(new VirtioBlkModel(), { refuseFeatures: true }),
  "a configuration that does not hold still": () => Object.assign(new VirtioBlkModel(), { restless: true }),
};

for (const [what, make] of Object.entries(UNUSABLE)) {
  test(`not used: ${what}`, async (t) => {
    const disk = make();
    const machine = await IoMachine.start([0x20, disk]);
    const client = new BlockClient(machine);
    t.is(client.device, 0);
    t.regex(machine.log.join("; "), /virtio-blk 0:4\.0: .*not used/);
    t.false(disk.masters);
    t.deepEqual(machine.violations, []);
  });
}

test("limits that make no sense are done without", async (t) => {
  const config = blkConfig({ segMax: 0, physicalExponent: 255, capacity: 0n });
  const { client } = await start(new VirtioBlkModel({ config }));
  t.is(client.disk.get("segmentsMax"), 1);
  t.is(client.disk.get("physicalSectorSize"), 512);
  t.is(client.submit({ operation: READ, sector: 0, sectors: 1 }).status, EINVAL, "an empty disk");
  const zero = await start(new VirtioBlkModel({ features: [VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_DISCARD] }));
  t.is(zero.client.disk.get("features"), 1);
});
