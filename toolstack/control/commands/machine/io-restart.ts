import { IO_DOMAIN } from "../../../../abi/io/layout.ts";
import { SHUTDOWN_reboot } from "../../../../abi/sched.ts";
import { ioRestartRequest } from "../../../api/requests/machine.ts";
import { shutdownDomain } from "../../hypercalls/sched.ts";
import { handler } from "../handler.ts";
import { requestCommand } from "../request-command.ts";

export const ioRestartCommand = requestCommand(
  handler(ioRestartRequest, () => shutdownDomain(IO_DOMAIN, SHUTDOWN_reboot)),
);
