/** What may stand at a place of a command line. */
import type { NameKind } from "../../api/argument.ts";

export interface Candidate {
  value: string;
  /** A few words on it, where the shell shows them. */
  summary?: string;
}

export interface Expected {
  candidates: readonly Candidate[];
  /** Names that the machine knows, or of machines. */
  names?: NameKind | "machine";
  /** Files of this computer's. */
  files?: boolean;
  /** What of the word is in front of the place: `--kernel=`. */
  before?: string;
}

export const NOTHING: Expected = { candidates: [] };

export const candidatesOf = (values: readonly string[]): Candidate[] => values.map((value) => ({ value }));
