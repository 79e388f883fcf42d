/** From xl.cfg files to descriptions: the keys together, and what is said of wrong ones. */
import fc from "fast-check";
import test from "ava";
import { readXlConfig } from "../../../toolstack/cli/config/xl-cfg.ts";
import { descriptions } from "./arbitraries.ts";
import { printXl } from "./print.ts";
import { faultsOf, notesOf } from "./refused.ts";

const LEAST = { uuid: undefined, ramdisk: undefined, model: undefined };

/** Of a file with a name, a kernel and a type, and these lines behind it: they begin with line 4. */
function withLines(lines: string, settings: string[] = []) {
  return readXlConfig(`name = "web"\nkernel = "k"\ntype = "pvh"\n${lines}`, "web.cfg", settings);
}

test("a file for Linux in the manner of Xen's example for PVH is taken, once its disk is one that there is", (t) => {
  const example = (disk: string) => `
# A guest of type PVH.
type = "pvh"
name = "linux-guest"
# uuid = "11111111-2222-3333-4444-555555555555"

kernel = "/boot/vmlinuz-6.1"
#ramdisk = "/boot/initrd.img-6.1"
extra = "root=/dev/xvda1 console=hvc0"

memory = 512 # MB
vcpus = 4

vif = [ '' ]
disk = [ '${disk}' ]
`;
  t.deepEqual(
    faultsOf(t, () => readXlConfig(example("/dev/vg/linux-guest,raw,xvda,rw"), "pvh.cfg")),
    [
      'pvh.cfg:15: disk[0].target: "/dev/vg/linux-guest" is a path, and disks are no files here: write the name of a volume ' +
        "(`volume create NAME SIZE` in Typevisor's console makes one), part:LABEL, file:LABEL/PATH, module:NAME or ram:SIZE",
    ],
  );
  const { description, notes } = readXlConfig(example("linux-guest,raw,xvda,rw"), "pvh.cfg");
  t.deepEqual(notes, []);
  t.like(description, {
    ...LEAST,
    name: "linux-guest",
    kernel: { from: "file", name: "/boot/vmlinuz-6.1" },
    cmdline: "root=/dev/xvda1 console=hvc0",
    memoryMib: 512,
    vcpus: 4,
    policy: { poweroff: "destroy", reboot: "restart", crash: "destroy", softReset: "soft-reset" },
    vifs: [{}],
    vbds: [{ target: { kind: "volume", name: "linux-guest" }, vdev: "xvda", access: "w" }],
    paused: false,
  });
});

test("a file for PVH with all that a host may ask for", (t) => {
  const { description, notes } = readXlConfig(
    `name = 'all'; type = 'pvh'; uuid = "5F0c1c3a-9c3f-4f43-9a6f-8c1b6a1f0d2e"
kernel = "module:linux"; ramdisk = "initrd"
root = "/dev/xvda1 ro"
extra = "quiet"
memory = 0x100; maxmem = 256
vcpus = "2"; maxvcpus = 2
on_poweroff = "preserve"; on_reboot = "destroy"
on_crash = "restart"
on_watchdog = "restart"
on_soft_reset = "preserve"
vif = [ "mac=00:16:3e:12:34:56,bridge=xenbr1,ip=10.0.0.2,rate=1MB/s@20ms", "model=xenbus" ]
disk = [
  "format=raw,vdev=xvda,access=ro,target=part:my data",
  "ram:4M,,xvdb",
]
`,
    "all.cfg",
  );
  t.deepEqual(notes, []);
  t.deepEqual(JSON.parse(JSON.stringify(description)), {
    name: "all",
    uuid: "5F0c1c3a-9c3f-4f43-9a6f-8c1b6a1f0d2e",
    kernel: { from: "module", name: "linux" },
    ramdisk: { from: "file", name: "initrd" },
    cmdline: "root=/dev/xvda1 ro quiet",
    memoryMib: 256,
    vcpus: 2,
    maxVcpus: 2,
    policy: { poweroff: "preserve", reboot: "destroy", crash: "restart", softReset: "preserve" },
    vifs: [
      { mac: "00:16:3e:12:34:56", bridge: "xenbr1", ip: "10.0.0.2", rate: { bytesPerSecond: 1e6, intervalUs: 20_000 } },
      { model: "xenbus" },
    ],
    vbds: [
      { target: { kind: "part", name: "my data" }, vdev: "xvda", access: "r" },
      { target: { kind: "ram", name: "4194304" }, vdev: "xvdb", access: "w" },
    ],
    paused: false,
  });
});

