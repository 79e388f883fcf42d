/**
 * Disks, volumes and vbds on whole machines: guests' data over NoXS and xenbus, through the drivers that the emulators have disks for;
 * what is refused; restarts of the I/O domain, of domain 0 and of the machine.
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import test, { type ExecutionContext } from "ava";
import type { Machine } from "../../scripts/machine.ts";
import { bootToPrompt, COMMAND_MS, consoleSays, GUEST_MS, powerOff, settle, type BootOptions } from "./support/boot.ts";
import { diskFile } from "./support/disk-file.ts";
import { expectFrames, frames } from "./support/frames.ts";

const MIB = 1 << 20;

/** Rows of a listing. */
async function listed(machine: Machine, command: string): Promise<Record<string, unknown>[]> {
  const printed = await machine.command(`${command} --json`, COMMAND_MS);
  // A notice may have come before it.
  const line = printed.split("\n").findLast((text) => text.startsWith("["));
  if (line === undefined) throw new Error(`${command} --json gave no list but: ${printed}`);
  return JSON.parse(line) as Record<string, unknown>[];
}

/** Runs a command that prints nothing. */
async function quietly(t: ExecutionContext, machine: Machine, command: string): Promise<void> {
  t.is((await machine.command(command, GUEST_MS)).trim(), "", command);
}

/** Runs blktest to its end; what it printed. */
async function blktest(t: ExecutionContext, machine: Machine, options: string, cmdline = "seed=1"): Promise<string> {
  const line = `create --kernel blktest --memory 8 ${options} --cmdline '${cmdline}' --wait`;
  const printed = await machine.command(line, GUEST_MS * 2);
  t.regex(printed, /TYPEVISOR-GUEST: PASS blktest/, `${line}\n${printed}`);
  return printed;
}

/** SCHEDOP_shutdown with SHUTDOWN_crash: domain 0 is started anew, at once. A guest whose console nobody reads would find another way. */
async function crashDomain0(machine: Machine): Promise<void> {
  machine.send("js hypercall(29, 2, (memory.store32(0xc01ff000, 3), 0xc01ff000))\r");
  await machine.waitFor("domain 0 was restarted", COMMAND_MS);
  await settle(machine);
}

const DISKS: { driver: string; options: (file: string) => BootOptions }[] = [
  { driver: "virtio-blk", options: (file) => ({ disks: [{ file }] }) },
  {
    driver: "ahci",
    options: (file) => ({
      devices: ["-drive", `file=${file},format=raw,if=none,id=d`, "-device", "ide-hd,drive=d,bus=ide.0"],
    }),
  },
  {
    driver: "nvme",
    options: (file) => ({
      devices: ["-drive", `file=${file},format=raw,if=none,id=d`, "-device", "nvme,drive=d,serial=d"],
    }),
  },
  { driver: "ata", options: (file) => ({ kind: "bochs-vmx", disks: [{ file }] }) },
];

