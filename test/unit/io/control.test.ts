/** The control channel's server in the module that boots: requests, answers, both sides' restarts, a domain 0 that errs. */
import test from "ava";
import { EINVAL, ENOENT, ENOSYS } from "../../../abi/errno.ts";
import {
  BlockListResponse,
  VBD_MODEL_XENBUS,
  VBD_WRITABLE,
  VbdAdd,
  VbdProperties,
} from "../../../abi/io/control-block.ts";
import {
  CONTROL_PAYLOAD_BYTES,
  CONTROL_SLOT_BYTES,
  CONTROL_SLOTS,
  ControlPage,
  ControlRequest,
  ControlResponse,
  IO_CONTROL_MAGIC,
  IO_CONTROL_VERSION,
  IO_DISK_LIST,
  IO_PING,
  IO_VBD_ADD,
  IO_VBD_DISCONNECT,
  IO_VBD_LIST,
  IO_VBD_REMOVE,
  IO_VOLUME_CREATE,
  IO_VOLUME_LIST,
} from "../../../abi/io/control.ts";
import { IO_CONTROL, IO_STABLE } from "../../../abi/io/layout.ts";
import { compileIo } from "./io-module.ts";
import { Xen } from "./xen.ts";

/** Domain 0's end. */
class Client {
  produced = 0;
  port = 0;
  constructor(readonly xen: Xen) {}

  get(offset: number): number {
    return this.xen.io.view.getUint32(IO_CONTROL + offset, true);
  }

  set(offset: number, value: number): void {
    this.xen.io.view.setUint32(IO_CONTROL + offset, value, true);
  }

  open(): void {
    this.port = this.xen.newPort();
    this.set(ControlPage.port, this.port);
    this.xen.raise(this.port);
    this.xen.turn();
  }

  /** Puts a request into its slot and, unless `quietly`, notifies. */
  request(operation: number, payload: Uint8Array, length = payload.length, quietly = false): number {
    const slot = ControlPage.requests + (this.produced % CONTROL_SLOTS) * CONTROL_SLOT_BYTES;
    this.set(slot + ControlRequest.id, 1000 + this.produced);
    this.set(slot + ControlRequest.operation, operation);
    this.set(slot + ControlRequest.length, length);
    this.xen.io.bytes.set(payload, IO_CONTROL + slot + ControlRequest.payload);
    this.produced = (this.produced + 1) >>> 0;
    this.set(ControlPage.requestProduced, this.produced);
    if (!quietly) {
      this.xen.raise(this.port);
      this.xen.turn();
    }
    return 999 + this.produced;
  }

  /** The next answer, null for none. */
  answer(): { id: number; status: number; payload: Uint8Array } | null {
    const consumed = this.get(ControlPage.responseConsumed);
    if (consumed === this.get(ControlPage.responseProduced)) return null;
    const slot = ControlPage.responses + (consumed % CONTROL_SLOTS) * CONTROL_SLOT_BYTES;
    const length = this.get(slot + ControlResponse.length);
    const at = IO_CONTROL + slot + ControlResponse.payload;
    const answer = {
      id: this.get(slot + ControlResponse.id),
      status: this.get(slot + ControlResponse.status) | 0,
      payload: this.xen.io.bytes.slice(at, at + length),
    };
    this.set(ControlPage.responseConsumed, consumed + 1);
    return answer;
  }
}

async function open(): Promise<Client> {
  const xen = new Xen(await compileIo());
  xen.turn();
  const client = new Client(xen);
  client.open();
  return client;
}

test("the page says who it is; PING is answered with its payload, an unknown operation with ENOSYS", async (t) => {
  const client = await open();
  t.is(client.get(ControlPage.magic), IO_CONTROL_MAGIC);
  t.is(client.get(ControlPage.version), IO_CONTROL_VERSION);
  t.is(client.get(ControlPage.generation), 1);
  const id = client.request(IO_PING, Uint8Array.of(1, 2, 3));
  t.deepEqual(client.answer(), { id, status: 0, payload: Uint8Array.of(1, 2, 3) });
  t.deepEqual(client.xen.sent, [client.port]);
  t.is(client.answer(), null);
  for (const operation of [0, 2, 127, 128, 0xffffffff]) {
    client.request(operation, Uint8Array.of(9));
    t.is(client.answer()!.status, -ENOSYS, String(operation));
  }
  client.request(IO_PING, new Uint8Array(CONTROL_PAYLOAD_BYTES).fill(7));
  t.is(client.answer()!.payload.length, CONTROL_PAYLOAD_BYTES);
  client.request(IO_PING, new Uint8Array(1), CONTROL_PAYLOAD_BYTES + 1);
  t.is(client.answer()!.status, -EINVAL, "longer than a slot");
});

