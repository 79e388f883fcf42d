/**
 * What domain 0 does at its start, according to Typevisor's command line: `exec=COMMANDS` (percent-encoded) runs
 * commands and powers off; `start=COMMANDS` runs some before the first prompt; otherwise the prompt.
 *
 * The progress is kept in domain 0's own handle, which survives a restart of domain 0: these commands are not run twice, and
 * exec mode continues after the command that was running, which counts as failed.
 */
import { SHUTDOWN_poweroff } from "../../abi/sched.ts";
import { bootOption } from "./boot-info.ts";
import type { RunContext } from "./commands/run.ts";
import { runCommand } from "./commands/run.ts";
import { isCommand } from "./commands/table.ts";
import { splitCommands } from "./commands/words.ts";
import { atLineStart, print } from "./console/output.ts";
import { readTerminal } from "./console/terminal.ts";
import { RaisableInterruption } from "./interruption.ts";
import type { Shell } from "./shell.ts";
import { endMachine } from "./end-machine.ts";
import type { Domains } from "./domains/domains.ts";
import { DOMAIN_0 } from "./domains/system-domains.ts";
import { describeError } from "./failures.ts";
import { domainInfo, setDomainHandle } from "./hypercalls/domctl.ts";

/** "TVD0": domain 0 has been started before. */
const MAGIC = 0x30445654;

/** Progress through the exec commands. */
interface Progress {
  /** Commands begun. */
  begun: number;
  ok: number;
  failed: number;
}

function loadProgress(): Progress | null {
  const [magic, begun, ok, failed] = domainInfo(DOMAIN_0).handle as [number, number, number, number];
  return magic === MAGIC ? { begun, ok, failed } : null;
}

function saveProgress(progress: Progress): void {
  setDomainHandle(DOMAIN_0, [MAGIC, progress.begun, progress.ok, progress.failed]);
}

/** Starts the session; running domains have been adopted. */
export async function startSession(shell: Shell, domains: Domains): Promise<void> {
  const before = loadProgress();
  const progress = before ?? { begun: 0, ok: 0, failed: 0 };
  if (before === null) saveProgress(progress);
  else {
    print("domain 0 was restarted\n");
    domains.devices.sweep((id) => domains.find(id) !== undefined);
  }
  readTerminal(bootOption("terminal"));
  const exec = bootOption("exec");
  if (exec !== undefined) {
    await runExec(exec, progress, domains);
    return;
  }
  print('Typevisor, a Xen-compatible hypervisor in TypeScript. "help" lists the commands.\n');
  const first = before === null ? startCommands() : "";
  if (first === "") shell.start();
  else shell.startWith(first);
}

/** What `start=` says, percent-encoded; nothing when it is not or there is none. */
function startCommands(): string {
  try {
    return decodeURIComponent(bootOption("start") ?? "");
  } catch {
    print("start: it is not percent-encoded\n");
    return "";
  }
}

async function runExec(encoded: string, progress: Progress, domains: Domains): Promise<void> {
  let ending: number | null = null;
  const context: RunContext = {
    domains,
    interruption: new RaisableInterruption(),
    interactive: false,
    repeated: false,
    takeInput: () => {},
    inputWanted: () => {},
    endMachine: (reason) => {
      ending = reason;
    },
  };
  let texts: string[] = [];
  try {
    texts = splitCommands(decodeURIComponent(encoded), isCommand);
  } catch (error) {
    print(`exec: ${error instanceof URIError ? "it is not percent-encoded" : describeError(error)}\n`);
    progress.failed++;
  }
  const interrupted = progress.begun - progress.ok - progress.failed;
  if (interrupted > 0) {
    print(`exec: domain 0 was restarted during: ${texts[progress.begun - 1] ?? ""}\n`);
    progress.failed += interrupted;
  }
  while (progress.begun < texts.length && ending === null) {
    const text = texts[progress.begun++]!;
    saveProgress(progress);
    if (await runCommand(text, context)) progress.ok++;
    else progress.failed++;
  }
  if (!atLineStart()) print("\n");
  // What only who started the machine knows: no guest can print it.
  const id = bootOption("exec-id");
  print(`TYPEVISOR-EXEC: ${progress.ok} ok, ${progress.failed} failed${id === undefined ? "" : ` ${id}`}\n`);
  endMachine(ending ?? SHUTDOWN_poweroff);
}
