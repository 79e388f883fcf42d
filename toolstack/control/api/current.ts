/** The control service for the command that shows and sets it, whose table the service itself is made with. */
import type { ControlKey } from "../../api/key.ts";

/** A key, without its secret. */
export interface KeyDescription {
  name: string;
  /** The first 16 digits that `sha256sum` shows of the key's file. */
  fingerprint: string;
  from: "boot module" | "console";
}

export interface ControlView {
  /** Null: there is none. */
  describeKey(): KeyDescription | null;
  /** As in listen.ts. */
  setKey(key: ControlKey): void;
  /** Why nobody can connect; null: who has the key can. */
  readonly refusal: string | null;
  readonly serialPorts: number;
  readonly clients: number;
  /**
   * Has domain 0 another address, as `control=` would say, or "off".
   * @throws CommandError for what is none
   */
  setNetwork(option: string): Promise<void>;
  describeNetwork(): string;
}

let current: ControlView | null = null;

export function setControlView(view: ControlView): void {
  current = view;
}

export function controlView(): ControlView {
  if (current === null) throw new Error("the control service is not there yet");
  return current;
}
