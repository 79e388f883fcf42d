/** Vbds over xenbus, volumes and the words of refusals, with a store of its own and an I/O domain that notes what is asked of it. */
import fc from "fast-check";
import test from "ava";
import { EBUSY, EEXIST, EISCONN, EIO, ENOENT, ENOMEM, ENOSPC, ENOTEMPTY, EROFS } from "../../../../abi/errno.ts";
import {
  BlockListResponse,
  DISK_NO_STORE,
  DISK_STORE,
  DISK_STORE_BAD,
  DiskEntry,
  FILE_ABSENT,
  FILE_CHAIN_CYCLE,
  FILE_FRAGMENTS,
  FILE_NO_VOLUME,
  FILE_ODD_SIZE,
  FILE_PARTITION_BUSY,
  FILE_READ,
  FORMAT_DISK,
  FORMAT_STORE,
  VBD_CONNECTED,
  VBD_FE_PERSISTENT,
  VBD_MODEL_XENBUS,
  VBD_TARGET_BYTES,
  VBD_WAITING,
  VBD_WRITABLE,
  VbdAdd,
  VbdConnect,
  VbdEntry,
  VbdProperties,
  VbdRefusal,
  VolumeCreate,
  VolumeEntry,
  VolumeFormat,
} from "../../../../abi/io/control-block.ts";
import {
  IO_DISK_LIST,
  IO_VBD_ADD,
  IO_VBD_CONNECT,
  IO_VBD_DISCONNECT,
  IO_VBD_LIST,
  IO_VBD_REMOVE,
  IO_VOLUME_CREATE,
  IO_VOLUME_DELETE,
  IO_VOLUME_FORMAT,
  IO_VOLUME_LIST,
  IO_VOLUME_RESIZE,
  IO_VOLUME_SNAPSHOT,
} from "../../../../abi/io/control.ts";
import { IO_DOMAIN } from "../../../../abi/io/layout.ts";
import { BuildError } from "../../../../toolstack/control/builder/build-error.ts";
import { fileRefusal } from "../../../../toolstack/control/noxs/file-refusal.ts";
import { Fields, Payload, type IoAnswer } from "../../../../toolstack/control/noxs/io-requests.ts";
import { ModuleGrants, placeOf } from "../../../../toolstack/control/noxs/module-grants.ts";
import { parseVbd } from "../../../../toolstack/control/noxs/vbd-config.ts";
import { Vbds } from "../../../../toolstack/control/noxs/vbds.ts";
import { Volumes } from "../../../../toolstack/control/noxs/volumes.ts";
import { StoreService } from "../../../../toolstack/control/store/service.ts";
import { FakeIo } from "./fake-io.ts";

const GUEST = 5;
const XVDA = 51712;
const FRONT = `/local/domain/${GUEST}/device/vbd/${XVDA}`;
const BACK = `/local/domain/${IO_DOMAIN}/backend/vbd/${GUEST}/${XVDA}`;

const PROPERTIES = (to: Payload, at = 0) =>
  to
    .u64(at + VbdProperties.sectors, 2048)
    .u32(at + VbdProperties.sectorSize, 512)
    .u32(at + VbdProperties.physicalSectorSize, 4096)
    .u32(at + VbdProperties.discardGranularity, 4096)
    .u32(at + VbdProperties.flags, VBD_WRITABLE);

const listing = (...entries: Payload[]): IoAnswer => {
  const bulk = Buffer.concat(entries.map(({ bytes }) => bytes));
  return { payload: new Payload(8).u32(BlockListResponse.count, entries.length).bytes, bulk: Uint8Array.from(bulk) };
};

const vbdEntry = (domain: number, target: string, state = VBD_CONNECTED, sectors = 2048) => {
  const entry = new Payload(VbdEntry.SIZE)
    .u32(VbdEntry.domid, domain)
    .u32(VbdEntry.vdev, XVDA)
    .u32(VbdEntry.model, VBD_MODEL_XENBUS)
    .u32(VbdEntry.flags, VBD_WRITABLE)
    .u32(VbdEntry.state, state)
    .name(VbdEntry.target, target)
    .u64(VbdEntry.readBytes, 2 ** 40 + 512);
  return PROPERTIES(entry, VbdEntry.properties).u64(VbdEntry.properties + VbdProperties.sectors, sectors);
};

