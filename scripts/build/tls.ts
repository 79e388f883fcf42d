/**
 * The TLS module, build/tls.wasm: mbedTLS, Debian's source package, fetched once, with the configuration and the code around it in
 * guests/sandboxes/tls/.
 */
import { readdirSync } from "node:fs";
import path from "node:path";
import { fromRoot } from "../paths.ts";
import { findSource } from "../source-packages.ts";
import { buildCModule, cModuleFile } from "./wasm-c.ts";

/** What is compiled of mbedTLS: a TLS server with a pre-shared key, ECDHE and ChaCha20-Poly1305; Everest's Curve25519. */
const SOURCES = [
  ...["bignum", "chacha20", "chachapoly", "cipher", "cipher_wrap", "constant_time", "ecdh", "ecp", "ecp_curves"],
  ...["hmac_drbg", "md", "platform_util", "poly1305", "sha256", "ssl_ciphersuites", "ssl_msg", "ssl_srv", "ssl_tls"],
].map((name) => `library/${name}.c`);
const EVEREST = ["everest", "x25519", "Hacl_Curve25519_joined"].map((name) => `3rdparty/everest/library/${name}.c`);
const INCLUDES = [
  "include",
  "library",
  ...["", "/everest", "/everest/kremlib"].map((folder) => `3rdparty/everest/include${folder}`),
];

const STACK_BYTES = 0x10000;

const glue = fromRoot("guests/sandboxes/tls");
/** What all sandboxes have of the C library. */
const libc = fromRoot("guests/sandboxes/bytes.c");
const libcHeaders = ["guests/sandboxes/include", "guests/lib/bytes.h"].map(fromRoot);

export const tlsWasm = cModuleFile("tls");

/** Brings the module up to date; or says why mbedTLS, which it is made of, cannot be had. */
export async function buildTlsWasm(): Promise<{ missing: string } | undefined> {
  const mbedtls = await findSource("mbedtls");
  if ("missing" in mbedtls) return mbedtls;
  const { folder } = mbedtls;
  const port = path.join(glue, "port");
  const includes = INCLUDES.map((name) => path.join(folder, name));
  await buildCModule({
    name: "tls",
    title: "compiled the TLS module",
    inputs: () => [glue, libc, ...libcHeaders, ...includes, path.join(folder, "3rdparty/everest/library")],
    own: [
      ...readdirSync(glue)
        .filter((name) => name.endsWith(".c"))
        .map((name) => path.join(glue, name)),
      libc,
    ],
    foreign: [...SOURCES, ...EVEREST].map((name) => path.join(folder, name)),
    flags: [
      "-DMBEDTLS_CONFIG_FILE=<tls-config.h>",
      "-I",
      port,
      ...[path.join(port, "include"), ...includes].flatMap((name) => ["-isystem", name]),
    ],
    stackBytes: STACK_BYTES,
  });
  return undefined;
}
