/** xl's specifications of disks and vifs. */
import test from "ava";
import { Report } from "../../../toolstack/cli/config/xl-report.ts";
import { formatProblem } from "../../../toolstack/cli/config/problems.ts";
import { readDisk } from "../../../toolstack/cli/config/xl-disk.ts";
import { DISK_PARAMETERS, VIF_PARAMETERS } from "../../../toolstack/cli/config/xl-specs.ts";
import { readVif } from "../../../toolstack/cli/config/xl-vif.ts";

const SPOT = { place: { source: "x.cfg", line: 3 }, key: "disk[0]" };

function disk(spec: string) {
  const report = new Report();
  const vbd = readDisk(spec, SPOT, report);
  return {
    vbd: vbd && JSON.parse(JSON.stringify(vbd)),
    faults: report.faults.map(formatProblem),
    notes: report.notes.map(formatProblem),
  };
}

function vif(spec: string, index = 0) {
  const report = new Report();
  const read = readVif(spec, index, { ...SPOT, key: `vif[${index}]` }, report);
  return { vif: read, faults: report.faults.map(formatProblem), notes: report.notes.map(formatProblem) };
}

const DATA = { target: { kind: "volume", name: "data" }, vdev: "xvda", access: "w" };

for (const [spec, expected] of [
  // The same disk in each of xl's ways.
  ["data,,xvda", DATA],
  ["data,raw,xvda,rw", DATA],
  ["data,raw,xvda,w", DATA],
  ["data, raw, xvda, rw", DATA],
  ["format=raw, vdev=xvda, access=rw, target=data", DATA],
  ["vdev=xvda,target=data", DATA],
  ["vdev=xvda,data", DATA],
  ["phy:data,xvda,w", DATA],
  ["raw:data,xvda,w", DATA],
  ["tap:aio:data,xvda,", DATA],
  ["file:volume:data,xvda", DATA],
  ["data,,xvda:disk,w", DATA],
  ["data,,xvda,discard,access=w", DATA],
  ["volume:data,,xvda", DATA],
  [",,xvda,target=data", DATA],
  ["data,,xvda,r", { ...DATA, access: "r" }],
  ["data,,xvda,access=ro", { ...DATA, access: "r" }],
  ["data,,xvda,model=noxs", { ...DATA, model: "noxs" }],
  ["ram:4M,,xvda", { ...DATA, target: { kind: "ram", name: "4194304" } }],
  ["ram:512K,,xvda", { ...DATA, target: { kind: "ram", name: "524288" } }],
  ["ram:4,,xvda", { ...DATA, target: { kind: "ram", name: "4194304" } }],
  ["ram:1.5MiB,,xvda", { ...DATA, target: { kind: "ram", name: "1572864" } }],
  ["module:site,,xvda", { ...DATA, target: { kind: "module", name: "site" }, access: "r" }],
  ["vdev=xvda,access=r,target=part:a/b c,", { target: { kind: "part", name: "a/b c" }, vdev: "xvda", access: "r" }],
] as [string, object][]) {
  test(`disk "${spec}"`, (t) => {
    const { vbd, faults } = disk(spec);
    t.deepEqual(faults, []);
    t.deepEqual(vbd, expected);
  });
}

const A_PATH =
  "is a path, and disks are no files here: write the name of a volume (`volume create NAME SIZE` in Typevisor's console makes " +
  "one), part:LABEL, file:LABEL/PATH, module:NAME or ram:SIZE";

for (const [spec, ...said] of [
  ["", "disk[0].target: is missing: there are no empty drives"],
  ["data", "disk[0].vdev: is missing: a disk's name such as xvda"],
  ["/dev/vg/data,,xvda", `disk[0].target: "/dev/vg/data" ${A_PATH}`],
  ["phy:vg/data,xvda,w", `disk[0].target: "vg/data" ${A_PATH}`],
  [
    "nfs:data,,xvda",
    'disk[0].target: "nfs:data" is none of NAME, volume:NAME, ram:NAME, module:NAME, part:NAME, file:NAME',
  ],
  ["data,qcow2,xvda", 'disk[0].format: "qcow2" is not raw: convert the image, and write its bytes'],
  ["vhd:data,xvda,w", 'disk[0].format: "vhd" is not raw: convert the image, and write its bytes'],
  ["data,,xvda,x", 'disk[0].access: "x" is not one of r, ro, w, rw'],
  ["data,,xvda,w,5", 'disk[0]: "5" is one too many: target, format, vdev, access are given'],
  ["data,,xvda,format=raw,format=raw", "disk[0].format: is given twice"],
  ["a,,xvda,target=b", "disk[0].target: is given twice"],
  ["data,,hdc:cdrom,r", "disk[0].devtype: not supported: there are no CD-ROM drives: write access=r; accepted: disk"],
  ["data,,hdc,cdrom", "disk[0].cdrom: not supported: there are no CD-ROM drives: write access=r"],
  [
    ",hdc:cdrom,r",
    'disk[0].format: "hdc:cdrom" is not raw: convert the image, and write its bytes',
    "disk[0].target: is missing: there are no empty drives",
  ],
  ["nbd:data,xvda,w", "disk[0].script: not supported: no script is run for a disk"],
  [
    "data,,xvda,backend=storage",
    "disk[0].backend: not supported: disks are the I/O domain's: leave it out; accepted: 0, Domain-0",
  ],
  ["data,,xvda,vdv=xvdb", "disk[0].vdv: xl 4.17 has nothing of that name; is vdev meant?"],
] as [string, ...string[]][]) {
  test(`disk "${spec}" is refused`, (t) => {
    t.deepEqual(
      disk(spec).faults,
      said.map((line) => `x.cfg:3: ${line}`),
    );
  });
}

