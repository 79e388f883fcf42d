/** What is found while an xl.cfg is read: faults, and notes on what is accepted without effect. */
import { nearest, type Place, type Problem } from "./problems.ts";
import type { XlKey } from "./xl-keys.ts";

/** Where a value is written, and under which key. */
export interface Spot {
  place: Place;
  key: string;
}

export class Report {
  readonly faults: Problem[] = [];
  readonly notes: Problem[] = [];

  fault(spot: Spot, text: string): void {
    this.faults.push({ ...spot, text });
  }

  note(spot: Spot, text: string): void {
    this.notes.push({ ...spot, text });
  }

  /**
   * Whether a key or parameter is one that is supported. What is refused becomes a fault, what cannot matter a note.
   * @param value as it is written, for the exceptions of a refusal; null for a list that is not empty
   * @param known all that there are, to find one that was probably meant
   */
  supports(spot: Spot, named: XlKey | undefined, name: string, value: string | null, known: Iterable<string>): boolean {
    if (named === undefined) {
      const meant = nearest(name, known);
      this.fault(spot, `xl 4.17 has nothing of that name${meant === undefined ? "" : `; is ${meant} meant?`}`);
      return false;
    }
    if (named.verdict === "supported") return true;
    if (named.verdict === "idle") {
      this.note(spot, `accepted without effect: ${named.note}`);
    } else if (value !== null && (value === "[]" || named.except.includes(value))) {
      this.note(spot, `accepted: ${value === "[]" ? "it is empty" : `it is ${value} anyway`}`);
    } else {
      const except = named.except.length === 0 ? "" : `; accepted: ${named.except.join(", ")}`;
      this.fault(spot, `not supported: ${named.note}${except}`);
    }
    return false;
  }
}
