/** LightVM's JSON files, and what is said of wrong ones. */
import fc from "fast-check";
import test from "ava";
import { readChaosConfig } from "../../../toolstack/cli/config/chaos-json.ts";
import { ConfigError } from "../../../toolstack/cli/config/problems.ts";
import { descriptions } from "./arbitraries.ts";
import { printChaos } from "./print.ts";
import { faultsOf, notesOf } from "./refused.ts";

test("a file in the manner of LightVM's for its daytime server", (t) => {
  const config = readChaosConfig(
    `{
  "name": "daytime",
  "kernel": "/root/images/daytime",
  "memory": 8,
  "vcpus": { "count": 1 },
  "paused": false,
  "vifs": [
    { "ip": "10.0.0.2", "mac": "00:16:3e:00:00:01", "bridge": "xenbr0" }
  ],
  "vbds": [
    { "target": "data", "type": "file", "vdev": "xvda", "access": "w" }
  ],
  "xen": { "pvh": true, "dev_method": "noxs" }
}`,
    "daytime.json",
  );
  t.deepEqual(JSON.parse(JSON.stringify(config.description)), {
    name: "daytime",
    kernel: { from: "file", name: "/root/images/daytime" },
    cmdline: "",
    memoryMib: 8,
    vcpus: 1,
    policy: { poweroff: "destroy", reboot: "restart", crash: "destroy", softReset: "soft-reset" },
    vifs: [{ mac: "00:16:3e:00:00:01", ip: "10.0.0.2", bridge: "xenbr0" }],
    vbds: [{ target: { kind: "volume", name: "data" }, vdev: "xvda", access: "w" }],
    model: "noxs",
    paused: false,
  });
  t.deepEqual(notesOf(config), [
    "daytime.json:11: vbds[0].type: accepted without effect: the target says what a disk is on",
  ]);
});

test("devices are in the store unless it says otherwise, as with LightVM, and a kernel is not PV", (t) => {
  const config = readChaosConfig(
    '{ "name": "x", "kernel": "k", "memory": 4, "vcpus": 1, "address_size": 64 }',
    "x.json",
  );
  t.is(config.description.model, "xenbus");
  t.deepEqual(notesOf(config), [
    "x.json: xen.pvh: is not given: chaos would make a PV domain; here the kernel says whether it is PVH or PVHv1",
    "x.json:1: address_size: accepted without effect: the kernel itself says",
  ]);
});

/** A file with these members besides the least: they begin in line 3. */
function withMembers(members: string): string {
  return `{ "name": "x", "kernel": "k", "memory": 4, "vcpus": 1,\n  "xen": { "pvh": true },\n${members} }`;
}

for (const [text, ...said] of [
  ["", "x.json:1: the file ends too early for JSON"],
  ["{", 'x.json:1: "{" in column 1 is not JSON there, or the file ends too early'],
  ['{\n  "name": x }', 'x.json:2: "x" in column 11 is not JSON there'],
  ['{ "name": "x", }', 'x.json:1: "}" in column 16 is not JSON there, or the file ends too early'],
  ["# xl.cfg\n", 'x.json:1: "#" in column 1 is not JSON there'],
  ["[".repeat(100_000), "x.json: lists are nested too deeply"],
  [
    "[]",
    "x.json:1: should be an object with name, kernel, ramdisk, cmdline, memory, vcpus, address_size, vifs, vbds, paused, xen",
  ],
  [
    "{}",
    "x.json: memory: is missing: chaos has no default for it",
    "x.json: vcpus: is missing: chaos has no default for it",
    "x.json: name: is missing: a name: 1 to 64 bytes without blanks, no number",
    "x.json: kernel: is missing: a file's path, or module:NAME for a boot module",
  ],
  [withMembers('"kernle": "k"'), "x.json:3: kernle: is no key of chaos; is kernel meant?"],
  [
    withMembers('"vcpu_affinity": 1'),
    "x.json:3: vcpu_affinity: is no key of chaos; keys: name, kernel, ramdisk, cmdline, memory, vcpus, address_size, vifs, vbds, paused, xen",
  ],
  [withMembers('"name": "y"'), "x.json:3: name: is given twice: in line 1, too"],
  [withMembers('"cmdline": 5'), "x.json:3: cmdline: 5 is not text of at most 4096 characters, none of them 0"],
  [
    withMembers('"cmdline": "a\nb"'),
    "x.json:3: cmdline: a control character in a string: write it as an escape, such as \\n",
  ],
  [withMembers('"ramdisk": ""'), 'x.json:3: ramdisk: "" is not a file\'s path, or module:NAME for a boot module'],
  [withMembers('"paused": 1'), "x.json:3: paused: 1 is not true or false"],
  [withMembers('"address_size": 16'), "x.json:3: address_size: 16 is not one of 32, 64"],
  [withMembers('"vifs": {}'), "x.json:3: vifs: should be an array of objects"],
  [withMembers('"vifs": [\n[]]'), "x.json:4: vifs[0]: should be an object with ip, mac, bridge"],
  [
    withMembers('"vifs": [\n{},\n{\n"mac": "x" }]'),
    'x.json:6: vifs[1].mac: "x" is not a card\'s own MAC address, such as 00:16:3e:12:34:56',
  ],
  [withMembers('"vifs": [{ "rate": "1Mb/s" }]'), "x.json:3: vifs[0].rate: is no key of chaos; keys: ip, mac, bridge"],
  [withMembers('"vbds": [{ "vdev": "xvda", "access": "r" }]'), "x.json:3: vbds[0]: target is missing"],
  [
    withMembers('"vbds": [{ "target": 5, "vdev": "xvda", "access": "r" }]'),
    "x.json:3: vbds[0].target: 5 is not a text",
  ],
  [
    withMembers('"vbds": [{ "target": "a", "type": "qcow", "vdev": "q" }]'),
    'x.json:3: vbds[0].type: "qcow" is not one of phy, file',
    'x.json:3: vbds[0].vdev: "q" is not a disk\'s name such as xvda or xvdb1',
    "x.json:3: vbds[0]: is missing: one of r, w",
  ],
  [withMembers('"xen": 1'), "x.json:3: xen: is given twice: in line 2, too"],
] as [string, ...string[]][]) {
  test(`${JSON.stringify(text.slice(0, 20) + text.slice(-60))} is refused: ${said[0]}`, (t) => {
    t.deepEqual(
      faultsOf(t, () => readChaosConfig(text, "x.json")),
      said,
    );
  });
}

