// The server: answers as JSON, and streams chunk by chunk. An error carries what the server said.

export class Refused extends Error {
  /** @param {string} message @param {number} status */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export class Client {
  constructor() {
    this.key = ""; // in memory only
  }

  /** @param {string} path */
  async get(path) {
    return (await this._fetch(path, {})).json();
  }

  /**
   * The chunks of a streamed answer.
   * @param {string} path @param {any} body @param {AbortSignal} signal
   * @returns {AsyncGenerator<any>}
   */
  async *stream(path, body, signal) {
    const head = { "Content-Type": "application/json" };
    const answer = await this._fetch(path, {
      method: "POST",
      body: JSON.stringify(body),
      headers: head,
      signal,
    });
    const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).getReader();
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      const lines = (rest + decoder.decode(value, { stream: !done })).split(/\r\n|\n/);
      rest = done ? "" : String(lines.pop());
      for (const line of lines) {
        if (!line.startsWith("data:")) continue;
        const data = line.slice(5).trim();
        if (data === "[DONE]") return;
        const chunk = JSON.parse(data);
        if (chunk.error) throw new Refused(chunk.error.message, 0);
        yield chunk;
      }
      if (done) return;
    }
  }

  /** @param {string} path @param {any} how */
  async _fetch(path, how) {
    const headers = { ...how.headers, ...(this.key ? { Authorization: `Bearer ${this.key}` } : {}) };
    let answer;
    try {
      answer = await fetch(path, { ...how, headers });
    } catch (error) {
      if (how.signal?.aborted) throw error;
      throw new Refused("The server does not answer; is it still running?", 0);
    }
    if (!answer.ok) throw new Refused(await said(answer), answer.status);
    return answer;
  }
}

/** What the server said about an error. @param {Response} answer */
async function said(answer) {
  const text = await answer.text();
  try {
    const { error } = JSON.parse(text);
    if (error?.message) return error.message;
  } catch {
    // not JSON: shown as it is
  }
  return text.slice(0, 500) || `The server answered ${answer.status} and said nothing.`;
}
