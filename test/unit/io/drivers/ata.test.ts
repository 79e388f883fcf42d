/** The ATA driver against a model of a PCI IDE controller: DMA, PIO, two disks, and disks that fail or break the rules. */
import test, { type ExecutionContext } from "ava";
import {
  ATA_READ_DMA,
  ATA_READ_DMA_EXT,
  ATA_READ_SECTORS,
  ATA_READ_SECTORS_EXT,
  ATA_WRITE_DMA,
  AtaIdentify,
} from "../../../../abi/io/ata.ts";
import { AtaDiskModel, IdeModel } from "./ata-model.ts";
import { BlockClient, FLUSH, FUA, READ, WRITE } from "./block-client.ts";
import { IoMachine } from "./machine.ts";
import { payload } from "./network-client.ts";

const SECOND = 1_000_000_000n;
const EIO = -5;
const EAGAIN = -11;
const EINVAL = -22;
const EOPNOTSUPP = -95;
const GONE = 1;

interface Bench {
  machine: IoMachine;
  client: BlockClient;
  ide: IdeModel;
  disk: AtaDiskModel;
}

async function start(
  disks: (AtaDiskModel | null)[] = [new AtaDiskModel()],
  change?: (machine: IoMachine, ide: IdeModel) => void,
): Promise<Bench> {
  const ide = new IdeModel(disks);
  const machine = await IoMachine.start([0x08, ide]);
  ide.wire(machine);
  machine.nextFrame = 0x23450;
  change?.(machine, ide);
  const client = new BlockClient(machine);
  return { machine, client, ide, disk: disks[0]! };
}

const KINDS: Record<
  string,
  { disk: () => AtaDiskModel; command: number; change?: (machine: IoMachine, ide: IdeModel) => void }
> = {
  "DMA, 48 bits": { disk: () => new AtaDiskModel(), command: ATA_READ_DMA_EXT },
  "DMA, 28 bits": { disk: () => new AtaDiskModel({ wide: false }), command: ATA_READ_DMA },
  "PIO, 48 bits": {
    disk: () => new AtaDiskModel({ words: { [AtaIdentify.capabilities]: 0x200 } }),
    command: ATA_READ_SECTORS_EXT,
  },
  "PIO, 28 bits": {
    disk: () => new AtaDiskModel({ wide: false, words: { [AtaIdentify.capabilities]: 0x200 } }),
    command: ATA_READ_SECTORS,
  },
  "DMA, polled": {
    disk: () => new AtaDiskModel(),
    command: ATA_READ_DMA_EXT,
    change: (machine) => void (machine.gives.gsi = false),
  },
  "memory beyond 4 GiB": {
    disk: () => new AtaDiskModel(),
    command: ATA_READ_SECTORS_EXT,
    change: (machine) => void (machine.nextFrame = 0x123450),
  },
  "no bus master": {
    disk: () => new AtaDiskModel(),
    command: ATA_READ_SECTORS_EXT,
    change: (_machine, ide) => {
      ide.bars[4] = null;
      ide.view.setUint32(0x20, 0, true);
    },
  },
};

for (const [kind, { disk: make, command, change }] of Object.entries(KINDS)) {
  test(`${kind}: what is written is read`, async (t) => {
    const { machine, client, ide, disk } = await start([make()], change);
    const perform = (options: Parameters<BlockClient["submit"]>[0]) => {
      const s = client.submit(options);
      if (s.status !== 0) return { s, outcome: s.status };
      machine.pass(SECOND / 2n);
      return { s, outcome: client.outcome(s) };
    };
    for (const sectors of [1, 2, 8, 64, 256]) {
      const data = payload(sectors * 512, sectors);
      t.is(perform({ operation: WRITE, sector: sectors * 3, data }).outcome, 0);
      t.deepEqual(disk.data.subarray(sectors * 3 * 512, sectors * 4 * 512), data);
      const read = perform({ operation: READ, sector: sectors * 3, sectors });
      t.is(read.outcome, 0);
      t.deepEqual(client.data(read.s), data);
    }
    t.is(ide.commands.at(-1), command);
    const data = payload(20 * 512, 77);
    t.is(perform({ operation: WRITE, sector: 2028, data, parts: Array(20).fill(512), offset: 1024 }).outcome, 0);
    t.deepEqual(disk.data.subarray(-20 * 512), data);
    t.is(perform({ operation: READ, sector: 2028, sectors: 21 }).outcome, EINVAL);
    t.is(perform({ operation: READ, sector: 0, sectors: 257 }).outcome, EINVAL);
    // Errors of the medium.
    disk.bad.add(100);
    t.is(perform({ operation: READ, sector: 96, sectors: 8 }).outcome, EIO);
    t.is(perform({ operation: WRITE, sector: 100, data: payload(512, 1) }).outcome, EIO);
    t.is(perform({ operation: WRITE, sector: 97, data: payload(4096, 1) }).outcome, EIO);
    t.is(perform({ operation: READ, sector: 101, sectors: 8 }).outcome, 0);
    t.is(client.disk.get("resets"), 0);
    t.deepEqual(machine.violations, []);
  });
}

