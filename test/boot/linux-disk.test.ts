/** A stock Linux guest's disks: xen-blkfront over xenbus, a file system on a volume, restarts meanwhile, and a hard end. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { linuxModules } from "../../scripts/linux/guest.ts";
import { bootToPrompt, COMMAND_MS, powerOff, settle } from "./support/boot.ts";
import { LINUX_MS, startLinux } from "./support/linux.ts";
import { packageTests } from "./support/packages.ts";

const { modules, test: linuxTest, why } = packageTests(() => linuxModules());

const DISK_BYTES = 1 << 30;

linuxTest(
  `Debian's Linux with xen-blkfront: a file system on a volume, also over restarts and a hard end${why}`,
  async (t) => {
    t.timeout(LINUX_MS * 4);
    const folder = mkdtempSync(path.join(tmpdir(), "typevisor-disks-"));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, "disk.img");
    writeFileSync(file, "");
    truncateSync(file, DISK_BYTES);
    const machine = await bootToPrompt(t, { memoryMib: 640, modules, disks: [{ file }] });
    await machine.command("volume format 0; volume create data 256M; volume create other 8M", COMMAND_MS);

    const vbds = "--vbd target=data,vdev=xvda --vbd target=module:site,vdev=xvdb";
    const a = await startLinux(machine, "a", `--memory 192 --vcpus 2 ${vbds}`);
    await a.shell.enter();
    t.regex(
      await a.shell.run("until [ -e /dev/xvda -a -e /dev/xvdb ]; do sleep 0.1; done; cat /sys/block/xvda/size"),
      /^524288$/m,
    );
    t.regex(
      await a.shell.run("cat /sys/block/xvdb/ro; dd if=/dev/zero of=/dev/xvdb bs=4k count=1 2>&1"),
      /^1\s[^]*(Operation not permitted|Read-only)/m,
    );
    t.regex(
      await a.shell.run(
        "mke2fs /dev/xvda >/dev/null 2>&1; mkdir /mnt; mount -t ext4 /dev/xvda /mnt || mount -t ext2 /dev/xvda /mnt; mount | grep /mnt",
      ),
      /^\/dev\/xvda on \/mnt type ext[24]/m,
    );
    // Linux gives requests of more than 11 segments indirectly.
    await a.shell.run("(dd if=/dev/urandom of=/mnt/data bs=1M count=48 2>/dev/null; sync; touch /tmp/written) &");
    await a.shell.leave();
    for (let restarts = 0; restarts < 4; restarts++) {
      await machine.command("io-restart; js await sleep(300)", COMMAND_MS);
    }
    await settle(machine);
    await a.shell.enter();
    await a.shell.run("until [ -e /tmp/written ]; do sleep 0.2; done");
    const sum = /^[0-9a-f]{64}/m.exec(await a.shell.run("umount /mnt; mount /dev/xvda /mnt; sha256sum /mnt/data"))?.[0];
    t.truthy(sum);
    t.notRegex(await a.shell.run("dmesg"), /I\/O error|Call Trace|BUG:/);

    // One more disk, one that grows, one that goes.
    await a.shell.leave();
    t.is(
      (await machine.command("vbd attach a target=other,vdev=xvdc; volume resize other 16M", COMMAND_MS)).trim(),
      "",
    );
    await a.shell.enter();
    await a.shell.run('until [ "$(cat /sys/block/xvdc/size)" = 32768 ]; do sleep 0.1; done');
    t.regex(await a.shell.run("dd if=/dev/zero of=/dev/xvdc bs=1M 2>&1; sync"), /^16\+0 records out/m);
    // What is not flushed when it is destroyed may be lost; the rest may not.
    await a.shell.run("(while dd if=/dev/urandom of=/mnt/more bs=1M count=16 2>/dev/null; do sync; done) &");
    await a.shell.leave();
    t.regex(
      await machine.command("vbd list", COMMAND_MS),
      new RegExp(`^ +${a.id} +xvda +volume:data +w +xenbus +connected `, "m"),
    );
    await machine.command("vbd detach a xvdc; destroy a", COMMAND_MS);
    t.notRegex(await machine.command("vbd list", COMMAND_MS), /^ *\d/m);

    const b = await startLinux(machine, "b", "--memory 192 --vbd target=data,vdev=xvda,access=r");
    await b.shell.enter();
    const mount =
      "until [ -e /dev/xvda ]; do sleep 0.1; done; mkdir /mnt; mount -o ro -t ext4 /dev/xvda /mnt || mount -o ro -t ext2 /dev/xvda /mnt";
    await b.shell.run(mount);
    t.is((await b.shell.run("sha256sum /mnt/data")).trim().split(" ")[0], sum!);
    await b.shell.leave();
    t.regex(await machine.command("volume check 0", COMMAND_MS), /no problem/);
    t.regex(await machine.command("debug-keys a", COMMAND_MS), /0 violations/);
    await powerOff(t, machine);
  },
);
