/** node:string_decoder, for UTF-8. */
import { TextDecoder } from "./text.ts";

export class StringDecoder {
  private readonly decoder: TextDecoder;
  constructor(readonly encoding = "utf8") {
    this.decoder = new TextDecoder(encoding, { ignoreBOM: true });
  }
  write(bytes: Uint8Array): string {
    return this.decoder.decode(bytes, { stream: true });
  }
  end(bytes: Uint8Array = new Uint8Array(0)): string {
    return this.decoder.decode(bytes);
  }
}
