/** The NVMe driver against a model of a controller: requests as commands, queues that wrap, and controllers that break the rules. */
import test, { type ExecutionContext } from "ava";
import {
  NVME_DATASET_MANAGEMENT,
  NVME_FLUSH,
  NVME_READ,
  NVME_WRITE,
  NVME_WRITE_ZEROES,
} from "../../../../abi/io/nvme.ts";
import { BlockClient, DISCARD, FLUSH, FUA, READ, UNMAP, WRITE, ZEROES } from "./block-client.ts";
import { IoMachine } from "./machine.ts";
import { payload } from "./network-client.ts";
import { NvmeModel, type NvmeOptions } from "./nvme-model.ts";

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
  nvme: NvmeModel;
}

async function start(
  options: NvmeOptions = {},
  change?: (nvme: NvmeModel, machine: IoMachine) => void,
): Promise<Bench> {
  const nvme = new NvmeModel(options);
  const machine = await IoMachine.start([0x28, nvme]);
  change?.(nvme, machine);
  return { machine, client: new BlockClient(machine), nvme };
}

for (const [what, gives] of Object.entries({
  "MSI-X": { msix: true, msi: true, gsi: true },
  MSI: { msix: false, msi: true, gsi: true },
  "the pin": { msix: false, msi: false, gsi: true },
  polling: { msix: false, msi: false, gsi: false },
})) {
  test(`${what}: what is written is read`, async (t) => {
    const { machine, client, nvme } = await start({}, (n, m) => {
      Object.assign(m.gives, gives);
      if (what === "MSI") n.msi();
    });
    for (let i = 0; i < 150; i++) {
      const sectors = 1 + ((i * 7) % 64);
      const data = payload(sectors * 512, i);
      const write = client.submit({ operation: WRITE, sector: i * 20, data });
      machine.pass(3_000_000n);
      t.is(client.outcome(write), 0);
      t.deepEqual(nvme.data.subarray(i * 20 * 512, (i * 20 + sectors) * 512), data);
      const read = client.submit({ operation: READ, sector: i * 20, sectors });
      machine.pass(3_000_000n);
      t.is(client.outcome(read), 0);
      t.deepEqual(client.data(read), data);
    }
    t.is(machine.eois > 0, what === "the pin");
    t.is(client.disk.get("resets"), 0);
    t.deepEqual(machine.violations, []);
  });
}

test("segments as commands: whole pages in one, others in several", async (t) => {
  const { machine, client, nvme } = await start();
  const cases: [number[], number, number[]][] = [
    // segments, offset in their pages, pages of each command
    [[4096, 4096, 4096], 0, [3]],
    [[2048, 4096, 4096], 2048, [1, 2, 2]],
    [[2048], 2048, [1]],
    [[512, 512, 512], 0, [1, 1, 1]],
    [[65536], 0, [16]],
    [[61440], 2048, [16]],
    [[4096, 2048], 0, [2]],
    [[2048, 4096], 0, [1, 1]],
    [[65536, 65536, 65536], 0, [48]],
  ];
  for (const [parts, offset, pages] of cases) {
    nvme.pages.length = 0;
    const bytes = parts.reduce((a, b) => a + b, 0);
    const data = payload(bytes, parts.length);
    t.is(client.perform({ operation: WRITE, sector: 8, data, parts, offset }).outcome, 0);
    t.deepEqual(nvme.pages, pages, `${parts} at ${offset}`);
    const read = client.perform({ operation: READ, sector: 8, sectors: bytes / 512, parts, offset });
    t.is(read.outcome, 0);
    t.deepEqual(client.data(read), data);
  }
  t.deepEqual(machine.violations, []);
});

test("a limited command, blocks of 4096 bytes, doorbells far apart, a small queue", async (t) => {
  const options = { mdts: 2, blockShift: 12, blocks: 512, stride: 3, entries: 16 };
  const { machine, client, nvme } = await start(options);
  t.is(client.disk.get("sectorSize"), 4096);
  t.is(client.disk.get("sectors"), 4096);
  t.is(client.disk.get("segmentsMax"), 15);
  const data = payload(40_960, 1);
  t.is(client.perform({ operation: WRITE, sector: 16, data }).outcome, 0);
  t.deepEqual(nvme.data.subarray(8192, 8192 + 40_960), data);
  t.deepEqual(nvme.pages, [4, 4, 2]);
  // A block that is in two halves of pages.
  nvme.pages.length = 0;
  t.is(
    client.perform({ operation: WRITE, sector: 16, data: payload(32_768, 2), parts: [32_768], offset: 2048 }).outcome,
    0,
  );
  t.deepEqual(nvme.data.subarray(8192, 8192 + 32_768), payload(32_768, 2));
  t.is(client.perform({ operation: WRITE, sector: 17, data: payload(4096, 1) }).outcome, EINVAL);
  for (let i = 0; i < 60; i++) t.is(client.perform({ operation: READ, sector: 0, sectors: 8 }).outcome, 0);
  t.deepEqual(machine.violations, []);
});