test("files for other guests are refused by the name of the key", (t) => {
  const hvm = `name = "hvm"\nbuilder = "hvm"\nmemory = 1024\nvga = "stdvga"\nboot = "cd"\nvif = ['type=ioemu']\n`;
  t.deepEqual(
    faultsOf(t, () => readXlConfig(hvm, "hvm.cfg")),
    [
      "hvm.cfg: kernel: is missing: a file's path, or module:NAME for a boot module",
      'hvm.cfg:2: builder: not supported: it means "hvm" or PV, of which there is none here: type = "pvh"',
      "hvm.cfg:6: vif[0].type: not supported: there are no emulated cards: leave it out; accepted: vif",
    ],
  );
  for (const [type, kinds] of [
    ["hvm", "there are no HVM guests here; "],
    ["pv", "there are no PV guests here; "],
    ["PVH", ""],
  ]) {
    t.deepEqual(
      faultsOf(t, () => readXlConfig(`name = "x"; kernel = "k"\ntype = "${type}"`, "x.cfg")),
      [`x.cfg:2: type: "${type}" is not supported: ${kinds}accepted: "pvh"`],
    );
  }
});

test("without a type there is a note: xl would make a PV domain", (t) => {
  const config = readXlConfig('name = "x"; kernel = "k"', "x.cfg");
  t.deepEqual(notesOf(config), [
    'x.cfg: type: is not given: xl would make a PV domain; here the kernel says whether it is PVH or PVHv1 (type = "pvh")',
  ]);
  t.is(config.description.memoryMib, 32, "libxl's default");
  t.is(config.description.vcpus, 1);
});

