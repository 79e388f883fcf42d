/** The console's command `control` on the fake machine, whose processor has no random numbers and which has no I/O domain; SHA-256. */
import { createHash, randomBytes } from "node:crypto";
import test from "ava";
import { parseKept } from "../../../../toolstack/control/api/kept.ts";
import { sha256 } from "../../../../toolstack/control/tls/sha256.ts";
import { makeKey } from "../../../../toolstack/cli/connection/key.ts";
import { formatKey } from "../../../../toolstack/api/key.ts";
import { machine } from "../fake-session.ts";

test("control: what there is; a key cannot be made here, nor a wrong one be taken, and nothing typed is shown", async (t) => {
  const m = machine();
  await m.boot();
  m.takeOutput();
  const say = async (keys: string) => {
    await m.type(keys);
    return m.takeOutput().replace(/\r\n/g, "\n");
  };
  const shown = await say("control\r");
  t.regex(
    shown,
    /^key +none\nnetwork +no address: control=off\nserial ports +none\nclients +0\nclosed +no key: .*`control key set`/m,
  );
  t.regex(await say("control key\r"), /^key: none$/m);
  t.regex(await say("control keys\r"), /^control: usage: control \[key \[set \[NAME\]\] \| network/m);
  t.regex(await say("control key set a/b\r"), /^control: NAME: "a\/b" is not 1 to 32 letters/m);
  t.regex(await say("control key set\r"), /not shown; Enter alone makes a key: $/);
  t.regex(
    await say("\r"),
    /^control: no key can be made here: the processor has neither RDSEED nor RDRAND; `chaos key FILE`/m,
  );
  await say("control key set\r");
  const typed = await say("0123456789abcdef\r");
  t.regex(typed, /^control: that is no key: 64 hexadecimal digits .*nothing was changed$/m);
  t.notRegex(typed, /0123/);
  await say("control key set\r");
  t.regex(await say("ab\x03"), /^control: cancelled: nothing was changed$/m);
  // One that is good is refused too where TLS cannot be.
  await say("control key set\r");
  t.regex(await say(`${formatKey(makeKey("boss")).trim()}\r`), /^control: TLS: there are no random numbers for it: /m);
  t.regex(await say("control key\r"), /^key: none$/m);
  t.regex(await say("control network 10.0.2.4\r"), /^control: 10\.0\.2\.4: it is one of ADDRESS\/PREFIX/m);
  t.regex(await say("control network 10.0.2.4/24\r"), /^network: no address: there is no I\/O domain$/m);
});

test("what was kept is read again, and nothing of what is none", (t) => {
  const key = makeKey("boss");
  t.deepEqual(parseKept(JSON.stringify({ key: formatKey(key), network: "dhcp" })), { key, network: "dhcp" });
  for (const text of [undefined, "", "{", "null", "[]", '{"key":7}', '{"key":"x","network":{}}']) {
    t.deepEqual(parseKept(text), { key: null, network: null }, String(text));
  }
});

test("SHA-256 of every length up to three blocks", (t) => {
  for (let length = 0; length < 200; length++) {
    const bytes = randomBytes(length);
    t.is(Buffer.from(sha256(bytes)).toString("hex"), createHash("sha256").update(bytes).digest("hex"));
  }
});