const diskEntry = (store: number, volumes = 0) =>
  new Payload(DiskEntry.SIZE)
    .u64(DiskEntry.sectors, 65536)
    .u32(DiskEntry.store, store)
    .u32(DiskEntry.volumes, volumes)
    .name(DiskEntry.driver, "virtio-blk");

function setUp() {
  const io = new FakeIo();
  io.answers.set(IO_VBD_CONNECT, {
    payload: PROPERTIES(new Payload(VbdProperties.SIZE)).bytes,
    bulk: new Uint8Array(0),
  });
  const notices: string[] = [];
  const store = new StoreService((text) => notices.push(text));
  store.store.addDomain(GUEST);
  store.local.write(`/local/domain/${GUEST}/device`, "");
  const vbds = new Vbds(io, store, new ModuleGrants(io), (text) => notices.push(text));
  const volumes = new Volumes(io, vbds);
  const settle = async () => {
    for (let i = 0; i < 50; i++) await Promise.resolve();
  };
  const front = async (nodes: Record<string, string>) => {
    for (const [name, value] of Object.entries(nodes)) store.local.write(`${FRONT}/${name}`, value);
    await settle();
  };
  return { io, store, vbds, volumes, notices, settle, front };
}

const ROOT = parseVbd("--vbd", "target=root,vdev=xvda");
const CONNECTED = {
  "ring-page-order": "1",
  "ring-ref0": "8",
  "ring-ref1": "9",
  "event-channel": "10",
  protocol: "x86_64-abi",
  "feature-persistent": "1",
  state: "3",
};

test("a xenbus vbd: its nodes, its frontend's connection, and its end", async (t) => {
  const { io, store, vbds, front, settle } = setUp();
  await vbds.attach(GUEST, ROOT, "xenbus");
  await settle();
  const add = io.asked.find(({ operation }) => operation === IO_VBD_ADD)!.fields;
  t.deepEqual(
    [VbdAdd.domid, VbdAdd.vdev, VbdAdd.model, VbdAdd.flags].map((at) => add.u32(at)),
    [GUEST, XVDA, VBD_MODEL_XENBUS, VBD_WRITABLE],
  );
  t.is(add.name(VbdAdd.target, VBD_TARGET_BYTES), "volume:root");
  const { local } = store;
  for (const [node, value] of [
    [`${FRONT}/backend`, BACK],
    [`${FRONT}/backend-id`, String(IO_DOMAIN)],
    [`${FRONT}/virtual-device`, String(XVDA)],
    [`${FRONT}/device-type`, "disk"],
    [`${BACK}/params`, "volume:root"],
    [`${BACK}/dev`, "xvda"],
    [`${BACK}/mode`, "w"],
    [`${BACK}/feature-flush-cache`, "1"],
    [`${BACK}/max-ring-page-order`, "4"],
    [`${BACK}/state`, "2"],
  ] as const) {
    t.is(local.read(node), value, node);
  }
  t.deepEqual(local.permissions(`${FRONT}/state`), [`n${GUEST}`, "r0"]);
  t.deepEqual(local.permissions(`${BACK}/state`), ["n0", `r${GUEST}`]);
  io.operations();

  await front(CONNECTED);
  t.is(local.read(`${BACK}/state`), "4");
  t.is(local.read(`${BACK}/sectors`), "2048");
  t.is(local.read(`${BACK}/sector-size`), "512");
  t.is(local.read(`${BACK}/discard-granularity`), "4096");
  const { fields } = io.asked.find(({ operation }) => operation === IO_VBD_CONNECT)!;
  t.deepEqual(
    [VbdConnect.domid, VbdConnect.vdev, VbdConnect.rings, VbdConnect.order, VbdConnect.features].map((at) =>
      fields.u32(at),
    ),
    [GUEST, XVDA, 1, 1, VBD_FE_PERSISTENT],
  );
  t.deepEqual(
    [0, 4, 8].map((at) => fields.u32(VbdConnect.SIZE + at)),
    [10, 8, 9],
  );
  io.operations();

  await front({ state: "5" });
  t.is(local.read(`${BACK}/state`), "5");
  t.deepEqual(io.operations(), [IO_VBD_DISCONNECT]);
  await vbds.forget(GUEST, [{ number: XVDA, target: "volume:root" }]);
  t.deepEqual(io.operations(), [IO_VBD_REMOVE]);
  await front({ state: "1" });
  t.deepEqual(io.operations(), [], "nobody listens any more");
});

