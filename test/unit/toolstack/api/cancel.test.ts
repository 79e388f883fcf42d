/** Every request that is marked as waiting is made to wait, cancelled by its client, and answered; the client goes on. */
import test from "ava";
import { IO_BRIDGE_CAPTURE, IO_BRIDGE_DUMP } from "../../../../abi/io/control.ts";
import { BridgeDumpResponse } from "../../../../abi/io/control-net.ts";
import { listRequest } from "../../../../toolstack/api/requests/domains.ts";
import { requests } from "../../../../toolstack/api/requests/table.ts";
import type { AnyRequest } from "../../../../toolstack/api/request.ts";
import { RequestFailed, type Client } from "../../../../toolstack/cli/connection/client.ts";
import type { FakeMachine } from "../fake-machine.ts";
import { booted, connect, settled } from "./clients.ts";

interface Globals {
  io: { request(operation: number): Promise<unknown> };
  domains: { gone(): Promise<boolean> };
  sleep(ms: number): Promise<void>;
}

const never = () => new Promise<never>(() => {});

/** Makes the I/O domain one that answers nothing. */
const hang = (m: FakeMachine) => {
  (m.globals as unknown as Globals).io.request = never;
};

interface Case {
  params: object;
  /** Before it is made: what makes it wait. */
  prepare?: (m: FakeMachine) => void;
  /** The answer: an error's message, or what a result is like. */
  error?: RegExp;
  result?: object;
  /** What holds behind it. */
  check?: (m: FakeMachine) => boolean;
}

const HASH = `sha256:${"0".repeat(64)}`;
const IO_ERROR = /^no longer waiting for the I\/O domain: /;

/** By the requests' names. Domains 1 and 2 are there, called one and two. */
const CASES: Record<string, Case> = {
  create: {
    params: { kernel: "hello", memory: 64, name: "three" },
    prepare: (m) => (m.frameNs = 200_000),
    error: /^cancelled: no domain was created$/,
    check: (m) => m.domains.size === 2,
  },
  destroy: {
    params: { ids: ["one", "two"] },
    prepare: ({ globals }) => {
      const { domains, sleep } = globals as unknown as Globals;
      domains.gone = () => sleep(1000).then(() => true);
    },
    error: /^cancelled: domain 2 \(two\) is still there$/,
    check: (m) => m.domains.has(2),
  },
  shutdown: { params: { id: "one" }, error: /^no longer waiting for domain 1 \(one\): the request stands$/ },
  reboot: { params: { id: "one" }, error: /^no longer waiting for domain 1 \(one\): the request stands$/ },
  wait: { params: { id: "one" }, error: /^no longer waiting for domain 1 \(one\): it runs on$/ },
  console: { params: { id: "one" }, result: { ended: null } },
  "image put": { params: { hash: HASH, name: "x", bytes: 10 }, error: /^cancelled: the image is not there$/ },
  js: { params: { script: "new Promise(() => {})" }, error: /^no longer waiting for the promise$/ },
  "bridge dump": {
    params: { name: "xenbr0", seconds: 1000 },
    prepare: ({ globals }) => {
      const payload = new Uint8Array(64);
      payload[BridgeDumpResponse.capture] = 1;
      (globals as unknown as Globals).io.request = (operation) =>
        operation === IO_BRIDGE_CAPTURE || operation === IO_BRIDGE_DUMP
          ? Promise.resolve({ payload, bulk: new Uint8Array(0) })
          : never();
    },
    result: { frames: 0, lost: 0 },
  },
};

/** Arguments of requests that wait for the I/O domain and no more. */
const IO_PARAMS: Record<string, object> = {
  name: { name: "some" },
  id: { id: "one" },
  size: { size: "1M" },
  made: { made: "other" },
  disk: { disk: 0 },
  card: { card: 0 },
  number: { number: 0 },
  vdev: { vdev: "xvda" },
  settings: { settings: "" },
};

/** The case of a request, if need be made of what it takes. */
function caseOf({ name, waits, arguments: taken }: AnyRequest): Case {
  const known = CASES[name];
  if (known !== undefined || waits?.goesOn !== true) return known!;
  const wanted = Object.entries(taken as Record<string, { required: boolean }>).filter(([, { required }]) => required);
  const params = Object.assign({}, ...wanted.map(([key]) => IO_PARAMS[key])) as Record<string, unknown>;
  if (name === "vbd attach") params.settings = "target=ram:1M,vdev=xvdb";
  return { params, prepare: hang, error: IO_ERROR };
}

async function cancelled(m: FakeMachine, client: Client, request: AnyRequest, params: object) {
  const ending = new AbortController();
  const { result, stream } = client.request(request, params as never, { signal: ending.signal });
  stream.resume();
  let answered = false;
  result.then(
    () => (answered = true),
    () => (answered = true),
  );
  await m.pass(300);
  const early = answered;
  ending.abort();
  return {
    early,
    answer: await settled(
      m,
      result.catch((error: Error) => error),
      5000,
    ),
  };
}

const waiting = requests.filter(({ waits }) => waits !== null);

test("requests that wait are known: those that are not marked do not", (t) => {
  t.true(waiting.length > 20);
  for (const { name } of waiting) t.truthy(caseOf(requests.find((each) => each.name === name)!), name);
  // What a client sends or is sent for as long as it likes is waiting.
  for (const { name, stream, waits } of requests)
    if (stream === "console" || stream === "upload" || stream === "file") t.not(waits, null, name);
});

for (const request of waiting) {
  test(`${request.name} is cancelled`, async (t) => {
    const m = await booted();
    await m.type("create --kernel hello --name one; create --kernel hello --name two\r");
    const { client } = await connect(m);
    const { params, prepare, error, result, check } = caseOf(request);
    prepare?.(m);
    const { early, answer } = await cancelled(m, client, request, params);
    t.false(early, `it was answered before: ${String(answer)}`);
    if (error === undefined) t.like(answer, result!);
    else {
      t.true(answer instanceof RequestFailed, String(answer));
      t.regex((answer as RequestFailed).message, error);
      t.is((answer as RequestFailed).kind, "refused");
    }
    t.true(check?.(m) ?? true);
    // The connection and its other requests go on.
    t.true((await settled(m, client.request(listRequest, {}).result, 5000)).length > 1);
    t.notRegex(m.takeOutput(), /uncaught|TypeError/i);
  });
}
