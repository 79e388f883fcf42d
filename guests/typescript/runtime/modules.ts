/** Node's modules that programs can import, by name. toolstack/cli/app/bundle.ts reads the names here: one a line. */
import EventEmitter from "events";
import path from "path-browserify";
import * as http from "./http.ts";
import * as buffer from "./buffer.ts";
import * as crypto from "./crypto.ts";
import * as dgram from "./dgram.ts";
import * as dns from "./dns.ts";
import * as net from "./net.ts";
import * as streams from "./streams.ts";
import * as timers from "./timers.ts";
import * as url from "./url.ts";
import * as util from "./util.ts";
import { assert } from "./assert.ts";
import { fs, promises as fsPromises } from "./fs.ts";
import { process } from "./process.ts";
import { performance } from "./performance.ts";
import { querystring } from "./querystring.ts";
import { StringDecoder } from "./string-decoder.ts";

const stream = Object.assign(streams.Duplex.bind(null), { ...streams, Stream: streams.Readable });

export const MODULES: Record<string, unknown> = {
  assert,
  buffer: { Buffer: buffer.Buffer, atob: buffer.atob, btoa: buffer.btoa },
  crypto: { ...crypto, webcrypto: crypto.webcrypto },
  dgram,
  dns,
  events: EventEmitter,
  fs,
  "fs/promises": fsPromises,
  http,
  net,
  os: { EOL: "\n", platform: () => "typevisor", hostname: () => "typevisor", cpus: () => [], type: () => "Typevisor" },
  path,
  perf_hooks: { performance },
  process,
  querystring,
  stream,
  "stream/promises": streams.promises,
  string_decoder: { StringDecoder },
  timers,
  "timers/promises": timers.promises,
  url,
  util,
};
