/** Records of domains for a later domain 0: when they are made, and that there is room for them. */
import { systemTime } from "../clock.ts";
import type { SavedClient } from "../store/saved.ts";
import type { StoreService } from "../store/service.ts";
import { Task } from "../tasks.ts";
import { after } from "../timers.ts";
import type { GuestDomain } from "./domain.ts";
import { encodeDomain, keepDomain } from "./saved.ts";

/** How long after a change it is kept for a later domain 0. */
const SAVE_MS = 50;
/** How long a domain's next record waits for each character of its latest: the work is a few per cent of that. */
const SAVE_NS_PER_CHARACTER = 10_000;

export class DomainKeeper {
  /** Domains of which something is to be kept. */
  private readonly unsaved = new Set<GuestDomain>();
  private due: GuestDomain[] = [];
  private saving = false;
  private readonly saver = new Task("keeping what domain 0 knows", () => this.saveOne());
  /** The lack of space for records has been reported. */
  private saidFull = false;

  /**
   * @param isThere tells whether a domain has not ended
   * @param notice prints a line about something that happened by itself
   */
  constructor(
    private readonly store: StoreService,
    private readonly isThere: (domain: GuestDomain) => boolean,
    private readonly notice: (text: string) => void,
  ) {}

  /** Schedules saving a domain's state for a later domain 0; several changes are combined. */
  save(domain: GuestDomain): void {
    this.unsaved.add(domain);
    if (this.saving) return;
    this.saving = true;
    after(SAVE_MS, () => {
      this.saving = false;
      this.due = [...this.unsaved];
      this.saver.request();
    });
  }

  /** Saves the next domain that is due; returns whether there are more. */
  private saveOne(): boolean {
    const domain = this.due.pop();
    if (domain === undefined || !this.unsaved.has(domain)) return this.due.length > 0;
    if (!this.isThere(domain)) this.unsaved.delete(domain);
    // Who has much to be kept and changes it all the time is kept less often.
    else if (systemTime() < domain.nextSaveNs) this.save(domain);
    else this.saveNow(domain);
    return this.due.length > 0;
  }

  /**
   * As `save`, but immediately: a change confirmed to an operator survives a crash of domain 0.
   * Of a domain that has more than there is room for, what matters most is kept: its watches before its nodes.
   * @param now system time, about
   */
  saveNow(domain: GuestDomain, now = systemTime()): void {
    const { id } = domain;
    this.unsaved.delete(domain);
    let made = 0;
    let kept = false;
    const { store } = this;
    const keep = (what: SavedClient | null): boolean => {
      const text = encodeDomain(domain, what);
      made += text.length;
      return (kept = keepDomain(id, text));
    };
    if (store.hasAsked(id)) {
      if (!store.maySaveNodes(id) || !keep(store.save(id, true))) keep(store.save(id, false));
    }
    if (!kept) keep(null);
    this.noteRoom(kept, domain);
    domain.nextSaveNs = now + made * SAVE_NS_PER_CHARACTER;
  }

  /** Says so, once, when records do not find room any more. */
  private noteRoom(kept: boolean, domain: GuestDomain): void {
    if (!kept && !this.saidFull) {
      this.notice(
        `${domain}: no room is left to keep what is known of it; should domain 0 be restarted, this domain and others that ` +
          "are made now lose their names, their part of the store, their policies and how they were made",
      );
    }
    this.saidFull = !kept;
  }
}
