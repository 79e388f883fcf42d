/** How Typevisor is managed from outside, shown and set at the console: whoever sits there is asked for no key. */
import { CommandError } from "../../../api/command-error.ts";
import { type ControlKey, formatKey, isKeyName, parseKey } from "../../../api/key.ts";
import { controlView } from "../../api/current.ts";
import { print } from "../../console/output.ts";
import { randomKey } from "../../tls/entropy.ts";
import type { Command, CommandContext } from "../command.ts";

/** The name of a key of which none is said. */
const DEFAULT_NAME = "operator";
/** Characters of a key that is typed in: more than its line has. */
const TYPED_MOST = 128;
const ENTER = [13, 10];
const ERASE = [8, 127];
const CTRL_C = 3;
const CTRL_U = 21;

function keyLine(): string {
  const key = controlView().describeKey();
  if (key === null) return "none";
  const from = key.from === "console" ? "set at the console" : "of the boot module";
  return `${key.name}, ${from}; \`sha256sum FILE\` of it begins with ${key.fingerprint}`;
}

function show(): void {
  const view = controlView();
  const lines: [string, string][] = [
    ["key", keyLine()],
    ["network", view.describeNetwork()],
    ["serial ports", view.serialPorts === 0 ? "none" : `${view.serialPorts}, one client at a time each`],
    ["clients", String(view.clients)],
  ];
  if (view.refusal !== null) lines.push(["closed", view.refusal]);
  for (const [name, value] of lines) print(`${name.padEnd(14)}${value}\n`);
}

/** A line that is typed in and not shown. @throws CommandError after Ctrl-C */
async function typed(question: string, context: CommandContext): Promise<string> {
  print(question);
  let line = "";
  try {
    return await new Promise<string>((resolve, reject) => {
      context.interruption.onRaise(() => reject(new CommandError("cancelled: nothing was changed")));
      context.takeInput({
        room: () => TYPED_MOST,
        take(bytes) {
          for (const [i, byte] of bytes.entries()) {
            if (ENTER.includes(byte)) {
              resolve(line);
              return i + 1;
            }
            if (byte === CTRL_C) {
              reject(new CommandError("cancelled: nothing was changed"));
              return i + 1;
            }
            if (byte === CTRL_U) line = "";
            else if (ERASE.includes(byte)) line = line.slice(0, -1);
            else if (line.length < TYPED_MOST) line += String.fromCharCode(byte);
          }
          return bytes.length;
        },
      });
    });
  } finally {
    context.takeInput(null);
    print("\n");
  }
}

/** What was typed as a key: its digits, or a key file's whole line. */
function keyOf(name: string, text: string): ControlKey {
  const key = parseKey(text) ?? parseKey(`${name} ${text.replace(/[ -]/g, "")}`);
  if (key === null) {
    throw new CommandError(
      "that is no key: 64 hexadecimal digits (0-9, a-f) or a key file's line are; nothing was changed",
    );
  }
  return key;
}

async function setKey(name: string, context: CommandContext): Promise<void> {
  if (!isKeyName(name)) throw new CommandError(`NAME: "${name}" is not 1 to 32 letters, digits, dots, _ and -`);
  const text = context.interactive
    ? (await typed("64 hexadecimal digits or a key file's line, not shown; Enter alone makes a key: ", context)).trim()
    : "";
  try {
    const made = text === "" ? { identity: name, key: randomKey() } : null;
    const key = made ?? keyOf(name, text);
    controlView().setKey(key);
    if (made !== null) {
      print("The key, shown this once: a line for a file of mode 0600, for --key FILE\n");
      print(formatKey(made));
    }
  } catch (error) {
    if (error instanceof CommandError || !(error instanceof Error)) throw error;
    throw new CommandError(error.message);
  }
  print(`key: ${keyLine()}\n`);
  print(
    "It is valid until the machine restarts, also over restarts of domain 0; clients with another key are cut off.\n",
  );
}

async function setNetwork(option: string): Promise<void> {
  const view = controlView();
  await view.setNetwork(option);
  print(`network: ${view.describeNetwork()}\n`);
}

const USAGE = "[key [set [NAME]] | network [ADDRESS/PREFIX[,GATEWAY]|dhcp|off]]";

export const controlCommand: Command = {
  name: "control",
  usage: USAGE,
  summary: "how `chaos` and `xl` reach this machine from outside: key, address, serial ports",
  details: [
    "key: which key there is, never its secret. key set: takes one that is typed in and not shown (64 hexadecimal digits, or the line",
    "of a file that `chaos key FILE` has made), or makes one and shows it this once. It replaces the key that there is.",
    "network: domain 0's own address, on the first card's bridge; its connections end when it is changed.",
    "Both stay over restarts of domain 0, not over the machine's: there, see the boot module control.key and `control=`.",
  ],
  async run(words, context) {
    const [what, ...rest] = words;
    if (what === undefined) show();
    else if (what === "key" && rest.length === 0) print(`key: ${keyLine()}\n`);
    else if (what === "key" && rest[0] === "set" && rest.length <= 2) await setKey(rest[1] ?? DEFAULT_NAME, context);
    else if (what === "network" && rest.length === 0) print(`network: ${controlView().describeNetwork()}\n`);
    else if (what === "network" && rest.length === 1) await setNetwork(rest[0]!);
    else throw new CommandError(`usage: control ${USAGE}`);
  },
};
