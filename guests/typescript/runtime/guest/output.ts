/** Text to the domain's console. */
import { call, OPERATION, transfer, TRANSFER_SIZE } from "./host.ts";
import { encodeUtf8 } from "../data/text.ts";

export function printBytes(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += TRANSFER_SIZE) {
    const piece = bytes.subarray(at, at + TRANSFER_SIZE);
    transfer.set(piece);
    call(OPERATION.print, piece.length);
  }
}

export function print(text: string): void {
  printBytes(encodeUtf8(text));
}
