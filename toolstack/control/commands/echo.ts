import { print } from "../console/output.ts";
import type { Command } from "./command.ts";

export const echoCommand: Command = {
  name: "echo",
  usage: "[WORD]...",
  summary: "print words",
  run(words) {
    print(`${words.join(" ")}\n`);
  },
};
