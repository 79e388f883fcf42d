/**
 * The control connection under bad conditions, on a machine in QEMU. After each of them: nothing is left of it, a client that works
 * meanwhile was served without an error, the prompt answers. At the end domain 0 has grown by no more than a bounded amount.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import test from "ava";
import { encodeFrame, REQUEST } from "../../toolstack/api/protocol.ts";
import { createRequest, destroyRequest } from "../../toolstack/api/requests/domains.ts";
import { GREETING } from "../unit/toolstack/api/random-frames.ts";
import { COMMAND_MS, evaluate, powerOff } from "../boot/support/boot.ts";
import { awaitValue } from "../boot/support/control-network.ts";
import { expectHoldings, goodClient, ownConnection, startTool } from "../boot/support/control.ts";
import { hostileRun, holdSilent, sendGarbage } from "../boot/support/hostile.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-hostile-"));
process.env.XDG_RUNTIME_DIR = folder;
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

/** Ports of this computer's that lead to the control port: the emulator takes one connection at a time of each. */
const PORTS = 16;
test.serial(
  "garbage, a thousand silent connections, cut creates and uploads, one name twice, a reader that stops",
  async (t) => {
    const { machine, ports, worker, before, grown } = await hostileRun(t, PORTS);
    const nothingStays = async (what: string) => {
      await worker.progress(2);
      const others = { ...before, clients: 1, connections: 1, tls: { pending: 0, accepted: 1, sessions: 1 } };
      await worker.rest(() => expectHoldings(t, machine, others, what));
    };

    // It asks for more than fits on the way to it, and takes nothing: it is disconnected when the others are done.
    const stuck = await ownConnection();
    stuck.pause();
    stuck.write(GREETING);
    const big = JSON.stringify({ request: "js", params: { script: '"x".repeat(60000)' } });
    for (let id = 1; id <= 400; id++) stuck.write(encodeFrame(REQUEST, id, Buffer.from(big)));

    await sendGarbage(ports, 150);
    await worker.progress(2);

    const close = await holdSilent(ports, 1000);
    await worker.progress(2);
    const { pending } = await evaluate<{ pending: number }>(machine, "control.connections()");
    t.true(pending <= 16, `${pending} connections wait for their handshake`);
    t.true((await evaluate<number>(machine, "net.count()")) <= 64);
    (await goodClient()).close(); // a newcomer is served beside them
    close();

    // A reader that stops is given up when it has taken nothing for 30 seconds.
    await awaitValue(machine, "control.count", 1, 1000);
    stuck.destroy();
    await nothingStays("garbage, silent connections, a reader that stops");

    // Two clients, one name: one of them gets it.
    const pair = [await goodClient(), await goodClient()];
    for (let i = 0; i < 5; i++) {
      const params = { kernel: "idle", name: "twin", memory: 4 } as never;
      const both = await Promise.allSettled(pair.map((client) => client.request(createRequest, params).result));
      t.deepEqual(both.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
      const refused = both.find(({ status }) => status === "rejected") as PromiseRejectedResult;
      t.regex((refused.reason as Error).message, /a domain named "twin" exists already/);
      await pair[i % 2]!.request(destroyRequest, { ids: ["twin"] }).result;
    }
    for (const client of pair) client.close();
    await nothingStays("one name twice");

    // Connections that are cut in a create, at once or later: the domain is there and whole, or not at all.
    const cutAfterMs = [0, 0, 1, 2, 3, 5, 8, 12, 20, 40];
    for (const [i, ms] of cutAfterMs.entries()) {
      const socket = await ownConnection();
      socket.write(GREETING);
      const params = { kernel: "hello", name: `cut-${i}`, memory: 200, paused: true };
      socket.write(encodeFrame(REQUEST, 1, Buffer.from(JSON.stringify({ request: "create", params }))));
      await setTimeout(ms);
      socket.destroy();
      await awaitValue(machine, "control.count", 1);
      // Its memory is returned behind its end.
      const there = await evaluate<string[]>(
        machine,
        "domains.all().filter((d) => d.name.startsWith('cut')).map((d) => `${d.name} ${d.uuid.length}`)",
      );
      t.true(there.length === 0 || there.join() === `cut-${i} 36`, there.join());
      if (there.length > 0) await machine.command(`destroy cut-${i}`, COMMAND_MS);
    }
    await nothingStays("cut creates");

    // Ctrl-C in the middle of an upload, and a connection that is cut there.
    const file = path.join(folder, "large.elf");
    writeFileSync(file, randomBytes(60 << 20));
    const begun = "images.coming";
    const { child, said } = startTool("chaos", ["create", "--kernel", file]);
    await awaitValue(machine, begun, 1, 600);
    child.kill("SIGINT");
    const { status, err } = await said;
    t.is(status, 1, err);
    t.regex(err, /^chaos: cancelled: the image is not there\n$/);
    await nothingStays("Ctrl-C in an upload");
    const cut = startTool("chaos", ["create", "--kernel", file]);
    await awaitValue(machine, begun, 1, 600);
    cut.child.kill("SIGKILL");
    await cut.said;
    await nothingStays("an upload whose client is killed");

    t.log(`the client beside them: ${await worker.stop()} domains; domain 0 has grown by ${await grown()} pages`);
    t.true((await grown()) < 2048);
    await powerOff(t, machine);
  },
);
