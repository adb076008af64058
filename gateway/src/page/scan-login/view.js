// What can be seen: the shadow tree, its texts in two languages, its style.
// Second part of /sdk/scan-login.js (see ../scan-login.js).

/** What can be seen. Text goes in as text and never as markup, styles as a sheet: no page's CSP has to bend for us. */
class View {
  #code = make("img", "code");
  #spinner = make("span", "spinner");
  #mark = make("span", "mark");
  #button = make("button", "button");
  #label = make("span", "label");
  #status = make("p", "status");
  #time = make("p", "time");
  #frame = make("div", "frame");
  #group = make("div", "body");

  constructor(root, pressed, imageFailed) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    this.#group.setAttribute("role", "group");
    this.#status.setAttribute("role", "status"); // a polite live region; the time is none: it would never fall silent
    this.#button.type = "button";
    this.#button.addEventListener("click", pressed);
    this.#code.addEventListener("error", imageFailed);
    this.#mark.append(icon());
    this.#button.append(make("span", "disc"), this.#label);
    this.#button.firstChild.append(icon());
    this.#frame.append(this.#code, this.#spinner, this.#mark, this.#button);
    this.#group.append(this.#frame, this.#status, this.#time);
    root.append(this.#group);
    this.show(null);
  }

  show(url) {
    this.#code.hidden = !url;
    if (url) this.#code.src = url;
    else this.#code.removeAttribute("src");
  }

