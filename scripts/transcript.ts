/** A console's output, all or the latest part of it, with a read position. */
export class Transcript {
  text = "";
  /** The read position. */
  position = 0;

  /** @param keep characters that are kept at least; twice as many at most */
  constructor(private readonly keep = Infinity) {}

  add(text: string): void {
    this.text += text;
    if (this.text.length <= 2 * this.keep) return;
    const cut = this.text.length - this.keep;
    this.text = this.text.slice(cut);
    this.position = Math.max(0, this.position - cut);
  }

  /** What was not read yet. */
  get rest(): string {
    return this.text.slice(this.position);
  }
}
