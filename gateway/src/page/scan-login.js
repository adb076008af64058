// <scan-login server="URL" lang="…">: log in by scanning a QR code with WeChat.
//
// The element talks to the gateway's WebSocket at `server` (default: where this script came from) and shows
// what it hears. Its `state` attribute says where the login stands:
//   connecting | waiting | reconnecting | expired | success | error | replaced | ended
// It dispatches `scan-login-success` (detail.code, detail.user), `scan-login-expired` and `scan-login-error`
// (detail.code, detail.message, detail.retryAfter in seconds); all of them bubble and leave shadow trees.
//
// What is served as /sdk/scan-login.js is scan-login/link.js, scan-login/view.js and this file, one after the other:
// one file, so that no page ever gets parts of two releases while replicas are replaced.

// After our own clock says that a code is over the server says so too. Silence means that the socket is dead, which
// nothing else would show: pings are the browser's, not ours to see.
const EXPIRY_GRACE = 5_000;
// Hidden for longer than this, a page may have slept, and its socket may have died without a word.
const SLEEP_TIME = 30_000;
// Errors that pass by themselves, so that asking again needs nobody's press.
const PASSING = ["rate_limited", "platform_unavailable", "backplane_unavailable"];

export class ScanLogin extends HTMLElement {
  static observedAttributes = ["server", "lang"];

  #view = new View(this.attachShadow({ mode: "open" }), () => this.#press(), () => this.#imageFailed());
  #session = null;
  #link = null;
  #listeners = null;
  #started = false;
  #state = "connecting";
  #user = "";
  #content = "";
  #error = null;
  #codeLife = null; // Deadline of the code on show; null: there is none, or it is over
  #hold = null; // Deadline before which the server wants no further try
  #wanted = false; // somebody asked for a new code and has none yet; survives a reconnect
  #clock = 0;

  /** The text inside the QR code on show; empty while there is none. */
  get content() {
    return this.#codeLife ? this.#content : "";
  }

  /** Forgets this session and starts anew, with a new QR code. */
  restart() {
    this.#session?.forget();
    if (this.isConnected) this.#start();
  }

  connectedCallback() {
    if (!this.#started) this.#start();
  }

  disconnectedCallback() {
    // A move within the document disconnects and connects at once: that keeps its socket.
    queueMicrotask(() => this.isConnected || this.#stop());
  }

  attributeChangedCallback(name, before, now) {
    if (!this.#started || before === now) return;
    if (name === "server") this.#start();
    else this.#render();
  }

  #start() {
    this.#stop();
    this.#started = true;
    this.#enter("connecting");
    this.#session = null;
    let server;
    try {
      server = serverUrl(this.getAttribute("server"));
    } catch {
      return this.#fail({ code: "bad_server" });
    }
    this.#session = new Session(server);
    this.#link = new Link(server, this.#session, {
      received: (message) => this.#received(message),
      lost: (failures) => this.#lost(failures),
      over: (code) => this.#over(code),
    });
    this.#listen();
    this.#link.open();
  }

  #stop() {
    clearTimeout(this.#clock);
    this.#listeners?.abort();
    this.#link?.close();
    this.#link = this.#error = this.#hold = null;
    this.#started = this.#wanted = false;
    this.#user = "";
    this.#clearCode();
  }

  /** A network that is back, or a page that is looked at again, is worth a try before the back-off is over. */
  #listen() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    let hiddenSince = Infinity;
    addEventListener("online", () => this.#link.renew(), { signal });
    document.addEventListener(
      "visibilitychange",
      () => {
        if (document.hidden) return void (hiddenSince = Date.now());
        if (Date.now() - hiddenSince > SLEEP_TIME) this.#link.renew();
        else this.#link.hurry();
        this.#tick();
      },
      { signal },
    );
  }

