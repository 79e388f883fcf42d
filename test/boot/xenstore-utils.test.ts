/** Debian's xenstore-* clients inside Debian's Linux: they work, and a domain can neither access another's nodes nor exceed its quotas. */
import type { ExecutionContext } from "ava";
import { XS_ERROR, XS_TRANSACTION_START } from "../../abi/xs-wire.ts";
import { linuxModules } from "../../scripts/linux/guest.ts";
import { LinuxShell } from "../../scripts/linux/shell.ts";
import { bootToPrompt, COMMAND_MS, powerOff } from "./support/boot.ts";
import { LINUX_MS, startLinux } from "./support/linux.ts";
import { packageTests } from "./support/packages.ts";

const { modules, test, why } = packageTests(() => linuxModules(["xenstore-utils"]));

const MEMORY = "--memory 192";

/** One guest's shell for as long as `work` takes. */
async function inside<T>(
  shell: LinuxShell,
  work: (run: (command: string) => Promise<string>) => Promise<T>,
): Promise<T> {
  await shell.enter();
  const result = await work(async (command) => (await shell.run(command)).trim());
  await shell.leave();
  return result;
}

/** The exit status behind what was printed. */
const withStatus = (command: string) => `${command} 2>&1; echo "status $?"`;

/** Waits in the shell until a file has so many lines that match. What writes it is no job of the shell: it tells of those. */
const untilLines = (count: number, pattern: string, file: string) =>
  `until [ $(grep -c '${pattern}' ${file}) -ge ${count} ]; do sleep 0.1; done`;

async function testTools(t: ExecutionContext, shell: LinuxShell, id: string): Promise<void> {
  await inside(shell, async (run) => {
    t.is(await run("xenstore-read domid"), id);
    t.is(await run(withStatus("xenstore-write data/x hello data/dir/a 1 data/dir/b 2")), "status 0");
    t.is(await run("xenstore-read data/x data/dir/b"), "hello\n2");
    t.is(await run("xenstore-list data/dir"), "a\nb");
    t.is(await run("xenstore-ls data"), 'x = "hello"\ndir = ""\n a = "1"\n b = "2"');
    t.is(await run(`xenstore-ls -fp data/dir | tr -d ' '`), `data/dir/a="1"(n${id})\ndata/dir/b="2"(n${id})`);
    t.is(await run(withStatus("xenstore-exists data/x")), "status 0");
    t.is(await run(withStatus("xenstore-exists data/y")), "status 1");
    t.is(await run(withStatus("xenstore-rm data/dir/a")), "status 0");
    t.is(await run(withStatus("xenstore-read data/dir/a")), "xenstore-read: couldn't read path data/dir/a\nstatus 1");
    t.is(await run(withStatus("xenstore-rm data/x data/dir")), "status 0");
    await run("(xenstore-watch data/seen >/tmp/seen &)");
    await run(untilLines(1, "data/seen", "/tmp/seen"));
    await run("xenstore-write data/seen/below 1");
    await run(untilLines(1, "data/seen/below", "/tmp/seen"));
    t.is(await run("killall xenstore-watch; cat /tmp/seen"), "data/seen\ndata/seen/below");
    t.is(await run(withStatus("xenstore-rm data/seen")), "status 0");
  });
}

test(`Debian's xenstore clients in Linux: what a domain's own nodes let it do, and another's do not${why}`, async (t) => {
  t.timeout(LINUX_MS * 4);
  const machine = await bootToPrompt(t, { memoryMib: 768, modules });
  const a = await startLinux(machine, "a", MEMORY);
  const b = await startLinux(machine, "b", MEMORY);
  await testTools(t, a.shell, a.id);

  const home = `/local/domain/${b.id}`;
  const secret = `${home}/data/secret`;
  await inside(b.shell, async (run) => {
    t.is(await run(withStatus("xenstore-write data/secret one")), "status 0");
  });

  await inside(a.shell, async (run) => {
    for (const [command, said] of [
      [`xenstore-read ${secret}`, `xenstore-read: couldn't read path ${secret}`],
      [`xenstore-write ${secret} mine`, `xenstore-write: could not write path ${secret}`],
      [`xenstore-write ${home}/data/new mine`, `xenstore-write: could not write path ${home}/data/new`],
      [`xenstore-rm ${secret}`, `xenstore-rm: could not remove path ${secret}`],
      [`xenstore-list ${home}/data`, `xenstore-list: could not list path ${home}/data`],
      [`xenstore-ls ${home}/data`, `xenstore-ls: xs_directory (${home}/data): Permission denied`],
      ["xenstore-write /tool/mine x", "xenstore-write: could not write path /tool/mine"],
      ["xenstore-rm /local/domain/0", "xenstore-rm: could not remove path /local/domain/0"],
    ]) {
      t.is(await run(withStatus(command!)), `${said}\nstatus 1`);
    }
    t.is(await run(withStatus(`xenstore-exists ${secret}`)), "status 1");
    t.regex(await run(withStatus(`xenstore-chmod ${secret} b${a.id}`)), /Permission denied\nstatus [^0]/);
    // A watch may stand anywhere; its first event says only that it stands.
    await run(`(xenstore-watch ${secret} data/sign >/tmp/watch &)`);
    await run(untilLines(1, "data/sign", "/tmp/watch"));
  });

  await inside(b.shell, async (run) => {
    t.is(await run("xenstore-read data/secret"), "one");
    t.is(await run("xenstore-list data"), "secret");
    t.is(await run(withStatus("xenstore-write data/secret two")), "status 0");
  });
  await inside(a.shell, async (run) => {
    await run("xenstore-write data/sign 1");
    await run(untilLines(2, "data/sign", "/tmp/watch"));
    t.is(await run("cat /tmp/watch"), `${secret}\ndata/sign\ndata/sign`, "nothing was heard of the other's node");
  });

  // The same, once its owner lets it.
  await inside(b.shell, async (run) => {
    t.is(await run(withStatus(`xenstore-chmod data/secret n${b.id} r${a.id}`)), "status 0");
    t.is(await run(withStatus("xenstore-write data/secret three")), "status 0");
  });
  await inside(a.shell, async (run) => {
    await run(untilLines(3, "secret", "/tmp/watch"));
    t.is(await run(`xenstore-read ${secret}`), "three");
    t.regex(await run(withStatus(`xenstore-write ${secret} mine`)), /could not write path .*\nstatus 1/);
    t.notRegex(await run("dmesg"), /Call Trace|BUG:|Oops|WARNING:/);
  });
  await powerOff(t, machine);
});

