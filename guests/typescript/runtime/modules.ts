/** Node's modules that programs can import, by name. toolstack/cli/app/bundle.ts reads the names here: one a line. */
import EventEmitter from "events";
import path from "path-browserify";
import * as http from "./http/http.ts";
import * as buffer from "./data/buffer.ts";
import * as crypto from "./data/crypto.ts";
import * as dgram from "./network/dgram.ts";
import * as dns from "./network/dns.ts";
import * as net from "./network/net.ts";
import * as streams from "./data/streams.ts";
import * as timers from "./guest/timers.ts";
import * as url from "./data/url.ts";
import * as util from "./program/util.ts";
import { assert } from "./program/assert.ts";
import { fs, promises as fsPromises } from "./files/fs.ts";
import { process } from "./program/process.ts";
import { performance } from "./guest/performance.ts";
import { querystring } from "./data/querystring.ts";
import { StringDecoder } from "./data/string-decoder.ts";

const stream = Object.assign(streams.Duplex.bind(null), { ...streams, Stream: streams.Readable });

export const MODULES: Record<string, unknown> = {
  assert,
  buffer: { Buffer: buffer.Buffer, atob: buffer.atob, btoa: buffer.btoa },
  crypto: { ...crypto, webcrypto: crypto.webcrypto },
  dgram,
  dns,
  "dns/promises": dns.promises,
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
