// The phone: who holds it, what it scans, and the chat with the account. It keeps who follows, and what was said, in the
// browser, and knows no more of a QR code than its text.

import { language, texts } from "./phone-texts.js";

const POLL_MS = 2000;
const KEPT_LINES = 30;
const CODES_SHOWN = 4;
const STORE = "scan-login-phone";

const people = [
  { openid: "oSim0LinYue000000000000000a1", face: "a", follows: true },
  { openid: "oSim0ChenHao00000000000000b2", face: "b", follows: true },
  { openid: "oSim0Alice0000000000000000c3", face: "c", follows: false },
  { openid: "oSim0Bob000000000000000000d4", face: "d", follows: false },
].map((person, index) => ({ ...person, name: texts.people[index], lines: [] }));

const $ = (id) => document.getElementById(id);
const atHand = document.body.dataset.content;
let holder = people[0];
let pending = null; // the code behind the follow page, and when it was scanned
let busy = false;

// Small things

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function face(name, kind) {
  return element("span", { className: `face ${kind}`, ariaHidden: "true" }, [...name][0]);
}

function age(seconds) {
  return seconds < 120 ? texts.seconds(seconds) : texts.minutes(Math.floor(seconds / 60));
}

function remember() {
  const kept = people.map(({ openid, follows, lines }) => ({ openid, follows, lines: lines.slice(-KEPT_LINES) }));
  try {
    localStorage.setItem(STORE, JSON.stringify({ holder: holder.openid, people: kept }));
  } catch {
    // A browser without storage has a phone that forgets.
  }
}

function recall() {
  try {
    const kept = JSON.parse(localStorage.getItem(STORE));
    for (const { openid, follows, lines } of kept.people) {
      const person = people.find((known) => known.openid === openid);
      if (person && Array.isArray(lines)) Object.assign(person, { follows: follows === true, lines });
    }
    holder = people.find(({ openid }) => openid === kept.holder) ?? holder;
  } catch {
    // Nothing was kept, or something else has that name.
  }
}

// Asking the simulator

async function ask(control, body) {
  try {
    const answer = await fetch(`../simulator/${control}`, body && { method: "POST", body: JSON.stringify(body) });
    return await answer.json();
  } catch {
    return { error: "offline" };
  }
}

/** Runs one act at a time; its outcome becomes lines in the chat. */
async function act(control, body, what) {
  if (busy) return null;
  busy = true;
  draw();
  const outcome = await ask(control, { ...body, openid: holder.openid });
  busy = false;
  const why = outcome.error ?? outcome.not_pushed;
  if (!why) {
    if (what) say("system", what);
    if (outcome.fault) say("fault", outcome.shown, attempts(outcome));
    else if (outcome.shown) say("account", outcome.shown);
    else say("system", texts.silent, attempts(outcome));
  }
  return why ? { why: texts[why] ?? outcome.message ?? why, code: why } : { outcome };
}

function attempts({ event, attempts }) {
  const each = attempts.map(({ status, verdict, reason }) => [status, verdict, reason && `(${reason})`]);
  return `${event}: ${each.map((parts) => parts.filter(Boolean).join(" ")).join(" · ")}`;
}

function say(who, text, small) {
  holder.lines = [...holder.lines, { who, text, small }].slice(-KEPT_LINES);
  remember();
}

// Acts

async function scan(content) {
  const looked = !holder.follows;
  const done = await act("scan", { content, follower: holder.follows, follows: false }, texts.scanned);
  if (!done) return;
  if (looked && done.code === "not_followed") {
    pending = { content, at: Date.now() };
    show("follow");
  } else if (done.why) {
    complain(done.why);
  } else {
    show("chat");
  }
}

async function follow() {
  const { content, at } = pending;
  const follow_after_seconds = Math.floor((Date.now() - at) / 1000);
  holder.follows = true;
  const done = await act("scan", { content, follower: false, follow_after_seconds }, texts.followed);
  if (!done) return;
  if (done.why) {
    holder.follows = false;
    show("home");
    complain(done.why);
    return;
  }
  remember();
  show("chat");
}

async function unfollow() {
  const done = await act("push", { event: "unsubscribe" });
  if (!done) return;
  if (done.why) return void sayAndShow("system", done.why);
  holder.follows = false;
  holder.lines.pop();
  sayAndShow("system", texts.unfollowed);
}

async function write(text) {
  say("mine", text);
  const done = await act("push", { text });
  if (done?.why) say("system", done.why);
  show("chat");
}

function sayAndShow(who, text) {
  say(who, text);
  show("chat");
}

// Drawing

