/** The event loop of TypeScript guests, and how a program ends. */
import test from "ava";
import { FakeGuest } from "./fake-guest.ts";

test("promise jobs run between any two callbacks; timers by time, then in the order of their making", async (t) => {
  const guest = await FakeGuest.run(`
    const say = (text) => () => { console.log(text); queueMicrotask(() => console.log(text + "'s job")); };
    setTimeout(say("c"), 20); setTimeout(say("a"), 10); setTimeout(say("b"), 10);
    process.nextTick(say("tick"));
    console.log("now");
  `);
  t.is(guest.printed, "now\ntick\ntick's job\na\na's job\nb\nb's job\nc\nc's job\n");
  t.is(guest.ended, "poweroff");
});

test("timers are cleared by object and by number, repeat, and are refreshed; those without a reference hold nothing", async (t) => {
  const guest = await FakeGuest.run(`
    const no = () => console.log("no");
    clearTimeout(setTimeout(no, 1)); clearTimeout(+setTimeout(no, 1)); clearImmediate(setImmediate(no)); clearTimeout(undefined);
    setTimeout(no, 100000).unref();
    let n = 0;
    const every = setInterval((word) => { console.log(word, ++n); if (n === 3) clearInterval(every); }, 10, "tick");
    const late = setTimeout(() => console.log("late", Math.round(performance.now())), 20);
    setTimeout(() => late.refresh(), 15);
  `);
  t.is(guest.printed, "tick 1\ntick 2\ntick 3\nlate 35\n");
  t.is(guest.ended, "poweroff");
});

test("what is uncaught ends the domain as crashed, wherever it was thrown", async (t) => {
  for (const code of [
    `throw new TypeError("oh")`,
    `setTimeout(() => { throw new TypeError("oh"); }, 5)`,
    `await null; throw new TypeError("oh")`,
    `queueMicrotask(() => { throw new TypeError("oh"); })`,
    `process.on("exit", () => { throw new TypeError("oh"); })`,
  ]) {
    const guest = await FakeGuest.run(code);
    t.regex(guest.printed, /^Uncaught TypeError: oh\n {4}at /, code);
    t.is(guest.ended, "crash", code);
  }
  const thrown = await FakeGuest.run("throw { a: 1 }");
  t.is(thrown.printed, "Uncaught { a: 1 }\n");
});

test("a program may hear of uncaught errors, and goes on", async (t) => {
  const guest = await FakeGuest.run(`
    process.on("uncaughtException", (error) => console.log("heard", error.message));
    setTimeout(() => console.log("on"), 10);
    setTimeout(() => { throw new Error("oh"); }, 5);
  `);
  t.is(guest.printed, "heard oh\non\n");
  t.is(guest.ended, "poweroff");
});

test("exit codes: 0 powers off, others are crashes; exit is heard once", async (t) => {
  const well = await FakeGuest.run(
    `process.on("exit", (code) => console.log("exit", code)); setTimeout(() => process.exit(), 5); setInterval(() => {}, 1000)`,
  );
  t.deepEqual([well.printed, well.ended], ["exit 0\n", "poweroff"]);
  const ill = await FakeGuest.run(`process.exitCode = 4`);
  t.deepEqual([ill.printed, ill.ended], ["/app.ts: exited with status 4\n", "crash"]);
});

test("arguments and environment come from the image and from the domain's command line", async (t) => {
  const guest = await FakeGuest.run(`console.log(process.argv, process.env.A, process.env.B, process.env.C)`, {
    arguments: ["x"],
    environment: { A: "1", B: "2" },
    commandLine: "ip=10.0.0.2 env:B=3 env:C=4=5 -- y z",
  });
  t.is(guest.printed, "[ '/typevisor', '/app.ts', 'x', 'y', 'z' ] 1 3 4=5\n");
});

test("Math.random is another one in every guest", async (t) => {
  const code = `console.log([1, 2, 3].map(() => Math.random()).join()); for (let i = 0; i < 1000; i++) { const x = Math.random(); if (!(x >= 0 && x < 1)) throw x; }`;
  const [one, other] = [await FakeGuest.run(code), await FakeGuest.run(code)];
  t.is(one.ended, "poweroff");
  t.not(one.printed, other.printed);
});

test("files: read, listed, read-only", async (t) => {
  const guest = await FakeGuest.run(
    `const fs = globalThis[Symbol.for("typevisor.module")]("fs");
    console.log(fs.readFileSync("/a/b.txt", "utf8"), fs.readdirSync("/"), fs.readdirSync("/a"), fs.statSync("/a").isDirectory(), fs.statSync("/a/../a/b.txt").size);
    for (const run of [() => fs.readFileSync("/none"), () => fs.writeFileSync("/a/b.txt", ""), () => fs.readFileSync("/a"), () => fs.readFileSync("/__proto__")])
      try { run(); console.log("no"); } catch (error) { console.log(error.code); }
    console.log(await fs.promises.readFile("/c", "utf8"));
    fs.readFile("/d", (error) => console.log(error.code));
    const data = []; fs.createReadStream("/a/b.txt", { start: 1 }).on("data", (d) => data.push(d)).on("end", () => console.log(String(Buffer.concat(data))));`,
    { files: { "/a/b.txt": Buffer.from("grün"), "/c": Buffer.from("c") } },
  );
  t.is(guest.printed, "grün [ 'a', 'c' ] [ 'b.txt' ] true 5\nENOENT\nEROFS\nEISDIR\nENOENT\nc\nENOENT\nrün\n");
});
