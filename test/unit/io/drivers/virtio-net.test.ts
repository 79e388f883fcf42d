/** The virtio-net driver against a model of the card, with every kind of ring, and against cards that break the rules. */
import test from "ava";
import { VIRTIO_NET_F_MQ, VIRTIO_NET_F_MRG_RXBUF, VirtioNetConfig } from "../../../../abi/io/virtio-net.ts";
import { IoMachine } from "./machine.ts";
import { NetworkClient, payload } from "./network-client.ts";
import { RING_KINDS } from "./virtio-model.ts";
import { MAC, NET_FEATURES, netConfig, VirtioNetModel } from "./virtio-net-model.ts";

const SECOND = 1_000_000_000n;
const EIO = -5;
const EAGAIN = -11;
const EINVAL = -22;
const GONE = 2;
const PARTIAL = 1;
const VALID = 2;

async function start(
  card: VirtioNetModel,
): Promise<{ machine: IoMachine; client: NetworkClient; card: VirtioNetModel }> {
  const machine = await IoMachine.start([0x18, card]);
  const client = new NetworkClient(machine);
  if (client.open() !== 0) throw new Error(`the card does not open; log: ${machine.log.join("; ")}`);
  machine.run();
  return { machine, client, card };
}

for (const [kind, ring] of Object.entries(RING_KINDS)) {
  test(`${kind}: frames are sent and received, whole and in order`, async (t) => {
    const { machine, client, card } = await start(new VirtioNetModel({ features: [...NET_FEATURES, ...ring] }));
    const frames = Array.from({ length: 600 }, (_, i) => payload(60 + ((i * 37) % 1400), i));
    for (const [i, frame] of frames.entries()) {
      t.is(client.send(frame, { cookie: i + 1 }), 0);
      if (i % 3 === 0) t.true(card.deliver(frame));
      if (i % 7 === 0) machine.run();
    }
    machine.pass(2n * SECOND);
    t.deepEqual(
      card.sent.map(({ data }) => data),
      frames,
    );
    t.deepEqual(
      machine.told.sent.map(({ cookie, status }) => [cookie, status]),
      frames.map((_, i) => [i + 1, 0]),
    );
    t.deepEqual(
      machine.told.received.map(({ frame }) => frame.data),
      frames.filter((_, i) => i % 3 === 0),
    );
    t.is(client.card.get("resets"), 0);
    t.deepEqual(machine.violations, []);
  });

  test(`${kind}: large frames are sent in segments and received in merged buffers`, async (t) => {
    const { machine, client, card } = await start(new VirtioNetModel({ features: [...NET_FEATURES, ...ring] }));
    const tso = { flags: PARTIAL, checksumStart: 34, checksumOffset: 16, gso: 1, gsoSize: 1448, headerBytes: 66 };
    for (let i = 0; i < 60; i++) {
      const frame = payload(20_000 + i * 700, i);
      t.is(client.send(frame, { ...tso, cookie: i }), 0);
      t.true(
        card.deliver(frame, {
          flags: 1,
          gsoType: 1,
          gsoSize: 1448,
          headerLength: 66,
          checksumStart: 34,
          checksumOffset: 16,
        }),
      );
      machine.run();
      t.deepEqual(card.sent.at(-1)!.data, frame);
      const { frame: got } = machine.told.received.at(-1)!;
      t.deepEqual(got.data, frame);
      t.like(got, tso);
      t.true(got.pieces > 4);
    }
    t.like(card.sent[0], {
      flags: 1,
      gsoType: 1,
      gsoSize: 1448,
      headerLength: 66,
      checksumStart: 34,
      checksumOffset: 16,
    });
    t.deepEqual(machine.violations, []);
  });

  test(`${kind}: a full queue refuses, and says when it has room`, async (t) => {
    const { machine, client, card } = await start(
      new VirtioNetModel({ features: [...NET_FEATURES, ...ring], queueSize: 64 }),
    );
    card.keep = true;
    let taken = 0;
    while (client.send(payload(100, taken), { cookie: taken }) === 0) taken++;
    t.is(taken, 64);
    t.is(client.send(payload(100, 0)), EAGAIN);
    machine.run();
    t.is(machine.told.transmitReady, 0);
    card.release();
    machine.run();
    t.is(machine.told.transmitReady, 1);
    t.is(machine.told.sent.length, 64);
    card.keep = false;
    t.is(client.send(payload(100, 99)), 0);
    t.deepEqual(card.sent.at(-1)!.data, payload(100, 99));
    t.deepEqual(machine.violations, []);
  });
}

