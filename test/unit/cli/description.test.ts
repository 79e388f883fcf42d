/** The rules for a domain are domain 0's: what is accepted here is accepted there, and what is refused here is refused there. */
import fc from "fast-check";
import test, { type ExecutionContext } from "ava";
import * as here from "../../../toolstack/cli/config/description.ts";
import { vbdSettings, vifSettings } from "../../../toolstack/cli/config/settings.ts";
import { targetOf } from "../../../toolstack/cli/config/target.ts";
import { VBD_TARGET_BYTES } from "../../../abi/io/control-block.ts";
import { FILE_CHARACTERS } from "../../../toolstack/api/devices/names.ts";
import { parseCount, parseMib } from "../../../toolstack/api/options.ts";
import { checkName } from "../../../toolstack/control/domains/name.ts";
import { checkParams } from "../../../toolstack/api/request.ts";
import { createRequest } from "../../../toolstack/api/requests/domains.ts";
import { createParams } from "../../../toolstack/cli/config/create-params.ts";
import { DEFAULT_POLICY } from "../../../toolstack/api/policy.ts";
import { handleOfUuid, isUuid, uuidOfHandle } from "../../../toolstack/control/domains/uuid.ts";
import { formatMac } from "../../../toolstack/api/devices/addresses.ts";
import { parseVbd } from "../../../toolstack/control/noxs/vbd-config.ts";
import { parseVif } from "../../../toolstack/control/noxs/vif-config.ts";
import { descriptions, vbds, vifs } from "./arbitraries.ts";
import { faultsOf } from "./refused.ts";

const LEAST: here.DomainDraft = { name: "x", kernel: { from: "file", name: "k" } };
const WHOLE = { source: "x.cfg" };

function check(draft: here.DomainDraft) {
  return here.checkDescription({ ...LEAST, ...draft }, new Map(), WHOLE);
}

function accepts(action: () => unknown): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}

test("defaults and limits are domain 0's", (t) => {
  t.is(FILE_CHARACTERS, VBD_TARGET_BYTES - 1 - "file:".length);
  t.deepEqual(check({}).policy, DEFAULT_POLICY);
});

test("any description is one that domain 0 takes", (t) => {
  fc.assert(
    fc.property(descriptions, (description) => {
      t.deepEqual(here.checkDescription(description, new Map(), WHOLE), description);
      checkName(description.name);
      t.is(parseMib("memory", String(description.memoryMib), 1, 1024 * 1024), description.memoryMib);
      if (description.uuid === undefined) return;
      t.true(isUuid(description.uuid));
      t.is(uuidOfHandle(handleOfUuid(description.uuid)), description.uuid);
    }),
    { numRuns: 500 },
  );
});

test("what `create` is asked is a request that domain 0 takes", (t) => {
  fc.assert(
    fc.property(descriptions, (description) => {
      const params = createParams(description, "upload-1", "upload-2");
      const { noxs, xenbus, ...read } = checkParams(createRequest, JSON.parse(JSON.stringify(params)));
      t.is(read.uuid, description.uuid);
      t.is(read.weight, description.weight);
      t.deepEqual([noxs, xenbus], [description.model === "noxs", description.model === "xenbus"]);
      t.like(read, {
        kernel: "upload-1",
        ramdisk: "upload-2",
        name: description.name,
        cmdline: description.cmdline,
        memory: description.memoryMib,
        vcpus: description.vcpus,
        paused: description.paused,
      });
      t.is(read.vif?.length, description.vifs.length);
      t.is(read.vbd?.length, description.vbds.length);
    }),
    { numRuns: 500 },
  );
  const longest = check({ cmdline: "x".repeat(4096) });
  t.notThrows(() => checkParams(createRequest, createParams(longest, "k")));
  t.throws(() => check({ cmdline: "x".repeat(4097) }), { message: /is not text of at most 4096 characters/ });
});