test("requests that are lost with the I/O domain are made again", async (t) => {
  const { io, store, vbds, front } = setUp();
  io.lose.add(IO_VBD_ADD);
  await vbds.attach(GUEST, ROOT, "xenbus");
  t.deepEqual(io.operations().slice(0, 3), [IO_VBD_ADD, IO_VBD_REMOVE, IO_VBD_ADD]);
  // It had been connected when the I/O domain died: what the disk is, is in the listing.
  io.lose.add(IO_VBD_CONNECT);
  let connects = 0;
  io.answers.set(IO_VBD_CONNECT, () => (connects++, EISCONN));
  io.answers.set(IO_VBD_LIST, listing(vbdEntry(GUEST, "volume:root", VBD_CONNECTED, 4096)));
  await front(CONNECTED);
  t.is(connects, 1);
  t.is(store.local.read(`${BACK}/sectors`), "4096");
  t.is(store.local.read(`${BACK}/state`), "4");
  io.operations();
  io.lose.add(IO_VBD_DISCONNECT);
  await front({ state: "5" });
  t.deepEqual(io.operations(), [IO_VBD_DISCONNECT, IO_VBD_DISCONNECT]);
  io.lose.add(IO_VBD_REMOVE);
  io.answers.set(IO_VBD_REMOVE, ENOENT);
  await vbds.forget(GUEST, [{ number: XVDA, target: "volume:root" }]);
  t.deepEqual(io.operations(), [IO_VBD_REMOVE, IO_VBD_REMOVE]);
});

test("a target that is being let go of is waited for", async (t) => {
  const { io, vbds, volumes, settle } = setUp();
  await vbds.attach(GUEST, ROOT, "xenbus");
  await settle();
  let removed = (): void => {};
  const request = io.request.bind(io);
  io.request = async (operation, bytes) => {
    const answer = await request(operation, bytes);
    if (operation === IO_VBD_REMOVE) await new Promise<void>((resolve) => (removed = resolve));
    return answer;
  };
  const forgotten = vbds.forget(GUEST, [{ number: XVDA, target: "volume:root" }]);
  await settle();
  io.operations();
  const attached = vbds.attach(GUEST, parseVbd("--vbd", "target=root,vdev=xvdb"), "xenbus");
  const deleted = volumes.remove("root");
  await vbds.attach(GUEST, parseVbd("--vbd", "target=other,vdev=xvdc"), "xenbus");
  await settle();
  t.is(io.operations().filter((operation) => operation === IO_VBD_ADD).length, 1, "another target is not");
  removed();
  await Promise.all([forgotten, attached, deleted]);
  t.true(io.operations().includes(IO_VBD_ADD));
});

test("a domain 0 that was restarted goes on where its frontends are", async (t) => {
  const { io, store, vbds, settle } = setUp();
  const { local } = store;
  local.write(`${FRONT}/state`, "4");
  io.answers.set(IO_VBD_LIST, listing(vbdEntry(GUEST, "volume:root")));
  vbds.adopt(GUEST, ROOT, (await vbds.list())[0]!);
  await settle();
  t.is(local.read(`${BACK}/state`), "4");
  t.is(local.read(`${BACK}/sectors`), "2048");
  t.false(io.operations().includes(IO_VBD_CONNECT), "it is connected");
  // The volume is made larger: the frontend is told by the state, which is written anew.
  let told = 0;
  local.watch(`${BACK}/state`, () => told++);
  await settle();
  const before = told;
  io.answers.set(IO_VBD_LIST, listing(vbdEntry(GUEST, "volume:root", VBD_CONNECTED, 8192)));
  await vbds.resized("volume:other");
  t.is(local.read(`${BACK}/sectors`), "2048");
  await vbds.resized("volume:root");
  await settle();
  t.is(local.read(`${BACK}/sectors`), "8192");
  t.is(told, before + 1);
});

