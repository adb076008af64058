// How the server is reached: the socket, its reconnects, and the session's secret that survives both and a reload.
// First part of /sdk/scan-login.js (see ../scan-login.js).

const PROTOCOL = "scan-login.v1";
const ANSWER_TIME = 10_000;
const BACKOFF_BASE = 500;
const BACKOFF_CAP = 15_000;
// A replica that goes away sends all its browsers at once: they come back spread over this time.
const MOVE_SPREAD = 1_500;
// An answer must have stood this long before the back-off begins anew, or a server that falls over would be hammered.
const STABLE_TIME = 5_000;

/** The way to one server: one socket at a time, reconnects with back-off, never silent for long. */
class Link {
  #url;
  #session;
  #owner;
  #socket = null;
  #timer = 0;
  #retrying = false; // what the timer is for: a retry, or else the time-out of an answer
  #heldUntil = 0;
  #failures = 0;
  #answeredAt = Infinity;

  constructor(server, session, owner) {
    this.#url = new URL("ws", server);
    this.#url.protocol = server.protocol === "https:" ? "wss:" : "ws:";
    this.#session = session;
    this.#owner = owner;
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connects: resumes the session where there is one, starts one where there is none. */
  open() {
    this.close();
    this.asked = this.startedOver = false;
    this.#answeredAt = Infinity;
    const resume = this.#session.id ? [`resume.${this.#session.id}`] : [];
    let socket;
    try {
      // A header, not the URL: the secret must not end up in access logs.
      socket = new WebSocket(this.#url, [PROTOCOL, ...resume]);
    } catch {
      return this.#lost(); // an https page may not use ws:, for one
    }
    socket.onopen = () => this.expectAnswer();
    socket.onmessage = ({ data }) => this.#owner.received(parse(data));
    socket.onclose = ({ code }) => this.#lost(code);
    this.#socket = socket;
    this.expectAnswer();
  }

  /** Lets go for good: nothing that the old socket still says is heard. */
  close(code) {
    this.rest();
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
  }

  /** Asks for a new QR code on the open socket. */
  ask() {
    this.asked = true;
    this.#socket.send(JSON.stringify({ message_type: "refresh" }));
    this.expectAnswer();
  }

  expectAnswer(within = ANSWER_TIME) {
    if (this.#socket && !this.#retrying) this.#arm(within, () => this.#lost());
  }

  answered() {
    this.rest();
    this.#answeredAt = performance.now();
  }

  /** Neither waits for an answer nor plans a retry. */
  rest() {
    clearTimeout(this.#timer);
    this.#retrying = false;
  }

  /** Connects again, not before `after` ms, then within a random time that doubles: a crowd must not return as one. */
  retry({ after = 0, moved = false } = {}) {
    if (performance.now() - this.#answeredAt > STABLE_TIME) this.#failures = 0;
    const doubled = Math.min(BACKOFF_CAP, BACKOFF_BASE * 2 ** this.#failures);
    const spread = moved && this.#failures === 0 ? MOVE_SPREAD : doubled;
    this.#failures += 1;
    this.#heldUntil = performance.now() + after;
    this.#arm(after + Math.random() * spread, () => this.open());
    this.#retrying = true;
  }

  /** Makes a planned retry now, unless the server named a time for it. */
  hurry() {
    if (this.#retrying && performance.now() >= this.#heldUntil) this.#arm(Math.random() * 300, () => this.open());
  }

  /** Replaces a socket that may be dead without knowing it, or waits in vain. With a session that costs nothing. */
  renew() {
    const worthIt = !this.isOpen || this.#session.id;
    if (this.#socket && !this.#retrying && worthIt) this.open();
    else this.hurry();
  }

  #arm(after, act) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(act, after);
  }

  #lost(code) {
    const planned = this.#retrying;
    if (planned) this.#socket = null; // and the timer stays
    else this.close();
    if (code === 1000 || code === 1008) {
      this.rest();
      return this.#owner.over(code);
    }
    if (!planned) this.retry({ moved: code === 1001 || code === 1012 });
    this.#owner.lost(this.#failures);
  }
}

/** The session's secret: in sessionStorage for the next load, here for this one, where two elements may differ. */
class Session {
  #key;

  constructor(server) {
    this.#key = `scan-login ${server}`;
    this.id = stored((storage) => storage.getItem(this.#key));
  }

  keep(id) {
    if (typeof id !== "string" || !/^[\w.~-]+$/.test(id)) return; // no subprotocol token: it could not be sent
    this.id = id;
    stored((storage) => storage.setItem(this.#key, id));
  }

  forget() {
    this.id = null;
    stored((storage) => storage.removeItem(this.#key));
  }
}

/** Storage can be forbidden or full; then a reload costs a QR code, and nothing else is lost. */
function stored(use) {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
}

/** A message, or an empty one for whatever isn't. */
function parse(data) {
  try {
    return Object(JSON.parse(data));
  } catch {
    return {};
  }
}