test("a vif's settings are read by domain 0 as they were meant", (t) => {
  fc.assert(
    fc.property(vifs, (vif) => {
      const read = parseVif("vif", vifSettings(vif));
      t.is(read.mac && formatMac(read.mac), vif.mac?.toLowerCase());
      t.is(read.ip?.join("."), vif.ip);
      t.is(read.bridge, vif.bridge ?? "xenbr0");
      t.is(read.model, vif.model);
      t.is(read.rate?.bytesPerSecond, vif.rate?.bytesPerSecond);
      if (vif.rate !== undefined) {
        const { bytesPerSecond, intervalUs } = vif.rate;
        const burst = Math.max(2 * 1514, (bytesPerSecond * intervalUs) / 1e6);
        t.true(Math.abs(read.rate!.burstBytes - burst) <= 2, `${read.rate!.burstBytes} is not ${burst}`);
      }
    }),
    { numRuns: 1000 },
  );
});

test("a vbd's settings are read by domain 0 as they were meant", (t) => {
  fc.assert(
    fc.property(vbds, (vbd) => {
      const { target, vdev, writable, model } = parseVbd("vbd", vbdSettings(vbd));
      t.deepEqual({ target, vdev, access: writable ? "w" : "r", model }, { model: undefined, ...vbd });
    }),
    { numRuns: 1000 },
  );
});

/** Texts near what is right, of both kinds. */
function near(...right: string[]): fc.Arbitrary<string> {
  const letters = fc.constantFrom(..."019afzAGZ:-._+@ /%", "ü", "10", "255", "256", "\t");
  return fc.oneof(
    fc.constantFrom(...right),
    fc.string({ unit: letters, maxLength: 20 }),
    // A part of it is replaced.
    fc
      .tuple(fc.constantFrom(...right), fc.nat(20), fc.nat(3), fc.string({ unit: letters, maxLength: 2 }))
      .map(([text, at, length, by]) => text.slice(0, at) + by + text.slice(at + length)),
  );
}

/** Draws until both have been said often enough, and compares what is said here with what domain 0 says. */
function agree(
  t: ExecutionContext,
  texts: fc.Arbitrary<string>,
  isHere: (text: string) => boolean,
  isThere: (text: string) => boolean,
): void {
  let [accepted, refused] = [0, 0];
  fc.assert(
    fc.property(texts, (text) => {
      const there = isThere(text);
      t.is(isHere(text), there, JSON.stringify(text));
      if (there) accepted++;
      else refused++;
    }),
    { numRuns: 3000 },
  );
  t.true(accepted > 100 && refused > 100, `${accepted} accepted, ${refused} refused`);
}

/** What can stand in a list of settings: domain 0 trims, and separates them at commas. */
function isSetting(text: string): boolean {
  return text === text.trim() && text !== "" && !text.includes(",");
}

test("names", (t) => {
  const texts = fc.oneof(
    near("web", "guest-7", "12", "a".repeat(64), "ü".repeat(32)),
    fc.string({ minLength: 60, maxLength: 68 }),
  );
  agree(
    t,
    texts,
    (name) => accepts(() => check({ name })),
    (name) => accepts(() => checkName(name)),
  );
});

test("UUIDs", (t) => {
  const texts = near(
    "5f0c1c3a-9c3f-4f43-9a6f-8c1b6a1f0d2e",
    "FFFFFFFF-9c3f-4f43-9a6f-8c1b6a1f0d2e",
    "00000000-0000-0000-0000-000000000000",
  );
  agree(
    t,
    texts,
    (uuid) => accepts(() => check({ uuid })),
    (uuid) => isUuid(uuid),
  );
});

for (const [part, ...right] of [
  ["mac", "00:16:3e:12:34:56", "02:00:00:00:00:00", "01:00:00:00:00:00", "00:00:00:00:00:00"],
  ["ip", "10.0.0.2", "223.255.255.255", "127.0.0.1", "0.1.2.3", "224.0.0.1"],
  ["bridge", "xenbr0", "a.b-c_d", "fifteen-letters", "sixteen-letters-"],
  ["model", "noxs", "xenbus"],
] as const) {
  test(`a vif's ${part}`, (t) => {
    // Domain 0 takes dashes in a MAC address, too; xl does not.
    const texts = near(...right).filter((text) => isSetting(text) && !(part === "mac" && text.includes("-")));
    agree(
      t,
      texts,
      (text) => accepts(() => check({ vifs: [{ [part]: text }] })),
      (text) => accepts(() => parseVif("vif", `${part}=${text}`)),
    );
  });
}

