import { modulesRequest } from "../../api/requests/machine.ts";
import { bootModules } from "../boot-info.ts";
import { handler } from "./handler.ts";
import { requestCommand } from "./request-command.ts";

export const modulesCommand = requestCommand(
  handler(modulesRequest, () => bootModules().map(({ name, size }) => ({ name, bytes: size }))),
);