test("what the card is, is what its configuration says", async (t) => {
  const { client, card, machine } = await start(new VirtioNetModel({ config: netConfig({ mtu: 9000, status: 0 }) }));
  t.is(
    client.card.get("mac"),
    MAC.reduceRight((mac, byte) => mac * 256 + byte, 0),
  );
  t.is(client.card.get("mtu"), 9000);
  t.is(client.card.get("features"), 63);
  t.is(client.card.get("linkUp"), 0);
  t.is(client.card.get("address"), 0x18);
  t.true(card.promiscuous, "a switch's card receives everything");
  card.changeConfig((view) => view.setUint16(VirtioNetConfig.status, 1, true));
  machine.run();
  t.is(client.card.get("linkUp"), 1);
  t.is(machine.told.networkChanged, 1);
  t.deepEqual(machine.violations, []);
});

test("a card without any feature works", async (t) => {
  const { machine, client, card } = await start(new VirtioNetModel({ features: [], queues: 2 }));
  t.is(client.card.get("features"), 0);
  t.is(client.card.get("mtu"), 1500);
  t.is(client.card.get("linkUp"), 1);
  t.is(client.card.get("mac") % 2, 0);
  t.not(client.card.get("mac"), 0);
  t.is(client.send(payload(1514, 1)), 0);
  t.true(card.deliver(payload(1514, 2)));
  machine.run();
  t.deepEqual(card.sent[0]!.data, payload(1514, 1));
  t.deepEqual(machine.told.received[0]!.frame.data, payload(1514, 2));
  t.is(
    client.send(payload(1514, 1), { flags: PARTIAL, checksumStart: 34, checksumOffset: 16 }),
    EINVAL,
    "no checksum offload",
  );
  t.is(client.send(payload(1600, 1)), EINVAL, "larger than the MTU");
  t.deepEqual(machine.violations, []);
});

test("several queues are used once the card agrees", async (t) => {
  const many = { features: [...NET_FEATURES, VIRTIO_NET_F_MQ], queues: 7, config: netConfig({ pairs: 3 }) };
  const { machine, client, card } = await start(new VirtioNetModel(many));
  t.is(client.card.get("queues"), 3);
  t.is(card.activePairs, 3);
  for (let queue = 0; queue < 3; queue++) {
    t.is(client.send(payload(200, queue), { queue }), 0);
    t.true(card.deliver(payload(300, queue), {}, queue));
  }
  machine.run();
  t.deepEqual(
    card.sent.map(({ queue }) => queue),
    [1, 3, 5],
  );
  t.deepEqual(
    machine.told.received.map(({ queue }) => queue),
    [0, 1, 2],
  );
  t.is(client.send(payload(200, 1), { queue: 3 }), EINVAL);
  t.deepEqual(machine.violations, []);

  const refusing = new VirtioNetModel(many);
  refusing.answer = 1;
  const second = await start(refusing);
  t.is(second.client.card.get("queues"), 1);
  t.is(second.client.send(payload(200, 1)), 0);
  t.is(second.client.send(payload(200, 1), { queue: 1 }), EINVAL);
  t.deepEqual(second.machine.violations, []);
});

for (const [what, gives] of Object.entries({
  MSI: { msix: false, msi: true, gsi: true },
  "the pin": { msix: false, msi: false, gsi: true },
  polling: { msix: false, msi: false, gsi: false },
})) {
  test(`without MSI-X: ${what}`, async (t) => {
    const card = new VirtioNetModel();
    const machine = await IoMachine.start([0x18, card]);
    Object.assign(machine.gives, gives);
    if (what === "MSI") card.msi();
    const client = new NetworkClient(machine);
    t.is(client.open(), 0);
    for (let i = 0; i < 20; i++) {
      t.true(card.deliver(payload(100, i)));
      t.is(client.send(payload(100, i)), 0);
      machine.pass(5_000_000n);
      t.is(machine.told.received.length, i + 1, `frame ${i}`);
    }
    card.changeConfig((view) => view.setUint16(VirtioNetConfig.status, 0, true));
    machine.pass(2n * SECOND);
    t.is(client.card.get("linkUp"), 0);
    t.is(machine.eois > 0, what === "the pin");
    t.deepEqual(machine.violations, []);
  });
}