test("a disk's name", (t) => {
  const names = [
    "xvda",
    "xvdb15",
    "xvdz255",
    "xvdaa256",
    "sdp15",
    "sdq",
    "sda16",
    "hdd63",
    "hda64",
    "hde",
    "d0",
    "d1048575p255",
  ];
  agree(
    t,
    near(...names, "d1048576", "d0p256", "xvd", "xvda0", "xvda01").filter(isSetting),
    (vdev) => accepts(() => check({ vbds: [{ target: { kind: "volume", name: "a" }, vdev, access: "w" }] })),
    (vdev) => accepts(() => parseVbd("vbd", `target=a,vdev=${vdev}`)),
  );
});

test("what a disk is on", (t) => {
  const targets = [
    "data",
    "volume:data",
    "ram:4M",
    "ram:16M",
    "ram:16385K",
    "ram:513B",
    "ram:1.5M",
    "module:a/b",
    "part:my data",
    "file:x",
  ];
  agree(
    t,
    near(...targets, "ram:", "part:", `volume:${"a".repeat(63)}`, `volume:${"a".repeat(64)}`, "ram:0", "ram:1T").filter(
      isSetting,
    ),
    (text) => {
      const target = targetOf(text);
      return typeof target !== "string" && accepts(() => check({ vbds: [{ target, vdev: "xvda", access: "r" }] }));
    },
    (text) => accepts(() => parseVbd("vbd", `target=${text},vdev=xvda,access=r`)),
  );
});

test("memory and vCPUs", (t) => {
  const counts = near("1", "32", "64", "65", "1048576", "1048577", "0").filter((text) => /^[0-9]+$/.test(text));
  const draws = fc.oneof(fc.integer({ min: 1, max: 64 }).map(String), counts);
  agree(
    t,
    fc.oneof(draws, fc.integer({ min: 65, max: 200 }).map(String)),
    (text) => accepts(() => check({ vcpus: Number(text) })),
    (text) => accepts(() => parseCount("vcpus", text, 1, 64)),
  );
  agree(
    t,
    fc.oneof(draws, fc.integer({ min: 1024 * 1024 - 5, max: 1024 * 1024 + 500 }).map(String)),
    (text) => accepts(() => check({ memoryMib: Number(text) })),
    (text) => accepts(() => parseMib("memory", text, 1, 1024 * 1024)),
  );
});

test("one disk is not given under two names", (t) => {
  const target = { kind: "volume", name: "a" } as const;
  const draft = { vbds: ["xvda", "xvdb", "d0", "sda"].map((vdev) => ({ target, vdev, access: "w" as const })) };
  t.deepEqual(
    faultsOf(t, () => check(draft)),
    ["x.cfg: vbds.2.vdev: vdev d0 is another disk's already"],
  );
});

test("a fault is told with the place of the nearest part that is written somewhere", (t) => {
  const places = new Map([
    ["memoryMib", { place: { source: "x.cfg", line: 7 }, key: "memory" }],
    ["vifs.1", { place: { source: "x.cfg", line: 9 }, key: "vif[1]" }],
  ]);
  const draft = { ...LEAST, name: undefined, memoryMib: 0.5, vifs: [{}, { mac: "x" }], kernel: undefined };
  t.deepEqual(
    faultsOf(t, () => here.checkDescription(draft, places, WHOLE)),
    [
      "x.cfg: name: is missing: a name: 1 to 64 bytes without blanks, no number",
      "x.cfg: kernel: is missing: a file's path, or module:NAME for a boot module",
      "x.cfg:7: memory: 0.5 is not a whole number of MiB from 1 to 1048576",
      'x.cfg:9: vif[1]: "x" is not a card\'s own MAC address, such as 00:16:3e:12:34:56',
    ],
  );
});