for (const [lines, ...said] of [
  ["memory = 0", "web.cfg:4: memory: 0 is not a whole number of MiB from 1 to 1048576"],
  ['\n\nmemory = "much"', 'web.cfg:6: memory: "much" is not a whole number of MiB from 1 to 1048576'],
  ['memory = "-5"', "web.cfg:4: memory: -5 is not a whole number of MiB from 1 to 1048576"],
  ["memory = 08", 'web.cfg:4: memory: "08" is not a whole number of MiB from 1 to 1048576'],
  ["maxvcpus = [2]", "web.cfg:4: maxvcpus: is a list, and should be a single value"],
  ["maxmem = 5\nmemory = []", "web.cfg:5: memory: is a list, and should be a single value"],
  [
    "vif = [\n[], 'mac=x' ]",
    "web.cfg:5: vif[0]: is a list, and should be a text",
    'web.cfg:5: vif[1].mac: "x" is not a card\'s own MAC address, such as 00:16:3e:12:34:56',
  ],
  ["memory = [512]", "web.cfg:4: memory: is a list, and should be a single value"],
  ["memory = 5\nmemory += 12", "web.cfg:5: memory: +=  joins texts: use = for a number".replace("  ", " ")],
  ["vcpus = 65", "web.cfg:4: vcpus: 65 is not a whole number from 1 to 64"],
  [
    "memory = 512\nmaxmem = 1024",
    "web.cfg:5: maxmem: 1024 is not the same as memory, 512: a guest starts with all of its memory",
  ],
  ["vcpus = 4\nmaxvcpus = 3", "web.cfg:5: maxvcpus: 3 is less than vcpus, 4"],
  ["maxvcpus = 65", "web.cfg:4: maxvcpus: 65 is not a whole number from 1 to 64"],
  ['cpus = "^all"', 'web.cfg:4: cpus: "^" cannot leave out "all"'],
  [
    'cpus = [ "0", "x" ]\nvcpus = 2',
    'web.cfg:4: cpus[1]: "x" is none of all, N, N-M, nodes:N and nodes:all, nor one of them to be left out, such as ^N',
  ],
  ['cpus = [ "0",\n"1" ]', "web.cfg:5: cpus[1]: there is no vCPU 1"],
  ["cpus_soft = [[1]]", "web.cfg:4: cpus_soft[0]: is a list, and should be a text"],
  ["cpus_soft = 64", "web.cfg:4: cpus_soft: CPU 64 is not there: CPUs 0 to 63 are used"],
  ["cpu_weight = 0", "web.cfg:4: cpu_weight: 0 is not a whole number from 1 to 65535"],
  ['cpu_weight = "heavy"', 'web.cfg:4: cpu_weight: "heavy" is not a whole number from 1 to 65535'],
  ["maxmem = 0", "web.cfg:4: maxmem: 0 is not a whole number of MiB from 1 to 1048576"],
  ['on_reboot = "rename-restart"', 'web.cfg:4: on_reboot: "rename-restart" is not one of destroy, restart, preserve'],
  ['on_crash = "coredump-destroy"', 'web.cfg:4: on_crash: "coredump-destroy" is not one of destroy, restart, preserve'],
  ['on_poweroff = "soft-reset"', 'web.cfg:4: on_poweroff: "soft-reset" is not one of destroy, restart, preserve'],
  ['on_soft_reset = "boot"', 'web.cfg:4: on_soft_reset: "boot" is not one of soft-reset, destroy, restart, preserve'],
  [
    'on_watchdog = "restart"',
    "web.cfg:4: on_watchdog: restart is not the same as destroy, which on_crash is when it is not given: there is one action for both",
  ],
  ['name = "4"', 'web.cfg:4: name: "4" is not a name: 1 to 64 bytes without blanks, no number'],
  ['name = "a b"', 'web.cfg:4: name: "a b" is not a name: 1 to 64 bytes without blanks, no number'],
  [
    'uuid = "5f0c"',
    'web.cfg:4: uuid: "5f0c" is not a UUID such as 5f0c1c3a-9c3f-4f43-9a6f-8c1b6a1f0d2e, not of zeroes alone',
  ],
  ['kernel = ""', 'web.cfg:4: kernel: "" is not a file\'s path, or module:NAME for a boot module'],
  ['ramdisk = "module:"', 'web.cfg:4: ramdisk: "" is not a file\'s path, or module:NAME for a boot module'],
  ['vif = "mac=00:16:3e:00:00:01"', 'web.cfg:4: vif: is a single value, and should be a list: vif = [ "…", "…" ]'],
  ["disk = [ ['a'] ]", "web.cfg:4: disk[0]: is a list, and should be a text"],
  ["memry = 5", "web.cfg:4: memry: xl 4.17 has nothing of that name; is memory meant?"],
  ["pvh = 1", "web.cfg:4: pvh: xl 4.17 has nothing of that name"],
  ["pci = ['01:00.0']", "web.cfg:4: pci: not supported: no PCI device is passed to guests: the I/O domain has them"],
  ["nestedhvm = 1", "web.cfg:4: nestedhvm: not supported: guests have no VT-x or AMD-V; accepted: 0"],
  ["extra = 'a'\nextra += ['b']", "web.cfg:5: extra: += joins two lists, or two texts, not one to the other"],
  [
    "memory = 0\nhap = 0\nvif = [ 'mac=x' ]",
    "web.cfg:4: memory: 0 is not a whole number of MiB from 1 to 1048576",
    "web.cfg:5: hap: not supported: memory is virtualised by nested paging only: leave it out; accepted: 1",
    'web.cfg:6: vif[0].mac: "x" is not a card\'s own MAC address, such as 00:16:3e:12:34:56',
  ],
] as [string, ...string[]][]) {
  test(`${JSON.stringify(lines)} is refused`, (t) => {
    t.deepEqual(
      faultsOf(t, () => withLines(lines)),
      said,
    );
  });
}

for (const [lines, ...said] of [
  ["memory = 64\nmemory = 128", "web.cfg:5: memory: replaces what line 4 says"],
  [
    "pae = 1\nvga = 'qxl'",
    "web.cfg:4: pae: accepted without effect: for HVM guests only: xl has no use for it in a PVH guest either",
    "web.cfg:5: vga: accepted without effect: for HVM guests only: xl has no use for it in a PVH guest either",
  ],
  [
    "nestedhvm = 0\npci = []",
    "web.cfg:4: nestedhvm: accepted: it is 0 anyway",
    "web.cfg:5: pci: accepted: it is empty",
  ],
  [
    "root = 'a'\nextra = 'b'\ncmdline = 'c'",
    "web.cfg:4: root: left out: there is a cmdline, which takes its place, as in xl",
    "web.cfg:5: extra: left out: there is a cmdline, which takes its place, as in xl",
  ],
  ["on_crash = 'restart'", "web.cfg:4: on_crash: for a watchdog that ran out too, where xl's default is destroy"],
] as [string, ...string[]][]) {
  test(`${JSON.stringify(lines)} is taken with a note`, (t) => {
    t.deepEqual(notesOf(withLines(lines)), said);
  });
}