let view = "home";
let complaint = null;
let codes = null;
let drawnCodes = null;

function show(next) {
  view = next;
  complaint = null;
  draw();
  const end = $("log").lastElementChild;
  if (next === "chat") end?.scrollIntoView({ block: "end" });
}

function complain(why) {
  complaint = why;
  draw();
}

function draw() {
  for (const name of ["home", "follow", "chat"]) $(name).hidden = name !== view;
  $("title").textContent = view === "chat" ? texts.account : texts.title;
  $("back").hidden = view === "home";
  $("unfollow").hidden = view !== "chat" || !holder.follows;
  for (const button of document.querySelectorAll("button")) button.disabled = busy;
  drawPeople();
  drawCodes();
  drawLog();
}

function drawPeople() {
  $("people").replaceChildren(...people.map((person) => {
    const button = element("button", { type: "button", className: "person", disabled: busy },
      face(person.name, person.face),
      element("span", { className: "name" }, person.name),
      element("span", { className: "state" }, person.follows ? texts.follower : texts.stranger));
    button.ariaPressed = String(person === holder);
    button.addEventListener("click", () => {
      holder = person;
      remember();
      draw();
    });
    return element("li", {}, button);
  }));
}

/** Draws anew only what changed: a button that is being tapped must stay the same button while ages tick. */
function drawCodes() {
  const shown = atHand ? [] : (codes ?? []).slice(0, CODES_SHOWN);
  const key = JSON.stringify([complaint, busy, holder.openid, codes === null, shown.map(({ content }) => content)]);
  if (key !== drawnCodes) {
    drawnCodes = key;
    $("codes").replaceChildren(...codeLines(shown));
  }
  const [newest, ...older] = shown.map(({ age_seconds }) => age(age_seconds));
  const places = document.querySelectorAll("#codes .age");
  if (newest) places[0].textContent = texts.newest(newest);
  older.forEach((text, index) => { places[index + 1].textContent = texts.older(text); });
}

function codeLines(shown) {
  const [newest, ...older] = shown;
  const lines = [];
  if (complaint) lines.push(element("p", { className: "bad", role: "alert" }, complaint));
  if (atHand) {
    lines.push(element("p", {}, texts.atHand), scanButton(atHand, texts.scanNewest(holder.name), "primary"));
  } else if (newest) {
    lines.push(element("p", { className: "age" }));
    lines.push(scanButton(newest.content, texts.scanNewest(holder.name), "primary"));
    const others = older.map(({ content }) => scanButton(content, "", "small age"));
    if (others.length) lines.push(element("div", { className: "others" }, ...others));
  } else {
    lines.push(element("p", {}, codes ? texts.none : texts.looking));
  }
  if (busy) lines.push(element("p", { className: "busy" }, texts.busy));
  return lines;
}

function scanButton(content, label, className) {
  const button = element("button", { type: "button", className, disabled: busy }, label);
  button.addEventListener("click", () => scan(content));
  return button;
}

function drawLog() {
  const lines = holder.lines.map(({ who, text, small }) => {
    if (who === "mine") return element("li", { className: "mine" }, face(holder.name, holder.face), bubble(text));
    if (who === "account") return element("li", {}, face("公", "account"), bubble(text));
    const line = element("li", { className: "system" }, who === "fault" ? element("b", {}, text) : text);
    if (small) line.append(element("small", {}, small));
    return line;
  });
  if (!lines.length) lines.push(element("li", { className: "system" }, texts.empty));
  $("log").replaceChildren(...lines);
}

function bubble(text) {
  return element("div", { className: "bubble" }, text);
}

async function poll() {
  if (view === "home" && !atHand && !busy && document.visibilityState === "visible") {
    const found = (await ask("codes")).codes;
    if (found && JSON.stringify(found) !== JSON.stringify(codes)) {
      codes = found;
      drawCodes();
    }
  }
  setTimeout(poll, POLL_MS);
}

// The start

document.documentElement.lang = language;
document.title = texts.title;
for (const place of document.querySelectorAll("[data-text]")) place.textContent = texts[place.dataset.text];
$("text").placeholder = texts.write;
$("back").addEventListener("click", () => show("home"));
$("chats").addEventListener("click", () => show("chat"));
$("yes").addEventListener("click", follow);
$("no").addEventListener("click", () => show("home"));
$("unfollow").addEventListener("click", unfollow);
$("paste").addEventListener("submit", (event) => {
  event.preventDefault();
  scan($("content").value.trim());
});
$("write").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  $("text").value = "";
  if (text) write(text);
});
recall();
show("home");
poll();
