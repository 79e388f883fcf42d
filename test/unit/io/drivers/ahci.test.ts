/** The AHCI driver against a model of an adapter: requests, failed commands, several disks, and disks that break the rules. */
import test, { type ExecutionContext } from "ava";
import { AHCI_PORT_HBFS, AHCI_PORT_PCS, AHCI_PORT_TFES, AhciPortRegister } from "../../../../abi/io/ahci.ts";
import {
  ATA_DATA_SET_MANAGEMENT,
  ATA_FLUSH_CACHE_EXT,
  ATA_READ_DMA,
  ATA_READ_DMA_EXT,
  AtaIdentify,
} from "../../../../abi/io/ata.ts";
import { AhciModel } from "./ahci-model.ts";
import { AtaDiskModel } from "./ata-model.ts";
import { BlockClient, DISCARD, FLUSH, FUA, READ, WRITE, ZEROES } from "./block-client.ts";
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
  ahci: AhciModel;
  disk: AtaDiskModel;
}

async function start(
  disks: (AtaDiskModel | null)[] = [new AtaDiskModel()],
  { change, size }: { change?: (machine: IoMachine, ahci: AhciModel) => void; size?: number } = {},
): Promise<Bench> {
  const ahci = new AhciModel(disks, size);
  const machine = await IoMachine.start([0xf8, ahci]);
  change?.(machine, ahci);
  const client = new BlockClient(machine);
  return { machine, client, ahci, disk: disks[0]! };
}

for (const [what, gives] of Object.entries({
  MSI: { msix: false, msi: true, gsi: true },
  "the pin": { msix: false, msi: false, gsi: true },
  polling: { msix: false, msi: false, gsi: false },
})) {
  for (const wide of [true, false]) {
    test(`${what}, ${wide ? 48 : 28} bits: what is written is read`, async (t) => {
      const { machine, client, ahci, disk } = await start([new AtaDiskModel({ wide })], {
        change: (m, a) => {
          Object.assign(m.gives, gives);
          if (what === "MSI") a.msi();
        },
      });
      for (const sectors of [1, 8, 64, 256]) {
        const data = payload(sectors * 512, sectors);
        const write = client.submit({ operation: WRITE, sector: sectors * 3, data });
        machine.pass(10_000_000n);
        t.is(client.outcome(write), 0);
        t.deepEqual(disk.data.subarray(sectors * 3 * 512, sectors * 4 * 512), data);
        const read = client.submit({ operation: READ, sector: sectors * 3, sectors });
        machine.pass(10_000_000n);
        t.is(client.outcome(read), 0);
        t.deepEqual(client.data(read), data);
      }
      t.is(ahci.commands.at(-1), wide ? ATA_READ_DMA_EXT : ATA_READ_DMA);
      t.is(machine.eois > 0, what === "the pin");
      t.deepEqual(machine.violations, []);
    });
  }
}

test("segments of any kind, and limits", async (t) => {
  const { machine, client, disk } = await start();
  const data = payload(60 * 512, 77);
  t.is(client.perform({ operation: WRITE, sector: 9, data, parts: Array(60).fill(512), offset: 1024 }).outcome, 0);
  t.deepEqual(disk.data.subarray(9 * 512, 69 * 512), data);
  t.is(client.perform({ operation: WRITE, sector: 8, data: payload(128 * 512, 5), parts: [65536] }).outcome, 0);
  t.deepEqual(disk.data.subarray(8 * 512, 136 * 512), payload(128 * 512, 5));
  t.is(client.perform({ operation: READ, sector: 2047, sectors: 2 }).outcome, EINVAL);
  t.is(client.perform({ operation: ZEROES, sector: 0, sectors: 1 }).outcome, EOPNOTSUPP);
  t.is(client.disk.get("depth"), 32);
  t.deepEqual(machine.violations, []);
});

test("sectors of 4096 bytes", async (t) => {
  const words = { [AtaIdentify.sectorSize]: 0x5000, [AtaIdentify.logicalSize]: 2048, [AtaIdentify.sectors48]: 256 };
  const { machine, client, disk } = await start([new AtaDiskModel({ words })], { size: 4096 });
  t.is(client.disk.get("sectorSize"), 4096);
  t.is(client.disk.get("sectors"), 2048);
  t.is(client.perform({ operation: WRITE, sector: 16, data: payload(8192, 1) }).outcome, 0);
  t.deepEqual(disk.data.subarray(8192, 16384), payload(8192, 1));
  t.is(client.perform({ operation: WRITE, sector: 17, data: payload(4096, 1) }).outcome, EINVAL);
  t.deepEqual(machine.violations, []);
});

