/** Requests that look into the machine, the store and guests, as data and as the lines that the prompt shows of the same. */
import test from "ava";
import * as v from "valibot";
import { checkRequest, xenctxRequest } from "../../../../toolstack/api/requests/inspect.ts";
import { createRequest } from "../../../../toolstack/api/requests/domains.ts";
import {
  xenstoreListRequest,
  xenstoreReadRequest,
  xenstoreRemoveRequest,
  xenstoreWriteRequest,
} from "../../../../toolstack/api/requests/store.ts";
import { topRequest } from "../../../../toolstack/api/requests/top.ts";
import type { RequestDefinition } from "../../../../toolstack/api/request.ts";
import { xenctxLines } from "../../../../toolstack/api/results/xenctx.ts";
import { BEYOND_RAM } from "../fake-session.ts";
import { booted, connect, settled } from "./clients.ts";

async function start() {
  const m = await booted();
  const { client } = await connect(m);
  const ask = async <R>(request: RequestDefinition<never, R>, params: object): Promise<R> => {
    const result = await settled(m, client.request(request as never, params as never).result as Promise<R>);
    if (result !== undefined) v.assert(request.result, result);
    return result;
  };
  /** What the prompt shows. */
  const typed = async (line: string) => {
    m.takeOutput();
    await m.type(`${line}\r`);
    return m.takeOutput().replaceAll("\r\n", "\n");
  };
  return { m, ask: ask as <R>(request: unknown, params: object) => Promise<R>, typed };
}

test("the store: written, read, listed with permissions, removed; what a guest wrote stays data", async (t) => {
  const { m, ask, typed } = await start();
  await ask(xenstoreWriteRequest, { path: "/own/a/b", value: "1" });
  await ask(xenstoreWriteRequest, { path: "/own/x", value: "\x1b[2J\u00e9" });
  t.deepEqual(await ask(xenstoreReadRequest, { path: "/own/x" }), { value: "\x1b[2J\xc3\xa9" });
  const listing = await ask<{ nodes: unknown[] }>(xenstoreListRequest, { path: "/own", permissions: true });
  t.deepEqual(listing, {
    path: "/own",
    full: false,
    permissions: true,
    nodes: [
      { path: "/own/a", value: "", permissions: ["n0"] },
      { path: "/own/a/b", value: "1", permissions: ["n0"] },
      { path: "/own/x", value: "\x1b[2J\xc3\xa9", permissions: ["n0"] },
    ],
  });
  const lines = [...xenstoreListRequest.lines!(listing as never)].join("\n");
  t.is(lines, 'a = ""  (n0)\n b = "1"  (n0)\nx = "\\x1b[2J\\xc3\\xa9"  (n0)');
  t.true((await typed("xenstore-ls /own -p")).includes(`\n${lines}\n`));
  t.true((await typed("xenstore-ls -f -p /own")).includes('\n/own/a/b = "1"  (n0)\n'));
  t.regex(await typed("xenstore-ls /own --json"), /^\{"path":"\/own","full":false,.*\}$/m);
  t.regex(await typed("xenstore-read /own/x --json"), /^\{"value":"\\u001b\[2J/m);
  await ask(xenstoreRemoveRequest, { path: "/own/a" });
  t.like(await ask(xenstoreListRequest, { path: "/own" }), { nodes: [{ path: "/own/x" }] });
  await t.throwsAsync(ask(xenstoreReadRequest, { path: "/own/a" }), { message: "/own/a: ENOENT" });
  await t.throwsAsync(ask(xenstoreRemoveRequest, { path: "/own/a" }), { message: "/own/a: ENOENT" });
  await t.throwsAsync(ask(xenstoreListRequest, { path: "/nowhere" }), { message: "/nowhere: ENOENT" });
  await t.throwsAsync(ask(xenstoreReadRequest, { path: "/a//b" }), { message: /is no path/ });
  t.is(m.ended, null);
});

test("a store that is longer than an answer may be is refused as one, and shown at the prompt", async (t) => {
  const { ask, typed } = await start();
  await typed("js for (let i = 0; i < 300; i++) store.write(`/tool/big/${i}`, 'x'.repeat(4000))");
  await t.throwsAsync(ask(xenstoreListRequest, {}), { message: "more than 1 MiB are below /: list parts of it" });
  t.like(await ask(xenstoreListRequest, { path: "/tool/big/299" }), { nodes: [] });
  t.regex(await typed("js domains.all().length"), /\n0\n/);
});

test("top: a sample for each request, domain 0's too; the same rows as at the prompt", async (t) => {
  const { ask, m } = await start();
  await ask(createRequest, { kernel: "hello", name: "web", memory: 16 });
  const first = await ask<{ ns: number; domains: { id: number; name: string }[] }>(topRequest, {});
  t.like(first, { cpus: 1, memoryBytes: 512 * 1024 * 1024 });
  t.deepEqual(
    first.domains.map(({ id, name }) => [id, name]),
    [
      [0, "Domain-0"],
      [1, "web"],
    ],
  );
  t.like(first.domains[1], {
    vcpus: 1,
    memoryBytes: 16 * 1024 * 1024 + BEYOND_RAM * 4096,
    vifs: 0,
    rxBytes: null,
    reads: null,
  });
  await m.pass(1000);
  t.true((await ask<{ ns: number }>(topRequest, {})).ns > first.ns);
});

test("check says what it says at the prompt, and why no guest can run", async (t) => {
  const { ask, typed } = await start();
  const result = await ask<never>(checkRequest, {});
  t.true((await typed("check")).includes(`\n${[...checkRequest.lines!(result)].join("\n")}\n`));
  const refused = { features: [], nested: true, refusal: "No guests can run here" };
  t.deepEqual(
    [...checkRequest.lines!(refused)],
    ["Typevisor itself runs in a virtual machine: what it offers is the hypervisor's choice."],
  );
  t.is(checkRequest.failure(refused), "No guests can run here");
  t.is(checkRequest.failure(result), null);
});

test("xenctx: registers, code, stack and callers as text", (t) => {
  const zero = "0".repeat(16);
  const lines = [
    ...xenctxLines({
      id: 3,
      name: "g",
      vcpus: [
        {
          vcpu: 0,
          state: "running",
          bits: 64,
          ring: 0,
          paging: "4-level",
          registers: { rip: zero, rflags: "00000002", rax: "00000000000000aa" },
          flags: "IF",
          segments: [{ name: "cs", selector: "0010", base: zero, limit: "ffffffff", attributes: "a9b" }],
          tables: [{ name: "gdtr", base: zero, limit: "0007" }],
          pending: "nothing",
          code: "90f4eb",
          stack: { top: "000000000000fff0", wordBytes: 8, words: ["1", "2", "3", "4", "5"] },
          calls: [
            { address: zero, symbol: "main+0x0", sure: true },
            { address: "00000000000000ff", symbol: null, sure: false },
          ],
          missing: null,
        },
      ],
    }),
  ];
  t.is(lines[0], "domain 3 (g), vCPU 0: running, 64-bit code, ring 0, 4-level paging");
  t.is(lines[1], `      rip ${zero}   rflags 00000002 IF`);
  for (const line of [
    "  code: 90 f4 eb",
    "    000000000000fff0: 1 2 3 4",
    "    0000000000010010: 5",
    `    ${zero} main+0x0`,
    "    00000000000000ff ?",
  ])
    t.true(lines.includes(line), line);
  t.is(xenctxRequest.waits, null);
});
