/** Real shells with a command's completion: what Tab makes of a line that is typed, and what a shell would offer. */
import { spawn, execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { plainText } from "../../../scripts/machine.ts";
import { fromRoot } from "../../../scripts/paths.ts";

/** For a busy computer: every Tab is a process of Node's. */
const TAB_MS = 120_000;

/** Puts `chaos` and `xl` on the path, from this clone. @returns the environment */
export function environmentWith(folder: string): NodeJS.ProcessEnv {
  const bin = path.join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  for (const name of ["chaos", "xl"]) {
    const words = [process.execPath, `--import=${import.meta.resolve("tsx")}`, fromRoot(`toolstack/cli/${name}.ts`)];
    writeFileSync(path.join(bin, name), `#!/bin/sh\nexec ${words.map((word) => `'${word}'`).join(" ")} "$@"\n`);
    chmodSync(path.join(bin, name), 0o755);
  }
  const { HOME: _home, ...kept } = process.env;
  return { ...kept, PATH: `${bin}:${process.env.PATH}`, HOME: folder, TERM: "xterm", LC_ALL: "C.UTF-8" };
}

/** What fish would offer for a line. */
export function fishOffers(environment: NodeJS.ProcessEnv, lines: string[]): string[][] {
  const asked = lines.map((line) => `echo ---; complete -C ${JSON.stringify(line)}`);
  const script = ["chaos completion fish | source", "xl completion fish | source", ...asked].join("; ");
  const out = execFileSync("fish", ["--no-config", "-c", script], {
    env: environment,
    encoding: "utf8",
    timeout: TAB_MS * lines.length,
    cwd: environment.HOME,
  });
  return out
    .split("---\n")
    .slice(1)
    .map((part) => part.split("\n").filter((line) => line !== ""));
}

const START = {
  bash: {
    command: "bash --norc --noprofile -i",
    set: "source <(chaos completion bash); source <(xl completion bash)",
  },
  zsh: {
    command: "zsh -f -i",
    set: "bindkey -e; autoload -Uz compinit; compinit -u -D; source <(chaos completion zsh); source <(xl completion zsh)",
  },
};

/** On a terminal of its own: types each line and Tab, and tells what the line is then. */
export async function typed(
  shell: keyof typeof START,
  environment: NodeJS.ProcessEnv,
  lines: string[],
): Promise<string[]> {
  const { command, set } = START[shell];
  const child = spawn("script", ["-qfec", command, "/dev/null"], {
    env: environment,
    cwd: environment.HOME,
    stdio: ["pipe", "pipe", "pipe"],
  });
  let output = "";
  let wake = () => {};
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      wake();
    });
  }
  child.stdin.on("error", () => {});
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const answer = async (number: number): Promise<string> => {
    const wanted = new RegExp(`^<${number}>(.*)<end>$`, "m");
    const limit = Date.now() + TAB_MS;
    for (;;) {
      const found = wanted.exec(plainText(output));
      if (found !== null) return found[1]!;
      if (child.exitCode !== null || Date.now() > limit) throw new Error(`${shell}: no answer ${number}:\n${output}`);
      await Promise.race([
        new Promise<void>((resolve) => (wake = resolve)),
        new Promise<void>((resolve) => setTimeout(resolve, limit - Date.now()).unref()),
      ]);
    }
  };
  try {
    // The marks are split where they are typed: what the terminal echoes does not have them.
    child.stdin.write(`${set}; echo '<''0>ready<''end>'\r`);
    await answer(0);
    const results: string[] = [];
    for (const [i, line] of lines.entries()) {
      // Tab; the line between quotes, as an argument of echo; Enter.
      child.stdin.write(`${line}\t\x01echo '<''${i + 1}>'"\x05"'<''end>'\r`);
      results.push((await answer(i + 1)).trimEnd());
    }
    return results;
  } finally {
    child.kill("SIGTERM");
    child.stdin.end();
    await closed;
  }
}
