/** `dns` in a guest: its forms, its errors, and more lookups than the resolver has places. */
import test from "ava";
import { FakeGuest, type GuestOptions } from "./fake-guest.ts";

const names = { "known.test": 0x0a000009, KNOWN: 0x0a00000a };

async function run(code: string, options: GuestOptions = { names }): Promise<string> {
  const head = `const dns = globalThis[Symbol.for("typevisor.module")]("dns"), net = globalThis[Symbol.for("typevisor.module")]("net");
    const codeOf = (work) => work.then((answer) => JSON.stringify(answer), (error) => error.code + " " + error.hostname);\n`;
  const guest = await FakeGuest.run(head + code, options);
  return `${guest.printed}${guest.ended}`;
}

test("names and addresses, by callback and by promise", async (t) => {
  t.is(
    await run(`
      dns.lookup("known.test", (error, address, family) => console.log(error, address, family));
      dns.lookup("known.test", { all: true }, (error, found) => console.log(error, JSON.stringify(found)));
      console.log(await codeOf(dns.promises.resolve4("known.test.")), await codeOf(dns.promises.lookup("1.2.3.4")));
      console.log(await codeOf(dns.promises.resolve("KNOWN")));`),
    'null 10.0.0.9 4\nnull [{"address":"10.0.0.9","family":4}]\n' +
      '["10.0.0.9"] {"address":"1.2.3.4","family":4}\n["10.0.0.10"]\npoweroff',
  );
});

test("what cannot be found fails as in Node, and a connection to it, too", async (t) => {
  t.is(
    await run(`
      const long = "x".repeat(64) + ".test";
      for (const name of ["absent.test", "", "a..b", "with space", "ä.test", long, "a.".repeat(130) + "b"])
        console.log((await codeOf(dns.promises.lookup(name))).slice(0, 22));
      console.log(await codeOf(dns.promises.resolve("known.test", "MX")), await codeOf(dns.promises.lookup("known.test", { family: 6 })));
      net.connect(80, "absent.test").on("error", (error) => console.log(error.message));`),
    [
      "ENOTFOUND absent.test",
      "ENOTFOUND ",
      "ENOTFOUND a..b",
      "ENOTFOUND with space",
      "ENOTFOUND ä.test",
      "ENOTFOUND xxxxxxxxxxxx",
      "ENOTFOUND a.a.a.a.a.a.",
      "ENOTIMP known.test ENOTFOUND known.test",
      "ENOTFOUND: the name has no address, or no server has answered, getaddrinfo 'absent.test'",
      "poweroff",
    ].join("\n"),
  );
  t.is(await run(`console.log(await codeOf(dns.promises.lookup("known.test")));`, {}), "EAI_FAIL known.test\npoweroff");
});

test("lookups beyond the resolver's places wait for their turn", async (t) => {
  const code = `const all = await Promise.all(Array.from({ length: 30 }, (_, i) => dns.promises.lookup("n" + i).catch(() => null)));
    console.log(all.filter((found) => found !== null).length, all.length);`;
  const many = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`n${i}`, i % 3]));
  t.is(await run(code, { names: many, busy: 4 }), "20 30\npoweroff");
});