test("flush, FUA and TRIM", async (t) => {
  const { machine, client, ahci, disk } = await start([new AtaDiskModel({ words: { [AtaIdentify.dataSet]: 1 } })]);
  t.is(client.disk.get("features"), 5);
  t.is(client.perform({ operation: WRITE, sector: 3, data: payload(512, 1), flags: FUA }).outcome, 0);
  t.deepEqual(disk.stable.subarray(3 * 512, 4 * 512), payload(512, 1));
  t.is(ahci.commands.at(-1), ATA_FLUSH_CACHE_EXT);
  t.is(client.perform({ operation: FLUSH }).outcome, 0);
  t.is(disk.flushes, 2);
  t.is(client.perform({ operation: DISCARD, sector: 100, sectors: 1000 }).outcome, 0);
  t.is(ahci.commands.at(-1), ATA_DATA_SET_MANAGEMENT);
  t.deepEqual(disk.data.subarray(100 * 512, 1100 * 512), Buffer.alloc(1000 * 512, 0xdd));
  t.is(disk.data[100 * 512 - 1], 0);
  t.is(disk.data[1100 * 512], 0);
  t.deepEqual(machine.violations, []);
  const plain = await start([new AtaDiskModel({ cache: false })]);
  t.is(plain.client.disk.get("features"), 0);
  const flush = plain.client.submit({ operation: FLUSH });
  t.is(plain.client.outcome(flush), null, "not from within the call");
  plain.machine.run();
  t.is(plain.client.outcome(flush), 0);
  t.is(plain.disk.flushes, 0);
  t.deepEqual(plain.machine.violations, []);
});

test("all slots, several disks", async (t) => {
  const disks = [new AtaDiskModel(), null, new AtaDiskModel({ sectors: 512 })];
  const { machine, client, ahci } = await start(disks);
  const second = client.disk.get("next");
  t.deepEqual([client.disk.get("unit"), machine.record("BlockDevice", second).get("unit")], [0, 2]);
  ahci.hold = true;
  const submitted = Array.from({ length: 32 }, (_, i) =>
    client.submit({ operation: WRITE, sector: i, data: payload(512, i) }),
  );
  t.true(submitted.every(({ status }) => status === 0));
  t.is(client.submit({ operation: READ, sectors: 1 }).status, EAGAIN);
  machine.run();
  t.is(machine.told.blockDone.length, 0);
  ahci.go();
  machine.run();
  t.is(machine.told.blockReady, 1);
  for (const [i, s] of submitted.entries()) {
    t.is(client.outcome(s), 0);
    t.deepEqual(disks[0]!.data.subarray(i * 512, i * 512 + 512), payload(512, i));
  }
  t.true(disks[2]!.data.every((byte) => byte === 0));
  t.deepEqual(machine.violations, []);
});

test("a command that fails is failed alone", async (t) => {
  const { machine, client, ahci, disk } = await start();
  ahci.hold = true;
  const submitted = Array.from({ length: 8 }, (_, i) =>
    client.submit({ operation: WRITE, sector: i * 2, data: payload(512, i), flags: i === 1 ? FUA : 0 }),
  );
  disk.bad.add(6);
  disk.bad.add(10);
  ahci.hold = false;
  ahci.go();
  machine.run();
  t.deepEqual(
    submitted.map((s) => client.outcome(s)),
    [0, 0, 0, EIO, 0, EIO, 0, 0],
  );
  t.deepEqual(disk.data.subarray(14 * 512, 15 * 512), payload(512, 7));
  t.deepEqual(disk.stable.subarray(2 * 512, 3 * 512), payload(512, 1));
  t.is(ahci.resets, 0);
  t.is(client.disk.get("resets"), 0);
  t.deepEqual(machine.violations, []);
});

// --- Disks that break the rules ----------------------------------------------------------------------------------------------

async function recovers(t: ExecutionContext, wrong: (bench: Bench) => void): Promise<void> {
  const bench = await start();
  const { machine, client, ahci, disk } = bench;
  ahci.hold = true;
  const submitted = [1, 2, 3].map((i) => client.submit({ operation: WRITE, sector: i, data: payload(512, i) }));
  wrong(bench);
  machine.run();
  t.deepEqual(
    submitted.map((s) => client.outcome(s)),
    [EIO, EIO, EIO],
  );
  t.is(ahci.resets, 1, machine.log.join("; "));
  t.is(client.disk.get("inFlight"), 0);
  t.is(client.submit({ operation: READ, sectors: 1 }).status, EAGAIN, "until it is back");
  ahci.hold = false;
  ahci.stuck = false;
  machine.pass(2n * SECOND);
  t.true(machine.told.blockReady >= 1);
  t.is(client.perform({ operation: WRITE, sector: 9, data: payload(512, 9) }).outcome, 0);
  t.deepEqual(disk.data.subarray(9 * 512, 10 * 512), payload(512, 9));
  t.is(client.disk.get("resets"), 1);
  t.deepEqual(machine.violations, []);
}