/** A message for the shell's printf: header and payload (xs_wire.h, struct xsd_sockmsg). */
function message(type: number, payload: string): string {
  const words = Buffer.alloc(16);
  [type, 1, 0, payload.length].forEach((word, i) => words.writeUInt32LE(word, 4 * i));
  const bytes = Buffer.concat([words, Buffer.from(payload, "latin1")]);
  return [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}

test(`a Linux guest at its quotas: clear errors for it, and the others go on${why}`, async (t) => {
  t.timeout(LINUX_MS * 4);
  const machine = await bootToPrompt(t, { memoryMib: 768, modules });
  const a = await startLinux(machine, "a", MEMORY);
  const b = await startLinux(machine, "b", MEMORY);

  await inside(a.shell, async (run) => {
    // A node's size: 2 KiB, names, permissions and value together.
    const value = (bytes: number) => `$(head -c ${bytes} /dev/zero | tr '\\0' v)`;
    t.is(await run(withStatus(`xenstore-write data/size "${value(1800)}"`)), "status 0");
    t.is(
      await run(withStatus(`xenstore-write data/size "${value(2100)}"`)),
      "xenstore-write: could not write path data/size\nstatus 1",
    );
    t.is(await run("xenstore-read data/size | tr -d '\\n' | wc -c"), "1800", "it is as it was");
    t.is(await run(withStatus("xenstore-rm data/size")), "status 0");

    // Nodes: 1000, made a hundred at a time and then one at a time.
    const hundred = `$(for j in $(seq 100); do echo data/n$i/$j x; done)`;
    const some = await run(
      `i=0; while xenstore-write ${hundred} 2>/tmp/error; do i=$((i+1)); done; echo $i; cat /tmp/error`,
    );
    t.regex(some, /^[89]\nxenstore-write: /);
    const more = await run(
      "k=0; while xenstore-write data/n0/more$k x 2>/tmp/error; do k=$((k+1)); done; echo $k; cat /tmp/error",
    );
    t.regex(more, /^\d+\nxenstore-write: could not write path data\/n0\/more\d+$/);
    const nodes = Number(some.split("\n")[0]) * 101 + Number(more.split("\n")[0]);
    t.true(nodes > 900 && nodes <= 1000, `${nodes} nodes`);
    t.log(`${nodes} nodes of its making`);

    // Watches: 128, with those of Linux itself.
    await run("xenstore-watch $(for j in $(seq 200); do echo data/w$j; done) >/tmp/watch 2>&1; echo $? >/tmp/status");
    t.regex(await run("grep Unable /tmp/watch"), /^xenstore-watch: Unable to add watch on data\/w1[012]\d/);
    t.is(await run("cat /tmp/status"), "1");

    // Transactions: 10, opened and left open. The clients end theirs, so these are messages by hand.
    await run("exec 3<>/dev/xen/xenbus");
    const replies = [];
    for (let i = 0; i < 11; i++) {
      const start = message(XS_TRANSACTION_START, "\0");
      replies.push(await run(`printf '${start}' >&3; dd bs=4096 count=1 <&3 2>/dev/null | tr '\\0' .`));
    }
    const [last, ...first] = replies.toReversed();
    t.true(first.every((reply) => /\d\.$/.test(reply)));
    t.regex(last!, /ENOSPC\.$/);
    t.is(last!.charCodeAt(0), XS_ERROR);
    t.regex(await run(withStatus("xenstore-write data/x 1 data/y 1")), /^xenstore-write: .*\nstatus 1$/);
  });

  // Beside it, everybody else.
  await inside(b.shell, async (run) => {
    t.is(await run(withStatus("xenstore-write data/x 1 data/y 2")), "status 0");
    t.is(await run("xenstore-read data/x data/y"), "1\n2");
    await run("(xenstore-watch -n 2 data/x >/tmp/watch &)");
    await run(untilLines(1, "data/x", "/tmp/watch"));
    await run("xenstore-write data/x 3");
    await run(untilLines(2, "data/x", "/tmp/watch"));
  });
  const theirs = `/local/domain/${b.id}/data`;
  t.regex(await machine.command(`xenstore-write ${theirs}/z 4; xenstore-read ${theirs}/z`, COMMAND_MS), /4/);
  t.regex(await machine.command(`xenstore-ls -f ${theirs}`, COMMAND_MS), /data\/x = "3"/);

  // And it again, when it has given back.
  await inside(a.shell, async (run) => {
    t.is(
      await run("exec 3>&-; xenstore-rm data/n0 data/n1; xenstore-write data/x 1 data/y 2; xenstore-read data/y"),
      "2",
    );
    t.is(await run("xenstore-watch -n 1 data/x"), "data/x");
    t.notRegex(await run("dmesg"), /Call Trace|BUG:|Oops|WARNING:/);
  });
  await powerOff(t, machine);
});