test("received frames are valid until the end of their batch, and a batch is bounded", async (t) => {
  const { machine, card } = await start(new VirtioNetModel());
  for (let i = 0; i < 256; i++) t.true(card.deliver(payload(1000, i), {}, 0, i === 255));
  const batches: number[] = [];
  const early: boolean[] = [];
  machine.onReceiveEnd = () => {
    batches.push(machine.told.received.length);
    // The first batch's buffers are not the card's again while the client may still look at them.
    if (batches.length === 1) early.push(card.deliver(payload(10, 0)));
  };
  machine.run(50);
  t.deepEqual(batches, [50, 100, 150, 200, 250, 256]);
  t.deepEqual(early, [false]);
  t.true(card.deliver(payload(1000, 1)));
  t.deepEqual(machine.violations, []);
});

// --- What a received frame says of itself --------------------------------------------------------------------------------

test("checksums and offloads of received frames", async (t) => {
  const { machine, client, card } = await start(new VirtioNetModel());
  card.deliver(payload(100, 1), { flags: 2 });
  card.deliver(payload(100, 2), { flags: 1, checksumStart: 34, checksumOffset: 16 });
  machine.run();
  t.is(machine.told.received[0]!.frame.flags, VALID);
  t.like(machine.told.received[1]!.frame, { flags: PARTIAL, checksumStart: 34, checksumOffset: 16, gso: 0 });
  // Each of these is dropped, and the next frame arrives.
  const nonsense = [
    { flags: 1, checksumStart: 90, checksumOffset: 16 },
    { flags: 1, checksumStart: 65535, checksumOffset: 65535 },
    { gsoType: 1, gsoSize: 0, flags: 1, checksumStart: 34, checksumOffset: 16 },
    { gsoType: 1, gsoSize: 1000 },
    { gsoType: 3, gsoSize: 1000, flags: 1, checksumStart: 34, checksumOffset: 16 },
    { gsoType: 0x81, gsoSize: 1000, flags: 1, checksumStart: 34, checksumOffset: 16 },
  ];
  for (const header of nonsense) t.true(card.deliver(payload(100, 3), header));
  t.true(card.deliver(payload(13, 3)));
  t.true(card.deliver(payload(65_554, 3)));
  t.true(card.deliver(payload(100, 4)));
  machine.run();
  t.is(machine.told.received.length, 3);
  t.deepEqual(machine.told.received[2]!.frame.data, payload(100, 4));
  t.is(client.card.get("receiveErrors"), nonsense.length + 2);
  t.is(client.card.get("resets"), 0);
  t.deepEqual(machine.violations, []);
});

test("a frame whose buffers come in two parts is put together", async (t) => {
  const { machine, card } = await start(new VirtioNetModel());
  const ring = card.ring(0);
  const chains = [ring.pop()!, ring.pop()!];
  const head = Buffer.alloc(4096, 1);
  head.fill(0, 0, 12);
  head[10] = 2;
  card.memory.write(chains[0]!.writable, head);
  ring.push(chains[0]!, 4096);
  card.tell(0);
  machine.run();
  t.is(machine.told.received.length, 0);
  card.memory.write(chains[1]!.writable, Buffer.alloc(50, 2));
  ring.push(chains[1]!, 50);
  card.tell(0);
  machine.run();
  t.deepEqual(machine.told.received[0]!.frame.data, Buffer.concat([Buffer.alloc(4084, 1), Buffer.alloc(50, 2)]));
});

// --- Frames that cannot be sent --------------------------------------------------------------------------------------------