test("segments of 64 KiB, across the boundaries that the bus master cannot cross", async (t) => {
  const { machine, client, disk } = await start();
  const data = payload(128 * 512, 5);
  t.is(client.perform({ operation: WRITE, sector: 8, data, parts: [65536] }).outcome, 0);
  t.deepEqual(disk.data.subarray(8 * 512, 136 * 512), data);
  t.is(
    client.perform({ operation: WRITE, sector: 8, data: payload(120 * 512, 6), parts: [61440], offset: 2048 }).outcome,
    0,
  );
  t.deepEqual(disk.data.subarray(8 * 512, 128 * 512), payload(120 * 512, 6));
  t.deepEqual(machine.violations, []);
});

test("two disks take turns, and requests wait", async (t) => {
  const disks = [new AtaDiskModel(), new AtaDiskModel({ sectors: 512 })];
  const { machine, client } = await start(disks);
  const second = client.disk.get("next");
  t.is(machine.record("BlockDevice", second).get("sectors"), 512);
  t.deepEqual([client.disk.get("unit"), machine.record("BlockDevice", second).get("unit")], [0, 1]);
  const submitted = Array.from({ length: 32 }, (_, i) =>
    client.submit({ operation: WRITE, sector: i, data: payload(512, i), kick: false }),
  );
  t.true(submitted.every(({ status }) => status === 0));
  t.is(client.submit({ operation: WRITE, sector: 0, data: payload(512, 0), kick: false }).status, EAGAIN);
  machine.exports["blockKick"]!(client.device);
  machine.run();
  t.is(machine.told.blockReady, 1);
  for (const [i, s] of submitted.entries()) {
    t.is(client.outcome(s), 0);
    t.deepEqual(disks[0]!.data.subarray(i * 512, i * 512 + 512), payload(512, i));
  }
  t.true(disks[1]!.data.every((byte) => byte === 0));
  t.deepEqual(machine.violations, []);
});

test("flush and FUA, with and without a cache", async (t) => {
  const { machine, client, disk } = await start();
  t.is(client.disk.get("features"), 4);
  t.is(client.perform({ operation: WRITE, sector: 3, data: payload(512, 1) }).outcome, 0);
  t.is(disk.flushes, 0);
  t.is(client.perform({ operation: FLUSH }).outcome, 0);
  t.deepEqual(disk.stable.subarray(3 * 512, 4 * 512), payload(512, 1));
  t.is(client.perform({ operation: WRITE, sector: 4, data: payload(512, 2), flags: FUA }).outcome, 0);
  t.deepEqual(disk.stable.subarray(4 * 512, 5 * 512), payload(512, 2));
  t.is(disk.flushes, 2);
  t.is(client.perform({ operation: 3, sectors: 1 }).outcome, EOPNOTSUPP);
  const plain = await start([new AtaDiskModel({ cache: false })]);
  t.is(plain.client.disk.get("features"), 0);
  t.is(plain.client.perform({ operation: FLUSH }).outcome, 0);
  t.is(plain.client.perform({ operation: WRITE, sector: 4, data: payload(512, 2), flags: FUA }).outcome, 0);
  t.is(plain.disk.flushes, 0);
  t.deepEqual(machine.violations, []);
});

test("DMA that fails: the same again without, and never again with", async (t) => {
  const { machine, client, ide, disk } = await start([new AtaDiskModel({ wide: false })]);
  ide.dmaFails = true;
  t.is(client.perform({ operation: WRITE, sector: 3, data: payload(2048, 1) }).outcome, 0);
  t.deepEqual(disk.data.subarray(3 * 512, 7 * 512), payload(2048, 1));
  t.true(ide.commands.includes(ATA_WRITE_DMA));
  const read = client.perform({ operation: READ, sector: 3, sectors: 4 });
  t.deepEqual(client.data(read), payload(2048, 1));
  t.is(ide.commands.at(-1), ATA_READ_SECTORS);
  t.deepEqual(machine.violations, []);
});