for (const [xen, said] of [
  [
    '{ "pvh": false }',
    "xen.pvh: is not true, and there are no other guests: the kernel says whether it is PVH or PVHv1",
  ],
  ['{ "pvh": true, "dev_method": "xs" }', 'xen.dev_method: "xs" is not one of xenstore, noxs'],
  ['{ "pvh": true, "dev_method": "constructor" }', 'xen.dev_method: "constructor" is not one of xenstore, noxs'],
  ['{ "pvh": true, "dev_meth": "noxs" }', "xen.dev_meth: is no key of chaos; is dev_method meant?"],
  ["5", "xen: should be an object with pvh, dev_method"],
]) {
  test(`xen ${xen} is refused`, (t) => {
    const text = `{ "name": "x", "kernel": "k", "memory": 4, "vcpus": 1,\n"xen": ${xen} }`;
    t.deepEqual(
      faultsOf(t, () => readChaosConfig(text, "x.json")),
      [`x.json:2: ${said}`],
    );
  });
}

for (const [vcpus, said] of [
  ["0", "vcpus: 0 is not a whole number from 1 to 64"],
  ['"1"', 'vcpus: "1" is not a whole number from 1 to 64'],
  ["{}", "vcpus: count is missing"],
  ['{ "count": 65 }', "vcpus.count: 65 is not a whole number from 1 to 64"],
  [
    '{ "count": 1, "cpumap": [[0]] }',
    "vcpus.cpumap: not supported: vCPUs run on every CPU that Typevisor uses; leave it out",
  ],
  ['{ "count": 1, "cpus": 1 }', "vcpus.cpus: is no key of chaos; keys: count, cpumap"],
]) {
  test(`vcpus ${vcpus} is refused`, (t) => {
    const text = `{ "name": "x", "kernel": "k", "memory": 4,\n"vcpus": ${vcpus} }`;
    t.deepEqual(
      faultsOf(t, () => readChaosConfig(text, "x.json")),
      [`x.json:2: ${said}`],
    );
  });
}

test("any description that is printed as JSON is read as it was", (t) => {
  fc.assert(
    fc.property(descriptions, (description) => {
      const { description: read } = readChaosConfig(printChaos(description), "x.json");
      const {
        vifs,
        vbds,
        model,
        uuid: _uuid,
        policy: _policy,
        weight: _weight,
        ...expected
      } = JSON.parse(JSON.stringify(description));
      const {
        vifs: readVifs,
        vbds: readVbds,
        model: readModel,
        policy: _default,
        ...rest
      } = JSON.parse(JSON.stringify(read));
      t.deepEqual(rest, expected);
      t.deepEqual(
        readVifs,
        vifs.map(({ rate: _rate, model: _model, ...vif }: { rate: unknown; model: unknown }) => vif),
      );
      t.deepEqual(
        readVbds,
        vbds.map(({ model: _model, ...vbd }: { model: unknown }) => vbd),
      );
      t.is(readModel, model ?? "xenbus");
    }),
    { numRuns: 500 },
  );
});

test("what JSON.parse refuses is refused, and nothing but a ConfigError is ever thrown", (t) => {
  const valid = withMembers('"vifs": [ {}, { "mac": "02:00:00:00:00:01" } ], "paused": false');
  const edits = fc.tuple(
    fc.nat(valid.length),
    fc.nat(2),
    fc.constantFrom("", '"', "{", "]", ",", ":", "\\", "\n", "\t", "0", "-", "e", "é"),
  );
  let [accepted, refused] = [0, 0];
  fc.assert(
    fc.property(
      fc.oneof(
        fc.json(),
        edits.map(([at, length, by]) => valid.slice(0, at) + by + valid.slice(at + length)),
      ),
      (text) => {
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        try {
          readChaosConfig(text, "x.json");
          t.true(isJson, `${JSON.stringify(text)} is no JSON, and was accepted`);
          accepted++;
        } catch (error) {
          t.true(error instanceof ConfigError, String(error));
          refused++;
        }
      },
    ),
    { numRuns: 3000 },
  );
  t.true(accepted > 20 && refused > 1000, `${accepted} accepted, ${refused} refused`);
});
