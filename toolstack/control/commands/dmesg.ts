import { dmesgRequest } from "../../api/requests/machine.ts";
import { atLineStart, print } from "../console/output.ts";
import { readHypervisorLog } from "../hypercalls/sysctl.ts";
import type { Command } from "./command.ts";
import { handler } from "./handler.ts";
import { requestCommand, runRequest } from "./request-command.ts";

const dmesg = handler(dmesgRequest, ({ clear }, { output }) => readHypervisorLog(output, clear));

export const dmesgCommand: Command = {
  ...requestCommand(dmesg),
  async run(words, context) {
    await runRequest(dmesg, words, context);
    if (!atLineStart()) print("\n");
  },
};
