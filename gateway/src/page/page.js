// The hosted login page: the element, and words around it in the browser's language.
//
// No application stands behind this page, so the login ends in a greeting. The one-time code that comes with
// success is left alone: it goes into no element, no URL and no storage.
import "/sdk/scan-login.js";

const TEXTS = {
  zh: {
    title: "微信扫码登录",
    hint: "打开手机微信，点右上角「+」，选择「扫一扫」",
    greeting: (user) => (user ? `${user}，您好！` : "您好！"),
    done: "登录成功，可以关闭此页面了",
    again: "换个微信号登录",
  },
  en: {
    title: "Log in with WeChat",
    hint: "In WeChat on your phone, tap “+”, then “Scan”",
    greeting: (user) => (user ? `Hello, ${user}!` : "Hello!"),
    done: "You are logged in and can close this page",
    again: "Log in as somebody else",
  },
};

const language = /^zh\b/i.test(navigator.language) ? "zh" : "en";
const text = TEXTS[language];
const login = document.querySelector("scan-login");
const title = document.querySelector("#title");
const hint = document.querySelector("#hint");
const again = document.querySelector("#again");

function invite() {
  title.textContent = document.title = text.title;
  hint.textContent = text.hint;
  again.hidden = true;
}

function greet({ detail: { user } }) {
  title.textContent = text.greeting(user);
  hint.textContent = text.done;
  again.hidden = false;
}

document.documentElement.lang = login.lang = language === "zh" ? "zh-CN" : "en";
again.textContent = text.again;
login.addEventListener("scan-login-success", greet);
again.addEventListener("click", () => {
  invite();
  login.restart();
});
invite();
