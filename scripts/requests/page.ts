/** docs/requests.md as a string. */
import type { Argument } from "../../toolstack/api/argument.ts";
import { optionName, usageOf } from "../../toolstack/api/command-line.ts";
import * as protocol from "../../toolstack/api/protocol.ts";
import { API_VERSION, type AnyRequest, type Stream } from "../../toolstack/api/request.ts";
import { requests } from "../../toolstack/api/requests/table.ts";
import { VERSION } from "../../toolstack/api/version.ts";
import { CIPHER } from "../../toolstack/cli/connection/connect.ts";
import { schemaText } from "./schema-text.ts";

const { BODY_MOST, CONTROL_PORT, HELLO_MS, PROTOCOL_VERSION, REQUESTS_MOST, STALLED_MS, WINDOW_FIRST } = protocol;

type FrameName = {
  [Name in keyof typeof protocol]: (typeof protocol)[Name] extends number ? Name : never;
}[keyof typeof protocol];

/** Frames: who sends them, and their bodies. */
const FRAMES: readonly [name: FrameName, sender: string, body: string][] = [
  [
    "HELLO",
    "client, then server",
    `the client's \`{"protocol": ${PROTOCOL_VERSION}, "software": TEXT}\`, id 0; the server's below`,
  ],
  ["REQUEST", "client", '`{"request": NAME, "params": {...}}`; the id is the client\'s choice, not 0 and not in use'],
  ["PROGRESS", "server", '`{"text": LINE}`, for people'],
  ["RESULT_PART", "server", "a part of the result's JSON that is not the last"],
  ["RESULT", "server", "the last part; the id is free again"],
  ["ERROR", "server", '`{"kind": KIND, "message": TEXT}`; the id is free again'],
  ["DATA", "both", "bytes of the request's stream, as many as the other side has room for"],
  ["DATA_END", "both", "nothing: this direction of the stream is over"],
  ["WINDOW", "both", "u32: so many bytes of DATA more may be sent"],
  ["CANCEL", "client", "nothing: the request is to end early; it is still answered, by RESULT or ERROR"],
];

const KINDS: Readonly<Record<protocol.ErrorKind, string>> = {
  protocol: "What was sent is no frame, or breaks the rules: id 0, and the end of the connection.",
  request: "There is no request of that name.",
  refused:
    "What was asked for is not possible, the arguments are wrong, or it was cancelled: the message says what, and what to do. Nothing is " +
    "changed, unless it says so.",
  internal: "A fault of Typevisor's; the message has its stack.",
};

const STREAMS: Readonly<Record<Stream, string>> = {
  none: "",
  output: "text from Typevisor",
  file: "bytes from Typevisor, which make a file",
  console: "bytes both ways, until either side ends it",
  tunnel: "bytes both ways, each of which ends by itself (DATA_END)",
  upload: "bytes to Typevisor, as many as the arguments say",
};

const code = (text: string) => `\`${text.replaceAll("|", "\\|")}\``;

function argumentRow(key: string, argument: Argument<unknown>): string {
  const { place, value, many, short, summary, choices, names } = argument;
  const letter = short === undefined ? "" : `-${short}, `;
  const typed =
    place === "word"
      ? `${value}${many ? "..." : ""}`
      : `${letter}--${optionName(key)}${value === null ? "" : ` ${value}`}`;
  const more = [
    summary,
    many && place === "option" ? "repeatable" : "",
    choices === undefined ? "" : `one of ${choices.map(code).join(", ")}`,
    names === undefined ? "" : `a ${names}'s name${names === "domain" ? " or id" : ""}`,
  ];
  return `| ${code(key)} | ${code(typed)} | ${more
    .filter((text) => text !== "")
    .map((text) => text.replaceAll("|", "\\|"))
    .join("; ")} |`;
}

const block = (text: string) => ["```ts", text, "```"];

/** One request. */
function section(request: AnyRequest): string[] {
  const { name, summary, details, stream, waits } = request;
  const declared = Object.entries(request.arguments as Record<string, Argument<unknown>>);
  const result = schemaText(request.result as never);
  const json = request.lines === null ? "" : " [--json]";
  return [
    "",
    `### ${name}`,
    "",
    `${summary[0]!.toUpperCase()}${summary.slice(1)}.`,
    "",
    `    ${name} ${usageOf(request)}${json}`.trimEnd(),
    ...(declared.length === 0
      ? []
      : [
          "",
          "| argument | typed | |",
          "|---|---|---|",
          ...declared.map(([key, argument]) => argumentRow(key, argument)),
          "",
          "Arguments:",
          "",
          ...block(schemaText(request.params as never)),
        ]),
    ...(result === "void" ? ["", "Result: none."] : ["", "Result:", "", ...block(result)]),
    ...(stream === "none" ? [] : ["", `Stream: ${STREAMS[stream]}.`]),
    ...(waits === null ? [] : ["", `Waits for ${waits.for}. Cancelled: ${waits.cancelled}.`]),
    ...(details.length === 0 ? [] : ["", ...details.map((line) => `    ${line}`)]),
  ];
}

/** The whole page. */
export function requestsPage(): string {
  const sorted = [...requests].sort((a, b) => (a.name < b.name ? -1 : 1));
  return [
    "# Requests",
    "",
    "What can be asked of Typevisor over its control connection: the commands of the prompt, of `chaos` and of `xl` are made of these.",
    "Made by `npm run docs` from `toolstack/api/`, by which the code goes.",
    "",
    "## The connection",
    "",
    `TCP to port ${CONTROL_PORT} of domain 0's address; in it TLS 1.2 with a pre-shared key (\`${CIPHER}\`, X25519), whose`,
    "identity and 32 bytes are the key file's one line; in it the frames below.",
    "",
    `Protocol version ${PROTOCOL_VERSION}; version ${API_VERSION} of the requests' forms; of Typevisor ${VERSION}. The protocol's version must be the`,
    "server's. That of the forms is raised when one that was valid is no longer, or means something else: more requests, arguments that need",
    "not be there and more fields of results do not raise it, and clients ignore fields that they do not know.",
    "",
    "## Frames",
    "",
    "u32 length of what follows it, u8 type, u32 id, body. Numbers are little-endian; text is UTF-8, and JSON where it says so.",
    `A body has at most ${BODY_MOST} bytes. The id is the request's; 0 is the connection itself.`,
    "",
    "| type | | from | body |",
    "|---:|---|---|---|",
    ...FRAMES.map(([name, sender, body]) => `| ${protocol[name]} | ${name} | ${sender} | ${body} |`),
    "",
    `The server's HELLO is \`{"protocol": ${PROTOCOL_VERSION}, "api": ${API_VERSION}, "software": TEXT, "requests": [NAME, ...]}\`. Up to ${REQUESTS_MOST} requests are open at a`,
    `time; they are answered in any order. Of a stream ${WINDOW_FIRST} bytes may be sent before the first WINDOW. A connection that says`,
    `nothing for ${HELLO_MS / 1000} s at its start, or takes nothing for ${STALLED_MS / 1000} s while something waits for it, is ended, and its requests are cancelled.`,
    "",
    "## Errors",
    "",
    "| kind | |",
    "|---|---|",
    ...Object.entries(KINDS).map(([kind, text]) => `| \`${kind}\` | ${text} |`),
    "",
    "## Requests by name",
    "",
    "Arguments and results are JSON, here in TypeScript's notation. `typed` is how an argument is written at the prompt and to `chaos`,",
    "whose `--json` prints the result.",
    ...sorted.flatMap(section),
    "",
  ].join("\n");
}