test("flush, FUA, deallocation, zeroes", async (t) => {
  const { machine, client, nvme } = await start();
  t.is(client.disk.get("features"), 7);
  nvme.data.fill(1);
  t.is(client.perform({ operation: WRITE, sector: 3, data: payload(512, 1), flags: FUA }).outcome, 0);
  t.deepEqual(nvme.stable.subarray(3 * 512, 4 * 512), payload(512, 1));
  t.is(client.perform({ operation: DISCARD, sector: 100, sectors: 1000 }).outcome, 0);
  t.deepEqual(nvme.data.subarray(100 * 512, 1100 * 512), Buffer.alloc(1000 * 512, 0xdd));
  t.is(client.perform({ operation: ZEROES, sector: 104, sectors: 8, flags: FUA | UNMAP }).outcome, 0);
  t.deepEqual(nvme.data.subarray(104 * 512, 112 * 512), Buffer.alloc(4096));
  t.is(client.perform({ operation: FLUSH }).outcome, 0);
  t.deepEqual(nvme.stable, nvme.data);
  t.deepEqual(nvme.commands, [NVME_WRITE, NVME_DATASET_MANAGEMENT, NVME_WRITE_ZEROES, NVME_FLUSH]);
  t.deepEqual(machine.violations, []);
  const plain = await start({ oncs: 0, vwc: 0, nsattr: 1 });
  t.is(plain.client.disk.get("features"), 0);
  t.is(plain.client.perform({ operation: DISCARD, sectors: 1 }).outcome, EROFS);
  t.is(plain.client.perform({ operation: FLUSH }).outcome, 0);
  const writable = await start({ oncs: 0 });
  t.is(writable.client.perform({ operation: DISCARD, sectors: 1 }).outcome, EOPNOTSUPP);
});

test("a full queue refuses, answers come in any order, errors are their own", async (t) => {
  const { machine, client, nvme } = await start();
  nvme.keep = true;
  const submitted = [];
  for (let i = 0; ; i++) {
    const s = client.submit({ operation: WRITE, sector: i, data: payload(512, i) });
    if (s.status !== 0) {
      t.is(s.status, EAGAIN);
      break;
    }
    submitted.push(s);
  }
  t.is(submitted.length, 127);
  nvme.bad.add(5);
  nvme.release(submitted.map((_, i) => (i * 50) % 127));
  machine.run();
  t.is(machine.told.blockReady, 1);
  for (const [i, s] of submitted.entries()) t.is(client.outcome(s), i === 5 ? EIO : 0);
  // A request of several commands, of which one fails.
  const several = client.submit({ operation: READ, sector: 2, sectors: 6, parts: Array(6).fill(512) });
  t.is(nvme.kept.length, 6);
  nvme.release([5, 4, 3, 2]);
  machine.run();
  t.is(client.outcome(several), null);
  t.is(client.disk.get("inFlight"), 1);
});

test("a request of several commands is done with the last one", async (t) => {
  const { machine, client, nvme } = await start();
  nvme.bad.add(5);
  const s = client.perform({ operation: READ, sector: 2, sectors: 6, parts: Array(6).fill(512) });
  t.is(s.outcome, EIO);
  t.is(nvme.commands.filter((opcode) => opcode === NVME_READ).length, 6);
  t.is(client.perform({ operation: READ, sector: 6, sectors: 6 }).outcome, 0);
  t.is(client.perform({ operation: READ, sector: 4095, sectors: 2 }).outcome, EINVAL);
  t.is(client.disk.get("inFlight"), 0);
  t.deepEqual(machine.violations, []);
});

// --- Controllers that break the rules ----------------------------------------------------------------------------------------

async function recovers(t: ExecutionContext, wrong: (bench: Bench) => void): Promise<void> {
  const bench = await start();
  const { machine, client, nvme } = bench;
  nvme.keep = true;
  const submitted = [1, 2, 3].map((i) => client.submit({ operation: WRITE, sector: i, data: payload(512, i) }));
  const starts = nvme.starts;
  wrong(bench);
  machine.run();
  t.is(nvme.starts, starts + 1, machine.log.join("; "));
  t.deepEqual(
    submitted.map((s) => client.outcome(s)),
    [EIO, EIO, EIO],
  );
  t.is(client.disk.get("inFlight"), 0);
  t.is(client.disk.get("resets"), 1);
  nvme.keep = false;
  t.is(client.perform({ operation: WRITE, sector: 9, data: payload(512, 9) }).outcome, 0);
  t.deepEqual(nvme.data.subarray(9 * 512, 10 * 512), payload(512, 9));
  t.deepEqual(machine.violations, []);
}