test("hundreds of requests: in order, and no more than there is room for answers", async (t) => {
  const client = await open();
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < CONTROL_SLOTS; i++) client.request(IO_PING, Uint8Array.of(i), 1, true);
    client.xen.raise(client.port);
    client.xen.turn();
    t.is(client.get(ControlPage.requestConsumed), client.produced);
    // Nobody takes the answers: the next requests wait.
    for (let i = 0; i < 3; i++) client.request(IO_PING, Uint8Array.of(100 + i), 1);
    t.is(client.get(ControlPage.responseProduced), client.produced - 3);
    for (let i = 0; i < CONTROL_SLOTS; i++) t.deepEqual(client.answer()!.payload, Uint8Array.of(i));
    client.xen.raise(client.port);
    client.xen.turn();
    for (let i = 0; i < 3; i++) t.deepEqual(client.answer()!.payload, Uint8Array.of(100 + i));
    t.is(client.answer(), null);
  }
});

test("indices that are not possible are not followed", async (t) => {
  const client = await open();
  const before = client.get(ControlPage.responseProduced);
  client.set(ControlPage.requestProduced, CONTROL_SLOTS + 1);
  client.xen.raise(client.port);
  client.xen.turn();
  t.is(client.get(ControlPage.responseProduced), before);
  t.is(client.get(ControlPage.requestConsumed), 0);
});

test("a new domain 0 opens the channel by another port: the one before is closed", async (t) => {
  const client = await open();
  const first = client.port;
  client.request(IO_PING, Uint8Array.of(1));
  const next = new Client(client.xen);
  next.produced = client.produced;
  next.open();
  t.deepEqual(client.xen.closed, [first]);
  next.request(IO_PING, Uint8Array.of(2));
  t.deepEqual(next.answer()!.payload, Uint8Array.of(1), "what the one before had not taken");
  t.deepEqual(next.answer()!.payload, Uint8Array.of(2));
  t.is(client.xen.sent.at(-1), next.port);
});

test("a restart of the I/O domain: the next generation, an empty channel", async (t) => {
  const client = await open();
  client.request(IO_PING, Uint8Array.of(1));
  client.xen.restart(IO_STABLE);
  client.xen.turn();
  t.is(client.get(ControlPage.generation), 2);
  t.is(client.get(ControlPage.responseProduced), 0);
  const again = new Client(client.xen);
  again.open();
  again.request(IO_PING, Uint8Array.of(5));
  t.deepEqual(again.answer()!.payload, Uint8Array.of(5));
});

test("without a disk the block back end starts when it is needed, and again after a restart", async (t) => {
  const client = await open();
  const fields = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset);
  const ask = (operation: number, payload: Uint8Array) => {
    const id = client.request(operation, payload);
    const answer = client.answer()!;
    t.is(answer.id, id, "it is answered at once, or from within its own handler");
    t.is(client.answer(), null);
    return answer;
  };
  const key = Uint8Array.of(5, 0, 0, 0, 0, 0xca, 0, 0);
  const add = (target: string) => {
    const payload = new Uint8Array(VbdAdd.SIZE);
    payload.set(key);
    payload[VbdAdd.model] = VBD_MODEL_XENBUS;
    payload[VbdAdd.flags] = VBD_WRITABLE;
    payload.set(Buffer.from(target), VbdAdd.target);
    return payload;
  };
  const counted = (operation: number) => {
    const { status, payload } = ask(operation, new Uint8Array(4));
    t.is(status, 0);
    return fields(payload).getUint32(BlockListResponse.count, true);
  };
  const memory = client.xen.given.size;
  for (const operation of [IO_DISK_LIST, IO_VOLUME_LIST, IO_VBD_LIST]) t.is(counted(operation), 0);
  t.is(ask(IO_VBD_ADD, add("volume:a")).status, -ENOENT);
  t.is(ask(IO_VBD_ADD, add("part:a")).status, -ENOENT);
  t.is(ask(IO_VOLUME_CREATE, new Uint8Array(80)).status, -ENOENT);
  t.is(ask(IO_VBD_REMOVE, key).status, -ENOENT);
  t.is(client.xen.given.size, memory, "nothing was started for that");

  const answer = ask(IO_VBD_ADD, add("ram:1048576"));
  t.is(answer.status, 0);
  t.is(fields(answer.payload).getUint32(VbdProperties.sectors, true), 2048);
  t.is(counted(IO_VBD_LIST), 1);
  client.xen.restart(IO_STABLE);
  client.xen.turn();
  client.produced = 0;
  client.open();
  t.is(counted(IO_VBD_LIST), 1, "it is there after a restart");
  t.is(ask(IO_VBD_DISCONNECT, key).status, 0);
  t.is(ask(IO_VBD_REMOVE, key).status, 0);
  t.is(counted(IO_VBD_LIST), 0);
});

test("asleep, it wakes in time for its watchdog", async (t) => {
  const { xen } = await open();
  const pets = xen.pets;
  t.true(xen.timer > xen.now && xen.timer < xen.now + 5_000_000_000n, `${xen.timer}`);
  xen.now = xen.timer;
  xen.raise(1); // VIRQ_TIMER's port, the first
  xen.turn();
  t.is(xen.pets, pets + 1);
  t.true(xen.timer > xen.now);
});
