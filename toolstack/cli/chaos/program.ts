/** The command line of `chaos`. */
import { Argument, Command, CommanderError } from "commander";
import { startCommand } from "../../../scripts/paths.ts";
import { CommandError } from "../../api/command-error.ts";
import { consoleRequest } from "../../api/requests/domains.ts";
import { requests } from "../../api/requests/table.ts";
import { isKeyName } from "../../api/key.ts";
import { VERSION } from "../../api/version.ts";
import { isToolError } from "../tool-error.ts";
import { answer, questionOf } from "../completion/answer.ts";
import { chaosExpected } from "../completion/chaos.ts";
import { completionScript, SHELLS, type Shell } from "../completion/scripts.ts";
import { buildCommand } from "./build.ts";
import { makeKey, writeKey } from "../connection/key.ts";
import { listMachines, placeText } from "../connection/machines.ts";
import { safeTerminal, talk } from "./console.ts";
import { configUpdateCommand, createCommand } from "./create.ts";
import { forwardCommand } from "./forward.ts";
import { runCommand } from "./run.ts";
import { addRequestCommands, requestCommand } from "./request-commands.ts";
import { ToolSession, type Where } from "./session.ts";
import { topCommand } from "./top.ts";

/** Requests that are commands of their own here. */
const OWN = new Set(["console", "create", "config-update", "forward", "image put", "top"]);

/** Commands that LightVM's chaos has, and this one does not have yet. */
const LATER = ["save", "restore", "migrate"];

/** Which machine is meant. */
function whereOf(program: Command): Where {
  const { host = process.env.CHAOS_HOST, key = process.env.CHAOS_KEY } = program.opts<Where>();
  return { host, key };
}

export function chaosProgram(): Command {
  const program = new Command("chaos")
    .description("Manages a Typevisor: its domains, devices and itself.")
    .version(VERSION)
    .option(
      "--host <name>",
      "which machine: a name (`chaos machines`), ADDRESS[:PORT] or unix:SOCKET; CHAOS_HOST says it too",
    )
    .option("--key <file>", "the key of a machine that was not started on this computer; CHAOS_KEY says it too")
    .showHelpAfterError("`chaos --help` lists the commands, `chaos COMMAND --help` explains one");
  const within = async (run: (session: ToolSession) => Promise<void>) => {
    const session = new ToolSession(whereOf(program));
    try {
      await run(session);
    } finally {
      await session.close();
    }
  };
  program
    .command("machines")
    .description("list the machines that were started on this computer")
    .option("--json", "one line of JSON")
    .action(({ json }: { json?: boolean }) => {
      const machines = listMachines();
      if (json) process.stdout.write(`${JSON.stringify(machines)}\n`);
      else for (const machine of machines) process.stdout.write(`${machine.name.padEnd(20)} ${placeText(machine)}\n`);
    });
  program
    .command("key <FILE>")
    .description(`make a key for a Typevisor that is not started here: \`${startCommand("--iso FILE --key FILE")}\``)
    .option("--name <NAME>", "what Typevisor's log calls who has it", "operator")
    .action((file: string, { name }: { name: string }) => {
      if (!isKeyName(name)) throw new CommandError(`--name: "${name}" is not 1 to 32 letters, digits, dots, _ and -`);
      writeKey(file, makeKey(name));
    });
  program
    .command("completion")
    .description("print a script for a shell: it completes commands, options, choices and names")
    .addArgument(new Argument("<shell>", "such as: source <(chaos completion bash)").choices(SHELLS))
    .action((shell: Shell) => void process.stdout.write(completionScript(shell, "chaos")));
  addRequestCommands(
    program,
    requests.filter(({ name }) => !OWN.has(name)),
    within,
  );
  program.addCommand(
    requestCommand(consoleRequest, "console", within, async (session, params) => {
      const ended = await talk(session, String(params.id), params.safe === true || safeTerminal());
      if (ended !== null) process.stderr.write(`domain ${String(params.id)} has ended: ${ended}\n`);
    }),
  );
  program.addCommand(topCommand(within));
  program.addCommand(createCommand(within));
  program.addCommand(configUpdateCommand(within));
  program.addCommand(buildCommand);
  program.addCommand(runCommand(within));
  program.addCommand(forwardCommand(within));
  for (const name of LATER) {
    program
      .command(name)
      .description("comes later")
      .argument("[words...]")
      .allowUnknownOption()
      .action(() => {
        throw new CommandError("not there yet: domains are neither saved nor migrated by this version");
      });
  }
  return program;
}

/** Reads the options that say which machine is asked, of a line that may lack a value yet. */
function readGlobals(program: Command, words: string[]): void {
  try {
    program.exitOverride().configureOutput({ writeErr: () => {} });
    program.parseOptions(words);
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
  }
}

/** Runs `chaos` with the words of its command line; returns its exit status. */
export async function runChaos(words: string[]): Promise<number> {
  const program = chaosProgram();
  const question = questionOf(words);
  if (question !== null) {
    readGlobals(program, question.words.slice(0, -1));
    const session = new ToolSession(whereOf(program));
    await answer(question, chaosExpected(program, question.words), session);
    // A machine that has not answered is not waited for.
    process.exit(0);
  }
  try {
    await program.parseAsync(words, { from: "user" });
    return Number(process.exitCode ?? 0); // of a command that was ended by Ctrl-C: its own
  } catch (error) {
    if (!isToolError(error)) throw error;
    process.stderr.write(`chaos: ${error.message}\n`);
    return 1;
  }
}