test("a frame that is none is refused", async (t) => {
  const { machine, client, card } = await start(new VirtioNetModel());
  t.is(client.send(payload(13, 1)), EINVAL);
  t.is(client.send(payload(100, 1), { parts: [50, 49] }), EINVAL);
  t.is(client.send(payload(100, 1), { parts: [100, 0] }), EINVAL);
  t.is(client.send(payload(100, 1), { flags: PARTIAL, checksumStart: 90, checksumOffset: 16 }), EINVAL);
  t.is(client.send(payload(9000, 1), { gso: 1, gsoSize: 1400, headerBytes: 54 }), EINVAL);
  const tso = { flags: PARTIAL, checksumStart: 34, checksumOffset: 16, gso: 1, gsoSize: 1448, headerBytes: 66 };
  t.is(client.send(payload(9000, 1), { ...tso, gsoSize: 0 }), EINVAL);
  t.is(client.send(payload(9000, 1), { ...tso, gsoSize: 9000 }), EINVAL);
  t.is(client.send(payload(9000, 1), { ...tso, gso: 7 }), EINVAL);
  t.is(client.send(payload(9000, 1), { ...tso, headerBytes: 5000 }), EINVAL);
  t.is(card.sent.length, 0);
  t.is(client.send(payload(9000, 1), tso), 0);
  t.is(machine.told.sent.length, 0);
  t.deepEqual(machine.violations, []);
});

// --- Cards that break the rules ----------------------------------------------------------------------------------------------

/** A card after it did `wrong`: reset, every frame it had failed, at work again. */
async function recovers(
  t: import("ava").ExecutionContext,
  ring: number[],
  wrong: (card: VirtioNetModel, machine: IoMachine) => void,
): Promise<void> {
  const { machine, client, card } = await start(new VirtioNetModel({ features: [...NET_FEATURES, ...ring] }));
  card.keep = true;
  for (let i = 0; i < 5; i++) t.is(client.send(payload(100, i), { cookie: i + 1 }), 0);
  const resets = card.resets;
  wrong(card, machine);
  machine.run();
  t.is(card.resets, resets + 1, machine.log.join("; "));
  t.is(client.card.get("resets"), 1);
  t.deepEqual(
    machine.told.sent.map(({ cookie, status }) => [cookie, status]).sort(),
    [1, 2, 3, 4, 5].map((c) => [c, EIO]),
  );
  t.is(machine.told.networkChanged, 1);
  t.is(machine.told.received.length, 0);
  card.keep = false;
  t.is(client.send(payload(300, 7), { cookie: 9 }), 0);
  t.true(card.deliver(payload(400, 8)));
  machine.pass(2n * SECOND);
  t.deepEqual(card.sent.at(-1)!.data, payload(300, 7));
  t.deepEqual(machine.told.received.at(-1)!.frame.data, payload(400, 8));
  t.deepEqual(machine.violations, []);
}