for (const id of [100, 127, 128, 65535]) {
  test(`an answer to command ${id}, which was not given`, async (t) => {
    await recovers(t, ({ nvme }) => nvme.answer(1, id, 0));
  });
}

test("commands that are never answered", async (t) => {
  await recovers(t, ({ machine }) => machine.pass(31n * SECOND));
});

test("the same command answered twice", async (t) => {
  const { machine, client, nvme } = await start();
  nvme.keep = true;
  const submitted = [1, 2].map((i) => client.submit({ operation: WRITE, sector: i, data: payload(512, i) }));
  const id = nvme.kept[0]!.view.getUint16(2, true);
  nvme.answer(1, id, 0);
  nvme.answer(1, id, 0);
  machine.run();
  t.deepEqual(
    submitted.map((s) => client.outcome(s)),
    [0, EIO],
  );
  t.is(client.disk.get("resets"), 1);
});

test("a fatal error, from which it recovers or not", async (t) => {
  for (const recovering of [true, false]) {
    const { machine, client, nvme } = await start();
    nvme.keep = true;
    const s = client.submit({ operation: READ, sector: 1, sectors: 1 });
    nvme.fatal = true;
    const write = nvme.barWrite.bind(nvme);
    nvme.barWrite = (bar, offset, size, value) => {
      write(bar, offset, size, value);
      if (recovering && offset === 0x14) nvme.fatal = false;
    };
    machine.pass(40n * SECOND);
    t.is(client.outcome(s), EIO);
    t.is(client.disk.get("state"), recovering ? 0 : GONE);
  }
});

test("a controller that does not stop, or does not start again, is given up", async (t) => {
  for (const field of ["stopping", "starting", "adminSilent"] as const) {
    const { machine, client, nvme } = await start();
    nvme.keep = true;
    const s = client.submit({ operation: READ, sector: 1, sectors: 1 });
    nvme[field] = field === "adminSilent";
    nvme.answer(1, 99, 0);
    machine.pass(40n * SECOND);
    t.is(client.outcome(s), EIO);
    t.is(client.disk.get("state"), GONE, field);
    t.false(nvme.masters);
    t.is(client.submit({ operation: READ, sector: 1, sectors: 1 }).status, EIO);
    t.deepEqual(machine.violations, []);
  }
});

test("a slow reset: requests are refused meanwhile, and called back", async (t) => {
  const { machine, client, nvme } = await start();
  nvme.starting = false;
  nvme.answer(1, 99, 0);
  machine.run();
  t.is(client.submit({ operation: READ, sector: 1, sectors: 1 }).status, EAGAIN);
  nvme.starting = true;
  machine.pass(2n * SECOND);
  t.is(machine.told.blockReady, 1);
  t.is(client.perform({ operation: READ, sector: 1, sectors: 1 }).outcome, 0);
  t.is(client.disk.get("state"), 0);
});

test("an interrupt that is lost costs a second, not the request", async (t) => {
  const { machine, client, nvme } = await start();
  nvme.interrupt = () => undefined;
  const s = client.submit({ operation: READ, sector: 1, sectors: 1 });
  machine.pass(2n * SECOND);
  t.is(client.outcome(s), 0);
});

test("controllers that cannot be used", async (t) => {
  const unusable: [NvmeOptions, ((nvme: NvmeModel) => void)?][] = [
    [{ capabilities: 0n }],
    [{ capabilities: (1n << 64n) - 1n }],
    [{ entries: 1 }],
    [{ stride: 15 }],
    [{ namespaces: 0 }],
    [{ metadata: 8 }],
    [{ blockShift: 8 }],
    [{ blockShift: 13 }],
    [{ blocks: 0 }],
    [{ blocks: 2 ** 53 * 4 }],
    [{ sqes: 0x55 }],
    [{ sqes: 0x77 }],
    [{}, (nvme) => void (nvme.starting = false)],
    [{}, (nvme) => void (nvme.adminSilent = true)],
    [{}, (nvme) => void (nvme.fatal = true)],
    [{}, (nvme) => void (nvme.bars[0]!.size = 0x1000)],
  ];
  for (const [i, [options, change]] of unusable.entries()) {
    const { client, machine, nvme } = await start(options, change);
    t.is(client.device, 0, `case ${i}`);
    t.false(nvme.masters, `case ${i}`);
    t.deepEqual(machine.violations, []);
  }
});