test("vCPUs, their CPUs and their weight", (t) => {
  const read = (lines: string) => {
    const { description, notes } = withLines(lines);
    t.deepEqual(notes, []);
    const { vcpus, maxVcpus, cpus, cpusSoft, weight } = description;
    return JSON.parse(JSON.stringify({ vcpus, maxVcpus, cpus, cpusSoft, weight })) as unknown;
  };
  t.deepEqual(read("maxvcpus = 4"), { vcpus: 1, maxVcpus: 4 });
  t.deepEqual(read("vcpus = 2; maxvcpus = 4\ncpus = '0-3,^2'"), { vcpus: 2, maxVcpus: 4, cpus: ["0-3,^2"] });
  t.deepEqual(read("vcpus = 2\ncpus = [ '2', 'all' ]; cpus_soft = 3; cpu_weight = 512"), {
    vcpus: 2,
    cpus: ["0=2", "1=all"],
    cpusSoft: ["3"],
    weight: 512,
  });
  t.deepEqual(read("cpus = []"), { vcpus: 1, cpus: [] });
});

test("keys that limit each other may be the same, in any notation", (t) => {
  const { description, notes } = withLines(
    "memory = 0x200; maxmem = 512\nmaxvcpus = '2'; vcpus = 02\non_watchdog = 'destroy'",
  );
  t.is(description.memoryMib, 512);
  t.is(description.vcpus, 2);
  t.deepEqual(notes, []);
  t.is(withLines("maxmem = 0100").description.memoryMib, 64, "xl's memory is maxmem where only that is given");
});

test("the command line of the guest", (t) => {
  t.is(withLines("").description.cmdline, "");
  t.is(withLines("root = '/dev/xvda1'").description.cmdline, "root=/dev/xvda1");
  t.is(withLines("extra = 'a b'").description.cmdline, "a b");
  t.is(withLines("extra = 'b'; root = 'a'").description.cmdline, "root=a b");
  t.is(withLines("extra = 'b'; cmdline = 'c'").description.cmdline, "c");
  t.is(withLines("extra = 'a'; extra += ' b'\nextra += ' c'").description.cmdline, "a b c");
});

test("settings of the command line replace the file's, or add to them", (t) => {
  const { description, notes } = withLines("memory = 64\nextra = 'a'\nvif = ['']", [
    "memory=128; vcpus=2",
    'extra+=" b"',
    "vif += ['bridge=xenbr1']",
    'name="other"',
  ]);
  t.deepEqual(notes, []);
  t.like(description, { name: "other", memoryMib: 128, vcpus: 2, cmdline: "a b" });
  t.deepEqual(description.vifs, [{}, { bridge: "xenbr1" }]);
  t.is(readXlConfig("", "x.cfg", ['name="x"', 'kernel="k"']).description.name, "x", "without a file");
});

test("a wrong setting of the command line is named as it was given", (t) => {
  t.deepEqual(
    faultsOf(t, () => withLines("memory = 64", ["memory=0", "vcpu=2"])),
    [
      "argument memory=0: memory: 0 is not a whole number of MiB from 1 to 1048576",
      "argument vcpu=2: vcpu: xl 4.17 has nothing of that name; is vcpus meant?",
    ],
  );
  t.deepEqual(
    faultsOf(t, () => withLines("", ["name=web"])),
    ['argument name=web: "w" where a string in quotes, a number or "[" should be; text has quotes: name = "web"'],
  );
});

test("any description that is printed as xl.cfg is read as it was", (t) => {
  fc.assert(
    fc.property(descriptions, (description) => {
      const { description: read, notes } = readXlConfig(printXl(description), "x.cfg");
      const { model: _model, paused: _paused, ...expected } = description;
      t.deepEqual(JSON.parse(JSON.stringify(read)), { ...JSON.parse(JSON.stringify(expected)), paused: false });
      t.deepEqual(notes, []);
    }),
    { numRuns: 500 },
  );
});
