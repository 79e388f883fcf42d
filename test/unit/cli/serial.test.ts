/** Serial ports as `chaos` reaches them: UNIX sockets, of which each serves one client at a time. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import test from "ava";
import { answerFinder, greetingOf } from "../../../toolstack/api/serial.ts";
import { findTarget } from "../../../toolstack/cli/connection/connect.ts";
import { connectSerial } from "../../../toolstack/cli/connection/serial.ts";
import { keyFileOf, placeText, recordMachine, removeMachine } from "../../../toolstack/cli/connection/machines.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-test-"));
process.env.XDG_RUNTIME_DIR = folder;
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

const NUMBER = "0123456789abcdef";
const EARLIER = "fedcba9876543210";

/** A port; with `greets`, domain 0 is behind it, and sends back what it gets behind the answer. */
async function listen(name: string, greets: boolean): Promise<{ file: string; server: net.Server; seen: number }> {
  const port = { file: path.join(folder, name), server: net.createServer(), seen: 0 };
  port.server.on("connection", (socket) => {
    port.seen++;
    socket.on("error", () => {});
    if (!greets) return;
    // What was on its way to another, a greeting too.
    socket.write(`some bytes, ${greetingOf(EARLIER)}more${greetingOf(NUMBER)}`);
    const finder = answerFinder(NUMBER);
    let answered = false;
    socket.on("data", (bytes) => {
      const rest = answered ? bytes : finder.push(bytes)?.rest;
      if (rest === undefined) return;
      answered = true;
      socket.write(rest);
    });
  });
  port.server.listen(port.file);
  await once(port.server, "listening");
  return port;
}

test("the greeting is answered, and the stream is the caller's", async (t) => {
  const port = await listen("one.sock", true);
  const socket = await connectSerial([port.file], 60_000);
  socket.write("hello");
  socket.resume();
  const [bytes] = (await once(socket, "data")) as [Buffer];
  t.is(bytes.toString(), "hello");
  socket.destroy();
  port.server.close();
});

test("of several ports the first that answers is taken; the others are left", async (t) => {
  const [taken, free] = [await listen("taken.sock", false), await listen("free.sock", true)];
  const socket = await connectSerial([taken.file, path.join(folder, "absent.sock"), free.file], 60_000);
  t.is(free.seen, 1);
  socket.destroy();
  taken.server.close();
  free.server.close();
});

test("errors say what is wrong: all in use, no socket, nobody there", async (t) => {
  const [a, b] = [await listen("a.sock", false), await listen("b.sock", false)];
  await t.throwsAsync(connectSerial([a.file], 600), {
    message: /^no answer within 0\.6 s: its port is in use, which takes one client at a time, or there is no Typevisor/,
  });
  await t.throwsAsync(connectSerial([a.file, b.file], 600), { message: /all of its 2 ports are in use/ });
  a.server.close();
  b.server.close();
  await t.throwsAsync(connectSerial([path.join(folder, "nowhere")], 60_000), {
    message: /^there is no socket .*nowhere$/,
  });
  const left = await listen("left.sock", true);
  const file = path.join(folder, "left-behind.sock");
  left.server.close();
  const child = net.createServer().listen(file);
  await once(child, "listening");
  child.close();
  await t.throwsAsync(connectSerial([file], 60_000), { message: /no socket|nothing listens there/ });
});

test.serial("which machine: a record with sockets, unix:PATH with a key", (t) => {
  const sockets = ["/run/x.0.sock", "/run/x.1.sock"];
  recordMachine({ name: "serial", sockets, keyFile: keyFileOf("serial"), pid: process.pid });
  const target = findTarget("serial", undefined);
  t.like(target, { name: "serial", sockets, keyFile: keyFileOf("serial") });
  t.is(placeText(target), "unix:/run/x.0.sock");
  removeMachine("serial");
  t.like(findTarget("unix:/a/b", "k"), { name: "unix:/a/b", sockets: ["/a/b"], keyFile: "k" });
  t.throws(() => findTarget("unix:/a/b", undefined), { message: /--key FILE is missing: .* behind \/a\/b/ });
  t.throws(() => findTarget("unix:", "k"), { message: /unix: is followed by the path/ });
});