  update(state, { label, alt, status, time, button, held, live }) {
    this.#group.setAttribute("aria-label", label);
    this.#code.alt = alt;
    this.#code.toggleAttribute("data-over", !live);
    this.#code.setAttribute("aria-hidden", !live);
    this.#spinner.hidden = live || !["connecting", "reconnecting"].includes(state);
    this.#mark.hidden = state !== "success";
    this.#button.hidden = !button;
    this.#button.disabled = held;
    this.#draw(ICONS[state] || ICONS.again);
    write(this.#label, button || "");
    write(this.#status, status);
    write(this.#time, time);
  }

  #draw(shape) {
    for (const place of [this.#mark, this.#button]) place.querySelector("path").setAttribute("d", shape);
  }
}

function make(tag, part) {
  const element = document.createElement(tag);
  element.className = part;
  element.part = part;
  return element;
}

function icon() {
  const [svg, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  return svg;
}

/** Only what changed: a live region repeats whatever is written into it. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const ICONS = {
  again: "M20 12a8 8 0 1 1-2.4-5.7L20 8.6M20 4v4.6h-4.6",
  replaced: "M13 5h6v14h-6M4 12h10M10.5 8.5 14 12l-3.5 3.5",
  success: "m5 12.6 4.6 4.6L19 7.6",
};

function texts(element) {
  const language = element.lang || document.documentElement.lang || navigator.language;
  return /^zh\b/i.test(language) ? CHINESE : ENGLISH;
}

const CHINESE = {
  label: "微信扫码登录",
  alt: "登录二维码，请用微信扫一扫",
  states: {
    connecting: "正在获取二维码…",
    waiting: "请使用微信扫一扫登录",
    expired: "二维码已过期",
    replaced: "已在另一个窗口中打开",
    ended: "本次登录已结束",
  },
  buttons: { expired: "刷新二维码", replaced: "在此处使用", ended: "重新开始", error: "重试" },
  success: (user) => (user ? `已登录：${user}` : "已登录"),
  reconnecting: "连接中断，正在重连，仍可扫码",
  unreachable: "暂时连不上服务器，正在重试…",
  left: (time) => `${time} 后过期`,
  later: (time) => `${time} 后重试`,
  errors: {
    unknown_session: "本次登录已失效，请重试",
    rate_limited: "获取二维码太频繁，请稍等片刻",
    platform_unavailable: "微信暂时没有响应，稍后会自动重试",
    backplane_unavailable: "服务暂时不可用，稍后会自动重试",
    bad_message: "出了点问题，请重试",
    bad_image: "二维码无法显示，请重试",
    bad_server: "登录服务地址有误，请联系网站管理员",
    refused: "服务器拒绝了连接，请重试",
    other: "出了点问题，请重试",
  },
};

const ENGLISH = {
  label: "Log in with WeChat",
  alt: "QR code to log in: scan it with WeChat",
  states: {
    connecting: "Getting a QR code…",
    waiting: "Scan with WeChat to log in",
    expired: "This code has expired",
    replaced: "This login is open in another window",
    ended: "This login has ended",
  },
  buttons: { expired: "New code", replaced: "Use it here", ended: "Start again", error: "Try again" },
  success: (user) => (user ? `Logged in as ${user}` : "Logged in"),
  reconnecting: "Reconnecting; the code still works",
  unreachable: "Can’t reach the server, trying again…",
  left: (time) => `Expires in ${time}`,
  later: (time) => `Try again in ${time}`,
  errors: {
    unknown_session: "This login is over, please try again",
    rate_limited: "Too many codes were asked for, please wait a little",
    platform_unavailable: "WeChat isn’t answering, trying again soon",
    backplane_unavailable: "The service is unavailable, trying again soon",
    bad_message: "Something went wrong, please try again",
    bad_image: "The QR code can’t be shown, please try again",
    bad_server: "The login service’s address is wrong, please tell the site’s owner",
    refused: "The server refused the connection, please try again",
    other: "Something went wrong, please try again",
  },
};

// Colours come from the page around (currentColor and veils of grey), so that it fits light and dark pages alike.
// Only the code brings its own white: a scanner needs dark on light, and the quiet zone around it.
const STYLE = `
:host { display: inline-block; box-sizing: border-box; text-align: center;
  font: 15px/1.5 system-ui, -apple-system, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif;
  --size: var(--scan-login-size, 248px); --accent: var(--scan-login-accent, #07c160); }
:host([hidden]), [hidden] { display: none !important; }
.body { display: grid; justify-items: center; }
.frame { position: relative; box-sizing: border-box; width: var(--size); height: var(--size); overflow: hidden;
  border: 1px solid rgb(128 128 128 / 18%); border-radius: var(--scan-login-radius, 16px);
  background: rgb(128 128 128 / 8%); }
.code { display: block; box-sizing: border-box; width: 100%; height: 100%; padding: 8px; background: #fff; }
.code[data-over] { opacity: .1; filter: blur(2px); }
.spinner, .mark, .button { position: absolute; inset: 0; margin: auto; }
.spinner { box-sizing: border-box; width: 32px; height: 32px; border: 3px solid rgb(128 128 128 / 25%);
  border-radius: 50%; border-top-color: var(--accent); animation: turn 1s linear infinite; }
.mark, .disc { display: grid; place-items: center; width: 64px; height: 64px; border-radius: 50%;
  background: var(--accent); }
.mark { width: 88px; height: 88px; animation: appear .35s cubic-bezier(.2, .9, .3, 1.3); }
svg { width: 50%; fill: none; stroke: #fff; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
.button { display: grid; place-content: center; justify-items: center; gap: 12px; width: 100%; padding: 0; border: 0;
  border-radius: inherit; background: none; color: inherit; font: inherit; font-weight: 600; cursor: pointer; }
.button:hover:enabled .disc { filter: brightness(.94); }
.button:active:enabled .disc { transform: scale(.96); }
.button:focus-visible { outline: 3px solid var(--accent); outline-offset: -3px; }
.button:disabled { cursor: default; font-variant-numeric: tabular-nums; font-weight: 400; }
.button:disabled .disc { background: rgb(128 128 128 / 55%); }
.status, .time { max-width: 20em; margin: 0; }
.status { margin-top: 16px; overflow-wrap: anywhere; text-wrap: balance; }
.time { min-height: 1.5em; font-size: 13px; font-variant-numeric: tabular-nums; opacity: .65; }
@keyframes turn { to { transform: rotate(1turn); } }
@keyframes appear { from { transform: scale(.6); opacity: 0; } }
@media (prefers-reduced-motion: reduce) { .spinner { animation-duration: 4s; } .mark { animation: none; } }
@media (forced-colors: active) { .disc, .mark { border: 2px solid; } svg { stroke: currentColor; } }
`;

