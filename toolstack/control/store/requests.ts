/**
 * The requests a domain may make: number, name, required privilege, handler. Payloads are byte strings; an answer is the
 * returned payload. Source: xs_wire.h, Xen's docs/misc/xenstore.txt and xenstored 4.17.
 */
import {
  XENSTORE_PAYLOAD_MAX,
  XENSTORE_REL_PATH_MAX,
  XS_CONTROL,
  XS_DIRECTORY,
  XS_DIRECTORY_PART,
  XS_GET_DOMAIN_PATH,
  XS_GET_PERMS,
  XS_INTRODUCE,
  XS_IS_DOMAIN_INTRODUCED,
  XS_MKDIR,
  XS_READ,
  XS_RELEASE,
  XS_RESET_WATCHES,
  XS_RESUME,
  XS_RM,
  XS_SET_PERMS,
  XS_SET_TARGET,
  XS_TRANSACTION_END,
  XS_TRANSACTION_START,
  XS_UNWATCH,
  XS_WATCH,
  XS_WRITE,
} from "../../../abi/xs-wire.ts";
import { DOMID_SELF } from "../../../abi/xen.ts";
import type { Client } from "./client.ts";
import { control } from "./control.ts";
import {
  changePermissions,
  makeDirectory,
  readNode,
  readPermissions,
  removeNode,
  writeNode,
  type Scope,
} from "./operations.ts";
import { absolutePath, homeOf, isSpecial, isValidPath } from "./path.ts";
import { formatPermissions, parsePermissions } from "./permissions.ts";
import { EACCES, EBUSY, EINVAL, EIO, ENOENT, ENOSYS, StoreError } from "./store-error.ts";
import type { Transaction } from "./transaction.ts";
import { eventPath } from "./watches.ts";
import { errorReply, leadingNumber, onlyString, reply, strings, type Header } from "./wire.ts";

/** Operations that privileged requests need from the domain manager. */
export interface DomainManager {
  /** Connects a domain's ring; again for one that is connected. Throws StoreError. */
  introduce(domain: number, port: number): void;
  /** Throws ENOENT. */
  release(domain: number): void;
  /** A domain that had shut down was resumed. Throws ENOENT. */
  resume(domain: number): void;
  /** The client of an introduced domain. */
  client(domain: number): Client | undefined;
}

interface Request {
  client: Client;
  manager: DomainManager;
  /** Null outside of transactions. */
  transaction: Transaction | null;
  header: Header;
  scope: Scope;
  payload: string;
}

type Handler = (request: Request) => string | { answer: string; after: () => void };

interface Kind {
  name: string;
  run: Handler;
  /** Only for domain 0. */
  privileged?: boolean;
  /** The transaction in the header counts for nothing. */
  outside?: boolean;
}

const OK = "OK\0";

/** The path that is a request's only argument, made absolute. */
function onlyPath({ client, payload }: Request): string {
  const path = onlyString(payload);
  if (path === undefined) throw EINVAL;
  return absolutePath(path, client.home);
}

/** The domain that is a request's only argument. */
function onlyDomain(payload: string): number {
  const text = onlyString(payload);
  if (text === undefined) throw EINVAL;
  return leadingNumber(text);
}

function directoryPart({ client, scope, payload }: Request): string {
  const words = strings(payload);
  if (words.length !== 2) throw EINVAL;
  const { generation, children } = readNode(scope, absolutePath(words[0]!, client.home));
  const head = `${generation}\0`;
  const offset = leadingNumber(words[1]!);
  if (offset < 0 || offset >= children.length) return `${head}\0`;
  const room = XENSTORE_PAYLOAD_MAX - head.length - 1;
  if (children.length - offset <= room) return `${head}${children.slice(offset)}\0`;
  // Whole names only; an empty one at the end says that there are no more.
  return head + children.slice(offset, children.lastIndexOf("\0", offset + room - 1) + 1);
}

function write({ client, scope, payload }: Request): string {
  const end = payload.indexOf("\0");
  if (end < 0) throw EINVAL;
  writeNode(scope, absolutePath(payload.slice(0, end), client.home), payload.slice(end + 1));
  return OK;
}

function setPermissions({ client, scope, payload }: Request): string {
  const [path, ...words] = strings(payload);
  if (path === undefined || words.length === 0) throw EINVAL;
  const permissions = parsePermissions(words);
  if (isSpecial(path)) client.store.setSpecialPermissions(client.subject, path, permissions);
  else changePermissions(scope, absolutePath(path, client.home), permissions);
  return OK;
}

/** Path and token of a watch. Throws EINVAL. */
function watchArguments({ client, payload }: Request): { path: string; token: string; relative: boolean } {
  const words = strings(payload);
  if (words.length !== 2) throw EINVAL;
  const relative = !words[0]!.startsWith("/") && !isSpecial(words[0]!);
  return { path: absolutePath(words[0]!, client.home), token: words[1]!, relative };
}

const watch: Handler = (request) => {
  const { client } = request;
  const { path, token, relative } = watchArguments(request);
  if (isSpecial(path) ? path.length > XENSTORE_REL_PATH_MAX : !isValidPath(path)) throw EINVAL;
  const made = client.watch(path, token, relative);
  return { answer: OK, after: () => client.event(eventPath(made, path), token, null) };
};

const unwatch: Handler = (request) => {
  const { path, token } = watchArguments(request);
  request.client.unwatch(path, token);
  return OK;
};

