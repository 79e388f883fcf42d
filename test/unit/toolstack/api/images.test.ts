/** Images that clients upload: kept by their hash, over restarts of domain 0, and given back whole. */
import { createHash } from "node:crypto";
import test from "ava";
import { RequestFailed, type Client } from "../../../../toolstack/cli/connection/client.ts";
import { createRequest, destroyRequest } from "../../../../toolstack/api/requests/domains.ts";
import { imageListRequest, imagePutRequest, imageRemoveRequest } from "../../../../toolstack/api/requests/images.ts";
import type { FakeMachine } from "../fake-machine.ts";
import { kernel } from "../fake-session.ts";
import { booted, connect, runUntil, settled } from "./clients.ts";

const hashOf = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

async function put(m: FakeMachine, client: Client, bytes: Uint8Array, name = "image", said = bytes.length) {
  const { result, stream } = client.request(imagePutRequest, { hash: hashOf(bytes), name, bytes: said });
  stream.resume();
  stream.end(bytes);
  return await settled(m, result, 20_000);
}

const listed = async (m: FakeMachine, client: Client) =>
  (await settled(m, client.request(imageListRequest, {}).result)).map(({ name, bytes }) => `${name} ${bytes}`);

test("an image is uploaded once, guests are made of it, also behind a restart of domain 0, and it goes whole", async (t) => {
  const m = await booted();
  const before = m.imagePages;
  const { client } = await connect(m);
  const hash = hashOf(kernel);
  t.deepEqual(await put(m, client, kernel, "mine"), { hash, uploaded: true });
  t.deepEqual(await put(m, client, kernel, "again"), { hash, uploaded: false });
  t.deepEqual(await listed(m, client), [`mine ${kernel.length}`]);
  t.like(await settled(m, client.request(createRequest, { kernel: hash } as never).result), { id: 1, name: "mine" });
  const big = Buffer.alloc(3_000_001, "abcdefg");
  await put(m, client, big, "big");

  await m.boot();
  const { client: later } = await connect(m);
  t.deepEqual(await listed(m, later), [`mine ${kernel.length}`, "big 3000001"]);
  t.like(await settled(m, later.request(createRequest, { kernel: hash } as never).result), { id: 2, name: "mine-2" });
  // The one made before the restart is made again of it.
  m.shutdownGuest(m.domains.get(1)!, 1);
  await runUntil(m, () => m.domains.has(3));
  await settled(m, later.request(destroyRequest, { ids: ["2"] }).result);
  await settled(m, later.request(imageRemoveRequest, { images: [hash.slice(7, 20), hashOf(big)] }).result);
  t.deepEqual(await listed(m, later), []);
  await runUntil(m, () => m.imagePages === before - 1); // the page that lists them stays
  m.takeOutput();
  m.shutdownGuest(m.domains.get(3)!, 1);
  await runUntil(m, () => m.output.includes("could not be restarted"), 20_000);
  t.regex(m.takeOutput(), /the image mine \(sha256:.*\) was removed: upload it again/);
});

test("what is wrong with an upload is said, and leaves nothing", async (t) => {
  const m = await booted();
  const { client } = await connect(m);
  await put(m, client, Buffer.from("first"));
  const before = m.imagePages;
  const failed = async (promise: Promise<unknown>, message: RegExp) => {
    const error = await t.throwsAsync(promise, { instanceOf: RequestFailed });
    t.regex(error.message, message);
    await runUntil(m, () => m.imagePages === before);
  };
  const bytes = Buffer.alloc(50_000, "x");
  await failed(put(m, client, bytes, "short", 50_001), /ends after 50000 of 50001 bytes/);
  await failed(put(m, client, bytes, "long", 40_000), /longer than the 40000 bytes/);
  await failed(
    put(m, client, bytes, "huge", 200 * 1024 * 1024),
    /200 MiB find no room; `image rm`|no room for the image/,
  );
  await failed(put(m, client, bytes, "x".repeat(100)), /at most 79 bytes/);
  const request = (params: object) => settled(m, client.request(imagePutRequest, params as never).result);
  await failed(request({ hash: "md5:1", name: "a", bytes: 1 }), /is not sha256/);
  await failed(request({ hash: hashOf(bytes), name: "a" }), /size is missing/);
  const remove = (which: string) => settled(m, client.request(imageRemoveRequest, { images: [which] }).result);
  await failed(remove("0000"), /no image "0000"/);
  await failed(
    settled(m, client.request(createRequest, { kernel: hashOf(bytes) } as never).result),
    /--kernel: no image sha256/,
  );
  m.imagePages = 5;
  await t.throwsAsync(put(m, client, bytes, "no memory"), { message: /there is no memory left for the image/ });
  await runUntil(m, () => m.imagePages === 5);
  t.deepEqual(await listed(m, client), ["image 5"]);
});

test("without memory for the list of images there are none, and domain 0 goes on", async (t) => {
  const m = await booted();
  m.imagePages = 0;
  const { client } = await connect(m);
  t.deepEqual(await listed(m, client), []);
  await t.throwsAsync(put(m, client, Buffer.from("x")), { message: /there is no memory left for the image/ });
  m.imagePages = 10;
  await put(m, client, Buffer.from("x"));
  t.deepEqual(await listed(m, client), ["image 1"]);
});

test("a client that leaves in the middle, and a domain 0 that dies in it: nothing stays", async (t) => {
  const m = await booted();
  const { client, pipe } = await connect(m);
  await put(m, client, Buffer.from("first"));
  const before = m.imagePages;
  const bytes = Buffer.alloc(400_000, "y");
  const begin = (from: Client) => {
    const { result, stream } = from.request(imagePutRequest, {
      hash: hashOf(bytes),
      name: "half",
      bytes: bytes.length,
    });
    result.catch(() => {});
    stream.resume();
    stream.write(bytes.subarray(0, 300_000));
  };
  begin(client);
  await runUntil(m, () => m.imagePages < before - 60);
  pipe.client.destroy();
  await runUntil(m, () => m.imagePages === before);

  const { client: second } = await connect(m);
  begin(second);
  await runUntil(m, () => m.imagePages < before - 60);
  await m.boot();
  const { client: third } = await connect(m);
  t.deepEqual(await listed(m, third), ["image 5"]);
  await runUntil(m, () => m.imagePages === before);
  t.deepEqual(await put(m, third, bytes, "whole"), { hash: hashOf(bytes), uploaded: true });
});

test("two clients upload the same at once: there is one", async (t) => {
  const m = await booted();
  const [a, b] = [await connect(m), await connect(m)];
  const bytes = Buffer.alloc(100_000, "z");
  const both = [a, b].map(({ client }) => put(m, client, bytes));
  t.is((await Promise.all(both)).length, 2);
  t.deepEqual(await listed(m, a.client), ["image 100000"]);
  await runUntil(m, () => m.imagePages === 10_000 - 1 - Math.ceil(100_000 / 4096));
});

test("an image is removed by its name, unless several have it", async (t) => {
  const m = await booted();
  const { client } = await connect(m);
  const remove = (which: string) => settled(m, client.request(imageRemoveRequest, { images: [which] }).result);
  const [one, two] = ["one", "two"].map((text) => Buffer.from(text)) as [Buffer, Buffer];
  await put(m, client, one, "app.elf");
  await put(m, client, two, "app.elf");
  await t.throwsAsync(remove("app.elf"), { message: /more than one image "app\.elf"/ });
  t.deepEqual(await listed(m, client), ["app.elf 3", "app.elf 3"]);
  await remove(hashOf(one));
  await remove("app.elf");
  t.deepEqual(await listed(m, client), []);
});