for (const { driver, options } of DISKS) {
  test.serial(
    `a volume on a disk of ${driver}: guests' data, snapshots, and all of it after the next start`,
    async (t) => {
      t.timeout(GUEST_MS * 4);
      const file = diskFile(t, 64 * MIB);
      const machine = await bootToPrompt(t, { memoryMib: 128, ...options(file) });
      t.like(await listed(machine, "disk list"), [{ disk: 0, driver, size: 64 * MIB, store: "none", errors: 0 }]);
      t.regex(await machine.command("volume create data 2M", COMMAND_MS), /no disk has a store.*`volume format DISK`/);
      await quietly(t, machine, "volume format 0");
      t.regex(await machine.command("volume format 0", COMMAND_MS), /disk 0 has a store already, with 0 volumes/);
      await quietly(t, machine, "volume create data 2M");
      await quietly(t, machine, "volume create data 2M --if-absent");
      t.regex(await machine.command("volume create data 2M", COMMAND_MS), /volume or snapshot "data" already/);

      t.regex(
        await blktest(t, machine, "--vbd target=data,vdev=xvda", "seed=5"),
        /4096 sectors of 512 bytes, flush, discard/,
      );
      await blktest(t, machine, "--xenbus --vbd target=data,vdev=xvda", "seed=5 mode=check");
      await quietly(t, machine, "volume snapshot data data@one");
      await quietly(t, machine, "volume resize data 3M");
      t.regex(await blktest(t, machine, "--xenbus --vbd target=data,vdev=xvda", "seed=6"), /6144 sectors/);
      await quietly(t, machine, "volume snapshot data@one second");
      t.like(await listed(machine, "volume list"), [
        { name: "data", kind: "volume", size: 3 * MIB, used: 3 * MIB, from: "data@one", writers: 0 },
        { name: "data@one", kind: "snapshot", size: 2 * MIB, clones: 1 },
        { name: "second", kind: "volume", size: 2 * MIB, from: "data@one" },
      ]);
      t.regex(await machine.command("volume check 0", COMMAND_MS), /disk 0: no problem; 3 volumes with/);
      const [disk] = await listed(machine, "disk list");
      t.true((disk!["writes"] as number) > 100 && (disk!["reads"] as number) > 20, JSON.stringify(disk));
      t.like(disk, { store: "good", volumes: 3, errors: 0, resets: 0 });
      await powerOff(t, machine);

      // The machine is started anew: everything is there, and what is deleted is given back.
      const again = await bootToPrompt(t, { memoryMib: 128, ...options(file) });
      t.is((await listed(again, "volume list")).length, 3);
      await blktest(t, again, "--vbd target=data,vdev=xvda,access=r", "seed=6 mode=check");
      await blktest(t, again, "--vbd target=second,vdev=xvda", "seed=5 mode=check");
      const read = await blktest(t, again, "--xenbus --vbd target=data@one,vdev=xvda,access=r", "seed=5 mode=check");
      t.regex(read, /read-only\n[^]*a write is refused[^]*a discard is refused/);
      t.regex(
        await again.command("volume delete data@one", COMMAND_MS),
        /volumes were made from the snapshot data@one/,
      );
      for (const name of ["second", "data", "data@one"]) await quietly(t, again, `volume delete ${name}`);
      for (;;) {
        const [now] = await listed(again, "disk list");
        if (now!["volumes"] === 0) {
          t.is(now!["free"], now!["storeSize"]);
          break;
        }
      }
      t.regex(await again.command("volume check 0", COMMAND_MS), /no problem; 0 volumes with 0 chunks/);
      await powerOff(t, again);
    },
  );
}

test.serial("counters, several disks of one domain, attaching and detaching", async (t) => {
  t.timeout(GUEST_MS * 2);
  const machine = await bootToPrompt(t, { memoryMib: 128, disks: [{ file: diskFile(t, 64 * MIB) }] });
  await quietly(t, machine, "volume format 0");
  await quietly(t, machine, "volume create a 1M");
  for (const [model, domain] of [
    ["noxs", 1],
    ["xenbus", 2],
  ] as const) {
    const kept = `--${model} --on-poweroff preserve`;
    await blktest(
      t,
      machine,
      `${kept} --vbd target=a,vdev=xvda --vbd target=ram:64K,vdev=xvdb --vbd target=module:site,vdev=xvdc`,
    );
    const vbds = (await listed(machine, "vbd list")) as Record<string, number>[];
    t.deepEqual(
      vbds.map(({ vdev, target, access }) => `${vdev} ${target} ${access}`),
      ["xvda volume:a w", "xvdb ram:64K w", "xvdc module:site r"],
    );
    const disk = vbds[0]!;
    t.like(disk, {
      domain,
      target: "volume:a",
      access: "w",
      model,
      size: MIB,
      errors: 0,
      refused: 1,
      failure: null,
    } as never);
    // It has written all of it twice, and more, and read it as often.
    t.true(disk["writtenBytes"]! > 2 * MIB && disk["readBytes"]! > 2 * MIB, JSON.stringify(disk));
    t.true(
      disk["writes"]! > 50 && disk["reads"]! > 50 && disk["flushes"]! >= 3 && disk["discards"] === 1,
      JSON.stringify(disk),
    );
    await machine.command(`destroy ${domain}`, COMMAND_MS);
    t.deepEqual(await listed(machine, "vbd list"), []);
  }

  const before = await frames(machine);
  const id = await machine.createDomain("--kernel idle --memory 4 --vbd target=ram:64K,vdev=xvda", COMMAND_MS);
  await quietly(t, machine, `vbd attach ${id} target=a,vdev=xvdb`);
  const info = await machine.command(`info ${id}`, COMMAND_MS);
  t.regex(
    info,
    /^kernel +idle\nsize +4 MiB, 1 vCPU\nvbd +target=ram:65536B,vdev=xvda,access=w,model=noxs\nvbd +target=volume:a,vdev=xvdb/m,
  );
  t.regex(await machine.command(`vbd attach ${id} target=a,vdev=d1`, COMMAND_MS), /has a vbd xvdb already/);
  t.regex(await machine.command("volume delete a", COMMAND_MS), new RegExp(`a is in use: domain ${id} has it as xvdb`));
  t.regex(await machine.command("volume resize a 512K", COMMAND_MS), /while it is, it can only be made larger/);
  await quietly(t, machine, "volume resize a 2M");
  t.is((await listed(machine, "vbd list")).find(({ vdev }) => vdev === "xvdb")!["size"], 2 * MIB);
  await quietly(t, machine, `vbd detach ${id} xvdb`);
  t.regex(await machine.command(`vbd detach ${id} xvdb`, COMMAND_MS), new RegExp(`domain ${id} has no vbd xvdb`));
  await quietly(t, machine, "volume delete a");
  await machine.command(`destroy ${id}`, COMMAND_MS);
  await expectFrames(t, machine, before, "after disks that came and went");
  await powerOff(t, machine);
});

