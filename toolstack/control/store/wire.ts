/** Messages of the xenstore protocol: a header of four words, and a payload of byte strings. */
import { XENSTORE_PAYLOAD_MAX, XS_ERROR, XsdSockmsg } from "../../../abi/xs-wire.ts";
import { E2BIG, type StoreErrno } from "./store-error.ts";

export const HEADER_BYTES = XsdSockmsg.SIZE;

export interface Header {
  /** XS_*. */
  type: number;
  /** Chosen by the client, returned with the answer. */
  request: number;
  /** 0 for none. */
  transaction: number;
  /** Bytes of payload. */
  length: number;
}

export interface Message {
  readonly type: number;
  readonly request: number;
  readonly transaction: number;
  readonly payload: string;
}

function word(bytes: string, at: number): number {
  return (
    (bytes.charCodeAt(at) |
      (bytes.charCodeAt(at + 1) << 8) |
      (bytes.charCodeAt(at + 2) << 16) |
      (bytes.charCodeAt(at + 3) << 24)) >>>
    0
  );
}

function wordBytes(value: number): string {
  return String.fromCharCode(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);
}

/** Reads the header that `bytes` begins with. */
export function decodeHeader(bytes: string): Header {
  return {
    type: word(bytes, XsdSockmsg.type_),
    request: word(bytes, XsdSockmsg.req_id),
    transaction: word(bytes, XsdSockmsg.tx_id),
    length: word(bytes, XsdSockmsg.len),
  };
}

/** A message as it goes over the wire. */
export function encodeMessage({ type, request, transaction, payload }: Message): string {
  return wordBytes(type) + wordBytes(request) + wordBytes(transaction) + wordBytes(payload.length) + payload;
}

/** The answer to `header`; one that is too long becomes E2BIG. */
export function reply({ type, request, transaction }: Header, payload: string): Message {
  if (payload.length > XENSTORE_PAYLOAD_MAX) return errorReply({ type, request, transaction, length: 0 }, E2BIG.errno);
  return { type, request, transaction, payload };
}

export function errorReply({ request, transaction }: Header, errno: StoreErrno): Message {
  return { type: XS_ERROR, request, transaction, payload: `${errno}\0` };
}

/** The NUL-terminated strings of a payload; anything after the last one is ignored. */
export function strings(payload: string): string[] {
  const parts = payload.split("\0");
  parts.pop();
  return parts;
}

/** The payload's only string, or undefined: exactly one NUL byte, at its end. */
export function onlyString(payload: string): string | undefined {
  return payload.indexOf("\0") === payload.length - 1 && payload !== "" ? payload.slice(0, -1) : undefined;
}

/** As C's atoi: the digits a string begins with; 0 when there are none. */
export function leadingNumber(text: string): number {
  return Number(/^[ \t]*[+-]?([0-9]+)/.exec(text)?.[0] ?? 0);
}
