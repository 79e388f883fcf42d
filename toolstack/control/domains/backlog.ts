/** Output of a guest that nobody looks at: its latest bytes, up to a limit. */
export class Backlog {
  private pieces: Uint8Array[] = [];
  private size = 0;
  private dropped = false;

  /** @param limit bytes kept at most */
  constructor(private readonly limit: number) {}

  add(piece: Uint8Array): void {
    this.pieces.push(piece);
    this.size += piece.length;
    while (this.size > this.limit) {
      const oldest = this.pieces[0]!;
      const excess = this.size - this.limit;
      this.dropped = true;
      if (oldest.length > excess) {
        this.pieces[0] = oldest.subarray(excess);
        this.size = this.limit;
      } else {
        this.pieces.shift();
        this.size -= oldest.length;
      }
    }
  }

  /** Takes everything out: the pieces in order, and whether earlier output was lost. */
  take(): { pieces: Uint8Array[]; dropped: boolean } {
    const taken = { pieces: this.pieces, dropped: this.dropped };
    this.pieces = [];
    this.size = 0;
    this.dropped = false;
    return taken;
  }
}
