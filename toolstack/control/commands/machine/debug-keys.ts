import { CommandError } from "../../../api/command-error.ts";
import { debugKeysRequest } from "../../../api/requests/machine.ts";
import { debugKeys } from "../../hypercalls/sysctl.ts";
import { handler } from "../handler.ts";
import { requestCommand } from "../request-command.ts";

const KEYS_MAX = 64;

export const debugKeysCommand = requestCommand(
  handler(debugKeysRequest, ({ keys }) => {
    if (!/^[a-zA-Z0-9*]+$/.test(keys) || keys.length > KEYS_MAX) {
      throw new CommandError(`"${keys}" is not 1 to ${KEYS_MAX} letters or digits`);
    }
    debugKeys(keys);
  }),
);