for (const kind of ["split", "packed, indirect, event index"]) {
  const ring = RING_KINDS[kind]!;

  test(`${kind}: a used id that was not given`, async (t) => {
    await recovers(t, ring, (card) => {
      card.ring(0).lie(256, 100);
      card.interrupt(1);
    });
  });

  test(`${kind}: a used id that is used already`, async (t) => {
    await recovers(t, ring, (card) => {
      const chain = card.ring(0).pop()!;
      card.memory.write(chain.writable, Buffer.alloc(40));
      card.ring(0).push(chain, 5);
      card.tell(0);
    });
  });

  test(`${kind}: more bytes than the buffer has`, async (t) => {
    await recovers(t, ring, (card) => {
      const chain = card.ring(0).pop()!;
      card.ring(0).push(chain, 4097);
      card.tell(0);
    });
  });

  test(`${kind}: bytes written to a frame that is sent`, async (t) => {
    await recovers(t, ring, (card) => {
      const { queue, chain } = card.kept[0]!;
      card.ring(queue).push(chain, 1);
      card.tell(queue);
      card.machine.exports["networkReclaim"]!(card.machine.exports["networkFirst"]!(), 0);
    });
  });

  test(`${kind}: a frame of no buffers, of too many, without a header`, async (t) => {
    for (const buffers of [0, 18, 65535]) {
      await recovers(t, ring, (card) => {
        card.deliver(payload(100, 1), { buffers });
      });
    }
    await recovers(t, ring, (card) => {
      const chain = card.ring(0).pop()!;
      card.ring(0).push(chain, 11);
      card.tell(0);
    });
  });

  test(`${kind}: it wants a reset`, async (t) => {
    await recovers(t, ring, (card) => card.needReset());
  });

  test(`${kind}: it is removed`, async (t) => {
    const { machine, client, card } = await start(new VirtioNetModel({ features: [...NET_FEATURES, ...ring] }));
    card.keep = true;
    t.is(client.send(payload(100, 1), { cookie: 4 }), 0);
    card.barRead = () => 0xffffffff;
    card.barWrite = () => undefined;
    card.configRead = (_offset, size) => (size === 4 ? 0xffffffff : 2 ** (8 * size) - 1);
    machine.pass(3n * SECOND);
    t.is(client.card.get("state"), GONE);
    t.deepEqual(
      machine.told.sent.map(({ cookie, status }) => [cookie, status]),
      [[4, EIO]],
    );
    t.is(client.send(payload(100, 1)), EIO);
    t.is(client.open(), EIO);
  });

  test(`${kind}: frames that are never sent`, async (t) => {
    await recovers(t, ring, (_card, machine) => machine.pass(11n * SECOND));
  });
}

test("split: a used index that is anything", async (t) => {
  await recovers(t, [], (card) => {
    (card.ring(0) as import("./virtio-ring.ts").SplitRing).lieIndex(300);
    card.queues[0]!.vector = 1;
    card.interrupt(1);
  });
});

test("a card that does it again and again is given up", async (t) => {
  const { machine, client, card } = await start(new VirtioNetModel());
  for (let i = 0; i < 5; i++) {
    card.needReset();
    machine.run();
    t.is(client.card.get("state"), 1, `after reset ${i + 1}`);
  }
  card.needReset();
  machine.run();
  t.is(client.card.get("state"), GONE);
  t.is(client.card.get("linkUp"), 0);
  t.false(card.masters, "it may no longer access memory");
  t.is(client.send(payload(100, 1)), EIO);
  machine.pass(5n * SECOND);
  t.deepEqual(machine.violations, []);
});

test("a card that wants a reset now and then goes on", async (t) => {
  const { machine, client, card } = await start(new VirtioNetModel());
  for (let i = 0; i < 20; i++) {
    card.needReset();
    machine.pass(20n * SECOND);
  }
  t.is(client.card.get("state"), 1);
  t.is(client.card.get("resets"), 20);
});

test("a card that does not reset is kept from memory and given up", async (t) => {
  const { machine, client, card } = await start(new VirtioNetModel());
  card.keep = true;
  t.is(client.send(payload(100, 1), { cookie: 1 }), 0);
  card.resetWorks = false;
  card.needReset();
  machine.run();
  t.is(client.card.get("state"), GONE);
  t.false(card.masters);
  t.deepEqual(
    machine.told.sent.map(({ status }) => status),
    [EIO],
  );
});

test("the control queue: refusals and silence are no fault", async (t) => {
  const card = new VirtioNetModel();
  card.controlSilent = true;
  const { machine, client } = await start(card);
  machine.pass(10n * SECOND);
  t.is(client.card.get("state"), 1);
  t.is(client.card.get("resets"), 0);
  t.is(client.send(payload(100, 1)), 0);
  t.true(
    machine.log.some((line) => line.includes("no answer on the control queue")),
    machine.log.join("; "),
  );
  const liar = new VirtioNetModel();
  liar.answerBytes = 2;
  const second = await start(liar);
  t.is(
    second.client.card.get("resets") > 0 || second.client.card.get("state") === GONE,
    true,
    "an answer of two bytes where there is room for one",
  );
});

// --- Cards that cannot be used ---------------------------------------------------------------------------------------------

