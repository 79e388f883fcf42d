/** Stock Linux guests' disks: ext4 and fio's verification on volumes, also while the I/O domain is restarted; discard; what is read-only. */
import type { ExecutionContext } from "ava";
import { debianInitramfs, linuxModules } from "../../scripts/linux/guest.ts";
import type { LinuxShell } from "../../scripts/linux/shell.ts";
import { bootToPrompt, COMMAND_MS, powerOff, settle } from "./support/boot.ts";
import { diskFile } from "./support/disk-file.ts";
import { E2FSPROGS, listed, MIB, quietly, start, succeed } from "./support/linux-disks.ts";
import { expectCalm, LINUX_MS } from "./support/linux.ts";
import { packageTests } from "./support/packages.ts";

const FIO = { name: "fio", files: /^usr\/bin\/fio$/ };
const FIO_RAMDISK = "initrd-fio";

const { modules, test, why } = packageTests(() => [
  ...linuxModules().slice(0, 1),
  { name: FIO_RAMDISK, file: debianInitramfs([E2FSPROGS, FIO]) },
]);

/** fio's runs, on a computer that has ten other things to do. */
const FIO_MS = LINUX_MS * 2;

/** As `succeed`, of one that has to fail. */
async function fail(t: ExecutionContext, shell: LinuxShell, command: string, says: RegExp): Promise<void> {
  const printed = await shell.run(`{ ${command}; } 2>&1; echo "status $?"`, FIO_MS);
  t.regex(printed, /^status [1-9]/m, `${command}\n${printed}`);
  t.regex(printed, says, command);
}

const fio = (options: string) => `fio --name=job --ioengine=libaio --direct=1 --verify=crc32c ${options}`;

test(`Linux' disks: fio verifies ext4 while the I/O domain is restarted; discard; what is read-only${why}`, async (t) => {
  t.timeout(LINUX_MS * 8);
  const machine = await bootToPrompt(t, { memoryMib: 768, modules, disks: [{ file: diskFile(t, 256 * MIB) }] });
  await quietly(t, machine, "volume format 0");
  await quietly(t, machine, "volume create data 96M");
  await quietly(t, machine, "volume create raw 8M");
  const vbds = "--vbd target=data,vdev=xvda --vbd target=raw,vdev=xvdb --vbd target=module:site,vdev=xvdc,access=r";
  const shell = await start(machine, "fio", FIO_RAMDISK, `--memory 320 --vcpus 2 ${vbds}`);
  await shell.enter();
  t.regex(
    await shell.run("dmesg | grep 'blkfront: xvda'"),
    /flush diskcache: enabled; persistent grants: enabled; indirect descriptors: enabled/,
  );
  t.is((await shell.run("ls /sys/block/xvda/mq | wc -l")).trim(), "2", "a queue for each vCPU");

  await succeed(t, shell, "mkfs.ext4 -q /dev/xvda && mkdir /mnt && mount -o discard /dev/xvda /mnt");
  const whole = fio("--directory=/mnt --size=24M --rw=randwrite --bsrange=4k-256k --iodepth=16 --end_fsync=1");
  await shell.run(`(${whole} >/tmp/fio 2>&1; echo "status $?" >>/tmp/fio; touch /tmp/over) &`);
  await shell.leave();
  for (let restarts = 0; restarts < 5; restarts++) {
    await machine.command("io-restart; js await sleep(200)", COMMAND_MS);
  }
  await settle(machine);
  await shell.enter();
  const said = await shell.run("until [ -e /tmp/over ]; do sleep 0.2; done; cat /tmp/fio", FIO_MS);
  t.regex(said, /^status 0\b/m, said);
  t.regex(said, /READ: [^]*WRITE: /, "it has written, and read it back");

  // That fio finds what is wrong: one sector is another.
  const raw = (more: string) => fio(`--filename=/dev/xvdb --size=4M --rw=write --bs=64k --iodepth=4 ${more}`);
  await succeed(t, shell, raw("--do_verify=1"), FIO_MS);
  await succeed(t, shell, "dd if=/dev/zero of=/dev/xvdb bs=512 seek=1001 count=1 conv=fsync");
  await fail(t, shell, raw("--verify_only"), /crc32c: verify failed at file \/dev\/xvdb offset/);

  // What is deleted takes no space on the disk.
  await succeed(t, shell, "blkdiscard /dev/xvdb");
  await succeed(t, shell, "cmp -n 4194304 /dev/xvdb /dev/zero");
  await succeed(t, shell, "rm /mnt/job* && sync && fstrim -v /mnt");

  const readOnly = await shell.run("for d in xvda xvdc; do blockdev --getro /dev/$d; done");
  t.is(readOnly.replace(/\s+/g, " ").trim(), "0 1");
  await fail(t, shell, "dd if=/dev/zero of=/dev/xvdc count=1 conv=fsync", /not permitted|Read-only/);
  await fail(t, shell, "blkdiscard /dev/xvdc", /./);
  await succeed(t, shell, "umount /mnt && e2fsck -fn /dev/xvda");
  expectCalm(t, await shell.run("dmesg"));
  await shell.leave();

  const [data, , site] = await listed(machine, "vbd list");
  t.like(data, { target: "volume:data", state: "connected", errors: 0, failure: null });
  t.true((data!["flushes"] as number) > 0 && (data!["discards"] as number) > 0, JSON.stringify(data));
  t.true((data!["writtenBytes"] as number) > 24 * MIB && (data!["readBytes"] as number) > 24 * MIB);
  t.like(site, { access: "r", writtenBytes: 0, discards: 0 });
  const used = Object.fromEntries((await listed(machine, "volume list")).map(({ name, used }) => [name, used]));
  t.is(used["raw"], 0);
  t.true(used["data"]! < 24 * MIB, `${used["data"]} bytes of data are used`);
  await machine.command("destroy fio", COMMAND_MS);
  t.regex(await machine.command("volume check 0", COMMAND_MS), /disk 0: no problem; 2 volumes/);
  await powerOff(t, machine);
});