for (const [spec, expected] of [
  ["", {}],
  ["mac=00:16:3E:74:3d:76,bridge=xenbr0", { mac: "00:16:3E:74:3d:76", bridge: "xenbr0" }],
  ["ip=10.0.0.2, mac=02:00:00:00:00:01,", { ip: "10.0.0.2", mac: "02:00:00:00:00:01" }],
  ["model=noxs", { model: "noxs" }],
  ["devid=0,type=vif,script=vif-bridge,backend=Domain-0,mtu=1500", {}],
  ["script=/etc/xen/scripts/vif-bridge", {}],
  ["rate=10Mb/s", { rate: { bytesPerSecond: 1_250_000, intervalUs: 50_000 } }],
  ["rate=250KB/s", { rate: { bytesPerSecond: 250_000, intervalUs: 50_000 } }],
  ["rate=1MB/s@20ms", { rate: { bytesPerSecond: 1_000_000, intervalUs: 20_000 } }],
  ["rate=8b/s@1us", { rate: { bytesPerSecond: 1, intervalUs: 1 } }],
  ["rate=1GB/s@2s", { rate: { bytesPerSecond: 1e9, intervalUs: 2_000_000 } }],
  // libxlu: seconds, whatever the manual says.
  ["rate=1B/s@3", { rate: { bytesPerSecond: 1, intervalUs: 3_000_000 } }],
  ["rate=1B/s@3m", { rate: { bytesPerSecond: 1, intervalUs: 3_000 } }],
] as [string, object][]) {
  test(`vif "${spec}"`, (t) => {
    const { vif: read, faults } = vif(spec);
    t.deepEqual(faults, []);
    t.deepEqual(read, expected);
  });
}

for (const [spec, said] of [
  ["rate=10Mb", 'vif[0].rate: "10Mb" is not a rate such as 10Mb/s (bits), 250KB/s (bytes) or 1MB/s@20ms'],
  ["rate=010Mb/s", 'vif[0].rate: "010Mb/s" is not a rate such as 10Mb/s (bits), 250KB/s (bytes) or 1MB/s@20ms'],
  ["mac=a,mac=b", "vif[0].mac: is given twice"],
  ["devid=1", 'vif[0].devid: "1" is not 0, the vif\'s place in the list'],
  ["type=ioemu", "vif[0].type: not supported: there are no emulated cards: leave it out; accepted: vif"],
  [
    "script=vif-route",
    "vif[0].script: not supported: no script is run for a vif: it is connected to its bridge; accepted: vif-bridge",
  ],
  ["mtu=9000", "vif[0].mtu: not supported: it is the bridge's: leave it out; accepted: 1500"],
  ["untrusted", "vif[0].untrusted: not supported: no guest is told so"],
  ["brige=xenbr0", "vif[0].brige: xl 4.17 has nothing of that name; is bridge meant?"],
  ["colo_sock_mirror_id=1", "vif[0].colo_sock_mirror_id: not supported: no guest runs on two machines"],
] as [string, string][]) {
  test(`vif "${spec}" is refused`, (t) => {
    t.deepEqual(vif(spec).faults, [`x.cfg:3: ${said}`]);
  });
}

test("an emulated card's name has no effect, as in xl", (t) => {
  t.deepEqual(vif("model=e1000").notes, [
    "x.cfg:3: vif[0].model: accepted without effect: e1000 is an emulated card, for HVM guests only; noxs and xenbus are models here",
  ]);
});

test("every parameter of the tables does what they say", (t) => {
  const VALUES: Record<string, string> = { devid: "0", rate: "1b/s", model: "noxs", access: "r", format: "raw" };
  for (const [table, read] of [
    [DISK_PARAMETERS, (item: string) => disk(`vdev=xvda,${item},target=data`)],
    [VIF_PARAMETERS, vif],
  ] as const) {
    for (const { key, verdict, note, except } of table.values()) {
      if (key === "target" || (key === "vdev" && table === DISK_PARAMETERS)) continue;
      const name = key.replace("colo_...", "colo_x");
      const said = read(`${name}=${VALUES[name] ?? "1"}`);
      t.is(said.faults.length, verdict === "refused" ? 1 : 0, `${name}: ${said.faults.join("; ")}`);
      t.is(said.notes.length, verdict === "idle" ? 1 : 0, `${name}: ${said.notes.join("; ")}`);
      if (verdict !== "supported") t.true([...said.faults, ...said.notes][0].includes(note), name);
      for (const value of except) {
        const excepted = read(`${name}=${value}`);
        t.deepEqual([excepted.faults.length, excepted.notes.length], [0, 1], `${name}=${value}`);
      }
    }
  }
});
