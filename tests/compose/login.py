"""One login: a page in a tab, a person with a phone, the application's server."""

import http.client
import json
import secrets

SUCCEEDED = "登录成功"
SCANS = 3


def ask(port, method, path, body=None, headers=None):
    """One request to this machine; the status and what the JSON says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, json.dumps(body) if body is not None else None, headers or {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text


class Login:
    """A page that waits for its scan."""

    def __init__(self, browser, page_port, simulator_port, secret):
        self.page_port, self.simulator_port, self.secret = page_port, simulator_port, secret
        self.openid = "o" + secrets.token_hex(14)
        self.tab = browser.tab(f"http://localhost:{page_port}/")
        element = "document.querySelector('scan-login')"
        self.content = self.tab.eventually("a QR code", f"return {element}?.content")
        self.tab.run(f"{element}.addEventListener('scan-login-success', ({{ detail }}) => {{ window.code = detail.code; }})")

    def scan(self):
        """The person scans, and again when the phone asks for that."""
        for _ in range(SCANS):
            scan = {"content": self.content, "openid": self.openid}
            status, outcome = ask(self.simulator_port, "POST", "/simulator/scan", scan)
            assert status == 200, outcome
            self.shown = outcome["shown"] or ""
            if SUCCEEDED in self.shown:
                return
        raise AssertionError(f"scanned {SCANS} times, and the phone shows {self.shown!r}: {outcome['attempts']}")

    def succeeds(self):
        """The page says so, and the application's server learns who it was, once."""
        state = "document.querySelector('scan-login').getAttribute('state')"
        code = self.tab.eventually("success on the page", f"return {state} === 'success' && window.code")
        answers = [
            ask(self.page_port, "POST", "/api/redeem", {"code": code}, {"Authorization": f"Bearer {self.secret}"})
            for _ in range(2)
        ]
        (status, person), (again, _) = answers
        assert status == 200 and person["openid"] == self.openid and person["login_count"] == 1, (status, person)
        assert again == 410, again