  #received(message) {
    switch (message.message_type) {
      case "qrcode_url":
        return this.#showCode(message);
      case "scan_success":
        return this.#succeed(message);
      case "expired":
        return this.#expiredByServer();
      case "error":
        return this.#refused(message);
    }
  }

  #showCode({ url, content, session, expires_in: seconds }) {
    this.#session.keep(session);
    // Anything but an image inside the message would let the server make this page ask strangers.
    if (typeof url !== "string" || !url.startsWith("data:image/")) return this.#fail({ code: "bad_image" });
    this.#link.answered();
    this.#wanted = false;
    this.#content = String(content ?? "");
    this.#codeLife = new Deadline(Number.isFinite(seconds) ? seconds : Infinity);
    this.#view.show(url);
    this.#enter("waiting");
  }

  #succeed({ user, code }) {
    this.#user = String(user ?? "");
    this.#clearCode();
    // The session is kept: should the application lose this page before it has the code, a reload gets it again.
    this.#link.close(1000);
    this.#enter("success");
    this.#tell("success", { code, user: this.#user });
  }

  #expiredByServer() {
    if (this.#wanted) {
      // Old news while the new code is on its way; on a new socket it still has to be asked for.
      if (!this.#link.asked) this.#link.ask();
      return;
    }
    this.#link.answered();
    this.#expire();
  }

  #expire() {
    if (this.#state === "expired") return;
    this.#codeLife = null; // the dimmed code stays in sight
    this.#enter("expired");
    this.#tell("expired");
  }

  #refused(error) {
    if (error.code === "unknown_session") return this.#startOver(error);
    if (error.code === "replaced") {
      this.#clearCode();
      this.#link.close();
      this.#enter("replaced");
    } else if (this.#codeLife?.left > 0) {
      this.#error = error; // what failed is not the code on show: that can still be scanned
      if (this.#state === "reconnecting") this.#link.retry({ after: pause(error) * 1000 });
      this.#render();
    } else {
      return this.#fail(error);
    }
    this.#tellError(error);
  }

  /** The session is over, or was never heard of: the same socket starts another, but only once. */
  #startOver(error) {
    this.#session.forget();
    this.#link.answered();
    if (this.#state === "expired" && !this.#wanted) return; // nobody waits for a code: the button will ask
    if (this.#link.startedOver) return this.#fail(error);
    this.#link.startedOver = true;
    this.#clearCode();
    this.#enter("connecting");
    this.#link.ask();
  }

  #fail(error) {
    const seconds = pause(error);
    this.#clearCode();
    this.#error = error;
    this.#hold = seconds > 0 ? new Deadline(seconds) : null;
    if (PASSING.includes(error.code)) this.#link?.retry({ after: seconds * 1000 });
    else this.#link?.rest();
    this.#enter("error");
    this.#tellError(error);
  }

  #imageFailed() {
    if (this.#codeLife) this.#fail({ code: "bad_image" }); // the page's CSP lacks `img-src data:`, for one
  }

  /** The socket is gone, and the link is trying again. */
  #lost(failures) {
    if (this.#state === "expired" || this.#state === "error") return; // these say more, and their button still works
    // A first failure is usually over before anybody could read about it.
    if (this.#codeLife || failures > 1) this.#enter("reconnecting");
  }

  /** The server ended it, and wants no reconnect. */
  #over(closeCode) {
    if (closeCode === 1000) this.#session.forget();
    if (this.#state === "error") return;
    if (closeCode === 1000) {
      this.#clearCode();
      this.#enter("ended");
    } else {
      this.#session.forget();
      this.#fail({ code: "refused" });
    }
  }

  /** The one button: what it does is what its label says in this state. */
  #press() {
    if (this.#hold?.left > 0) return;
    if (this.#state === "ended" || !this.#link) return this.restart();
    const link = this.#link;
    this.#wanted = this.#state !== "replaced";
    if (this.#state === "expired" && link.isOpen) link.ask();
    else link.open();
    this.#enter("connecting");
  }

  #tick() {
    if (this.#codeLife?.left === 0) {
      this.#expire();
      this.#link.expectAnswer(EXPIRY_GRACE);
    }
    this.#render();
  }

  #clearCode() {
    this.#codeLife = null;
    this.#content = "";
    this.#view.show(null);
  }

  #enter(state) {
    this.#state = state;
    if (state !== "error") this.#error = this.#hold = null;
    this.setAttribute("state", state);
    this.#render();
  }

  #render() {
    clearTimeout(this.#clock);
    const text = texts(this);
    const left = this.#codeLife?.left;
    const held = this.#hold?.left || 0;
    this.#view.update(this.#state, {
      label: text.label,
      alt: text.alt,
      status: this.#status(text),
      time: left > 0 && left < Infinity ? text.left(spell(left)) : "",
      button: held ? text.later(spell(held)) : text.buttons[this.#state],
      held: held > 0,
      live: left > 0,
    });
    const counting = held || left;
    // To the next whole second, so that none is skipped or shown twice.
    if (counting < Infinity) this.#clock = setTimeout(() => this.#tick(), (counting % 1) * 1000 + 20);
  }

  #status(text) {
    const { code, message } = this.#error ?? {};
    if (this.#error) return Object.hasOwn(text.errors, code) ? text.errors[code] : String(message || text.errors.other);
    if (this.#state === "success") return text.success(this.#user);
    if (this.#state === "reconnecting") return this.#codeLife ? text.reconnecting : text.unreachable;
    return text.states[this.#state];
  }

  #tellError({ code, message, retry_after: retryAfter }) {
    this.#tell("error", { code, message, retryAfter });
  }

  #tell(what, detail) {
    this.dispatchEvent(new CustomEvent(`scan-login-${what}`, { detail, bubbles: true, composed: true }));
  }
}

/** A time from now. The wall clock has a say too: in some browsers the other one stops while the machine sleeps. */
class Deadline {
  #seconds;
  #steady = performance.now();
  #wall = Date.now();

  constructor(seconds) {
    this.#seconds = seconds;
  }

  get left() {
    const passed = Math.max(performance.now() - this.#steady, Date.now() - this.#wall);
    return Math.max(0, this.#seconds - passed / 1000);
  }
}

/** The address that `ws` hangs below: the attribute, or the place that /sdk/scan-login.js came from. */
function serverUrl(attribute) {
  const url = attribute ? new URL(attribute, document.baseURI) : new URL("..", import.meta.url);
  if (!/^https?:$/.test(url.protocol)) throw new TypeError("the server is an http or https address");
  url.search = url.hash = "";
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}

/** The seconds that an error asks us to wait; a day at most, as timers end at 24 of them. */
function pause(error) {
  return Math.min(Math.max(Number(error.retry_after) || 0, 0), 86_400);
}

function spell(seconds) {
  const whole = Math.ceil(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(whole % 60)}`;
}

// The script may be on a page twice, from two servers: the first definition stays.
if (!customElements.get("scan-login")) customElements.define("scan-login", ScanLogin);