test.serial("wrong words about disks are refused, and leave nothing; foreign contents stay", async (t) => {
  t.timeout(GUEST_MS * 2);
  const foreign = diskFile(t, 16 * MIB);
  const handle = openSync(foreign, "r+");
  writeSync(handle, "someone's data", 3 * 512);
  closeSync(handle);
  const was = readFileSync(foreign);
  const small = diskFile(t, 1 * MIB);
  const machine = await bootToPrompt(t, { memoryMib: 128, disks: [{ file: foreign }, { file: small }] });
  // Control pages stay, and tables that grow with the first vbds.
  const full = Array.from({ length: 33 }, (_, i) => `--vbd target=ram:4K,vdev=d${i}`).join(" ");
  const tooMany = `create --kernel hello ${full}`;
  const tooLarge = "create --kernel hello --vbd target=ram:16M,vdev=xvda --vbd target=ram:4K,vdev=xvdb";
  await machine.command(`${tooMany}; ${tooLarge}`, COMMAND_MS);
  const before = await frames(machine);
  for (const [line, says] of [
    [
      "volume format 0",
      /disk 0 has something on it that is no partition table; `volume format 0 --overwrite-disk` loses/,
    ],
    ["volume format 0 --replace-store", /has something on it/],
    ["volume format 1", /disk 1 is too small/],
    ["volume format 2", /there is no disk 2; `disk list` shows them/],
    ["volume format all", /DISK: "all" is not a whole number/],
    ["volume check 0", /disk 0 has no store/],
    ["volume create x 64M", /no disk has a store/],
    ["volume create ../x 64M", /"\.\.\/x" is no name of a volume/],
    ["volume create x 1000", /no disk has a store/],
    ["volume create x 1K", /1K is no multiple of 4096 bytes/],
    ["volume create x lots", /"lots" is no size such as 64M/],
    ["volume rename a b", /"rename" is unknown: list\|create\|delete\|resize\|snapshot\|format\|check/],
    ["create --kernel hello --vbd target=x,vdev=xvda", /create: no disk has a store/],
    ["create --kernel hello --vbd target=part:x,vdev=xvda", /no disk has a partition with the label "x"/],
    ["create --kernel hello --vbd target=module:x,vdev=xvda", /there is no boot module "x"; `modules` shows them/],
    [
      "create --kernel hello --vbd target=module:hello,vdev=xvda",
      /"hello" has \d+ bytes: a disk has a multiple of 512/,
    ],
    ["create --kernel hello --vbd target=module:site,vdev=xvda,access=w", /a boot module is read-only/],
    [tooLarge, /all RAM vbds together have 16M/],
    ["create --kernel hello --vbd target=ram:4K,vdev=xvda --vbd target=ram:4K,vdev=d0", /vdev: d0 is given twice/],
    ["create --kernel hello --vbd target=ram:4K", /vdev is missing/],
    ["create --kernel hello --vbd vdev=xvda", /target is missing/],
    ["create --kernel hello --vbd target=ram:4K,vdev=cdrom", /"cdrom" is no disk's name/],
    [tooMany, /device page is full: it has room for 32 devices/],
    ["vbd attach 99 target=ram:4K,vdev=xvda", /no domain "99"/],
    ["vbd detach 99 xvda", /no domain "99"/],
    ["vbd", /one word is missing: list\|attach\|detach/],
  ] as const) {
    t.regex(await machine.command(line, COMMAND_MS), says, line);
  }
  t.deepEqual(await listed(machine, "vbd list"), []);
  t.regex(await machine.command("list", COMMAND_MS), /^Domain-0 .*\nDomain-IO [^\n]*\s*$/m);
  await expectFrames(t, machine, before, "after what was refused");
  await powerOff(t, machine);
  t.true(readFileSync(foreign).equals(was), "nothing was written to the disk");

  const again = await bootToPrompt(t, { memoryMib: 128, disks: [{ file: foreign }] });
  await quietly(t, again, "volume format 0 --overwrite-disk");
  t.like(await listed(again, "disk list"), [{ store: "good", partitions: 1 }]);
  await powerOff(t, again);
});

test.serial(
  "no write that was flushed is lost while the I/O domain is killed, and domain 0; frontends notice a pause",
  async (t) => {
    t.timeout(GUEST_MS * 4);
    const machine = await bootToPrompt(t, { memoryMib: 192, disks: [{ file: diskFile(t, 128 * MIB) }] });
    await quietly(t, machine, "volume format 0");
    for (const name of ["log", "bus"]) await quietly(t, machine, `volume create ${name} 4M`);
    const log = (volume: string, model: string, cmdline: string) =>
      `--kernel blktest --memory 8 --${model} --vbd target=${volume},vdev=xvda --vbd target=ram:64K,vdev=xvdb ` +
      `--name ${volume} --cmdline '${cmdline}'`;
    for (const [volume, model] of [
      ["log", "noxs"],
      ["bus", "xenbus"],
    ] as const) {
      await machine.createDomain(log(volume, model, "mode=log flush=64"), COMMAND_MS);
    }
    for (let kill = 0; kill < 20; kill++) {
      if (kill === 10) await crashDomain0(machine);
      await machine.command("io-restart; js await sleep(100)", COMMAND_MS);
    }
    await settle(machine);
    for (const [volume, model] of [
      ["log", "noxs"],
      ["bus", "xenbus"],
    ] as const) {
      const vbds = await listed(machine, "vbd list");
      t.true(
        vbds.some(
          ({ target, state, errors }) => target === `volume:${volume}` && state === "connected" && errors === 0,
        ),
        JSON.stringify(vbds),
      );
      // It goes on writing: what it says now is later than all restarts.
      await consoleSays(machine, volume, /blktest flushed \d+/, GUEST_MS);
      const said = await consoleSays(machine, volume, /blktest flushed (\d+), waited [^\n]*\n/, GUEST_MS);
      await machine.command(`destroy ${volume}`, COMMAND_MS);
      const check = `${log(volume, model, `mode=log-check flushed=${said[1]}`)} --wait`;
      const checked = await machine.command(`create ${check}`, GUEST_MS);
      t.regex(checked, /TYPEVISOR-GUEST: PASS blktest/, checked);
    }
    t.deepEqual(await listed(machine, "vbd list"), []);
    t.regex(await machine.command("volume check 0", COMMAND_MS), /no problem; 2 volumes/);
    t.regex(await machine.command("debug-keys a", COMMAND_MS), /0 violations/);
    await powerOff(t, machine);
  },
);