function transactionStart({ client, transaction }: Request): string {
  if (transaction !== null) throw EBUSY;
  return `${client.begin()}\0`;
}

function transactionEnd({ client, transaction, header, payload }: Request): string {
  const how = onlyString(payload);
  if (how !== "T" && how !== "F") throw EINVAL;
  if (transaction === null) throw ENOENT;
  client.end(header.transaction, how === "T");
  return OK;
}

function introduce({ manager, payload }: Request): string {
  // Domain, frame (not needed: it is a parameter of the domain), port.
  const words = strings(payload);
  const port = leadingNumber(words[2] ?? "");
  if (words.length < 3 || port <= 0) throw EINVAL;
  manager.introduce(leadingNumber(words[0]!), port);
  return OK;
}

function setTarget({ manager, payload }: Request): string {
  const words = strings(payload);
  if (words.length < 2) throw EINVAL;
  const client = manager.client(leadingNumber(words[0]!));
  const target = manager.client(leadingNumber(words[1]!));
  if (client === undefined || target === undefined) throw ENOENT;
  client.store.setTarget(client.subject, target.domain);
  return OK;
}

function isIntroduced({ manager, payload }: Request): string {
  const domain = onlyDomain(payload);
  return domain === DOMID_SELF || domain === 0 || manager.client(domain) !== undefined ? "T\0" : "F\0";
}

/** Domain 0's own number is refused, as Xen refuses it. */
function otherDomain(payload: string): number {
  const domain = onlyDomain(payload);
  if (domain === 0) throw EINVAL;
  return domain;
}

const KINDS: Record<number, Kind> = {
  [XS_CONTROL]: { name: "CONTROL", privileged: true, run: ({ client, payload }) => control(client.store, payload) },
  [XS_DIRECTORY]: { name: "DIRECTORY", run: (r) => readNode(r.scope, onlyPath(r)).children },
  [XS_READ]: { name: "READ", run: (r) => readNode(r.scope, onlyPath(r)).data },
  [XS_GET_PERMS]: {
    name: "GET_PERMS",
    run: (r) => `${formatPermissions(readPermissions(r.scope, onlyPath(r))).join("\0")}\0`,
  },
  [XS_WATCH]: { name: "WATCH", outside: true, run: watch },
  [XS_UNWATCH]: { name: "UNWATCH", outside: true, run: unwatch },
  [XS_TRANSACTION_START]: { name: "TRANSACTION_START", run: transactionStart },
  [XS_TRANSACTION_END]: { name: "TRANSACTION_END", run: transactionEnd },
  [XS_INTRODUCE]: { name: "INTRODUCE", privileged: true, run: introduce },
  [XS_RELEASE]: {
    name: "RELEASE",
    privileged: true,
    run: ({ manager, payload }) => (manager.release(otherDomain(payload)), OK),
  },
  [XS_GET_DOMAIN_PATH]: { name: "GET_DOMAIN_PATH", run: ({ payload }) => `${homeOf(onlyDomain(payload))}\0` },
  [XS_WRITE]: { name: "WRITE", run: write },
  [XS_MKDIR]: { name: "MKDIR", run: (r) => (makeDirectory(r.scope, onlyPath(r)), OK) },
  [XS_RM]: { name: "RM", run: (r) => (removeNode(r.scope, onlyPath(r)), OK) },
  [XS_SET_PERMS]: { name: "SET_PERMS", run: setPermissions },
  [XS_IS_DOMAIN_INTRODUCED]: { name: "IS_DOMAIN_INTRODUCED", privileged: true, run: isIntroduced },
  [XS_RESUME]: {
    name: "RESUME",
    privileged: true,
    run: ({ manager, payload }) => (manager.resume(otherDomain(payload)), OK),
  },
  [XS_SET_TARGET]: { name: "SET_TARGET", privileged: true, run: setTarget },
  [XS_RESET_WATCHES]: { name: "RESET_WATCHES", run: ({ client }) => (client.reset(), OK) },
  [XS_DIRECTORY_PART]: { name: "DIRECTORY_PART", run: directoryPart },
};

/** True for requests that may change what the store keeps for the domain. */
export function changesState(type: number): boolean {
  return ![XS_DIRECTORY, XS_READ, XS_GET_PERMS, XS_GET_DOMAIN_PATH, XS_DIRECTORY_PART].includes(type);
}

function perform(client: Client, manager: DomainManager, header: Header, payload: string): ReturnType<Handler> {
  const kind = KINDS[header.type];
  if (kind === undefined) throw ENOSYS;
  if (kind.privileged === true && !client.subject.privileged) throw EACCES;
  const transaction = kind.outside === true ? null : client.transaction(header.transaction);
  return kind.run({ client, manager, transaction, header, scope: client.scope(transaction), payload });
}

/**
 * Carries out a request and queues the answer, an error where it failed.
 * @param unexpected hears of exceptions that are no answers: mistakes of ours, which the client sees as EIO
 */
export function handleRequest(
  client: Client,
  manager: DomainManager,
  header: Header,
  payload: string,
  unexpected: (error: unknown) => void,
): void {
  try {
    const result = perform(client, manager, header, payload);
    client.announcer.flush();
    if (typeof result === "string") {
      client.answer(reply(header, result));
    } else {
      client.answer(reply(header, result.answer));
      result.after();
    }
  } catch (error) {
    if (!(error instanceof StoreError)) unexpected(error);
    client.answer(errorReply(header, error instanceof StoreError ? error.errno : EIO.errno));
  }
}