// --- Disks that break the rules ----------------------------------------------------------------------------------------------

async function recovers(t: ExecutionContext, disk: AtaDiskModel, wrong: (bench: Bench) => void): Promise<void> {
  const bench = await start([disk]);
  const { machine, client, ide } = bench;
  wrong(bench);
  const submitted = [1, 2, 3].map((i) => client.submit({ operation: READ, sector: i, sectors: 2 }));
  machine.pass(40n * SECOND);
  t.deepEqual(
    submitted.map((s) => client.outcome(s)),
    [EIO, EIO, EIO],
  );
  t.is(ide.resets, 1, machine.log.join("; "));
  t.is(client.disk.get("resets"), 1);
  t.is(client.disk.get("inFlight"), 0);
  Object.assign(ide, { silent: false, greedy: false });
  t.is(client.perform({ operation: WRITE, sector: 9, data: payload(512, 9) }).outcome, 0);
  t.deepEqual(disk.data.subarray(9 * 512, 10 * 512), payload(512, 9));
  t.deepEqual(machine.violations, []);
}

test("a command that is never answered", async (t) => {
  await recovers(t, new AtaDiskModel(), ({ ide }) => void (ide.silent = true));
});

test("a disk that asks for more data than there is", async (t) => {
  const { machine, client, ide } = await start([new AtaDiskModel({ words: { [AtaIdentify.capabilities]: 0x200 } })]);
  ide.greedy = true;
  const write = client.submit({ operation: WRITE, sector: 1, data: payload(1024, 1) });
  machine.pass(SECOND);
  t.is(client.outcome(write), EIO);
  t.is(ide.resets, 1);
  ide.greedy = false;
  machine.pass(2n * SECOND);
  t.is(client.perform({ operation: WRITE, sector: 9, data: payload(512, 9) }).outcome, 0);
  t.deepEqual(machine.violations, []);
});

test("a disk that stays busy after its reset is given up", async (t) => {
  const { machine, client, ide } = await start();
  ide.silent = true;
  ide.resetWorks = false;
  const s = client.submit({ operation: READ, sector: 1, sectors: 1 });
  machine.pass(32n * SECOND);
  t.is(client.outcome(s), EIO);
  const late = client.submit({ operation: READ, sector: 1, sectors: 1 });
  t.is(late.status, 0, "it waits for the end of the reset");
  machine.pass(40n * SECOND);
  t.is(client.outcome(late), EIO);
  t.is(client.disk.get("state"), GONE);
  t.false(ide.masters);
  t.is(client.submit({ operation: READ, sector: 1, sectors: 1 }).status, EIO);
});

test("an interrupt that is lost costs a second, not the request", async (t) => {
  const { machine, client, ide } = await start();
  ide.interrupt = () => undefined;
  const s = client.submit({ operation: READ, sector: 1, sectors: 1 });
  machine.pass(2n * SECOND);
  t.is(client.outcome(s), 0);
});

test("what is not a disk, or not one that can be used", async (t) => {
  const none: AtaDiskModel[] = [
    new AtaDiskModel({ atapi: true }),
    new AtaDiskModel({ words: { [AtaIdentify.capabilities]: 0x100 } }), // no LBA
    new AtaDiskModel({ words: { [AtaIdentify.sectorSize]: 0x5000 } }), // sectors of another size
    new AtaDiskModel({ wide: false, words: { [AtaIdentify.sectors28]: 0, [AtaIdentify.sectors28 + 1]: 0 } }),
    new AtaDiskModel({ wide: false, words: { [AtaIdentify.sectors28 + 1]: 0xffff } }),
    new AtaDiskModel({ words: { [AtaIdentify.sectors48 + 3]: 1 } }), // more than 48 bits can say
  ];
  for (const disk of none) t.is((await start([disk])).client.device, 0);
  t.is((await start([null, null])).client.device, 0, "no devices");
  const one = await start([null, new AtaDiskModel()]);
  t.is(one.client.disk.get("unit"), 1);
  t.is((await start(undefined, (_machine, ide) => void (ide.config[9] = 0x85))).client.device, 0, "native mode");
});