test("one whose frontend was not connected yet is offered again", async (t) => {
  const { io, store, vbds, settle } = setUp();
  io.answers.set(IO_VBD_LIST, listing(vbdEntry(GUEST, "volume:root", VBD_WAITING)));
  for (const [name, value] of Object.entries(CONNECTED)) store.local.write(`${FRONT}/${name}`, value);
  vbds.adopt(GUEST, ROOT, (await vbds.list())[0]!);
  await settle();
  t.is(store.local.read(`${BACK}/state`), "4");
  t.true(io.operations().includes(IO_VBD_CONNECT));
});

test("detach asks the I/O domain what is there, and removes the nodes", async (t) => {
  const { io, store, vbds } = setUp();
  await vbds.attach(GUEST, ROOT, "xenbus");
  io.answers.set(IO_VBD_LIST, listing(vbdEntry(GUEST, "volume:root")));
  t.like((await vbds.list())[0]!, { domain: GUEST, number: XVDA, target: "volume:root", readBytes: 2 ** 40 + 512 });
  await t.throwsAsync(vbds.detach(GUEST, XVDA + 16), { message: /domain 5 has no vbd xvdb; `vbd list` shows them/ });
  io.operations();
  await vbds.detach(GUEST, XVDA);
  t.deepEqual(io.operations(), [IO_VBD_LIST, IO_VBD_REMOVE]);
  t.is(store.local.read(`${FRONT}/state`), undefined);
  t.is(store.local.read(`${BACK}/state`), undefined);
});

