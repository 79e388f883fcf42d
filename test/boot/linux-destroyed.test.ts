/** A stock Linux guest is destroyed in the middle of its writes: another one finds its ext4 whole, and everything that was flushed. */
import { linuxModules } from "../../scripts/linux/guest.ts";
import { plainText } from "../../scripts/machine.ts";
import { bootToPrompt, COMMAND_MS, powerOff } from "./support/boot.ts";
import { diskFile } from "./support/disk-file.ts";
import { E2FSPROGS, MIB, quietly, start, succeed } from "./support/linux-disks.ts";
import { expectCalm, LINUX_MS } from "./support/linux.ts";
import { packageTests } from "./support/packages.ts";

const { modules, test, why } = packageTests(() => linuxModules([E2FSPROGS]));

/** What is written, or read, until the shell answers again: on a computer that has ten other things to do. */
const FILES_MS = LINUX_MS * 2;

/** Files, each with a checksum that is said once it is flushed; beside it, writes that are not flushed at all. */
const WRITER = (first: number) =>
  `(i=${first}; while :; do dd if=/dev/urandom of=/tmp/x bs=1k count=$((i * 37 % 150 + 1)) 2>/dev/null; ` +
  `dd if=/tmp/x of=/mnt/f$i bs=32k conv=fsync 2>/dev/null && echo "synced $i $(md5sum </tmp/x)"; i=$((i + 1)); done) & ` +
  `(while :; do dd if=/dev/zero of=/mnt/junk bs=64k count=64 2>/dev/null; rm /mnt/junk; done) &`;

test(`a Linux guest is destroyed in the middle of its writes: fsck is clean, what was flushed is there${why}`, async (t) => {
  t.timeout(LINUX_MS * 8);
  const machine = await bootToPrompt(t, { memoryMib: 512, modules, disks: [{ file: diskFile(t, 256 * MIB) }] });
  await quietly(t, machine, "volume format 0");
  await quietly(t, machine, "volume create data 96M");
  const options = "--memory 192 --vbd target=data,vdev=xvda";
  /** Of files that were flushed, as guests said so: number and checksum. */
  const flushed = new Map<string, string>();
  for (const [round, name] of ["first", "second", "third"].entries()) {
    const shell = await start(machine, name, "initrd", options);
    await shell.enter();
    if (round === 0) await succeed(t, shell, "mkfs.ext4 -q /dev/xvda");
    // Its journal is replayed; only then can be told whether it is whole.
    await succeed(t, shell, "mkdir /mnt && mount /dev/xvda /mnt && umount /mnt && e2fsck -fn /dev/xvda");
    await succeed(t, shell, "mount /dev/xvda /mnt");
    const there = await shell.run(
      'cd /mnt; for f in f*; do [ -e $f ] && echo "$f $(md5sum <$f)"; done; cd /root',
      FILES_MS,
    );
    const sums = new Map([...there.matchAll(/^f(\d+) ([0-9a-f]{32})/gm)].map(([, file, sum]) => [file!, sum!]));
    for (const [file, sum] of flushed) t.is(sums.get(file), sum, `file ${file}, before round ${round}`);
    if (round < 2) {
      const first = 1000 * (round + 1);
      await shell.run(WRITER(first));
      await machine.waitFor(new RegExp(`synced ${first + 15} [0-9a-f]{32}`), FILES_MS, "what is flushed");
      await shell.leave();
    } else {
      await succeed(t, shell, "umount /mnt && e2fsck -fn /dev/xvda");
      expectCalm(t, await shell.run("dmesg"));
      await shell.leave();
    }
    const said = plainText(machine.output).matchAll(/synced (\d+) ([0-9a-f]{32})/g);
    for (const [, file, sum] of said) flushed.set(file!, sum!);
    await machine.command(`destroy ${name}`, COMMAND_MS);
  }
  t.true(flushed.size >= 30, `${flushed.size} files were flushed`);
  t.log(`${flushed.size} files were flushed before guests were destroyed, and are there`);
  t.regex(await machine.command("volume check 0", COMMAND_MS), /disk 0: no problem; 1 volume/);
  await powerOff(t, machine);
});