test("a command that is never answered", async (t) => {
  await recovers(t, ({ machine }) => machine.pass(30n * SECOND + SECOND / 2n));
});

test("an error of the bus", async (t) => {
  await recovers(t, ({ ahci }) => ahci.cause(ahci.ports[0]!, 0, AHCI_PORT_HBFS));
});

test("an error of a command that was not given", async (t) => {
  await recovers(t, ({ ahci }) => {
    const { registers } = ahci.ports[0]!;
    registers.set(AhciPortRegister.CMD, ((registers.get(AhciPortRegister.CMD)! & ~0x1f00) | (20 << 8)) >>> 0);
    ahci.cause(ahci.ports[0]!, 0, AHCI_PORT_TFES);
  });
});

test("a port that does not stop after an error", async (t) => {
  await recovers(t, ({ ahci, disk }) => {
    disk.bad.add(1);
    ahci.stuck = true;
    ahci.go();
  });
});

test("a disk that is unplugged, and comes back or not", async (t) => {
  for (const back of [true, false]) {
    const { machine, client, ahci } = await start();
    ahci.hold = true;
    const s = client.submit({ operation: READ, sector: 1, sectors: 1 });
    ahci.ports[0]!.present = false;
    ahci.cause(ahci.ports[0]!, 0, AHCI_PORT_PCS);
    machine.run();
    t.is(client.outcome(s), EIO);
    machine.pass(5n * SECOND);
    ahci.hold = false;
    ahci.ports[0]!.present = back;
    machine.pass(40n * SECOND);
    t.is(client.disk.get("state"), back ? 0 : GONE);
    t.is(client.submit({ operation: READ, sector: 1, sectors: 1 }).status, back ? 0 : EIO);
    t.deepEqual(machine.violations, []);
  }
});

test("an adapter that is removed", async (t) => {
  const { machine, client, ahci } = await start();
  ahci.hold = true;
  const s = client.submit({ operation: READ, sector: 1, sectors: 1 });
  ahci.barRead = () => 0xffffffff;
  ahci.barWrite = () => undefined;
  machine.pass(3n * SECOND);
  t.is(client.outcome(s), EIO);
  machine.pass(40n * SECOND);
  t.is(client.disk.get("state"), GONE);
});

test("an interrupt that is lost costs a second, not the request", async (t) => {
  const { machine, client, ahci } = await start();
  ahci.interrupt = () => undefined;
  const s = client.submit({ operation: READ, sector: 1, sectors: 1 });
  machine.pass(2n * SECOND);
  t.is(client.outcome(s), 0);
});

test("registers beyond the BAR are not looked at", async (t) => {
  for (const [bar, disks] of [
    [0x2000, 1],
    [0x200, 1],
    [0x100, 0],
    [0x80, 0],
  ] as const) {
    // All ports are said to be there.
    const ahci = new AhciModel([new AtaDiskModel(), ...Array<null>(31).fill(null)], 512, bar);
    const machine = await IoMachine.start([0xf8, ahci]);
    t.is(new BlockClient(machine).device === 0 ? 0 : 1, disks, `a BAR of ${bar} bytes`);
    t.deepEqual(machine.violations, []);
  }
});

test("what is not a disk, or cannot be used", async (t) => {
  const none: [AtaDiskModel | null, (ahci: AhciModel) => void][] = [
    [null, () => undefined],
    [new AtaDiskModel(), (a) => void (a.signature = 0xeb140101)],
    [new AtaDiskModel(), (a) => void (a.capabilities &= 0x7fffffff)],
    [new AtaDiskModel(), (a) => void (a.capabilities = 0xffffffff)],
    [new AtaDiskModel(), (a) => void (a.hold = true)],
    [new AtaDiskModel(), (a) => a.ports[0]!.registers.set(AhciPortRegister.TFD, 0x80)],
    [new AtaDiskModel({ words: { [AtaIdentify.capabilities]: 0x100 } }), () => undefined],
    [new AtaDiskModel({ words: { [AtaIdentify.sectors48 + 3]: 1 } }), () => undefined],
    [
      new AtaDiskModel({ words: { [AtaIdentify.sectorSize]: 0x5000, [AtaIdentify.logicalSize]: 300 } }),
      () => undefined,
    ],
  ];
  for (const [i, [disk, change]] of none.entries()) {
    const { client, machine } = await start([disk], { change: (_machine, ahci) => change(ahci) });
    t.is(client.device, 0, `case ${i}`);
    t.deepEqual(machine.violations, []);
  }
});