test("refusals of vbds say what to do, and leave nothing", async (t) => {
  const { io, store, vbds } = setUp();
  const good = listing(diskEntry(DISK_STORE));
  for (const [code, text, disks, says] of [
    [
      ENOENT,
      "target=root,vdev=xvda",
      good,
      /there is no volume "root"; `volume list` shows them, `volume create root SIZE`/,
    ],
    [ENOENT, "target=root,vdev=xvda", listing(), /the machine has no disk \(`npm start -- --disk FILE:SIZE`/],
    [ENOENT, "target=root,vdev=xvda", listing(diskEntry(DISK_NO_STORE)), /no disk has a store.*`volume format DISK`/],
    [ENOENT, "target=root,vdev=xvda", listing(diskEntry(DISK_STORE_BAD)), /store on disk 0 cannot be used, `dmesg`/],
    [ENOENT, "target=part:x,vdev=xvda", good, /no disk has a partition with the label "x"/],
    [ENOENT, "target=file:a/x.img,vdev=xvda", listing(), /the machine has no disk/],
    [EBUSY, "target=root,vdev=xvda", good, /volume:root is in use: domain 7 has it as xvda; one domain may write/],
    [EROFS, "target=root@s,vdev=xvda", good, /volume:root@s cannot be written: give the vbd access=r/],
    [EEXIST, "target=root,vdev=xvda", good, /the domain has a vbd xvda already \(number 51712\)/],
    [ENOSPC, "target=root,vdev=xvda", good, /no room for one more vbd/],
    [ENOMEM, "target=ram:1M,vdev=xvda", good, /all RAM vbds together have 16M/],
  ] as const) {
    io.answers.set(IO_VBD_ADD, code);
    io.answers.set(IO_DISK_LIST, disks);
    io.answers.set(IO_VBD_LIST, listing(vbdEntry(7, "volume:root")));
    const attached = vbds.attach(GUEST, parseVbd("--vbd", text), "xenbus");
    await t.throwsAsync(attached, { instanceOf: BuildError, message: says }, text);
  }
  t.is(store.local.read(`${FRONT}/state`), undefined);
});

test("why a file cannot be had: where it is looked for, and what to do", async (t) => {
  const { io, vbds } = setUp();
  io.answers.set(IO_DISK_LIST, listing(diskEntry(DISK_NO_STORE)));
  io.answers.set(IO_VBD_LIST, listing(vbdEntry(7, "file:images/a.img")));
  const on = (reason: number, label = "stock", volumes = 1) =>
    new Payload(VbdRefusal.SIZE)
      .u32(VbdRefusal.reason, reason)
      .u32(VbdRefusal.volumes, volumes)
      .u32(VbdRefusal.disk, 1)
      .u32(VbdRefusal.partition, 2)
      .u32(VbdRefusal.bytes, 1000)
      .u32(VbdRefusal.unit, 512)
      .name(VbdRefusal.label, label).bytes;
  for (const [name, refusal, says] of [
    ["a.img", on(FILE_NO_VOLUME), /no file "a.img": no partition of the machine's disks holds a FAT file system/],
    ["stock/a.img", on(FILE_NO_VOLUME), /the partition "stock" of disk 1 holds no FAT file system: `mkfs.vfat`/],
    ["stock/x/a.img", on(FILE_ABSENT, "stock", 2), /^there is no file "x\/a.img" on the partition "stock" of disk 1$/],
    [
      "/a.img",
      on(FILE_ABSENT),
      /no file "a.img" on the partition "stock" of disk 1, the only one with a FAT file system$/,
    ],
    [
      "x/a.img",
      on(FILE_ABSENT, "", 1),
      /no file "x\/a.img" on partition 2 of disk 1, the only one.*no partition has the label "x"/,
    ],
    [
      "x/a.img",
      on(FILE_ABSENT, "stock", 3),
      /on any of the 3 partitions with a FAT file system; and no partition has the label/,
    ],
    [
      "stock/a.img",
      on(FILE_ODD_SIZE),
      /the file "a.img" on the partition "stock" of disk 1 has 1000 bytes: .* multiple of 512/,
    ],
    [
      "a.img",
      on(FILE_CHAIN_CYCLE),
      /the file "a.img" on the partition "stock" of disk 1 is damaged: .*cycle; `fsck.vfat`/,
    ],
    ["a.img", on(FILE_FRAGMENTS), /is in more than 8192 fragments; copy it anew/],
    ["a.img", on(FILE_PARTITION_BUSY), /in use as a whole, by a vbd on part:stock/],
    ["a.img", on(99), /cannot be opened \(reason 99\)/],
  ] as const) {
    io.answers.set(IO_VBD_ADD, { code: ENOENT, refusal });
    const attached = vbds.attach(GUEST, parseVbd("--vbd", `target=file:${name},vdev=xvda`), "xenbus");
    await t.throwsAsync(attached, { instanceOf: BuildError, message: says }, name);
  }
  // Every reason has words.
  for (let reason = FILE_NO_VOLUME; reason <= FILE_READ; reason++) {
    t.notRegex(fileRefusal("a.img", new Fields(on(reason))), /undefined|reason \d/, `${reason}`);
  }
  io.answers.set(IO_VBD_ADD, EBUSY);
  for (const [name, says] of [
    ["images/a.img", /file:images\/a.img is in use: domain 7 has it as xvda; one domain may write/],
    ["stock/images/a.img", /is in use, by another name: `vbd list` shows which; one domain may write/],
  ] as const) {
    const attached = vbds.attach(GUEST, parseVbd("--vbd", `target=file:${name},vdev=xvda`), "xenbus");
    await t.throwsAsync(attached, { instanceOf: BuildError, message: says }, name);
  }
});

test("volumes: what is asked of the I/O domain", async (t) => {
  const { io, volumes } = setUp();
  await volumes.create("a", 64 << 20, null, false);
  const create = io.asked.find(({ operation }) => operation === IO_VOLUME_CREATE)!.fields;
  t.is(create.name(VolumeCreate.name, 64), "a");
  t.is(create.u64(VolumeCreate.sectors), 131072);
  t.is(create.u32(VolumeCreate.disk), 0xffffffff);
  io.answers.set(
    IO_VOLUME_LIST,
    listing(
      new Payload(VolumeEntry.SIZE)
        .name(VolumeEntry.name, "a")
        .u64(VolumeEntry.sectors, 8)
        .u32(VolumeEntry.previous, 4),
    ),
  );
  t.like((await volumes.list())[0]!, { name: "a", bytes: 4096, previous: 3, snapshot: false, writers: 0 });
  io.operations();

  // Lost with the I/O domain: asked again, and what is done already is done.
  for (const [operation, done, work] of [
    [IO_VOLUME_CREATE, EEXIST, () => volumes.create("a", 4096, 2, false)],
    [IO_VOLUME_DELETE, ENOENT, () => volumes.remove("a")],
    [IO_VOLUME_SNAPSHOT, EEXIST, () => volumes.snapshot("a", "b")],
  ] as const) {
    io.lose.add(operation);
    io.answers.set(operation, done);
    await t.notThrowsAsync(work);
    t.deepEqual(io.operations(), [operation, operation]);
  }
  await t.notThrowsAsync(volumes.create("a", 4096, null, true), "--if-absent");
});

test("refusals of volumes say what to do", async (t) => {
  const { io, volumes } = setUp();
  io.answers.set(IO_DISK_LIST, listing(diskEntry(DISK_STORE, 3)));
  io.answers.set(IO_VBD_LIST, listing(vbdEntry(7, "volume:a")));
  for (const [operation, code, work, says] of [
    [
      IO_VOLUME_CREATE,
      EEXIST,
      () => volumes.create("a", 4096, null, false),
      /there is a volume or snapshot "a" already/,
    ],
    [IO_VOLUME_CREATE, ENOENT, () => volumes.create("a", 4096, 1, false), /disk 1 has no store/],
    [IO_VOLUME_CREATE, ENOSPC, () => volumes.create("a", 4096, null, false), /no room.*`volume delete NAME`/],
    [IO_VOLUME_DELETE, ENOENT, () => volumes.remove("a"), /there is no volume "a"/],
    [IO_VOLUME_DELETE, EBUSY, () => volumes.remove("a"), /a is in use: domain 7 has it as xvda/],
    [IO_VOLUME_DELETE, ENOTEMPTY, () => volumes.remove("a"), /volumes were made from the snapshot a/],
    [
      IO_VOLUME_RESIZE,
      EBUSY,
      () => volumes.resize("a", 4096),
      /domain 7 has it as xvda: while it is, it can only be made larger/,
    ],
    [IO_VOLUME_SNAPSHOT, EEXIST, () => volumes.snapshot("a", "b"), /there is a volume or snapshot "b" already/],
  ] as const) {
    io.answers.set(operation, code);
    await t.throwsAsync(work, { instanceOf: BuildError, message: says });
  }
});

test("format destroys nothing that it was not told to", async (t) => {
  const { io, volumes } = setUp();
  const uuid = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
  const nothing = { store: false, disk: false };
  io.answers.set(IO_DISK_LIST, listing(diskEntry(DISK_NO_STORE)));
  await volumes.format(0, nothing, uuid);
  const format = io.asked.find(({ operation }) => operation === IO_VOLUME_FORMAT)!.fields;
  t.is(format.u32(VolumeFormat.flags), 0);
  t.deepEqual(format.slice(VolumeFormat.uuid, 16), uuid);
  io.operations();
  await volumes.format(0, { store: true, disk: true }, uuid);
  t.is(io.asked.at(-1)!.fields.u32(VolumeFormat.flags), FORMAT_STORE | FORMAT_DISK);

  io.answers.set(IO_VOLUME_FORMAT, EEXIST);
  await t.throwsAsync(volumes.format(0, nothing, uuid), {
    message: /something on it.*--overwrite-disk` loses all of it/,
  });
  await t.throwsAsync(volumes.format(1, nothing, uuid), { message: /there is no disk 1; `disk list`/ });
  io.answers.set(IO_DISK_LIST, listing(diskEntry(DISK_STORE, 3)));
  await t.throwsAsync(volumes.format(0, nothing, uuid), {
    message: /a store already, with 3 volumes; .*--replace-store/,
  });
  io.answers.set(IO_DISK_LIST, listing());
  await t.throwsAsync(volumes.format(0, nothing, uuid), { message: /the machine has no disk/ });
  io.answers.set(IO_DISK_LIST, EIO);
  await t.throwsAsync(volumes.format(0, nothing, uuid), { message: /EIO/ });
});

test("modules' lists of grants never overlap", (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 4 << 20 }), { minLength: 1, maxLength: 32 }), (sizes) => {
      let page = 0;
      let list = 0;
      return sizes.every((bytes, index) => {
        const place = placeOf(index, page, bytes);
        const apart = place.list >= list && place.page === page && place.lists >= 1;
        list = place.list + place.lists;
        page += place.pages;
        return apart && place.lists * 1016 >= place.pages && list <= 72;
      });
    }),
  );
  t.pass();
});
