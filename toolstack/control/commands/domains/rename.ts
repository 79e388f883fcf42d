import { renameRequest } from "../../../api/requests/domains.ts";
import { handler } from "../handler.ts";
import { namedDomain } from "../life.ts";
import { requestCommand } from "../request-command.ts";

export const renameCommand = requestCommand(
  handler(renameRequest, ({ id, name }, { domains }) => domains.rename(namedDomain(id, domains), name)),
);