const UNUSABLE: Record<string, () => VirtioNetModel> = {
  "no version 1": () => {
    const card = new VirtioNetModel();
    card.offered &= ~(1n << 32n);
    return card;
  },
  "features refused": () => Object.assign(new VirtioNetModel(), { refuseFeatures: true }),
  "it does not reset": () => Object.assign(new VirtioNetModel(), { resetWorks: false, status: 7 }),
  "a configuration that does not hold still": () => Object.assign(new VirtioNetModel(), { restless: true }),
  "no modern interface": () => {
    const card = new VirtioNetModel({ transitional: true });
    card.config[0x34] = 0;
    return card;
  },
  "a common structure that is too short": () => new VirtioNetModel({ structures: { common: { length: 55 } } }),
  "a common structure beyond its BAR": () => new VirtioNetModel({ structures: { common: { offset: 0x3ffc } } }),
  "an offset that overflows": () => new VirtioNetModel({ structures: { common: { offset: 0xfffffffc } } }),
  "a structure that is not aligned": () => new VirtioNetModel({ structures: { common: { offset: 2 } } }),
  "a notification structure beyond its BAR": () => new VirtioNetModel({ structures: { notify: { length: 0x2000 } } }),
  "an ISR of no bytes": () => new VirtioNetModel({ structures: { isr: { length: 0 } } }),
  "capabilities that loop": () => {
    const card = new VirtioNetModel();
    const first = card.config[0x34]!;
    card.config[first + 1] = first;
    return card;
  },
};

for (const [what, make] of Object.entries(UNUSABLE)) {
  test(`not used: ${what}`, async (t) => {
    const card = make();
    const machine = await IoMachine.start([0x18, card]);
    machine.exports["driversStart"]!();
    t.is(machine.exports["networkFirst"]!(), 0);
    t.regex(machine.log.join("; "), /virtio-net 0:3\.0: .*not used/);
    t.false(card.masters);
    t.deepEqual(machine.violations, []);
  });
}

test("queues that cannot be used", async (t) => {
  for (const queueSize of [0, 3, 255, 65535]) {
    const card = new VirtioNetModel({ queueSize });
    const machine = await IoMachine.start([0x18, card]);
    const client = new NetworkClient(machine);
    t.is(client.open(), EIO, `queue size ${queueSize}`);
    t.is(client.card.get("state"), GONE);
    t.deepEqual(machine.violations, []);
  }
  const card = new VirtioNetModel();
  card.notifyOffset = () => 0x4000;
  const machine = await IoMachine.start([0x18, card]);
  const client = new NetworkClient(machine);
  t.is(client.open(), EIO);
});

test("configurations that make no sense are not believed", async (t) => {
  const mq = [...NET_FEATURES, VIRTIO_NET_F_MQ];
  for (const pairs of [0, 0x8001, 65535, 4]) {
    const { client, card, machine } = await start(new VirtioNetModel({ features: mq, config: netConfig({ pairs }) }));
    t.is(client.card.get("queues"), 1, `${pairs} pairs, with three queues`);
    t.false(card.has(VIRTIO_NET_F_MQ));
    t.deepEqual(machine.violations, []);
  }
  const small = await start(new VirtioNetModel({ config: netConfig({ mtu: 20 }) }));
  t.is(small.client.card.get("mtu"), 1500);
  const jumbo = NET_FEATURES.filter((feature) => feature !== VIRTIO_NET_F_MRG_RXBUF);
  const unmerged = await start(new VirtioNetModel({ features: jumbo, config: netConfig({ mtu: 9000 }) }));
  t.is(unmerged.client.card.get("mtu"), 4066);
  for (const mac of [
    [0, 0, 0, 0, 0, 0],
    [1, 2, 3, 4, 5, 6],
    [255, 255, 255, 255, 255, 255],
  ]) {
    const { client } = await start(new VirtioNetModel({ config: netConfig({ mac }) }));
    t.is(client.card.get("mac") % 4, 2, "a local address of one card");
  }
});

test("no memory: the card is not used, or does not open", async (t) => {
  for (const pages of [0, 1, 4, 40, 280]) {
    const machine = await IoMachine.start([0x18, new VirtioNetModel()]);
    machine.memoryLeft = pages * 4096;
    const client = new NetworkClient(machine);
    t.is(client.open(), EIO, `${pages} pages`);
    t.is(client.card.get("state"), GONE);
  }
});
