// Which state is shown, and when: the newest while a run goes on, any other by hand, all in turn when
// replayed, in the time that the steps took.

const STEP = 30; // milliseconds of a step in recordings that carry no times

export class Player {
  /**
   * @param {import("./recording.js").Recording} recording
   * @param {{show: (k: number) => boolean}} view
   * @param {(k: number) => void} tell hears what is shown, once a frame at most
   */
  constructor(recording, view, tell) {
    this.recording = recording;
    this.view = view;
    this.tell = tell;
    this.at = 0;
    this.playing = false;
    this.speed = 1;
    this.follows = true; // the newest state
    this.asked = 0; // the frame that was asked for, 0: none
    this.clock = 0; // of the replay, milliseconds of the recording
    this.last = 0; // when the last frame of the replay was drawn
  }

  /** Something is there to draw. */
  wake() {
    if (!this.asked) this.asked = requestAnimationFrame((now) => this._frame(now));
  }

  /** @param {number} k */
  seek(k) {
    this.at = Math.max(0, Math.min(k, this.recording.length));
    this.clock = this._time(this.at);
    this.follows = this.at === this.recording.length;
    this.wake();
  }

  /** Go on from here, or from the start if this is the end. */
  play() {
    if (this.at >= this.recording.length) this.seek(0);
    this.playing = true;
    this.follows = false;
    this.last = 0;
    this.wake();
  }

  pause() {
    this.playing = false;
    this.follows = this.at === this.recording.length;
    this.wake();
  }

  /** No more frames. */
  close() {
    cancelAnimationFrame(this.asked);
    this.asked = -1;
  }

  /** @param {number} now */
  _frame(now) {
    this.asked = 0;
    if (this.playing) this._advance(now);
    else if (this.follows) this.at = this.recording.length;
    const whole = this.view.show(this.at);
    this.tell(this.at);
    if (this.playing || !whole) this.wake();
  }

  /** @param {number} now */
  _advance(now) {
    if (this.last) this.clock += (now - this.last) * this.speed;
    this.last = now;
    while (this.at < this.recording.length && this._time(this.at + 1) <= this.clock) this.at += 1;
    if (this.at >= this.recording.length) this.playing = false;
  }

  /** When state k was there, milliseconds. @param {number} k */
  _time(k) {
    const { counts } = this.recording;
    return counts[counts.length - 1].ms > 0 ? counts[k].ms : k * STEP;
  }
}
